/* SPDX-License-Identifier: MIT */
#include "host/disk-copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/disk-kind.h"
#include "util/clock.h"
#include "util/util.h"

_Static_assert(DISK_MARK <= WIRE_BODY, "what is marked together goes in one frame");

#define MOST_ZEROS (64 * MIB) /* in one frame, of which the target may have to write each */

/* ---- Marks ---- */

static struct disk_marks *new_marks(uint64_t size)
{
	uint64_t n = (size + DISK_MARK - 1) / DISK_MARK;
	struct disk_marks *marks = calloc(1,
					  sizeof(*marks) + (n / 64 + 1) * sizeof(marks->bits[0]));

	if (marks) {
		marks->size = size;
		marks->n = n;
	}
	return marks;
}

int disk_mark_all(struct disk *disk)
{
	struct disk_marks *old = atomic_load(&disk->marks), *marks = old;
	uint64_t size = disk_size_now(disk);

	if (disk->fd < 0)
		return -EBADF;
	if (!size)
		return -EINVAL;
	if (!old || old->size != size) {
		marks = new_marks(size);
		if (!marks)
			return -ENOMEM;
		marks->older = old;
		atomic_store(&disk->marks, marks);
	}
	disk_mark(disk, 0, size);
	return 0;
}

uint64_t disk_copy_size(const struct disk *disk)
{
	const struct disk_marks *marks = atomic_load(&disk->marks);

	return marks ? marks->size : 0;
}

uint64_t disk_marked(const struct disk *disk)
{
	const struct disk_marks *marks = atomic_load(&disk->marks);
	int64_t count = marks ? (int64_t)atomic_load(&marks->count) : 0;

	/* (A mark may be taken just before it is counted.) */
	return (uint64_t)MAX(count, (int64_t)0) * DISK_MARK;
}

/* ---- The source ---- */

struct sender {
	struct disk *disk;
	uint64_t size;
	unsigned int number;
	struct disk_sending how;
	uint64_t hole_end; /* what lies before that, from where we are on, is a hole */
	/* What is to be sent next. */
	uint64_t at, len;
	bool zeros;
	_Alignas(4096) uint8_t data[WIRE_BODY];
};

static bool is_hole(struct sender *s, uint64_t at, uint64_t len)
{
	off_t data;

	if (at + len <= s->hole_end)
		return true;
	if (at < s->hole_end)
		return false;
	data = lseek(s->disk->fd, (off_t)at, SEEK_DATA);
	s->hole_end = data >= 0 ? (uint64_t)data : errno == ENXIO ? s->size : at;
	return at + len <= s->hole_end;
}

static int send_run(struct sender *s, struct err *err)
{
	uint64_t len = s->len;
	int rc;

	s->len = 0;
	if (!len)
		return 0;
	if (s->zeros)
		return wire_put(s->how.wire, WIRE_DISK_ZEROS + s->number, s->at, len, NULL, 0, err);
	rc = wire_put_bulk(s->how.wire, s->how.limit, WIRE_DISK + s->number, s->at, s->data, len,
			   err);
	*s->how.sent = s->how.wire->bytes;
	return rc;
}

/* Behind what is to be sent, if it goes on there, and there is room. */
static int read_mark(struct sender *s, uint64_t at, size_t len, bool *zeros, struct err *err)
{
	bool more = s->len && !s->zeros && s->at + s->len == at && s->len + len <= WIRE_BODY;
	int rc = s->len && !s->zeros && !more ? send_run(s, err) : 0;
	uint8_t *to = s->data + (more ? s->len : 0);
	struct iovec iov = { to, len };

	if (rc)
		return rc;
	rc = disk_read(s->disk, &iov, 1, at);
	*zeros = !rc && bytes_are_zero(to, len);
	return rc ? err_set(err, -rc, "virtio-blk.%u can't be read at byte %llu: %s", s->number,
			    (unsigned long long)at, strerror(-rc))
		  : 0;
}

