/* SPDX-License-Identifier: MIT */
/*
 * A PC as images know it that are no Linux kernels: each word of the command line looks at a part of it.
 * 0 when all is as it should be, else the number of the first that isn't.
 */
#include "guest/payload/option.h"
#include "guest/payload/x86/lib.h"

#include "guest/payload/crew.h"
#include "x86/map.h"

#define SIGNATURE 0x554d4551u /* "QEMU" */
#define LEAF_KVM 0x40000000u
#define LEAF_FREQUENCY 0x40000010u
#define MSR_SYSTEM_TIME 0x4b564d01u
#define VIRTIO_MAGIC 0x74726976u
#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_NO_DRIVER 0x14 /* device status: 0 */

static const char *line;
static unsigned int n_cpus;

static unsigned int number(const char *name)
{
	return option(line, name, 0);
}

static bool asked(const char *word)
{
	return option(line, word, ~0u) != ~0u;
}

/* ---- CMOS ---- */

static uint8_t cmos(uint8_t index)
{
	outb(X86_PORT_CMOS, index);
	return inb(X86_PORT_CMOS + 1);
}

static uint32_t cmos16(uint8_t index)
{
	return cmos(index) | (uint32_t)cmos((uint8_t)(index + 1)) << 8;
}

static void put_bcd(uint8_t v, const char *behind)
{
	const char text[3] = { (char)('0' + (v >> 4)), (char)('0' + (v & 15)), 0 };

	put_str(text);
	put_str(behind);
}

/* Prints the date and time; "mib=" says how much RAM there is. */
static bool cmos_works(void)
{
	uint32_t mib = number("mib="), low = mib < 3072 ? mib : 3072;
	uint32_t past_4g = (mib - low) * 16;

	for (unsigned int i = 0; i < 1000; i++) {
		if (cmos(0x8a) & 0x80) /* an update in progress; bit 7 of the index masks NMIs */
			return false;
	}
	if (cmos(0x0b) != 2 || cmos(0x0d) != 0x80 || cmos(0x7f) != 0)
		return false;
	put_bcd(cmos(0x32), "");
	put_bcd(cmos(0x09), "-");
	put_bcd(cmos(0x08), "-");
	put_bcd(cmos(0x07), " ");
	put_bcd(cmos(0x04), ":");
	put_bcd(cmos(0x02), ":");
	put_bcd(cmos(0x00), "\n");
	return cmos16(0x15) == 639 && cmos16(0x30) == (low > 64 ? 65535 : (low - 1) * 1024) &&
	       cmos16(0x17) == cmos16(0x30) && cmos16(0x34) == (low > 16 ? (low - 16) * 16 : 0) &&
	       (cmos16(0x5b) | (uint32_t)cmos(0x5d) << 16) == past_4g;
}

/* ---- fw_cfg ---- */

static uint64_t fw_cfg(uint16_t key)
{
	uint64_t v = 0;

	outw(X86_PORT_FW_CFG, key);
	for (unsigned int i = 0; i < 8; i++)
		v |= (uint64_t)inb(X86_PORT_FW_CFG + 1) << 8 * i;
	return v;
}

static bool fw_cfg_works(void)
{
	if (fw_cfg(0) != SIGNATURE || fw_cfg(1) != 1 || fw_cfg(3) != number("mib=") * 1048576ull ||
	    fw_cfg(5) != number("cpus=") || fw_cfg(15) != number("cpus=") || fw_cfg(0x19) ||
	    fw_cfg(0xffff))
		return false;
	fw_cfg(5);
	return !inb(X86_PORT_FW_CFG + 1) && !inb(X86_PORT_FW_CFG);
}

/* ---- CPUID ---- */

struct leaf {
	uint32_t a, b, c, d;
};

static struct leaf cpuid(uint32_t leaf, uint32_t sub)
{
	struct leaf l;

	asm volatile("cpuid" : "=a"(l.a), "=b"(l.b), "=c"(l.c), "=d"(l.d) : "a"(leaf), "c"(sub));
	return l;
}

static volatile uint32_t strangers;

/* Each CPU: its leaves name the APIC ID that it has. */
static void check_id(unsigned int cpu)
{
	uint32_t id = read32(X86_LAPIC + 0x20) >> 24;

	if (id != cpu || cpuid(1, 0).b >> 24 != id || cpuid(0xb, 0).d != id ||
	    cpuid(0xb, 1).d != id)
		strangers = cpu + 1;
}

static bool cpuid_works(void)
{
	struct leaf frequency = cpuid(LEAF_FREQUENCY, 0);

	crew_run(check_id);
	return cpuid(LEAF_KVM, 0).a >= LEAF_FREQUENCY && frequency.a > 100000 &&
	       frequency.b == 1000000 && !strangers;
}

/* ---- kvmclock ---- */

static volatile struct {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t multiplier;
	int8_t shift;
	uint8_t flags, more[2];
} clock __attribute__((aligned(64)));

static uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | (uint64_t)high << 32;
}

static uint64_t clock_ns(void)
{
	uint64_t since = clock.tsc, ticks = rdtsc() - since;

	ticks = clock.shift < 0 ? ticks >> -clock.shift : ticks << clock.shift;
	return clock.ns + ((ticks >> 16) * clock.multiplier >> 16);
}

