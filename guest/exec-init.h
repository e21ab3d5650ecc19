/* SPDX-License-Identifier: MIT */
/* The embedded init, a static program for the guest (guest/init/). The Makefile puts it here. */
#ifndef GUEST_EXEC_INIT_H
#define GUEST_EXEC_INIT_H

#include <stdint.h>

extern const uint8_t exec_init[];
extern const uint64_t exec_init_size;

#endif
