/* SPDX-License-Identifier: MIT */
/*
 * A PCI bus: one, without bridges, its configuration space reached by ECAM (PCI Express Base
 * Specification 5.0, section 7.2.2), its functions conventional ones (PCI Local Bus Specification
 * 3.0, chapter 6): none of them needs what extended configuration space holds, and a guest that
 * finds no PCI Express capability doesn't look for it.
 *
 * A function is added with its BAR at an address of its own and decoded, as firmware would leave
 * it. The guest may move it anywhere. A BAR that would overlap what another device decodes is not
 * decoded until one of the two has moved; over RAM it is never seen, since KVM looks there first.
 *
 * Interrupts: MSI-X (vm/msix.h) where the machine's interrupt controller takes MSIs, the pin INTA#
 * where it does not; never both.
 *
 * Threads. Configuration space belongs to vCPU threads, under the bus's lock, which is taken before
 * any lock of a device. pci_update_intx() may be called by any thread, with or without such locks.
 */
#ifndef VM_PCI_H
#define VM_PCI_H

#include <stdatomic.h>

#include "util/util.h"
#include "vm/device.h"
#include "vm/msix.h"

#define PCI_BUS_SIZE MIB /* of ECAM: 32 devices of 8 functions, 4 KiB each */
#define PCI_CONFIG 256	 /* bytes of a conventional configuration space */
#define PCI_SLOTS 248	 /* functions beside the host bridge */
#define PCI_LINES 4	 /* that INTA# of the devices is spread over: device n's is line n % 4 */
#define PCI_BAR_MAX (64 * KIB)

struct pci_bus;
struct pci_function;

struct pci_ops {
	/*
	 * The guest is about to read, or has written, these bytes of `config`. Under the bus's
	 * lock.
	 */
	void (*config_read)(struct pci_function *fn, uint32_t offset, uint32_t len);
	void (*config_written)(struct pci_function *fn, uint32_t offset, uint32_t len);
	/* BAR 0 is where it was no more. Under the bus's lock. */
	void (*moved)(struct pci_function *fn);
};

struct pci_function {
	/* The owner's, before pci_add(). */
	const char *name;
	const struct pci_ops *ops; /* may be NULL */
	uint64_t bar_size;	   /* of BAR 0, the only one, 64-bit: a power of two; 0: none */
	bus_fn bar_access;
	void *opaque;		      /* bar_access's */
	const _Atomic uint32_t *intx; /* INTA# is high while this is not 0 */
	uint8_t config[PCI_CONFIG];   /* as the guest reads it */
	uint8_t writable[PCI_CONFIG]; /* the bits that it may change */
	uint32_t last_capability, next_capability;

	/* The bus's. */
	struct pci_bus *bus;
	struct pci_function *next;
	uint8_t devfn;
	uint8_t power_on[PCI_CONFIG];
	struct msix msix;	  /* msix.n is 0 where there are no MSIs */
	uint32_t msix_capability; /* its offset */
	_Atomic uint64_t decoded; /* where BAR 0 is on the machine's bus; 0: nowhere */
	_Atomic bool intx_disabled;
	bool intx_high; /* as its line knows it */
};

struct pci_config {
	uint64_t ecam;			  /* PCI_BUS_SIZE bytes */
	uint64_t window, window_size;	  /* where BARs are put */
	struct irq_line lines[PCI_LINES]; /* level-triggered */
};

/*
 * With a host bridge at 00:00.0. As a device it is of kind DEVICE_PCI, and resets, saves and loads
 * the configuration of all functions.
 */
int pci_create(const struct device_env *env, const struct pci_config *config, struct pci_bus **out,
	       struct err *err);
struct device *pci_device(struct pci_bus *bus);

/* For the description of the machine: of a device of kind DEVICE_PCI. */
const struct pci_config *pci_config(const struct device *device);
bool pci_has_msi(const struct device *device);

/*
 * Before pci_add(). `class_code` has 24 bits. A capability is `size` bytes from `body` on, behind
 * the two that all have; its offset is returned.
 */
void pci_identify(struct pci_function *fn, uint16_t vendor, uint16_t device, uint32_t class_code,
		  uint8_t revision);
uint32_t pci_add_capability(struct pci_function *fn, uint8_t id, const void *body, uint32_t size);

/*
 * MSI-X with `n` vectors, its table at offset `table` of BAR 0 and the pending bits at `pending`,
 * accesses to which the owner hands to msix_table_access() and msix_pending_access(); or INTA#.
 */
void pci_add_interrupts(struct pci_bus *bus, struct pci_function *fn, uint32_t n, uint32_t table,
			uint32_t pending);

/*
 * Into slot 0 to PCI_SLOTS - 1, from 0 up; vCPUs may come from now on. Removing what was not added
 * is harmless.
 */
int pci_add(struct pci_bus *bus, struct pci_function *fn, unsigned int slot, struct err *err);
void pci_remove(struct pci_function *fn);

/* *intx has changed. */
void pci_update_intx(struct pci_function *fn);

#endif
