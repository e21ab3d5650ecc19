/* SPDX-License-Identifier: MIT */
#include "virtio/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What is agreed on for every device's rings. */
#define RING_FEATURES                                                         \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
	 FEATURE(VIRTIO_RING_F_EVENT_IDX))

static int set(const struct vhost *v, unsigned long request, const void *arg)
{
	return ioctl(v->fd, request, arg) < 0 ? -errno : 0;
}

/* ---- All of it ---- */

static int set_features(struct vhost *v, uint64_t features)
{
	uint64_t known = 0;
	int rc = set(v, VHOST_GET_FEATURES, &known);

	v->features = v->dev->st.driver_features & (RING_FEATURES | features);
	if (!rc && v->features & ~known)
		rc = -EOPNOTSUPP;
	return rc ? rc : set(v, VHOST_SET_FEATURES, &v->features);
}

static int set_memory(const struct vhost *v)
{
	const struct mem *mem = v->dev->env->mem;
	union {
		struct vhost_memory table;
		uint8_t room[sizeof(struct vhost_memory) +
			     MEM_SLOTS * sizeof(struct vhost_memory_region)];
	} arg = { .table = { .nregions = mem->n_slots } };

	for (unsigned int i = 0; i < mem->n_slots; i++)
		arg.table.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = mem->slots[i].gpa,
			.memory_size = mem->slots[i].size,
			.userspace_addr = (uintptr_t)mem->slots[i].hva,
		};
	return set(v, VHOST_SET_MEM_TABLE, &arg);
}

int vhost_open(struct vhost *v, struct virtio_dev *dev, const char *path, uint64_t features)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : vhost_take(v, dev, fd, features);
}

int vhost_take(struct vhost *v, struct virtio_dev *dev, int fd, uint64_t features)
{
	int rc;

	*v = (struct vhost){ .dev = dev, .fd = fd };
	rc = set(v, VHOST_SET_OWNER, NULL);
	if (!rc)
		rc = set_features(v, features);
	if (!rc)
		rc = set_memory(v);
	if (rc)
		vhost_close(v);
	return rc;
}

static int set_log(const struct vhost *v)
{
	uint64_t log = (uintptr_t)mem_log(v->dev->env->mem);
	uint64_t features = v->features | FEATURE(VHOST_F_LOG_ALL);
	int rc = log ? set(v, VHOST_SET_LOG_BASE, &log) : -ENOMEM;

	return rc ? rc : set(v, VHOST_SET_FEATURES, &features);
}

void vhost_log(struct vhost *v)
{
	int rc = v->dev->logged ? set_log(v) : 0;

	v->logs = v->dev->logged && !rc;
	if (!v->logs)
		set(v, VHOST_SET_FEATURES, &v->features);
	if (rc)
		log_at(v->dev->env->log, LOG_WARNING,
		       "%s: vhost does not tell which pages it writes to: %s; all of memory counts as written to",
		       v->dev->device.name, strerror(-rc));
}

void vhost_close(struct vhost *v)
{
	close(v->fd);
	v->fd = -1;
}

/* ---- A ring ---- */

static bool take(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static void on_call(void *opaque, uint32_t events)
{
	struct vhost_ring *r = opaque;

	(void)events;
	if (take(r->call_fd))
		virtio_interrupt(r->vhost->dev, r->queue);
}

static void on_error(void *opaque, uint32_t events)
{
	struct vhost_ring *r = opaque;

	(void)events;
	if (take(r->error_fd))
		virtio_broken(r->vhost->dev, r->queue, "the host's kernel can't go on with it");
}

static int set_ring(const struct vhost *v, unsigned int ring)
{
	const struct vhost_ring *r = &v->rings[ring];
	struct virtio_queue *vq = &v->dev->queues[r->queue];
	const struct queue *q = &vq->ring;
	struct vhost_vring_state num = { ring, q->size }, base = { ring, q->st->next_avail };
	struct vhost_vring_addr address = {
		.index = ring,
		.desc_user_addr = (uintptr_t)q->desc,
		.avail_user_addr = (uintptr_t)q->avail,
		.used_user_addr = (uintptr_t)q->used,
	};
	struct vhost_vring_file kick = { ring, atomic_load(&vq->kick_fd) };
	struct vhost_vring_file call = { ring, r->call_fd }, error = { ring, r->error_fd };
	int rc = set(v, VHOST_SET_VRING_NUM, &num);

	if (!rc)
		rc = set(v, VHOST_SET_VRING_BASE, &base);
	if (!rc)
		rc = set(v, VHOST_SET_VRING_ADDR, &address);
	if (!rc)
		rc = set(v, VHOST_SET_VRING_CALL, &call);
	if (!rc)
		rc = set(v, VHOST_SET_VRING_ERR, &error);
	if (!rc)
		rc = set(v, VHOST_SET_VRING_KICK, &kick);
	return rc;
}

static void close_ring(struct vhost_ring *r)
{
	loop_remove(r->loop, r->call);
	loop_remove(r->loop, r->error);
	if (r->call_fd >= 0)
		close(r->call_fd);
	if (r->error_fd >= 0)
		close(r->error_fd);
	r->active = false;
}

int vhost_start(struct vhost *v, unsigned int ring, unsigned int queue, struct loop *loop)
{
	struct vhost_ring *r = &v->rings[ring];
	int rc = 0;

	*r = (struct vhost_ring){ .vhost = v, .queue = queue, .active = true, .loop = loop };
	r->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->error_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->call_fd < 0 || r->error_fd < 0)
		rc = -errno;
	if (!rc)
		rc = loop_add(loop, r->call_fd, EPOLLIN, on_call, r, &r->call);
	if (!rc)
		rc = loop_add(loop, r->error_fd, EPOLLIN, on_error, r, &r->error);
	if (!rc)
		rc = set_ring(v, ring);
	if (rc)
		close_ring(r);
	return rc;
}

static void mark_all(const struct vhost *v)
{
	struct mem *mem = v->dev->env->mem;

	for (unsigned int i = 0; i < mem->n_slots; i++)
		mem_dirty(mem, mem->slots[i].gpa, mem->slots[i].size);
}

void vhost_stop(struct vhost *v, unsigned int ring)
{
	struct vhost_ring *r = &v->rings[ring];
	struct queue *q = &v->dev->queues[r->queue].ring;
	struct vhost_vring_state base = { .index = ring };

	if (!r->active)
		return;
	/* It can't fail where all that came before has not. */
	if (!set(v, VHOST_GET_VRING_BASE, &base))
		queue_go_on(q, (uint16_t)base.num);
	if (!v->logs)
		mark_all(v);
	/* What it said last must not get lost. */
	on_call(r, 0);
	close_ring(r);
}
