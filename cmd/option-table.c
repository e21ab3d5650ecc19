/* SPDX-License-Identifier: MIT */
/* The one table of options, and what each does with its value. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "cmd/front.h"
#include "cmd/options.h"
#include "util/number.h"
#include "util/util.h"
#include "virtio/vsock.h"

/* ---- Values ---- */

static int set_count(const char *option, const char *value, unsigned int *out, struct err *err)
{
	const char *end;
	uint64_t n;

	if (number_parse(value, &n, &end) || *end || n > INT32_MAX)
		return err_set(err, EINVAL, "%s %s: not a whole number from 0 to 2147483647",
			       option, value);
	*out = (unsigned int)n;
	return 0;
}

static int set_cpus(struct run_options *o, const char *value, struct err *err)
{
	int rc = set_count("--cpus", value, &o->machine.vm.cpus, err);

	if (!rc && !o->machine.vm.cpus)
		rc = err_set(err, EINVAL, "--cpus 0: a guest needs a CPU");
	return rc;
}

/* B, K, M, G, T, P; kvmtool's default is MiB. */
static int unit_shift(const char *unit)
{
	const char *units = "BKMGTP";
	const char *at;

	if (!*unit)
		return 20;
	at = strchr(units, *unit >= 'a' ? *unit - 'a' + 'A' : *unit);
	if (!at || unit[1])
		return -1;
	return 10 * (int)(at - units);
}

static int set_size(const char *option, const char *value, uint64_t *bytes, struct err *err)
{
	const char *unit;
	uint64_t n;
	int shift;

	if (number_parse(value, &n, &unit) || (shift = unit_shift(unit)) < 0)
		return err_set(err, EINVAL,
			       "%s %s: give a number and B, K, M, G, T or P; 512 means 512M",
			       option, value);
	if (n > (UINT64_MAX / 4) >> shift)
		return err_set(err, EINVAL, "%s %s: more than any host has", option, value);
	*bytes = n << shift;
	if (*bytes % MEM_PAGE)
		return err_set(err, EINVAL, "%s %s: not a multiple of 4 KiB", option, value);
	return 0;
}

static int set_mem(struct run_options *o, const char *value, struct err *err)
{
	struct sysinfo host;
	uint64_t bytes;
	int rc = set_size("--mem", value, &bytes, err);

	if (rc)
		return rc;
	if (bytes < 2 * MIB)
		return err_set(err, EINVAL, "--mem %s is too little: 2M is the least", value);
	/*
	 * Memory is handed out as it is touched: more than the host has may be meant, not far more.
	 */
	if (!sysinfo(&host) && bytes / 8 > (uint64_t)host.totalram * host.mem_unit)
		return err_set(err, ENOMEM, "--mem %s: this host has %llu MiB", value,
			       (unsigned long long)host.totalram * host.mem_unit / MIB);
	o->machine.vm.mem = bytes;
	o->mem_given = true;
	return 0;
}

int option_set_kernel(struct run_options *o, const char *value, struct err *err)
{
	if (o->machine.image.kernel)
		return err_set(err, EINVAL, "two kernels: %s and %s", o->machine.image.kernel,
			       value);
	o->machine.image.kernel = value;
	return 0;
}

static int set_initrd(struct run_options *o, const char *value, struct err *err)
{
	if (o->n_initrds == INITRDS_MAX)
		return err_set(err, E2BIG, "--initrd %s: more than %u of them", value, INITRDS_MAX);
	o->initrds[o->n_initrds++] = value;
	o->machine.image.initrds = o->initrds;
	return 0;
}

static int set_params(struct run_options *o, const char *value, struct err *err)
{
	return options_add_params(o, value, false, err);
}

static int set_console(struct run_options *o, const char *value, struct err *err)
{
	if (!strcmp(value, "serial"))
		o->machine.console = CONSOLE_SERIAL;
	else if (!strcmp(value, "virtio"))
		o->machine.console = CONSOLE_VIRTIO;
	else if (!strcmp(value, "none"))
		o->machine.console = CONSOLE_NONE;
	else
		return err_set(err, EINVAL, "--console %s: it is serial, virtio or none", value);
	return 0;
}

