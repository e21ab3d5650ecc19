/* SPDX-License-Identifier: MIT */
/* A kernel's configuration: a .config, or one that is embedded in an image (CONFIG_IKCONFIG). */
#ifndef GUEST_KCONFIG_H
#define GUEST_KCONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "guest/unpack.h"

enum kconfig_value { KCONFIG_NO, KCONFIG_MODULE, KCONFIG_YES };

/* Is this text a configuration at all? */
bool kconfig_is(const char *text, size_t len);

/* Of a boolean or tristate option, by its name without CONFIG_. What is not mentioned is no. */
enum kconfig_value kconfig_get(const char *text, size_t len, const char *name);

/* The configuration inside an unpacked image. False: there is none, or no gzip in this binary. */
bool kconfig_embedded(const void *image, size_t size, struct unpacked *config);

#endif
