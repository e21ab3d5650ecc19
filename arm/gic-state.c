/* SPDX-License-Identifier: MIT */
/*
 * KVM's vGIC and ITS, saved and restored through their devices' attributes, in the order that
 * Documentation/virt/kvm/devices/arm-vgic*.rst asks for. The tables below are that order, and the form
 * of what is saved: each register's words, one after the other.
 *
 * What interrupts are pending at the ITS, and what it knows of devices, KVM writes to the tables that the
 * guest has in its RAM: RAM is saved behind this, and loaded before.
 */
#include <errno.h>
#include <string.h>

#include "arm/arm.h"
#include "util/util.h"

#define PRIVATE 32u /* INTIDs below are each CPU's own */
#define SGIS 0xffffu

#define GRP_DIST KVM_DEV_ARM_VGIC_GRP_DIST_REGS
#define GRP_CPU KVM_DEV_ARM_VGIC_GRP_CPU_REGS
#define GRP_REDIST KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
#define GRP_LEVEL KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO

/*
 * Registers of 32 bits at `offset`, `words` for every 32 interrupts, or one in all where that is 0. A write to
 * some only sets bits: `clear` is where they are cleared.
 */
struct gic_reg {
	const char *name;
	uint8_t group, words;
	uint32_t offset, clear;
};

/* The revision says how KVM is to behave, and so goes first; a line's level before what it may raise. */
static const struct gic_reg v2_shared[] = {
	{ "GICD_IIDR", GRP_DIST, 0, 0x8, 0 },
	{ "GICD_CTLR", GRP_DIST, 0, 0x0, 0 },
	{ "GICD_IGROUPR", GRP_DIST, 1, 0x80, 0 },
	{ "GICD_ITARGETSR", GRP_DIST, 8, 0x800, 0 },
	{ "GICD_ICFGR", GRP_DIST, 2, 0xc00, 0 },
	{ "GICD_ISPENDR", GRP_DIST, 1, 0x200, 0x280 },
	{ "GICD_ISACTIVER", GRP_DIST, 1, 0x300, 0x380 },
	{ "GICD_IPRIORITYR", GRP_DIST, 8, 0x400, 0 },
	{ "GICD_ISENABLER", GRP_DIST, 1, 0x100, 0x180 },
};

/* ITARGETSR and ICFGR of these can't be written. */
static const struct gic_reg v2_private[] = {
	{ "GICD_IGROUPR0", GRP_DIST, 1, 0x80, 0 },
	{ "GICD_ISPENDR0", GRP_DIST, 1, 0x200, 0x280 },
	{ "GICD_SPENDSGIR", GRP_DIST, 4, 0xf20, 0xf10 },
	{ "GICD_ISACTIVER0", GRP_DIST, 1, 0x300, 0x380 },
	{ "GICD_IPRIORITYR0", GRP_DIST, 8, 0x400, 0 },
	{ "GICD_ISENABLER0", GRP_DIST, 1, 0x100, 0x180 },
	{ "GICC_PMR", GRP_CPU, 1, 0x4, 0 },
	{ "GICC_BPR", GRP_CPU, 1, 0x8, 0 },
	{ "GICC_ABPR", GRP_CPU, 1, 0x1c, 0 },
	{ "GICC_APR", GRP_CPU, 4, 0xd0, 0 },
	{ "GICC_CTLR", GRP_CPU, 1, 0x0, 0 },
};

static const struct gic_reg v3_shared[] = {
	{ "GICD_IIDR", GRP_DIST, 0, 0x8, 0 },
	{ "GICD_CTLR", GRP_DIST, 0, 0x0, 0 },
	{ "GICD_IGROUPR", GRP_DIST, 1, 0x80, 0 },
	{ "GICD_IROUTER", GRP_DIST, 64, 0x6000, 0 },
	{ "GICD_ICFGR", GRP_DIST, 2, 0xc00, 0 },
	{ "an SPI's level", GRP_LEVEL, 1, 0, 0 },
	{ "GICD_ISPENDR", GRP_DIST, 1, 0x200, 0 },
	{ "GICD_ISACTIVER", GRP_DIST, 1, 0x300, 0x380 },
	{ "GICD_IPRIORITYR", GRP_DIST, 8, 0x400, 0 },
	{ "GICD_ISENABLER", GRP_DIST, 1, 0x100, 0x180 },
};

