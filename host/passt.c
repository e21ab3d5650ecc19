/* SPDX-License-Identifier: MIT */
/*
 * User networking: passt(1), a process beside us, without privileges, to which we speak through a
 * socket. In both directions each frame comes behind its length, 32 bits, big-endian; a stream, so
 * that a frame may come and go in parts.
 *
 * It goes to the background when all is set up, or fails and says why. It ends when our end of the
 * socket is closed, however we ended, and we see when its end is. A process that goes on with our guest
 * on this host has that end, and how far the stream was read, and with it all connections.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/net.h"
#include "util/util.h"

#define LENGTH sizeof(uint32_t)
/* What passt takes: it gives up on longer ones. */
#define LONGEST 65535u
/* Two of the longest frames, so that a read brings many of the usual ones. */
#define BUFFER (2 * (LENGTH + NET_FRAME_MAX))
#define PIECES 1024
#define PASST_FD 3 /* its end of the socket */

extern char **environ;

/* Where the stream has been read and written to: a file, with which another process can go on. */
struct place {
	uint32_t layout;
	/* What came: [begin, end) of `in` was not handed out yet. */
	uint32_t begin, end;
	/* The end of a frame of which the socket took only the beginning. */
	uint32_t unsent_at, unsent_len;
	uint8_t in[BUFFER];
	uint8_t unsent[LENGTH + NET_FRAME_MAX];
};

#define LAYOUT 1 /* another for each change of it */

struct passt {
	struct net net;
	struct place *place;
};

static struct passt *passt_of(struct net *net)
{
	return container_of(net, struct passt, net);
}

/* ---- Sending ---- */

static int stream_error(int code)
{
	return code == EAGAIN || code == EINTR || code == ENOBUFS ? -EAGAIN : -ENODEV;
}

