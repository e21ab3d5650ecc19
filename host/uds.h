/* SPDX-License-Identifier: MIT */
/* Unix stream sockets by their paths. All fds are non-blocking and close at exec. */
#ifndef HOST_UDS_H
#define HOST_UDS_H

#include <stdint.h>

#include "util/log.h"

#define UDS_PATH_MAX 107 /* characters of a path, at most */

struct uds_listener {
	const char *path; /* borrowed */
	int fd;
	uint64_t dev, ino; /* of what we made there */
};

/*
 * Listens at `path`, for this user only. A socket that nobody listens at any more is replaced; what
 * else is there is left alone, and refused with one line in `err`. 0 or -errno.
 */
int uds_listen(struct uds_listener *l, const char *path, struct err *err);

/* Listens by `fd`, which another process has bound to `path`, and which is ours from now on. 0 or -errno. */
int uds_adopt(struct uds_listener *l, const char *path, int fd);

/* Closes it, and leaves the path to who has adopted it. */
void uds_leave(struct uds_listener *l);

/* Closes it, and removes the path if it is still the one that was made. */
void uds_close(struct uds_listener *l);

/* The next one who has connected: fd, or -errno (EAGAIN: nobody). */
int uds_accept(const struct uds_listener *l);

/* Connects to who listens at `path`: fd, or -errno, at once. */
int uds_connect(const char *path);

#endif