/* Where LPIs are described and pend can't be written any more once they are enabled. */
static const struct gic_reg v3_private[] = {
	{ "GICR_PROPBASER", GRP_REDIST, 2, 0x70, 0 },
	{ "GICR_PENDBASER", GRP_REDIST, 2, 0x78, 0 },
	{ "GICR_CTLR", GRP_REDIST, 1, 0x0, 0 },
	{ "GICR_IGROUPR0", GRP_REDIST, 1, 0x10080, 0 },
	{ "GICR_ICFGR", GRP_REDIST, 2, 0x10c00, 0 },
	{ "a PPI's level", GRP_LEVEL, 1, 0, 0 },
	{ "GICR_ISPENDR0", GRP_REDIST, 1, 0x10200, 0 },
	{ "GICR_ISACTIVER0", GRP_REDIST, 1, 0x10300, 0x10380 },
	{ "GICR_IPRIORITYR", GRP_REDIST, 8, 0x10400, 0 },
	{ "GICR_ISENABLER0", GRP_REDIST, 1, 0x10100, 0x10180 },
};

/* `count` registers of the CPU interface, 64 bits each, whose encodings follow each other. */
struct icc_reg {
	const char *name;
	bool el2; /* only with --nested */
	bool apr; /* as many as there are bits of priority for */
	uint16_t first, count;
};

#define ICC(op0, op1, crn, crm, op2) ((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))

/* ICC_CTLR tells how many bits a priority has, and so what registers there are. */
static const struct icc_reg v3_icc[] = {
	{ "ICC_SRE_EL1", false, false, ICC(3, 0, 12, 12, 5), 1 },
	{ "ICC_CTLR_EL1", false, false, ICC(3, 0, 12, 12, 4), 1 },
	{ "ICC_IGRPEN0_EL1", false, false, ICC(3, 0, 12, 12, 6), 1 },
	{ "ICC_IGRPEN1_EL1", false, false, ICC(3, 0, 12, 12, 7), 1 },
	{ "ICC_PMR_EL1", false, false, ICC(3, 0, 4, 6, 0), 1 },
	{ "ICC_BPR0_EL1", false, false, ICC(3, 0, 12, 8, 3), 1 },
	{ "ICC_BPR1_EL1", false, false, ICC(3, 0, 12, 12, 3), 1 },
	{ "ICC_AP0R_EL1", false, true, ICC(3, 0, 12, 8, 4), 4 },
	{ "ICC_AP1R_EL1", false, true, ICC(3, 0, 12, 9, 0), 4 },
	{ "ICC_SRE_EL2", true, false, ICC(3, 4, 12, 9, 5), 1 },
	{ "ICH_HCR_EL2", true, false, ICC(3, 4, 12, 11, 0), 1 },
	{ "ICH_VMCR_EL2", true, false, ICC(3, 4, 12, 11, 7), 1 },
	{ "ICH_AP0R_EL2", true, true, ICC(3, 4, 12, 8, 0), 4 },
	{ "ICH_AP1R_EL2", true, true, ICC(3, 4, 12, 9, 0), 4 },
	{ "ICH_LR_EL2", true, false, ICC(3, 4, 12, 12, 0), 16 },
};

#define ICC_CTLR ICC(3, 0, 12, 12, 4)

/*
 * The revision says what the tables look like. GITS_CBASER's writing sets GITS_CREADR back; what the tables
 * hold is restored before the last, which is GITS_CTLR.
 */
static const struct {
	const char *name;
	uint32_t offset;
} its_regs[] = {
	{ "GITS_IIDR", 0x4 },	  { "GITS_CBASER", 0x80 },  { "GITS_CREADR", 0x90 },
	{ "GITS_CWRITER", 0x88 }, { "GITS_BASER0", 0x100 }, { "GITS_BASER1", 0x108 },
	{ "GITS_BASER2", 0x110 }, { "GITS_BASER3", 0x118 }, { "GITS_BASER4", 0x120 },
	{ "GITS_BASER5", 0x128 }, { "GITS_BASER6", 0x130 }, { "GITS_BASER7", 0x138 },
	{ "GITS_CTLR", 0x0 },
};

#define ITS_CTLR (ARRAY_SIZE(its_regs) - 1)

