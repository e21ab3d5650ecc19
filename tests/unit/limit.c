/* SPDX-License-Identifier: MIT */
#include "util/limit.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/util.h"

#define SECOND 1000000000ull

/* How many operations of `size` pass from `start` for ten seconds, when each goes as soon as it may. */
static uint64_t pass(struct bucket *b, uint64_t size, uint64_t start)
{
	uint64_t n = 0, now = start;

	for (;;) {
		uint64_t wait = bucket_wait(b, now);

		if (wait)
			now += wait;
		else
			now += 100; /* nothing is done in no time */
		if (now - start >= 10 * SECOND)
			return n;
		if (!bucket_wait(b, now)) {
			bucket_charge(b, size, now);
			n++;
		}
	}
}

static bool about(uint64_t got, uint64_t wanted)
{
	bool so = got >= wanted * 95 / 100 && got <= wanted * 105 / 100;

	if (!so)
		printf("# %llu instead of %llu\n", (unsigned long long)got,
		       (unsigned long long)wanted);
	return so;
}

static struct bucket make(uint64_t rate, uint64_t burst)
{
	struct limit_config config = { .bytes = rate, .burst = burst };
	struct limit limit;

	limit_init(&limit, &config);
	limit_destroy(&limit);
	return limit.bytes;
}

static void test_means(void)
{
	static const uint64_t rates[] = { 1000, 12345, MIB, 100 * MIB, 3 * GIB };
	static const uint64_t sizes[] = { 64, 4096, 65536, 100000, MIB };
	uint64_t start = 5000 * SECOND;

	for (unsigned int i = 0; i < ARRAY_SIZE(rates); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(sizes); j++) {
			struct bucket b = make(rates[i], 0);
			uint64_t n;

			if (rates[i] * 10 < sizes[j] * 20 || rates[i] / sizes[j] > 1000000)
				continue;
			n = pass(&b, sizes[j], start);
			ok(about(n * sizes[j], rates[i] * 10), "%llu bytes a second, by %llu",
			   (unsigned long long)rates[i], (unsigned long long)sizes[j]);
		}
	}
}

static void test_bucket(void)
{
	struct bucket b = make(1000, 5000);
	uint64_t now = 100 * SECOND, n = 0;

	for (; !bucket_wait(&b, now); n++)
		bucket_charge(&b, 100, now);
	ok(n == 51 || n == 50, "a burst of 5000 bytes (%llu)", (unsigned long long)n * 100);
	ok(bucket_wait(&b, now + SECOND) == 0, "after which it goes on");
	b = make(1000, 0);
	bucket_charge(&b, 1000000, now);
	ok(bucket_wait(&b, now) / SECOND == 999, "what is larger than any bucket leaves a debt");
	b = make(0, 0);
	bucket_charge(&b, UINT64_MAX, now);
	ok(!bucket_wait(&b, now), "no limit");
	b = make(UINT64_MAX, UINT64_MAX);
	bucket_charge(&b, UINT64_MAX, now);
	ok(bucket_wait(&b, now) < 2 * SECOND, "none that is felt");
}

static void test_timer(void)
{
	struct limit_config config = { .ops = 100 };
	int fd = limit_timer_open();
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct limit limit;
	uint64_t wait;

	limit_init(&limit, &config);
	for (int i = 0; i < 30; i++)
		limit_charge(&limit, 1 << 30);
	wait = limit_wait(&limit);
	ok(wait > SECOND / 10 && wait < SECOND, "after 30 of 100 a second: %llu ms",
	   (unsigned long long)wait / 1000000);
	limit_timer_set(fd, wait);
	ok(poll(&pfd, 1, 5000) == 1 && !limit_wait(&limit), "which the timer waits for");
	limit_timer_clear(fd);
	ok(poll(&pfd, 1, 0) == 0, "once");
	limit_destroy(&limit);
	close(fd);
}

int main(void)
{
	test_means();
	test_bucket();
	test_timer();
	return done_testing();
}
