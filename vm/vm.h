/* SPDX-License-Identifier: MIT */
/*
 * A virtual machine without its devices: RAM, buses, vCPUs, and the state they are in.
 *
 * Life: vm_create() (RAM and interrupt controller), then arch_load(), then devices claim their
 * places, then arch_describe(), then vm_run() once, then vm_destroy(). Several VMs may live in one
 * process. vm_end() and the pause may come from any thread.
 *
 * vm_run() runs vCPU 0 on the calling thread and makes a thread for each other; no process-wide
 * signal handler is installed: VM_KICK_SIGNAL and VM_TICK_SIGNAL are blocked in every vCPU thread and
 * let in by KVM_RUN alone. The calling thread has its own signal mask again when vm_run() returns.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/log.h"
#include "vm/bus.h"
#include "vm/irq.h"
#include "vm/mem.h"
#include "vm/verdict.h"

/*
 * No real-time signal: those are queued, which fails where the user has too many pending (RLIMIT_SIGPENDING), and
 * the kick would be lost. This one nobody else has a use for.
 */
#define VM_KICK_SIGNAL SIGSTKFLT
#define VM_TICK_SIGNAL (SIGRTMIN + 1) /* the same, from a port's own timer to its own thread */

/*
 * An option that only a port understands, as it was given: "sve-max-vl" "256", a switch with "1" or
 * "0".
 */
struct vm_option {
	const char *name, *value;
};

struct vm;

struct vm_config {
	const char *dev;     /* NULL: /dev/kvm */
	const char *irqchip; /* a port's word for its controller; NULL: the best there is */
	unsigned int cpus;
	uint64_t mem; /* bytes */
	enum mem_backing backing;
	int backing_fd; /* MEM_FILE's, or MEM_SHARED's (-1: a new one): borrowed while the VM is created */
	int over_fd; /* of `over`, what is laid over MEM_FILE's (mem_lay_over()); as long */
	const struct mem_run *over; /* NULL: nothing is */
	unsigned int n_over;
	bool not_linux;		   /* the image is no kernel of Linux's */
	bool cmdline_devices;	   /* the command line tells of virtio-mmio devices: no tables do */
	bool pci;		   /* there will be a PCI bus, which wants messages as interrupts */
	uint32_t irq_lines;	   /* GSIs that the devices will use: 0 to irq_lines-1 */
	const cpu_set_t *affinity; /* the host's CPUs that vCPUs run on; NULL: any */
	bool hvt; /* no such machine, but what Solo5's hvt has: RAM from 0, one vCPU, hypercalls */
	bool leaves_maps; /* vm_destroy() unmaps nothing: the process ends, which takes less time */
	/* After all vCPUs are made, before any of them runs: restoring them. NULL: nothing. */
	int (*prepare)(void *opaque, struct vm *vm, struct err *err);
	void *prepare_opaque;
	/* A port's switch that the image, as it was loaded, stands for; NULL: none. */
	const char *found;
	const struct vm_option *options; /* for the port: the later of two with one name counts */
	unsigned int n_options;
	struct log log;
};

#define VCPU_EXITS 48

struct arch_vm;
struct arch_vcpu;
struct kvm_run;

struct vcpu {
	struct vm *vm;
	unsigned int id; /* index; what the guest calls it is the port's affair */
	int fd;
	struct kvm_run *run;	/* shared with KVM */
	struct arch_vcpu *arch; /* the port's, freed by arch_vcpu_destroy() */
	pthread_t thread;	/* to be joined, if has_thread */
	bool has_thread;
	pthread_t self; /* the thread that runs the vCPU, once kickable */
	_Atomic bool kickable;
	_Atomic unsigned int kickers; /* inside vcpu_kick() */
	_Atomic int tid;	      /* the kernel's number of that thread; 0: none runs it yet */
	_Atomic uint64_t exits[VCPU_EXITS]; /* by KVM's reason; the last: all others */
};

enum vm_want { VM_RUN, VM_PAUSE, VM_END };

struct vm {
	struct vm_config config;
	int kvm_fd, fd;
	uint32_t run_size; /* of each struct kvm_run */
	struct mem mem;
	struct bus mmio, pio;
	struct irq irq;
	struct irq_chip *chip; /* the port's */
	struct arch_vm *arch;
	struct verdict verdict;
	struct ratelimit complaints;

	_Atomic int want; /* enum vm_want */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* `live` or `parked` */
	unsigned int live;	/* vCPUs inside their run loop */
	unsigned int parked;	/* of those: waiting out a pause */
	unsigned int pauses;	/* so many want it paused */

	_Atomic unsigned int n_vcpus; /* set when `vcpus` is valid */
	struct vcpu *vcpus;
};

/* The value of a port's option; NULL: not given. */
const char *vm_option(const struct vm_config *config, const char *name);

/* 0, or -errno and one line in `err`. */
int vm_create(const struct vm_config *config, struct vm **out, struct err *err);

/*
 * Runs until something ends the VM. Afterwards vm->verdict knows why. -errno: it could not start.
 */
int vm_run(struct vm *vm, struct err *err);

/* Ends the VM for this reason (see verdict.h for `value`). Any thread; async-signal-safe. */
void vm_end(struct vm *vm, enum verdict_reason reason, int value);

/*
 * Stops every vCPU between two instructions, all of its I/O completed, so that it may be saved; and
 * lets them go on, when as many have resumed it as had paused it. Not from a vCPU thread. -ESRCH: it does
 * not run (any more); -ETIMEDOUT: one waits for the host, for seconds already. It is not to be resumed then.
 */
int vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);

/* Nanoseconds of CPU time that the vCPU's thread has used; 0: it does not run (any more). Any thread. */
uint64_t vcpu_time(struct vcpu *vcpu);

/*
 * A non-maskable interrupt for one vCPU. Not from a vCPU thread. -ESRCH: it does not run (any more); -ENOTSUP:
 * this KVM has none.
 */
int vm_nmi(struct vm *vm, unsigned int id);

/* The registers of every vCPU, stopped for it, into the log. Not from a vCPU thread, nor the loop. */
void vm_dump(struct vm *vm);

/* vm_run() must have returned. */
void vm_destroy(struct vm *vm);

/*
 * The VM pauses while an exit of this vCPU's waits for the host, on its thread: until it goes on. It stands within
 * an instruction then, and must not be saved.
 */
void vcpu_stand(struct vcpu *vcpu);

/* vm/vcpu.c, for vm.c alone. */
int vcpu_create(struct vm *vm, unsigned int id, struct err *err);
void vcpu_destroy(struct vcpu *vcpu);
void vcpu_loop(struct vcpu *vcpu); /* until VM_END; both signals are blocked */
void vcpu_kick(struct vcpu *vcpu); /* async-signal-safe */

#endif
