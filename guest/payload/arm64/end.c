/* SPDX-License-Identifier: MIT */
/* Ends in the way that its command line names: every way there is on this machine. */
#include "guest/payload/arm64/lib.h"

#define UNCLAIMED 0x0b000000ull /* behind the last virtio slot */
#define ESR_FAULT 0x3f
#define FAULT_EXTERNAL 0x10

static void panic(void)
{
	put_str("[    1.000000] Kernel panic - not syncing: Attempted to kill init!\r\n");
}

/* 100,000 bytes, each when the UART has room, then a power-off. */
static void flood(void)
{
	for (int i = 0; i < 100000; i++)
		put_char((char)(i % 100 == 99 ? '\n' : 'a' + i % 26));
	payload_poweroff();
}

/* A load that also writes its base register: the processor does not tell the VMM what it was. */
static int no_syndrome(void)
{
	uint64_t at = UNCLAIMED;

	skip_faults = true;
	asm volatile("ldr wzr, [%0], #4" : "+r"(at)::"memory");
	if (caught != 1 || ESR_CLASS(caught_esr) != CLASS_DATA_ABORT ||
	    (caught_esr & ESR_FAULT) != FAULT_EXTERNAL)
		return 99;
	put_str("external abort\r\n");
	return 0;
}

int payload_main(const void *fdt)
{
	const char *how = payload_cmdline(fdt);

	if (str_eq(how, "off"))
		payload_poweroff();
	if (str_eq(how, "reset"))
		payload_reset();
	if (str_eq(how, "reset2")) {
		payload_psci(PSCI_SYSTEM_RESET2, 0, 0, 0);
		put_str("no SYSTEM_RESET2\r\n");
		return 99;
	}
	if (str_eq(how, "announced")) {
		put_str("[    1.000000] reboot: Restarting system\r\n");
		payload_reset();
	}
	if (str_eq(how, "panic")) {
		panic();
		payload_reset();
	}
	if (str_eq(how, "panic-poweroff")) {
		panic();
		payload_poweroff();
	}
	if (str_eq(how, "hang")) /* interrupts are masked, and none is enabled */
		for (;;)
			asm volatile("wfi");
	if (str_eq(how, "ports")) /* an exit to user space each time */
		for (;;)
			read32(UNCLAIMED);
	if (str_eq(how, "flood"))
		flood();
	if (str_eq(how, "nisv"))
		return no_syndrome();
	if (str_eq(how, "spin"))
		for (;;)
			;
	if (how[0] >= '0' && how[0] <= '9')
		return (how[0] - '0') * 10 + (how[1] - '0');
	put_str("no such end\r\n");
	return 99;
}
