/* SPDX-License-Identifier: MIT */
/*
 * liblkvm: virtual machines inside a program of yours, on Linux's KVM. This header and liblkvm.a are
 * all of it; `pkg-config --libs lkvm` says what it is linked with.
 *
 * One handle is one machine, from what it shall be to what became of it:
 *
 *	struct lkvm *vm = lkvm_new();
 *
 *	lkvm_set_image(vm, "app.elf");
 *	lkvm_on_console(vm, print, NULL);
 *	lkvm_run(vm);
 *	printf("%d: %s\n", lkvm_status(vm), lkvm_why(vm));
 *	lkvm_free(vm);
 *
 * Life. lkvm_new(); then lkvm_set_*(), lkvm_add_*() and lkvm_on_*() in any order; lkvm_run() once, or
 * lkvm_create() and lkvm_run(); lkvm_free(). RAM, fds and threads are there from lkvm_create() to
 * lkvm_free(). A process may have as many handles as it likes; they share nothing.
 *
 * Errors. A function that returns int returns 0, or -errno, and then lkvm_error() is one line for
 * people: what, why, what to do. The first error of a handle stays: what follows it does nothing and
 * returns the same. So a program may set everything and look at what lkvm_run() returns only.
 *
 * Threads. A handle is used by one thread at a time, which may change; lkvm_run() runs the first CPU on
 * the one that calls it. lkvm_stop(), lkvm_input(), lkvm_pause() and lkvm_resume() may come from any
 * thread at any time between lkvm_new() and lkvm_free(), lkvm_stop() from signal handlers, too.
 *
 * Memory. Strings are copied. What the library returns is the handle's.
 *
 * Process. The library installs no signal handler, prints nothing, and never ends the process, whatever
 * a guest or an image does. It takes SIGSTKFLT and SIGRTMIN+1 for itself: they are sent to threads that
 * are inside lkvm_run() and to the library's own, and blocked there. All of its fds are close-on-exec.
 *
 * Not here, but in lkvm(1): networks, shared directories, sockets, balloons, commands in a Linux guest
 * with their status, verdicts on what a Linux kernel reports. This header only ever grows.
 */
#ifndef LKVM_H
#define LKVM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LKVM_API 1 /* grows by one when something is added below */

struct lkvm;

/*
 * A machine of one CPU, 128 MiB and a serial console. NULL: no memory, which is what all functions
 * below say of NULL.
 */
struct lkvm *lkvm_new(void);

/* Not while lkvm_run() runs. Of NULL nothing. */
void lkvm_free(struct lkvm *vm);

/* The first error; "" if there was none. Valid until lkvm_free(). */
const char *lkvm_error(const struct lkvm *vm);

/* ---- What is run: one of these three ---- */

/*
 * All that `lkvm run` takes as a kernel: ELF files, bzImage, multiboot, arm64 Image, packed ones ...; of
 * Solo5's those without devices.
 */
int lkvm_set_image(struct lkvm *vm, const char *path);

/* The same from memory: borrowed until lkvm_create() or lkvm_run() returns. */
int lkvm_set_image_bytes(struct lkvm *vm, const void *data, size_t size);

/*
 * Maps the image's pages from its file instead of copying them, as --share-image of lkvm(1): machines of one
 * image share what they do not write to. Whoever changes the file until lkvm_free() makes lkvm_run() return
 * 125; whoever cuts it short may also have the process killed by SIGBUS. Trust the file's owner.
 */
int lkvm_share_image(struct lkvm *vm);

/* A guest that is built in, for tests: "hello" prints a line. `lkvm help payloads` lists them. */
int lkvm_set_payload(struct lkvm *vm, const char *name);

/* Beside it: initrds one behind the other, and the command line as it is: nothing is added to that. */
int lkvm_add_initrd(struct lkvm *vm, const char *path);
int lkvm_set_cmdline(struct lkvm *vm, const char *text);

/* ---- The machine ---- */

int lkvm_set_cpus(struct lkvm *vm, unsigned int n);
int lkvm_set_memory(struct lkvm *vm, uint64_t bytes); /* a multiple of 4 KiB, 2 MiB at least */

/* As --irqchip of lkvm(1) has it: on x86 "split", "full", "none"; on arm64 "gicv2", "gicv3" ... */
int lkvm_set_irqchip(struct lkvm *vm, const char *name);

