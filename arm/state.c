/* SPDX-License-Identifier: MIT */
/*
 * What KVM has of a vCPU: each register that it lists, as its id (which tells its size) and its value;
 * whether it runs; an SError that waits. The counter is the VM's: arm/counter.c.
 *
 * Registers are applied in this KVM's order, whatever order they come in: those that say what the
 * processor is before all others, which may come and go with them. What reads back as it was saved is
 * not written, and so may be what KVM never lets be written, SVE's vector lengths among them: they
 * were chosen when the vCPU was made.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arm/arm.h"
#include "util/util.h"
#include "vm/kvm.h"

#define LIST_MAX 65536u /* registers that a KVM may list */
#define REG_MAX 256u	/* bytes of the largest, an SVE vector */
#define TIMER_FIRED 4u	/* ISTATUS in a timer's control register */

/* Registers by the bits of their ids that are alike, and what they belong to. */
#define SYS(op0, op1, crn, crm, op2)                                                      \
	((uint64_t)KVM_REG_ARM64_SYSREG | (uint64_t)(op0) << 14 | (uint64_t)(op1) << 11 | \
	 (uint64_t)(crn) << 7 | (uint64_t)(crm) << 3 | (uint64_t)(op2))
#define COPROC KVM_REG_ARM_COPROC_MASK
#define ANY_OP2 (COPROC | 0xfff8u)
#define ANY_CRM (COPROC | 0xff80u)
#define ANY_EL2 (COPROC | 0xf800u)

static const struct {
	uint64_t mask, bits;
	const char *what;
} kinds[] = {
	{ ANY_CRM, SYS(3, 0, 0, 0, 0), "what the processor is" },
	{ ANY_CRM, SYS(3, 1, 0, 0, 0), "its caches" },
	{ ANY_OP2, SYS(3, 3, 0, 0, 0), "its caches" },
	{ COPROC, KVM_REG_ARM_DEMUX, "its caches" },
	{ COPROC, KVM_REG_ARM64_SVE, "SVE, --sve-max-vl" },
	{ ANY_OP2, SYS(3, 0, 1, 2, 0), "SVE" },
	{ ANY_OP2, SYS(3, 0, 2, 1, 0), "pointer authentication" },
	{ ANY_OP2, SYS(3, 0, 2, 2, 0), "pointer authentication" },
	{ ANY_OP2, SYS(3, 0, 2, 3, 0), "pointer authentication" },
	{ ANY_OP2, SYS(3, 0, 5, 6, 0), "memory tags, --mte" },
	{ ANY_CRM, SYS(3, 0, 9, 0, 0), "the PMU, --pmu" },
	{ ANY_CRM, SYS(3, 3, 9, 0, 0), "the PMU, --pmu" },
	{ ANY_OP2 & ~0x38ull, SYS(3, 3, 14, 8, 0), "the PMU, --pmu" },
	{ ANY_CRM, SYS(3, 3, 14, 0, 0), "a timer" },
	{ ANY_EL2, SYS(3, 4, 0, 0, 0), "EL2, --nested" },
	{ COPROC, KVM_REG_ARM_FW, "KVM's firmware interface" },
	{ COPROC, KVM_REG_ARM_FW_FEAT_BMAP, "KVM's hypercalls" },
	{ COPROC, KVM_REG_ARM_CORE, "a general register" },
};

static const char *kind_of(uint64_t id)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		if ((id & kinds[i].mask) == kinds[i].bits)
			return kinds[i].what;
	}
	return "a system register";
}

/* They say what the others are: the processor's ID registers, and what KVM offers by hypercall. */
static bool is_identity(uint64_t id)
{
	uint64_t coproc = id & COPROC;

	return (id & ANY_CRM) == SYS(3, 0, 0, 0, 0) || coproc == KVM_REG_ARM_FW ||
	       coproc == KVM_REG_ARM_FW_FEAT_BMAP;
}

/* These run on, for all vCPUs: arch_save() has them. */
static bool is_counter(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

static bool is_timer_control(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CTL || id == KVM_REG_ARM_PTIMER_CTL;
}

/* ---- Registers ---- */

/* Their ids, less the counters, in KVM's order; free() them. */
static int list_regs(const struct vcpu *vcpu, struct kvm_reg_list **out, struct err *err)
{
	struct kvm_reg_list count = { 0 }, *list;
	uint64_t n = 0;

	*out = NULL;
	if (!ioctl(vcpu->fd, KVM_GET_REG_LIST, &count) || errno != E2BIG || count.n > LIST_MAX)
		return err_set(err, EPROTO, "KVM does not list the registers of vCPU %u", vcpu->id);
	list = malloc(sizeof(*list) + count.n * sizeof(list->reg[0]));
	if (!list)
		return err_set(err, ENOMEM, "no memory for a list of registers");
	list->n = count.n;
	if (ioctl(vcpu->fd, KVM_GET_REG_LIST, list)) {
		free(list);
		return err_set(err, errno, "KVM_GET_REG_LIST: %s", strerror(errno));
	}
	for (uint64_t i = 0; i < list->n; i++) {
		if (!is_counter(list->reg[i]))
			list->reg[n++] = list->reg[i];
	}
	list->n = n;
	*out = list;
	return 0;
}

/* `value` has REG_MAX bytes. */
static int get_reg(const struct vcpu *vcpu, uint64_t id, uint8_t *value, struct err *err)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	memset(value, 0, REG_MAX);
	if (KVM_REG_SIZE(id) > REG_MAX || ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg))
		return err_set(err, EPROTO, "vCPU %u: KVM lists register 0x%llx (%s), but has none",
			       vcpu->id, (unsigned long long)id, kind_of(id));
	/* This follows from the counter, which goes on. */
	if (is_timer_control(id))
		value[0] &= (uint8_t)~TIMER_FIRED;
	return 0;
}

