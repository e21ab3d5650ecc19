# SPDX-License-Identifier: MIT
#
# Builds Kindling. `make help` lists the targets, section 2 says how to add a file.
#
#   make                         build/lkvm
#   make static                  build/lkvm-static, against musl
#   make ARCH=arm64              build/arm64/lkvm, with aarch64-linux-gnu-gcc on another host
#   make CC=clang V=1 WERROR=1   another compiler, commands shown, warnings fatal
#   make CONFIG=configs/tiny     another selection of options (default: .config, else configs/default)

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:

VERSION := 0.1

# The first rule is what plain `make` does.
.PHONY: all
all: lkvm

# ---------------------------------------------------------------------------------------------
# 1. Where and with what

arch-name = $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$1))
HOSTARCH := $(call arch-name,$(shell uname -m))
ARCH ?= $(HOSTARCH)
override ARCH := $(call arch-name,$(ARCH))
ifeq ($(filter $(ARCH),x86 arm64),)
$(error ARCH=$(ARCH) is no port of Kindling: x86 and arm64 are)
endif

# x86 lives in build/, any other port in build/ARCH/. The sanitizer builds set BUILD themselves.
BUILD ?= build$(if $(filter-out x86,$(ARCH)),/$(ARCH))
obj := $(BUILD)/obj
musl := $(BUILD)/musl
gen := $(BUILD)/gen

cross-x86 := x86_64-linux-gnu-
cross-arm64 := aarch64-linux-gnu-
CROSS_COMPILE ?= $(if $(filter-out $(HOSTARCH),$(ARCH)),$(cross-$(ARCH)))
ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc
endif
ifeq ($(origin AR),default)
AR := $(CROSS_COMPILE)ar
endif
OBJCOPY ?= $(CROSS_COMPILE)objcopy

# V=1 shows the commands, else one short line for each: $(call say,CC,vm/mem.o)
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n' '$1' '$2'
endif

