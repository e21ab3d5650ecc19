/* SPDX-License-Identifier: MIT */
/*
 * A virtio device between its two halves (virtio 1.2, sections 2.1 and 3.1).
 *
 * A device half (blk, console, rng) embeds a struct virtio_dev, fills in what it is, and knows no
 * transport. A transport (mmio, pci) puts registers in front of a struct virtio_dev and knows no
 * device. Between them the core owns status, feature negotiation, the state of the queues and the
 * reset handshake. Rules that it enforces: queue registers change only before DRIVER_OK and while
 * the queue is off; FEATURES_OK falls back when the driver takes what was not offered or leaves out
 * VERSION_1; every index of a queue is checked; a reset is over only when nobody uses the queues.
 *
 * Threads. Registers belong to vCPU threads, under `lock`. A started queue belongs to its loop:
 * kick() runs there, one at a time, and needs no lock. What starts, stops and resets queues runs on
 * a vCPU thread (or, for quiesce and resume, on the caller's) with `lock` held and the loop already
 * off that queue: loop_remove() waits for a kick() that still runs. So no handler on a loop may
 * take `lock`; what a loop changes in the state is atomic.
 */
#ifndef VIRTIO_CORE_H
#define VIRTIO_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "util/util.h"
#include "virtio/queue.h"
#include "vm/device.h"

#define VIRTIO_QUEUES 17 /* a device, at most: a network's pairs, and its control queue */

#define FEATURE(bit) (1ull << (bit))

struct virtio_dev;

/*
 * The device half. All but kick() and destroy() may be NULL, config_read() where config_size is 0.
 */
struct virtio_ops {
	/* Config space; [offset, offset + len) is inside config_size. vCPU thread, under `lock`. */
	void (*config_read)(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len);
	/* NULL: nothing there can be written. */
	void (*config_write)(struct virtio_dev *dev, uint32_t offset, const void *data,
			     uint32_t len);
	/*
	 * The driver said DRIVER_OK, or resume: queue `i` is started, its first kick follows. May
	 * move it to another loop (struct virtio_queue), or to none, if somebody else serves it
	 * (virtio/vhost.h). -errno: the device needs reset.
	 */
	int (*activate)(struct virtio_dev *dev, unsigned int i);
	/* Queue `i` may have something new. On its loop, or in quiesce(). */
	void (*kick)(struct virtio_dev *dev, unsigned int i);
	/* All loops are off: take what the guest queued and must not be lost. */
	void (*quiesce)(struct virtio_dev *dev);
	/*
	 * Ends what activate() began; nothing is in flight when it returns, what was taken is
	 * completed.
	 */
	void (*stop)(struct virtio_dev *dev, unsigned int i);
	/* `logged` has changed. Only where others than us may write to guest memory. Under `lock`. */
	void (*log)(struct virtio_dev *dev);
	/* After all queues stopped: the device's own state as at power-on. */
	void (*reset)(struct virtio_dev *dev);
	/*
	 * The device's own state. load() applies all of it, or returns -EINVAL (-ESTALE: a disk of another size) and applies nothing.
	 */
	void (*save)(struct virtio_dev *dev, struct buf *out);
	int (*load)(struct virtio_dev *dev, struct reader *in);
	/* Calls virtio_fini(), then frees. */
	void (*destroy)(struct virtio_dev *dev);
};

/* The transport half. Its own state is `saved_size` bytes, of which any value is a possible one. */
struct virtio_transport {
	/*
	 * Tells the driver that `queue` has used buffers, or (-1) to look at isr and config. Any
	 * thread.
	 */
	void (*interrupt)(struct virtio_dev *dev, int queue);
	/* By which writes the driver notifies this queue. False: by none, now. Under `lock`. */
	bool (*notify_signal)(struct virtio_dev *dev, unsigned int i, struct bus_signal *signal);
	void (*reset)(struct virtio_dev *dev);
	void (*save)(struct virtio_dev *dev, struct buf *out);
	void (*load)(struct virtio_dev *dev, struct reader *in); /* after the device's st */
	uint32_t saved_size;
	/* Gives up its registers and `plug`. */
	void (*unplug)(struct virtio_dev *dev);
};

/* What the guest sees, and nothing else. Atomic: what loops change. */
struct virtio_state {
	uint64_t driver_features;
	uint32_t status;	      /* but for NEEDS_RESET */
	_Atomic uint32_t needs_reset; /* 0 or 1 */
	_Atomic uint32_t isr;	      /* VIRTIO_MMIO_INT_*, which are PCI's bits too */
	_Atomic uint32_t config_generation;
	struct queue_state queues[VIRTIO_QUEUES];
};

/* A queue's host resources. The eventfd is made at the first start and kept until the end. */
struct virtio_queue {
	struct virtio_dev *dev;
	unsigned int index;
	struct queue ring;
	struct loop *loop;   /* env->loop, unless activate() chooses another; NULL: no kick() */
	loop_id source;	     /* LOOP_NONE: the loop is off */
	_Atomic int kick_fd; /* -1 before the first start */
	bool active;
	_Atomic uint32_t exits; /* by which the driver notified it */
	bool bound;		/* KVM takes `signal` for us */
	struct bus_signal signal;
};

struct virtio_dev {
	struct device device; /* its place and interrupt are the transport's to fill in */
	const struct device_env *env;

	/* What it is: set by the device half before virtio_init(), constant from then on. */
	const struct virtio_ops *ops;
	uint32_t id;	     /* VIRTIO_ID_* */
	uint64_t features;   /* offered; the core adds VERSION_1, INDIRECT_DESC and EVENT_IDX */
	uint32_t n_queues;   /* at most VIRTIO_QUEUES */
	uint16_t queue_size; /* the largest, and the one at power-on */
	uint32_t config_size;
	bool often; /* its queues may be notified many thousand times: KVM may be asked to help */