static int passt_flush(struct net *net)
{
	struct place *p = passt_of(net)->place;

	while (p->unsent_len) {
		ssize_t n = send(net->fd, p->unsent + p->unsent_at, p->unsent_len,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return stream_error(errno);
		p->unsent_at += (uint32_t)n;
		p->unsent_len -= (uint32_t)n;
	}
	return 0;
}

/* What is left of `iov` after `sent` bytes. */
static void keep(struct place *p, const struct iovec *iov, unsigned int n, size_t sent)
{
	p->unsent_at = p->unsent_len = 0;
	for (unsigned int i = 0; i < n; i++) {
		size_t skip = MIN(sent, iov[i].iov_len), len = iov[i].iov_len - skip;

		memcpy(p->unsent + p->unsent_len, (uint8_t *)iov[i].iov_base + skip, len);
		p->unsent_len += (uint32_t)len;
		sent -= skip;
	}
}

static int passt_send(struct net *net, const struct virtio_net_hdr_v1 *header,
		      const struct iovec *iov, unsigned int n)
{
	struct iovec all[PIECES];
	struct msghdr msg = { .msg_iov = all, .msg_iovlen = n + 1 };
	uint8_t length[LENGTH];
	uint32_t len = 0;
	ssize_t sent;
	int rc = passt_flush(net);

	(void)header;
	if (rc)
		return rc;
	for (unsigned int i = 0; i < n; i++)
		len += (uint32_t)iov[i].iov_len;
	if (n + 1 > PIECES || len > LONGEST)
		return 0;
	memcpy(length, &(uint32_t){ htonl(len) }, LENGTH);
	all[0] = (struct iovec){ length, LENGTH };
	memcpy(all + 1, iov, n * sizeof(*iov));
	sent = sendmsg(net->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return stream_error(errno);
	keep(passt_of(net)->place, all, n + 1, (size_t)sent);
	return 0;
}

/* ---- Receiving ---- */

/* More of the stream behind what is there. 0 or -errno. */
static int read_more(struct place *p, int fd)
{
	ssize_t n;

	memmove(p->in, p->in + p->begin, p->end - p->begin);
	p->end -= p->begin;
	p->begin = 0;
	n = recv(fd, p->in + p->end, BUFFER - p->end, MSG_DONTWAIT);
	if (n < 0)
		return stream_error(errno);
	p->end += (uint32_t)n;
	return n ? 0 : -ENODEV;
}

/* The length of the frame at `begin`, if all of it is there; else 0. -EPROTO: it can't be one. */
static ssize_t whole_frame(const struct place *p)
{
	uint32_t have = p->end - p->begin, len;

	if (have < LENGTH)
		return 0;
	memcpy(&len, p->in + p->begin, LENGTH);
	len = ntohl(len);
	/* A stream that was lost can't be found again. */
	if (!len || len > NET_FRAME_MAX)
		return -EPROTO;
	return have - LENGTH >= len ? (ssize_t)len : 0;
}

static ssize_t passt_receive(struct net *net, struct virtio_net_hdr_v1 *header,
			     const uint8_t **frame)
{
	struct place *p = passt_of(net)->place;
	ssize_t len = whole_frame(p);

	if (!len) {
		int rc = read_more(p, net->fd);

		if (rc)
			return rc;
		len = whole_frame(p);
	}
	if (len < 0)
		return -ENODEV;
	if (!len)
		return -EAGAIN;
	memset(header, 0, sizeof(*header));
	*frame = p->in + p->begin + LENGTH;
	p->begin += (uint32_t)(LENGTH + (size_t)len);
	return len < (ssize_t)NET_FRAME_MIN ? 0 : len;
}

/* (It is where it was: only receive() moves what is there.) */
static void passt_put_back(struct net *net, uint32_t len)
{
	passt_of(net)->place->begin -= (uint32_t)LENGTH + len;
}

static void passt_close(struct net *net)
{
	struct passt *p = passt_of(net);

	if (net->fd >= 0)
		close(net->fd);
	if (net->place_fd >= 0)
		close(net->place_fd);
	if (p->place)
		munmap(p->place, sizeof(*p->place));
	free(p);
}

static const struct net_ops passt_ops = {
	.send = passt_send,
	.receive = passt_receive,
	.put_back = passt_put_back,
	.flush = passt_flush,
	.close = passt_close,
};

/* ---- Starting it ---- */

/* A port that nobody has just now: the kernel knows one. */
static int choose_port(struct net_forward *f, struct err *err)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd, rc = 0;

	if (f->host_port)
		return 0;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || inet_pton(AF_INET, f->address, &sin.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&sin, len) ||
	    getsockname(fd, (struct sockaddr *)&sin, &len))
		rc = err_set(err, errno, "no free port at %s: %s", f->address, strerror(errno));
	f->host_port = ntohs(sin.sin_port);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* The last thing it said that is about us, in place. */
static const char *last_words(char *text)
{
	const char *last = "it says nothing";
	char *save;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "Failed to send", 14)) /* where no syslog runs */
			last = line;
	}
	return last;
}

static int not_installed(struct err *err)
{
	return err_set(err, ENOENT,
		       "user networking needs passt, which is not installed: apt install passt, or "
		       "see https://passt.top");
}

/*
 * Its parent process ends when it has gone to the background. What it says meanwhile is in a file, so
 * that it never waits for us; of that the end matters.
 */
static int wait_until_ready(pid_t pid, int said, struct err *err)
{
	char text[2048];
	off_t end;
	ssize_t n;
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!status)
		return 0;
	/* How a shell, and posix_spawn() where it can't tell, say that there is no such program. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return not_installed(err);
	end = lseek(said, 0, SEEK_END);
	n = pread(said, text, sizeof(text) - 1, MAX(end - (off_t)sizeof(text) + 1, (off_t)0));
	text[MAX(n, 0)] = 0;
	return err_set(err, ECONNREFUSED, "passt could not start: %s", last_words(text));
}

static int spawn(char **argv, int socket, int says, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, says, STDERR_FILENO);
	posix_spawn_file_actions_adddup2(&actions, socket, PASST_FD);
	posix_spawnattr_init(&attr);
	/* We ignore what it may not. */
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawnp(pid, argv[0], &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* Words for passt, in room of their own. */
struct words {
	char *argv[16 + 2 * NET_FORWARDS];
	char text[NET_FORWARDS + 4][48];
	unsigned int n, n_text;
};

static void say(struct words *w, const char *option, const char *value)
{
	w->argv[w->n++] = (char *)option;
	if (value)
		w->argv[w->n++] = (char *)value;
}

__attribute__((format(printf, 3, 4))) static void say_text(struct words *w, const char *option,
							   const char *fmt, ...)
{
	char *text = w->text[w->n_text++];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(w->text[0]), fmt, ap);
	va_end(ap);
	say(w, option, text);
}

