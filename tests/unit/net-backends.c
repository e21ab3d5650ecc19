/* SPDX-License-Identifier: MIT */
/*
 * host/net: passt's protocol against this program itself, which is run as passt when that is its
 * name; and a tap, where this process may have one, in a network namespace of its own.
 */
#include "host/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/util.h"

#define WAIT_MS 10000
#define PASST_FD 3

/* ---- As passt ---- */

static void write_all(const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = write(PASST_FD, p, len);

		if (n <= 0)
			_exit(0);
		p += n;
		len -= (size_t)n;
	}
}

/* All that comes goes back, in parts of `part` bytes. */
static void echo(size_t part)
{
	static uint8_t bytes[1 << 20];
	ssize_t n;

	while ((n = read(PASST_FD, bytes, sizeof(bytes))) > 0) {
		for (size_t at = 0; at < (size_t)n; at += part)
			write_all(bytes + at, MIN(part, (size_t)n - at));
	}
}

static int as_passt(int argc, char **argv)
{
	const char *act = getenv("PASST_ACT");
	FILE *said = fopen(getenv("PASST_SAID"), "w");

	for (int i = 1; i < argc; i++)
		fprintf(said, "%s\n", argv[i]);
	fclose(said);
	for (int i = 0; !strcmp(act, "chatty") && i < 10000; i++)
		fprintf(stderr, "something that is no matter\n");
	if (!strcmp(act, "fail") || !strcmp(act, "chatty")) {
		fprintf(stderr,
			"Don't run as root\nFailed to bind port 22\nFailed to send 3 bytes\n");
		return 1;
	}
	if (fork())
		return 0;
	if (!strcmp(act, "echo"))
		echo(1 << 20);
	if (!strcmp(act, "dribble"))
		echo(7);
	if (!strcmp(act, "slow")) {
		usleep(100000);
		echo(5000);
	}
	if (!strcmp(act, "zero"))
		write_all("\0\0\0\0", 4);
	if (!strcmp(act, "huge"))
		write_all("\0\1\1\1", 4);
	if (!strcmp(act, "odd")) {
		write_all("\0\0\0\5hello\0\0\0\x0e"
			  "fourteen bytes\0\0",
			  4 + 5 + 4 + 14 + 2);
		return 0;
	}
	if (strcmp(act, "die"))
		sleep(1);
	return 0;
}

static char said_path[256];

/* Was `words`, each followed by a line feed, among what passt was given? */
static bool was_given(const char *words)
{
	char text[4096] = "";
	FILE *f = fopen(said_path, "r");

	if (f) {
		text[fread(text, 1, sizeof(text) - 1, f)] = 0;
		fclose(f);
	}
	return strstr(text, words);
}

static struct net *open_passt(const char *act, struct net_config *config)
{
	struct net_config none = { .mode = NET_MODE_USER, .queues = 1 };
	struct net *net = NULL;
	struct err err = { "" };

	setenv("PASST_ACT", act, 1);
	if (net_open(config ? config : &none, &net, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	return net;
}

/* ---- As the device ---- */

static void fill(uint8_t *bytes, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 13 + i / 256 + seed);
}

static int send_one(struct net *net, uint32_t len, uint32_t seed)
{
	static uint8_t bytes[NET_FRAME_MAX];
	struct virtio_net_hdr_v1 header = { 0 };
	struct iovec iov[] = { { bytes, 5 }, { bytes + 5, len - 5 } };

	fill(bytes, len, seed);
	return net->ops->send(net, &header, iov, 2);
}

/* The next frame, waited for. */
static ssize_t receive_one(struct net *net, const uint8_t **frame)
{
	struct virtio_net_hdr_v1 header;
	struct pollfd pfd = { .fd = net->fd, .events = POLLIN };
	ssize_t n;

	while ((n = net->ops->receive(net, &header, frame)) == -EAGAIN) {
		if (poll(&pfd, 1, WAIT_MS) != 1)
			return -ETIMEDOUT;
	}
	return n;
}

static bool receives(struct net *net, uint32_t len, uint32_t seed)
{
	static uint8_t wanted[NET_FRAME_MAX];
	const uint8_t *frame;
	ssize_t n = receive_one(net, &frame);

	fill(wanted, len, seed);
	return n == (ssize_t)len && !memcmp(frame, wanted, len);
}

/* ---- passt ---- */

static void test_stream(void)
{
	static const uint32_t lengths[] = { 14, 60, 1514, 65535, 15, 9000 };
	struct net *net = open_passt("echo", NULL);
	bool same = true;

	ok(net->offloads == 0 && net->fd >= 0 && fcntl(net->fd, F_GETFD) & FD_CLOEXEC,
	   "passt is started; it has no offloads");
	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++)
		same &= !send_one(net, lengths[i], i) && receives(net, lengths[i], i);
	ok(same, "frames of any length go and come");
	ok(!send_one(net, NET_FRAME_MAX, 0) && !send_one(net, 60, 1) && receives(net, 60, 1),
	   "one that passt would choke on is dropped");
	net->ops->close(net);

