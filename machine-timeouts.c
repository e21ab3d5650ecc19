/* SPDX-License-Identifier: MIT */
/* A machine whose time is over: what is said of where it hangs, and its end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/input.h"
#include "machine-parts.h"
#include "util/clock.h"
#include "util/loop.h"
#include "util/util.h"

/* In ms: for a key of SysRq to be taken, and for all that it makes Linux print. */
#define SYSRQ_KEY 200
#define SYSRQ_MOST 2000
#define SYSRQ_STEP 20
#define LOOK_STEP 500 /* us, between looks whether all is said */

static bool ended(struct machine *m)
{
	return atomic_load(&m->vm->want) == VM_END;
}

/* At most so long, and no longer than the VM lives. */
static void wait_ms(struct machine *m, unsigned int ms)
{
	for (unsigned int i = 0; i < ms && !ended(m); i += SYSRQ_STEP)
		usleep(SYSRQ_STEP * 1000);
}

/* Has Linux list its tasks; they are printed while its console moves. */
static void list_tasks(struct machine *m)
{
	uint64_t before, now = 0;

	if (!machine_sysrq(m, '9')) /* all that it says goes to the console */
		return;
	wait_ms(m, SYSRQ_KEY);
	machine_sysrq(m, 't');
	for (unsigned int i = 0; i < SYSRQ_MOST / SYSRQ_KEY; i++) {
		before = now;
		wait_ms(m, SYSRQ_KEY);
		now = log_tail_end(&m->log_tail);
		if (i && now == before)
			break;
	}
}

/* Where the guest hangs. On a thread of its own: it waits for vCPUs, which may wait for the loop. */
static void *say_last_words(void *opaque)
{
	struct machine *m = opaque;

	vm_dump(m->vm);
	machine_show_log(m);
	if (!ended(m))
		list_tasks(m);
	atomic_store(&m->words_over, true);
	vm_end(m->vm, VERDICT_TIMEOUT, 0);
	return NULL;
}

static void timed_out(void *opaque, enum timeout which, bool again)
{
	struct machine *m = opaque;
	uint64_t ms = m->config->timeouts[which];

	if (ended(m)) {
		/* A vCPU may be waiting for a device. */
		if (again)
			machine_watch_descent(m);
		return;
	}
	if (!again) {
		verdict_add(&m->vm->verdict, VERDICT_TIMEOUT, 0);
		snprintf(m->why, sizeof(m->why), "timeout: %s after %llu.%03llu s (%s)",
			 which == TIMEOUT_BOOT	    ? "no command"
			 : which == TIMEOUT_SILENCE ? "no output"
						    : "not over",
			 (unsigned long long)ms / 1000, (unsigned long long)ms % 1000,
			 timeout_option(which));
		m->words_due = clock_now() + TIMEOUT_GRACE * CLOCK_MS;
		m->has_last_words = !pthread_create(&m->last_words, NULL, say_last_words, m);
	}
	if (again || !m->has_last_words)
		vm_end(m->vm, VERDICT_TIMEOUT, 0);
	if (again)
		machine_watch_descent(m);
}

bool machine_input_may_last(const struct machine_config *config)
{
	return input_may_last(config->exec ? config->exec->in : config->in);
}

/* Where the loop may be kept by reading input the clock has one of its own, and the end is watched. */
int machine_start_timeouts(struct machine *m, struct err *err)
{
	struct timeouts_config config = { .expired = timed_out, .opaque = m };
	const struct machine_config *c = m->config;

	memcpy(config.ms, c->timeouts, sizeof(config.ms));
	if (!machine_input_may_last(c))
		return timeouts_start(&m->timeouts, &config, m->loop, err);
	atomic_store(&m->driven, true);
	m->clock_loop = loop_create("clock");
	if (!m->clock_loop)
		return err_set(err, ENOMEM, "no memory for timeouts");
	return timeouts_start(&m->timeouts, &config, m->clock_loop, err);
}

bool machine_words_over(struct machine *m)
{
	return !m->has_last_words || atomic_load(&m->words_over);
}

void machine_join_last_words(struct machine *m)
{
	if (m->has_last_words)
		pthread_join(m->last_words, NULL);
	m->has_last_words = false;
}

/* Who reads the last words may have stopped to. */
void machine_stop_timeouts(struct machine *m)
{
	timeouts_stop(&m->timeouts);
	while (!machine_words_over(m) && clock_now() < m->words_due)
		usleep(LOOK_STEP);
	if (machine_words_over(m))
		machine_join_last_words(m);
}
