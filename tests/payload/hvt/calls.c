/* SPDX-License-Identifier: MIT */
/*
 * All that needs no device. The first word of the command line says what is done; what must not be done
 * ends the guest, so that "still here" is never printed.
 */
#include "tests/payload/hvt/guest.h"

GUEST();

#define MS 1000000ull

static uint8_t pattern[160 << 10]; /* more than a pipe and a console hold */
static const char constant[] = "a constant";

static void information(const struct hvt_boot_info *info)
{
	const struct hvt_manifest *m = (const void *)(uintptr_t)info->manifest;
	const uint8_t *p = (const uint8_t *)(uintptr_t)info->kernel_end;

	check((uintptr_t)info == HVT_INFO, "its place");
	check(info->kernel_end >= (uintptr_t)_end, "the end of the kernel");
	check(info->cycle_freq > 1000000 && info->cycle_freq < 100000000000,
	      "the counter's frequency");
	check(!info->host_features && !info->guest_features && !info->net_ring, "no rings");
	check(m->version == 1 && m->entries == 1 && m->entry[0].type == SOLO5_RESERVED,
	      "the manifest");
	for (uint64_t at = 0; at < 65536; at++)
		check(!p[at], "memory begins as zeros");
	/* Up to the last byte. */
	*(volatile uint8_t *)(uintptr_t)(info->mem_size - 1) = 1;
	print("memory ");
	print_number(info->mem_size >> 20);
	print(" MiB\n");
}

static void times(void)
{
	static const uint64_t ns[] = { 0, 1, 999, 1000, MS, 20 * MS };
	uint64_t ready, begin, end;

	check(walltime() > 1600000000ull * 1000 * MS, "the time is this century's");
	for (unsigned int i = 0; i < sizeof(ns) / sizeof(ns[0]); i++) {
		begin = walltime();
		check(!poll(ns[i], &ready) && !ready, "nothing is ready");
		end = walltime();
		check(end - begin >= ns[i], "not too short");
		check(end - begin < ns[i] + 5000 * MS, "not too long");
	}
}

static void print_much(void)
{
	for (unsigned int i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + (i >> 8));
	print_bytes((uintptr_t)pattern, sizeof(pattern));
	print_bytes((uintptr_t)pattern, 0);
	print_bytes(UINT64_MAX, 0); /* of nothing it does not matter where it is */
}

/* What instructions there are, and nothing that is not here. (KVM itself shows an APIC where it has one for its own ends.) */
static void processor(void)
{
#ifdef __x86_64__
	uint32_t a = 0, b, c = 0, d, most;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	check(a >= 1 && a <= 7 && b && c && d, "the last leaf, and who made it");
	most = a;
	a = 1;
	c = 0;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	check(c >> 31, "there is a hypervisor");
	check(!(b >> 16), "one CPU, of number 0");
	check(!(c & 1u << 21), "no x2APIC");
	check((d & 0x06000011) == 0x06000011, "FPU, TSC, SSE and SSE2");
	a = 0x80000001;
	c = 0;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	check(d & 1u << 29, "long mode");
	print("leaves to ");
	print_number(most);
	print("\n");
#endif
}

static void store(uint64_t at)
{
	*(volatile uint8_t *)(uintptr_t)at = 1;
}

static void load(uint64_t at)
{
	uint8_t v = *(volatile const uint8_t *)(uintptr_t)at;

	(void)v;
}

static void write_32(uint64_t place, uint64_t value)
{
#ifdef __x86_64__
	__asm__ volatile("outl %0, %1" : : "a"((uint32_t)value), "d"((uint16_t)place));
#else
	__asm__ volatile("str %w0, [%1]" : : "r"((uint32_t)value), "r"(0x100000000ull + place));
#endif
}

