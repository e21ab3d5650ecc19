/* SPDX-License-Identifier: MIT */
#include "guest/cpio.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "util/util.h"

#define HEADER 110 /* "070701" and 13 numbers of 8 digits */
#define ALIGN 4

static void pad(struct buf *b)
{
	buf_put_zeros(b, (size_t)(align_up(b->len, ALIGN) - b->len));
}

/* A number that is 0 is none: inode, owner, time, the archive's own device, checksum. */
static void put_entry(struct buf *b, const char *path, uint32_t mode, uint32_t size, uint32_t major,
		      uint32_t minor)
{
	char header[HEADER + 1];

	path += *path == '/';
	snprintf(header, sizeof(header),
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 0, mode, 0, 0, 1, 0,
		 size, 0, 0, major, minor, (uint32_t)strlen(path) + 1, 0);
	buf_put(b, header, HEADER);
	buf_put(b, path, strlen(path) + 1);
	pad(b);
}

void cpio_folder(struct buf *b, const char *path, uint32_t mode)
{
	put_entry(b, path, S_IFDIR | mode, 0, 0, 0);
}

void cpio_file(struct buf *b, const char *path, uint32_t mode, const void *data, size_t size)
{
	if (size > UINT32_MAX) {
		b->failed = true;
		return;
	}
	put_entry(b, path, S_IFREG | mode, (uint32_t)size, 0, 0);
	buf_put(b, data, size);
	pad(b);
}

void cpio_device(struct buf *b, const char *path, uint32_t mode, uint32_t major, uint32_t minor)
{
	put_entry(b, path, S_IFCHR | mode, 0, major, minor);
}

void cpio_end(struct buf *b)
{
	put_entry(b, "TRAILER!!!", 0, 0, 0, 0);
}
