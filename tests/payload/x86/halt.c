/* SPDX-License-Identifier: MIT */
/* A Solo5 guest that halts is found out in every state, and the timer that looks for it meets nobody else. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/lkvm.h"
#include "tests/unit/tap.h"
#include "util/clock.h"
#include "util/util.h"

#define MS 1000u
#define LONGEST \
	(5 *    \
	 CLOCK_SECOND) /* what a look at the registers of one that is out of time finds is too late */

static char image[256];

static struct lkvm *guest(const char *word, const char *ms)
{
	struct lkvm *vm = lkvm_new();
	char words[64];

	if (!vm)
		abort();
	snprintf(words, sizeof(words), "%s %s000000", word, ms);
	lkvm_set_image(vm, image);
	lkvm_set_cmdline(vm, words);
	lkvm_set_timeout(vm, 10000);
	return vm;
}

/* It waits so many ms in a hypercall, and halts. */
static struct lkvm *sleeper(const char *ms)
{
	return guest("sleep", ms);
}

/* Its thread's own signals, when it has left: 1 if they are as they were. */
static void *run(void *vm)
{
	const int taken[] = { SIGSTKFLT, SIGRTMIN + 1 };
	sigset_t before, after, pending;
	bool same;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	lkvm_run(vm);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	sigpending(&pending);
	same = true;
	for (unsigned int i = 0; i < ARRAY_SIZE(taken); i++)
		same = same && !sigismember(&pending, taken[i]) &&
		       sigismember(&before, taken[i]) == sigismember(&after, taken[i]);
	/* A late one would end this program. */
	usleep(250 * MS);
	return same ? vm : NULL;
}

static void plain(void)
{
	struct lkvm *vm = sleeper("0");
	bool same = run(vm);

	ok(same && lkvm_status(vm) == 123, "one that halts at once: %d, %s", lkvm_status(vm),
	   lkvm_why(vm));
	lkvm_free(vm);
}

static int try_pause(struct lkvm *vm)
{
	int rc = lkvm_pause(vm);

	usleep(300 * MS);
	lkvm_resume(vm);
	return rc;
}

/* Paused while it waits, before and after the timer went off; and when it sleeps already. */
static void paused(const char *ms, unsigned int when)
{
	uint64_t begin = clock_now(), took;
	struct lkvm *vm = sleeper(ms);
	pthread_t thread;
	void *same;
	int rc;

	pthread_create(&thread, NULL, run, vm);
	usleep(when * MS);
	rc = try_pause(vm);
	pthread_join(thread, &same);
	took = clock_now() - begin;
	ok(same && lkvm_status(vm) == 123 && took < LONGEST,
	   "%s ms of waiting, a pause after %u (%d): %d, %s, %llu ms", ms, when, rc,
	   lkvm_status(vm), lkvm_why(vm), (unsigned long long)(took / CLOCK_MS));
	lkvm_free(vm);
}

/* To be paused shortens no hypercall: Solo5's bindings do not look at the clock again. */
static void paused_in_poll(const char *ms)
{
	struct lkvm *vm = guest("await", ms);
	pthread_t thread;
	void *same;
	int rc;

	pthread_create(&thread, NULL, run, vm);
	usleep(200 * MS);
	rc = try_pause(vm);
	pthread_join(thread, &same);
	ok(same && !rc && lkvm_status(vm) == 0 && lkvm_own_status(vm),
	   "a guest that waits for %s ms is paused (%d), and waits on: %d, %s", ms, rc,
	   lkvm_status(vm), lkvm_why(vm));
	lkvm_free(vm);
}

/* Two threads, each with a timer, ends beside one another. */
static void beside(void)
{
	static const char *const waits[] = { "0", "150", "250", "1000" };
	struct lkvm *vm[8];
	pthread_t threads[8];
	unsigned int good = 0;
	void *same;

	for (unsigned int i = 0; i < 8; i++) {
		vm[i] = sleeper(waits[i % 4]);
		pthread_create(&threads[i], NULL, run, vm[i]);
	}
	for (unsigned int i = 0; i < 8; i++) {
		pthread_join(threads[i], &same);
		good += same && lkvm_status(vm[i]) == 123;
		lkvm_free(vm[i]);
	}
	ok(good == 8, "%u of 8 beside one another", good);
}

/* Ends by a timeout at the moment that the timer goes off. */
static void at_the_tick(void)
{
	unsigned int good = 0;

	for (unsigned int i = 0; i < 8; i++) {
		struct lkvm *vm = lkvm_new();

		lkvm_set_image(vm, image);
		lkvm_set_cmdline(vm, i % 2 ? "spin" : "poll 1");
		lkvm_set_timeout(vm, 197 + i);
		good += run(vm) && lkvm_status(vm) == 124;
		lkvm_free(vm);
	}
	ok(good == 8, "%u of 8 ends about when the timer goes off", good);
}

/* Who stops it first is believed. */
static void stopped(void)
{
	struct lkvm *vm = sleeper("0");
	pthread_t thread;
	void *same;

	pthread_create(&thread, NULL, run, vm);
	usleep(50 * MS);
	lkvm_stop(vm);
	pthread_join(thread, &same);
	ok(same && lkvm_status(vm) == 128, "stopped while it sleeps: %d, %s", lkvm_status(vm),
	   lkvm_why(vm));
	lkvm_free(vm);
}

int main(void)
{
	const char *build = getenv("KINDLING_BUILD");

	snprintf(image, sizeof(image), "%s/hvt/calls.hvt", build ? build : "build");
	plain();
	paused("1000", 100);
	paused("1000", 500);
	paused("0", 100);
	paused_in_poll("1000");
	paused_in_poll("300");
	beside();
	at_the_tick();
	stopped();
	return done_testing();
}