	net = open_passt("dribble", NULL);
	same = !send_one(net, 1514, 1) && !send_one(net, 100, 2);
	same &= receives(net, 1514, 1) && receives(net, 100, 2);
	ok(same, "frames that come in small parts");
	net->ops->close(net);
}

/* Another process's end of it, as this program is told of it: by numbers. */
static struct net *hand_on(struct net *net)
{
	struct net_config handed = { .mode = NET_MODE_USER,
				     .queues = 1,
				     .handed = net->fd == 100 ? 110 : 100 };
	struct net *next;

	if (dup2(net->fd, handed.handed) < 0 || dup2(net->place_fd, handed.handed + 1) < 0)
		abort();
	next = open_passt("nobody starts it", &handed);
	net->ops->close(net);
	return next;
}

/* More than the socket holds: what it took in part must end before the next begins. And so with `handed`. */
static void test_full(bool handed)
{
	enum { FRAMES = 200 };
	struct net *net = open_passt("slow", NULL);
	struct pollfd pfd = { .fd = net->fd };
	unsigned int sent = 0, got = 0, refused = 0, hands = 0, returned = 0;
	bool same = true;

	while (same && got < FRAMES) {
		int rc = sent < FRAMES ? send_one(net, 20000 + sent, sent) : net->ops->flush(net);
		struct virtio_net_hdr_v1 header;
		const uint8_t *frame;
		ssize_t n;

		sent += !rc && sent < FRAMES;
		refused += rc == -EAGAIN;
		n = net->ops->receive(net, &header, &frame);
		/* One that nobody took. */
		if (handed && n > 0 && got > returned + 10) {
			net->ops->put_back(net, (uint32_t)n);
			returned = got;
			net = hand_on(net);
			pfd.fd = net->fd;
			continue;
		}
		if (n != -EAGAIN) {
			same = n == (ssize_t)(20000 + got) && frame[1] == (uint8_t)(13 + got);
			got++;
			continue;
		}
		if (handed) {
			net = hand_on(net);
			pfd.fd = net->fd;
			hands++;
		}
		pfd.events = POLLIN | (rc == -EAGAIN ? POLLOUT : 0);
		if ((rc || sent == FRAMES) && poll(&pfd, 1, WAIT_MS) != 1)
			break;
	}
	ok(refused > 0, "a passt that is slow is waited for");
	ok(same && got == FRAMES && !!hands == handed,
	   "and every frame arrives whole, in order (%u of %u), through %u hands", got, sent,
	   hands);
	net->ops->close(net);
}

static void test_lies(void)
{
	static const char *const acts[] = { "zero", "huge", "die" };
	const uint8_t *frame;
	struct net *net;
	int rc = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(acts); i++) {
		net = open_passt(acts[i], NULL);
		ok(receive_one(net, &frame) == -ENODEV, "%s: nobody is there", acts[i]);
		if (!strcmp(acts[i], "die")) {
			for (int k = 0; !rc && k < 1000; k++)
				rc = send_one(net, 1000, 1);
			ok(rc == -ENODEV, "which a sender notices, too");
		}
		net->ops->close(net);
	}
	net = open_passt("odd", NULL);
	ok(receive_one(net, &frame) == 0, "five bytes are no frame");
	ok(receive_one(net, &frame) == 14 && !memcmp(frame, "fourteen bytes", 14),
	   "but the next one is");
	ok(receive_one(net, &frame) == -ENODEV, "and half a length at the end is the end");
	net->ops->close(net);
}

