/* SPDX-License-Identifier: MIT */
/*
 * Port 0 has queues 0 and 1, control 2 and 3, port n 2n+2 and 2n+3; the first of each two is the guest's
 * to receive.
 *
 * What the guest must be told is no list, which a driver could make grow, but a few bits for each port:
 * however often it asks, the answer waits once.
 *
 * Three things about Linux's driver. It throws away what comes to a port that no program has open: so
 * nothing is sent before. It shows a port's name to programs as soon as it has been told, and reading a
 * port that is not open outside gives an end of file: so it is told that first, and the name then. And data
 * and control go through different queues, so that one may overtake the other: what is received is put into
 * its queue before control says that it was all; what is sent may come after the word that it was.
 */
#include "virtio/ports.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/clock.h"
#include "virtio/core.h"

/* Linux fills a queue to receive with a page for each entry; what it sends comes in 32 KiB at most. */
#define QUEUE_SIZE 32

#define CONTROL_RX 2
#define CONTROL_TX 3

/* How long a reader outside may take to make room for what a stopped guest has written. */
#define DRAIN_MS 5000

_Static_assert(2 * (PORTS_MAX + 1) <= VIRTIO_QUEUES,
	       "a pair of queues for each port and for control");

/* Bits of struct port_state. */
enum {
	TELL_ADD = 1, /* in this order */
	TELL_OPEN = 2,
	TELL_NAME = 4,
	TELL = TELL_ADD | TELL_OPEN | TELL_NAME,
	GUEST_OPEN = 8,	   /* the guest has it open */
	GUEST_CLOSED = 16, /* it has closed it, and the stream is to be told */
	HOST_CLOSED = 32,  /* the stream is at its end */
	ALL_FLAGS = 63,
};

/* Guest-visible. */
struct port_state {
	uint32_t flags;
	uint32_t sent; /* bytes of the first waiting TX request that the stream has taken already */
};

struct port {
	struct virtio_ports *ports;
	const char *name;
	struct stream *stream;
	unsigned int id;
	bool refused; /* the stream was full: it will tell room() */
};

struct virtio_ports {
	struct virtio_dev dev;
	struct port_state st[PORTS_MAX];
	struct port ports[PORTS_MAX];
	unsigned int n;
	struct port *served; /* whose queue it is, for serve() */
	struct chain chain;  /* all queues are on one loop */
	struct iovec rest[QUEUE_MAX_SIZE];
};

static struct virtio_ports *ports_of(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_ports, dev);
}

static unsigned int rx_queue(unsigned int port)
{
	return port ? 2 * port + 2 : 0;
}

static unsigned int tx_queue(unsigned int port)
{
	return rx_queue(port) + 1;
}

/* NULL: it is a control queue. */
static struct port *port_of_queue(struct virtio_ports *v, unsigned int i)
{
	if (i / 2 == CONTROL_RX / 2)
		return NULL;
	return &v->ports[i < CONTROL_RX ? 0 : i / 2 - 1];
}

static struct port_state *state_of(const struct port *p)
{
	return &p->ports->st[p->id];
}

/* ---- Control ---- */

static void tell(struct virtio_ports *v, unsigned int id, uint32_t what)
{
	v->st[id].flags |= what;
	virtio_notify(&v->dev, CONTROL_RX);
}

/* The next message, for the first port that has one; false: there is none. */
static bool next_message(struct virtio_ports *v, struct virtio_console_control *m)
{
	static const uint16_t events[] = {
		VIRTIO_CONSOLE_PORT_ADD,
		VIRTIO_CONSOLE_PORT_OPEN,
		VIRTIO_CONSOLE_PORT_NAME,
	};

	for (unsigned int bit = 0; bit < ARRAY_SIZE(events); bit++) {
		for (unsigned int id = 0; id < v->n; id++) {
			struct port_state *st = &v->st[id];

			if (!(st->flags & 1u << bit))
				continue;
			st->flags &= ~(1u << bit);
			*m = (struct virtio_console_control){ id, events[bit], 1 };
			if (m->event == VIRTIO_CONSOLE_PORT_OPEN && st->flags & HOST_CLOSED)
				m->value = 0;
			return true;
		}
	}
	return false;
}

