/* SPDX-License-Identifier: MIT */
/*
 * Lists of pieces of memory: what a disk reads to and writes from. All of these use the list up:
 * its entries change.
 */
#ifndef HOST_IOV_H
#define HOST_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

size_t iov_total(const struct iovec *iov, unsigned int n);

/* Drops `done` bytes from the front of `*iov`; how many entries are left. */
unsigned int iov_advance(struct iovec **iov, unsigned int n, size_t done);

/* Copies up to `len` bytes between `buf` and the front of `*iov`, which advances; how many. */
size_t iov_to_buf(struct iovec **iov, unsigned int *n, void *buf, size_t len);
size_t iov_from_buf(struct iovec **iov, unsigned int *n, const void *buf, size_t len);

void iov_zero(struct iovec *iov, unsigned int n);

/* All of it, at `offset` of a file: 0, or -errno and an unknown part. -EIO: the file is too short. */
int iov_pread(int fd, struct iovec *iov, unsigned int n, uint64_t offset);
int iov_pwrite(int fd, struct iovec *iov, unsigned int n, uint64_t offset);

/*
 * The range of a file becomes a hole, which reads as zeros; where the file system makes none, zeros
 * are written, unless it is `discard` that was wanted. 0 or -errno.
 */
int file_clear(int fd, uint64_t offset, uint64_t len, bool discard);

/* A list that is served part by part, in place: { iov, n } to begin with. */
struct iov_parts {
	struct iovec *iov;
	unsigned int n;
	struct iovec rest; /* what was cut off from the last part's last entry */
};

/*
 * The next `len` bytes (or what is left) as a list of their own: `*part`, how many entries. The
 * part before it must have been used.
 */
unsigned int iov_next_part(struct iov_parts *p, size_t len, struct iovec **part);

#endif