static void test_words(void)
{
	struct net_config config = {
		.mode = NET_MODE_USER,
		.queues = 1,
		.guest_ip = "10.1.2.3",
		.host_ip = "10.1.2.1",
		.mtu = 1400,
		.n_forwards = 2,
		.forwards = { { "127.0.0.1", 0, 22 }, { "0.0.0.0", 8080, 80 } },
	};
	struct net *net = open_passt("echo", &config);
	char words[64];

	net->ops->close(net);
	ok(was_given("--fd\n3\n") && was_given("--address\n10.1.2.3\n") &&
		   was_given("--gateway\n10.1.2.1\n") && was_given("--mtu\n1400\n"),
	   "passt is given the addresses and the MTU");
	ok(was_given("--tcp-ports\n0.0.0.0/8080:80\n"), "and a port to forward");
	snprintf(words, sizeof(words), "--tcp-ports\n127.0.0.1/%u:22\n",
		 config.forwards[0].host_port);
	ok(config.forwards[0].host_port && was_given(words),
	   "and another, of which it was said: %u", config.forwards[0].host_port);
}

static void test_refusals(void)
{
	struct net_config config = { .mode = NET_MODE_USER, .queues = 1 };
	struct err err = { "" };
	struct net *net;

	setenv("PASST_ACT", "fail", 1);
	ok(net_open(&config, &net, &err) == -ECONNREFUSED &&
		   !strcmp(err.text, "passt could not start: Failed to bind port 22"),
	   "a passt that fails: %s", err.text);
	setenv("PASST_ACT", "chatty", 1);
	ok(net_open(&config, &net, &err) == -ECONNREFUSED &&
		   !strcmp(err.text, "passt could not start: Failed to bind port 22"),
	   "and one that says much before: %s", err.text);
	setenv("PATH", "/nothing/here", 1);
	ok(net_open(&config, &net, &err) == -ENOENT && strstr(err.text, "apt install passt"),
	   "none: %s", err.text);
}

/* ---- tap ---- */

/* That are attached. (/sys may be another network namespace's.) */
static unsigned int queues_of(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command),
		 "exit $(ip -d link show %s | sed -n 's/.* numqueues \\([0-9]*\\).*/\\1/p')", name);
	return (unsigned int)WEXITSTATUS(system(command));
}

/* As machine-migrate.c has it: opened while the other is at work, which stops then. */
static void test_handed(void)
{
	struct net_config config = { .mode = NET_MODE_TAP, .queues = 2, .tap_name = "tap3" };
	struct net *first[NET_QUEUES], *next[NET_QUEUES];
	struct err err = { "" };

	ok(!net_open(&config, first, &err), "a tap of two queues, to be handed on: %s", err.text);
	first[1]->ops->enable(first[1], true);
	config.handed = 100;
	for (int i = 0; i < 2; i++)
		dup2(first[i]->fd, config.handed + i);
	ok(!net_open(&config, next, &err) && !strcmp(next[0]->what, "tap tap3") &&
		   next[0]->offloads == first[0]->offloads && queues_of("tap3") == 2,
	   "it is taken as it is: %s", err.text);
	first[1]->ops->enable(first[1], false);
	next[1]->ops->enable(next[1], true);
	ok(queues_of("tap3") == 2, "a queue that the other has stopped goes on");
	next[1]->ops->enable(next[1], false);
	ok(queues_of("tap3") == 1, "and stops");
	first[0]->left = first[1]->left = true;
	net_close(first, 2);
	/* Again, by another who finds the interface gone. */
	config.handed = 110;
	for (int i = 0; i < 2; i++)
		dup2(next[i]->fd, config.handed + i);
	if (!system("ip link del tap3")) {
		ok(!net_open(&config, first, &err) && !first[0]->ops->link(first[0]),
		   "one that was deleted is down: %s", err.text);
		ok(!system("ip tuntap add tap3 mode tap multi_queue && ip link set tap3 up") &&
			   first[0]->ops->link(first[0]),
		   "and comes back");
		net_close(first, 2);
	}
	net_close(next, 2);
	config.handed = 120;
	ok(net_open(&config, first, &err) < 0, "none is there: %s", err.text);
}

