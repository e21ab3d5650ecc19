/* SPDX-License-Identifier: MIT */
/* The port's own options, each checked against what this KVM offers before anything is made. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arm/arm.h"
#include "util/number.h"
#include "util/util.h"
#include "vm/kvm.h"

static bool is_on(const struct vm *vm, const char *name, bool otherwise)
{
	const char *value = vm_option(&vm->config, name);

	return value ? *value == '1' : otherwise;
}

bool arm_has_pvtime(const struct vm *vm)
{
	return is_on(vm, "pvtime", true) && kvm_cap(vm->fd, KVM_CAP_STEAL_TIME);
}

static int read_number(const struct vm *vm, const char *name, bool *given, uint64_t *out,
		       struct err *err)
{
	const char *value = vm_option(&vm->config, name), *end;

	*given = value;
	if (value && (number_parse(value, out, &end) || *end))
		return err_set(err, EINVAL, "--%s %s: not a number of 64 bits", name, value);
	return 0;
}

static int read_sve(const struct vm *vm, struct arm_options *o, struct err *err)
{
	bool given;
	uint64_t bits = 0;
	int rc = read_number(vm, "sve-max-vl", &given, &bits, err);

	o->sve_bits = -1;
	if (rc || !given)
		return rc;
	if (bits > 2048 || bits % 128)
		return err_set(
			err, EINVAL,
			"--sve-max-vl %llu: it is a multiple of 128 up to 2048, or 0 for none",
			(unsigned long long)bits);
	o->sve_bits = (int)bits;
	return 0;
}

static int need(const struct vm *vm, bool asked, unsigned int id, struct err *err)
{
	const struct arm_feature *f = &arm_features[id];

	if (!asked || kvm_cap(vm->fd, f->cap))
		return 0;
	return err_set(err, ENOTSUP, "this KVM lacks KVM_CAP_%s, for %s: %s", f->cap_name, f->what,
		       f->lack);
}

/* What was asked for and is not there is refused by name, and told what would bring it. */
static int check_caps(const struct vm *vm, const struct arm_options *o, struct err *err)
{
	int rc = need(vm, o->pmu, ARM_HAS_PMU, err);

	rc = rc ? rc : need(vm, o->sve_bits > 0, ARM_HAS_SVE, err);
	rc = rc ? rc : need(vm, o->mte, ARM_HAS_MTE, err);
	rc = rc ? rc : need(vm, o->nested, ARM_HAS_EL2, err);
	return rc ? rc : need(vm, o->has_offset, ARM_HAS_OFFSET, err);
}

int arm_check_32(const struct vm *vm, struct err *err)
{
	const struct arm_options *o = &vm->arch->options;
	int rc = need(vm, true, ARM_HAS_32BIT, err);

	if (rc)
		return rc;
	if (o->nested || o->mte || o->sve_bits > 0)
		return err_set(err, EINVAL, "%s is for 64-bit guests, this one is 32-bit",
			       o->nested ? "--nested"
			       : o->mte	 ? "--mte"
					 : "--sve-max-vl");
	return 0;
}

static int check_together(const struct vm *vm, const struct arm_options *o, struct err *err)
{
	if (o->mte && vm->config.backing != MEM_ANON)
		return err_set(err, EINVAL, "--mte needs RAM of its own, not shared or a file's");
	return 0;
}

int arm_options_read(struct vm *vm, struct err *err)
{
	struct arm_options *o = &vm->arch->options;
	int rc;

	o->aarch32 = is_on(vm, "aarch32", false);
	o->pmu = is_on(vm, "pmu", false);
	/* Off unless asked for: on older hosts it rules out memory that others share. */
	o->mte = is_on(vm, "mte", false);
	o->nested = is_on(vm, "nested", false);
	o->pvtime = arm_has_pvtime(vm);
	o->dtb = vm_option(&vm->config, "dtb");
	o->dump_dtb = vm_option(&vm->config, "dump-dtb");
	rc = read_number(vm, "counter-offset", &o->has_offset, &o->counter_offset, err);
	if (!rc)
		rc = read_number(vm, "kaslr-seed", &o->has_seed, &o->kaslr_seed, err);
	if (!rc)
		rc = read_sve(vm, o, err);
	if (!rc)
		rc = check_together(vm, o, err);
	if (!rc)
		rc = check_caps(vm, o, err);
	if (!rc && o->aarch32)
		rc = arm_check_32(vm, err);
	return rc;
}
