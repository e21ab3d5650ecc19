/* SPDX-License-Identifier: MIT */
/*
 * What the UARTs share, their half that faces the host: two FIFOs between the guest and a tty, one
 * lock, one interrupt line, and a device's life (struct device_ops). The other half, the registers,
 * is a struct serial_model.
 *
 * The line is infinitely fast: a byte that is sent is gone at once unless the tty refuses it, so
 * the transmit FIFO holds something only while the outside is slow. The receive FIFO is filled from
 * the tty when there is room.
 *
 * The lock guards it all and is held while the model's functions and those below are called.
 */
#ifndef TERM_SERIAL_H
#define TERM_SERIAL_H

#include <pthread.h>

#include "term/uart.h"

#define SERIAL_FIFO 16
#define SERIAL_STATE_MAX 64 /* bytes */

/* The oldest byte first, zeros after the last: equal contents are equal bytes. */
struct serial_fifo {
	uint8_t len, data[SERIAL_FIFO];
};

/* How the state of every model begins. */
struct serial_state {
	uint16_t breaks; /* bit n: rx.data[n] is a break that the guest was not told of */
	struct serial_fifo rx, tx;
};
_Static_assert(sizeof(struct serial_state) == 2 + 2 * (1 + SERIAL_FIFO), "no padding");

struct serial;

enum serial_event {
	SERIAL_INPUT,	 /* the tty has something: serial_refill(), now or later */
	SERIAL_RECEIVED, /* bytes are in the receive FIFO */
	SERIAL_BREAK,	 /* so is a break */
	SERIAL_OVERRUN,	 /* a byte, or a break, found it full and is lost */
	SERIAL_SENT,	 /* the tty took bytes from the transmit FIFO */
	SERIAL_REPLACED, /* the state is another: reset or loaded */
};

struct serial_model {
	enum device_kind kind;
	uint64_t range; /* of its registers, bytes */
	/* Its object, which begins with the struct serial; in there all that the guest can see. */
	size_t size, state_at, state_size;
	const void *power_on;
	bool (*is_possible)(const void *state);

	void (*access)(struct serial *u, uint64_t offset, void *data, uint32_t len, bool is_write);
	void (*event)(struct serial *u, enum serial_event what);
	bool (*interrupts)(struct serial *u); /* the interrupt condition */
	/* What the registers say: the receive FIFO's depth; is the outside cut off (loopback); does
	 * a driver listen? */
	uint8_t (*depth)(struct serial *u);
	bool (*loops)(struct serial *u);
	bool (*wants_input)(struct serial *u);
};

struct serial {
	struct device dev;
	const struct serial_model *model;
	struct serial_state *state; /* all of the model's */
	struct bus *bus;
	struct tty *tty;
	int port;
	pthread_mutex_t lock;
	pthread_cond_t room; /* the tty took something of tx */
	bool line;	     /* the interrupt condition, as last told */
	bool output_only;
	bool listens;	    /* by tty_want_input(); false: takes nothing for the time being */
	bool offered;	    /* the tty may have input that we did not read */
	bool quiet;	    /* between quiesce and resume */
	unsigned int polls; /* of the line's status, in a row; any other access begins anew */
};

/* Makes a device of `model`: what its create() does. */
int serial_create(const struct serial_model *model, const struct device_env *env,
		  const struct uart_config *config, struct device **out, struct err *err);

/* Tells the interrupt line; after anything that may change the condition. */
void serial_update(struct serial *u);

/* The guest shows that it would take input. Takes none yet; nothing if it listens already. */
void serial_listen(struct serial *u);
void serial_leave(struct serial *u); /* it takes none any more */
/* A poll of the line's status, which was idle or not: who asks on and on waits for input. */
void serial_polled(struct serial *u, bool idle);

/* Input that can be taken from the tty now, bytes. */
uint8_t serial_room(struct serial *u);
void serial_refill(struct serial *u);
/* A byte or a break for the guest, from loopback. */
void serial_receive(struct serial *u, uint8_t byte, bool is_break);
/* The oldest byte received; 0 when there is none. */
uint8_t serial_take(struct serial *u);
/* A byte from the guest. Lost when tx is full: the guest was told that there is no room. */
void serial_send(struct serial *u, uint8_t byte);

void serial_clear_rx(struct serial_state *s);
void serial_clear_tx(struct serial_state *s);
bool serial_is_possible(const struct serial_state *s, uint8_t depth);

#endif
