/* SPDX-License-Identifier: MIT */
#include "virtio/balloon-hints.h"

#include <errno.h>
#include <linux/virtio_balloon.h>

#include "util/util.h"

#define FIRST_ID (VIRTIO_BALLOON_CMD_ID_DONE + 1u) /* those below are orders in themselves */

void hints_init(struct hints *h)
{
	*h = (struct hints){ .command = VIRTIO_BALLOON_CMD_ID_STOP };
	pthread_mutex_init(&h->lock, NULL);
}

void hints_fini(struct hints *h)
{
	pthread_mutex_destroy(&h->lock);
}

int hints_start(struct hints *h, const struct balloon_hints *user)
{
	int rc = 0;

	pthread_mutex_lock(&h->lock);
	if (!h->possible)
		rc = -ENOTSUP;
	else if (h->state != HINTS_OFF)
		rc = -EBUSY;
	if (!rc) {
		h->user = *user;
		h->state = HINTS_ASKED;
		h->last_id = MAX(h->last_id + 1, FIRST_ID);
		h->command = h->last_id;
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}

/* These two with the lock held. */
static void end(struct hints *h)
{
	if (h->state == HINTS_ASKED || h->state == HINTS_COMING) {
		h->state = HINTS_ENDED;
		h->user.end(h->user.opaque);
	}
}

static bool turn_off(struct hints *h)
{
	if (h->state == HINTS_OFF)
		return false;
	h->state = HINTS_OFF;
	h->command = VIRTIO_BALLOON_CMD_ID_DONE;
	return true;
}

bool hints_done(struct hints *h)
{
	bool changed;

	pthread_mutex_lock(&h->lock);
	changed = turn_off(h);
	pthread_mutex_unlock(&h->lock);
	return changed;
}

bool hints_cut_short(struct hints *h)
{
	bool changed;

	pthread_mutex_lock(&h->lock);
	end(h);
	changed = turn_off(h);
	pthread_mutex_unlock(&h->lock);
	return changed;
}

void hints_set_possible(struct hints *h, bool possible)
{
	pthread_mutex_lock(&h->lock);
	h->possible = possible;
	end(h);
	turn_off(h);
	pthread_mutex_unlock(&h->lock);
}

void hints_reset(struct hints *h)
{
	pthread_mutex_lock(&h->lock);
	h->command = VIRTIO_BALLOON_CMD_ID_STOP;
	pthread_mutex_unlock(&h->lock);
}

uint32_t hints_command(struct hints *h)
{
	uint32_t command;

	pthread_mutex_lock(&h->lock);
	command = h->command;
	pthread_mutex_unlock(&h->lock);
	return command;
}

void hints_answer(struct hints *h, uint32_t id)
{
	pthread_mutex_lock(&h->lock);
	if (h->state == HINTS_ASKED && id == h->command)
		h->state = HINTS_COMING;
	else if (h->state == HINTS_COMING && id == VIRTIO_BALLOON_CMD_ID_STOP)
		end(h);
	else if (h->state == HINTS_COMING && id != h->command)
		h->state = HINTS_ASKED;
	pthread_mutex_unlock(&h->lock);
}

void hints_free(struct hints *h, uint64_t gpa, uint64_t len)
{
	uint64_t first = align_up(gpa, MEM_PAGE), past = align_down(gpa + len, MEM_PAGE);

	pthread_mutex_lock(&h->lock);
	if (h->state == HINTS_COMING && first < past)
		h->user.free(h->user.opaque, first, past - first);
	pthread_mutex_unlock(&h->lock);
}

void hints_save(struct hints *h, struct buf *out)
{
	pthread_mutex_lock(&h->lock);
	buf_put_le32(out, h->command);
	buf_put_le32(out, h->last_id);
	pthread_mutex_unlock(&h->lock);
}

int hints_load(struct hints *h, struct reader *in)
{
	uint32_t command = reader_le32(in), last_id = reader_le32(in);

	if (in->failed || command >= FIRST_ID)
		return -EINVAL;
	pthread_mutex_lock(&h->lock);
	h->command = command;
	h->last_id = last_id;
	pthread_mutex_unlock(&h->lock);
	return 0;
}
