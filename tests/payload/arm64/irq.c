/* SPDX-License-Identifier: MIT */
/* Edges that meet a masked SPI of the vGIC are kept, by whatever way they come. */
#include <signal.h>

#include "tests/payload/guests.h"
#include "arm/map.h"

/* Each edge comes while the line is masked or about to be opened: none may be lost. */
static void edges(void)
{
	struct irq_line line = { .gsi = ARM_SPI_VIRTIO, .trigger = IRQ_EDGE };
	uint64_t one = 1;
	uint32_t msi = 0;
	struct run r;
	pthread_t t;
	int fd;

	set_up(&r, "irq", "");
	r.config.timeout = 20;
	if (!create(&r))
		return;
	line.chip = machine_vm(r.m)->chip;
	pthread_create(&t, NULL, run_main, &r);
	/* A GIC keeps edges of a line that it knows to have some: the guest tells it. */
	wait_lines(&r, 1);
	irq_raise(&line);
	wait_lines(&r, 1);
	usleep(20000);
	/* KVM's own routes of the SPIs must outlive a table of ours. */
	ok(!irq_msi_alloc(&machine_vm(r.m)->irq, &msi) && msi >= line.chip->lines &&
		   !irq_route_set(&machine_vm(r.m)->irq, msi, 0x8090040, 1),
	   "a route for an MSI: GSI %u", msi);
	fd = irq_fd(&line);
	ok(fd >= 0, "an eventfd for the line: %d", fd);
	ok(write(fd, &one, sizeof(one)) == sizeof(one), "is written to");
	wait_lines(&r, 1);
	usleep(20000);
	irq_fd_close(&line, fd);
	irq_raise(&line);
	pthread_join(t, NULL);
	ok(r.status == 0, "an edge latched, one by eventfd, one by hand: %d", r.status);
	machine_destroy(r.m);
	close(r.output[0]);
	close(r.output[1]);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	edges();
	return done_testing();
}
