/* SPDX-License-Identifier: MIT */
/*
 * The tty's callbacks come on threads of its own. They do no more than notify a queue, as the
 * driver does: its kick() then looks by itself for input, room or another size. So a reset that
 * stops the kicks has nothing else to wait for.
 *
 * Linux's driver offers its receive buffers before it is ready, and throws away what comes until it
 * has registered its console, which writes the whole log so far. So input is held back until the
 * transmit queue has been quiet for SETTLE_MS: what is piped into lkvm must not be lost.
 */
#include "virtio/console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "virtio/core.h"

/* Linux fills the receive queue with a page for each entry. */
#define QUEUE_SIZE 32
#define RX 0
#define TX 1

/*
 * A virtual console knows no break: this key is what Linux's hvc takes for one, before a SysRq key.
 */
#define SYSRQ 0x0f

/* How long a reader outside may take to make room for what a stopped guest has written. */
#define DRAIN_MS 5000

#define SETTLE_MS 200

/* Guest-visible. */
struct console_state {
	uint32_t sent; /* bytes of the first waiting TX request that the tty has taken already */
	_Atomic uint32_t size; /* as config space shows it: columns, rows << 16; 0 while unknown */
};

struct virtio_console {
	struct virtio_dev dev;
	struct console_state st;
	struct tty *tty;
	int port;
	bool refused;	     /* the tty was full: it will call room() */
	_Atomic bool breaks; /* a break is to be told */
	_Atomic bool settled;
	int settle_fd; /* a timer, or -1 before the first activate() */
	loop_id settle_source;
	struct chain rx, tx;
};

static struct virtio_console *console_of(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_console, dev);
}

static int64_t receive(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_console *con = console_of(dev);
	const uint8_t sysrq = SYSRQ;
	uint32_t got = 0;

	if (!c->in_len)
		return VIRTIO_BROKEN;
	if (!atomic_load(&con->settled))
		return VIRTIO_LATER;
	if (atomic_exchange(&con->breaks, false)) {
		chain_write(c, 0, &sysrq, sizeof(sysrq));
		return sizeof(sysrq);
	}
	for (uint32_t i = c->n_out; i < c->n_out + c->n_in; i++) {
		size_t n = tty_read(con->tty, con->port, c->iov[i].iov_base, c->iov[i].iov_len);

		got += (uint32_t)n;
		if (n < c->iov[i].iov_len)
			break;
	}
	return got ? got : VIRTIO_LATER;
}

/* A request that the tty takes in part stays in the queue, with a note of how much is done. */
static int64_t transmit(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_console *con = console_of(dev);
	struct iovec rest[QUEUE_MAX_SIZE];
	uint32_t sent = MIN(con->st.sent, c->out_len);
	unsigned int n = chain_out_iov(c, sent, c->out_len - sent, rest);

	for (unsigned int i = 0; i < n; i++) {
		size_t taken = tty_write(con->tty, con->port, rest[i].iov_base, rest[i].iov_len);

		sent += (uint32_t)taken;
		if (taken < rest[i].iov_len) {
			con->st.sent = sent;
			con->refused = true;
			return VIRTIO_LATER;
		}
	}
	con->st.sent = 0;
	return 0;
}

/* True: the guest has not seen this size yet. */
static bool update_size(struct virtio_console *con)
{
	unsigned int columns, rows;
	uint32_t size;

	if (!tty_size(con->tty, &columns, &rows))
		return false;
	size = (columns & 0xffff) | (uint32_t)rows << 16;
	return atomic_exchange(&con->st.size, size) != size;
}

/* From now on, or again. */
static void start_settling(struct virtio_console *con)
{
	struct itimerspec when = { .it_value.tv_nsec = SETTLE_MS * 1000000l };

	timerfd_settime(con->settle_fd, 0, &when, NULL);
}

static void on_settled(void *opaque, uint32_t events)
{
	struct virtio_console *con = opaque;
	uint64_t times;

	(void)events;
	if (read(con->settle_fd, &times, sizeof(times)) != sizeof(times))
		return; /* started again meanwhile */
	atomic_store(&con->settled, true);
	virtio_notify(&con->dev, RX);
}

static void console_kick(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_console *con = console_of(dev);

	if (i == RX) {
		if (update_size(con))
			virtio_config_changed(dev);
		virtio_serve(dev, RX, &con->rx, receive);
	} else {
		if (!atomic_load(&con->settled))
			start_settling(con);
		con->refused = false;
		virtio_serve(dev, TX, &con->tx, transmit);
	}
}

