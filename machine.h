/* SPDX-License-Identifier: MIT */
/*
 * A whole machine: the VM, its devices, its console. Several may live in one process; the terminal
 * belongs to at most one of them.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>

#include "host/net.h"
#include "hvt/hvt.h"
#include "platform/debug-exit.h"
#include "state/migrate.h"
#include "util/limit.h"
#include "term/reports.h"
#include "util/log.h"
#include "vm/arch.h"
#include "vm/timeline.h"
#include "vm/timeouts.h"
#include "vm/vm.h"

#define MACHINE_DISKS 32
#define MACHINE_DISK_QUEUES 8
#define MACHINE_NETS 8
#define MACHINE_NET_FDS (MACHINE_NETS * NET_QUEUES) /* (Who has two for a queue has one queue.) */
#define MACHINE_SHARES 16
#define MACHINE_DEBUG_EXITS 4

enum console_kind { CONSOLE_SERIAL, CONSOLE_VIRTIO, CONSOLE_NONE };

struct machine_disk {
	const char *path;
	const char *format; /* host/disk.h; NULL: not said */
	bool ro, cow, direct, backing_any;
	const char *serial; /* what GET_ID tells; NULL: none */
	/* How it is read and written (host/disk-queue.h); NULL: the best there is. */
	const char *engine;
	unsigned int queues; /* 0: one */
	struct limit_config limit;
};

struct machine_net {
	struct net_config net;
	uint8_t mac[6];
	int vhost; /* by the host's kernel: 1 it must, 0 it must not, -1 if it can */
	struct limit_config limit;
};

/* The command in the guest (guest/exec.h), as the host sees it. */
struct machine_exec {
	bool tty; /* it has a terminal, which is `in` and `out`; these are borrowed then */
	/* Else its streams, -1 for none: the machine's from machine_create() on. */
	int in, out, err;
};

struct machine_share {
	const char *tag, *dir;
	bool ro;
	bool is_root; /* of a command: without it nothing of that is left */
	bool cow;     /* `ro` here; who mounts it lays something over it to write to */
};

/* How the guest learns of virtio-mmio devices, where it is not by a device tree. */
enum discovery {
	DISCOVERY_DEFAULT, /* DISCOVERY_CMDLINE for an image that is no Linux kernel, else ... */
	DISCOVERY_ACPI,
	DISCOVERY_CMDLINE, /* by words on the command line, and not in the ACPI tables */
	DISCOVERY_BOTH,
};

struct machine_debug_exit {
	uint16_t port;
	enum debug_exit_rule rule;
	uint32_t ok;
};

struct buf;
struct machine;
struct snapshot;
struct receive;

struct machine_config {
	struct vm_config vm; /* irq_lines is filled in by machine_create() */
	struct arch_image image;
	const char *payload; /* a built-in guest, instead of image.kernel */
	/* Instead of an image: a machine that was saved, whose configuration was the same. Till machine_run(). */
	const struct snapshot *snapshot;
	/* The same: one that is migrated to here, by who has begun so (state/receive.h). */
	struct receive *incoming;
	enum discovery discovery;
	/* Where it may write its exit status, in place of where such images do; see machine-small.c. */
	bool debug_exits_given;
	unsigned int n_debug_exits;
	struct machine_debug_exit debug_exits[MACHINE_DEBUG_EXITS];
	const struct hvt_guest *hvt; /* a Solo5 image, instead of all of that and of all devices */
	enum console_kind console;
	int in, out; /* the console's fds, -1 for none; borrowed */
	int log_fd;  /* --console-log, or -1; owned by the machine from machine_create() on */
	const struct machine_exec *exec; /* NULL: there is no command */
	bool virtio_pci; /* virtio devices are on a PCI bus, else at virtio-mmio's places */
	bool rng;
	uint32_t vsock_cid;	/* the guest's address, 0: no socket device */
	const char *vsock_path; /* of its Unix socket */
	bool balloon;
	uint64_t balloon_target;     /* bytes that it shall take from the start */
	bool triple_fault_ok;	     /* an image that ends so means it */
	bool reset_ok;		     /* the same */
	uint64_t timeouts[TIMEOUTS]; /* ms, 0: none */
	uint32_t fail_on;	     /* bits: enum report_class */
	bool show_log;		     /* the consoles' last lines, when the run fails */
	bool stamped;		     /* the kernel was told to print time stamps */
	/* The guest that was awaited (incoming) is here. NULL: nobody is told. On machine_run()'s thread. */
	void (*come)(void *opaque);
	void *come_opaque;
	/*
	 * The VM has ended, and its devices have not come down for `stuck_ms` (0: that is not looked at): one
	 * waits for the host, a file server perhaps, and may for ever. On a thread of its own, once;
	 * machine_status() and machine_flush() may be asked then. A process that wants to end has to exit
	 * from there: machine_run() goes on waiting.
	 */
	void (*stuck)(void *opaque, struct machine *m);
	void *stuck_opaque;
	unsigned int stuck_ms;
	unsigned int n_disks;
	struct machine_disk disks[MACHINE_DISKS];
	unsigned int n_nets;
	struct machine_net nets[MACHINE_NETS];
	unsigned int n_shares;
	struct machine_share shares[MACHINE_SHARES];
};

