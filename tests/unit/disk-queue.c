/* SPDX-License-Identifier: MIT */
/* host/disk-queue, by each engine: many requests at a time, odd ones, errors. */
#include "host/disk-queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/util.h"

#define SIZE (1 * MIB)
#define BLOCK 4096u
#define BLOCKS (SIZE / BLOCK)

struct job {
	struct disk_request r;
	struct iovec iov[2];
};

static uint8_t *memory; /* SIZE bytes, aligned, and a spare one */
static struct job jobs[BLOCKS];

static struct disk *opened(bool direct)
{
	struct disk_config config = { .path = "disk", .direct = direct };
	struct err err = { "" };
	struct disk *disk = NULL;

	if (disk_open(&config, &disk, &err))
		ok(false, "%s", err.text);
	return disk;
}

static void submit(struct disk_queue *q, unsigned int i, enum disk_op op, uint8_t *at, size_t cut)
{
	struct job *j = &jobs[i];

	j->iov[0] = (struct iovec){ at, cut };
	j->iov[1] = (struct iovec){ at + cut, BLOCK - cut };
	j->r = (struct disk_request){
		.op = op, .iov = j->iov, .n = 2, .offset = i * (uint64_t)BLOCK, .result = 1
	};
	disk_queue_submit(q, &j->r);
}

/* Until `n` more are done: how many failed. Looks for the next by poll, or by waiting for it. */
static unsigned int finish(struct disk_queue *q, unsigned int n, bool by_poll)
{
	unsigned int failed = 0;

	disk_queue_commit(q);
	while (n) {
		struct pollfd pfd = { .fd = disk_queue_fd(q), .events = POLLIN };
		struct disk_request *r = disk_queue_done(q);

		if (r) {
			failed += r->result != 0;
			n--;
		} else if (!by_poll) {
			disk_queue_wait(q);
		} else if (poll(&pfd, 1, 10000) != 1) {
			ok(false, "nothing is done for ten seconds");
			return n;
		}
	}
	ok(!disk_queue_done(q), "no more is done than was asked for");
	return failed;
}

/* Everything is written, in pieces, and read back. `shift`: memory that is not aligned. */
static void round_trip(struct disk *disk, const char *engine, size_t shift, bool by_poll)
{
	struct disk_queue *q;
	unsigned int failed, wrong = 0;
	int rc = disk_queue_create(disk, BLOCKS, engine, &q);

	if (rc) {
		ok(false, "a queue by %s: %s", engine, strerror(-rc));
		return;
	}
	ok(!strcmp(disk_queue_engine(q), engine), "a queue by %s", engine);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		memset(memory + shift + i * BLOCK, (int)(i ^ shift), BLOCK);
		submit(q, i, DISK_WRITE, memory + shift + i * BLOCK, shift ? 1000 : 512);
	}
	failed = finish(q, BLOCKS, by_poll);
	submit(q, 0, DISK_FLUSH, memory, 512);
	failed += finish(q, 1, by_poll);
	memset(memory, 0xff, SIZE + 1);
	for (unsigned int i = 0; i < BLOCKS; i++)
		submit(q, i, DISK_READ, memory + shift + i * BLOCK, 512);
	failed += finish(q, BLOCKS, by_poll);
	for (unsigned int i = 0; i < BLOCKS; i++)
		wrong += memory[shift + i * BLOCK] != (uint8_t)(i ^ shift) ||
			 memory[shift + i * BLOCK + BLOCK - 1] != (uint8_t)(i ^ shift);
	ok(!failed && !wrong, "%u blocks there and back (%u failed, %u differ)",
	   (unsigned int)BLOCKS, failed, wrong);
	disk_queue_destroy(q);
}

static void test_errors(struct disk *disk, const char *engine)
{
	struct disk_queue *q;

	if (disk_queue_create(disk, 4, engine, &q)) {
		ok(false, "a queue by %s", engine);
		return;
	}
	if (truncate("disk", BLOCK + 512))
		ok(false, "truncate");
	submit(q, 1, DISK_READ, memory, 512);
	finish(q, 1, false);
	ok(jobs[1].r.result == -EIO, "a file that became shorter: EIO, no endless loop");
	submit(q, 0, DISK_READ, memory, 512);
	ok(!finish(q, 1, false), "and what is there is read");
	if (truncate("disk", SIZE))
		ok(false, "truncate");
	disk_queue_destroy(q);
	if (disk_queue_create(disk, 4, engine, &q))
		ok(false, "a queue by %s", engine);
	disk_queue_destroy(q);
	ok(true, "a queue that is never used is destroyed");
}

static void test_engine(const char *engine)
{
	struct disk *disk = opened(false);

	printf("# by %s\n", engine);
	round_trip(disk, engine, 0, false);
	round_trip(disk, engine, 1, true);
	test_errors(disk, engine);
	disk_close(disk);
	disk = opened(true);
	printf("# direct\n");
	round_trip(disk, engine, 0, true);
	round_trip(disk, engine, 1, false);
	disk_close(disk);
}

int main(void)
{
	char folder[] =
		"build/disk-queue-XXXXXX"; /* on a disk, not on tmpfs, where no I/O is direct */
	struct disk_queue *q;
	struct disk *disk;
	int fd, rc;

	memory = aligned_alloc(BLOCK, SIZE + BLOCK);
	if (!mkdtemp(folder) || chdir(folder)) {
		printf("Bail out! no folder in build/\n");
		return 1;
	}
	fd = open("disk", O_CREAT | O_RDWR, 0600);
	if (fd < 0 || ftruncate(fd, SIZE))
		ok(false, "a disk is made");
	close(fd);
	disk = opened(false);
	ok(disk_queue_create(disk, 4, "carrier pigeon", &q) == -ENOTSUP,
	   "no other engine is known");
	rc = disk_queue_create(disk, 4, "uring", &q);
	if (!rc)
		disk_queue_destroy(q);
	disk_close(disk);
	if (rc)
		ok(true, "# skip io_uring is not allowed here: %s", strerror(-rc));
	else
		test_engine("uring");
	test_engine("threads");
	unlink("disk");
	rmdir(strcat(strcpy((char[128]){ "" }, "../../"), folder));
	free(memory);
	return done_testing();
}