static int set_console_log(struct run_options *o, const char *value, struct err *err)
{
	if (o->console_log)
		return err_set(err, EINVAL, "two console logs: %s and %s", o->console_log, value);
	o->console_log = value;
	return 0;
}

static int set_share_image(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.image.share = *value == '1';
	return 0;
}

static int set_rng(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.rng = *value == '1';
	return 0;
}

static int set_vsock(struct run_options *o, const char *value, struct err *err)
{
	struct machine_config *m = &o->machine;
	const char *rest;
	uint64_t cid;

	if (m->vsock_cid)
		return err_set(err, EINVAL, "--vsock %s: a guest has one address", value);
	if (number_parse(value, &cid, &rest) || cid < VSOCK_CID_MIN || cid > VSOCK_CID_MAX)
		return err_set(err, EINVAL, "--vsock %s: the guest's address is %u to %u", value,
			       VSOCK_CID_MIN, VSOCK_CID_MAX);
	if (*rest && (strncmp(rest, ",uds=", 5) || !rest[5]))
		return err_set(err, EINVAL, "--vsock %s: behind the address only uds=PATH goes",
			       value);
	m->vsock_cid = (uint32_t)cid;
	m->vsock_path = *rest ? rest + 5 : NULL;
	return 0;
}

static int set_balloon(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.balloon = *value == '1';
	return 0;
}

static int set_balloon_target(struct run_options *o, const char *value, struct err *err)
{
	o->machine.balloon = true;
	return set_size("--balloon-target", value, &o->machine.balloon_target, err);
}

static int set_nodefaults(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->nodefaults = *value == '1';
	return 0;
}

static int set_name(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->name = value;
	return 0;
}

static int set_dev(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.vm.dev = value;
	return 0;
}

static int set_irqchip(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.vm.irqchip = value;
	return 0;
}

int option_set_transport(struct run_options *o, const char *value, struct err *err)
{
	o->machine.virtio_pci = !strcmp(value, "pci");
	o->transport_given = strcmp(value, "auto") != 0;
	if (o->machine.virtio_pci || !o->transport_given || !strcmp(value, "mmio"))
		return 0;
	return err_set(err, EINVAL, "--virtio-transport %s: it is mmio, pci or auto", value);
}

static int set_payload(struct run_options *o, const char *value, struct err *err)
{
	if (o->machine.payload)
		return err_set(err, EINVAL, "two payloads: %s and %s", o->machine.payload, value);
	o->machine.payload = value;
	return 0;
}

static int set_triple_fault(struct run_options *o, const char *value, struct err *err)
{
	o->machine.triple_fault_ok = !strcmp(value, "ok");
	if (!o->machine.triple_fault_ok && strcmp(value, "fail"))
		return err_set(err, EINVAL, "--triple-fault %s: it is ok or fail", value);
	return 0;
}

/* "90", "1.5", "1.5s", "500ms", "2m", "1h". */
static int parse_duration(const char *value, uint64_t *ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 }, { "h", 3600000 } };
	const char *at;
	uint64_t whole = 0, thousandths = 0;
	bool none;

	if (number_parse(value, &whole, &at) || whole > INT32_MAX)
		return -EINVAL;
	none = !whole;
	if (*at == '.') {
		if (at[1] < '0' || at[1] > '9')
			return -EINVAL;
		for (uint64_t digit = 100; *++at >= '0' && *at <= '9'; digit /= 10) {
			thousandths += (uint64_t)(*at - '0') * digit;
			none &= *at == '0';
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(at, units[i].unit))
			continue;
		*ms = whole * units[i].ms + thousandths * units[i].ms / 1000;
		return *ms || none ? 0 : -EINVAL; /* 0 is never: not for what is too short */
	}
	return -EINVAL;
}

static int set_duration(struct run_options *o, enum timeout which, const char *value,
			struct err *err)
{
	if (parse_duration(value, &o->machine.timeouts[which]))
		return err_set(err, EINVAL,
			       "%s %s: it is a number of seconds, as 90 or 1.5, or with ms, s, m "
			       "or h behind it",
			       timeout_option(which), value);
	return 0;
}