/* How many virtio devices it will have. */
unsigned int machine_virtio_devices(const struct machine_config *config);

/* May reading what the guest reads from take as long as somebody else likes? (host/input.h) */
bool machine_input_may_last(const struct machine_config *config);

/*
 * `config` and what it points to outlive the machine. -errno and a line: nothing was started or
 * left.
 */
int machine_create(const struct machine_config *config, struct machine **out, struct err *err);

/*
 * Runs on the calling thread until the VM has ended and its consoles are drained. The exit status,
 * as DESIGN.md has it; -errno and a line when it could not be started.
 */
int machine_run(struct machine *m, struct err *err);

/*
 * Then: takes the devices down, and waits until all output is written, for so many ms at most. False: a
 * reader does not take it, and machine_finish() and machine_destroy() would wait for him.
 */
bool machine_flush(struct machine *m, unsigned int ms);

/*
 * The same for the command's output, for as long as its reader takes. The exit status, which may have
 * become another by that.
 */
int machine_finish(struct machine *m);

/* What it has come to, while its devices are stuck. */
int machine_status(struct machine *m);

/* Why it ended, for people; valid after machine_run(), or machine_finish(). */
const char *machine_why(struct machine *m);

/* The status is the image's own word, not our judgement. */
bool machine_own_status(const struct machine *m);

/* Ends it from outside with 128 + signal. Any thread; async-signal-safe. */
void machine_stop(struct machine *m, int signal);

/* SIGINT to the command in the guest. False: there is none now. Any thread; async-signal-safe. */
bool machine_interrupt(struct machine *m);

/* The window changed or we were continued. Async-signal-safe. */
void machine_poke(struct machine *m);

/* False: its image is shared, and its file was changed. SIGBUS may be the first to tell. Async-signal-safe. */
bool machine_intact(const struct machine *m);

/*
 * Bytes for the console beside what comes from `in`: how many were taken, fewer than `len` when 64 KiB are
 * waiting for the guest. Any thread, also from within a machine_output_fn.
 */
size_t machine_input(struct machine *m, const void *data, size_t len);

/* Bytes that went out. */
typedef void (*machine_output_fn)(void *opaque, const void *data, size_t len);

enum machine_output { MACHINE_CONSOLE, MACHINE_STDOUT, MACHINE_OUTPUTS };

/* All that consoles print, or the command to its stdout: one call at a time. Before machine_run(). */
void machine_watch(struct machine *m, enum machine_output which, machine_output_fn fn,
		   void *opaque);

/* What it came to; valid after machine_run(). */
const struct verdict *machine_verdict(const struct machine *m);
const struct timeline *machine_timeline(const struct machine *m);
const struct reports *machine_reports(const struct machine *m);
const char *machine_release(const struct machine *m); /* the kernel's version; "": not known */

/* The last lines of its consoles, into the log, if the configuration wants it. */
void machine_show_log(struct machine *m);

/*
 * Linux's SysRq by the console, as a break and then `key`. False: nobody listens there who understands it.
 * Any thread.
 */
bool machine_sysrq(struct machine *m, char key);

/*
 * Asks the guest to end: presses its power button, or sends SIGTERM to the command in it. -ENODEV: the image
 * knows no such button; -ESRCH: nobody in the guest listens now. Any thread.
 */
int machine_power_button(struct machine *m);

/* Below the devices, for tests and control. The loop is that of devices: nothing on it may pause the VM. */
const struct machine_config *machine_settings(const struct machine *m);
struct loop *machine_loop(struct machine *m);
struct vm *machine_vm(struct machine *m);
struct device_list *machine_devices(struct machine *m);

