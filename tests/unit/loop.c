/* SPDX-License-Identifier: MIT */
/* util/loop: patience, which it learns where work comes in crowds. The rest is what everybody's tests use. */
#include "util/loop.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/tap.h"

struct fixture {
	struct loop *loop;
	int fd;
	loop_id id;
	unsigned int found; /* at each wake-up */
	int policy;	    /* of the thread, after the last one */
	sem_t woken;
};

static void on_wake(void *opaque, uint32_t events)
{
	struct fixture *f = opaque;
	struct sched_param param;
	eventfd_t count;

	(void)events;
	eventfd_read(f->fd, &count);
	loop_found(f->loop, f->found);
	pthread_getschedparam(pthread_self(), &f->policy, &param);
	sem_post(&f->woken);
}

static void set_up(struct fixture *f)
{
	*f = (struct fixture){ .loop = loop_create("test"), .fd = eventfd(0, EFD_NONBLOCK) };
	sem_init(&f->woken, 0, 0);
	ok(!loop_add(f->loop, f->fd, EPOLLIN, on_wake, f, &f->id), "a loop");
}

static void tear_down(struct fixture *f)
{
	loop_destroy(f->loop);
	close(f->fd);
	sem_destroy(&f->woken);
}

/* How many of `n` wake-ups, for `found` each, left it patient. */
static unsigned int wake(struct fixture *f, unsigned int n, unsigned int found)
{
	unsigned int patient = 0;

	f->found = found;
	for (unsigned int i = 0; i < n; i++) {
		eventfd_write(f->fd, 1);
		sem_wait(&f->woken);
		patient += f->policy == SCHED_BATCH;
	}
	return patient;
}

static void test_crowds(void)
{
	struct fixture f;
	unsigned int patient;

	set_up(&f);
	ok(!wake(&f, 63, 32), "a new loop takes the CPU whenever it is woken");
	ok(wake(&f, 1, 32) == 1, "after a while it tries to wait for it");
	ok(wake(&f, 1000, 32) == 1000, "and goes on so, as there are many each time");
	patient = wake(&f, 48, 1);
	ok(patient < 32, "until there is one each time: %u of 48", patient);
	tear_down(&f);
}

static void test_one_at_a_time(void)
{
	struct fixture f;
	unsigned int first, later;

	set_up(&f);
	first = wake(&f, 1000, 1);
	later = wake(&f, 9000, 1);
	ok(first && first < 100, "one at a time: it tries now and then: %u of 1,000", first);
	ok(later < 100, "ever more rarely: %u of 9,000", later);
	tear_down(&f);
}

static void test_chosen(void)
{
	struct sched_param param = { 0 };
	struct fixture f;

	if (pthread_setschedparam(pthread_self(), SCHED_IDLE, &param)) {
		ok(true, "# skip no SCHED_IDLE here");
		return;
	}
	set_up(&f);
	ok(!wake(&f, 200, 32) && f.policy == SCHED_IDLE, "a policy that the user has chosen stays");
	tear_down(&f);
}

int main(void)
{
	test_crowds();
	test_one_at_a_time();
	test_chosen(); /* last: there may be no way back */
	return done_testing();
}