static int64_t send_control(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_ports *v = ports_of(dev);
	struct virtio_console_control m;
	uint32_t name_len = 0;

	if (!next_message(v, &m))
		return VIRTIO_LATER;
	if (m.event == VIRTIO_CONSOLE_PORT_NAME)
		name_len = (uint32_t)strlen(v->ports[m.id].name);
	if (!chain_write(c, 0, &m, sizeof(m)) ||
	    !chain_write(c, sizeof(m), v->ports[m.id].name, name_len))
		return VIRTIO_BROKEN;
	return (int64_t)sizeof(m) + name_len;
}

static void port_opened(struct virtio_ports *v, unsigned int id, bool open)
{
	struct port_state *st = &v->st[id];

	if (open) {
		st->flags |= GUEST_OPEN;
		virtio_notify(&v->dev, rx_queue(id));
	} else if (st->flags & GUEST_OPEN) {
		st->flags &= ~GUEST_OPEN;
		st->flags |= GUEST_CLOSED;
		virtio_notify(&v->dev, tx_queue(id));
	}
}

static void handle_control(struct virtio_ports *v, const struct virtio_console_control *m)
{
	if (m->event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned int id = 0; id < v->n && m->value; id++)
			tell(v, id, TELL_ADD);
		return;
	}
	if (m->id >= v->n)
		return;
	if (m->event == VIRTIO_CONSOLE_PORT_READY && m->value)
		tell(v, m->id, TELL_OPEN | TELL_NAME);
	else if (m->event == VIRTIO_CONSOLE_PORT_OPEN)
		port_opened(v, m->id, m->value);
}

static int64_t receive_control(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_console_control m;

	if (!chain_read(c, 0, &m, sizeof(m)))
		return VIRTIO_BROKEN;
	handle_control(ports_of(dev), &m);
	return 0;
}

/* ---- Data ---- */

static int64_t send_data(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_ports *v = ports_of(dev);
	struct port *p = v->served;
	struct port_state *st = state_of(p);
	ssize_t n;

	if (!c->in_len)
		return VIRTIO_BROKEN;
	if (!(st->flags & GUEST_OPEN) || st->flags & HOST_CLOSED)
		return VIRTIO_LATER;
	n = p->stream->ops->read(p->stream, c->iov + c->n_out, c->n_in);
	if (n == STREAM_END) {
		st->flags |= HOST_CLOSED;
		tell(v, p->id, TELL_OPEN);
	}
	return n < 0 ? VIRTIO_LATER : n;
}

/* A request that the stream takes in part stays in the queue, with a note of how much is done. */
static int64_t receive_data(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_ports *v = ports_of(dev);
	struct port *p = v->served;
	struct port_state *st = state_of(p);
	uint32_t sent = MIN(st->sent, c->out_len);
	unsigned int n = chain_out_iov(c, sent, c->out_len - sent, v->rest);

	sent += (uint32_t)p->stream->ops->write(p->stream, v->rest, n);
	p->refused = sent < c->out_len;
	st->sent = p->refused ? sent : 0;
	return p->refused ? VIRTIO_LATER : 0;
}

/* The guest has closed it: is there nothing left of what it wrote before? */
static void check_end(struct virtio_ports *v, struct port *p)
{
	struct port_state *st = state_of(p);

	if (!(st->flags & GUEST_CLOSED) || !queue_empty(&v->dev.queues[tx_queue(p->id)].ring))
		return;
	st->flags &= ~GUEST_CLOSED;
	p->stream->ops->end(p->stream);
}

/* A driver that knows of one port only takes it for a console, which it is not; nor is it kept waiting. */
static int64_t receive_nothing(struct virtio_dev *dev, const struct chain *c)
{
	(void)dev, (void)c;
	return 0;
}

static void ports_kick(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_ports *v = ports_of(dev);
	struct port *p = port_of_queue(v, i);

	if (!virtio_has_feature(dev, VIRTIO_CONSOLE_F_MULTIPORT)) {
		if (i == tx_queue(0))
			virtio_serve(dev, i, &v->chain, receive_nothing);
		return;
	}
	v->served = p;
	if (!p)
		virtio_serve(dev, i, &v->chain, i == CONTROL_RX ? send_control : receive_control);
	else if (i == rx_queue(p->id))
		virtio_serve(dev, i, &v->chain, send_data);
	else
		virtio_serve(dev, i, &v->chain, receive_data);
	if (p && i == tx_queue(p->id))
		check_end(v, p);
}

