/* SPDX-License-Identifier: MIT */
/*
 * A client of the control socket (control/client.c, commands.c): whatever it sends, in whatever pieces, and
 * whether it reads or not, each line that it gets is JSON, and nothing of it stays. The machine is none.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/parts.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lib/loop.h"

/* ---- A machine that has not begun to run ---- */

static struct vm vm = {
	.config = { .mem = 1 << 20, .cpus = 1 },
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};
static const struct machine_config settings = {
	.n_disks = 1,
	.disks = { { .path = "a \"disk\"" } },
};
static struct device_list devices;
static const struct timeline timeline;

void machine_stop(struct machine *m, int signal)
{
	(void)m;
	(void)signal;
}

int machine_power_button(struct machine *m)
{
	(void)m;
	return 0;
}

bool machine_sysrq(struct machine *m, char key)
{
	(void)m;
	CHECK(key >= '0' && key <= 'z');
	return key == 't';
}

const struct machine_config *machine_settings(const struct machine *m)
{
	(void)m;
	return &settings;
}

struct loop *machine_loop(struct machine *m)
{
	(void)m;
	abort();
}

struct vm *machine_vm(struct machine *m)
{
	(void)m;
	return &vm;
}

struct device_list *machine_devices(struct machine *m)
{
	(void)m;
	return &devices;
}

const struct timeline *machine_timeline(const struct machine *m)
{
	(void)m;
	return &timeline;
}

/* ---- The client ---- */

struct heard {
	char text[1 << 20];
	size_t len;
};

static void hear(int fd, struct heard *h)
{
	ssize_t n;

	do {
		n = recv(fd, h->text + h->len, sizeof(h->text) - h->len, MSG_DONTWAIT);
		h->len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
}

static void check(const struct heard *h)
{
	size_t at = 0;

	for (const char *end; at < h->len && (end = memchr(h->text + at, '\n', h->len - at));
	     at = (size_t)(end - h->text) + 1) {
		struct json_tree t;

		CHECK(!json_parse(&t, h->text + at, (size_t)(end - h->text) - at, NULL));
		CHECK(t.values[0].type == JSON_OBJECT);
		json_free(&t);
	}
}

/* Pieces of up to 255 bytes; a 0 is followed by the piece once more, 64 times. */
static void speak(int fd, struct input *in, struct heard *h, bool reads)
{
	while (in->left && h->len < sizeof(h->text) / 2) {
		size_t len = take_u8(in);
		unsigned int times = len ? 1 : 64;

		if (!len)
			len = take_u8(in);
		len = MIN(len, in->left);
		for (unsigned int i = 0; i < times; i++) {
			ssize_t rc = send(fd, in->p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

			(void)rc;
			loops_run();
			if (reads)
				hear(fd, h);
		}
		in->p += len;
		in->left -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct heard h;
	struct input in = { data, size };
	struct control c = {
		.config = { .name = "web", .version = "0.1-fuzz" },
		.vm = &vm,
		.loop = loop_create("control"),
	};
	bool reads = take_u8(&in) & 1;
	int fds[2];

	h.len = 0;
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
	c.clients[0] = client_create(&c, fds[0]);
	CHECK(c.clients[0]);
	speak(fds[1], &in, &h, reads);
	hear(fds[1], &h);
	check(&h);
	close(fds[1]);
	for (int i = 0; i < 10000 && c.clients[0]; i++)
		loops_run();
	CHECK(!c.clients[0]);
	loop_destroy(c.loop);
	loops_end();
	return 0;
}
