/* SPDX-License-Identifier: MIT */
#include "term/escape.h"

bool escape_takes(enum escape *state, uint8_t byte)
{
	switch (*state) {
	case ESCAPE_BEGUN:
		*state = byte == '[' ? ESCAPE_CSI : ESCAPE_NONE;
		return true;
	case ESCAPE_CSI:
		*state = byte >= 0x40 && byte <= 0x7e ? ESCAPE_NONE : ESCAPE_CSI;
		return true;
	case ESCAPE_NONE:
		break;
	}
	*state = byte == 0x1b ? ESCAPE_BEGUN : ESCAPE_NONE;
	return *state;
}
