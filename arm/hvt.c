/* SPDX-License-Identifier: MIT */
/*
 * The entry state of Solo5's hvt interface (its tenders/hvt): EL1, MMU on, memory mapped one to one.
 *
 *   0x0000_1000    level 0; 0x2000 level 1; 0x3000..0x6fff level 2; 0x7000 level 3, of the first 2 MiB
 *   0x0001_0000    the boot information; from here the guest has its memory mapped, to 0xf_ffff for reading
 *   0x1_0000_0000  1 GiB of a device's memory: hypercalls
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arm/arm.h"
#include "arm/map.h"
#include "guest/solo5.h"
#include "util/util.h"

#define LEVEL0 0x1000ull
#define LEVEL1 0x2000ull
#define LEVEL2 0x3000ull
#define LEVEL3 0x7000ull

/* Descriptors (Arm ARM, D8.3). */
#define TABLE 3ull
#define BLOCK 1ull
#define PAGE 3ull
#define MEMORY (1ull << 10 | 3ull << 8 | 4ull << 2) /* accessed, inner shareable, attribute 4 */
#define DEVICE (1ull << 10 | 3ull << 8 | 1ull << 2) /* attribute 1 */
#define READ_ONLY (1ull << 7)
#define NO_EXEC (1ull << 53)	  /* at EL1 */
#define NO_EXEC_USER (1ull << 54) /* at EL0 */

/* Attributes 0 to 5: nGnRnE, nGnRE, GRE, not cached, write-back, write-through. */
#define MAIR 0x0000bbff440c0400ull
/* 40 bits both ways, 4 KiB pages, cached and shareable walks, 16-bit ASIDs, top bytes ignored. */
#define TCR (24ull | 24ull << 16 | 0x3500ull | 0xb5000000ull | 2ull << 32 | 3ull << 36)
#define SCTLR (1ull << 12 | 1ull << 2 | 1ull) /* instruction cache, data cache, MMU */
#define CPACR (3ull << 20)		      /* FP and SIMD are not trapped */
#define PSTATE_EL1H 0x3c5		      /* all masked */

/* RAM is zero: what maps nothing need not be written, and stays untouched. */
static int write_tables(struct mem *mem)
{
	uint64_t *level0 = mem_at(mem, LEVEL0, HVT_INFO - LEVEL0, MEM_W);
	uint64_t *level1, *level2, *level3;
	uint64_t size = mem->slots[0].size;

	if (!level0)
		return -EFAULT;
	level1 = level0 + (LEVEL1 - LEVEL0) / sizeof(*level0);
	level2 = level0 + (LEVEL2 - LEVEL0) / sizeof(*level0);
	level3 = level0 + (LEVEL3 - LEVEL0) / sizeof(*level0);
	level0[0] = LEVEL1 | TABLE;
	for (uint64_t at = 0; at < size; at += GIB)
		level1[at / GIB] = (LEVEL2 + at / GIB * MEM_PAGE) | TABLE;
	level1[ARM_HVT / GIB] = ARM_HVT | DEVICE | NO_EXEC | NO_EXEC_USER | BLOCK;
	level2[0] = LEVEL3 | TABLE;
	for (uint64_t at = 2 * MIB; at < size; at += 2 * MIB)
		level2[at / (2 * MIB)] = at | MEMORY | NO_EXEC_USER | BLOCK;
	for (uint64_t at = HVT_INFO; at < 2 * MIB; at += MEM_PAGE)
		level3[at / MEM_PAGE] = at | MEMORY | NO_EXEC_USER |
					(at < HVT_BASE ? READ_ONLY | NO_EXEC : 0) | PAGE;
	mem_dirty(mem, LEVEL0, HVT_INFO - LEVEL0);
	return 0;
}

int arch_load_hvt(struct vm *vm, uint64_t entry, bool identify, struct err *err)
{
	uint64_t hz = arm_counter_hz();

	(void)identify; /* it reads that from registers */
	if (vm->config.cpus != 1)
		return err_set(err, EINVAL, "-c %u: a Solo5 guest has one CPU", vm->config.cpus);
	if (write_tables(&vm->mem) ||
	    mem_write(&vm->mem, HVT_INFO + offsetof(struct hvt_boot_info, cycle_freq), &hz,
		      sizeof(hz)))
		return err_set(err, ENOMEM, "boot data does not fit in RAM; give more with -m");
	vm->arch->entry.gpa = entry;
	vm->arch->loaded = true;
	return 0;
}

static int set_entry(struct vcpu *vcpu, struct err *err)
{
	const struct {
		uint64_t id, value;
	} regs[] = {
		{ ARM64_SYS_REG(3, 0, 1, 0, 2), CPACR },
		{ ARM64_SYS_REG(3, 0, 10, 2, 0), MAIR },
		{ ARM64_SYS_REG(3, 0, 2, 0, 2), TCR },
		{ ARM64_SYS_REG(3, 0, 2, 0, 0), LEVEL0 }, /* TTBR0 */
		{ ARM64_SYS_REG(3, 0, 1, 0, 0), SCTLR },
		{ ARM_CORE_REG(regs.pstate), PSTATE_EL1H },
		{ ARM_CORE_REG(sp_el1), vcpu->vm->config.mem - 16 },
		{ ARM_CORE_REG(regs.regs[0]), HVT_INFO },
		{ ARM_CORE_REG(regs.pc), vcpu->vm->arch->entry.gpa },
	};
	int rc = 0;

	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(regs); i++)
		rc = arm_set_reg(vcpu->fd, regs[i].id, regs[i].value);
	return rc ? err_set(err, -rc, "KVM refuses the entry state: %s", strerror(-rc)) : 0;
}

int arm_hvt_create_vcpu(struct vcpu *vcpu, struct err *err)
{
	struct kvm_vcpu_init init = { 0 };

	if (ioctl(vcpu->vm->fd, KVM_ARM_PREFERRED_TARGET, &init))
		return err_set(err, errno, "KVM_ARM_PREFERRED_TARGET: %s", strerror(errno));
	if (ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init))
		return err_set(err, errno, "KVM_ARM_VCPU_INIT: %s", strerror(errno));
	return vcpu->vm->arch->loaded ? set_entry(vcpu, err) : 0;
}