static const uint8_t host_ip[4] = { 192, 168, 33, 1 }, guest_ip[4] = { 192, 168, 33, 15 };

static const uint8_t us[6] = { 2, 0, 0, 0, 0, 1 };

/* Who has the host's address? */
static int ask(struct net *net)
{
	static const uint8_t head[] = { 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1 };
	uint8_t ask[60] = { 0 };
	struct virtio_net_hdr_v1 header = { 0 };
	struct iovec iov = { ask, sizeof(ask) };

	memset(ask, 0xff, 6);
	memcpy(ask + 6, us, 6);
	memcpy(ask + 12, head, sizeof(head));
	memcpy(ask + 22, us, 6);
	memcpy(ask + 28, guest_ip, 4);
	memcpy(ask + 38, host_ip, 4);
	return net->ops->send(net, &header, &iov, 1);
}

/* It has answered: beside a few things of its own that it says when an interface comes up. */
static bool is_answer(const uint8_t *frame, ssize_t n)
{
	return n >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 2 &&
	       !memcmp(frame, us, 6) && !memcmp(frame + 28, host_ip, 4);
}

static bool arp(struct net *net)
{
	const uint8_t *frame;
	ssize_t n;

	if (ask(net))
		return false;
	while ((n = receive_one(net, &frame)) >= 0) {
		if (is_answer(frame, n))
			return true;
	}
	return false;
}

/* It may answer by any queue that is in use: which of three does it? -1: none. */
static int answer_of(struct net *nets[3])
{
	struct virtio_net_hdr_v1 header;
	struct pollfd pfd[3];

	for (unsigned int i = 0; i < 3; i++)
		pfd[i] = (struct pollfd){ .fd = nets[i]->fd, .events = POLLIN };
	while (poll(pfd, 3, 200) > 0) {
		for (int i = 0; i < 3; i++) {
			const uint8_t *frame;
			ssize_t n = nets[i]->ops->receive(nets[i], &header, &frame);

			if (n > 0 && is_answer(frame, n))
				return i;
		}
	}
	return -1;
}

/* Asked by queue `by`, and again now and then: what comes up is not there for all of the host at once. */
static int arp_by(struct net *nets[3], unsigned int by)
{
	for (int tries = 0; tries < WAIT_MS / 200; tries++) {
		int answered = ask(nets[by]) ? -1 : answer_of(nets);

		if (answered >= 0)
			return answered;
	}
	return -1;
}

static int interface_mtu(const char *name)
{
	struct ifreq ifr = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int rc;

	strcpy(ifr.ifr_name, name);
	rc = ioctl(fd, SIOCGIFMTU, &ifr);
	close(fd);
	return rc ? -1 : ifr.ifr_mtu;
}

static char script_path[256], down_path[256];

static void make_script(const char *dir)
{
	FILE *f;

	snprintf(script_path, sizeof(script_path), "%s/script", dir);
	snprintf(down_path, sizeof(down_path), "%s/went-down", dir);
	f = fopen(script_path, "w");
	fprintf(f,
		"#!/bin/sh\n[ \"$1\" = tap7 ] || exit 1\necho to stdout\nrm -f %s || exit 1\n"
		"[ \"$UNDO\" ] && echo $1 >%s\nexit 0\n",
		down_path, down_path);
	fclose(f);
	chmod(script_path, 0700);
}

