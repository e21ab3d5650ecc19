/* SPDX-License-Identifier: MIT */
/*
 * By a few threads that read and write in the plain way, each made when there is work and nobody
 * idle. What has ended waits in a list, and an eventfd tells.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/disk-queue.h"
#include "util/thread.h"
#include "util/util.h"

#define WORKERS 4

struct threads {
	struct disk_queue queue;
	int event_fd; /* 1 while there is something in `ended` */
	pthread_mutex_t lock;
	pthread_cond_t work, progress; /* `todo` or `stop`; `ended` */
	struct disk_request *todo, **todo_end;
	struct disk_request *ended;
	bool stop;
	unsigned int n_todo, n_workers, idle;
	pthread_t workers[WORKERS];
};

static struct threads *threads_of(const struct disk_queue *q)
{
	return container_of((struct disk_queue *)q, struct threads, queue);
}

static int threads_create(struct disk *disk, unsigned int depth, struct disk_queue **out)
{
	struct threads *t = calloc(1, sizeof(*t));

	(void)disk;
	(void)depth;
	if (!t)
		return -ENOMEM;
	t->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->event_fd < 0) {
		int rc = -errno;

		free(t);
		return rc;
	}
	t->todo_end = &t->todo;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	pthread_cond_init(&t->progress, NULL);
	*out = &t->queue;
	return 0;
}

static void threads_destroy(struct disk_queue *q)
{
	struct threads *t = threads_of(q);

	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (unsigned int i = 0; i < t->n_workers; i++)
		pthread_join(t->workers[i], NULL);
	pthread_cond_destroy(&t->progress);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	close(t->event_fd);
	free(t);
}

static int threads_fd(const struct disk_queue *q)
{
	return threads_of(q)->event_fd;
}

/* With the lock held; waits for one. NULL: there will be none any more. */
static struct disk_request *take(struct threads *t)
{
	struct disk_request *r;

	t->idle++;
	while (!t->todo && !t->stop)
		pthread_cond_wait(&t->work, &t->lock);
	t->idle--;
	r = t->todo;
	if (r) {
		t->todo = r->next;
		t->n_todo--;
	}
	if (!t->todo)
		t->todo_end = &t->todo;
	return r;
}

/* With the lock held. */
static void put_ended(struct threads *t, struct disk_request *r)
{
	uint64_t one = 1;

	/* Can't fail: the counter is 0 while there is none. */
	if (!t->ended && write(t->event_fd, &one, sizeof(one)) != sizeof(one))
		abort();
	r->next = t->ended;
	t->ended = r;
	pthread_cond_signal(&t->progress);
}

static void *worker_main(void *arg)
{
	struct threads *t = arg;
	struct disk_request *r;

	pthread_mutex_lock(&t->lock);
	while ((r = take(t))) {
		pthread_mutex_unlock(&t->lock);
		r->result = disk_request_run(t->queue.disk, r);
		pthread_mutex_lock(&t->lock);
		put_ended(t, r);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* With the lock held. */
static void add_worker(struct threads *t)
{
	pthread_t *id = &t->workers[t->n_workers];

	if (!thread_start(id, worker_main, t)) {
		pthread_setname_np(*id, "disk");
		t->n_workers++;
	}
}

static void threads_submit(struct disk_queue *q, struct disk_request *r)
{
	struct threads *t = threads_of(q);
	unsigned int n;

	pthread_mutex_lock(&t->lock);
	/* Who was woken for another is idle until it has the lock. */
	if (t->n_todo >= t->idle && t->n_workers < WORKERS)
		add_worker(t);
	n = t->n_workers;
	if (n) {
		r->next = NULL;
		*t->todo_end = r;
		t->todo_end = &r->next;
		t->n_todo++;
		pthread_cond_signal(&t->work);
	}
	pthread_mutex_unlock(&t->lock);
	if (!n) /* the host gives no thread: slowly, then */
		disk_queue_finish(q, r, disk_request_run(q->disk, r));
}

static void threads_commit(struct disk_queue *q)
{
	(void)q; /* they have begun */
}

static void threads_reap(struct disk_queue *q, bool wait)
{
	struct threads *t = threads_of(q);
	uint64_t count;

	pthread_mutex_lock(&t->lock);
	while (wait && !t->ended)
		pthread_cond_wait(&t->progress, &t->lock);
	if (t->ended && read(t->event_fd, &count, sizeof(count)) == sizeof(count)) {
		q->done = t->ended;
		t->ended = NULL;
	}
	pthread_mutex_unlock(&t->lock);
}

const struct disk_engine disk_threads = {
	.name = "threads",
	.create = threads_create,
	.destroy = threads_destroy,
	.fd = threads_fd,
	.submit = threads_submit,
	.commit = threads_commit,
	.reap = threads_reap,
};