static int set_timeout(struct run_options *o, const char *value, struct err *err)
{
	return set_duration(o, TIMEOUT_TOTAL, value, err);
}

static int set_boot_timeout(struct run_options *o, const char *value, struct err *err)
{
	return set_duration(o, TIMEOUT_BOOT, value, err);
}

static int set_silence_timeout(struct run_options *o, const char *value, struct err *err)
{
	return set_duration(o, TIMEOUT_SILENCE, value, err);
}

static int set_fail_on(struct run_options *o, const char *value, struct err *err)
{
	o->fail_on_given = true;
	return reports_parse(value, &o->machine.fail_on, err);
}

static int set_result(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->result = value;
	return 0;
}

static int set_junit(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->junit = value;
	return 0;
}

static int set_tender(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->tender = *value == '1';
	return 0;
}

static int set_bisect(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->bisect = *value == '1';
	return 0;
}

static int set_verbose(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.vm.log.level = *value == '1' ? LOG_INFO : LOG_WARNING;
	return 0;
}

static int set_debug(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.vm.log.level = *value == '1' ? LOG_DEBUG : LOG_WARNING;
	return 0;
}

static int set_loglevel(struct run_options *o, const char *value, struct err *err)
{
	static const char *const words[] = { "error", "warning", "info", "debug" };

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(value, words[i])) {
			o->machine.vm.log.level = (enum log_level)i;
			return 0;
		}
	}
	return err_set(err, EINVAL, "--loglevel %s: it is error, warning, info or debug", value);
}

static int set_mem_shared(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->machine.vm.backing = *value == '1' ? MEM_SHARED : MEM_ANON;
	o->machine.vm.backing_fd = -1;
	return 0;
}

static int set_disable_mte(struct run_options *o, const char *value, struct err *err)
{
	return option_set_port(o, "mte", *value == '1' ? "0" : "1", err);
}

/* "0-3,8": as kernels and kvmtool write lists of CPUs. */
static int set_affinity(struct run_options *o, const char *value, struct err *err)
{
	const char *at = value;
	uint64_t first, last;

	CPU_ZERO(&o->affinity);
	do {
		at += at > value; /* the comma */
		if (number_parse(at, &first, &at))
			goto bad;
		last = first;
		if (*at == '-' && number_parse(at + 1, &last, &at))
			goto bad;
		if (last < first ||
		    last >= 8 * sizeof(o->affinity)) /* musl's CPU_SETSIZE is wrong */
			goto bad;
		for (; first <= last; first++)
			CPU_SET(first, &o->affinity);
	} while (*at == ',');
	o->machine.vm.affinity = &o->affinity;
	if (!*at)
		return 0;
bad:
	return err_set(err, EINVAL, "--vcpu-affinity %s: not a list of CPUs like 0-3,8", value);
}

/* ---- The table ---- */

#define RUN OPTION_WORKS, NULL, OPTION_OF_RUN
#define BOOT OPTION_WORKS, NULL, OPTION_OF_BOOT
#define MACHINE OPTION_WORKS, NULL, OPTION_OF_MACHINE
#define LATER OPTION_LATER, NULL, OPTION_OF_RUN, NULL
#define X86_BOOT OPTION_WORKS, "x86_64", OPTION_OF_BOOT
#define X86_MACHINE OPTION_WORKS, "x86_64", OPTION_OF_MACHINE
#define ARM64_BOOT OPTION_WORKS, "aarch64", OPTION_OF_BOOT
#define ARM64_MACHINE OPTION_WORKS, "aarch64", OPTION_OF_MACHINE
#define ARM64_LATER OPTION_LATER, "aarch64", OPTION_OF_RUN, NULL

