/* SPDX-License-Identifier: MIT */
/* Says hello on the serial port and powers off. QEMU's `virt` runs it too. */
#include "guest/payload/arm64/lib.h"

int payload_main(const void *fdt)
{
	(void)fdt;
	put_str("Hello from inside the guest.\r\n");
	payload_poweroff();
}