/* ---- One direction or the other ---- */

/* A walk through all of a GIC's state: what is saved in what order is said once. */
struct walk {
	struct arch_vm *arch;
	struct buf *out;   /* it is saved ... */
	struct reader *in; /* ... or restored, if that is NULL */
	struct err *err;
};

/* How KVM calls a vCPU: GICv2 by its number, GICv3 by its affinity, 8 bits a level. */
static uint64_t cpu_attr(const struct arch_vm *arch, unsigned int vcpu)
{
	if (arch->gic == ARM_GIC_V2)
		return (uint64_t)vcpu << KVM_DEV_ARM_VGIC_CPUID_SHIFT;
	return arm_mpidr(vcpu) << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT;
}

static int fails(const struct walk *w, const char *name, uint64_t value, int rc)
{
	if (w->out)
		return err_set(w->err, -rc, "KVM does not tell %s: %s", name, strerror(-rc));
	return err_set(w->err, rc == -EBUSY ? EBUSY : ENOTSUP,
		       "this host refuses %s with 0x%llx: %s", name, (unsigned long long)value,
		       strerror(-rc));
}

/*
 * What reads as it was is left alone: at their reset some read as no write can make them. But for the
 * revision, whose writing has KVM let us write what it had kept to itself before.
 */
static int put_word(const struct walk *w, const struct gic_reg *r, uint64_t attr, uint64_t clear)
{
	uint32_t value = reader_le32(w->in), all = UINT32_MAX, now;
	int rc = 0;

	if (r->words && !arm_get_attr(w->arch->gic_fd, r->group, attr, &now) && now == value)
		return 0;
	if (r->clear)
		rc = arm_set_attr(w->arch->gic_fd, r->group, clear, &all);
	if (!rc)
		rc = arm_set_attr(w->arch->gic_fd, r->group, attr, &value);
	return rc ? fails(w, r->name, value, rc) : 0;
}

static int get_word(const struct walk *w, const struct gic_reg *r, uint64_t attr, uint32_t keep)
{
	uint32_t value = 0;
	int rc = arm_get_attr(w->arch->gic_fd, r->group, attr, &value);

	buf_put_le32(w->out, value & keep);
	return rc ? fails(w, r->name, 0, rc) : 0;
}

/*
 * KVM tells of a GICv2 what pends, but not why. What pends as its line is up is no more once that is
 * lowered; and a private SGI's senders have a register of their own.
 */
static uint32_t kept(const struct walk *w, const struct gic_reg *r, bool shared, uint32_t word)
{
	if (w->arch->gic != ARM_GIC_V2 || r->group != GRP_DIST || r->offset != 0x200)
		return UINT32_MAX;
	return shared ? ~atomic_load(&w->arch->lines_up[word - 1]) : ~SGIS;
}

static int walk_words(const struct walk *w, const struct gic_reg *r, uint64_t cpu, bool shared)
{
	uint32_t first = shared ? r->words : 0;
	uint32_t end = shared ? w->arch->gic_intids / PRIVATE * r->words : r->words;
	uint32_t step = r->group == GRP_LEVEL ? PRIVATE : 4;
	int rc = 0;

	if (!r->words) {
		first = 0;
		end = 1;
	}
	for (uint32_t i = first; !rc && i < end; i++) {
		uint64_t attr = cpu | (r->offset + i * step);

		rc = w->out ? get_word(w, r, attr, kept(w, r, shared, i))
			    : put_word(w, r, attr, cpu | (r->clear + i * step));
	}
	return rc;
}

static int walk_table(const struct walk *w, const struct gic_reg *table, size_t n, uint64_t cpu,
		      bool shared)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i++)
		rc = walk_words(w, &table[i], cpu, shared);
	return rc;
}

/* ---- GICv2's lines ---- */

/* Up again, as devices think that they are. */
static void walk_lines(const struct walk *w)
{
	for (uint32_t i = 0; i < w->arch->gic_intids / 32 - 1; i++) {
		uint32_t now = atomic_load(&w->arch->lines_up[i]);
		uint32_t up = w->out ? now : reader_le32(w->in);

		if (w->out)
			buf_put_le32(w->out, now);
		for (uint32_t bit = 0; bit < 32; bit++) {
			if ((up ^ now) >> bit & 1)
				arm_gic_set_line(w->arch, i * 32 + bit, up >> bit & 1);
		}
	}
}

