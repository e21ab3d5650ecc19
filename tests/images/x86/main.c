/* SPDX-License-Identifier: MIT */
/*
 * A test image that says how it was entered and what it was given: its command line, word by word, its
 * modules or initrd, its memory. "exit=N" among the words is its status; without it powers off. The structs are written down
 * here once more, from the specifications: what lkvm has wrong must not be wrong here, too.
 */
#include <stdint.h>

#define MULTIBOOT_MAGIC 0x2badb002u
#define PVH_MAGIC 0x336ec578u

static void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}

static void put(const char *s)
{
	while (*s)
		outb(0x3f8, (uint8_t)*s++);
}

static void put_number(uint32_t v)
{
	char text[11];
	int i = 10;

	text[i] = 0;
	do
		text[--i] = (char)('0' + v % 10);
	while (v /= 10);
	put(text + i);
}

static uint32_t get(uint32_t at)
{
	return *(volatile uint32_t *)(uintptr_t)at;
}

static const char *text_at(uint32_t at)
{
	return (const char *)(uintptr_t)at;
}

/* What follows "exit=", if the word begins so; else -1. */
static int status_of(const char *word)
{
	const char *want = "exit=";
	int n = 0;

	while (*want && *word == *want) {
		word++;
		want++;
	}
	if (*want)
		return -1;
	for (; *word >= '0' && *word <= '9'; word++)
		n = n * 10 + *word - '0';
	return n;
}

/* Each in brackets. The status that they name. */
static int put_words(const char *s)
{
	int status = 0;

	put("words");
	while (*s) {
		char one[2] = "";

		put(" [");
		if (status_of(s) >= 0)
			status = status_of(s);
		for (; *s && *s != ' '; s++) {
			one[0] = *s;
			put(one);
		}
		put("]");
		s += *s == ' ';
	}
	put("\n");
	return status;
}

/* Its beginning, up to a newline. */
static void put_module(uint32_t start, uint32_t size, const char *words)
{
	const char *p = text_at(start);
	char one[2] = "";

	put("module ");
	put_number(size);
	put(start % 4096 ? " misaligned [" : " [");
	put(words);
	put("] ");
	for (uint32_t i = 0; i < size && p[i] != '\n'; i++) {
		one[0] = p[i];
		put(one);
	}
	put("\n");
}

/* RAM above 1 MiB, in KiB, of a map whose entries begin with 64-bit base and length, and have a type. */
static uint32_t ram_kib(uint32_t base, uint32_t base_high, uint32_t len, uint32_t len_high)
{
	return base_high || base >= 0x100000 ? (len >> 10) + (len_high << 22) : 0;
}

static int multiboot(uint32_t info)
{
	uint32_t flags = get(info), map = get(info + 48), end = map + get(info + 44), ram = 0;
	int status;

	put("multiboot by ");
	put(flags & 0x200 ? text_at(get(info + 64)) : "nobody");
	put("\n");
	status = flags & 4 ? put_words(text_at(get(info + 16))) : 99;
	for (uint32_t i = 0; flags & 8 && i < get(info + 20); i++) {
		uint32_t m = get(info + 24) + 16 * i;

		put_module(get(m), get(m + 4) - get(m), text_at(get(m + 8)));
	}
	for (; flags & 0x40 && map < end; map += get(map) + 4) {
		if (get(map + 20) == 1)
			ram += ram_kib(get(map + 4), get(map + 8), get(map + 12), get(map + 16));
	}
	put("memory ");
	put_number(get(info + 4));
	put(" ");
	put_number(get(info + 8));
	put(" ");
	put_number(ram);
	put("\n");
	return status;
}

static int pvh(uint32_t info)
{
	uint32_t map = get(info + 40), ram = 0;
	int status;

	put("pvh\n");
	status = put_words(text_at(get(info + 24)));
	for (uint32_t i = 0; i < get(info + 12); i++) {
		uint32_t m = get(info + 16) + 32 * i, words = get(m + 16);

		put_module(get(m), get(m + 8), words ? text_at(words) : "");
	}
	for (uint32_t i = 0; i < get(info + 48); i++, map += 24) {
		if (get(map + 16) == 1)
			ram += ram_kib(get(map), get(map + 4), get(map + 8), get(map + 12));
	}
	put("memory ");
	put_number(ram);
	put("\n");
	return status;
}

/* (uint16_t and uint32_t at odd places: by bytes, as x86 may.) */
static int linux64(uint32_t page)
{
	const volatile uint8_t *e820 = (volatile uint8_t *)(uintptr_t)(page + 0x2d0);
	uint32_t ram = 0, line = get(page + 0x228), size = get(page + 0x238);
	int status;

	put("linux64\n");
	status = put_words(text_at(line));
	for (uint32_t i = 0; i < *(volatile uint8_t *)(uintptr_t)(page + 0x1e8); i++, e820 += 20) {
		uint32_t at = (uint32_t)(uintptr_t)e820;

		if (get(at + 16) == 1)
			ram += ram_kib(get(at), get(at + 4), get(at + 8), get(at + 12));
	}
	if (get(page + 0x21c))
		put_module(get(page + 0x218), get(page + 0x21c), "");
	put("memory ");
	put_number(ram);
	put(text_at(line)[size] || (size && !text_at(line)[size - 1]) ? " cmd_line_size wrong\n"
								      : "\n");
	return status;
}

/* In 64-bit mode `magic` is 0, and RSI has the zero page. */
void image_main(uintptr_t magic, uintptr_t info);
void image_main(uintptr_t magic, uintptr_t info)
{
	uint32_t at = (uint32_t)info;
	int status = magic == MULTIBOOT_MAGIC ? multiboot(at)
		     : sizeof(void *) == 8    ? linux64(at)
		     : get(at) == PVH_MAGIC   ? pvh(at)
					      : 98;

	if (status)
		outb(0xf4, (uint8_t)status);
	asm volatile("outw %0, %1" ::"a"((uint16_t)0x2000), "d"((uint16_t)0x604)); /* power off */
	for (;;)
		asm volatile("hlt");
}