/* Virtio devices are on PCI; else each has its place in memory (virtio-mmio). */
int lkvm_use_pci(struct lkvm *vm);

enum lkvm_console {
	LKVM_SERIAL, /* ttyS0, ttyAMA0 */
	LKVM_VIRTIO, /* hvc0; what comes early is on the serial one */
	LKVM_SILENT, /* none */
};

int lkvm_set_console(struct lkvm *vm, enum lkvm_console kind);

/* Flags of a disk. Neither: the file is written to, and locked. */
#define LKVM_DISK_READ_ONLY 1u
#define LKVM_DISK_COW 2u /* what the guest writes is gone with the machine */

/* The next virtio disk. `format` is "raw" or "qcow2": it is never guessed. */
int lkvm_add_disk(struct lkvm *vm, const char *path, const char *format, unsigned int flags);

int lkvm_add_entropy(struct lkvm *vm); /* virtio-rng, from the host's getrandom() */

/* Ends it so many ms after lkvm_create() or lkvm_run(): the reason is "timeout" then. 0: never. */
int lkvm_set_timeout(struct lkvm *vm, uint64_t ms);

/* ---- What it says ---- */

/*
 * Bytes that the guest wrote to a console, in order, one call at a time. The guest's CPU waits while it
 * runs, and locks of its device are held: be quick; of this header call lkvm_input() and lkvm_stop()
 * only. It may be on any thread of the machine.
 */
typedef void (*lkvm_bytes_fn)(void *opaque, const void *data, size_t len);
int lkvm_on_console(struct lkvm *vm, lkvm_bytes_fn fn, void *opaque);

enum lkvm_level { LKVM_ERROR, LKVM_WARNING, LKVM_INFO, LKVM_DEBUG };

/*
 * The library's own lines about the machine that are as urgent as `level` or more, without line end.
 * From any thread, several at once; call nothing of this header. Without it they go nowhere.
 */
typedef void (*lkvm_line_fn)(void *opaque, enum lkvm_level level, const char *line);
int lkvm_on_log(struct lkvm *vm, enum lkvm_level level, lkvm_line_fn fn, void *opaque);

/* ---- Running ---- */

/* Makes the machine and loads the image. lkvm_run() does it, too: this is to hear of errors early. */
int lkvm_create(struct lkvm *vm);

/*
 * Runs until the guest ends, or is ended. All that it wrote to consoles has been handed over then.
 * Returns the exit status, 0 to 255, as `lkvm run` has it:
 *
 *	0	it powered off, or reset after its kernel had said so
 *	any	a status that the image gave itself: see lkvm_own_status()
 *	123	it died: a panic, a triple fault, a reset that nobody announced
 *	124	the timeout
 *	125	the host's side failed
 *	128	lkvm_stop()
 *
 * or -errno, if it could not be started.
 */
int lkvm_run(struct lkvm *vm);

/* Ends it, now or as soon as it runs. lkvm_run() returns soon; this does not wait for it. */
void lkvm_stop(struct lkvm *vm);

/*
 * Bytes for the guest's console. How many were taken, fewer than `len` when 64 KiB are waiting for the
 * guest; none before lkvm_create(), or with LKVM_SILENT.
 */
size_t lkvm_input(struct lkvm *vm, const void *data, size_t len);

/*
 * Stops all CPUs between two instructions, when it returns; and lets them go on. Not from a callback.
 * -ESRCH, which is no error that stays: it does not run, not yet or no more.
 */
int lkvm_pause(struct lkvm *vm);
void lkvm_resume(struct lkvm *vm);

/* ---- What became of it, when lkvm_run() has returned ---- */

/* What lkvm_run() returned. */
int lkvm_status(const struct lkvm *vm);

/* Was that status the image's own word, and not our judgement? 1 or 0. */
int lkvm_own_status(const struct lkvm *vm);

/*
 * Why it ended, in a word: "poweroff", "reboot", "image" (its own status), "panic", "crash",
 * "triple-fault", "reset", "timeout", "signal" (lkvm_stop()), "kvm", "host-failed", "none" (it just
 * stopped). More may come. And for people: "the guest powered off"; or lkvm_error(), if there was one.
 * Both valid until lkvm_free().
 */
const char *lkvm_reason(const struct lkvm *vm);
const char *lkvm_why(const struct lkvm *vm);

#ifdef __cplusplus
}
#endif

#endif
