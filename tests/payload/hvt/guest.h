/* SPDX-License-Identifier: MIT */
/*
 * A guest of Solo5's hvt, as our tests build them: its entry, its hypercalls as they are and no safer, and
 * the two notes. GUEST(devices) goes into each, with DEVICE(type, name) for each device, or nothing.
 */
#ifndef TESTS_PAYLOAD_HVT_GUEST_H
#define TESTS_PAYLOAD_HVT_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/solo5.h"

enum { WALLTIME = 1, PUTS, POLL, BLOCK_WRITE, BLOCK_READ, NET_WRITE, NET_READ, HALT };

struct abi_note {
	uint32_t name_size, size, type;
	char name[8];
	uint32_t target, version, reserved[2];
};

/* The manifest is at 24: aligned to 8 in the note, as the note is. */
#define GUEST(...)                                                                        \
	__attribute__((section(".note.solo5.abi"), used, aligned(4)))                     \
	const struct abi_note abi_note = { 6,	    16,	       0x31494241,                \
					   "Solo5", SOLO5_HVT, SOLO5_HVT_VERSION,         \
					   { 0 } };                                       \
	static const struct hvt_manifest_entry devices[] = { { .type = SOLO5_RESERVED },  \
							     __VA_ARGS__ };               \
	__attribute__((section(".note.solo5.manifest"), used, aligned(8))) const struct { \
		uint32_t name_size, size, type;                                           \
		char name[8];                                                             \
		uint32_t pad, version, entries;                                           \
		struct hvt_manifest_entry entry[sizeof(devices) / sizeof(devices[0])];    \
	} manifest_note = { 6,                                                            \
			    4 + 8 + sizeof(devices),                                      \
			    0x3154464d,                                                   \
			    "Solo5",                                                      \
			    0,                                                            \
			    1,                                                            \
			    sizeof(devices) / sizeof(devices[0]),                         \
			    { { .type = SOLO5_RESERVED }, __VA_ARGS__ } }
#define DEVICE(t, n)                    \
	{                               \
		.type = (t), .name = n, \
	}

#ifdef __x86_64__
static inline void hypercall(unsigned int n, uint64_t arg)
{
	__asm__ volatile("outl %0, %1"
			 :
			 : "a"((uint32_t)arg), "d"((uint16_t)(0x500 + n))
			 : "memory");
}
#else
static inline void hypercall(unsigned int n, uint64_t arg)
{
	__asm__ volatile("str %w0, [%1]"
			 :
			 : "r"((uint32_t)arg), "r"(0x100000000ull + (n << 3))
			 : "memory");
}
#endif

static inline void call(unsigned int n, volatile void *arg)
{
	hypercall(n, (uintptr_t)arg);
}

static inline void print_bytes(uint64_t at, uint64_t len)
{
	volatile uint64_t arg[2] = { at, len };

	call(PUTS, arg);
}

static inline uint64_t length(const char *s)
{
	uint64_t n = 0;

	while (s[n])
		n++;
	return n;
}

static inline void print(const char *s)
{
	print_bytes((uintptr_t)s, length(s));
}

static inline void print_number(uint64_t n)
{
	char text[24];
	char *p = text + sizeof(text);

	*--p = 0;
	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	print(p);
}

static inline void halt(int status)
{
	volatile struct {
		uint64_t cookie;
		int status;
	} arg = { 0, status };

	for (;;)
		call(HALT, &arg);
}

static inline uint64_t walltime(void)
{
	volatile uint64_t ns = 0;

	call(WALLTIME, &ns);
	return ns;
}

/* How many networks are ready; `ready`, unless it is NULL: which. */
static inline uint32_t poll(uint64_t ns, uint64_t *ready)
{
	volatile struct {
		uint64_t timeout, ready;
		uint32_t n;
	} arg = { ns, ~0ull, ~0u };

	call(POLL, &arg);
	if (ready)
		*ready = arg.ready;
	return arg.n;
}

static inline uint32_t block(unsigned int n, uint64_t handle, uint64_t offset, uint64_t at,
			     uint64_t len)
{
	volatile struct {
		uint64_t handle, offset, at, len;
		uint32_t result;
	} arg = { handle, offset, at, len, 77 };

	call(n, &arg);
	return arg.result;
}

static inline uint32_t net(unsigned int n, uint64_t handle, uint64_t at, uint64_t *len)
{
	volatile struct {
		uint64_t handle, at, len;
		uint32_t result;
	} arg = { handle, at, *len, 77 };

	call(n, &arg);
	*len = arg.len;
	return arg.result;
}

/* Is it the whole command line, or the word that it begins with? */
static inline bool is(const char *cmdline, const char *word)
{
	while (*word && *word == *cmdline) {
		word++;
		cmdline++;
	}
	return !*word && (!*cmdline || *cmdline == ' ');
}

static inline uint64_t number(const char *s)
{
	uint64_t n = 0;

	while (*s && (*s < '0' || *s > '9'))
		s++;
	while (*s >= '0' && *s <= '9')
		n = n * 10 + (uint64_t)(*s++ - '0');
	return n;
}

static inline void check(bool good, const char *what)
{
	if (good)
		return;
	print("not so: ");
	print(what);
	print("\n");
	halt(1);
}

/* Compilers call these where they copy and clear. */
void *memcpy(void *to, const void *from, unsigned long n);
void *memset(void *at, int c, unsigned long n);

__attribute__((used)) void *memcpy(void *to, const void *from, unsigned long n)
{
	for (volatile char *p = to; n; n--)
		*p++ = *(const char *)from++;
	return to;
}

__attribute__((used)) void *memset(void *at, int c, unsigned long n)
{
	for (volatile char *p = at; n; n--)
		*p++ = (char)c;
	return at;
}

extern char _text[], _rodata[], _data[], _end[];

/* Called on the stack that the tender gives; what it returns is the status. */
int guest_main(const struct hvt_boot_info *info);

#endif