/* Any thread. Input is also the end, of which a port for output is told, too. */
static void on_input(void *opaque)
{
	struct port *p = opaque;

	virtio_notify(&p->ports->dev, rx_queue(p->id));
}

static void on_room(void *opaque)
{
	struct port *p = opaque;

	virtio_notify(&p->ports->dev, tx_queue(p->id));
}

/* ---- Life ---- */

/* All that the guest has queued there, or until `end`. */
static void drain(struct virtio_dev *dev, unsigned int i, uint64_t end)
{
	struct port *p = port_of_queue(ports_of(dev), i);
	uint64_t now;

	if (!dev->queues[i].active)
		return;
	do {
		ports_kick(dev, i);
		now = clock_now() / CLOCK_MS;
	} while (now < end && virtio_wait_notify(dev, i, p && p->refused ? (int)(end - now) : 0));
}

/* The guest's last words must not be lost; control at last, which may say how many they were. */
static void ports_quiesce(struct virtio_dev *dev)
{
	uint64_t end = clock_now() / CLOCK_MS + DRAIN_MS;

	for (unsigned int id = 0; id < ports_of(dev)->n; id++)
		drain(dev, tx_queue(id), end);
	drain(dev, CONTROL_TX, end);
}

static void ports_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
	struct virtio_console_config config = { .max_nr_ports = ports_of(dev)->n };

	memcpy(data, (uint8_t *)&config + offset, len);
}

/* What the stream has seen of its end it has seen. */
static void ports_reset(struct virtio_dev *dev)
{
	struct virtio_ports *v = ports_of(dev);

	for (unsigned int id = 0; id < v->n; id++)
		v->st[id] = (struct port_state){ v->st[id].flags & HOST_CLOSED, 0 };
}

static void ports_save(struct virtio_dev *dev, struct buf *out)
{
	struct virtio_ports *v = ports_of(dev);

	for (unsigned int id = 0; id < v->n; id++) {
		buf_put_le32(out, v->st[id].flags);
		buf_put_le32(out, v->st[id].sent);
	}
}

static int ports_load(struct virtio_dev *dev, struct reader *in)
{
	struct virtio_ports *v = ports_of(dev);
	struct port_state st[PORTS_MAX];

	for (unsigned int id = 0; id < v->n; id++) {
		st[id].flags = reader_le32(in);
		st[id].sent = reader_le32(in);
		if (st[id].flags & ~(uint32_t)ALL_FLAGS)
			return -EINVAL;
	}
	if (in->failed)
		return -EINVAL;
	memcpy(v->st, st, v->n * sizeof(st[0]));
	return 0;
}

static void ports_destroy(struct virtio_dev *dev)
{
	struct virtio_ports *v = ports_of(dev);

	for (unsigned int id = 0; id < v->n; id++)
		v->ports[id].stream->ops->attach(v->ports[id].stream, NULL);
	virtio_fini(dev);
	free(v);
}

static const struct virtio_ops ports_ops = {
	.config_read = ports_config_read,
	.kick = ports_kick,
	.quiesce = ports_quiesce,
	.reset = ports_reset,
	.save = ports_save,
	.load = ports_load,
	.destroy = ports_destroy,
};

static void add_port(struct virtio_ports *v, unsigned int id, const struct named_stream *named)
{
	struct port *p = &v->ports[id];
	struct stream_client client = { .input = on_input, .room = on_room, .opaque = p };

	*p = (struct port){ .ports = v, .name = named->name, .stream = named->stream, .id = id };
	p->stream->ops->attach(p->stream, &client);
}

static int ports_create(const struct device_env *env, const void *config, struct device **out,
			struct err *err)
{
	const struct ports_config *c = config;
	struct virtio_ports *v = calloc(1, sizeof(*v));

	if (!v)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	v->n = c->n;
	v->dev.ops = &ports_ops;
	v->dev.id = VIRTIO_ID_CONSOLE;
	v->dev.n_queues = 2 * (c->n + 1);
	v->dev.queue_size = QUEUE_SIZE;
	v->dev.config_size = sizeof(struct virtio_console_config);
	v->dev.features = FEATURE(VIRTIO_CONSOLE_F_MULTIPORT);
	virtio_init(&v->dev, c->name, env);
	for (unsigned int id = 0; id < v->n; id++)
		add_port(v, id, &c->ports[id]);
	*out = &v->dev.device;
	return 0;
}

const struct device_type virtio_ports_type = { "virtio_ports", ports_create };
