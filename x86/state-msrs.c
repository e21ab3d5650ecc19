/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util/util.h"
#include "vm/kvm.h"
#include "x86/state.h"
#include "x86/x86.h"

#define MSRS_MOST 4096u /* KVM of 2026 lists some 400 */
#define MSR_TSC_DEADLINE 0x6e0

/* It says how many there are when it is asked with no room for them. */
static int list(int kvm_fd, struct kvm_msr_list **out, struct err *err)
{
	struct kvm_msr_list none = { 0 }, *all;

	if (!ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &none) || errno != E2BIG ||
	    none.nmsrs > MSRS_MOST)
		return err_set(err, EIO, "KVM_GET_MSR_INDEX_LIST: %u MSRs", none.nmsrs);
	all = calloc(1, sizeof(*all) + none.nmsrs * sizeof(all->indices[0]));
	if (!all)
		return err_set(err, ENOMEM, "no memory for %u MSRs", none.nmsrs);
	all->nmsrs = none.nmsrs;
	*out = all;
	return ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, all)
		       ? err_set(err, errno, "KVM_GET_MSR_INDEX_LIST: %s", strerror(errno))
		       : 0;
}

static struct kvm_msrs *msrs_alloc(uint32_t n)
{
	return calloc(1, sizeof(struct kvm_msrs) + n * sizeof(struct kvm_msr_entry));
}

/*
 * KVM lists what some processor may have, and stops at the first that this one has not, or that it does not let
 * itself be told: that one is given to `refused`, and it goes on behind it. How many
 * it took, which are then the first of `entries`.
 */
static int each(int vcpu_fd, unsigned long request, struct kvm_msr_entry *entries, uint32_t n,
		int (*refused)(int vcpu_fd, const struct kvm_msr_entry *e, struct err *err),
		struct err *err)
{
	struct kvm_msrs *m = msrs_alloc(n);
	uint32_t done = 0, kept = 0;
	int rc = 0;

	if (!m)
		return err_set(err, ENOMEM, "no memory for %u MSRs", n);
	while (!rc && done < n) {
		int taken;

		memcpy(m->entries, entries + done, (n - done) * sizeof(*entries));
		m->nmsrs = n - done;
		taken = ioctl(vcpu_fd, request, m);
		if (taken < 0) {
			rc = err_set(err, errno, "MSRs: %s", strerror(errno));
			break;
		}
		memcpy(entries + kept, m->entries, (size_t)taken * sizeof(*entries));
		kept += (uint32_t)taken;
		done += (uint32_t)taken;
		if (done < n)
			rc = refused(vcpu_fd, &entries[done++], err);
	}
	free(m);
	return rc ? rc : (int)kept;
}

static int leave_out(int vcpu_fd, const struct kvm_msr_entry *e, struct err *err)
{
	(void)vcpu_fd;
	(void)e;
	(void)err;
	return 0;
}

static int read_one(int vcpu_fd, uint32_t index, uint64_t *value)
{
	union {
		struct kvm_msrs msrs;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} one = { .msrs.nmsrs = 1 };

	one.msrs.entries[0].index = index;
	if (ioctl(vcpu_fd, KVM_GET_MSRS, &one.msrs) != 1)
		return -ENOENT;
	*value = one.msrs.entries[0].data;
	return 0;
}

/* Many can be read only, or not be at all: no harm where the guest would find the same as before. */
static int same_without(int vcpu_fd, const struct kvm_msr_entry *e, struct err *err)
{
	uint64_t value = 0;

	if (!read_one(vcpu_fd, e->index, &value) && value == e->data)
		return 0;
	return !e->data && !value
		       ? 0
		       : err_set(err, ENOTSUP, "MSR 0x%x was 0x%llx, which this host does not take",
				 e->index, (unsigned long long)e->data);
}

/* The deadline is a local APIC's timer of a certain mode, and can't be before the time that it is by. */
static void deadline_last(struct kvm_msr_entry *entries, uint32_t n)
{
	for (uint32_t i = 0; i + 1 < n; i++) {
		if (entries[i].index == MSR_TSC_DEADLINE) {
			struct kvm_msr_entry deadline = entries[i];

			memmove(&entries[i], &entries[i + 1], (n - i - 1) * sizeof(*entries));
			entries[n - 1] = deadline;
			return;
		}
	}
}

int x86_msrs_save(struct vcpu *vcpu, struct buf *out, struct err *err)
{
	struct kvm_msr_list *all = NULL;
	struct kvm_msr_entry *entries = NULL;
	int n = list(vcpu->vm->kvm_fd, &all, err);

	if (!n) {
		entries = calloc(all->nmsrs, sizeof(*entries));
		n = entries ? 0 : err_set(err, ENOMEM, "no memory for MSRs");
	}
	for (uint32_t i = 0; entries && i < all->nmsrs; i++)
		entries[i].index = all->indices[i];
	if (!n)
		n = each(vcpu->fd, KVM_GET_MSRS, entries, all->nmsrs, leave_out, err);
	if (n >= 0) {
		deadline_last(entries, (uint32_t)n);
		x86_put_part(out, entries, (size_t)n * sizeof(*entries));
	}
	free(entries);
	free(all);
	return MIN(n, 0);
}

int x86_msrs_restore(struct vcpu *vcpu, struct reader *in, struct err *err)
{
	size_t size;
	const void *part = x86_next_part(in, 0, MSRS_MOST * sizeof(struct kvm_msr_entry), &size);
	uint32_t n = (uint32_t)(size / sizeof(struct kvm_msr_entry));
	struct kvm_msr_entry *entries;
	int rc;

	if (!part || size % sizeof(struct kvm_msr_entry))
		return err_set(err, EINVAL, "MSRs: damaged");
	entries = calloc(n + 1, sizeof(*entries));
	if (!entries)
		return err_set(err, ENOMEM, "no memory for %u MSRs", n);
	memcpy(entries, part, size);
	rc = each(vcpu->fd, KVM_SET_MSRS, entries, n, same_without, err);
	free(entries);
	return MIN(rc, 0);
}