/* ---- GICv3's CPU interfaces ---- */

/* Active priorities: a register for every 32 of what the upper bits of a priority can be. */
static bool has_apr(uint64_t icc_ctlr, unsigned int i)
{
	unsigned int bits = (unsigned int)(icc_ctlr >> 8 & 7) + 1;

	return bits >= 7 || i < (bits == 6 ? 2u : 1u);
}

static int walk_icc_reg(const struct walk *w, const struct icc_reg *r, uint64_t attr, bool there,
			uint64_t *value)
{
	const uint32_t group = KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS;
	int rc = 0;

	*value = w->out ? 0 : reader_le64(w->in);
	if (there)
		rc = w->out ? arm_get_attr(w->arch->gic_fd, group, attr, value)
			    : arm_set_attr(w->arch->gic_fd, group, attr, value);
	else if (*value)
		rc = -ENXIO;
	if (w->out)
		buf_put_le64(w->out, *value);
	return rc ? fails(w, r->name, *value, rc) : 0;
}

static int walk_icc(const struct walk *w, uint64_t cpu)
{
	uint64_t value, ctlr = 0;
	int rc = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(v3_icc); i++) {
		const struct icc_reg *r = &v3_icc[i];

		if (r->el2 && !w->arch->options.nested)
			continue;
		for (unsigned int j = 0; !rc && j < r->count; j++) {
			uint64_t attr = cpu | (r->first + j);
			bool there = (!r->apr || has_apr(ctlr, j)) &&
				     (!r->el2 ||
				      arm_has_attr(w->arch->gic_fd,
						   KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, attr));

			rc = walk_icc_reg(w, r, attr, there, &value);
		}
		if (r->first == ICC_CTLR)
			ctlr = value;
	}
	return rc;
}

/* ---- Whole controllers ---- */

static int walk_v2(const struct walk *w, unsigned int n_vcpus)
{
	int rc = walk_table(w, v2_shared, ARRAY_SIZE(v2_shared), 0, true);

	for (unsigned int i = 0; !rc && i < n_vcpus; i++)
		rc = walk_table(w, v2_private, ARRAY_SIZE(v2_private), cpu_attr(w->arch, i), false);
	if (!rc)
		walk_lines(w);
	return rc;
}

static int walk_v3(const struct walk *w, unsigned int n_vcpus)
{
	int rc = walk_table(w, v3_shared, ARRAY_SIZE(v3_shared), 0, true);

	for (unsigned int i = 0; !rc && i < n_vcpus; i++) {
		uint64_t cpu = cpu_attr(w->arch, i);

		rc = walk_table(w, v3_private, ARRAY_SIZE(v3_private), cpu, false);
		if (!rc)
			rc = walk_icc(w, cpu);
	}
	return rc;
}

static int control(const struct walk *w, int fd, uint64_t attr, const char *what)
{
	int rc = arm_set_attr(fd, KVM_DEV_ARM_VGIC_GRP_CTRL, attr, NULL);

	return rc ? err_set(w->err, -rc, "%s: %s", what, strerror(-rc)) : 0;
}

static int walk_its_reg(const struct walk *w, unsigned int i)
{
	const uint32_t group = KVM_DEV_ARM_VGIC_GRP_ITS_REGS;
	uint64_t value = 0, wanted = w->out ? 0 : reader_le64(w->in);
	int rc = arm_get_attr(w->arch->its_fd, group, its_regs[i].offset, &value);

	if (w->out)
		buf_put_le64(w->out, value);
	else if (rc || value != wanted)
		rc = arm_set_attr(w->arch->its_fd, group, its_regs[i].offset, &wanted);
	return rc ? fails(w, its_regs[i].name, wanted, rc) : 0;
}

/* The tables are the guest's: it may have put them where none can be. */
static int save_tables(const struct walk *w)
{
	int rc = control(w, w->arch->gic_fd, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES,
			 "KVM can't save the guest's pending LPIs to its RAM");

	return rc ? rc
		  : control(w, w->arch->its_fd, KVM_DEV_ARM_ITS_SAVE_TABLES,
			    "KVM can't save the ITS to the tables in the guest's RAM");
}

