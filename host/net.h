/* SPDX-License-Identifier: MIT */
/*
 * Where a network device's frames go to and come from: a backend. Frames are Ethernet's, without
 * their checksum at the end. A backend may take frames that are not finished (no TCP checksum yet,
 * or far longer than the MTU), and bring such: then it has `offloads`, and the header of virtio-net
 * says what is left to do (virtio 1.2, section 5.1.6). One that has none ignores the header, and
 * brings zeros.
 *
 * A backend may have several queues, each a struct net of its own. A queue is used by one thread at
 * a time; nothing in it blocks once it is open.
 */
#ifndef HOST_NET_H
#define HOST_NET_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "util/log.h"

#define NET_FRAME_MIN 14u /* an Ethernet header */
/* That, a VLAN tag, an IPv6 header, and the longest payload it can announce. */
#define NET_FRAME_MAX (14u + 4u + 40u + 65535u)

/* What a backend can be left to do, and can be told that its reader does. */
enum {
	NET_CSUM = 1,
	NET_TSO4 = 2,
	NET_TSO6 = 4,
	NET_TSO_ECN = 8,
	NET_USO = 16, /* UDP, over IPv4 and IPv6 */
};

struct net;

struct net_ops {
	/*
	 * One frame, of NET_FRAME_MIN to NET_FRAME_MAX bytes, whole or not at all. `header` is as
	 * the backend's offloads allow; num_buffers is not looked at. 0: it is taken, and so is
	 * what had to be thrown away. -EAGAIN: not now; POLLOUT on the fd will tell. -ENODEV: there
	 * is nobody any more.
	 */
	int (*send)(struct net *net, const struct virtio_net_hdr_v1 *header,
		    const struct iovec *iov, unsigned int n);
	/*
	 * The next frame's length, NET_FRAME_MIN to NET_FRAME_MAX; `*frame` is lent until the next
	 * call. What the header says is the peer's word, unchecked. -EAGAIN: none yet, POLLIN will
	 * tell. -ENODEV as above. 0: what came was no frame, ask again.
	 */
	ssize_t (*receive)(struct net *net, struct virtio_net_hdr_v1 *header,
			   const uint8_t **frame);
	/*
	 * The frame that is lent was not taken: it comes again, perhaps to another process (`handed` below). NULL:
	 * then it is lost.
	 */
	void (*put_back)(struct net *net, uint32_t len);
	/*
	 * Goes on with what send() has taken and not got rid of. 0: all is gone. -EAGAIN: POLLOUT
	 * will tell when to call it again. NULL: nothing is ever left.
	 */
	int (*flush)(struct net *net);
	/*
	 * What frames that are received may leave to the reader: of `offloads`; all queues have the
	 * same. 0 or -errno.
	 */
	int (*set_offload)(struct net *net, uint32_t offloads);
	/*
	 * From now on this queue takes its part of what comes, or no more. All but the first begin
	 * without. NULL: there is one queue. 0 or -errno.
	 */
	int (*enable)(struct net *net, bool on);
	/*
	 * Of the first queue: may frames come and go, as the host has it now? To be asked again
	 * when net_changes_open()'s fd tells. NULL: as long as nobody says -ENODEV.
	 */
	bool (*link)(struct net *net);
	/* Of the first queue: as the host has it now, or -errno. NULL: it has none. */
	int (*mtu)(struct net *net);
	/* Of the first queue first. */
	void (*close)(struct net *net);
};

struct net {
	const struct net_ops *ops;
	const char *what;  /* for people: "tap tap0" */
	int fd;		   /* to poll for EPOLLIN and EPOLLOUT */
	int place_fd;	   /* what another process needs besides to go on with it; -1: nothing */
	uint32_t offloads; /* NET_*; 0: no header */
	bool vhost;	   /* the fd can be given to NET_VHOST (linux/vhost.h) */
	bool left; /* another process has it, too, and goes on: close() takes nothing down */
};

#define NET_VHOST "/dev/vhost-net"

enum net_mode { NET_MODE_USER, NET_MODE_TAP, NET_MODE_FD };

#define NET_FORWARDS 16
#define NET_QUEUES 8

/* A connection to `host_port` at `address` of the host becomes one to the guest's port. */
struct net_forward {
	char address[16];   /* IPv4, dotted */
	uint16_t host_port; /* 0: any that is free; net_open() writes here which */
	uint16_t guest_port;
};

struct net_config {
	enum net_mode mode;
	const char *host_ip, *guest_ip; /* NULL: as the mode has it */
	unsigned int mtu;		/* 0: as the mode has it */
	unsigned int queues;		/* 1 to NET_QUEUES; more than one with NET_MODE_TAP only */
	/* NET_MODE_TAP: of this name, or NULL: one that is made now, and goes at the end. */
	const char *tap_name;
	/* Run with the tap's name once it is there, and before it goes; NULL: none. */
	const char *script, *down_script;
	int fd; /* NET_MODE_FD: of a tap, the backend's own once it is open */
	/*
	 * Its queues are open already, by this number and those behind it (each queue's fd, and its place_fd if it has
	 * one), and another process may be using them for a while: they are taken as they are, and nothing is tried, set
	 * or run; they are `left` until somebody says that they are not. Closed on exec by then, and the backend's own.
	 * 0: none are.
	 */
	int handed;
	/* NET_MODE_USER */
	unsigned int n_forwards;
	struct net_forward forwards[NET_FORWARDS];
};

/*
 * `config`'s strings outlive the backend; `out` has room for its queues. -errno and a line: nothing
 * was started or left.
 */
int net_open(struct net_config *config, struct net *out[], struct err *err);
void net_close(struct net *queues[], unsigned int n);

/* How many fds there are from `handed` on, for such a network. */
unsigned int net_handed(const struct net_config *config);

/*
 * An fd that can be read whenever an interface of the host may have changed, until it is cleared.
 * -errno; the caller closes it.
 */
int net_changes_open(void);
void net_changes_clear(int fd);

/* For net_open(). */
int tap_open(const struct net_config *config, struct net *out[], struct err *err);
int passt_open(struct net_config *config, struct net *out[], struct err *err);

#endif