static void test_tap(void)
{
	struct net_config config = { .mode = NET_MODE_TAP, .queues = 1, .mtu = 1400 };
	struct net_config by_fd = { .mode = NET_MODE_FD, .queues = 1 };
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	struct err err = { "" };
	struct net *net = NULL, *second;

	ok(!net_open(&config, &net, &err), "a tap of our own: %s", err.text);
	if (!net)
		return;
	ok(!strcmp(net->what, "tap tap0") && interface_mtu("tap0") == 1400, "it is %s", net->what);
	ok((net->offloads & (NET_CSUM | NET_TSO4 | NET_TSO6)) == (NET_CSUM | NET_TSO4 | NET_TSO6),
	   "with offloads %x", net->offloads);
	ok(arp(net), "the host answers through it");
	ok(!net->ops->set_offload(net, net->offloads) && arp(net), "with all offloads, too");
	config.tap_name = "tap0";
	ok(net_open(&config, &second, &err) == -EBUSY && strstr(err.text, "in use"), "%s",
	   err.text);
	net->ops->close(net);
	ok(interface_mtu("tap0") == -1, "it goes with us");

	config.tap_name = "a-name-of-16-chars";
	ok(net_open(&config, &second, &err) == -EINVAL, "%s", err.text);

	config = (struct net_config){ .mode = NET_MODE_TAP,
				      .queues = 1,
				      .tap_name = "tap7",
				      .script = script_path,
				      .down_script = script_path };
	ok(!net_open(&config, &net, &err), "a name and scripts: %s", err.text);
	setenv("UNDO", "1", 1);
	net->ops->close(net);
	ok(!access(down_path, F_OK), "the second is run at the end");
	config.tap_name = "tap8";
	ok(net_open(&config, &net, &err) == -ECANCELED && interface_mtu("tap8") == -1,
	   "a script that fails: %s", err.text);
	config.script = "/nothing/here";
	ok(net_open(&config, &net, &err) == -ENOENT, "one that is not there: %s", err.text);

	by_fd.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	ok(net_open(&by_fd, &net, &err) < 0, "an fd that is no tap's yet: %s", err.text);
	strcpy(ifr.ifr_name, "tap9");
	ioctl(by_fd.fd, TUNSETIFF, &ifr);
	ok(!net_open(&by_fd, &net, &err) && net->offloads == 0 && !strcmp(net->what, "tap tap9"),
	   "an fd of one without a header: no offloads");
	if (system("ip addr add 192.168.33.1/24 dev tap9 && ip link set tap9 up") == 0) {
		ok(arp(net), "frames go and come without it");
		ok(system("ip link del tap9") == 0 && send_one(net, 60, 1) == -ENODEV, "it goes");
	}
	net->ops->close(net);
	by_fd.fd = open("/dev/null", O_RDWR);
	ok(net_open(&by_fd, &net, &err) < 0 && strstr(err.text, "not a tap's"), "%s", err.text);
	close(by_fd.fd);
}

/* Has something of the host's interfaces changed? */
static bool changed(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	bool is = poll(&pfd, 1, WAIT_MS) == 1;

	net_changes_clear(fd);
	return is;
}

static void test_link(void)
{
	struct net_config config = { .mode = NET_MODE_TAP, .queues = 1, .tap_name = "tap5" };
	const uint8_t *frame;
	struct err err = { "" };
	struct net *net;
	int changes;

	if (system("ip tuntap add tap5 mode tap && ip addr add 192.168.33.1/24 dev tap5")) {
		ok(true, "# skip no ip(8)");
		return;
	}
	ok(!net_open(&config, &net, &err), "a tap that is there: %s", err.text);
	changes = net_changes_open();
	ok(changes >= 0, "changes are told");
	ok(!net->ops->link(net), "it is down at first");
	ok(!system("ip link set tap5 up") && changed(changes) && net->ops->link(net) && arp(net),
	   "up");
	ok(!system("ip link set tap5 down") && changed(changes) && !net->ops->link(net), "down");
	ok(!system("ip link set tap5 name tap6 && ip link set tap6 up") && changed(changes) &&
		   net->ops->link(net) && arp(net),
	   "up by another name");
	ok(!system("ip link set tap6 down && ip link set tap6 name tap5 && ip link del tap5") &&
		   changed(changes) && !net->ops->link(net),
	   "deleted");
	while (receive_one(net, &frame) >= 0)
		;
	ok(send_one(net, 60, 1) == -ENODEV && !net->ops->link(net), "nobody is there");
	ok(!system("ip tuntap add tap5 mode tap && ip addr add 192.168.33.1/24 dev tap5") &&
		   changed(changes) && !net->ops->link(net),
	   "made again, it is down");
	ok(!system("ip link set tap5 up") && changed(changes) && net->ops->link(net) && arp(net),
	   "and up again");
	close(changes);
	net->ops->close(net);
}

