/* SPDX-License-Identifier: MIT */
/*
 * The whole contract of a port. Another architecture is a folder that implements these functions
 * and a line in the Makefile. Called on the thread that builds or runs the VM, but for
 * arch_vcpu_exit(). Errors are -errno, and one line in `err` for a person.
 *
 * In this order: arch_vm_type() before the VM, arch_layout() before vm->arch, arch_create();
 * arch_load(), after which machine.c makes its devices where arch_map says; arch_describe();
 * arch_vcpu_create() for each vCPU from 0 up, arch_vcpus_ready(); then they run. Back:
 * arch_vcpu_destroy() for each that was begun, arch_destroy().
 *
 * With config.hvt the machine is another: arch_layout() makes RAM one slot from 0, arch_create() no
 * interrupt controller that the guest is told of (vm->chip stays NULL) and no register, and in place of arch_load() and
 * arch_describe() there is arch_load_hvt().
 *
 * vm/vcpu.c takes the exits that all ports share: MMIO (to vm->mmio), shutdown, system events,
 * KVM's errors. struct arch_vm and struct arch_vcpu are the port's own.
 */
#ifndef VM_ARCH_H
#define VM_ARCH_H

#include "util/buf.h"
#include "vm/device.h"
#include "vm/vm.h"

/* ---- The machine ---- */

/* KVM_CREATE_VM's argument for such a machine: on Arm the bits of a guest-physical address. */
int arch_vm_type(int kvm_fd, const struct vm_config *config, unsigned long *type, struct err *err);

/* Bytes of RAM beside config.mem that the port wants for itself, a multiple of MEM_PAGE. */
extern const uint64_t arch_own_ram;

/*
 * RAM's place in the guest-physical map: adds vm->mem's slots for its first config.mem bytes, the
 * guest's, and for the arch_own_ram behind them as needed. The guest's RAM is slots[0] and those
 * that follow.
 */
int arch_layout(struct vm *vm, struct err *err);

/*
 * After vm->fd and RAM exist, before any vCPU: reads config.options, makes the interrupt controller
 * that config.irqchip names (and names it there, where it was not said), sets vm->chip (and vm->irq.pins, where KVM routes the chip's lines by
 * itself; more lines than config.irq_lines are marked in vm->irq.used), claims the registers that
 * belong to the architecture (reset, clock, ...). Refuses what this KVM can't do by the name of the
 * capability.
 */
int arch_create(struct vm *vm, struct err *err);
void arch_destroy(struct vm *vm); /* also after a failed arch_create(), and without one */

/* Where machine.c puts devices: base address or I/O port, and interrupt line. */
struct arch_place {
	bool is_pio;
	uint64_t base;
	uint32_t gsi;
	enum irq_trigger trigger;
};

/* A device that every machine of this port has: made by the device_type of that name. */
struct arch_device {
	const char *type; /* NULL: no such device */
	const char *name;
	struct arch_place place;
};

#define ARCH_UARTS 2
#define ARCH_DEBUG_EXITS 2

/* Where an image may write its exit status (platform/debug-exit.h), 4 bytes. */
struct arch_debug_exit {
	struct arch_place place;
	bool has_ok; /* one value means success there: `ok` */
	uint32_t ok;
};

struct arch_pci {
	uint64_t ecam, window, window_size; /* as in struct pci_config */
	uint32_t intx[4];		    /* GSIs, where there are no MSIs */
};

struct arch_map {
	struct arch_device uarts[ARCH_UARTS]; /* all on one console */
	struct arch_device rtc;
	struct arch_device pvpanic;	 /* without an interrupt */
	struct arch_device power_button; /* for Linux only; its line need not be among `lines` */
	struct arch_device vmgenid;	 /* for Linux only, as the button is; base: in RAM */
	struct arch_place virtio;	 /* slot 0, but for its GSI; the others follow */
	uint64_t virtio_step;		 /* bytes from slot to slot */
	unsigned int virtio_slots;
	uint32_t lines; /* GSIs 0 to lines-1 are there, whatever devices there are */
	struct arch_pci pci;
	/* The first is the payloads'; images that are no Linux kernels know all. */
	struct arch_debug_exit debug_exits[ARCH_DEBUG_EXITS];
	unsigned int n_debug_exits;
	struct arch_device fw_cfg; /* without an interrupt; for such images, too */
	/* virtio-mmio devices may be told of on the command line (machine.h, enum discovery). */
	bool has_cmdline_devices;
	struct {
		bool is_pio;
		uint64_t base; /* hypercall n is a write to base + (n << shift) */
		unsigned int shift;
	} hvt;
};

extern const struct arch_map arch_map;

/* The interrupt line of a virtio slot, its own. */
uint32_t arch_virtio_gsi(unsigned int slot);

/* A file beside the image, for ways in that know modules. */
struct arch_module {
	const char *path, *args; /* NULL: no words behind its name */
};

struct arch_image {
	const char *kernel; /* a path, or NULL and then ... */
	const void *data;   /* ... the image itself, borrowed until arch_load() returns */
	size_t size;
	bool share;		    /* map what can be from the kernel's file: mem_load() */
	bool own;		    /* it is one of ours: asks nothing of the processor's ID */
	const char *const *initrds; /* paths, NULL ends; or NULL, and not an empty list */
	const void
		*initrd_more; /* an archive of ours behind them, borrowed as `data` is, or NULL */
	size_t initrd_more_size;
	const struct arch_module *modules;
	unsigned int n_modules;
	const char *cmdline; /* borrowed until arch_describe() has returned; never NULL */
};