static int walk_its(const struct walk *w)
{
	int rc = w->out ? save_tables(w) : 0;

	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(its_regs); i++) {
		if (i == ITS_CTLR && !w->out)
			rc = control(
				w, w->arch->its_fd, KVM_DEV_ARM_ITS_RESTORE_TABLES,
				"KVM can't restore the ITS from the tables in the guest's RAM");
		if (!rc)
			rc = walk_its_reg(w, i);
	}
	return rc;
}

static int walk_gic(const struct walk *w, unsigned int n_vcpus)
{
	int rc = w->arch->gic == ARM_GIC_V2 ? walk_v2(w, n_vcpus) : walk_v3(w, n_vcpus);

	if (!rc && w->arch->its_fd >= 0)
		rc = walk_its(w);
	return rc;
}

/* ---- The shape, which both sides must have ---- */

static size_t table_size(const struct gic_reg *table, size_t n, uint32_t sets)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += 4 * (size_t)(table[i].words ? table[i].words * sets : 1);
	return size;
}

static size_t icc_size(const struct arch_vm *arch)
{
	size_t size = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(v3_icc); i++)
		size += !v3_icc[i].el2 || arch->options.nested ? 8 * v3_icc[i].count : 0;
	return size;
}

/* Bytes that walk_gic() saves and restores. */
static size_t state_size(const struct arch_vm *arch, unsigned int n_vcpus)
{
	uint32_t sets = arch->gic_intids / PRIVATE - 1;

	if (arch->gic == ARM_GIC_V2)
		return table_size(v2_shared, ARRAY_SIZE(v2_shared), sets) + 4 * sets +
		       n_vcpus * table_size(v2_private, ARRAY_SIZE(v2_private), 1);
	return table_size(v3_shared, ARRAY_SIZE(v3_shared), sets) +
	       n_vcpus * (table_size(v3_private, ARRAY_SIZE(v3_private), 1) + icc_size(arch)) +
	       (arch->its_fd >= 0 ? 8 * ARRAY_SIZE(its_regs) : 0);
}

static const char *name_of(uint32_t gic)
{
	static const char *const names[] = {
		[ARM_GIC_V2] = "gicv2",
		[ARM_GIC_V3] = "gicv3",
		[ARM_GIC_V3_ITS] = "gicv3-its",
	};

	return gic < ARRAY_SIZE(names) ? names[gic] : "no GIC";
}

/* A machine of hvt has none. */
static uint32_t kind_of(const struct arch_vm *arch)
{
	return arch->gic_fd < 0 ? UINT32_MAX : (uint32_t)arch->gic;
}

static uint32_t intids_of(const struct arch_vm *arch)
{
	return arch->gic_fd < 0 ? 0 : arch->gic_intids;
}

int arm_gic_save(struct vm *vm, struct buf *out, struct err *err)
{
	const struct walk w = { .arch = vm->arch, .out = out, .err = err };

	buf_put_le32(out, kind_of(vm->arch));
	buf_put_le32(out, intids_of(vm->arch));
	buf_put_le32(out, vm->n_vcpus);
	return vm->arch->gic_fd < 0 ? 0 : walk_gic(&w, vm->n_vcpus);
}

int arm_gic_restore(struct vm *vm, struct reader *in, struct err *err)
{
	const struct walk w = { .arch = vm->arch, .in = in, .err = err };
	uint32_t kind = reader_le32(in), intids = reader_le32(in), n_vcpus = reader_le32(in);

	if (in->failed)
		return err_set(err, EINVAL, "the GIC's state is cut short");
	if (kind != kind_of(vm->arch) || intids != intids_of(vm->arch) || n_vcpus != vm->n_vcpus)
		return err_set(
			err, EINVAL,
			"the state is of %s with %u interrupts and %u vCPUs, this machine has "
			"%s, %u and %u",
			name_of(kind), intids, n_vcpus, name_of(kind_of(vm->arch)),
			intids_of(vm->arch), (unsigned int)vm->n_vcpus);
	if (vm->arch->gic_fd < 0)
		return 0;
	if (in->left < state_size(vm->arch, vm->n_vcpus))
		return err_set(err, EINVAL, "the GIC's state is cut short");
	return walk_gic(&w, vm->n_vcpus);
}
