/* SPDX-License-Identifier: MIT */
/* A machine from inside, for machine.c and the files that are parts of it. */
#ifndef MACHINE_PARTS_H
#define MACHINE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "machine.h"
#include "term/log-tail.h"
#include "term/tty.h"
#include "vm/device.h"

struct machine {
	const struct machine_config *config;
	struct vm *vm;
	struct loop *loop;
	struct tty *tty;
	struct exec *exec;	   /* NULL: there is no command in the guest */
	struct stream *streams[3]; /* its stdin, stdout, stderr */
	struct tty *exec_tty;	   /* or its terminal */
	struct stream *exec_tty_stream;
	struct device_env env;
	struct device_list devices;
	struct pci_bus *pci; /* NULL: none is needed */
	unsigned int n_virtio;
	char names[MACHINE_DISKS][24], net_names[MACHINE_NETS][24];
	char share_names[MACHINE_SHARES][24];
	struct reports reports;
	struct report_console report_consoles[TTY_PORTS];
	struct log_tail log_tail;
	struct timeline timeline;
	struct timeouts timeouts;
	pthread_t last_words; /* of a timeout, if has_last_words */
	bool has_last_words;
	uint64_t words_due;	/* when they are waited for no more */
	atomic_bool words_over; /* it has said them */
	char why[REPORT_LINE + 128];
	struct {
		machine_output_fn fn; /* NULL: nobody */
		void *opaque;
	} watchers[MACHINE_OUTPUTS];
	pthread_mutex_t watch_lock; /* among consoles */
};

/* Bytes that go out: whoever watches them is told. */
void machine_watched(struct machine *m, enum machine_output which, const void *data, size_t len);

/* ---- machine-devices.c ---- */

/* All but the command's. */
int machine_add_devices(struct machine *m, struct err *err);

/* The next virtio device, of that type. */
int machine_add_virtio(struct machine *m, const char *type_name, const char *name,
		       const void *config, struct err *err);

/* ---- machine-exec.c: the command in the guest, if there is one ---- */

int machine_add_exec(struct machine *m, struct err *err);

/* The guest has stopped: nothing more comes. Is all written? And: waits until it is. */
void machine_end_streams(struct machine *m);
bool machine_streams_written(struct machine *m);
void machine_finish_streams(struct machine *m);

/* There is one; the devices are gone. */
void machine_close_exec(struct machine *m);

#endif
