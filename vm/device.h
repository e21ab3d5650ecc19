/* SPDX-License-Identifier: MIT */
/*
 * A device, as the machine sees it: what it is and where it sits, for ACPI and the device tree, and
 * what can be done to it whatever it is.
 *
 * What the guest can see of a device lives in one plain struct of fixed-width fields, apart from
 * host resources (fds, threads, maps). save() writes the first; the second is rebuilt from the
 * configuration. A device's place and interrupt come from the configuration, never from the order
 * of options.
 */
#ifndef VM_DEVICE_H
#define VM_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/log.h"
#include "util/loop.h"
#include "vm/bus.h"
#include "vm/irq.h"
#include "vm/mem.h"

enum device_kind {
	DEVICE_PRIVATE, /* nothing that a guest is told of */
	DEVICE_UART16550,
	DEVICE_PL011,
	DEVICE_PL031,
	DEVICE_PVPANIC, /* has no interrupt */
	DEVICE_VIRTIO_MMIO,
	DEVICE_PCI,	/* a bus (vm/pci.h) with all that is on it */
	DEVICE_GED,	/* ACPI's generic events: a byte of those below, cleared as it is read */
	DEVICE_PL061,	/* GPIOs, one of which is the power button */
	DEVICE_VMGENID, /* is in RAM; on x86 the GED tells of it */
};

#define GED_POWER_BUTTON (1u << 0)
#define GED_VMGENID (1u << 1)
#define GED_EVENTS (GED_POWER_BUTTON | GED_VMGENID)

#define PL061_POWER_BUTTON 3 /* high while it is pressed; as QEMU has it */

struct device;

struct device_count {
	uint64_t requests;
	uint64_t out, in; /* bytes from the guest, and to it */
};

struct device_ops {
	/* Back to power-on, guest-visible state only; vCPUs are stopped or not yet started. */
	void (*reset)(struct device *dev);
	/*
	 * No I/O in flight when it returns, none begun until resume(); what the guest queued before
	 * and must not be lost (console output) has been taken. vCPUs are stopped. May be NULL, as
	 * may resume.
	 */
	void (*quiesce)(struct device *dev);
	void (*resume)(struct device *dev);
	/*
	 * Guest-visible state, of a quiesced device. load() refuses with -EINVAL (-ESTALE: a disk of another size) what can't be,
	 * applying nothing.
	 */
	void (*save)(struct device *dev, struct buf *out);
	int (*load)(struct device *dev, struct reader *in);
	/*
	 * `on`: whoever else writes to guest memory for this device (the kernel, by vhost) marks that in
	 * mem_log() from now on. Where he does not, all of RAM is marked by mem_dirty() before quiesce()
	 * or reset() returns. vCPUs may run. NULL: nobody does.
	 */
	void (*log)(struct device *dev, bool on);
	/* What has gone through it. NULL: nothing is counted. Any thread, at any time before destroy(). */
	void (*count)(struct device *dev, struct device_count *out);
	/* Frees it with all its host resources; it has been quiesced. */
	void (*destroy)(struct device *dev);
};

/* For a device that the guest can see no state of. */
void device_resets_nothing(struct device *dev);
void device_saves_nothing(struct device *dev, struct buf *out);
int device_loads_nothing(struct device *dev, struct reader *in);

struct device {
	const struct device_ops *ops;
	const char *name; /* "uart0", "virtio-blk.0": unique in its VM */
	enum device_kind kind;
	bool is_pio; /* base is an I/O port */
	uint64_t base, size;
	struct irq_line irq;
	struct device *next; /* the machine's list, in order of creation */
};

/* What a device may use of its machine. Outlives the device. */
struct device_env {
	struct mem *mem;
	struct bus *mmio, *pio;
	struct irq_chip *chip;
	struct loop *loop; /* owns the devices' queues and fds */
	const struct log *log;
	atomic_bool *
		driven; /* set once a driver has started a device, which may be at work then; or NULL */
};

/*
 * A kind of device that can be left out by Kconfig. `config` is the struct that its own header
 * defines. The Makefile writes the table of those that are in.
 */
struct device_type {
	const char *name; /* "virtio_blk" */
	int (*create)(const struct device_env *env, const void *config, struct device **out,
		      struct err *err);
};

extern const struct device_type *const device_types[]; /* ends with NULL */

/* NULL: not compiled in. */
const struct device_type *device_type_find(const char *name);

struct device_list {
	struct device *first;
};

void device_list_add(struct device_list *list, struct device *dev);
void device_list_quiesce(struct device_list *list);
void device_list_resume(struct device_list *list);
void device_list_log(struct device_list *list, bool on);
/* Destroys the devices, the newest first. */
void device_list_destroy(struct device_list *list);

#endif