/* The command line's first word, where an image takes its own name from there. */
enum arch_argv0 {
	ARCH_ARGV0_NONE,   /* all words are for the image */
	ARCH_ARGV0_PATH,   /* its path, always */
	ARCH_ARGV0_UNLESS, /* its base name, but where the user gave a command line */
};

/* What an image is to a machine of this port. Strings are static. */
struct arch_look {
	const char *what;  /* "a 64-bit ELF image for x86"; NULL: the file can't be read */
	const char *way;   /* how it is entered: "at Linux's 64-bit entry point" */
	const char *entry; /* the same as --entry has it; NULL: there is no word for it */
	bool is_linux;	   /* Linux, or taken for it: it can be given a command to run */
	enum arch_argv0 argv0;
	const char *irqchip;  /* unless the user says otherwise; NULL: any */
	bool initrd, modules; /* it can be given these */
	bool cmdline;	      /* and words */
	uint64_t low, high;   /* gpas that it is loaded to; high 0: wherever it fits */
	uint64_t start;	      /* gpa of its first instruction, unless high is 0 */
	uint64_t memory; /* bytes of RAM, from its first, that it takes at least; 0: not known */
};

/*
 * Looks at the image, before there is a VM, by the same rules as arch_load() then: what this
 * returns, but for lack of RAM, arch_load() will. Only `what` is set if it fails. Of a packed file no
 * more is known than that, unless `unpack` or an --entry asks. The line begins with "it", but where the file can't be read.
 */
int arch_look(const struct vm_config *config, const struct arch_image *image, bool unpack,
	      struct arch_look *look, struct err *err);

/*
 * Puts image, initrd and command line into RAM, which is on huge pages for Linux, and remembers the
 * entry state for the boot vCPU.
 */
int arch_load(struct vm *vm, const struct arch_image *image, struct err *err);

/*
 * Describes the machine to the guest (ACPI, device tree), once: all devices exist. After
 * arch_load().
 */
int arch_describe(struct vm *vm, const struct device_list *devices, struct err *err);

/*
 * What Solo5's hvt interface has for this processor: page tables and the like below HVT_INFO, and the
 * entry state for the vCPU. Also writes the frequency of the guest's cycle counter, at the latest when
 * the vCPU is made, to the boot information, which lies at HVT_INFO (guest/solo5.h) already. `identify`:
 * the guest may ask the processor what it is.
 */
int arch_load_hvt(struct vm *vm, uint64_t entry, bool identify, struct err *err);

/* ---- The vCPU ---- */

/*
 * Makes vcpu->fd ready to run: features, topology, and for vCPU 0 the entry state that arch_load()
 * left (tests make VMs without an image: those have none).
 */
int arch_vcpu_create(struct vcpu *vcpu, struct err *err);
void arch_vcpu_destroy(struct vcpu *vcpu);

/* All vCPUs exist, none has run: what KVM wants in that order (a vGIC counts them). */
int arch_vcpus_ready(struct vm *vm, struct err *err);

/*
 * On the thread that runs the vCPU, with the signals of vm/vm.h blocked: before its first KVM_RUN, when one
 * of those signals interrupted a KVM_RUN, and when there will be no other.
 */
void arch_vcpu_begin(struct vcpu *vcpu);
void arch_vcpu_interrupted(struct vcpu *vcpu);
void arch_vcpu_end(struct vcpu *vcpu);

/*
 * ---- State ----
 *
 * All vCPUs stand between two instructions (vm_pause(), or none has run yet), devices are quiesced. A vCPU's
 * state is all that KVM has of it; the VM's what is nobody's own: KVM's interrupt controllers, its clocks.
 * It is saved and loaded behind that of all vCPUs, which are in order of their id. Devices of ours, an
 * IOAPIC among them, are on the machine's list. arch_save() may write to RAM (an ITS's tables), and
 * arch_restore() reads it: RAM is saved behind the one and is there before the other.
 *
 * The other side's word is not trusted: load refuses with -EINVAL what is no such state, with -ENOTSUP and a
 * line that names it what this host can't give. It may have applied a part by then: the VM must not run.
 */
int arch_can_be_saved(const struct vm *vm, struct err *err); /* -ENOTSUP: not all of it */
int arch_vcpu_save(struct vcpu *vcpu, struct buf *out, struct err *err);
int arch_vcpu_restore(struct vcpu *vcpu, struct reader *in, struct err *err);
int arch_save(struct vm *vm, struct buf *out, struct err *err);
int arch_restore(struct vm *vm, struct reader *in, struct err *err);

/* A pause is over: none of the vCPUs runs yet, and the guest may be told that it had none of that time. */
void arch_resumed(struct vm *vm);

/*
 * An exit that vm/vcpu.c does not take, on the vCPU's thread. False: nobody knows it; the VM ends.
 */
bool arch_vcpu_exit(struct vcpu *vcpu);

/*
 * Registers, and the bytes at the program counter, as lines of text. The vCPU is stopped, or it is
 * this thread's.
 */
void arch_vcpu_dump(struct vcpu *vcpu, const struct log *log);

/* ---- The reports ---- */

/* The port's part of `lkvm doctor`: lines on stdout. Returns how many needed things are missing. */
int arch_doctor(int kvm_fd);

/* Why the probe guest may have failed where KVM is there: lines for `lkvm doctor`. */
extern const char arch_probe_hint[];

/* Where /dev/kvm is missing: what to do about it, in half a line. */
extern const char arch_kvm_hint[];

extern const char *const arch_name;	      /* "x86_64", as uname says it */
extern const char *const arch_kernel_paths[]; /* where a kernel tree leaves its image; NULL ends */
extern const char *const arch_console;	      /* Linux's name for the default UART: "ttyS0" */

#endif