/* It runs, and by the frequency that CPUID tells, to one in a hundred. */
static bool kvmclock_works(void)
{
	uint64_t khz = cpuid(LEAF_FREQUENCY, 0).a, tsc, ns;

	wrmsr(MSR_SYSTEM_TIME, (uint64_t)(uintptr_t)&clock | 1);
	if (!clock.version || clock.version & 1 || !clock.multiplier)
		return false;
	tsc = rdtsc();
	ns = clock_ns();
	while (clock_ns() - ns < 10000000)
		;
	tsc = (rdtsc() - tsc) / 10; /* a millisecond's */
	return tsc > khz - khz / 100 && tsc < khz * 2;
}

/* ---- What lies in memory ---- */

/* Nothing where some images write before they look; the first GiB in large pages, 1:1. */
static bool low_memory_works(void)
{
	const volatile uint64_t *p = (const volatile uint64_t *)0x1000;
	uint64_t table;

	for (unsigned int i = 0; i < 0x2000 / 8; i++) {
		if (p[i])
			return false;
	}
	asm volatile("mov %%cr3, %0" : "=r"(table));
	for (unsigned int level = 0; level < 2; level++)
		table = *(const volatile uint64_t *)table & ~0xfffull;
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t entry = ((const volatile uint64_t *)table)[i];

		if ((entry & 0x83) != 0x83 || (entry & ~0x1fffffull) != i << 21)
			return false;
	}
	return true;
}

/* ---- Devices that the command line tells of ---- */

static uint64_t hex(const char **at)
{
	uint64_t v = 0;

	for (;; ++*at) {
		char c = **at;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return v;
	}
}

/* "virtio_mmio.device=4096@0xd0000000:1": as many as "devices=" says, each of them there. */
static bool devices_work(void)
{
	static const char word[] = "virtio_mmio.device=4096@0x";
	unsigned int n = 0;

	for (const char *p = line; *p; p++) {
		const char *a = p, *b = word;
		uint64_t base;

		while (*b && *a == *b) {
			a++;
			b++;
		}
		if (*b)
			continue;
		base = hex(&a);
		if (*a++ != ':' || *a < '1' || *a > '9' || read32(base) != VIRTIO_MAGIC ||
		    !read32(base + 8))
			return false;
		n++;
	}
	return n == number("devices=");
}

/* ---- PCI by ports ---- */

static uint32_t config_read(uint32_t address)
{
	outl(X86_PORT_PCI_ADDRESS, 1u << 31 | address);
	return inl(X86_PORT_PCI_DATA);
}

/* As many virtio devices on bus 0 as "pci=" says, with a BAR that answers; and nothing elsewhere. */
static bool pci_works(void)
{
	unsigned int n = 0;

	for (uint32_t address = 0; address < 0x20000; address += 0x100) {
		uint32_t id = config_read(address);

		if (id == ~0u)
			continue;
		if (address >= 0x10000)
			return false;
		n += (id & 0xffff) == VIRTIO_VENDOR;
		if ((id & 0xffff) == VIRTIO_VENDOR &&
		    (inw(X86_PORT_PCI_DATA + 2) != id >> 16 ||
		     read32((config_read(address | 0x10) & ~15u) + VIRTIO_NO_DRIVER) == ~0u))
			return false;
	}
	outl(X86_PORT_PCI_ADDRESS, 0x800);
	if (inl(X86_PORT_PCI_ADDRESS) != 0x800 || inl(X86_PORT_PCI_DATA) != ~0u)
		return false;
	outl(X86_PORT_PCI_ADDRESS, 1u << 31);
	return n == number("pci=") && inb(X86_PORT_PCI_ADDRESS) == 0xff &&
	       inl(X86_PORT_PCI_DATA + 1) == ~0u;
}

/* ---- Ends ---- */

static void put_number(unsigned int v)
{
	char text[2] = { (char)('0' + v % 10), 0 };

	if (v > 9)
		put_number(v / 10);
	put_str(text);
}

static void write_port(uint16_t port, uint32_t value, unsigned int width)
{
	if (width == 1)
		outb(port, (uint8_t)value);
	else if (width == 2)
		outw(port, (uint16_t)value);
	else
		outl(port, value);
}

int payload_main(const void *zero_page)
{
	line = payload_cmdline(zero_page);
	n_cpus = option(line, "cpus=", 1);
	if (!crew_start(zero_page, n_cpus))
		return 99;
	if (asked("cmos") && !cmos_works())
		return 1;
	if (asked("fw-cfg") && !fw_cfg_works())
		return 2;
	if (asked("cpuid") && !cpuid_works())
		return 3;
	if (asked("kvmclock") && !kvmclock_works())
		return 4;
	if (asked("low") && !low_memory_works())
		return 5;
	if (asked("devices=") && !devices_work())
		return 6;
	if (asked("pci=") && !pci_works())
		return 7;
	/* An NMI comes from no parity error and no device; and the PIT's second timer, which is not there, has run out. */
	if (asked("nmi") && (inb(X86_PORT_NMI_REASON) & 0xe0) != 0x20)
		return 8;
	if (asked("cf9"))
		outb(X86_PORT_RESET, 6);
	if (asked("tell=")) {
		put_str("\nEXIT: STATUS=");
		put_number(number("tell="));
		put_str("\n");
	}
	if (asked("write="))
		write_port((uint16_t)number("port="), number("write="), option(line, "width=", 1));
	if (asked("reset"))
		payload_reset();
	payload_poweroff();
}
