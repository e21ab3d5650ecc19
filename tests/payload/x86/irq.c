/* SPDX-License-Identifier: MIT */
/* Edges that meet a closed pin of the IOAPIC are kept, by whatever way they come. */
#include <signal.h>

#include "tests/payload/guests.h"
#include "x86/map.h"

/* Each edge comes while the pin is masked or about to be opened: none may be lost. */
static void edges(void)
{
	struct irq_line line = { .gsi = X86_GSI_VIRTIO_0, .trigger = IRQ_EDGE };
	struct run r;
	pthread_t t;

	set_up(&r, "irq", "");
	r.config.timeouts[TIMEOUT_TOTAL] = 20000;
	if (!create(&r))
		return;
	line.chip = machine_vm(r.m)->chip;
	irq_raise(&line);
	pthread_create(&t, NULL, run_main, &r);
	two_more_edges(&r, t, &line);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	edges();
	return done_testing();
}