const struct option run_option_table[] = {
	{ "kernel", 'k', "FILE", BOOT, option_set_kernel,
	  "Kernel or other image (see IMAGES). x86: a bzImage, a vmlinux or other ELF file, a multiboot image. arm64: an Image, "
	  "a vmlinux or other ELF file, a 32-bit zImage, a flat image, an EFI zboot image. Each also packed by "
	  "gzip, xz, zstd or lz4. May be given as a bare word. Else the first that is there is taken, of a kernel "
	  "tree's bzImage or Image, vmlinux, /boot/vmlinuz-$(uname -r).",
	  "-k bzImage -i initrd.cpio.gz" },
	{ "initrd", 'i', "FILE", BOOT, set_initrd,
	  "Initial ramdisk, packed or not; may be repeated: the kernel unpacks one after the other.",
	  "-k bzImage --initrd initrd.cpio.gz" },
	{ "params", 'p', "TEXT", BOOT, set_params,
	  "The image's command line; may be repeated. For Linux console= and panic=-1 are added unless given.",
	  "-k bzImage -i initrd.cpio.gz -p \"quiet\"" },
	{ "entry", 0, "linux64|pvh|multiboot|raw", X86_BOOT, NULL,
	  "Enter the image so, where it has several ways in or none that is known: at Linux's 64-bit entry, "
	  "by its PVH note, by its multiboot header, or in real mode as raw code at 1000:0000. See IMAGES.",
	  "-k kernel.elf --entry linux64" },
	{ "entry", 0, "raw", ARM64_BOOT, NULL,
	  "The image is raw code, whatever it looks like: it goes to the beginning of RAM + 0x80000.",
	  NULL },
	{ "module", 0, "FILE[,ARGS]", X86_BOOT, option_set_module,
	  "A module for a multiboot or PVH image, with these words behind its name; may be repeated. For "
	  "multiboot what -i names are modules, too, the first ones.",
	  "-k kernel.mb --module initrd.cpio.gz,root" },
	{ "cpus", 'c', "N", MACHINE, set_cpus, "Number of vCPUs.", "--payload smp -c 2" },
	{ "mem", 'm', "SIZE", MACHINE, set_mem,
	  "Guest memory: a number and B, K, M, G, T or P; M if none is given. 2M is the least.",
	  "--payload exit -m 64M" },
	{ "mem-shared", 0, NULL, MACHINE, set_mem_shared,
	  "Guest memory is a file without a name, which a local migrate hands on instead of copying it.",
	  "--payload exit --mem-shared" },
	{ "disk", 'd',
	  "FILE[,format=raw|qcow2][,ro|cow][,backing=any][,direct][,queues=N][,rate=BYTES][,iops=N][,burst=BYTES][,serial=NAME][,io=uring|threads]",
	  MACHINE, option_set_disk,
	  "A file or a block device as the next virtio disk (vda, vdb ...); or a directory, or the name of one that "
	  "lkvm setup made, as the root file system: see DIRECTORIES. format: raw unless given; never "
	  "guessed, so a file that begins as a qcow2 image does needs the word. ro: read-only. cow: copy on "
	  "write, the file is only read, and what the guest writes lies in a file without a name in TMPDIR "
	  "(/var/tmp) until the VM ends. qcow2 is for ro or cow, and may stand on raw and qcow2 files of its own "
	  "folder, whose formats its header says; backing=any: of any folder. direct: raw only, past the host's "
	  "page cache. queues: up to 8, for guests with as many CPUs; a thread each. rate, iops: so many bytes (K, M or G behind it) and requests a second at most, for reads, and as many for all else; burst: bytes at once after a rest, a tenth of a second's unless given. io: by io_uring (raw without cow), or by threads of our own; what works unless given.",
	  "--payload exit -d disk.img,ro" },
	{ "share-image", 0, NULL, BOOT, set_share_image,
	  "Map the image's pages from its file instead of copying them, so that many VMs of one image share what "
	  "they do not write to. Of ELF files and arm64 Images, as far as they are aligned to pages. The file must "
	  "stay as it is while a guest runs on it: if it does not, that run ends with 125.",
	  "-k bzImage --share-image" },
	{ "rng", 0, NULL, MACHINE, set_rng, "A virtio entropy source.", "--payload exit --rng" },
	{ "vsock", 0, "CID[,uds=PATH]", MACHINE, set_vsock,
	  "A virtio socket device: AF_VSOCK in the guest, whose address is CID (3 or more). uds: the host's "
	  "programs connect to the Unix socket PATH, write CONNECT PORT and a newline, and get OK and a "
	  "number when the guest has accepted; port N of the host (CID 2) is whoever listens at PATH_N. Without "
	  "uds: the host's own AF_VSOCK, by vhost-vsock.",
	  "--payload exit --vsock 3,uds=guest.sock" },
	{ "balloon", 0, NULL, MACHINE, set_balloon,
	  "A virtio memory balloon: what the guest frees goes back to the host. It also takes memory from the "
	  "guest when told to, and gives it back before the guest runs out of it.",
	  "--payload exit --balloon" },
	{ "balloon-target", 0, "SIZE", BOOT, set_balloon_target,
	  "How much the balloon takes from the start, as soon as the guest's driver is there; --balloon is "
	  "meant, too. A guest that needs it more takes it back.",
	  "--payload exit -m 64M --balloon-target 16M" },
	{ "console", 0, "serial|virtio|none", MACHINE, set_console,
	  "Which console is the kernel's and takes the input. virtio is hvc0; the serial port is there "
	  "beside it. none: neither.",
	  "--payload exit --console none" },
	{ "console-log", 0, "FILE", RUN, set_console_log,
	  "Also write what the guest prints to this file.",
	  "--payload hello --console-log console.log" },
	{ "nodefaults", 0, NULL, BOOT, set_nodefaults, "Add nothing to the kernel's command line.",
	  "-k bzImage -i initrd.cpio.gz --nodefaults -p \"console=ttyS0 panic=-1\"" },
	{ "network", 'n', "mode=user|tap|fd|none,KEY=VALUE,...", MACHINE, option_set_network,
	  "A virtio network device; may be repeated. mode=user, unless told otherwise: through passt, without "
	  "privileges; fwd=[HOST:]PORT:PORT brings connections to a port of the host (0: a free one, which is said) "
	  "to one of the guest. tap: tapif=NAME, or a tap that is made now, with host_ip=; script= and "
	  "downscript= are run with its name; queues=1 to 8. fd=N: an open tap. Any: guest_mac=, mtu=, and rate=, iops=, burst= as a disk has them, each way. See NETWORKS.",
	  "--payload exit -n mode=none" },
	{ "block:", 0, "NAME=PATH", BOOT, option_set_block,
	  "For a Solo5 image: the file or block device behind its block device NAME, as all four of these are "
	  "spelled by Solo5's own tender. It is raw, and written to.",
	  "guest.hvt --block:storage=disk.img" },
	{ "block-sector-size:", 0, "NAME=BYTES", BOOT, option_set_block_sector_size,
	  "For a Solo5 image: what offsets and lengths on it are multiples of, a power of two; 512 unless given.",
	  "guest.hvt --block:storage=disk.img --block-sector-size:storage=4096" },
	{ "net:", 0, "NAME=TAP", BOOT, option_set_net,
	  "For a Solo5 image: the tap behind its network NAME, which is there and up; or @N, an open tap's fd.",
	  NULL },
	{ "net-mac:", 0, "NAME=MAC", BOOT, option_set_net_mac,
	  "For a Solo5 image: the address of its network NAME; else one by chance.", NULL },
	{ "tender", 0, NULL, RUN, set_tender,
	  "As Solo5's own tender is used, and in front of its words: the image may come behind --, all that follows "
	  "it is its own, and the status is 1 where lkvm's is 122 to 125 and not the image's.",
	  "--tender --mem=32 --block:storage=disk.img -- guest.hvt" },
	{ "root", 0, "DIR", BOOT, option_set_root,
	  "For a command: its root directory. DIR: of the host, read-only below a layer in the guest's memory that "
	  "takes what is written. /dev/vda and the like: that disk of the guest's. none: the initramfs (-i). Unless "
	  "given: the directory of -d, or /dev/vda if there is a disk, else the host's root.",
	  "--payload exec -p \"hello started exited=0 ack\" --root / -- true" },
	{ "root-rw", 0, NULL, BOOT, option_set_root_rw,
	  "For a command: what it writes goes to the --root itself. Nothing is made there but by the command: the "
	  "folders dev, proc and sys, and mnt for --share, must be there.",
	  "--payload exec -p \"hello started exited=0 ack\" --root-rw -- true" },
	{ "env", 0, "NAME[=VALUE]", BOOT, option_set_env,
	  "For a command: a variable of its environment, from here if no value is given; may be repeated. Else "
	  "there are PATH, HOME, USER, LOGNAME, LANG, and TERM on a terminal.",
	  "--payload exec -p \"hello started exited=0 ack\" --env CI=1 -- true" },
	{ "user", 0, "USER[:GROUP]", BOOT, option_set_user,
	  "For a command: whose it is; names are looked up on the host. Else root's.",
	  "--payload exec -p \"hello started exited=0 ack\" --user nobody -- true" },
	{ "modules", 0, "DIR", BOOT, option_set_modules,
	  "For a command, or -d DIR: where the kernel's modules are, a directory with modules.dep, the "
	  "INSTALL_MOD_PATH of make modules_install, or a kernel tree in which make modules was run. Else the "
	  "kernel's own tree, lib/modules/RELEASE near the kernel, or on the host.",
	  "--payload exec -p \"hello started exited=0 ack\" --modules /lib/modules -- true" },
	{ "sandbox", 0, "SCRIPT", BOOT, option_set_sandbox,
	  "Run this script of the host's in the guest, instead of a command, as lkvm sandbox would: the host's "
	  "root is at /host there, read-only.",
	  "--payload exec -p \"hello started exited=0 ack\" --sandbox script.sh" },
	{ "share", 0, "TAG=DIR[:ro|rw|cow]", MACHINE, option_set_share,
	  "The guest can mount this directory: mount -t 9p -o trans=virtio,version=9p2000.L TAG ...; may be "
	  "repeated. ro, unless told otherwise: nothing is written. cow: neither, but the guest of a command "
	  "(-- COMMAND) may, and loses it. Nothing outside of it is reached, and no device, FIFO or socket of "
	  "the host is opened. As root, owners are kept. As any other user, files of this user's are root's "
	  "in the guest, all is done with this user's rights, and files given to root are this user's.",
	  "--payload exit --share src=.:ro" },
	{ "9p", 0, "DIR[,TAG]", MACHINE, option_set_9p,
	  "--share TAG=DIR:rw, as kvmtool spells it; the tag is kvm_9p unless given.",
	  "--payload exit --9p .,src" },
	{ "virtio-transport", 0, "mmio|pci|auto", MACHINE, option_set_transport,
	  "How virtio devices are found. auto, the default: as this kernel can, told from its configuration "
	  "or modules.builtin nearby or on this host, from the modules in the initrd, or from the "
	  "configuration inside it; if nothing tells, pci. For an image that is no Linux kernel mmio, and with pci "
	  "on x86 it finds configuration space by ports 0xcf8 and 0xcfc, too.",
	  "--payload exit --virtio-transport pci --rng" },
	{ "unpack", 0, "host|guest", X86_BOOT, NULL,
	  "Who unpacks a bzImage. host: lkvm, and enters the kernel inside, without KASLR. guest: the bzImage "
	  "itself, as it always does when it is packed by bzip2, lzma or lzo.",
	  "-k bzImage -i initrd.cpio.gz --unpack guest" },
	{ "irqchip", 0, "split|full|none", X86_MACHINE, set_irqchip,
	  "Interrupt controllers. split: local APICs in KVM, IOAPIC here; starts the fastest. full: all in "
	  "KVM, with PIC and PIT; what multiboot images and raw code have unless told otherwise. none: an image that "
	  "takes no interrupts.",
	  "--payload exit --irqchip full" },
	{ "irqchip", 0, "gicv2|gicv2m|gicv3|gicv3-its", ARM64_MACHINE, set_irqchip,
	  "Which GIC; else a GICv3 where KVM has one, else a GICv2, and with PCI what takes its messages: "
	  "the ITS, or a GICv2m frame. Without either, PCI's functions share four lines.",
	  "--payload timer --irqchip gicv3" },
	{ "vcpu-affinity", 0, "LIST", RUN, set_affinity,
	  "The host's CPUs that the vCPUs run on, as in 0-3,8.",
	  "--payload exit --vcpu-affinity 0" },
	{ "timeout", 0, "TIME", RUN, set_timeout,
	  "End the guest after this time, with status 124: seconds, as 90 or 1.5, or with ms, s, m or h behind it. "
	  "0: never. What helps to see why is printed before: the registers of each vCPU, the last lines of "
	  "the kernel's log (with a command), and into that log the list of tasks that SysRq t gives.",
	  "--payload exit --timeout 1.5m" },
	{ "boot-timeout", 0, "TIME", BOOT, set_boot_timeout,
	  "The same, unless the command starts within this time.",
	  "--payload exec -p \"hello started exited=0 ack\" --boot-timeout 30 -- true" },
	{ "silence-timeout", 0, "TIME", RUN, set_silence_timeout,
	  "The same, when neither a console nor the command has printed anything for this time.",
	  "--payload exit --silence-timeout 30" },
	{ "fail-on", 0, "CLASS,...", RUN, set_fail_on,
	  "Which reports of the guest's kernel, seen on its console, make a run fail with status 122, though "
	  "it goes on: oops, bug, warning, kasan, kfence, kmsan, kcsan, ubsan, lockdep, atomic, hung-task, "
	  "workqueue, soft-lockup, hard-lockup, rcu-stall, list, refcount, bad-page, slab, kmemleak; none, all, "
	  "or default, which is all but kmemleak; -CLASS takes one away. default with a command, none without. "
	  "A panic always fails, with 123. Only lines with printk's time stamp count; what a command prints is "
	  "its own affair.",
	  "--payload exit --fail-on default,-warning" },
	{ "kernel-log", 0, "FILE", RUN, set_console_log,
	  "Write what the kernel prints on its console to this file, whole: the same as --console-log.",
	  "--payload hello --kernel-log kernel.log" },
	{ "result", 0, "FILE", RUN, set_result,
	  "Write the verdict with its reason, status, timings, the kernel's reports and the command line to "
	  "this file, as JSON; also when nothing could be run.",
	  "--payload exit --result result.json" },
	{ "junit", 0, "FILE", RUN, set_junit,
	  "Write the results of tests that the guest printed as KTAP or TAP (kselftest, KUnit), in the command's "
	  "output or on the console, to this file as JUnit's XML.",
	  "--payload exit --junit results.xml" },
	{ "bisect", 0, NULL, RUN, set_bisect,
	  "For git bisect run: a status of the guest's own of 125 and above becomes 1, which is bad. What lkvm "
	  "itself says stays as it is; 125, nothing was tested, is git's skip.",
	  "--payload exit --bisect" },
	{ "triple-fault", 0, "ok|fail", X86_MACHINE, set_triple_fault,
	  "What a triple fault means: fail (status 123), or ok (0) for images that end so.",
	  "--payload end -p triple --triple-fault ok" },
	{ "reset", 0, "ok|fail", MACHINE, option_set_reset,
	  "What a reset means that no kernel has announced: fail (status 123), or ok (0) for images that end so, "
	  "as those for Firecracker do on x86.",
	  "--payload end -p reset --reset ok" },
	{ "debug-exit", 0, "PORT[,shift|,ok=NUMBER]", X86_MACHINE, option_set_debug_exit,
	  "What an image writes to this I/O port, 1, 2 or 4 bytes, ends it and is its exit status; with shift twice "
	  "that and 1, as QEMU's own status is with isa-debug-exit; with ok=NUMBER that number is 0, and 0 is 1. "
	  "A status has 8 bits: a value whose low 8 are 0 is 255. May be repeated. Unless given an image that is "
	  "no Linux kernel has 0xf4 (kvm-unit-tests, and most) and 0x501,ok=41 (Unikraft); none: not even these.",
	  "--payload exit --debug-exit 0x8900,shift" },
	{ "discovery", 0, "acpi|cmdline|both", X86_BOOT, option_set_discovery,
	  "How the guest learns of its virtio-mmio devices. acpi: by the ACPI tables, as Linux does. cmdline: by a "
	  "word virtio_mmio.device=SIZE@BASE:IRQ for each at the end of its command line (before a --), the default "
	  "for an image that is no Linux kernel.",
	  "--payload exit --rng --discovery cmdline" },
	{ "payload", 0, "NAME", MACHINE, set_payload,
	  "Run a tiny guest that is part of lkvm, instead of a kernel (lkvm help payloads).",
	  "--payload hello" },
	{ "name", 0, "NAME", RUN, set_name,
	  "The guest's name, by which lkvm list, stat, pause, resume, stop, balloon, debug, snapshot and clients of QMP reach it "
	  "while it runs: see CONTROL. Without a name it can't be reached, and costs nothing for that.",
	  "--payload exit --name web" },
	{ "dev", 0, "PATH", RUN, set_dev, "KVM's device node.", "--payload exit --dev /dev/kvm" },
	{ "verbose", 'v', NULL, RUN, set_verbose, "Say what is done and why.",
	  "--payload exit -v" },
	{ "debug", 0, NULL, RUN, set_debug, "The same as --loglevel debug.",
	  "--payload exit --debug" },
	{ "loglevel", 0, "LEVEL", RUN, set_loglevel,
	  "What lkvm itself reports: error, warning (the default), info or debug.",
	  "--payload exit --loglevel error" },

	{ "aarch32", 0, NULL, ARM64_MACHINE, NULL,
	  "A flat image is 32-bit code. A zImage says so itself.", "zImage --aarch32" },
	{ "pmu", 0, NULL, ARM64_MACHINE, NULL, "A PMU (v3) for perf in the guest.",
	  "--payload exit --pmu" },
	{ "sve-max-vl", 0, "BITS", ARM64_MACHINE, NULL,
	  "The longest SVE vector, a multiple of 128; 0: no SVE. Else as the processor has it.",
	  "--payload exit --sve-max-vl 0" },
	{ "mte", 0, NULL, ARM64_MACHINE, NULL, "Memory tagging.", "--payload exit --no-mte" },
	{ "disable-mte", 0, NULL, ARM64_MACHINE, set_disable_mte, "--no-mte, as kvmtool spells it.",
	  "--payload exit --disable-mte" },
	{ "pvtime", 0, NULL, ARM64_MACHINE, NULL,
	  "Tell the guest of the time that the host took (on where KVM can; --no-pvtime).",
	  "--payload exit --no-pvtime" },
	{ "counter-offset", 0, "TICKS", ARM64_MACHINE, NULL,
	  "What the guest's counters are behind the host's (Linux 6.4).", NULL },
	{ "nested", 0, NULL, ARM64_MACHINE, NULL,
	  "A guest that begins at EL2 and may use KVM (Linux 6.16).", NULL },
	{ "kaslr-seed", 0, "N", ARM64_BOOT, NULL,
	  "Where the kernel places itself, to have it twice; else by chance.",
	  "--payload exit --kaslr-seed 42" },
	{ "dtb", 0, "FILE", ARM64_BOOT, NULL,
	  "This device tree instead of the machine's own. Its memory, number of CPUs and GIC must be the "
	  "machine's; /chosen is filled in.",
	  "--payload exit --dtb machine.dtb" },
	{ "dump-dtb", 0, "FILE", ARM64_BOOT, NULL,
	  "Write the device tree that the guest gets to FILE.",
	  "--payload exit --dump-dtb out.dtb" },

	{ "hugetlbfs", 0, "PATH", LATER, "Guest memory from a hugetlbfs mount.", NULL },
	{ "tty", 0, "N", LATER, "A console on a pty.", NULL },
	{ "firmware", 'f', "FILE", LATER, "A firmware image.", NULL },
	{ "flash", 'F', "FILE", LATER, "A flash image.", NULL },
	{ "no-dhcp", 0, NULL, LATER, "No DHCP in the guest.", NULL },
	{ "vfio-pci", 0, "ADDRESS", LATER, "Pass a PCI device through.", NULL },
	{ "debug-single-step", 0, NULL, LATER, "Single-step the guest.", NULL },
	{ "debug-ioport", 0, NULL, LATER, "Report port I/O.", NULL },
	{ "debug-mmio", 0, NULL, LATER, "Report MMIO.", NULL },
	{ "firmware-address", 0, "ADDRESS", ARM64_LATER, "Where the firmware goes.", NULL },
	{ NULL, 0, NULL, RUN, NULL, NULL, NULL },
};

_Static_assert(ARRAY_SIZE(run_option_table) <= OPTIONS_MAX, "raise OPTIONS_MAX");
