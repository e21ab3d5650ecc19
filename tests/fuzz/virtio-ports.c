/* SPDX-License-Identifier: MIT */
/*
 * virtio/ports.h with the ports of a command (guest/exec.h), behind a transport of the test's own: see
 * lib/virtio.h. The streams outside have bytes, take them, fill up and end when the input says so.
 */
#include "virtio/ports.h"

#include <linux/virtio_console.h>

#include "guest/exec.h"
#include "guest/init/exec.h"
#include "tests/fuzz/lib/loop.h"
#include "tests/fuzz/lib/virtio.h"

#define STREAMS 3

struct outside {
	struct stream stream;
	struct stream_client client;
	size_t has, takes;
	bool over;
	uint64_t sum;
};

static struct host {
	struct outside streams[STREAMS];
	struct exec *exec;
	unsigned int ends;
	bool drains;
} host;

static void attach(struct stream *s, const struct stream_client *client)
{
	container_of(s, struct outside, stream)->client = client ? *client
								 : (struct stream_client){ 0 };
}

static ssize_t read_some(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct outside *o = container_of(s, struct outside, stream);
	size_t len;

	CHECK(n && iov[0].iov_len);
	len = MIN(o->has, iov[0].iov_len);
	memset(iov[0].iov_base, 'i', len);
	o->has -= len;
	return len ? (ssize_t)len : o->over ? STREAM_END : STREAM_LATER;
}

/* Each byte can be read. */
static size_t write_some(struct stream *s, const struct iovec *iov, unsigned int n)
{
	struct outside *o = container_of(s, struct outside, stream);
	size_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t part = MIN(iov[i].iov_len, o->takes);

		for (size_t k = 0; k < part; k++)
			o->sum += p[k];
		done += part;
		o->takes -= part;
		if (part < iov[i].iov_len)
			break;
	}
	if (!o->takes && host.drains) {
		o->takes = 1 << 20;
		o->client.room(o->client.opaque);
	}
	return done;
}

static void end(struct stream *s)
{
	(void)s;
}

static const struct stream_ops ops = { attach, read_some, write_some, end };

static void ended(void *opaque, enum exec_end how, int value)
{
	(void)opaque;
	CHECK(how <= EXEC_END_LOST && value >= 0 && value <= 255);
	host.ends++;
}

static void step(struct input *in, void *opaque)
{
	struct outside *o = &host.streams[take_below(in, STREAMS)];

	(void)opaque;
	switch (take_below(in, 6)) {
	case 0:
		o->has += take_u16(in);
		if (o->client.input)
			o->client.input(o->client.opaque);
		break;
	case 1:
		o->takes = take_u8(in);
		break;
	case 2:
		o->takes += take_u16(in);
		if (o->client.room)
			o->client.room(o->client.opaque);
		break;
	case 3:
		o->over = true;
		if (o->client.input)
			o->client.input(o->client.opaque);
		break;
	case 4:
		exec_signal(host.exec, (int)take_below(in, 32));
		exec_window(host.exec, take_u8(in), take_u8(in));
		break;
	case 5:
		timers_expire();
		break;
	}
	loops_run();
}

/* A reader that is too slow would be waited for, by the clock. */
static void before_quiesce(void *opaque)
{
	(void)opaque;
	host.drains = true;
	for (int i = 0; i < STREAMS; i++)
		host.streams[i].takes = 1 << 20;
}

/* Whatever happened, there is one verdict. */
static void after(void *opaque)
{
	(void)opaque;
	exec_stopped(host.exec);
	CHECK(host.ends == 1);
	exec_destroy(host.exec);
}

/* A word of the console's own control, or of init's. */
static uint32_t header(struct input *in, uint8_t out[64])
{
	uint8_t how = take_u8(in);
	struct virtio_console_control c = { take_below(in, 5), (uint16_t)take_below(in, 9),
					    how >> 7 };
	uint32_t word = take_below(in, 5);
	struct exec_message m = { EXEC_HELLO + word, 0 };

	memset(out, 0, 64);
	if (how & 1) {
		memcpy(out, &c, sizeof(c));
		return sizeof(c);
	}
	if (word == 4) /* the rest of a greeting */
		return sizeof(m) + sizeof(struct exec_hello) - 64;
	if (m.type == EXEC_HELLO)
		m.len = sizeof(struct exec_hello);
	else if (m.type == EXEC_EXITED)
		m.len = sizeof(struct exec_exited);
	else
		m.len = how & 2 ? take_u16(in) : 0;
	memcpy(out, &m, sizeof(m));
	if (m.type == EXEC_HELLO)
		out[8] = EXEC_VERSION;
	else if (m.type == EXEC_EXITED)
		out[8] = out[16] = take_u8(in);
	return m.type == EXEC_HELLO ? 64 : (uint32_t)sizeof(m) + MIN(m.len, 56u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ports_config config = { .name = "virtio-ports.0" };
	struct exec_config exec = { .ended = ended };
	struct virtio_fuzz fuzz = {
		.type = &virtio_ports_type,
		.config = &config,
		.step = step,
		.before_quiesce = before_quiesce,
		.header = header,
		.after = after,
	};
	struct input in = { data, size };
	struct loop *loop = loop_create("exec");

	memset(&host, 0, sizeof(host));
	for (int i = 0; i < STREAMS; i++) {
		host.streams[i].stream.ops = &ops;
		host.streams[i].takes = 1 << 20;
	}
	exec.in = &host.streams[0].stream;
	exec.out = &host.streams[1].stream;
	exec.err = &host.streams[2].stream;
	CHECK(!exec_create(&exec, loop, &host.exec, NULL));
	config.n = exec_ports(host.exec, config.ports);
	virtio_fuzz_run(&in, &fuzz);
	loop_destroy(loop);
	return 0;
}
