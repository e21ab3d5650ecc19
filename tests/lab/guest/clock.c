/* SPDX-License-Identifier: MIT */
/*
 * In a guest that is moved: reads both clocks on every CPU without a pause, and twenty times a second writes a
 * numbered line: "clock NUMBER REALTIME MONOTONIC BACK", the clocks in nanoseconds, BACK how often one of them was
 * behind what any CPU had read before.
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC };

struct seen {
	_Atomic int64_t latest[2];
	_Atomic unsigned int back;
};

static int64_t ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int64_t look(struct seen *seen, int which)
{
	int64_t before = atomic_load(&seen->latest[which]), now = ns(clocks[which]);

	if (now < before)
		atomic_fetch_add(&seen->back, 1);
	while (now > before && !atomic_compare_exchange_weak(&seen->latest[which], &before, now))
		;
	return now;
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int main(void)
{
	struct seen *seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int number = 0;

	if (seen == MAP_FAILED)
		return 1;
	for (int cpu = 1; cpu < cpus; cpu++) {
		if (fork())
			continue;
		stay_on(cpu);
		while (getppid() != 1) {
			for (int i = 0; i < 200; i++)
				look(seen, i % 2);
			usleep(4000);
		}
		return 0;
	}
	stay_on(0);
	for (;;) {
		char line[96];
		int64_t real, mono;
		int len;

		for (int i = 0; i < 600; i++) {
			look(seen, i % 2);
			if (i % 60 == 0)
				usleep(4000);
		}
		mono = look(seen, 1);
		real = look(seen, 0);
		len = snprintf(line, sizeof(line), "clock %u %lld %lld %u\n", number++,
			       (long long)real, (long long)mono, atomic_load(&seen->back));
		if (write(1, line, (size_t)len) != len)
			return 1;
	}
}
