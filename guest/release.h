/* SPDX-License-Identifier: MIT */
/* Which kernel an image is: its release, as uname -r will say. */
#ifndef GUEST_RELEASE_H
#define GUEST_RELEASE_H

#include <stdbool.h>
#include <stddef.h>

#define RELEASE_MAX 65 /* with its NUL (Linux's __NEW_UTS_LEN) */

/*
 * From a bzImage's header; else from the banner inside the image, which is unpacked for that if need
 * be. False: it isn't there, or it is no release (no slash, nothing unprintable).
 */
bool release_of_image(const void *image, size_t size, char release[RELEASE_MAX]);

/*
 * Is this unpacked image, which says nothing else of it, a kernel of Linux's? It has the banner then, which
 * no other can hold by chance: "Linux version 6.1.0 (builder@host) ".
 */
bool release_is_linux(const void *image, size_t size);

/* From "vmlinuz-6.1.0" and the like. */
bool release_of_name(const char *path, char release[RELEASE_MAX]);

#endif
