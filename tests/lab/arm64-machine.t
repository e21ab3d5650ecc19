#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The machine is what it says: its device tree is well-formed, agrees with docs/lkvm-arm64.7 and arm/map.h,
# and a bare-metal program for QEMU's virt prints the same on both.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
command -v dtc >/dev/null || skip_all "device-tree-compiler is not installed"
cd "$top" || exit 1
page=docs/lkvm-arm64.7
build=${KINDLING_ARM64:-build/arm64}
lkvm=$build/lkvm-static
[ -x "$lkvm" ] || lkvm=$build/lkvm
truncate -s 1M "$LAB_OUT/disk"

# Each tree in one lab run: the options are the words after its name.
trees="v2:--irqchip gicv2 -c 8
v3:-c 2 --pmu -m 3G --rng --console virtio -d $LAB_OUT/disk
its:--irqchip gicv3-its
pci:--virtio-transport pci --rng
lines:--virtio-transport pci --rng --irqchip gicv3
v2m:--virtio-transport pci --rng --irqchip gicv2m
uart:-p console=ttyS0
many:-c 130 -m 64M"
wanted="v3 its pci lines uart many"

rm -f "$LAB_OUT"/*.dtb "$LAB_OUT"/*.dts
cat >"$LAB_OUT/dump" <<END
while IFS=: read -r name options; do
	timeout 60 $lkvm run --payload exit \$(echo "\$options" | sed "s|$LAB_OUT|/tmp/out|") --dump-dtb /tmp/out/\$name.dtb </dev/null
done <<'LIST'
$trees
LIST
$lkvm run --payload hello </dev/null >/tmp/out/hello.lkvm
END
for gic in 2 3; do
	tests/lab/lab arm64 --gic $gic --timeout 100 -- sh /tmp/out/dump >"$LAB_OUT/log$gic" 2>&1
	report $? "trees are dumped on a GICv$gic"
done

# A processor whose EL1 is 64-bit only.
tests/lab/lab arm64 --cpu cortex-a76 --timeout 60 -- "$lkvm" run --payload exit --aarch32 >"$LAB_OUT/only64" 2>&1
is $? 125 "a 32-bit guest is refused where EL1 is 64-bit only"
like "$LAB_OUT/only64" "lacks KVM_CAP_ARM_EL1_32BIT" "by the capability's name"

# Unit addresses of the tree, but for the CPUs, which are numbers.
addresses() { grep -v 'cpu@' "$1" | sed -n 's/^.*@\([0-9a-f]*\) {.*/\1/p'; }
for name in v2 v2m $wanted; do
	check "$name: dtc accepts the tree" dtc -q -I dtb -O dts -o "$LAB_OUT/$name.dts" "$LAB_OUT/$name.dtb"
	is "$(dtc -I dtb -O dtb -o /dev/null "$LAB_OUT/$name.dtb" 2>&1)" "" "$name: without a warning"
	strange=
	for address in $(addresses "$LAB_OUT/$name.dts"); do
		case $address in a000[0-9a-f]00) address=a000000 ;; esac
		grep -q "^0x$address " $page || strange="$strange $address"
		tr -d '_' <arm/map.h | grep -qi "0x0*$address" || strange="$strange $address(map.h)"
	done
	is "$strange" "" "$name: each of its addresses is in $page and in arm/map.h"
done

# What the page says of sizes and interrupts.
has() { tr -d '\n\t' <"$LAB_OUT/$1.dts" | grep -q -- "$2"; report $? "$1: $3"; }
has v3 'pl011@9000000 {[^}]*interrupts = <0x00 0x01 0x04>' "the PL011 is SPI 1, level"
has v3 'pl031@9010000 {[^}]*interrupts = <0x00 0x02 0x04>' "the PL031 is SPI 2"
has v3 'serial@1000000 {[^}]*interrupts = <0x00 0x0a 0x04>' "the 16550A is SPI 10"
has v3 'virtio_mmio@a000000 {[^}]*interrupts = <0x00 0x10 0x01>' "virtio's first slot is SPI 16, edge"
has v3 'virtio_mmio@a000400 {[^}]*interrupts = <0x00 0x12 0x01>' "its third is SPI 18"
has v3 'stdout-path = "/pl011@9000000"' "stdout-path is the PL011"
has uart 'stdout-path = "/serial@1000000"' "or the 16550A, where the command line says so"
has v3 'memory@40000000 {[^}]*reg = <0x00 0x40000000 0x00 0xc0000000>' "memory is 3 GiB"
has v3 'pmu {' "a PMU that was asked for"
has v2 'reg = <0x00 0x8000000 0x00 0x10000 0x00 0x8010000 0x00 0x10000>' "the GICv2's two regions"
has v2 'interrupts = <0x01 0x0d 0xff04' "PPIs name 8 CPUs"
has its 'msi-controller@8080000' "the ITS"
has many '#redistributor-regions = <0x02>' "two redistributor regions for 130 CPUs"
has many 'cpu@701 {' "CPU 113 has affinity 7.1"

# As it was written, on QEMU's own machine, and on ours.
timeout 60 qemu-system-aarch64 -M virt -cpu cortex-a72 -display none -serial stdio -kernel "$build/payload/hello.elf" \
	>"$LAB_OUT/hello.qemu" 2>&1 </dev/null
check "a bare-metal program prints the same in QEMU and here" cmp "$LAB_OUT/hello.qemu" "$LAB_OUT/hello.lkvm"
like "$LAB_OUT/hello.lkvm" "Hello from inside" "and it does print"
check "mandoc has no complaint of $page" sh -c "! command -v mandoc >/dev/null || ! mandoc -Tlint -Wwarning $page | grep ."
done_testing
