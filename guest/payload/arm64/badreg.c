/* SPDX-License-Identifier: MIT */
/*
 * Touches what is not there and what is there in ways that no driver does; 0 if the VMM lives. No
 * access is unaligned: those to devices fault in the guest.
 */
#include "guest/payload/arm64/lib.h"

#define UNCLAIMED 0x0b000000ull /* behind the last virtio slot */
#define UNCLAIMED_LOW 0x00100000ull

static bool is_absent(uint64_t at)
{
	return read8(at) == 0xff && read16(at) == 0xffff && read32(at) == 0xffffffff &&
	       read64(at) == ~0ull;
}

static void poke(uint64_t base, uint64_t size)
{
	for (uint64_t at = base; at < base + size; at++) {
		write8(at, 0x5a);
		read8(at);
		if (at % 2)
			continue;
		write16(at, 0xa5a5);
		read16(at);
		if (at % 4)
			continue;
		write32(at, 0xffffffff);
		read32(at);
		if (at % 8)
			continue;
		write64(at, ~0ull);
		read64(at);
	}
}

int payload_main(const void *fdt)
{
	(void)fdt;
	if (!is_absent(UNCLAIMED) || !is_absent(UNCLAIMED_LOW))
		return 1;
	poke(UNCLAIMED, 0x10);
	poke(ARM_PL011, 0x50);
	poke(ARM_PL011 + 0xfd0, 0x30); /* identification */
	poke(ARM_UART16550, 8);
	poke(ARM_PL031, 0x24);
	poke(ARM_PL031 + 0xfd0, 0x30);
	for (uint64_t slot = 0; slot < 4; slot++)
		poke(ARM_VIRTIO_MMIO + slot * ARM_VIRTIO_MMIO_STEP, 0x120);
	port_repair();
	put_str("\r\nstill here\r\n");
	return 0;
}