/*
 * The guest's last words, a panic's perhaps, must reach the tty, whose scan decides the verdict. A
 * reader outside who takes nothing for DRAIN_MS has had his chance.
 */
static void console_quiesce(struct virtio_dev *dev)
{
	struct virtio_console *con = console_of(dev);
	uint64_t now = clock_now() / CLOCK_MS, end = now + DRAIN_MS;

	if (!dev->queues[TX].active)
		return;
	do {
		console_kick(dev, TX);
		now = clock_now() / CLOCK_MS;
	} while (now < end && virtio_wait_notify(dev, TX, con->refused ? (int)(end - now) : 0));
}

static int console_activate(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_console *con = console_of(dev);
	int rc = 0;

	if (i != RX)
		return 0;
	atomic_store(&con->settled, false);
	if (con->settle_fd < 0) {
		con->settle_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (con->settle_fd < 0)
			return -errno;
		rc = loop_add(dev->env->loop, con->settle_fd, EPOLLIN, on_settled, con,
			      &con->settle_source);
	}
	start_settling(con);
	tty_want_input(con->tty, con->port);
	return rc;
}

static void on_input(void *opaque)
{
	virtio_notify(opaque, RX);
}

static void on_room(void *opaque)
{
	virtio_notify(opaque, TX);
}

static void on_interrupt(void *opaque)
{
	atomic_store(&console_of(opaque)->breaks, true);
	virtio_notify(opaque, RX);
}

static void on_resized(void *opaque)
{
	virtio_notify(opaque, RX);
}

static void console_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
	uint32_t size = atomic_load(&console_of(dev)->st.size);
	struct virtio_console_config config = {
		.cols = (uint16_t)size,
		.rows = (uint16_t)(size >> 16),
		.max_nr_ports = 1,
	};

	memcpy(data, (uint8_t *)&config + offset, len);
}

static void console_reset(struct virtio_dev *dev)
{
	console_of(dev)->st.sent = 0;
}

static void console_save(struct virtio_dev *dev, struct buf *out)
{
	struct virtio_console *con = console_of(dev);

	buf_put_le32(out, con->st.sent);
	buf_put_le32(out, atomic_load(&con->st.size));
}

static int console_load(struct virtio_dev *dev, struct reader *in)
{
	struct virtio_console *con = console_of(dev);
	uint32_t sent = reader_le32(in);
	uint32_t size = reader_le32(in);

	if (in->failed)
		return -EINVAL;
	con->st.sent = sent;
	atomic_store(&con->st.size, size);
	return 0;
}

static void console_destroy(struct virtio_dev *dev)
{
	struct virtio_console *con = console_of(dev);

	tty_detach(con->tty, con->port);
	loop_remove(dev->env->loop, con->settle_source);
	if (con->settle_fd >= 0)
		close(con->settle_fd);
	virtio_fini(dev);
	free(con);
}

static const struct virtio_ops console_ops = {
	.config_read = console_config_read,
	.activate = console_activate,
	.kick = console_kick,
	.quiesce = console_quiesce,
	.reset = console_reset,
	.save = console_save,
	.load = console_load,
	.destroy = console_destroy,
};

static int console_create(const struct device_env *env, const void *config, struct device **out,
			  struct err *err)
{
	const struct console_config *c = config;
	struct virtio_console *con = calloc(1, sizeof(*con));
	struct tty_client client = {
		.input = on_input,
		.room = on_room,
		.interrupt = on_interrupt,
		.resized = on_resized,
	};

	if (!con)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	con->tty = c->tty;
	con->settle_fd = -1;
	con->dev.ops = &console_ops;
	con->dev.id = VIRTIO_ID_CONSOLE;
	con->dev.n_queues = 2;
	con->dev.queue_size = QUEUE_SIZE;
	con->dev.config_size = sizeof(struct virtio_console_config);
	con->dev.features = FEATURE(VIRTIO_CONSOLE_F_SIZE);
	virtio_init(&con->dev, c->name, env);
	client.opaque = &con->dev;
	con->port = tty_attach(con->tty, &client);
	if (con->port < 0) {
		int rc = err_set(err, -con->port, "%s: its terminal takes no more consoles",
				 c->name);

		virtio_fini(&con->dev);
		free(con);
		return rc;
	}
	update_size(con);
	*out = &con->dev.device;
	return 0;
}

const struct device_type virtio_console_type = { "virtio_console", console_create };
