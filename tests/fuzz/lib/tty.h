/* SPDX-License-Identifier: MIT */
/*
 * term/tty.h without threads, in place of term/tty.c: what the outside does is said by the target.
 */
#ifndef TESTS_FUZZ_LIB_TTY_H
#define TESTS_FUZZ_LIB_TTY_H

#include "term/tty.h"

struct tty {
	struct tty_client client; /* of its one port, 0 */
	bool attached, wanted;
	size_t accepts; /* bytes that it takes before it refuses */
	bool drains;	/* the outside makes room by itself, before the writer has returned */
	size_t has;	/* bytes of input that wait */
	uint32_t size;	/* columns, rows << 16; 0: not known */
	uint64_t sum;	/* of the bytes that it took */
};

void tty_fresh(struct tty *tty);

/* As the tty's own threads call its client. */
void tty_tell_input(struct tty *tty, size_t more);
void tty_tell_room(struct tty *tty, size_t more);
void tty_tell_break(struct tty *tty);
void tty_tell_size(struct tty *tty, uint32_t size);

#endif
