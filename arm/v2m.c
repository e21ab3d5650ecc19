/* SPDX-License-Identifier: MIT */
/*
 * GICv2m: a page in which a write of an interrupt's number raises that SPI, and so a target for
 * messages (Server Base System Architecture 3.0, appendix E). KVM knows nothing of it: the SPIs are
 * its GICv2's, the page is ours.
 */
#include <string.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "util/util.h"

#define MSI_TYPER 0x008
#define MSI_SETSPI 0x040
#define MSI_IIDR 0xfcc

#define INTID_SPI 32 /* the first SPI's */
#define FIRST (INTID_SPI + ARM_SPI_V2M)
#define TYPER (FIRST << 16 | ARM_V2M_SPIS)

static void set_spi(struct irq_chip *chip, uint32_t intid)
{
	struct irq_line line = { chip, intid - INTID_SPI, IRQ_EDGE };

	if (intid >= FIRST && intid - FIRST < ARM_V2M_SPIS)
		irq_raise(&line);
}

static void access_frame(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	bool possible = len == 4 && offset % 4 == 0;

	if (!is_write)
		put_le(data, possible && offset == MSI_TYPER ? TYPER : 0, len);
	else if (possible && offset == MSI_SETSPI)
		set_spi(opaque, get_le32(data));
}

void arm_v2m_send(struct irq_chip *chip, const struct msi *msi)
{
	if (msi->address == ARM_V2M + MSI_SETSPI)
		set_spi(chip, msi->data);
}

int arm_v2m_claim(struct vm *vm, struct err *err)
{
	return bus_claim(&vm->mmio, ARM_V2M, ARM_V2M_SIZE, access_frame, vm->chip, "gicv2m", err);
}
