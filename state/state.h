/* SPDX-License-Identifier: MIT */
/*
 * The state of a whole machine, but for its RAM: vCPUs, the port's own, every device. In a stream
 * (state/stream.h) with the sections
 *
 *	machine		what it was saved from, to be refused by a machine that is another
 *	vcpu.N		of vCPU N
 *	vm		KVM's interrupt controllers and clocks
 *	NAME		of the device of that name
 *	diff		of a snapshot that has not all of memory (state/diff.h)
 *	options		what the caller gave, if he did: bytes that this knows nothing of (cmd/saved-options.h)
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "state/stream.h"
#include "vm/device.h"
#include "vm/vm.h"

#define STATE_OPTIONS "options"
#define STATE_DISKS "disks"

/*
 * All vCPUs are paused (vm_pause()) and all devices quiesced by the caller, who resumes them. Appends a stream
 * of its own to `out`. `options`: the section of that name; NULL: there is none. Not from a vCPU's thread.
 */
int state_save(struct vm *vm, const struct device_list *devices, const struct buf *options,
	       struct buf *out, struct err *err);

/*
 * Into a machine of the same configuration that has not run: from vm_config.prepare. All that can be known
 * without applying anything is refused before anything is applied; after an error the VM must not run.
 */
int state_restore(struct vm *vm, const struct device_list *devices, const struct saved *s,
		  struct err *err);

#endif
