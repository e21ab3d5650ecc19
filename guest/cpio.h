/* SPDX-License-Identifier: MIT */
/*
 * Writes an initramfs: a cpio archive of the newc format (Linux's
 * Documentation/driver-api/early-userspace/buffer-format.rst), all of it root's, without a clock.
 * Out of memory, or a file of 4 GiB and more: the buffer's `failed`.
 */
#ifndef GUEST_CPIO_H
#define GUEST_CPIO_H

#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"

/* The folders that a path lies in come before it; a slash at its beginning is left out. `mode`: permissions. */
void cpio_folder(struct buf *b, const char *path, uint32_t mode);
void cpio_file(struct buf *b, const char *path, uint32_t mode, const void *data, size_t size);
void cpio_device(struct buf *b, const char *path, uint32_t mode, uint32_t major, uint32_t minor);

/* The archive's end. Its length is a multiple of 4 then, if the buffer's was when it began. */
void cpio_end(struct buf *b);

#endif
