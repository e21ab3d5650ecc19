/* SPDX-License-Identifier: MIT */
/* A disk goes over a wire while it is written to by every engine; and what a source that lies may say of one. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/disk-copy.h"
#include "host/disk-kind.h"
#include "host/disk-queue.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define SIZE (40 * MIB + 3 * DISK_SECTOR) /* no whole number of marks */
#define WRITES 3000
#define DEPTH 8

static struct disk *new_disk(char *path, bool fill)
{
	struct disk_config config = { .path = path };
	struct disk *disk;
	struct err err;
	uint8_t block[64 * 1024];
	int fd = mkstemp(path);

	if (fd < 0 || ftruncate(fd, (off_t)SIZE))
		abort();
	for (uint64_t at = 0; fill && at < SIZE / 2; at += 3 * sizeof(block)) {
		memset(block, (int)(at / sizeof(block)) + 1, sizeof(block));
		if (pwrite(fd, block, sizeof(block), (off_t)at) < 0)
			abort();
	}
	close(fd);
	if (disk_open(&config, &disk, &err)) {
		printf("# %s\n", err.text);
		abort();
	}
	return disk;
}

/* ---- A guest that writes ---- */

struct writer {
	struct disk *disk;
	const char *engine;
	unsigned int seed;
	bool worked;
};

struct request {
	struct disk_request r;
	struct iovec iov;
	uint8_t data[4 * DISK_SECTOR];
};

static void submit(struct writer *w, struct disk_queue *q, struct request *r)
{
	uint64_t sectors = SIZE / DISK_SECTOR, at = (uint64_t)rand_r(&w->seed) % (sectors - 4);
	int kind = rand_r(&w->seed) % 8;

	memset(r->data, rand_r(&w->seed), sizeof(r->data));
	r->iov = (struct iovec){ r->data, (1 + (size_t)rand_r(&w->seed) % 4) * DISK_SECTOR };
	r->r = (struct disk_request){ .op = kind == 0	? DISK_ZERO
					    : kind == 1 ? DISK_DISCARD
							: DISK_WRITE,
				      .iov = &r->iov,
				      .n = 1,
				      .len = r->iov.iov_len,
				      .offset = at * DISK_SECTOR };
	disk_queue_submit(q, &r->r);
	disk_queue_commit(q);
}

static void *write_on(void *opaque)
{
	struct writer *w = opaque;
	struct request *requests = calloc(DEPTH, sizeof(*requests));
	struct disk_queue *q;
	unsigned int flying = 0;

	if (!requests || disk_queue_create(w->disk, DEPTH, w->engine, &q)) {
		free(requests);
		return NULL;
	}
	w->worked = true;
	for (unsigned int i = 0; i < WRITES || flying;) {
		struct disk_request *done;

		while (flying < DEPTH && i < WRITES && i++ < DEPTH)
			submit(w, q, &requests[flying++]);
		disk_queue_wait(q);
		while ((done = disk_queue_done(q))) {
			w->worked &= !done->result;
			if (i < WRITES && i++ < WRITES)
				submit(w, q, container_of(done, struct request, r));
			else
				flying--;
		}
	}
	disk_queue_destroy(q);
	free(requests);
	return NULL;
}

/* ---- The target ---- */

struct target {
	struct disk *disk;
	struct wire wire;
	struct channel channel;
	int rc;
	struct err err;
};

static void *take_on(void *opaque)
{
	struct target *t = opaque;
	struct frame f;

	while (!(t->rc = wire_get(&t->wire, &f, &t->err)) && f.type != 1)
		if ((t->rc = disk_take(t->disk, &t->wire, &f, &t->err)))
			break;
	return NULL;
}

static bool same(struct disk *a, struct disk *b)
{
	static uint8_t one[64 * 1024], other[64 * 1024];
	bool is = true;

	for (uint64_t at = 0; is && at < SIZE; at += sizeof(one)) {
		size_t len = (size_t)MIN(SIZE - at, (uint64_t)sizeof(one));
		struct iovec x = { one, len }, y = { other, len };

		is = !disk_read(a, &x, 1, at) && !disk_read(b, &y, 1, at) &&
		     !memcmp(one, other, len);
	}
	return is;
}

