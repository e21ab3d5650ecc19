/* SPDX-License-Identifier: MIT */
/* Says hello on the serial port and powers off; with the command line "stay" it sleeps for ever instead. */
#include "guest/payload/x86/lib.h"

int payload_main(const void *zero_page)
{
	put_str("Hello from inside the guest.\r\n");
	if (str_eq(payload_cmdline(zero_page), "stay"))
		for (;;)
			asm volatile("cli; hlt");
	payload_poweroff();
}