static void test_queues(void)
{
	struct net_config config = { .mode = NET_MODE_TAP, .queues = 3 };
	struct net *nets[3];
	struct err err = { "" };

	ok(!net_open(&config, nets, &err), "a tap of three queues: %s", err.text);
	ok(!strcmp(nets[0]->what, nets[2]->what) && nets[2]->offloads == nets[0]->offloads,
	   "all are of %s", nets[2]->what);
	ok(arp_by(nets, 0) == 0 && arp_by(nets, 0) == 0, "only the first is in use");
	ok(!nets[1]->ops->enable(nets[1], true) && !nets[2]->ops->enable(nets[2], true) &&
		   arp_by(nets, 1) >= 0 && arp_by(nets, 2) >= 0,
	   "all of them");
	ok(!nets[1]->ops->enable(nets[1], false) && !nets[1]->ops->enable(nets[1], false) &&
		   arp_by(nets, 2) != 1,
	   "without the second");
	if (!system("ip link del tap0")) {
		ok(!nets[0]->ops->link(nets[0]) && !nets[2]->ops->enable(nets[2], false) &&
			   !nets[1]->ops->enable(nets[1], true),
		   "deleted, it remembers which were");
		ok(!system("ip tuntap add tap0 mode tap multi_queue && ip addr add "
			   "192.168.33.1/24 dev tap0 && ip link set tap0 up") &&
			   nets[0]->ops->link(nets[0]) && (unsigned int)arp_by(nets, 1) < 2,
		   "made again, those are");
	}
	net_close(nets, 3);
	config.tap_name = "tap4";
	ok(!system("ip tuntap add tap4 mode tap") && net_open(&config, nets, &err) == -EINVAL &&
		   strstr(err.text, "multi_queue"),
	   "%s", err.text);
}

static void test_taps(void)
{
	test_tap();
	test_handed();
	test_link();
	test_queues();
}

/* A script of this name, first in PATH, that runs this program, by user emulation if need be. */
static void become_passt(const char *dir)
{
	char self[256] = "", path[512], list[1024];
	FILE *f;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		exit(1);
	snprintf(path, sizeof(path), "%s/passt", dir);
	f = fopen(path, "w");
	if (!f)
		exit(1);
	fprintf(f, "#!/bin/sh\n'%s' as-passt 2>/dev/null && exec '%s' as-passt \"$@\"\n", self,
		self);
	fprintf(f, "exec qemu-aarch64-static -L /usr/aarch64-linux-gnu '%s' as-passt \"$@\"\n",
		self);
	fclose(f);
	chmod(path, 0700);
	snprintf(list, sizeof(list), "%s:%s", dir, getenv("PATH"));
	setenv("PATH", list, 1);
	snprintf(said_path, sizeof(said_path), "%s/said", dir);
	setenv("PASST_SAID", said_path, 1);
}

static void remove_dir(const char *dir)
{
	char line[64];

	snprintf(line, sizeof(line), "rm -r %s", dir);
	if (system(line))
		ok(false, "%s", line);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/net-backends.XXXXXX";

	if (argc > 1 && !strcmp(argv[1], "as-passt"))
		return argc > 2 ? as_passt(argc - 1, argv + 1) : 0;
	if (!mkdtemp(dir))
		return 1;
	signal(SIGPIPE, SIG_IGN);
	make_script(dir);
	if (!access("/dev/net/tun", R_OK | W_OK) && !unshare(CLONE_NEWNET) &&
	    !system("ip link set lo up"))
		test_taps();
	else
		ok(true, "# skip no taps here: not root, or no /dev/net/tun");
	become_passt(dir);
	test_stream();
	test_full(false);
	test_full(true);
	test_lies();
	test_words();
	test_refusals();
	setenv("PATH", "/bin:/usr/bin", 1);
	remove_dir(dir);
	return done_testing();
}