	const struct virtio_transport *transport; /* NULL: not plugged in yet */
	void *plug;				  /* the transport's own */

	pthread_mutex_t lock;
	struct virtio_state st;
	struct virtio_queue queues[VIRTIO_QUEUES];
	bool logged;	       /* struct device_ops' log() is on. Under `lock` */
	_Atomic bool running;  /* between DRIVER_OK and reset or quiesce: interrupts may be sent */
	_Atomic bool stopping; /* somebody waits for the loops to leave the queues */
	struct ratelimit complaints;
};

static inline struct virtio_dev *virtio_from_device(struct device *device)
{
	return container_of(device, struct virtio_dev, device);
}

/*
 * For device halves.
 */

/* `name` and `env` are borrowed. Takes no host resources: they come with DRIVER_OK. */
void virtio_init(struct virtio_dev *dev, const char *name, const struct device_env *env);

/* Stops it and lets go of everything but `dev`. */
void virtio_fini(struct virtio_dev *dev);

/* What serve() returns instead of a number of bytes. */
#define VIRTIO_LATER INT64_C(-1) /* not now: it stays in the queue, a virtio_notify() will follow */
#define VIRTIO_BROKEN INT64_C(-2) /* it breaks the device's rules: the device needs reset */
#define VIRTIO_TAKEN INT64_C(-3)  /* the device has copied it, and gives it back when it is done */

/*
 * The body of a kick(): hands requests to serve() and gives them back with as many bytes written as
 * it returns, or one of the above. `c` is scratch of the device. A long queue is served in turns,
 * so that it can't keep the loop from others.
 */
void virtio_serve(struct virtio_dev *dev, unsigned int i, struct chain *c,
		  int64_t (*serve)(struct virtio_dev *dev, const struct chain *c));

/*
 * A request that was taken is given back, and after one or several the driver is told. On the
 * queue's loop, or in stop().
 */
void virtio_give_back(struct virtio_dev *dev, unsigned int i, const struct chain *c,
		      uint32_t written);
void virtio_tell_driver(struct virtio_dev *dev, unsigned int i);

/*
 * For a queue whose answers are there before its requests, on its loop. 1: `c` holds the next
 * request; 0: none; -EINVAL: it is malformed, and the device needs reset. What is done with it is
 * between the device and the queue itself (virtio/queue.h).
 */
int virtio_pop(struct virtio_dev *dev, unsigned int i, struct chain *c);

/* Somebody else serves queue `i`, and has found that its driver must be interrupted. Any thread. */
void virtio_interrupt(struct virtio_dev *dev, unsigned int i);

/* The driver broke a rule of the device's in queue `i`: nothing goes on until it resets it. */
void virtio_broken(struct virtio_dev *dev, unsigned int i, const char *why);

/* The driver has notified queue `i`, or the device wants its own kick(). Any thread, any number. */
void virtio_notify(struct virtio_dev *dev, uint32_t i);

/* For quiesce(): waits for the next virtio_notify() of queue `i`. False after `timeout_ms`. */
bool virtio_wait_notify(struct virtio_dev *dev, unsigned int i, int timeout_ms);

/* The config space has changed. Any thread. */
void virtio_config_changed(struct virtio_dev *dev);

bool virtio_has_feature(const struct virtio_dev *dev, unsigned int bit);

/*
 * For transports: registers, with `lock` held.
 */

/* Includes NEEDS_RESET. Writing 0 resets; other values only ever add bits. */
uint32_t virtio_status(const struct virtio_dev *dev);
void virtio_set_status(struct virtio_dev *dev, uint32_t status);

/* `word` 0 or 1: 32 bits of 64; others read as 0 and can't be written. */
uint32_t virtio_device_features(const struct virtio_dev *dev, uint32_t word);
uint32_t virtio_driver_features(const struct virtio_dev *dev, uint32_t word);
void virtio_set_driver_features(struct virtio_dev *dev, uint32_t word, uint32_t value);

/* NULL: no such queue; or, to write, it may not change now. The indices are the queue's own. */
const struct queue_state *virtio_queue_regs(const struct virtio_dev *dev, uint32_t i);
struct queue_state *virtio_queue_regs_writable(struct virtio_dev *dev, uint32_t i);

/* The one register of a queue that is on; after DRIVER_OK it stays. */
void virtio_queue_enable(struct virtio_dev *dev, uint32_t i, bool enable);

/* A size that the queue can't have becomes 0: such a queue does not start. */
void virtio_queue_set_size(struct virtio_dev *dev, uint32_t i, uint32_t size);

/* Beyond config_size there are zeros, and a write that reaches beyond writes nothing. */
void virtio_config_read(struct virtio_dev *dev, uint64_t offset, void *data, uint32_t len);
void virtio_config_write(struct virtio_dev *dev, uint64_t offset, const void *data, uint32_t len);

/* The driver has notified queue `i`, any number, by an exit of its vCPU. Without `lock`. */
void virtio_driver_notified(struct virtio_dev *dev, uint32_t i);

/*
 * The device may not touch memory any more, until it may again: its queues stop where they are, and
 * go on there.
 */
void virtio_hold(struct virtio_dev *dev, bool hold);

/* What virtio_driver_notified() asked of KVM is undone: the registers are going elsewhere. */
void virtio_forget_signals(struct virtio_dev *dev);

/*
 * Between core.c and run.c, with `lock` held: the queues that the driver enabled go to their loops;
 * they are taken back, after which no kick() runs; and all that start did is undone.
 */
void virtio_start(struct virtio_dev *dev);
void virtio_take_queues(struct virtio_dev *dev);
void virtio_stop(struct virtio_dev *dev);

#endif
