/* SPDX-License-Identifier: MIT */
/*
 * A machine's whole state: saved at any moment of a guest's life, restored into another machine, where the
 * guest goes on; two saves around a restore are equal; and what is no such state is refused.
 */
#include "machine-parts.h"
#include "state/state.h"
#include "tests/payload/guests.h"
#include "vm/arch.h"

#define TEN "ten ticks\r\n"

static char image[4096];

struct kind {
	const char *name, *irqchip;
	unsigned int cpus;
	bool pci;
};

static const struct kind kinds[] = {
	{ "split", "split", 1, false },
	{ "split, two CPUs, pci", "split", 2, true },
	{ "full", "full", 1, false },
};

/* A machine that begins with another's state. */
struct second {
	struct run run;
	const uint8_t *ram;
	struct saved stream;
	struct buf again; /* saved before it ran */
	int rc;
	struct err err;
};

static void configure(struct run *r, const struct kind *kind)
{
	set_up(r, NULL, "");
	r->config.image.kernel = image;
	r->config.vm.not_linux = true; /* it ends by a debug exit */
	r->config.vm.irqchip = kind->irqchip;
	r->config.vm.cpus = kind->cpus;
	r->config.rng = true;
	r->config.virtio_pci = kind->pci;
}

static int save(struct machine *m, struct buf *out)
{
	struct err err = { "" };
	int rc = state_save(machine_vm(m), machine_devices(m), out, &err);

	if (rc)
		printf("# %s\n", err.text);
	return rc;
}

static int restore(void *opaque, struct vm *vm, struct err *err)
{
	struct second *s = opaque;

	memcpy(vm->mem.ram, s->ram, vm->config.mem);
	s->rc = state_restore(vm, machine_devices(s->run.m), &s->stream, &s->err);
	if (s->rc)
		return err_set(err, -s->rc, "%s", s->err.text);
	save(s->run.m, &s->again);
	device_list_resume(machine_devices(s->run.m));
	return 0;
}

/* A copy of its RAM and its state, as it stands after so many lines. It is gone then. */
static bool stop_after(const struct kind *kind, int lines, uint8_t **ram, struct buf *state)
{
	struct run r;
	pthread_t t;
	bool fine;

	configure(&r, kind);
	if (!create(&r))
		return false;
	pthread_create(&t, NULL, run_main, &r);
	wait_lines(&r, lines);
	usleep(7000);
	fine = !vm_pause(machine_vm(r.m));
	device_list_quiesce(machine_devices(r.m));
	fine = fine && !save(r.m, state);
	*ram = malloc(r.config.vm.mem);
	memcpy(*ram, machine_vm(r.m)->mem.ram, r.config.vm.mem);
	machine_stop(r.m, SIGTERM);
	pthread_join(t, NULL);
	machine_destroy(r.m);
	close(r.output[0]);
	close(r.output[1]);
	return fine;
}

static const char *rest(int lines)
{
	static char text[64];

	text[0] = 0;
	while (lines--)
		strcat(text, TEN);
	return text;
}

/* What of it differs, by section. Time goes on between two saves: that is "vm", and a deadline's "vcpu". */
static unsigned int differences(const struct saved *a, const struct saved *b)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < a->n_sections; i++) {
		const struct saved_section *x = &a->sections[i];
		const struct saved_section *y = saved_find(b, x->name, x->instance);

		if (!y || x->body.left != y->body.left ||
		    memcmp(x->body.p, y->body.p, x->body.left)) {
			printf("# section %s.%u: %zu and %zu bytes\n", x->name, x->instance, x->body.left,
			     y ? y->body.left : 0);
			for (size_t at = 0; y && at < MIN(x->body.left, y->body.left); at++) {
				if (x->body.p[at] != y->body.p[at])
					printf("#   byte %zu\n", at);
			}
			n++;
		}
	}
	return n;
}

static void go_on(const struct kind *kind, int lines)
{
	struct second *s = calloc(1, sizeof(*s));
	struct saved *again = calloc(1, sizeof(*again));
	struct buf state = { 0 };
	uint8_t *ram;

	ok(stop_after(kind, lines, &ram, &state), "%s: saved after %d lines", kind->name, lines);
	ok(!saved_open(&s->stream, state.data, state.len, &s->err), "%zu bytes: %s", state.len,
	   s->err.text);
	s->ram = ram;
	configure(&s->run, kind);
	s->run.config.vm.prepare = restore;
	s->run.config.vm.prepare_opaque = s;
	if (create(&s->run)) {
		run_main(&s->run);
		ok(s->run.status == 0, "and goes on to its end: %d %s", s->run.status, s->err.text);
		ok(!saved_open(again, s->again.data, s->again.len, &s->err) &&
			   differences(&s->stream, again) <= 1,
		   "saved again it is the same, but for the time");
		machine_destroy(s->run.m);
		output_is(&s->run, rest(4 - lines));
	}
	buf_free(&state);
	buf_free(&s->again);
	free(ram);
	free(again);
	free(s);
}

int main(void)
{
	const char *build = getenv("KINDLING_BUILD");

	snprintf(image, sizeof(image), "%s/payload/state.elf", build ? build : "build");
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (int lines = 0; lines < 4; lines++)
			go_on(&kinds[i], lines);
	}
	return done_testing();
}
