/* SPDX-License-Identifier: MIT */
/* A machine from inside, for machine.c and the files that are parts of it. */
#ifndef MACHINE_PARTS_H
#define MACHINE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "machine.h"
#include "term/log-tail.h"
#include "state/snapshot.h"
#include "term/tty.h"
#include "vm/device.h"

/* A migration, from here: see machine-migrate.c. */
struct migration {
	pthread_mutex_t lock; /* of what stands up to `progress` */
	enum migration_status status;
	bool over;     /* the VM is, or will never run: there is none any more */
	bool snapshot; /* one is being written */
	bool read;     /* its thread's: what is printed finds its reader soon */
	struct machine_migration how;
	struct buf options, disks; /* what is said of them first */
	uint64_t begun, ended;
	unsigned int settled; /* how often, since memory is sent */
	double disk_rate;     /* bytes a ns; 0: not known yet */
	struct err err;
	struct migrate_progress progress;
	struct migrate_config config;
	atomic_bool cancel;
	pthread_t thread;
	bool has_thread;
	pid_t heir; /* set before the VM's end is */
};

/* The devices' way down: see machine-down.c. */
struct descent {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t watcher;
	bool watched, over; /* there is a watcher; it is to go */
	atomic_bool stuck;
};

struct machine {
	const struct machine_config *config;
	struct vm *vm;
	struct loop *loop;
	struct loop *clock_loop; /* the timeouts', where `loop` may be kept by its input; or NULL */
	struct tty *tty;
	struct exec *exec;	   /* NULL: there is no command in the guest */
	struct stream *streams[3]; /* its stdin, stdout, stderr */
	struct tty *exec_tty;	   /* or its terminal */
	struct stream *exec_tty_stream;
	struct hvt *hvt; /* NULL: it is none of these */
	int hvt_port;	 /* of the tty */
	struct device_env env;
	struct device_list devices;
	struct pci_bus *pci;	     /* NULL: none is needed */
	struct device *power_button; /* NULL: there is none */
	unsigned int n_virtio;
	char names[MACHINE_DISKS][24], net_names[MACHINE_NETS][24];
	char share_names[MACHINE_SHARES][24];
	unsigned int n_debug_exits;
	char debug_exit_names[MACHINE_DEBUG_EXITS][24]; /* more than a port knows by itself */
	char *cmdline; /* with words for devices; NULL: as it was given */
	struct reports reports;
	struct report_console report_consoles[TTY_PORTS];
	struct log_tail log_tail;
	struct timeline timeline;
	struct timeouts timeouts;
	pthread_t last_words; /* of a timeout, if has_last_words */
	bool has_last_words;
	uint64_t words_due;	/* when they are waited for no more */
	atomic_bool words_over; /* it has said them */
	struct descent descent;
	struct migration migration;
	struct diff diff;
	struct disk *disks[MACHINE_DISKS]; /* the devices' */
	/* Likewise: all networks'. */
	struct net *net_queues[MACHINE_NETS * NET_QUEUES];
	unsigned int n_net_queues;
	atomic_bool driven; /* a device has been: there may be something to wait for */
	char why[REPORT_LINE + 128];
	struct {
		machine_output_fn fn; /* NULL: nobody */
		void *opaque;
	} watchers[MACHINE_OUTPUTS];
	pthread_mutex_t watch_lock; /* among consoles */
	pthread_mutex_t state_lock; /* who has it may quiesce devices, or take them down */
};

/* Bytes that go out: whoever watches them is told. */
void machine_watched(struct machine *m, enum machine_output which, const void *data, size_t len);

/* ---- machine-devices.c ---- */

/* All but the command's. */
int machine_add_devices(struct machine *m, struct err *err);

/* Only Linux knows it, and not where init of ours is all that runs: that hears of an end by its port. */
bool machine_has_power_button(const struct machine_config *config);

/* A device of that type, which knows its place. And: the next virtio device. */
int machine_add_device(struct machine *m, const char *type_name, const char *name,
		       const void *config, struct err *err);
int machine_add_virtio(struct machine *m, const char *type_name, const char *name,
		       const void *config, struct err *err);

/* ---- machine-small.c: what images know that are no Linux kernels ---- */

int machine_add_small(struct machine *m, struct err *err);

/* How the guest shall learn of its devices: not DISCOVERY_DEFAULT any more. */
enum discovery machine_discovery(const struct machine_config *config);

/* The command line for the image, with a word for each virtio-mmio device where those are told so. */
int machine_cmdline(struct machine *m, const char **cmdline, struct err *err);

/* The image printed "EXIT: STATUS=" and this number. */
void machine_told_status(struct machine *m, unsigned int number);

/* ---- machine-hvt.c ---- */

int machine_add_hvt(struct machine *m, struct err *err);
void machine_remove_hvt(struct machine *m); /* the vCPU has stopped */

/* ---- machine-down.c: is the VM taken down in time? ---- */

void machine_init_descent(struct machine *m);

/* From now on, or already; any thread. Until it is over. */
void machine_watch_descent(struct machine *m);
void machine_end_descent(struct machine *m);

/* ---- machine-timeouts.c ---- */

int machine_start_timeouts(struct machine *m, struct err *err);

/* None comes any more. What is said of one that came is waited for until it is too late for that. */
void machine_stop_timeouts(struct machine *m);
bool machine_words_over(struct machine *m); /* all is said */
void machine_join_last_words(struct machine *m);

/* ---- machine-state.c ---- */

/* Memory and state will be config->snapshot's. */
int machine_prepare_restore(struct machine *m, struct vm_config *config, struct err *err);

/* ---- machine-migrate.c ---- */

void machine_init_migration(struct machine *m);
void machine_end_migration(struct machine *m); /* the VM has ended, or will never run */
void machine_destroy_migration(struct machine *m);

/* While a snapshot is written there is none. -EBUSY and a line: there is one. */
int machine_exclude_migration(struct machine *m, bool exclude, struct err *err);

/* Memory and state will come from config->incoming. */
int machine_prepare_incoming(struct machine *m, struct vm_config *config, struct err *err);

/* ---- machine-disks.c: those that come along ---- */

/* The source's: before it says anything, what it says of them; while the guest runs; and when it stands. */
int machine_begin_disks(struct machine *m, struct buf *said, struct err *err);
int machine_send_disks(struct machine *m, struct wire *wire, struct err *err);
uint64_t machine_disks_left(const struct machine *m); /* bytes */
bool machine_disks_wait(const struct machine *m);     /* there is much left again */
int machine_send_last(struct machine *m, struct wire *wire, struct err *err);

/* The target's: are they as they have to be; and receive.more. */
int machine_check_disks(const struct machine *m, struct err *err);
int machine_take_disks(void *opaque, struct wire *wire, const struct frame *f, struct err *err);

/* ---- machine-exec.c: the command in the guest, if there is one ---- */

int machine_add_exec(struct machine *m, struct err *err);

/* The guest has stopped: nothing more comes. Is all written? And: waits until it is. */
void machine_end_streams(struct machine *m);
bool machine_streams_written(struct machine *m);
void machine_finish_streams(struct machine *m);

/* There is one; the devices are gone. */
void machine_close_exec(struct machine *m);

#endif