/* A register that is none: of another size, or read. */
static void odd_access(uint64_t how)
{
#ifdef __x86_64__
	uint32_t v = 0;

	if (how == 1)
		__asm__ volatile("outb %b0, %w1" : : "a"(0), "d"(0x502));
	else if (how == 2)
		__asm__ volatile("outw %w0, %w1" : : "a"(0), "d"(0x502));
	else if (how == 3)
		__asm__ volatile("inl %w1, %0" : "=a"(v) : "d"(0x502));
	else if (how == 5)
		__asm__ volatile("rep insb" : : "D"(pattern), "c"(4096), "d"(0x60) : "memory");
	else
		__asm__ volatile("rep outsl" : : "S"(_data), "c"(4), "d"(0x508) : "memory");
#else
	volatile uint32_t *p = (volatile uint32_t *)(0x100000000ull + (2 << 3));

	if (how == 1)
		*(volatile uint8_t *)p = 0;
	else if (how == 2)
		*(volatile uint16_t *)p = 0;
	else if (how == 3)
		(void)*p;
	else
		*(volatile uint64_t *)p = 0;
#endif
}

static void suspend(void)
{
#ifdef __x86_64__
	__asm__ volatile("cli; hlt");
#else
	__asm__ volatile("wfi");
#endif
}

/* What a guest can do wrong. */
static void hostile(const char *what, uint64_t n, const struct hvt_boot_info *info)
{
	const uint64_t end = info->mem_size;
	static const uint64_t far[] = { 1ull << 32, 1ull << 63, UINT64_MAX, UINT64_MAX - 4095 };

	if (is(what, "puts-straddles"))
		print_bytes(end - 8, 9);
	else if (is(what, "puts-far"))
		print_bytes(far[n % 4], 8);
	else if (is(what, "puts-long"))
		print_bytes((uintptr_t)constant, far[n % 4]);
	else if (is(what, "puts-low"))
		print_bytes(0x2000, 8);
	else if (is(what, "args-straddle"))
		hypercall((unsigned int)n, end - 4);
	else if (is(what, "args-far"))
		hypercall((unsigned int)n, 0xfffffff8);
	else if (is(what, "args-low"))
		hypercall((unsigned int)n, 0xfff0);
	else if (is(what, "args-sealed"))
		hypercall((unsigned int)n, (uintptr_t)constant);
	else if (is(what, "args-info"))
		hypercall((unsigned int)n, HVT_INFO);
	else if (is(what, "store-text"))
		store((uintptr_t)_text);
	else if (is(what, "store-rodata"))
		store((uintptr_t)_rodata);
	else if (is(what, "store-info"))
		store(HVT_INFO);
	else if (is(what, "load-0"))
		load(0);
	else if (is(what, "load-tables"))
		load(0xffff);
	else if (is(what, "load-far"))
		load(end);
	else if (is(what, "number"))
		write_32(n, (uintptr_t)constant);
	else if (is(what, "odd"))
		odd_access(n);
	else if (is(what, "cookie")) {
		volatile uint64_t arg[2] = { far[n % 4], 0 };

		call(HALT, arg);
	} else
		check(false, "a word that it knows");
	print("still here\n");
	halt(99);
}

int guest_main(const struct hvt_boot_info *info)
{
	const char *line = (const char *)(uintptr_t)info->cmdline;

	if (is(line, "hello")) {
		print("Hello from Solo5's side.\n");
	} else if (is(line, "args")) {
		print("[");
		print(line);
		print("]");
	} else if (is(line, "status")) {
		return (int)number(line);
	} else if (is(line, "info")) {
		information(info);
	} else if (is(line, "processor")) {
		processor();
	} else if (is(line, "times")) {
		times();
	} else if (is(line, "much")) {
		print_much();
	} else if (is(line, "panic")) {
		print("Kernel panic - not syncing: says a guest whose affair it is\n");
	} else if (is(line, "poll")) {
		for (;;)
			poll(UINT64_MAX - number(line), NULL);
	} else if (is(line, "flood")) {
		for (;;)
			print_bytes((uintptr_t)pattern, sizeof(pattern));
	} else if (is(line, "sleep")) { /* as long as a processor can */
		poll(number(line), NULL);
		for (;;)
			suspend();
	} else if (is(line, "await")) { /* 1: it came back before its time */
		uint64_t begin = walltime();

		poll(number(line), NULL);
		return walltime() - begin < number(line);
	} else if (is(line, "spin")) {
		for (;;)
			;
	} else {
		hostile(line, number(line), info);
	}
	return 0;
}
