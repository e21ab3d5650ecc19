/* SPDX-License-Identifier: MIT */
/*
 * Queues that the host's kernel serves (linux/vhost.h): it takes the driver's kicks from a queue's
 * own eventfd, moves what is to be moved between the rings and what the device's own ioctl gives it,
 * and says by an eventfd when the driver is to be interrupted. That one is ours: we tell the driver
 * as its transport has it, with an interrupt status that is true.
 *
 * While its device is logged (vhost_log()) the kernel marks each page that it writes to; a used ring is marked when it
 * stops. Without that, or where the kernel refuses, all of RAM is marked then.
 *
 * The functions are called while no loop has the queues: in activate(), quiesce() and stop().
 */
#ifndef VIRTIO_VHOST_H
#define VIRTIO_VHOST_H

#include "virtio/core.h"

#define VHOST_RINGS 2

struct vhost_ring {
	struct vhost *vhost;
	unsigned int queue; /* of the device */
	bool active;
	struct loop *loop;
	int call_fd, error_fd;
	loop_id call, error;
};

struct vhost {
	struct virtio_dev *dev;
	int fd;		   /* for the device's own ioctls */
	uint64_t features; /* that were agreed on with it */
	bool logs;	   /* each of its writes, since it was told to */
	struct vhost_ring rings[VHOST_RINGS];
};

/*
 * Opens `path` for a device of which `features` concern whoever serves its queues. -errno: it is not
 * there, or this kernel's does not know all that the driver has agreed to.
 */
int vhost_open(struct vhost *v, struct virtio_dev *dev, const char *path, uint64_t features);

/* The same, with what is open already: it is closed when this fails, and by vhost_close(). */
int vhost_take(struct vhost *v, struct virtio_dev *dev, int fd, uint64_t features);

/*
 * Does as the device's `logged` says, from now on. Only for one that marks every write: vhost-net. After vhost_open();
 * rings may run.
 */
void vhost_log(struct vhost *v);

/* All rings have stopped. */
void vhost_close(struct vhost *v);

/*
 * `ring` is the device's queue from now on; `loop` hears what the kernel says. Then the device's own
 * ioctl sets it going; the same ends it before vhost_stop(), after which the queue can be gone on
 * with where the kernel left it. 0 or -errno.
 */
int vhost_start(struct vhost *v, unsigned int ring, unsigned int queue, struct loop *loop);
void vhost_stop(struct vhost *v, unsigned int ring);

#endif
