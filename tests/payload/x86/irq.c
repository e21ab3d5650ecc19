/* SPDX-License-Identifier: MIT */
/* Edges that meet a closed pin of the IOAPIC are kept, by whatever way they come. */
#include <signal.h>

#include "tests/payload/guests.h"
#include "x86/map.h"

/* Each edge comes while the pin is masked or about to be opened: none may be lost. */
static void edges(void)
{
	struct irq_line line = { .gsi = X86_GSI_POWER_BUTTON, .trigger = IRQ_EDGE };
	uint64_t one = 1;
	struct run r;
	pthread_t t;
	int fd;

	set_up(&r, "irq", "");
	r.config.timeout = 20;
	if (!create(&r))
		return;
	line.chip = machine_vm(r.m)->chip;
	irq_raise(&line);
	pthread_create(&t, NULL, run_main, &r);
	wait_lines(&r, 1);
	usleep(20000);
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
