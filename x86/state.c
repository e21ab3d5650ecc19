/* SPDX-License-Identifier: MIT */
/*
 * vm/arch.h's state: everything that KVM has of a vCPU and of the VM, by its own ioctls.
 *
 * The order is KVM's, and what breaks otherwise: MP_STATE is asked first, as that makes KVM take an INIT or
 * SIPI that is on its way; CPUID is set before anything that is judged by it; the local APIC behind the
 * registers that say where it is, and before the MSR of its deadline; events last, as registers clear them.
 *
 * Time. The guest's clock (kvmclock) goes on from where it was, plus what has passed since by the two hosts'
 * wall clocks, if KVM knows that. Its TSC must agree with it, and is put there by its offset from the host's:
 * KVM's own word on both at one moment is saved, and asked for again (Documentation/virt/kvm/devices/
 * vcpu.rst, "KVM_VCPU_TSC_OFFSET"). On one host, that is the offset that it had.
 */
#include "x86/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util/util.h"
#include "vm/arch.h"
#include "vm/kvm.h"
#include "x86/x86.h"

#define XSAVE_MOST (64 * KIB)
#define NS_PER_S 1000000000u

/* ---- Parts ---- */

void x86_put_part(struct buf *out, const void *data, size_t size)
{
	buf_put_le32(out, (uint32_t)size);
	buf_put(out, data, size);
}

const void *x86_next_part(struct reader *in, size_t least, size_t most, size_t *size)
{
	const void *at;

	*size = reader_le32(in);
	if (in->failed || *size < least || *size > most || *size > in->left) {
		*size = 0;
		return NULL;
	}
	at = in->p;
	in->p += *size;
	in->left -= *size;
	return at;
}

int x86_take_part(struct reader *in, void *data, size_t size)
{
	size_t there;
	const void *at = x86_next_part(in, size, size, &there);

	if (!at)
		return -EINVAL;
	memcpy(data, at, size);
	return 0;
}

/* ---- A vCPU ---- */

union fixed {
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
};

struct piece {
	const char *name;
	unsigned long get, set;
	size_t size;
	int (*save)(struct vcpu *vcpu, struct buf *out, struct err *err);
	int (*restore)(struct vcpu *vcpu, struct reader *in, struct err *err);
};

static int fail(const struct vcpu *vcpu, const char *what, const char *name, struct err *err)
{
	return err_set(err, errno, "%s of vCPU %u can't be %s: %s", name, vcpu->id, what,
		       strerror(errno));
}

static size_t xsave_size(const struct vcpu *vcpu)
{
	int size = kvm_cap(vcpu->vm->fd, KVM_CAP_XSAVE2);

	return size > (int)sizeof(struct kvm_xsave) ? (size_t)size : sizeof(struct kvm_xsave);
}

static int save_xsave(struct vcpu *vcpu, struct buf *out, struct err *err)
{
	size_t size = xsave_size(vcpu);
	struct kvm_xsave *x = calloc(1, size);
	unsigned long get = size > sizeof(*x) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;
	int rc = 0;

	if (!x)
		return err_set(err, ENOMEM, "no memory for the FPU's state");
	if (ioctl(vcpu->fd, get, x))
		rc = fail(vcpu, "saved", "XSAVE", err);
	else
		x86_put_part(out, x, size);
	free(x);
	return rc;
}

/* KVM reads as many bytes as its own area has. */
static int restore_xsave(struct vcpu *vcpu, struct reader *in, struct err *err)
{
	size_t size;
	const void *part = x86_next_part(in, sizeof(struct kvm_xsave), XSAVE_MOST, &size);
	void *x;
	int rc = 0;

	if (!part)
		return err_set(err, EINVAL, "the FPU's state is damaged");
	x = calloc(1, MAX(xsave_size(vcpu), size));
	if (!x)
		return err_set(err, ENOMEM, "no memory for the FPU's state");
	memcpy(x, part, size);
	if (ioctl(vcpu->fd, KVM_SET_XSAVE, x))
		rc = fail(vcpu, "restored", "XSAVE", err);
	free(x);
	return rc;
}

static bool has_lapic(const struct vcpu *vcpu)
{
	return vcpu->vm->arch->irqchip != X86_IRQCHIP_NONE || vcpu->vm->arch->sleeps_unseen;
}

/* In the order in which they are restored. */
static const struct piece pieces[] = {
	{ .name = "CPUID", .save = x86_cpuid_save, .restore = x86_cpuid_restore },
	{ "MP_STATE", KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state), 0, 0 },
	{ "REGS", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs), 0, 0 },
	{ "SREGS", KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs), 0, 0 },
	{ .name = "XSAVE", .save = save_xsave, .restore = restore_xsave },
	{ "XCRS", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs), 0, 0 },
	{ "DEBUGREGS", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs), 0, 0 },
	{ "LAPIC", KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state), 0, 0 },
	{ .name = "MSRS", .save = x86_msrs_save, .restore = x86_msrs_restore },
	{ "EVENTS", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events), 0,
	  0 },
};

