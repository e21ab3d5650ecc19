/* SPDX-License-Identifier: MIT */
#include "host/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"

size_t iov_total(const struct iovec *iov, unsigned int n)
{
	size_t sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

unsigned int iov_advance(struct iovec **iov, unsigned int n, size_t done)
{
	while (n && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		n--;
	}
	if (n) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
	return n;
}

size_t iov_to_buf(struct iovec **iov, unsigned int *n, void *buf, size_t len)
{
	size_t done = 0;

	while (*n && done < len) {
		size_t part = MIN((*iov)->iov_len, len - done);

		memcpy((uint8_t *)buf + done, (*iov)->iov_base, part);
		done += part;
		*n = iov_advance(iov, *n, part);
	}
	return done;
}

size_t iov_from_buf(struct iovec **iov, unsigned int *n, const void *buf, size_t len)
{
	size_t done = 0;

	while (*n && done < len) {
		size_t part = MIN((*iov)->iov_len, len - done);

		memcpy((*iov)->iov_base, (const uint8_t *)buf + done, part);
		done += part;
		*n = iov_advance(iov, *n, part);
	}
	return done;
}

void iov_zero(struct iovec *iov, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		memset(iov[i].iov_base, 0, iov[i].iov_len);
}

unsigned int iov_next_part(struct iov_parts *p, size_t len, struct iovec **part)
{
	if (p->rest.iov_len) {
		*--p->iov = p->rest;
		p->n++;
		p->rest.iov_len = 0;
	}
	*part = p->iov;
	while (p->n && len >= p->iov->iov_len) {
		len -= p->iov->iov_len;
		p->iov++;
		p->n--;
	}
	if (p->n && len) {
		p->rest.iov_base = (uint8_t *)p->iov->iov_base + len;
		p->rest.iov_len = p->iov->iov_len - len;
		p->iov->iov_len = len;
		p->iov++;
		p->n--;
	}
	return (unsigned int)(p->iov - *part);
}

typedef ssize_t (*vector_fn)(int fd, const struct iovec *iov, int n, off_t offset);

static int transfer(int fd, vector_fn fn, struct iovec *iov, unsigned int n, uint64_t offset)
{
	while (n) {
		ssize_t done = fn(fd, iov, (int)n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (!done) /* the file has become shorter under us */
			return -EIO;
		offset += (uint64_t)done;
		n = iov_advance(&iov, n, (size_t)done);
	}
	return 0;
}

int iov_pread(int fd, struct iovec *iov, unsigned int n, uint64_t offset)
{
	return transfer(fd, preadv, iov, n, offset);
}

int iov_pwrite(int fd, struct iovec *iov, unsigned int n, uint64_t offset)
{
	return transfer(fd, pwritev, iov, n, offset);
}

#define ZEROS (64 * KIB)

/* Rare: a file system without holes. The alignment suits direct I/O of any block size. */
static int write_zeros(int fd, uint64_t offset, uint64_t len)
{
	uint8_t *zeros = aligned_alloc(ZEROS, ZEROS);
	int rc = zeros ? 0 : -ENOMEM;

	if (zeros)
		memset(zeros, 0, ZEROS);
	while (!rc && len) {
		struct iovec part = { zeros, MIN(len, (uint64_t)ZEROS) };
		uint64_t n = part.iov_len;

		rc = iov_pwrite(fd, &part, 1, offset);
		offset += n;
		len -= n;
	}
	free(zeros);
	return rc;
}

int file_clear(int fd, uint64_t offset, uint64_t len, bool discard)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	while (fallocate(fd, mode, (off_t)offset, (off_t)len)) {
		if (errno == EINTR)
			continue;
		if (errno != EOPNOTSUPP && errno != ENOSYS)
			return -errno;
		return discard ? 0 : write_zeros(fd, offset, len);
	}
	return 0;
}
