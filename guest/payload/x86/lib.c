/* SPDX-License-Identifier: MIT */
#include "guest/payload/x86/lib.h"

#include "x86/map.h"

#define CMD_LINE_PTR 0x228
#define SLEEP_S5 (X86_ACPI_S5 << 2 | 1 << 5)

#define ICR (X86_LAPIC + 0x300)
#define ICR_HIGH (X86_LAPIC + 0x310)
#define SPURIOUS (X86_LAPIC + 0xf0)
#define ICR_INIT 0x4500
#define ICR_SIPI 0x4600
#define AP_VECTOR 8 /* page 0x8000 */

extern const uint8_t ap_start[], ap_end[], ap_stack[];

volatile uint32_t caught;

/* For the payloads that start no other vCPU. */
__attribute__((weak)) void payload_ap_main(void)
{
}

/* By the debug-exit port. */
void payload_exit(int status)
{
	outb(X86_PORT_DEBUG_EXIT, (uint8_t)status);
	for (;;)
		asm volatile("hlt");
}

/* By ACPI's sleep register. */
void payload_poweroff(void)
{
	outb(X86_PORT_ACPI, SLEEP_S5);
	for (;;)
		asm volatile("hlt");
}

void payload_reset(void)
{
	outb(X86_PORT_KBD_COMMAND, 0xfe);
	for (;;)
		asm volatile("hlt");
}

const char *payload_cmdline(const void *zero_page)
{
	return (const char *)(uintptr_t) *
	       (const uint32_t *)((const uint8_t *)zero_page + CMD_LINE_PTR);
}

bool str_eq(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

void put_str(const char *s)
{
	while (*s)
		outb(X86_PORT_COM1, (uint8_t)*s++);
}

void put_hex(uint64_t v)
{
	char text[17];

	for (int i = 15; i >= 0; i--) {
		text[i] = "0123456789abcdef"[v & 15];
		v >>= 4;
	}
	text[16] = 0;
	put_str(text);
}

/*
 * The frame is RIP, CS, RFLAGS, RSP, SS. Interrupts come only inside wait_interrupt(), which gives
 * up RAX and expects them to be off again.
 */
asm("handler:\n"
    "	incl caught(%rip)\n"
    "	mov $0xfee000b0, %eax\n" /* EOI */
    "	movl $0, (%rax)\n"
    "	mov (%rsp), %rax\n"
    "	mov 24(%rsp), %rsp\n"
    "	jmp *%rax\n");
extern void handler(void);

static struct gate {
	uint16_t low, selector, type, middle;
	uint32_t high, zero;
} idt[256];

void catch_vector(uint8_t vector)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint64_t)idt };
	uint64_t at = (uint64_t)handler;

	idt[vector] = (struct gate){ (uint16_t)at,	   8, 0x8e00, (uint16_t)(at >> 16),
				     (uint32_t)(at >> 32), 0 };
	asm volatile("lidt %0" ::"m"(pointer));
	write32(SPURIOUS, 0x1ff);
}

void wait_interrupt(void)
{
	asm volatile("sti; hlt" ::: "rax", "memory", "cc");
}

void payload_start_ap(uint32_t apic_id, void *stack_top)
{
	volatile uint8_t *to = (volatile uint8_t *)(AP_VECTOR * 0x1000ul);

	for (const uint8_t *from = ap_start; from < ap_end; from++)
		to[from - ap_start] = *from;
	*(volatile uint64_t *)(to + (ap_stack - ap_start)) = (uint64_t)stack_top;
	write32(ICR_HIGH, apic_id << 24);
	write32(ICR, ICR_INIT);
	write32(ICR_HIGH, apic_id << 24);
	write32(ICR, ICR_SIPI | AP_VECTOR);
}
