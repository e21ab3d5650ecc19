/* SPDX-License-Identifier: MIT */
/*
 * What is in an initramfs: cpio archives of the newc format, plain or packed, one behind the other
 * (Linux's Documentation/driver-api/early-userspace/buffer-format.rst).
 */
#ifndef GUEST_INITRAMFS_H
#define GUEST_INITRAMFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/log.h"

/*
 * One file: its path as the archive has it, and its bytes. False: enough was seen. Both are
 * borrowed until it returns.
 */
typedef bool (*initramfs_fn)(void *opaque, const char *path, const uint8_t *data, size_t size);

/*
 * Calls `fn` for each file, in order. A packed archive is unpacked to at most `max` bytes. What is
 * damaged, or packed in a way that this binary doesn't know, ends the walk: -EINVAL, -E2BIG,
 * -ENOMEM or -ENOTSUP; what comes before has been seen then. 0 else.
 */
int initramfs_walk(const void *data, size_t size, size_t max, initramfs_fn fn, void *opaque);

#endif
