/* SPDX-License-Identifier: MIT */
/* Ends in the way that its command line names: every way there is on this machine. */
#include "guest/payload/x86/lib.h"

#include "x86/map.h"

static void triple_fault(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = { 0, 0 };

	asm volatile("lidt %0; ud2" ::"m"(none));
}

/* 100,000 bytes, each when the UART has room, then a power-off. */
static void flood(void)
{
	for (int i = 0; i < 100000; i++) {
		while (!(inb(X86_PORT_COM1 + 5) & 0x20))
			;
		outb(X86_PORT_COM1, (uint8_t)(i % 100 == 99 ? '\n' : 'a' + i % 26));
	}
	payload_poweroff();
}

int payload_main(const void *zero_page)
{
	const char *how = payload_cmdline(zero_page);

	if (str_eq(how, "s5"))
		payload_poweroff();
	if (str_eq(how, "pm1a"))
		outw(X86_PORT_PM1A, 0x2000);
	if (str_eq(how, "acpi-reset"))
		outb(X86_PORT_ACPI + 2, X86_ACPI_RESET_VALUE);
	if (str_eq(how, "keyboard"))
		outb(X86_PORT_KBD_COMMAND, 0xfe);
	if (str_eq(how, "cf9"))
		outb(X86_PORT_RESET, 6);
	if (str_eq(how, "reset"))
		payload_reset();
	if (str_eq(how, "triple"))
		triple_fault();
	if (str_eq(how, "announced")) {
		put_str("[    1.000000] reboot: Restarting system\r\n");
		triple_fault();
	}
	if (str_eq(how, "panic")) {
		put_str("[    1.000000] Kernel panic - not syncing: Attempted to kill init!\r\n");
		outb(X86_PORT_KBD_COMMAND, 0xfe);
	}
	if (str_eq(how, "panic-poweroff")) {
		put_str("[    1.000000] Kernel panic - not syncing: Attempted to kill init!\r\n");
		payload_poweroff();
	}
	if (str_eq(how, "bad-instruction"))
		asm volatile(".byte 0x0f, 0x04"); /* undefined, and with no IDT a triple fault */
	if (str_eq(how, "no-code")) /* instructions can't come from a device: KVM gives up */
		asm volatile("jmp *%0" ::"r"(X86_VIRTIO_MMIO));
	if (str_eq(how, "hang"))
		for (;;)
			asm volatile("cli; hlt");
	if (str_eq(how, "ports")) /* an exit to user space each time */
		for (;;)
			outb(0x80, 0);
	if (str_eq(how, "flood"))
		flood();
	if (str_eq(how, "spin"))
		for (;;)
			;
	if (how[0] >= '0' && how[0] <= '9')
		return (how[0] - '0') * 10 + (how[1] - '0');
	put_str("no such end\r\n");
	return 99;
}