/* What is not saved with a machine, and it has: -errno and a line. */
int machine_can_be_saved(const struct machine *m, struct err *err);

struct machine_saved {
	uint64_t memory; /* bytes of RAM */
	uint64_t stored; /* bytes that all of it takes on the disk */
	uint64_t paused; /* ns that the guest stood */
	bool diff;	 /* it has what was written to since its base */
	bool base;	 /* it is one: others may build on it */
};

/*
 * As it stands into the folder `dir` (state/snapshot.h), and on it goes, while the rest reaches the disk. `options`
 * is for who restores it (state/state.h); NULL: he knows. `diff`: of its memory only what was written to since the
 * last whole one (state/diff.h), if there is one that it can build on. Any thread but a vCPU's and the loop's; one
 * such call at a time, which is over before machine_destroy().
 */
int machine_snapshot(struct machine *m, const struct buf *options, const char *dir, bool diff,
		     struct machine_saved *saved, struct err *err);

enum migration_status {
	MIGRATION_NONE, /* there was none yet */
	MIGRATION_SETUP,
	MIGRATION_ACTIVE,
	MIGRATION_COMPLETED, /* it runs there; this machine ends, VERDICT_MOVED */
	MIGRATION_FAILED,    /* it runs here */
	MIGRATION_CANCELLED, /* the same */
	MIGRATION_UNKNOWN,   /* it stands still: see state/migrate.h */
};

struct machine_migration {
	/* Connects to the target, on a thread that may wait; the channel's end is ours. */
	int (*connect)(void *opaque, struct channel *channel, struct err *err);
	void (*told)(void *opaque); /* of each new status, on that thread. NULL: nobody is */
	void *opaque;
	const struct buf *options; /* copied (state/migrate.h); or NULL */
	/* To who comes after this process, which waits for it: memory that is shared is not sent. */
	bool local;
	bool disks; /* those that are written to come along: the target has others */
	uint64_t downtime, timeout, bandwidth; /* as in struct migrate_config */
	unsigned int throttle;
};

/*
 * The guest moves to another lkvm, while it runs, and this goes on; see state/migrate.h. Any thread but a vCPU's.
 * -EBUSY: it is being migrated, or stands still after one that failed. -errno and a line.
 */
int machine_migrate(struct machine *m, const struct machine_migration *how, struct err *err);

struct machine_migration_state {
	enum migration_status status;
	uint64_t begun, ended; /* clock_now(); 0: not yet */
	struct migrate_progress progress;
	uint64_t disks; /* bytes of those that come along, to be sent yet */
	struct err err; /* why it failed */
};

void machine_migration_state(struct machine *m, struct machine_migration_state *out);

/* After machine_run(): the process that has the guest by a local migration, and is to be waited for; 0: none. */
pid_t machine_heir(struct machine *m);

/*
 * The fds that a process which goes on with its guest here needs for its networks, one after the other, each as struct
 * net_config has it for `handed`; they stay the machine's. How many. Any thread.
 */
unsigned int machine_net_fds(const struct machine *m, int fds[MACHINE_NET_FDS]);

/* Has the guest that comes to a machine of this config (incoming) come? Then it is nowhere else. */
bool machine_has_come(const struct machine_config *config);

/* It stays here, if that is not too late. The status tells. Any thread; async-signal-safe it is not. */
void machine_migrate_cancel(struct machine *m);

/*
 * After MIGRATION_UNKNOWN, by a person who knows that it does not run there. -EINVAL: it is not unknown. -EBUSY and
 * a line: one of its disks is locked, so it does.
 */
int machine_migrate_take_back(struct machine *m, struct err *err);

/* What the source says of a disk that comes along, or has to be there already. */
struct machine_said_disk {
	uint64_t size; /* bytes */
	bool moves;
	uint32_t queues, block; /* block: bytes */
};

/* Do disks come with what config->incoming is? And then: as many as there are in `config`; else -EINVAL and a line. */
bool machine_disks_come(const struct machine_config *config);
int machine_said_disks(const struct machine_config *config, struct machine_said_disk *disks,
		       struct err *err);

/* There is no machine, or it has not run: who is sending the guest, if anybody is, hears why. */
void machine_refuse(const struct machine_config *config, const char *why);

/* Writes out what the console still holds, then frees all. */
void machine_destroy(struct machine *m);

#endif
