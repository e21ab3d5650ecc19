/* SPDX-License-Identifier: MIT */
/* Edges that meet a masked SPI of the vGIC are kept, by whatever way they come. */
#include <signal.h>

#include "tests/payload/guests.h"
#include "arm/map.h"

/* Each edge comes while the line is masked or about to be opened: none may be lost. */
static void edges(void)
{
	struct irq_line line = { .gsi = ARM_SPI_VIRTIO, .trigger = IRQ_EDGE };
	uint32_t msi = 0;
	struct run r;
	pthread_t t;

	set_up(&r, "irq", "");
	r.config.timeouts[TIMEOUT_TOTAL] = 20000;
	if (!create(&r))
		return;
	line.chip = machine_vm(r.m)->chip;
	pthread_create(&t, NULL, run_main, &r);
	/* A GIC keeps edges of a line that it knows to have some: the guest tells it. */
	wait_lines(&r, 1);
	/* KVM's own routes of the SPIs must outlive a table of ours. */
	ok(!irq_msi_alloc(&machine_vm(r.m)->irq, &msi) && msi >= line.chip->lines &&
		   !irq_route_set(&machine_vm(r.m)->irq, msi, 0x8090040, 1),
	   "a route for an MSI: GSI %u", msi);
	irq_raise(&line);
	two_more_edges(&r, t, &line);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	edges();
	return done_testing();
}