static int send_mark(struct sender *s, uint64_t at, struct err *err)
{
	size_t len = (size_t)MIN(s->size - at, (uint64_t)DISK_MARK);
	bool zeros = is_hole(s, at, len);
	int rc = zeros ? 0 : read_mark(s, at, len, &zeros, err);

	if (!rc && (zeros != s->zeros || s->at + s->len != at))
		rc = send_run(s, err);
	if (!s->len) {
		s->at = at;
		s->zeros = zeros;
	}
	s->len += len;
	return rc;
}

static int check(const struct sender *s, struct err *err)
{
	if (s->how.end && clock_now() > s->how.end)
		return err_set(err, ETIMEDOUT, "%llu MiB of virtio-blk.%u are left (--timeout)",
			       (unsigned long long)(disk_marked(s->disk) / MIB), s->number);
	return channel_check(s->how.wire->channel, err);
}

/*
 * Their marks are taken before anything is known of what is there: who writes after that marks it anew. So what was
 * known of holes holds no more.
 */
static int send_word(struct sender *s, struct disk_marks *marks, uint64_t w, struct err *err)
{
	uint64_t bits = atomic_exchange(&marks->bits[w], 0);
	int rc = bits ? check(s, err) : 0;

	s->hole_end = 0;
	atomic_fetch_sub(&marks->count, (uint64_t)__builtin_popcountll(bits));
	for (; !rc && bits; bits &= bits - 1)
		rc = send_mark(s, (w * 64 + (uint64_t)__builtin_ctzll(bits)) * DISK_MARK, err);
	/* Who waits there shall see that there is somebody. */
	if (!rc && s->zeros && s->len >= MOST_ZEROS)
		rc = send_run(s, err);
	return rc;
}

int disk_send(struct disk *disk, unsigned int number, const struct disk_sending *how,
	      struct err *err)
{
	struct disk_marks *marks = atomic_load(&disk->marks);
	struct sender *s = aligned_alloc(4096, sizeof(*s));
	int rc = 0;

	if (!s || !marks) {
		free(s);
		return marks ? err_set(err, ENOMEM, "no memory to send a disk by") : 0;
	}
	s->disk = disk;
	s->size = marks->size;
	s->number = number;
	s->how = *how;
	s->hole_end = s->at = s->len = 0;
	s->zeros = false;
	for (uint64_t w = 0; !rc && w * 64 < marks->n; w++)
		rc = send_word(s, marks, w, err);
	if (!rc)
		rc = send_run(s, err);
	free(s);
	return rc;
}

/* ---- The target ---- */

static int take_data(struct disk *disk, struct wire *wire, const struct frame *f, struct err *err)
{
	uint8_t *body = aligned_alloc(4096, WIRE_BODY);
	struct iovec iov = { body, f->len };
	int rc = body ? wire_body(wire, f, body, err)
		      : err_set(err, ENOMEM, "no memory for what comes of a disk");

	if (!rc) {
		rc = disk_write(disk, &iov, 1, f->at, false);
		if (rc)
			err_set(err, -rc, "it can't be written at byte %llu: %s",
				(unsigned long long)f->at, strerror(-rc));
	}
	free(body);
	return rc;
}

int disk_take(struct disk *disk, struct wire *wire, const struct frame *f, struct err *err)
{
	bool zeros = f->type >= WIRE_DISK_ZEROS;
	uint64_t len = zeros ? f->value : f->len;
	int rc;

	if (disk->read_only || !len || (zeros && f->len) || (f->at | len) % disk->block ||
	    !range_in(f->at, len, disk->size))
		return err_set(err, EBADMSG, "what comes is for a disk that is not so (0x%llx)",
			       (unsigned long long)f->at);
	if (!zeros)
		return take_data(disk, wire, f, err);
	rc = disk_clear(disk, f->at, len, false);
	return rc ? err_set(err, -rc, "it can't be cleared at byte %llu: %s",
			    (unsigned long long)f->at, strerror(-rc))
		  : 0;
}