static int save_regs(const struct vcpu *vcpu, struct buf *out, struct err *err)
{
	struct kvm_reg_list *list;
	uint8_t value[REG_MAX];
	int rc = list_regs(vcpu, &list, err);

	if (rc)
		return rc;
	buf_put_le32(out, (uint32_t)list->n);
	for (uint64_t i = 0; !rc && i < list->n; i++) {
		rc = get_reg(vcpu, list->reg[i], value, err);
		buf_put_le64(out, list->reg[i]);
		buf_put(out, value, KVM_REG_SIZE(list->reg[i]));
	}
	free(list);
	return rc;
}

static int set_reg(const struct vcpu *vcpu, uint64_t id, const uint8_t *wanted, struct err *err)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)wanted };
	uint32_t size = KVM_REG_SIZE(id);
	uint8_t now[REG_MAX];
	int rc = get_reg(vcpu, id, now, err);

	if (rc || !memcmp(now, wanted, size) || !ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg))
		return rc;
	return err_set(err, ENOTSUP,
		       "vCPU %u: this host refuses register 0x%llx (%s): it was 0x%llx, here it is "
		       "0x%llx: %s",
		       vcpu->id, (unsigned long long)id, kind_of(id),
		       (unsigned long long)get_le(wanted, MIN(size, 8u)),
		       (unsigned long long)get_le(now, MIN(size, 8u)), strerror(errno));
}

/* Looks from `*at` on: they come in the order of the KVM that saved them, mostly this one's. */
static int find_reg(const struct vcpu *vcpu, const struct kvm_reg_list *list, uint64_t id,
		    uint64_t *at, struct err *err)
{
	for (uint64_t i = 0; i < list->n; i++) {
		if (list->reg[(*at + i) % list->n] == id) {
			*at = (*at + i) % list->n;
			return 0;
		}
	}
	if ((id & KVM_REG_ARCH_MASK) != KVM_REG_ARM64 || KVM_REG_SIZE(id) > REG_MAX)
		return err_set(err, EINVAL, "vCPU %u: 0x%llx is no register of an arm64 processor",
			       vcpu->id, (unsigned long long)id);
	return err_set(err, ENOTSUP, "vCPU %u: this host has no register 0x%llx (%s)", vcpu->id,
		       (unsigned long long)id, kind_of(id));
}

/* Where each listed register's value is in the stream: NULL, and it stays as it is. */
static int read_regs(const struct vcpu *vcpu, const struct kvm_reg_list *list, struct reader *in,
		     const uint8_t **values, struct err *err)
{
	uint32_t n = reader_le32(in);
	uint64_t id, at = 0;
	int rc;

	/* There are no more turns than listed registers: none is taken twice. */
	for (uint32_t i = 0; i < n && !in->failed; i++) {
		id = reader_le64(in);
		if (in->failed)
			break;
		rc = find_reg(vcpu, list, id, &at, err);
		if (rc)
			return rc;
		if (values[at] || in->left < KVM_REG_SIZE(id))
			return err_set(err, EINVAL, "vCPU %u: its state is damaged or cut short",
				       vcpu->id);
		values[at] = in->p;
		in->p += KVM_REG_SIZE(id);
		in->left -= KVM_REG_SIZE(id);
	}
	/* A newer KVM may list more, but these there have always been. */
	for (at = 0; at < list->n; at++) {
		if (!values[at] && (list->reg[at] & COPROC) == KVM_REG_ARM_CORE)
			in->failed = true;
	}
	return in->failed ? err_set(err, EINVAL, "vCPU %u: its state is incomplete", vcpu->id) : 0;
}

/* ---- What is no register ---- */

struct vcpu_rest {
	uint32_t mp_state;
	bool has_events;
	struct kvm_vcpu_events events;
};

