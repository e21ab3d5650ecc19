/* SPDX-License-Identifier: MIT */
/* Blocks and frames: hypercalls 4 to 7. Their arguments have one form, but that a network has no offset. */
#include <errno.h>
#include <string.h>

#include "hvt/parts.h"
#include "util/util.h"

#define TRIES 16 /* for a frame, where what comes is none */

struct request {
	struct hvt_device *device;
	void *data;
	uint64_t handle, offset, at, len;
	/* Of the arguments, and the places in them of what is told. */
	uint64_t gpa, len_at, result_at;
	uint8_t *arg;
};

static void finish(struct hvt *h, const struct request *r, enum hvt_result result)
{
	put_le32(r->arg + r->result_at, result);
	mem_dirty(&h->vm->mem, r->gpa, r->result_at + 4);
}

/* False: it is over, one way or the other. */
static bool begin(struct hvt *h, uint64_t gpa, enum solo5_type type, struct request *r)
{
	unsigned int word = type == SOLO5_BLOCK ? 2 : 1;

	*r = (struct request){ .gpa = gpa, .len_at = 8 * (word + 1), .result_at = 8 * (word + 2) };
	r->arg = hvt_at(h, gpa, r->result_at + 4, MEM_W);
	if (!r->arg) {
		hvt_fault(h, "has the arguments of its I/O at 0x%llx, which is not its to write",
			  (unsigned long long)gpa);
		return false;
	}
	r->handle = get_le64(r->arg);
	r->offset = type == SOLO5_BLOCK ? get_le64(r->arg + 8) : 0;
	r->at = get_le64(r->arg + 8 * word);
	r->len = get_le64(r->arg + r->len_at);
	if (r->handle >= h->n_devices || h->devices[r->handle].spec.type != type) {
		finish(h, r, HVT_INVALID);
		return false;
	}
	r->device = &h->devices[r->handle];
	return true;
}

/* The guest's data. False: it is not the guest's, which ends it. */
static bool find_data(struct hvt *h, struct request *r, enum mem_access access)
{
	r->data = hvt_at(h, r->at, r->len, access);
	if (!r->data)
		hvt_fault(h, "has %llu bytes of I/O at 0x%llx, outside of its memory",
			  (unsigned long long)r->len, (unsigned long long)r->at);
	return r->data;
}

/* ---- Blocks ---- */

static bool is_whole_blocks(const struct request *r)
{
	uint64_t mask = r->device->block_size - 1u, size = disk_size(r->device->disk);

	return !((r->offset | r->len) & mask) && r->offset < size &&
	       range_in(r->offset, r->len, size);
}

static void transfer(struct hvt *h, uint64_t gpa, enum mem_access access)
{
	struct request r;
	struct iovec iov;
	int rc = 0;

	if (!begin(h, gpa, SOLO5_BLOCK, &r))
		return;
	if (!is_whole_blocks(&r)) {
		finish(h, &r, HVT_INVALID);
		return;
	}
	if (!find_data(h, &r, access))
		return;
	iov = (struct iovec){ r.data, r.len };
	if (r.len && access == MEM_R)
		rc = disk_write(r.device->disk, &iov, 1, r.offset, false);
	else if (r.len)
		rc = disk_read(r.device->disk, &iov, 1, r.offset);
	if (access == MEM_W)
		mem_dirty(&h->vm->mem, r.at, r.len);
	if (rc)
		log_guest(&h->vm->config.log, &h->vm->complaints, "block device %s: %s",
			  h->devices[r.handle].spec.name, strerror(-rc));
	finish(h, &r, rc ? HVT_UNSPECIFIED : HVT_OK);
}

void hvt_block_write(struct hvt *h, uint64_t gpa)
{
	transfer(h, gpa, MEM_R);
}

void hvt_block_read(struct hvt *h, uint64_t gpa)
{
	transfer(h, gpa, MEM_W);
}

/* ---- Frames ---- */

static enum hvt_result result_of(int rc)
{
	return !rc ? HVT_OK : rc == -EAGAIN ? HVT_AGAIN : HVT_UNSPECIFIED;
}

void hvt_net_write(struct hvt *h, uint64_t gpa)
{
	const struct virtio_net_hdr_v1 header = { 0 }; /* nothing is left to do */
	struct request r;
	struct iovec iov;

	if (!begin(h, gpa, SOLO5_NET, &r) || !find_data(h, &r, MEM_R))
		return;
	if (r.len < NET_FRAME_MIN || r.len > NET_FRAME_MAX) {
		finish(h, &r, HVT_INVALID);
		return;
	}
	iov = (struct iovec){ r.data, r.len };
	finish(h, &r, result_of(r.device->net->ops->send(r.device->net, &header, &iov, 1)));
}

/* 0 or more: the frame's length. */
static ssize_t receive(struct net *net, const uint8_t **frame)
{
	struct virtio_net_hdr_v1 header;
	ssize_t n = 0;

	for (unsigned int i = 0; !n && i < TRIES; i++)
		n = net->ops->receive(net, &header, frame);
	return n ? n : -EAGAIN;
}

/* A frame that is longer than the guest's buffer is cut, as a tap itself would have done. */
void hvt_net_read(struct hvt *h, uint64_t gpa)
{
	const uint8_t *frame;
	struct request r;
	ssize_t n;

	if (!begin(h, gpa, SOLO5_NET, &r) || !find_data(h, &r, MEM_W))
		return;
	n = receive(r.device->net, &frame);
	if (n > 0) {
		r.len = MIN(r.len, (uint64_t)n);
		memcpy(r.data, frame, r.len);
		mem_dirty(&h->vm->mem, r.at, r.len);
		put_le64(r.arg + r.len_at, r.len);
	}
	finish(h, &r, result_of((int)MIN(n, (ssize_t)0)));
}
