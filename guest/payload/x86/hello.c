/* SPDX-License-Identifier: MIT */
/* Says hello on the serial port and powers off. */
#include "guest/payload/x86/lib.h"

int payload_main(const void *zero_page)
{
	(void)zero_page;
	put_str("Hello from inside the guest.\r\n");
	payload_poweroff();
}