static bool left_out(const struct vcpu *vcpu, const struct piece *p)
{
	return p->get == KVM_GET_LAPIC && !has_lapic(vcpu);
}

static int save_piece(struct vcpu *vcpu, const struct piece *p, struct buf *out, struct err *err)
{
	union fixed state = { 0 };

	if (p->save)
		return p->save(vcpu, out, err);
	if (ioctl(vcpu->fd, p->get, &state))
		return fail(vcpu, "saved", p->name, err);
	x86_put_part(out, &state, p->size);
	return 0;
}

static int restore_piece(struct vcpu *vcpu, const struct piece *p, struct reader *in,
			 struct err *err)
{
	union fixed state = { 0 };

	if (p->restore)
		return p->restore(vcpu, in, err);
	if (x86_take_part(in, &state, p->size))
		return err_set(err, EINVAL, "%s of vCPU %u: damaged", p->name, vcpu->id);
	if (ioctl(vcpu->fd, p->set, &state))
		return fail(vcpu, "restored", p->name, err);
	return 0;
}

static struct kvm_device_attr tsc_offset_attr(uint64_t *offset)
{
	return (struct kvm_device_attr){ .group = KVM_VCPU_TSC_CTRL,
					 .attr = KVM_VCPU_TSC_OFFSET,
					 .addr = (uintptr_t)offset };
}

/* From the host's TSC. Linux before 5.16 has no word for it: then the TSC is restored as an MSR only. */
static void save_tsc(struct vcpu *vcpu, struct buf *out)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = tsc_offset_attr(&offset);
	int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	bool known = !ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, &attr);

	buf_put_le32(out, khz > 0 ? (uint32_t)khz : 0);
	buf_put_le32(out, known);
	buf_put_le64(out, offset);
}

static int restore_tsc(struct vcpu *vcpu, struct reader *in, struct err *err)
{
	uint32_t khz = reader_le32(in), known = reader_le32(in);
	int here = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	vcpu->vm->arch->tsc_offset = reader_le64(in);
	vcpu->vm->arch->has_tsc_offset = known;
	if (in->failed || known > 1)
		return err_set(err, EINVAL, "the TSC of vCPU %u: damaged", vcpu->id);
	/* Measured anew at each boot of a host, it differs by a little each time. */
	if (!khz || here <= 0 || (uint64_t)abs((int)(khz - (uint32_t)here)) * 4000 <= khz)
		return 0;
	if (ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (unsigned long)khz))
		return err_set(err, ENOTSUP,
			       "the guest's TSC runs at %u kHz, this host's at %d, and KVM can't "
			       "scale it",
			       khz, here);
	return 0;
}

int arch_vcpu_save(struct vcpu *vcpu, struct buf *out, struct err *err)
{
	struct kvm_mp_state settle;
	int rc = 0;

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &settle))
		return fail(vcpu, "saved", "MP_STATE", err);
	save_tsc(vcpu, out);
	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(pieces); i++) {
		if (!left_out(vcpu, &pieces[i]))
			rc = save_piece(vcpu, &pieces[i], out, err);
	}
	return rc;
}

int arch_vcpu_restore(struct vcpu *vcpu, struct reader *in, struct err *err)
{
	int rc = restore_tsc(vcpu, in, err);

	vcpu->run->kvm_dirty_regs = 0; /* those of an image's entry */
	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(pieces); i++) {
		if (!left_out(vcpu, &pieces[i]))
			rc = restore_piece(vcpu, &pieces[i], in, err);
	}
	return rc	  ? rc
	       : in->left ? err_set(err, EINVAL, "vCPU %u: more than its state", vcpu->id)
			  : 0;
}

/* ---- The VM ---- */

static const uint32_t chips[] = { KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
				  KVM_IRQCHIP_IOAPIC };

static int save_full(struct vm *vm, struct buf *out, struct err *err)
{
	struct kvm_pit_state2 pit;

	for (unsigned int i = 0; i < ARRAY_SIZE(chips); i++) {
		struct kvm_irqchip chip = { .chip_id = chips[i] };

		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &chip))
			return err_set(err, errno, "KVM_GET_IRQCHIP: %s", strerror(errno));
		x86_put_part(out, &chip, sizeof(chip));
	}
	if (ioctl(vm->fd, KVM_GET_PIT2, &pit))
		return err_set(err, errno, "KVM_GET_PIT2: %s", strerror(errno));
	x86_put_part(out, &pit, sizeof(pit));
	return 0;
}