static void put_words(struct words *w, const struct net_config *c)
{
	say(w, "passt", NULL);
	say(w, "--quiet", NULL);
	say_text(w, "--fd", "%d", PASST_FD);
	if (c->guest_ip) {
		say(w, "--address", c->guest_ip);
		say(w, "--netmask", "24");
	}
	if (c->host_ip)
		say(w, "--gateway", c->host_ip);
	if (c->mtu)
		say_text(w, "--mtu", "%u", c->mtu);
	for (unsigned int i = 0; i < c->n_forwards; i++)
		say_text(w, "--tcp-ports", "%s/%u:%u", c->forwards[i].address,
			 c->forwards[i].host_port, c->forwards[i].guest_port);
}

static int start(const struct net_config *c, int socket, struct err *err)
{
	struct words w = { 0 };
	int said = memfd_create("passt says", MFD_CLOEXEC), rc;
	pid_t pid;

	put_words(&w, c);
	if (said < 0)
		return err_set(err, errno, "no memory for passt's words: %s", strerror(errno));
	rc = spawn(w.argv, socket, said, &pid);
	if (rc == -ENOENT)
		not_installed(err);
	else if (rc)
		err_set(err, -rc, "cannot start passt: %s", strerror(-rc));
	else
		rc = wait_until_ready(pid, said, err);
	close(said);
	return rc;
}

/* ---- Opening it ---- */

/* A new one, or another process's. 0 or -errno. */
static int map_place(struct passt *p, bool is_new)
{
	struct stat st;
	void *at;

	if (is_new)
		p->net.place_fd = memfd_create("passt's stream", MFD_CLOEXEC);
	if (p->net.place_fd < 0 ||
	    (is_new && fallocate(p->net.place_fd, 0, 0, (off_t)sizeof(*p->place))) ||
	    fstat(p->net.place_fd, &st))
		return -errno;
	if (st.st_size != (off_t)sizeof(*p->place))
		return -EPROTO;
	at = mmap(NULL, sizeof(*p->place), PROT_READ | PROT_WRITE, MAP_SHARED, p->net.place_fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	p->place = at;
	if (is_new)
		p->place->layout = LAYOUT;
	return 0;
}

static int start_new(struct passt *p, struct net_config *config, struct err *err)
{
	int ends[2], rc = 0;

	for (unsigned int i = 0; !rc && i < config->n_forwards; i++)
		rc = choose_port(&config->forwards[i], err);
	if (!rc && (map_place(p, true) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)))
		rc = err_set(err, errno, "no socket for passt: %s", strerror(errno));
	if (rc)
		return rc;
	p->net.fd = ends[0];
	rc = start(config, ends[1], err);
	close(ends[1]);
	return rc;
}

/* The other may be at work yet: all but the layout is looked at when somebody asks for a frame. */
static int take_over(struct passt *p, int handed, struct err *err)
{
	int rc;

	p->net.fd = handed;
	p->net.place_fd = handed + 1;
	rc = map_place(p, false);
	if (rc)
		return err_set(err, -rc, "passt's stream can't be gone on with: %s", strerror(-rc));
	return p->place->layout == LAYOUT
		       ? 0
		       : err_set(err, EPROTO, "passt's stream is another lkvm's own");
}

int passt_open(struct net_config *config, struct net *out[], struct err *err)
{
	struct passt *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, ENOMEM, "no memory for passt");
	p->net = (struct net){ .ops = &passt_ops, .what = "passt", .fd = -1, .place_fd = -1 };
	rc = config->handed ? take_over(p, config->handed, err) : start_new(p, config, err);
	if (rc)
		passt_close(&p->net);
	else
		out[0] = &p->net;
	return rc;
}
