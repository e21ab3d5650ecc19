/* SPDX-License-Identifier: MIT */
/*
 * A guest that comes from where things are otherwise: another version, another architecture, another processor.
 * Nothing of it is damaged. The target says what it can't take, and the guest goes on where it was.
 */
#include <linux/kvm.h>

#include "tests/payload/x86/moves.h"
#include "tests/saved.h"

#define CPUID 20 /* where CPUID's entries begin in a vCPU's section: their length is before that */

/* (All of it is in one frame.) */
static uint8_t *find(const struct frame *f, uint8_t *stream, const char *name)
{
	for (uint64_t at = SECTION_FIRST; at + SECTION_HEAD <= f->len;
	     at += SECTION_HEAD + section_length(stream + at)) {
		if (!strcmp((const char *)stream + at, name))
			return stream + at;
	}
	abort();
}

static void later_migration(const struct frame *f, uint8_t *body)
{
	if (f->type == WIRE_HELLO)
		put_le32(body, MIGRATE_VERSION + 1);
}

static void later_format(const struct frame *f, uint8_t *body)
{
	if (f->type == WIRE_STATE)
		put_le32(body + 8, SAVED_VERSION + 1);
}

static void later_section(const struct frame *f, uint8_t *body)
{
	uint8_t *section;

	if (f->type != WIRE_STATE)
		return;
	section = find(f, body, "vcpu");
	put_le32(section + 28, SAVED_SECTION_VERSION + 1);
	section_seal(section);
}

static void other_architecture(const struct frame *f, uint8_t *body)
{
	uint8_t *section;

	if (f->type != WIRE_STATE)
		return;
	section = find(f, body, "machine");
	memset(section + SECTION_HEAD, 0, 16);
	strcpy((char *)section + SECTION_HEAD, "riscv64");
	section_seal(section);
}

static void unknown_section(const struct frame *f, uint8_t *body)
{
	uint8_t *section;

	if (f->type != WIRE_STATE)
		return;
	section = find(f, body, "vm");
	strcpy((char *)section, "tpm");
	section_seal(section);
}

/* One that has all features there could be. */
static void other_processor(const struct frame *f, uint8_t *body)
{
	struct kvm_cpuid_entry2 *e;
	uint8_t *section;
	uint32_t n;

	if (f->type != WIRE_STATE)
		return;
	section = find(f, body, "vcpu");
	e = (struct kvm_cpuid_entry2 *)(section + SECTION_HEAD + CPUID);
	n = get_le32(section + SECTION_HEAD + CPUID - 4) / sizeof(*e);
	for (uint32_t i = 0; i < n; i++) {
		if (e[i].function == 1)
			e[i].ecx = UINT32_MAX;
	}
	section_seal(section);
}

static struct side *target;

static void remember(struct guest *g, struct side *t)
{
	(void)g;
	target = t;
}

static bool is_dead(struct side *t)
{
	for (unsigned int i = 0; i < WAIT && !t->over; i++)
		usleep(1000);
	return t->over && t->status < 0;
}

static void refused(struct guest *g, const char *what,
		    void (*edit)(const struct frame *f, uint8_t *body), const char *words)
{
	struct link *l = calloc(1, sizeof(*l));
	struct machine_migration h = how(l);
	struct machine_migration_state st;

	l->cut = l->cut_back = l->flip = NEVER;
	l->edit = edit;
	ok(move(g, l, &h, NULL, remember, &st) == MIGRATION_FAILED && is_dead(target) &&
		   goes_on(g, 2),
	   "%s: it stays where it is", what);
	ok(strstr(st.err.text, "the other side: ") && strstr(st.err.text, words),
	   "and that is said: %s", st.err.text);
	forget(target);
	link_down(l);
	free(l);
}

static void nothing(const struct frame *f, uint8_t *body)
{
	(void)f;
	(void)body;
}

int main(void)
{
	const char *build = getenv("KINDLING_BUILD");
	struct guest g = { 0 };
	struct link l = { .cut = NEVER, .cut_back = NEVER, .flip = NEVER, .edit = nothing };
	struct machine_migration h = how(&l);
	struct machine_migration_state st;

	snprintf(image, sizeof(image), "%s/payload/migrate.elf", build ? build : "build");
	if (!begin(&g)) {
		ok(false, "a guest begins");
		return done_testing();
	}
	goes_on(&g, 5);
	refused(&g, "a later migration", later_migration, "the migration is of version 2");
	refused(&g, "a later format", later_format, "format 2");
	refused(&g, "a later section", later_section, "section vcpu is of version 2");
	refused(&g, "another architecture", other_architecture, "is of riscv64");
	refused(&g, "a section that nobody knows", unknown_section, "sections of another machine");
	refused(&g, "another processor", other_processor, "which this host has not");
	ok(move(&g, &l, &h, NULL, NULL, &st) == MIGRATION_COMPLETED && goes_on(&g, 2),
	   "what is as it was is taken: %s", st.err.text);
	link_down(&l);
	ok(end_well(&g), "and has lost nothing");
	return done_testing();
}