static void try_engine(const char *engine)
{
	char from_path[] = "/tmp/disk-copy-XXXXXX", to_path[] = "/tmp/disk-copy-XXXXXX";
	struct writer writer = { .disk = new_disk(from_path, true), .engine = engine, .seed = 7 };
	struct target target = { .disk = new_disk(to_path, false) };
	struct channel channel;
	struct wire wire = { .channel = &channel };
	_Atomic uint64_t sent = 0;
	struct disk_sending how = { .wire = &wire, .sent = &sent };
	struct err err = { "" };
	pthread_t writes, takes;
	int fds[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	channel_of(&channel, fds[0], fds[0]);
	channel_of(&target.channel, fds[1], fds[1]);
	target.wire.channel = &target.channel;
	ok(!disk_mark_all(writer.disk) && disk_marked(writer.disk) >= SIZE &&
		   disk_copy_size(writer.disk) == SIZE,
	   "%s: at first all is marked", engine);
	pthread_create(&takes, NULL, take_on, &target);
	pthread_create(&writes, NULL, write_on, &writer);
	rc = disk_send(writer.disk, 3, &how, &err);
	for (int i = 0; !rc && i < 5; i++)
		rc = disk_send(writer.disk, 3, &how, &err);
	pthread_join(writes, NULL);
	ok(!rc && sent > 0, "%s: it is sent while it is written to: %s", engine, err.text);
	rc = disk_send(writer.disk, 3, &how, &err);
	ok(!rc && !disk_marked(writer.disk), "%s: then what is left", engine);
	wire_put(&wire, 1, 0, 0, NULL, 0, &err);
	pthread_join(takes, NULL);
	ok(!target.rc, "%s: and taken: %s", engine, target.err.text);
	if (writer.worked)
		ok(same(writer.disk, target.disk), "%s: it is the same disk", engine);
	else
		ok(true, "%s: it is the same disk # SKIP this host has no such engine", engine);
	channel_close(&channel);
	channel_close(&target.channel);
	disk_close(writer.disk);
	disk_close(target.disk);
	unlink(from_path);
	unlink(to_path);
}

/* ---- A guest that writes to a hole, when that was looked for already ---- */

struct source {
	struct disk *disk;
	struct disk_sending how;
	int rc;
};

static void *send_on(void *opaque)
{
	struct source *s = opaque;
	struct err err;

	s->rc = disk_send(s->disk, 0, &s->how, &err);
	return NULL;
}

static void write_to_hole(void)
{
	char from_path[] = "/tmp/disk-copy-XXXXXX", to_path[] = "/tmp/disk-copy-XXXXXX";
	struct target target = { .disk = new_disk(to_path, false) };
	_Atomic uint64_t sent = 0;
	struct channel channel;
	struct wire wire = { .channel = &channel };
	struct source source = { .disk = new_disk(from_path, false),
				 .how = { .wire = &wire, .sent = &sent } };
	uint8_t data[DISK_SECTOR];
	struct iovec iov = { data, sizeof(data) };
	uint64_t at = SIZE / 2 / DISK_MARK * DISK_MARK;
	struct err err;
	pthread_t sends, takes;
	int fds[2], size = 1;
	bool all;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	channel_of(&channel, fds[0], fds[0]);
	channel_of(&target.channel, fds[1], fds[1]);
	target.wire.channel = &target.channel;
	all = !disk_mark_all(source.disk);
	/* Every other mark, so that each is a frame of its own. */
	for (uint64_t w = 0; all && w < SIZE / DISK_MARK / 64 + 1; w++)
		source.disk->marks->bits[w] &= 0x5555555555555555ull;
	pthread_create(&sends, NULL, send_on, &source);
	usleep(300000); /* nobody reads: it stands at one of the first */
	memset(data, 0xaa, sizeof(data));
	all &= !disk_write(source.disk, &iov, 1, at, false);
	disk_mark(source.disk, at, sizeof(data));
	pthread_create(&takes, NULL, take_on, &target);
	pthread_join(sends, NULL);
	source.rc |= disk_send(source.disk, 0, &source.how, &err);
	wire_put(&wire, 1, 0, 0, NULL, 0, &err);
	pthread_join(takes, NULL);
	ok(all && !source.rc && !target.rc && same(source.disk, target.disk),
	   "what is written to a hole while it is sent arrives");
	channel_close(&channel);
	channel_close(&target.channel);
	disk_close(source.disk);
	disk_close(target.disk);
	unlink(from_path);
	unlink(to_path);
}

/* ---- Lies ---- */

static bool refused(struct disk *disk, uint32_t type, uint64_t at, uint64_t value, size_t len)
{
	static uint8_t body[WIRE_BODY];
	struct channel ours, theirs;
	struct wire from = { .channel = &theirs }, to = { .channel = &ours };
	struct frame f;
	struct err err = { "" };
	int fds[2], size = 1 << 20, rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	channel_of(&ours, fds[0], fds[0]);
	channel_of(&theirs, fds[1], fds[1]);
	if (wire_put(&from, type, at, value, body, len, &err) || wire_get(&to, &f, &err))
		abort();
	rc = disk_take(disk, &to, &f, &err);
	channel_close(&ours);
	channel_close(&theirs);
	return rc == -EBADMSG && err.text[0];
}

static void take_lies(void)
{
	char path[] = "/tmp/disk-copy-XXXXXX";
	struct disk_config config = { .path = path, .read_only = true };
	struct disk *disk = new_disk(path, false);
	struct err err;

	ok(refused(disk, WIRE_DISK, SIZE, 0, 512) &&
		   refused(disk, WIRE_DISK, SIZE - 512, 0, 1024) &&
		   refused(disk, WIRE_DISK, UINT64_MAX - 511, 0, 512) &&
		   refused(disk, WIRE_DISK, UINT64_MAX - 511, 0, 1024),
	   "what lies behind its end");
	ok(refused(disk, WIRE_DISK, 1, 0, 512) && refused(disk, WIRE_DISK, 0, 0, 100) &&
		   refused(disk, WIRE_DISK_ZEROS, 0, 100, 0),
	   "what are no sectors");
	ok(refused(disk, WIRE_DISK, 0, 0, 0) && refused(disk, WIRE_DISK_ZEROS, 0, 0, 0), "nothing");
	ok(refused(disk, WIRE_DISK_ZEROS, 512, UINT64_MAX - 511, 0) &&
		   refused(disk, WIRE_DISK_ZEROS, SIZE, 512, 0) &&
		   refused(disk, WIRE_DISK_ZEROS, 0, SIZE + 512, 0) &&
		   refused(disk, WIRE_DISK_ZEROS, 0, 512, 512),
	   "zeros behind its end, and with a body");
	disk_close(disk);
	if (disk_open(&config, &disk, &err))
		abort();
	ok(refused(disk, WIRE_DISK, 0, 0, 512) && refused(disk, WIRE_DISK_ZEROS, 0, 512, 0),
	   "a disk that is only read");
	disk_close(disk);
	unlink(path);
}

/* It is longer than it was the last time: as long as it is now. */
static void mark_grown(void)
{
	char path[] = "/tmp/disk-copy-XXXXXX";
	struct disk *disk = new_disk(path, false);
	bool first = !disk_mark_all(disk);

	if (truncate(path, (off_t)(SIZE + MIB)))
		abort();
	ok(first && !disk_mark_all(disk) && disk_copy_size(disk) == SIZE + MIB,
	   "one that has grown since");
	disk_close(disk);
	unlink(path);
}

int main(void)
{
	try_engine("threads");
	try_engine("uring");
	write_to_hole();
	take_lies();
	mark_grown();
	return done_testing();
}
