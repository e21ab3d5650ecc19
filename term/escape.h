/* SPDX-License-Identifier: MIT */
/* A terminal's escape sequences in what a guest prints (ECMA-48): told apart, so that they can be left out. */
#ifndef TERM_ESCAPE_H
#define TERM_ESCAPE_H

#include <stdbool.h>
#include <stdint.h>

/* Zero at first, and where a line ends, which ends them. */
enum escape { ESCAPE_NONE, ESCAPE_BEGUN, ESCAPE_CSI };

/* Is this byte part of one? */
bool escape_takes(enum escape *state, uint8_t byte);

#endif
