/* SPDX-License-Identifier: MIT */
/* vm/timeouts by a real clock (what is judged is order, not precision), vm/timeline, term/log-tail. */
#include "vm/timeouts.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "term/log-tail.h"
#include "tests/unit/tap.h"
#include "util/util.h"
#include "vm/timeline.h"

struct seen {
	atomic_int n, which;
};

static void expired(void *opaque, enum timeout which, bool again)
{
	struct seen *seen = opaque;

	(void)again;
	atomic_store(&seen->which, (int)which);
	atomic_fetch_add(&seen->n, 1);
}

static bool wait_for(struct seen *seen, int n)
{
	for (int i = 0; i < 1000 && atomic_load(&seen->n) < n; i++)
		usleep(10000);
	return atomic_load(&seen->n) == n;
}

static void start(struct timeouts *t, struct seen *seen, struct loop *loop, uint64_t total,
		  uint64_t boot, uint64_t silence)
{
	struct timeouts_config config = { .ms = { total, boot, silence },
					  .expired = expired,
					  .opaque = seen };

	atomic_store(&seen->n, 0);
	ok(!timeouts_start(t, &config, loop, NULL), "%u ms, %u to boot, %u of silence",
	   (unsigned int)total, (unsigned int)boot, (unsigned int)silence);
}

static void test_timeouts(void)
{
	struct loop *loop = loop_create("loop");
	struct timeouts t = { 0 };
	struct seen seen = { 0 };

	timeouts_stop(&t);
	start(&t, &seen, loop, 0, 0, 0);
	ok(t.fd < 0, "none takes nothing");
	timeouts_stop(&t);

	start(&t, &seen, loop, 30, 100000, 100000);
	ok(wait_for(&seen, 1) && seen.which == TIMEOUT_TOTAL, "the whole");
	timeouts_stop(&t);

	start(&t, &seen, loop, 100000, 30, 100000);
	ok(wait_for(&seen, 1) && seen.which == TIMEOUT_BOOT, "the boot");
	timeouts_stop(&t);

	start(&t, &seen, loop, 100, 30, 0);
	timeouts_booted(&t);
	ok(wait_for(&seen, 1) && seen.which == TIMEOUT_TOTAL, "a boot in time");
	timeouts_stop(&t);

	start(&t, &seen, loop, 0, 0, 100);
	for (int i = 0; i < 20; i++) {
		timeouts_active(&t);
		usleep(20000);
	}
	/* On a machine that stops for so long a silence is one. */
	ok(wait_for(&seen, 1) && seen.which == TIMEOUT_SILENCE, "silence, after output");
	timeouts_stop(&t);
	timeouts_stop(&t);
	usleep(50000);
	ok(seen.n == 1, "stopped is stopped");
	loop_destroy(loop);
}

static void test_timeline(void)
{
	struct timeline t = { 0 };
	int64_t first;

	ok(timeline_us(&t, PHASE_KERNEL) == -1, "not come to");
	timeline_mark(&t, PHASE_START);
	usleep(1000);
	timeline_mark(&t, PHASE_KERNEL);
	first = timeline_us(&t, PHASE_KERNEL);
	usleep(1000);
	timeline_mark(&t, PHASE_KERNEL);
	ok(first >= 1000 && timeline_us(&t, PHASE_KERNEL) == first, "the first mark counts");
}

static void join(void *opaque, const char *text)
{
	strcat(strcat(opaque, text), "|");
}

static void check_tail(const char *what, const char *fed, unsigned int lines, const char *wanted)
{
	struct log_tail tail;
	char got[1024] = "";

	log_tail_init(&tail);
	log_tail_feed(&tail, fed, strlen(fed));
	log_tail_lines(&tail, lines, join, got);
	ok(!strcmp(got, wanted), "%s", what);
	log_tail_destroy(&tail);
}

static void test_tail(void)
{
	static char flood[3 * LOG_TAIL_SIZE];
	struct log_tail tail;
	char got[64 * 1024] = "";

	check_tail("nothing", "", 3, "");
	check_tail("fewer lines", "a\nb\n", 3, "a|b|");
	check_tail("the last ones", "a\r\nb\r\nc\r\n", 2, "b|c|");
	check_tail("no end of the last", "a\nb\nc", 2, "b|c|");
	check_tail("empty lines are none", "a\n\nb\r\n\r\nc\n\n", 2, "b|c|");
	check_tail("none", "a\n", 0, "");
	check_tail("escapes are not shown", "\033[31ma\033[0m\033c\x07\x9b\n", 1, "a??|");

	log_tail_init(&tail);
	memset(flood, 'x', sizeof(flood));
	for (size_t i = 99; i < sizeof(flood); i += 100)
		flood[i] = '\n';
	log_tail_feed(&tail, flood, 1000);
	log_tail_feed(&tail, flood, sizeof(flood));
	log_tail_feed(&tail, "last\n", 5);
	log_tail_lines(&tail, 2, join, got);
	ok(strlen(got) == 99 + 1 + 8 + 1 && strstr(got, "x|xxxxlast|"), "of a flood");
	got[0] = 0;
	log_tail_lines(&tail, 1000, join, got);
	ok(strlen(got) <= LOG_TAIL_SIZE + 1, "no more than there is");
	log_tail_destroy(&tail);
}

int main(void)
{
	test_timeouts();
	test_timeline();
	test_tail();
	return done_testing();
}