static int save_rest(const struct vcpu *vcpu, struct buf *out, struct err *err)
{
	struct kvm_vcpu_events events = { 0 };
	struct kvm_mp_state mp;
	bool has_events = kvm_cap(vcpu->vm->fd, KVM_CAP_VCPU_EVENTS);

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp) ||
	    (has_events && ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events)))
		return err_set(err, errno, "vCPU %u: KVM does not tell its state: %s", vcpu->id,
			       strerror(errno));
	buf_put_le32(out, mp.mp_state);
	buf_put_u8(out, has_events);
	buf_put_u8(out, events.exception.serror_pending);
	buf_put_u8(out, events.exception.serror_has_esr);
	buf_put_le64(out, events.exception.serror_esr);
	return 0;
}

static int read_rest(const struct vcpu *vcpu, struct reader *in, struct vcpu_rest *rest,
		     struct err *err)
{
	uint8_t has_events, pending, has_esr;

	*rest = (struct vcpu_rest){ .mp_state = reader_le32(in) };
	has_events = reader_u8(in);
	pending = reader_u8(in);
	has_esr = reader_u8(in);
	rest->events.exception.serror_esr = reader_le64(in);
	if (in->failed || has_events > 1 || pending > has_events || has_esr > has_events)
		return err_set(err, EINVAL, "vCPU %u: its state is damaged or cut short", vcpu->id);
	rest->has_events = has_events;
	rest->events.exception.serror_pending = pending;
	rest->events.exception.serror_has_esr = has_esr;
	return 0;
}

/* A host that knows no SErrors of guests can take what has none. */
static int set_rest(const struct vcpu *vcpu, struct vcpu_rest *rest, struct err *err)
{
	struct kvm_mp_state mp = { .mp_state = rest->mp_state };

	if (ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp))
		return err_set(err, errno == EINVAL ? ENOTSUP : errno,
			       "vCPU %u: this host refuses KVM_SET_MP_STATE %u: %s", vcpu->id,
			       rest->mp_state, strerror(errno));
	if (!rest->has_events ||
	    (!rest->events.exception.serror_pending && !kvm_cap(vcpu->vm->fd, KVM_CAP_VCPU_EVENTS)))
		return 0;
	if (ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &rest->events))
		return err_set(err, ENOTSUP, "vCPU %u: this host refuses its pending SError: %s",
			       vcpu->id, strerror(errno));
	return 0;
}

/* ---- A vCPU ---- */

int arch_vcpu_save(struct vcpu *vcpu, struct buf *out, struct err *err)
{
	int rc = save_regs(vcpu, out, err);

	if (!rc)
		rc = save_rest(vcpu, out, err);
	if (!rc && out->failed)
		rc = err_set(err, ENOMEM, "no memory for the state of vCPU %u", vcpu->id);
	return rc;
}

static int apply(const struct vcpu *vcpu, const struct kvm_reg_list *list,
		 const uint8_t *const *values, struct vcpu_rest *rest, struct err *err)
{
	int rc = 0;

	for (int identity = 1; identity >= 0; identity--) {
		for (uint64_t i = 0; !rc && i < list->n; i++) {
			if (values[i] && is_identity(list->reg[i]) == identity)
				rc = set_reg(vcpu, list->reg[i], values[i], err);
		}
	}
	return rc ? rc : set_rest(vcpu, rest, err);
}

int arch_vcpu_restore(struct vcpu *vcpu, struct reader *in, struct err *err)
{
	struct kvm_reg_list *list;
	struct vcpu_rest rest;
	const uint8_t **values;
	int rc = list_regs(vcpu, &list, err);

	if (rc)
		return rc;
	values = calloc(list->n + 1, sizeof(*values));
	if (!values)
		rc = err_set(err, ENOMEM, "no memory for the state of vCPU %u", vcpu->id);
	if (!rc)
		rc = read_regs(vcpu, list, in, values, err);
	if (!rc)
		rc = read_rest(vcpu, in, &rest, err);
	if (!rc)
		rc = apply(vcpu, list, values, &rest, err);
	free(values);
	free(list);
	return rc;
}

/* ---- The VM ---- */

/* They are beside the memory, and neither a snapshot nor what is migrated has them. */
int arch_can_be_saved(const struct vm *vm, struct err *err)
{
	return vm->arch->options.mte ? err_set(err, ENOTSUP,
					       "a guest with --mte can't be saved: the tags of its "
					       "memory would be lost")
				     : 0;
}

int arch_save(struct vm *vm, struct buf *out, struct err *err)
{
	int rc = arm_counters_save(vm, out, err);

	if (!rc)
		rc = arm_gic_save(vm, out, err);
	if (!rc && out->failed)
		rc = err_set(err, ENOMEM, "no memory for the state of the VM");
	return rc;
}

/* The counters last: time passes for the guest from then on. */
int arch_restore(struct vm *vm, struct reader *in, struct err *err)
{
	struct arm_counters counters;
	int rc = arm_counters_read(in, &counters, err);

	if (!rc)
		rc = arm_gic_restore(vm, in, err);
	return rc ? rc : arm_counters_restore(vm, &counters, err);
}