# The options. Strings are unquoted, so that $(CONFIG_X) can be used as it is.
CONFIG ?= $(firstword $(wildcard .config) configs/default)
include $(CONFIG)
$(foreach v,$(filter CONFIG_%,$(.VARIABLES)),$(eval $v := $(subst ",,$($v))))

# ---------------------------------------------------------------------------------------------
# 2. What is built: one name a line or a group, sorted by folder.
#
#    A file:         obj-y += FOLDER/NAME.o            (obj-x86, obj-arm64: of one port)
#    An option's:    obj-$(CONFIG_X) += FOLDER/NAME.o  (and config X in Kconfig, configs/*)
#    A device type:  device-$(CONFIG_X) += NAME        (defines struct device_type NAME_type)
#    An unpacker:    unpacker-$(CONFIG_X) += NAME      (defines struct unpacker NAME_unpacker)
#    A disk format:  disk-format-$(CONFIG_X) += NAME   (defines struct disk_format NAME_format)
#    Its codec:      qcow2-codec-$(CONFIG_X) += NAME   (defines struct qcow2_codec qcow2_NAME)
#    A payload:      payload-x86 += NAME               (guest/payload/x86/NAME.c)
#                    payload-y += NAME                 (guest/payload/NAME.c: of both ports)
#                    test-payload-x86 += NAME          (the same, but not part of the binary)
#    A library:      lib-y += fdt                      (and lib-headers, for musl)

obj-y += util/log.o util/buf.o util/loop.o util/file.o util/number.o util/limit.o util/hash.o util/clock.o util/thread.o util/cmdline.o

obj-y += host/disk.o host/disk-raw.o host/disk-cow.o host/disk-growth.o host/iov.o host/uds.o
obj-y += host/disk-queue.o host/disk-uring.o host/disk-threads.o
obj-$(CONFIG_VIRTIO_9P) += host/tree.o host/tree-node.o host/tree-make.o host/tree-state.o
obj-y += host/net.o host/tap.o host/tap-interface.o host/passt.o

obj-y += vm/kvm.o vm/vm.o vm/mem.o vm/bus.o vm/irq.o vm/msix.o vm/pci.o vm/vcpu.o vm/device.o vm/verdict.o

obj-y += term/uart16550.o term/serial.o term/tty.o term/terminal.o term/ring.o term/scan.o
obj-arm64 += term/pl011.o

obj-x86 += platform/ged.o
obj-arm64 += platform/pl031.o platform/pl061.o

obj-y += guest/image.o guest/elf.o guest/solo5.o guest/unpack.o guest/initramfs.o guest/initrd.o guest/kconfig.o guest/release.o guest/payloads.o
obj-x86 += guest/bzimage.o guest/multiboot.o
obj-arm64 += guest/arm64-image.o guest/zimage.o guest/zboot.o

obj-x86 += $(if $(CONFIG_HVT),x86/hvt.o x86/halt.o,x86/hvt-none.o) x86/port.o x86/way.o x86/load.o x86/boot.o x86/multiboot.o x86/cpuid.o x86/acpi.o x86/aml.o x86/ioapic.o x86/legacy.o x86/cmos.o x86/pci-ports.o
obj-arm64 += arm/hvt.o arm/port.o arm/options.o arm/features.o arm/vcpu.o arm/regs.o arm/gic.o arm/v2m.o arm/boot.o arm/look.o arm/fdt.o arm/dtb.o arm/doctor.o

obj-y += virtio/queue.o virtio/core.o virtio/run.o virtio/mmio.o virtio/pci.o
obj-$(CONFIG_VIRTIO_CONSOLE) += virtio/console.o virtio/ports.o
obj-$(CONFIG_VIRTIO_BLK) += virtio/blk.o virtio/blk-queue.o
obj-$(CONFIG_VIRTIO_RNG) += virtio/rng.o
obj-$(CONFIG_VIRTIO_NET) += virtio/net.o virtio/net-pair.o virtio/net-link.o virtio/net-header.o virtio/net-vhost.o virtio/vhost.o
obj-$(CONFIG_VIRTIO_VSOCK) += virtio/vsock.o virtio/vsock-unix.o virtio/vsock-table.o virtio/vsock-conn.o
obj-$(CONFIG_VIRTIO_VSOCK) += virtio/vsock-vhost.o virtio/vhost.o
obj-$(CONFIG_VIRTIO_BALLOON) += virtio/balloon.o virtio/balloon-hints.o
obj-$(CONFIG_VIRTIO_9P) += virtio/9p.o virtio/9p-wire.o virtio/9p-fids.o virtio/9p-files.o virtio/9p-names.o
obj-$(CONFIG_VIRTIO_9P) += virtio/9p-attr.o virtio/9p-xattr.o virtio/9p-locks.o virtio/9p-state.o

obj-y += $(if $(CONFIG_HVT),hvt/hvt.o hvt/attach.o hvt/io.o hvt/wait.o,hvt/none.o)

obj-y += $(if $(CONFIG_STATE),machine-state.o machine-migrate.o machine-disks.o,machine-state-none.o)
obj-$(CONFIG_STATE) += state/stream.o state/state.o state/snapshot.o state/snapshot-open.o state/diff.o vm/pages.o
obj-y += $(if $(CONFIG_STATE)$(CONFIG_CONTROL),host/channel.o host/channel-open.o)
obj-$(CONFIG_STATE) += state/dirty.o state/migrate.o state/receive.o vm/pace.o host/wire.o host/disk-copy.o
obj-x86 += $(if $(CONFIG_STATE),x86/state.o x86/state-cpuid.o x86/state-msrs.o)
obj-arm64 += $(if $(CONFIG_STATE),arm/state.o arm/counter.o arm/gic-state.o)

obj-y += machine.o machine-hvt.o machine-devices.o machine-down.o machine-exec.o machine-small.o machine-timeouts.o

# What images know that are no Linux kernels.
obj-y += platform/debug-exit.o cmd/option-small.o
obj-x86 += platform/fw-cfg.o

# Why a guest ended, and who is told how.
obj-y += util/json.o util/utf8.o vm/timeline.o vm/timeouts.o platform/pvpanic.o platform/vmgenid.o
obj-y += term/reports.o term/log-tail.o term/escape.o term/ktap.o cmd/result.o cmd/results.o cmd/junit.o

# The streams and the status of a command in the guest.
obj-y += host/input.o host/stream.o term/tty-stream.o guest/exec.o

obj-y += cmd/run.o cmd/front.o $(if $(CONFIG_INSPECT),cmd/inspect.o,cmd/inspect-none.o) cmd/signals.o cmd/options.o cmd/option-table.o cmd/option-disk.o cmd/option-network.o cmd/option-limit.o cmd/option-share.o cmd/help.o $(if $(CONFIG_MANUAL),cmd/manual.o,cmd/manual-none.o) cmd/version.o cmd/kernel.o cmd/transport.o cmd/doctor.o
obj-y += $(if $(CONFIG_STATE),cmd/restore.o cmd/restore-disks.o cmd/restore-ssh.o cmd/saved-options.o,cmd/restore-none.o)
obj-y += cmd/option-hvt.o cmd/option-exec.o cmd/exec-root.o $(if $(CONFIG_EXEC),,cmd/exec-none.o)
obj-$(CONFIG_EXEC) += cmd/exec.o cmd/exec-modules.o cmd/exec-order.o cmd/exec-boot.o cmd/setup.o cmd/sandbox.o guest/cpio.o guest/modules.o guest/modinfo.o

# A VM that has a name can be asked and told things while it runs.
control-y := control/none.o cmd/control-none.o
control-$(CONFIG_CONTROL) := control/control.o control/snapshot.o control/migrate.o control/client.o control/commands.o control/run.o control/inspect.o \
	$(if $(CONFIG_VIRTIO_BALLOON),control/balloon.o,control/balloon-none.o) \
	cmd/remote.o cmd/control.o cmd/snapshot.o cmd/migrate.o cmd/list.o cmd/stat.o host/rundir.o util/json-parse.o
obj-y += $(control-y)

obj-y += main.o

# The library's own file, beside all of these but cmd/ and main.o.
library-y += lib/lkvm.o

device-y += uart16550
device-y += pvpanic debug_exit vmgenid
device-x86 += fw_cfg ged
device-arm64 += pl011 pl031 pl061
device-$(CONFIG_VIRTIO_CONSOLE) += virtio_console
device-$(CONFIG_VIRTIO_CONSOLE) += virtio_ports
device-$(CONFIG_VIRTIO_BLK) += virtio_blk
device-$(CONFIG_VIRTIO_RNG) += virtio_rng
device-$(CONFIG_VIRTIO_NET) += virtio_net
device-$(CONFIG_VIRTIO_VSOCK) += virtio_vsock
device-$(CONFIG_VIRTIO_BALLOON) += virtio_balloon
device-$(CONFIG_VIRTIO_9P) += virtio_9p

# guest/unpack-NAME.o, and below its library.
unpacker-$(CONFIG_GZIP) += gzip
unpacker-$(CONFIG_XZ) += xz
unpacker-$(CONFIG_ZSTD) += zstd
unpacker-$(CONFIG_LZ4) += lz4
obj-y += gen/unpackers.o $(unpacker-y:%=guest/unpack-%.o)
obj-$(CONFIG_XZ) += guest/crc64.o

# Formats of disks beside raw, and what qcow2's clusters are compressed by: host/qcow2-NAME.o.
disk-format-$(CONFIG_QCOW2) += qcow2
qcow2-codec-$(CONFIG_QCOW2) += zlib
qcow2-codec-$(CONFIG_QCOW2_ZSTD) += zstd
obj-$(CONFIG_QCOW2) += host/qcow2.o host/qcow2-header.o host/qcow2-files.o host/qcow2-map.o host/qcow2-packed.o
obj-$(CONFIG_QCOW2) += $(qcow2-codec-y:%=host/qcow2-%.o)
obj-y += gen/disk-formats.o

# The embedded init, process 1 of guests that run a command: a program of its own, against musl.
init-$(CONFIG_EXEC) := $(BUILD)/init/init

payload-y += disk
payload-$(CONFIG_TEST_PAYLOADS) += garbage rings
payload-x86 += hello exit end timer irq smp probe badreg
payload-arm64 += hello exit end timer irq smp probe badreg
payload-$(CONFIG_EXEC) += exec
payload-y += say
# Payloads for tests alone, which are not part of the binary.
test-payload-x86 += pc state migrate
test-payload-arm64 += ticks

# Libraries by their names, and the headers that a compiler for another libc does not find by itself.
lib-$(CONFIG_GZIP) += z
lib-$(CONFIG_XZ) += lzma
lib-$(CONFIG_ZSTD) += zstd
lib-$(CONFIG_LZ4) += lz4
lib-$(CONFIG_QCOW2) += z
lib-$(CONFIG_QCOW2_ZSTD) += zstd
lib-y += uring
lib-arm64 += fdt
lib-headers-arm64 += libfdt.h libfdt_env.h fdt.h
lib-headers-y += liburing.h liburing
lib-headers-y += zlib.h zconf.h lzma.h lzma zstd.h zstd_errors.h lz4.h

objects := $(sort $(obj-y) $(obj-$(ARCH)) \
	gen/device-types.o gen/payload-table.o gen/payload-data.o gen/init-data.o)
# Image parsers and devices of every port, for the unit tests: sanitizers see them on any machine.
test-objects := $(sort $(filter guest/% term/% platform/% gen/%,$(obj-x86) $(obj-arm64)) \
	guest/init/order.o guest/init/path.o)
# And for the fuzz targets, what describes a machine to its guest: of KVM they need no more than the headers. A machine
# of theirs is none that can be saved.
fuzz-objects := x86/acpi.o x86/aml.o arm/fdt.o arm/dtb.o machine-state-none.o
devices := $(device-y) $(device-$(ARCH))
unpackers := $(unpacker-y)
disk-formats := $(disk-format-y)
codecs := $(qcow2-codec-y)
payloads := $(if $(filter y,$(CONFIG_PAYLOADS)),$(payload-y) $(payload-$(ARCH)))
libs := $(sort $(lib-y) $(lib-$(ARCH)))
# The unit tests pack, by every library, whatever Kconfig keeps.
test-libs := $(filter-out $(libs),z lzma zstd lz4)
lib-headers := $(strip $(lib-headers-y) $(lib-headers-$(ARCH)))
tests-in = $(patsubst %.c,$(BUILD)/%,$(wildcard $1/*.c $1/$(ARCH)/*.c))
unit-tests := $(call tests-in,tests/unit)
payload-tests := $(call tests-in,tests/payload)
lab-programs := $(call tests-in,tests/lab)
fuzz-targets := $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(wildcard tests/fuzz/*.c))

# ---------------------------------------------------------------------------------------------
# 3. Flags. CFLAGS and LDFLAGS are the user's, ours stand before them.

CFLAGS ?= $(if $(CONFIG_CC_OPTIMIZE_FOR_SIZE),-Os,-O2) -g
# What runs once in a VM's life is small rather than fast: a start then touches fewer pages.
once := $(addsuffix /%,arm cmd control guest hvt platform term x86) main.o machine%
once-flags = $(if $(filter file,$(origin CFLAGS)),$(if $(filter $(once),$*.o),-Os))
warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	$(if $(filter 1,$(WERROR)),-Werror)
base-flags := -std=gnu17 $(warnings) -fstack-protector-strong -D_GNU_SOURCE -I. -pthread -ffunction-sections -fdata-sections
sanitize-flags := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
	$(if $(findstring undefined,$(SANITIZE)),-fno-sanitize-recover=undefined))
cc-flags := $(strip $(base-flags) $(CFLAGS) $(sanitize-flags))
ld-flags := $(strip -pthread -Wl,--gc-sections,-z,relro,-z,now $(sanitize-flags) $(LDFLAGS))
dep-flags = -MMD -MP -MF $(@:.o=.d)

# musl, and libraries of another port. A native build has the musl-gcc wrapper and this machine's
# libraries. For another port tests/sysroot unpacks Debian's musl-dev and libraries (or say
# SYSROOT=that/folder). Headers are found through folders of links: all of /usr/include would bring
# glibc's with it (video/ is there for asm/bootparam.h, which wants its edid.h).
uapi-include := $(BUILD)/include/uapi
lib-include := $(BUILD)/include/lib
ifeq ($(ARCH),$(HOSTARCH))
MUSL_CC ?= musl-gcc
multiarch = $(shell gcc -print-multiarch)
uapi = $(addprefix /usr/include/,linux asm-generic video) \
	$(firstword $(wildcard /usr/include/$(multiarch)/asm /usr/include/asm))
lib-dir = /usr/lib/$(multiarch)
lib-inc = /usr/include
link-libs = $(addprefix -l,$(libs))
else
MUSL_CC ?= $(CC)
SYSROOT ?= build/$(ARCH)/sysroot
sysroot = $(SYSROOT)/layout
triple-x86 := x86_64-linux
triple-arm64 := aarch64-linux
uapi = $(addprefix /usr/$(triple-$(ARCH))-gnu/include/,linux asm-generic asm video)
lib-dir = $(SYSROOT)/usr/lib/$(triple-$(ARCH))-gnu
lib-inc = $(abspath $(SYSROOT))/usr/include
link-libs = $(libs:%=$(lib-dir)/lib%.a)
cc-flags += -isystem $(lib-include)
musl-lib = $(SYSROOT)/usr/lib/$(triple-$(ARCH))-musl
musl-system = -nostdinc -isystem $(SYSROOT)/usr/include/$(triple-$(ARCH))-musl \
	-isystem $(shell $(MUSL_CC) -print-file-name=include)
musl-begin = -nostdlib $(addprefix $(musl-lib)/,crt1.o crti.o)
musl-end = $(musl-lib)/libc.a $(shell $(MUSL_CC) -print-libgcc-file-name) \
	$(addprefix $(musl-lib)/,libc.a crtn.o)
endif
musl-flags = $(strip $(musl-system) -isystem $(uapi-include) -isystem $(lib-include) \
	$(base-flags) $(CFLAGS))

# Payloads know no operating system, and neither musl, glibc nor a sanitizer.
payload-flags-x86 := -mno-red-zone -mgeneral-regs-only -mcmodel=small
# The MMU is off: all memory is a device's, which takes no unaligned access.
payload-flags-arm64 := -mgeneral-regs-only -mstrict-align
payload-flags := -std=gnu17 $(warnings) -I. -Os -ffreestanding -fno-pic -fno-stack-protector \
	-fno-asynchronous-unwind-tables $(payload-flags-$(ARCH))
# (-static is no PIE already; clang warns of a -no-pie beside it)
payload-ld-flags := -nostdlib -static -s -Wl,--build-id=none -Wl,-z,norelro \
	-Wl,-z,noexecstack,-z,max-page-size=16

# The embedded init is as small as can be: it is in every guest's memory, unpacked at each start.
init-flags = $(strip $(musl-system) -isystem $(uapi-include) -std=gnu17 $(warnings) -D_GNU_SOURCE -I. \
	-Os -fno-stack-protector -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections)
init-ld-flags := -static -s -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,noexecstack,-z,norelro

# Only cmd/version.o knows the version: a commit must not rebuild everything.
commit := $(if $(wildcard .git),$(shell git rev-parse --short HEAD 2>/dev/null))
version := $(VERSION)$(if $(commit),-g$(commit))
$(obj)/cmd/version.o $(musl)/cmd/version.o: private extra-flags = -DLKVM_VERSION='"$(version)"'

PREFIX ?= /usr/local

# Stamps: a file that holds what something was made with and is rewritten when that changes.
# Each is compared while this file is read, so that a build with nothing to do starts nothing.
stamp = $(if $(call same,$(file <$1),$($2)),,FORCE) | $(dir $1)
same = $(and $(findstring x$(strip $1)x,x$(strip $2)x),$(findstring x$(strip $2)x,x$(strip $1)x))

comma := ,

made-cc = $(CC) $(cc-flags)
made-musl = $(MUSL_CC) $(musl-flags)
made-payload = $(CC) $(payload-flags) $(payload-ld-flags)
made-init = $(MUSL_CC) $(init-flags) $(init-ld-flags) $(init-y)
made-link = $(objects) $(link-libs) $(ld-flags)
made-tables = $(devices) / $(unpackers) / $(disk-formats) / $(codecs) / $(payloads)
made-version = $(version)
made-pc = $(PREFIX) $(VERSION) $(libs)

stamps := $(BUILD)/stamp
$(stamps)/cc: $(call stamp,$(stamps)/cc,made-cc)
$(stamps)/musl: $(call stamp,$(stamps)/musl,made-musl)
$(stamps)/payload: $(call stamp,$(stamps)/payload,made-payload)
$(stamps)/init: $(call stamp,$(stamps)/init,made-init)
$(stamps)/link: $(call stamp,$(stamps)/link,made-link)
$(stamps)/tables: $(call stamp,$(stamps)/tables,made-tables)
$(stamps)/version: $(call stamp,$(stamps)/version,made-version)
$(stamps)/pc: $(call stamp,$(stamps)/pc,made-pc)
$(stamps)/%:
	@printf '%s\n' '$(subst ','\'',$(made-$*))' > $@

.PHONY: FORCE
FORCE:

%/:
	@mkdir -p $@

# ---------------------------------------------------------------------------------------------
# 4. The binaries

.PHONY: lkvm static
lkvm: $(BUILD)/lkvm			## build/lkvm, what plain `make` builds
static: $(BUILD)/lkvm-static		## build/lkvm-static, linked against musl

glibc-objects := $(addprefix $(obj)/,$(objects))
library-objects := $(filter-out %/main.o $(obj)/cmd/%,$(glibc-objects)) $(addprefix $(obj)/,$(library-y))
musl-objects := $(addprefix $(musl)/,$(objects))

$(BUILD)/lkvm: $(glibc-objects) $(stamps)/link
	$(call say,LINK,$@)
	$(Q)$(CC) $(cc-flags) $(ld-flags) -o $@ $(glibc-objects) $(link-libs)

$(BUILD)/lkvm-static: $(musl-objects) $(stamps)/link
	$(call say,LINK,$@)
	$(Q)$(MUSL_CC) -static -Wl,--gc-sections $(CFLAGS) $(LDFLAGS) -o $@ $(musl-begin) $(musl-objects) \
		$(libs:%=$(lib-dir)/lib%.a) $(musl-end)

# For programs of others: one object, in which nothing but the library's API can be seen, its header beside it,
# and how both are used.
.PHONY: lib
lib: $(BUILD)/liblkvm.a $(BUILD)/lkvm.h $(BUILD)/lkvm.pc	## build/liblkvm.a and lkvm.h: VMs in a program of yours
	$(if $(SANITIZE),,@echo "  link with: $(pc-libs)")

pc-libs = -llkvm $(addprefix -l,$(libs)) -pthread

$(BUILD)/liblkvm.a: $(library-objects) $(stamps)/link
	$(call say,LIB,$@)
	$(Q)$(CC) -r -nostdlib -o $(obj)/liblkvm.o $(library-objects)
	$(Q)$(OBJCOPY) --wildcard --keep-global-symbol='lkvm_*' $(obj)/liblkvm.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(obj)/liblkvm.o

$(BUILD)/lkvm.h: lib/lkvm.h
	$(Q)cp $< $@

$(BUILD)/lkvm.pc: $(stamps)/pc Makefile
	@printf '%s\n' 'prefix=$(PREFIX)' 'Name: lkvm' 'Description: virtual machines inside a program, on KVM' \
		'Version: $(VERSION)' 'Cflags: -I$${prefix}/include' 'Libs: -L$${prefix}/lib $(pc-libs)' > $@

# What tests link with: everything but main().
$(BUILD)/liblkvm-core.a: $(filter-out %/main.o,$(sort $(glibc-objects) $(library-objects) $(addprefix $(obj)/,$(test-objects)))) $(stamps)/link
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(obj)/%.o: %.c $(stamps)/cc Makefile | $(if $(sysroot),$(BUILD)/include/linked)
	$(call say,CC,$*.o)
	@mkdir -p $(@D)
	$(Q)$(CC) $(cc-flags) $(extra-flags) $(once-flags) $(dep-flags) -c -o $@ $<

$(obj)/gen/%.o: $(gen)/%.c $(stamps)/cc Makefile
	$(call say,CC,gen/$*.o)
	@mkdir -p $(@D)
	$(Q)$(CC) $(cc-flags) $(dep-flags) -c -o $@ $<

$(obj)/gen/%.o: $(gen)/%.S $(stamps)/cc Makefile
	$(call say,AS,gen/$*.o)
	@mkdir -p $(@D)
	$(Q)$(CC) $(cc-flags) -c -o $@ $<

$(musl)/%.o: %.c $(stamps)/musl Makefile | $(BUILD)/include/linked
	$(call say,MUSLCC,$*.o)
	@mkdir -p $(@D)
	$(Q)$(MUSL_CC) $(musl-flags) $(extra-flags) $(once-flags) $(dep-flags) -c -o $@ $<

$(musl)/gen/%.o: $(gen)/%.c $(stamps)/musl Makefile | $(BUILD)/include/linked
	$(call say,MUSLCC,gen/$*.o)
	@mkdir -p $(@D)
	$(Q)$(MUSL_CC) $(musl-flags) $(dep-flags) -c -o $@ $<

$(musl)/gen/%.o: $(gen)/%.S $(stamps)/musl Makefile
	$(call say,MUSLAS,gen/$*.o)
	@mkdir -p $(@D)
	$(Q)$(MUSL_CC) $(musl-flags) -c -o $@ $<

$(BUILD)/include/linked: Makefile $(sysroot)
	$(Q)mkdir -p $(uapi-include) $(lib-include)
	$(Q)ln -sfn $(uapi) $(uapi-include)/
	$(Q)$(if $(lib-headers),ln -sfn $(addprefix $(lib-inc)/,$(lib-headers)) $(lib-include)/)
	$(Q)touch $@

build/$(ARCH)/sysroot/layout: tests/sysroot
	$(call say,FETCH,$(@D))
	$(Q)tests/sysroot $(ARCH) $(@D) >/dev/null && touch $@

$(obj)/cmd/version.o $(musl)/cmd/version.o: $(stamps)/version

# ---------------------------------------------------------------------------------------------
# 5. What is generated: the tables of device types, unpackers and payloads

$(gen)/device-types.c: $(stamps)/tables Makefile | $(gen)/
	$(call say,GEN,$@)
	@{ echo '/* Generated by the Makefile from the device-y list. */'; \
	echo '#include "vm/device.h"'; \
	for d in $(devices); do echo "extern const struct device_type $${d}_type;"; done; \
	echo 'const struct device_type *const device_types[] = {'; \
	for d in $(devices); do echo "	&$${d}_type,"; done; \
	echo '	NULL'; echo '};'; } > $@

$(gen)/unpackers.c: $(stamps)/tables Makefile | $(gen)/
	$(call say,GEN,$@)
	@{ echo '/* Generated by the Makefile from the unpacker-y list. */'; \
	echo '#include "guest/unpack.h"'; \
	for u in $(unpackers); do echo "extern const struct unpacker $${u}_unpacker;"; done; \
	echo 'const struct unpacker *const unpackers[] = {'; \
	for u in $(unpackers); do echo "	&$${u}_unpacker,"; done; \
	echo '	NULL'; echo '};'; } > $@

$(gen)/disk-formats.c: $(stamps)/tables Makefile | $(gen)/
	$(call say,GEN,$@)
	@{ echo '/* Generated by the Makefile from the disk-format-y and qcow2-codec-y lists. */'; \
	echo '#include "host/qcow2.h"'; \
	for f in $(disk-formats); do echo "extern const struct disk_format $${f}_format;"; done; \
	echo 'const struct disk_format *const disk_formats[] = {'; \
	for f in $(disk-formats); do echo "	&$${f}_format,"; done; \
	echo '	NULL'; echo '};'; \
	for c in $(codecs); do echo "extern const struct qcow2_codec qcow2_$$c;"; done; \
	echo 'const struct qcow2_codec *const qcow2_codecs[] = {'; \
	for c in $(codecs); do echo "	&qcow2_$$c,"; done; \
	echo '	NULL'; echo '};'; } > $@

# A name may hold a dash, a symbol may not.
symbol-of = payload_$(subst -,_,$1)

$(gen)/payload-table.c: $(stamps)/tables Makefile | $(gen)/
	$(call say,GEN,$@)
	@{ echo '/* Generated by the Makefile from the payload-y list. */'; \
	echo '#include <stddef.h>'; \
	echo '#include "guest/payloads.h"'; \
	$(foreach p,$(payloads),echo 'extern const char $(call symbol-of,$p)[], $(call symbol-of,$p)_end[];';) \
	echo 'const struct payload payloads[] = {'; \
	$(foreach p,$(payloads),echo '	{ "$p", $(call symbol-of,$p), $(call symbol-of,$p)_end },';) \
	echo '	{ NULL, NULL, NULL }'; echo '};'; } > $@

$(gen)/payload-data.S: $(stamps)/tables Makefile | $(gen)/
	$(call say,GEN,$@)
	@{ echo '/* Generated by the Makefile from the payload-y list. */'; \
	echo '	.section .rodata'; \
	$(foreach p,$(payloads),echo '	.balign 16'; \
		echo '	.globl $(call symbol-of,$p), $(call symbol-of,$p)_end'; \
		echo '$(call symbol-of,$p):'; \
		echo '	.incbin "$(BUILD)/payload/$p.elf"'; \
		echo '$(call symbol-of,$p)_end:';) \
	echo '	.section .note.GNU-stack,"",%progbits'; } > $@

payload-elfs := $(patsubst %,$(BUILD)/payload/%.elf,$(payloads))
test-payloads := $(test-payload-y) $(test-payload-$(ARCH))
test-payload-elfs := $(patsubst %,$(BUILD)/payload/%.elf,$(test-payloads))
payload-src := guest/payload/$(ARCH)
payload-obj := $(BUILD)/payload/obj
payload-common := $(payload-obj)/start.o $(payload-obj)/lib.o
# A library: a payload is linked with what it calls, and the small ones stay small.
payload-lib := $(addprefix $(payload-obj)/,machine.o crew.o driver.o pci.o)

$(obj)/gen/payload-data.o $(musl)/gen/payload-data.o: $(payload-elfs)

$(payload-elfs) $(test-payload-elfs): $(BUILD)/payload/%.elf: $(payload-obj)/%.o $(payload-common) $(payload-obj)/lib.a $(payload-src)/payload.lds
	$(call say,PAYLOAD,$*.elf)
	$(Q)$(CC) $(payload-ld-flags) -Wl,-T,$(payload-src)/payload.lds -o $@ $(filter %.o %.a,$^)

$(payload-obj)/lib.a: $(payload-lib)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(payload-obj)/%.o: guest/payload/%.c $(stamps)/payload Makefile | $(payload-obj)/
	$(call say,CC,$<)
	$(Q)$(CC) $(payload-flags) $(dep-flags) -c -o $@ $<

$(payload-obj)/%.o: $(payload-src)/%.c $(stamps)/payload Makefile | $(payload-obj)/
	$(call say,CC,$<)
	$(Q)$(CC) $(payload-flags) $(dep-flags) -c -o $@ $<

$(payload-obj)/%.o: $(payload-src)/%.S $(stamps)/payload Makefile | $(payload-obj)/
	$(call say,AS,$<)
	$(Q)$(CC) $(payload-flags) $(dep-flags) -c -o $@ $<

$(gen)/init-data.S: $(stamps)/init Makefile | $(gen)/
	$(call say,GEN,$@)
	@{ echo '/* Generated by the Makefile: the embedded init, or nothing without CONFIG_EXEC. */'; \
	echo '	.section .rodata'; \
	echo '	.balign 16'; \
	echo '	.globl exec_init, exec_init_size'; \
	echo 'exec_init:'; \
	$(if $(init-y),echo '	.incbin "$(init-y)"';) \
	echo '1:	.balign 8'; \
	echo 'exec_init_size: .quad 1b - exec_init'; \
	echo '	.section .note.GNU-stack,"",%progbits'; } > $@

init-objects := $(patsubst guest/%.c,$(BUILD)/%.o,$(wildcard guest/init/*.c))

$(obj)/gen/init-data.o $(musl)/gen/init-data.o: $(init-y)

$(BUILD)/init/init: $(init-objects) $(stamps)/init
	$(call say,INIT,$@)
	$(Q)$(MUSL_CC) $(init-ld-flags) -o $@ $(musl-begin) $(init-objects) $(musl-end)

$(BUILD)/init/%.o: guest/init/%.c $(stamps)/init Makefile | $(BUILD)/include/linked
	$(call say,MUSLCC,init/$*.o)
	@mkdir -p $(@D)
	@command -v $(firstword $(MUSL_CC)) >/dev/null || { echo '$(firstword $(MUSL_CC)) builds what is inside the' \
		'guest: install musl-tools, or leave out CONFIG_EXEC' >&2; exit 1; }
	$(Q)$(MUSL_CC) $(init-flags) $(dep-flags) -c -o $@ $<

# ---------------------------------------------------------------------------------------------
# 6. Tests: every tests/unit/*.c, tests/payload/*.c and tests/lab/*.c is a program of its own

.PHONY: tests check bars check-asan check-tsan layers
tests: $(unit-tests) $(payload-tests) $(lab-programs)	## the test programs, build/tests/

$(unit-tests) $(payload-tests) $(lab-programs): $(BUILD)/tests/%: $(obj)/tests/%.o $(BUILD)/liblkvm-core.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(cc-flags) $(ld-flags) -o $@ $^ $(link-libs) $(test-libs:%=-L$(lib-dir) -l%)

# The library's example, as somebody else would build it, who has no more than these files.
example := $(BUILD)/two-vms
$(example): docs/two-vms.c $(BUILD)/liblkvm.a $(BUILD)/lkvm.h
	$(call say,CC,$@)
	$(Q)$(CC) -std=c11 -pedantic $(warnings) $(CFLAGS) $(sanitize-flags) -I$(BUILD) $(LDFLAGS) -o $@ $< \
		$(BUILD)/liblkvm.a $(link-libs) -pthread

# Images of ours, one for each way into a machine: guests that lkvm is told to run, and no part of it.
images-x86 := multiboot.elf multiboot.bin multiboot64.elf pvh.elf linux64.elf raw.bin
test-images := $(addprefix $(BUILD)/images/,$(images-$(ARCH)))
image-src := tests/images/$(ARCH)
image-flags := -std=gnu17 $(warnings) -Os -ffreestanding -fno-pic -fno-stack-protector \
	-fno-asynchronous-unwind-tables -mgeneral-regs-only -mno-red-zone
image-ld := -nostdlib -static -Wl,--build-id=none -Wl,-z,noexecstack,-z,max-page-size=4096,--no-warn-rwx-segments

# $(call image,CC-FLAGS,LINKER-FLAGS)
image = $(Q)mkdir -p $(@D) && $(CC) $(image-flags) $1 $(image-ld) -Wl,-T,$(filter %.lds,$^) $2 -o $@ $(filter %.S %.c,$^)
image-all := $(addprefix $(image-src)/,start.S main.c image.lds) Makefile $(stamps)/payload

$(BUILD)/images/multiboot.elf: $(image-all)
	$(call say,IMAGE,$@)
	$(call image,-m32 -DMULTIBOOT,)

$(BUILD)/images/multiboot.bin: $(image-all)
	$(call say,IMAGE,$@)
	$(call image,-m32 -DMULTIBOOT -DADDRESSES,-Wl$(comma)--oformat=binary)

$(BUILD)/images/pvh.elf32: $(image-all)
	$(call image,-m32 -DPVH,)

$(BUILD)/images/linux64.elf: $(image-all)
	$(call say,IMAGE,$@)
	$(call image,-mcmodel=small -DLINUX64,)

$(BUILD)/images/raw.bin: $(image-src)/raw.S $(image-src)/raw.lds Makefile $(stamps)/payload
	$(call say,IMAGE,$@)
	$(call image,-m32,-Wl$(comma)--oformat=binary)

# 32-bit code in an ELF64 file, which is how most such kernels come.
$(BUILD)/images/multiboot64.elf: $(BUILD)/images/multiboot.elf
$(BUILD)/images/pvh.elf: $(BUILD)/images/pvh.elf32
$(BUILD)/images/multiboot64.elf $(BUILD)/images/pvh.elf:
	$(call say,IMAGE,$@)
	$(Q)$(CROSS_COMPILE)objcopy -I elf32-i386 -O elf64-x86-64 $< $@

# Plain and static: what is measured against must cost as little as can be.
bench-programs := $(patsubst tests/%.c,$(BUILD)/%,$(wildcard tests/bench/*.c tests/bench/$(ARCH)/*.c))
# And what runs in the labs' guests.
lab-guest-programs := $(patsubst tests/%.c,$(BUILD)/%,$(wildcard tests/lab/guest/*.c))
$(bench-programs): $(wildcard tests/bench/$(ARCH)/*.h)
$(bench-programs) $(lab-guest-programs): $(BUILD)/%: tests/%.c $(stamps)/musl Makefile | $(BUILD)/include/linked
	$(call say,MUSLCC,$@)
	@mkdir -p $(@D)
	$(Q)$(MUSL_CC) -static $(musl-flags) -s -o $@ $(musl-begin) $< $(musl-end)

# The arm64 lab's 32-bit guests have the same, by Debian's compiler where it is installed.
cross-armhf := arm-linux-gnueabihf-
lab-guest-programs32 := $(patsubst tests/lab/guest/%.c,$(BUILD)/lab/guest32/%,$(wildcard tests/lab/guest/*.c))
$(lab-guest-programs32): $(BUILD)/lab/guest32/%: tests/lab/guest/%.c Makefile
	$(call say,CC32,$@)
	@mkdir -p $(@D)
	$(Q)$(cross-armhf)gcc -std=gnu17 -O2 -D_GNU_SOURCE -Wall -Wextra -static -s -o $@ $<

# Solo5 images, for the payload tests: their segments begin at pages, of the largest size there is.
hvt-guests := $(patsubst tests/payload/hvt/%.c,$(BUILD)/hvt/%.hvt,$(wildcard tests/payload/hvt/*.c))
hvt-ld-flags = $(payload-ld-flags) -Wl,-z,max-page-size=$(if $(filter arm64,$(ARCH)),0x10000,0x1000)
$(hvt-guests): $(BUILD)/hvt/%.hvt: $(BUILD)/hvt/%.o $(BUILD)/hvt/start.o tests/payload/hvt/guest.lds
	$(call say,HVT,$@)
	$(Q)$(CC) $(hvt-ld-flags) -Wl,-T,tests/payload/hvt/guest.lds -o $@ $(filter %.o,$^)

$(BUILD)/hvt/%.o: tests/payload/hvt/%.c $(stamps)/payload Makefile | $(BUILD)/hvt/
	$(call say,CC,$<)
	$(Q)$(CC) $(payload-flags) $(dep-flags) -c -o $@ $<

$(BUILD)/hvt/%.o: tests/payload/hvt/%.S $(stamps)/payload Makefile | $(BUILD)/hvt/
	$(call say,AS,$<)
	$(Q)$(CC) $(payload-flags) $(dep-flags) -c -o $@ $<

# musl has no sanitizers.
.PHONY: under-test
binaries := $(BUILD)/lkvm $(if $(SANITIZE),,$(BUILD)/lkvm-static $(bench-programs))
under-test: $(binaries) $(BUILD)/lkvm.pc $(example) $(test-payload-elfs) $(hvt-guests) $(unit-tests) $(payload-tests) $(lab-programs) $(lab-guest-programs) $(test-images)
ifeq ($(ARCH)$(shell command -v $(cross-arm64)gcc >/dev/null && echo +cross),x86+cross)
under-test: under-test-arm64
endif

ifeq ($(ARCH)$(shell command -v $(cross-armhf)gcc >/dev/null && echo +cross),arm64+cross)
under-test: $(lab-guest-programs32)
endif

.PHONY: under-test-arm64
under-test-arm64:
	$(Q)+$(MAKE) --no-print-directory ARCH=arm64 BUILD=$(BUILD)/arm64 CC=$(cross-arm64)gcc \
		CROSS_COMPILE=$(cross-arm64) SYSROOT=build/arm64/sysroot under-test

# Always clang's, whatever CC is, in a build of their own: each tests/fuzz/*.c is a program. What is in
# lib/ stands in for threads and time.
CLANG ?= clang
.PHONY: fuzz fuzz-programs fuzz-if-possible
fuzz:					## the fuzz targets, build/fuzz/ (by clang); tests/fuzz/run runs them
	$(if $(filter-out $(HOSTARCH),$(ARCH)),$(error make fuzz is for this machine: ARCH=$(HOSTARCH)))
	$(Q)+$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=$(CLANG) \
		SANITIZE=fuzzer-no-link,address,undefined fuzz-programs

fuzz-programs: $(fuzz-targets)

fuzz-common := $(patsubst %.c,$(obj)/%.o,$(wildcard tests/fuzz/lib/*.c)) \
	$(addprefix $(obj)/,$(fuzz-objects))
fuzz-libs := $(addprefix -l,$(sort $(libs) $(test-libs) fdt))

$(fuzz-targets): $(BUILD)/%: $(obj)/tests/fuzz/%.o $(fuzz-common) $(BUILD)/liblkvm-core.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(cc-flags) $(ld-flags) -fsanitize=fuzzer -o $@ $^ $(fuzz-libs)

# For who calls for all tests: where there is a clang that can.
fuzz-if-possible:
	$(Q)+if [ -e "$$($(CLANG) -print-runtime-dir 2>/dev/null)/libclang_rt.fuzzer-$$(uname -m).a" ] && \
		echo '#include <libfdt.h>' | $(CLANG) -E - >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory fuzz; fi

# (A sanitizer's build has no use for it.)
check: under-test $(if $(SANITIZE),,fuzz-if-possible)	## run everything this machine can run (short)
	$(Q)KINDLING_BUILD=$(BUILD) tests/run

bars: under-test fuzz-if-possible	## the full counts and the measured ratios (long)
	$(Q)KINDLING_BUILD=$(BUILD) tests/bars

check-asan:				## the same as check, with address and undefined sanitizers
	$(Q)+$(MAKE) BUILD=$(BUILD)/asan SANITIZE=address,undefined check

check-tsan:				## the same as check, with the thread sanitizer
	$(Q)+$(MAKE) BUILD=$(BUILD)/tsan SANITIZE=thread check

layers: $(BUILD)/lkvm			## who includes whom, and how long each folder is
	$(Q)tests/layers

# ---------------------------------------------------------------------------------------------
# 7. Options

.PHONY: menuconfig defconfig tinyconfig
need = @command -v $1 >/dev/null || { echo '$@ needs $1: apt install kconfig-frontends' >&2; exit 1; }

menuconfig:				## choose options, into .config
	$(call need,kconfig-mconf)
	@test -f .config || cp configs/default .config
	$(Q)KCONFIG_CONFIG=.config kconfig-mconf Kconfig

defconfig: from := configs/default
defconfig:				## .config with everything
tinyconfig: from := configs/tiny
tinyconfig:				## .config with what boots on a serial console, no more
defconfig tinyconfig:
	$(call need,kconfig-conf)
	$(Q)KCONFIG_CONFIG=.config kconfig-conf --defconfig=$(from) Kconfig

# ---------------------------------------------------------------------------------------------
# 8. Documents, installing, cleaning

.PHONY: docs install install-lib uninstall clean distclean format format-check help
bindir := $(DESTDIR)$(PREFIX)/bin
mandir := $(DESTDIR)$(PREFIX)/share/man
compdir := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
incdir := $(DESTDIR)$(PREFIX)/include
libdir := $(DESTDIR)$(PREFIX)/lib

# Checked in, so that a cross build has them too. Written aside first: a failure must leave the old.
docs: $(BUILD)/lkvm			## write docs/lkvm.1 and docs/lkvm.bash from the binary's own tables
	$(if $(filter-out $(HOSTARCH),$(ARCH)),$(error make docs runs the binary: only for ARCH=$(HOSTARCH) here))
	$(call say,GEN,docs/lkvm.1 docs/lkvm.bash)
	$(Q)$(BUILD)/lkvm help --mdoc > $(BUILD)/lkvm.1 && mv $(BUILD)/lkvm.1 docs/lkvm.1
	$(Q)$(BUILD)/lkvm help --bash > $(BUILD)/lkvm.bash && mv $(BUILD)/lkvm.bash docs/lkvm.bash

install: $(BUILD)/lkvm			## to DESTDIR/PREFIX (/usr/local): binary, man page, bash completion
	install -D -m 755 $(BUILD)/lkvm $(bindir)/lkvm
	install -D -m 644 docs/lkvm.1 $(mandir)/man1/lkvm.1
	install -D -m 644 docs/lkvm-arm64.7 $(mandir)/man7/lkvm-arm64.7
	install -D -m 644 docs/lkvm.bash $(compdir)/lkvm

install-lib: lib			## to the same place: library, header, pkg-config file
	install -D -m 644 $(BUILD)/liblkvm.a $(libdir)/liblkvm.a
	install -D -m 644 $(BUILD)/lkvm.h $(incdir)/lkvm.h
	install -D -m 644 $(BUILD)/lkvm.pc $(libdir)/pkgconfig/lkvm.pc

uninstall:				## what install and install-lib put there
	rm -f $(bindir)/lkvm $(mandir)/man1/lkvm.1 $(mandir)/man7/lkvm-arm64.7 $(compdir)/lkvm
	rm -f $(libdir)/liblkvm.a $(incdir)/lkvm.h $(libdir)/pkgconfig/lkvm.pc

# build/lab is the lab's (kernels, initrds): it is slow to make, and only distclean takes it.
clean:					## what was built; kernels fetched for the lab stay
	$(Q)if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name lab -exec rm -rf {} +; fi

distclean:				## everything that is not in git's care: build/ and .config
	$(Q)rm -rf build .config .config.old

CLANG_FORMAT ?= clang-format
format:					## clang-format every C file in git
	$(Q)git ls-files '*.c' '*.h' | xargs -r $(CLANG_FORMAT) -i

format-check:				## say which C files in git are not formatted
	$(Q)git ls-files '*.c' '*.h' | xargs -r $(CLANG_FORMAT) --dry-run -Werror

help:					## this list
	@sed -n 's/^\([a-z-]*\):[^#]*##[[:space:]]*/\1\t/p' Makefile | while IFS='	' read -r t h; do \
		printf '  %-14s %s\n' "$$t" "$$h"; done
	@echo 'Variables: ARCH=$(ARCH) CROSS_COMPILE= CC=$(CC) CONFIG=$(CONFIG) V=1 WERROR=1 DESTDIR= PREFIX='

# ---------------------------------------------------------------------------------------------
# 9. What each object was made from, as the compiler wrote it down

-include $(patsubst %.o,%.d,$(glibc-objects) $(library-objects) $(musl-objects) $(addprefix $(obj)/,$(test-objects)))
-include $(patsubst $(BUILD)/%,$(obj)/%.d,$(unit-tests) $(payload-tests) $(lab-programs))
-include $(patsubst $(BUILD)/%,$(obj)/tests/fuzz/%.d,$(fuzz-targets)) $(fuzz-common:.o=.d)
-include $(init-objects:.o=.d)
-include $(hvt-guests:.hvt=.d)
-include $(payload-common:.o=.d) $(payload-lib:.o=.d) $(patsubst %,$(payload-obj)/%.d,$(payloads) $(test-payloads))
