/* SPDX-License-Identifier: MIT */
/*
 * Why the VM ended, turned into an exit status in one place.
 *
 * A verdict starts as failure: only an explicit success makes it one. Reasons are collected from
 * any thread, and from signal handlers; the gravest wins. It is final when every vCPU has stopped
 * and every console has been drained through the scan.
 */
#ifndef VM_VERDICT_H
#define VM_VERDICT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* From the gravest down: the first that was given decides. */
enum verdict_reason {
	VERDICT_SIGNAL,	      /* lkvm was told to end; value: the signal */
	VERDICT_HOST,	      /* the host's side failed */
	VERDICT_PANIC,	      /* the guest kernel said so, on a console or by pvpanic */
	VERDICT_KVM,	      /* KVM could not go on: internal error, failed entry */
	VERDICT_FAULT,	      /* the guest did what its interface does not have (hvt) */
	VERDICT_CRASH,	      /* the guest said that it crashed (PSCI, SYSTEM_EVENT) */
	VERDICT_TRIPLE_FAULT, /* or INIT of the boot CPU: a reset, where one was announced */
	VERDICT_RESET,	      /* reset by any register; a success only if announced */
	VERDICT_ROOT,	      /* what the root of a command lies on is gone */
	VERDICT_TIMEOUT,
	VERDICT_NO_COMMAND, /* the guest's init says that it can't run the command */
	VERDICT_LOST,	    /* there was a command, and its status was not told */
	VERDICT_REPORTED,   /* the guest's kernel reported what --fail-on names */
	VERDICT_COMMAND,    /* value: the command's status */
	VERDICT_IMAGE,	    /* value: the image's own exit status */
	VERDICT_MOVED,	    /* it runs in another lkvm now: of its end it is there that one hears */
	VERDICT_POWEROFF,
	VERDICT_NONE, /* it just stopped: a failure */
};

enum {
	STATUS_REPORTED = 122, /* the guest's kernel reported what --fail-on names */
	STATUS_GUEST_DIED = 123,
	STATUS_TIMEOUT = 124,
	STATUS_HOST_FAILED = 125,
	STATUS_SIGNAL = 128, /* plus the signal's number */
};

struct verdict {
	_Atomic uint32_t reasons; /* bit n: enum verdict_reason n */
	_Atomic int image_status, command_status;
	_Atomic int signal;
	_Atomic int reboot_announced; /* the guest's kernel said `reboot:` */
	uint32_t meant;		      /* reasons that this image ends by, as others power off */
	/* Told of each new reason, wherever that is added; set before the VM runs. NULL: nobody is. */
	void (*told)(void *opaque);
	void *told_opaque;
};

/*
 * Thread- and async-signal-safe. Of several signals or statuses of one kind the first counts. Once the
 * guest has told how its command went, it was in time, and may reset as it likes.
 */
void verdict_add(struct verdict *v, enum verdict_reason reason, int value);

/* Before the VM runs: this image ends so (VERDICT_TRIPLE_FAULT, VERDICT_RESET), and means a power-off. */
void verdict_mean(struct verdict *v, enum verdict_reason reason);

/* The guest's kernel says on a console that it is about to reboot: a reset is then a success. */
void verdict_announce_reboot(struct verdict *v);

int verdict_status(const struct verdict *v);

/* The image itself, or the command in the guest, has said the status. */
bool verdict_is_own(const struct verdict *v);

/* It is about a command's missing status: who has taken care of that knows more (guest/exec.h). */
bool verdict_is_commands(const struct verdict *v);

/* What decided, and for people: "the guest kernel panicked". */
enum verdict_reason verdict_reason(const struct verdict *v);
const char *verdict_text(const struct verdict *v);

/* The same in a word, for results: "panic". An announced reset is a "reboot". */
const char *verdict_word(const struct verdict *v);

/*
 * The exit status for `git bisect run`, which goes by it alone: 0 is good, 1 to 124 are bad, 125
 * is "skip", and from 128 on it gives up. A guest's own 125 and above are bad, no more; what we
 * say keeps its meaning.
 */
int verdict_bisect(int status, bool own);

#endif