static int restore_full(struct vm *vm, struct reader *in, struct err *err)
{
	struct kvm_pit_state2 pit;

	for (unsigned int i = 0; i < ARRAY_SIZE(chips); i++) {
		struct kvm_irqchip chip;

		if (x86_take_part(in, &chip, sizeof(chip)) || chip.chip_id != chips[i])
			return err_set(err, EINVAL, "the interrupt controllers: damaged");
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &chip))
			return err_set(err, errno, "KVM_SET_IRQCHIP: %s", strerror(errno));
	}
	if (x86_take_part(in, &pit, sizeof(pit)))
		return err_set(err, EINVAL, "the PIT: damaged");
	if (ioctl(vm->fd, KVM_SET_PIT2, &pit))
		return err_set(err, errno, "KVM_SET_PIT2: %s", strerror(errno));
	return 0;
}

static int restore_irqchip(struct vm *vm, struct reader *in, struct err *err)
{
	struct ioapic *io = vm->arch->ioapic;

	if (reader_le32(in) != vm->arch->irqchip)
		return err_set(err, EINVAL, "it is of a machine with another --irqchip");
	if (vm->arch->irqchip == X86_IRQCHIP_FULL)
		return restore_full(vm, in, err);
	return io && io->device.ops->load(&io->device, in)
		       ? err_set(err, EINVAL, "the IOAPIC: damaged")
		       : 0;
}

static void save_clock(struct vm *vm, struct buf *out)
{
	struct kvm_clock_data clock = { 0 };

	if (ioctl(vm->fd, KVM_GET_CLOCK, &clock))
		clock = (struct kvm_clock_data){ 0 };
	x86_put_part(out, &clock, sizeof(clock));
}

/* a * b / c, where the product needs more than 64 bits. */
static uint64_t scaled(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)((unsigned __int128)a * b / c);
}

/*
 * The clock was at `then`, and is at `now`: so far the guest's TSC has to have gone. Where KVM does not tell
 * the host's TSC with its clock, the TSC stays where the MSR put it.
 */
static void set_tsc_offsets(struct vm *vm, const struct kvm_clock_data *then,
			    const struct kvm_clock_data *now)
{
	int khz = ioctl(vm->vcpus[0].fd, KVM_GET_TSC_KHZ, 0);
	uint64_t passed, offset;

	if (!vm->arch->has_tsc_offset || khz <= 0 ||
	    !(then->flags & now->flags & KVM_CLOCK_HOST_TSC) || now->clock < then->clock)
		return;
	passed = scaled(now->clock - then->clock, (uint64_t)khz * 1000, NS_PER_S);
	offset = vm->arch->tsc_offset + then->host_tsc + passed - now->host_tsc;
	for (unsigned int i = 0; i < vm->n_vcpus; i++) {
		struct kvm_device_attr attr = tsc_offset_attr(&offset);

		ioctl(vm->vcpus[i].fd, KVM_SET_DEVICE_ATTR, &attr);
	}
}

/* KVM adds what has passed by the wall clock if it is given that, and never takes away. */
static int restore_clock(struct vm *vm, struct reader *in, struct err *err)
{
	struct kvm_clock_data then, now = { 0 };
	struct kvm_clock_data set = { 0 };

	if (x86_take_part(in, &then, sizeof(then)))
		return err_set(err, EINVAL, "the clock: damaged");
	set.clock = then.clock;
	set.realtime = then.realtime;
	set.flags = then.flags & KVM_CLOCK_REALTIME;
	if (then.clock && ioctl(vm->fd, KVM_SET_CLOCK, &set))
		return err_set(err, errno, "KVM_SET_CLOCK: %s", strerror(errno));
	if (then.clock && !ioctl(vm->fd, KVM_GET_CLOCK, &now))
		set_tsc_offsets(vm, &then, &now);
	return 0;
}

int arch_can_be_saved(const struct vm *vm, struct err *err)
{
	(void)vm;
	(void)err;
	return 0;
}

int arch_save(struct vm *vm, struct buf *out, struct err *err)
{
	struct ioapic *io = vm->arch->ioapic;
	int rc = 0;

	save_clock(vm, out);
	buf_put_u8(out, atomic_load(&vm->arch->cmos_index));
	buf_put_le32(out, atomic_load(&vm->arch->pci_address));
	buf_put_le32(out, vm->arch->irqchip);
	if (vm->arch->irqchip == X86_IRQCHIP_FULL)
		rc = save_full(vm, out, err);
	else if (io)
		io->device.ops->save(&io->device, out);
	return rc;
}

int arch_restore(struct vm *vm, struct reader *in, struct err *err)
{
	int rc = restore_clock(vm, in, err);

	atomic_store(&vm->arch->cmos_index, reader_u8(in));
	atomic_store(&vm->arch->pci_address, reader_le32(in));
	if (!rc)
		rc = restore_irqchip(vm, in, err);
	if (!rc && (in->failed || in->left))
		rc = err_set(err, EINVAL, "the machine's state: damaged");
	if (!rc)
		arch_resumed(vm);
	return rc;
}
