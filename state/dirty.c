/* SPDX-License-Identifier: MIT */
#include "state/dirty.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/util.h"
#include "vm/kvm.h"

static uint64_t slot_pages(const struct mem_slot *s)
{
	return s->size / MEM_PAGE;
}

/* Its first word among all of RAM's: slots begin at whole ones (vm/mem.c). */
static uint64_t *slot_bits(const struct dirty *d, const struct mem_slot *s)
{
	return d->bits + (s->dirty - d->vm->mem.dirty);
}

/* KVM's log has a bit for each of the host's pages, which may be larger than ours. */
static unsigned int scale(const struct dirty *d)
{
	return (unsigned int)(d->vm->mem.page / MEM_PAGE);
}

static int not_logged(int rc, struct err *err)
{
	return err_set(err, -rc, "KVM does not log what the guest writes: %s", strerror(-rc));
}

/* ---- On and off ---- */

static int set_logging(struct vm *vm, bool on)
{
	int rc = 0;

	for (unsigned int i = 0; i < vm->mem.n_slots; i++) {
		const struct mem_slot *s = &vm->mem.slots[i];
		struct kvm_userspace_memory_region region = {
			.slot = i,
			.flags = on ? KVM_MEM_LOG_DIRTY_PAGES : 0,
			.guest_phys_addr = s->gpa,
			.memory_size = s->size,
			.userspace_addr = (uintptr_t)s->hva,
		};

		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
			rc = -errno;
	}
	return rc;
}

/* At first all is marked (INITIALLY_SET, if there is such a thing): nothing is protected until it is taken. */
static bool enable_manual(struct vm *vm)
{
	int can = kvm_cap(vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { (uint64_t)can &
			  (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET) },
	};

	return can > 0 && !ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

/*
 * mem_dirty() leaves alone what is marked, by a plain look at it. So after marks were taken each of our threads
 * must have passed a barrier, before the pages are read: else it might have seen the mark, and its page not be
 * written yet. That is asked of the kernel, here and once a round, instead of paid for at each write.
 */
static int pass_barriers(int command)
{
	return syscall(SYS_membarrier, command, 0, 0) ? -errno : 0;
}

/* What was marked by us before is, too, and needs no mark of its own. */
static void mark_all(struct dirty *d)
{
	for (unsigned int i = 0; i < d->vm->mem.n_slots; i++) {
		const struct mem_slot *s = &d->vm->mem.slots[i];
		uint64_t *bits = slot_bits(d, s);

		for (uint64_t page = 0; page < slot_pages(s); page++) {
			if (!(page % 64) && atomic_load(&s->dirty[page / 64]))
				atomic_store(&s->dirty[page / 64], 0);
			bits[page / 64] |= 1ull << page % 64;
		}
		d->count += slot_pages(s);
	}
}

int dirty_start(struct dirty *d, struct vm *vm, struct device_list *devices, struct err *err)
{
	size_t words = align_up(vm->mem.size / MEM_PAGE, 64) / 64;
	int rc;

	*d = (struct dirty){ .vm = vm, .devices = devices };
	rc = pass_barriers(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	if (rc)
		return err_set(err, -rc, "the host's kernel lacks membarrier(): %s", strerror(-rc));
	d->bits = calloc(words, sizeof(*d->bits));
	d->log = calloc(words, sizeof(*d->log));
	if (!d->bits || !d->log) {
		dirty_stop(d);
		return err_set(err, ENOMEM, "no memory for a map of the guest's memory");
	}
	d->manual = enable_manual(vm);
	device_list_log(devices, true);
	rc = set_logging(vm, true);
	if (rc) {
		dirty_stop(d);
		return not_logged(rc, err);
	}
	mark_all(d);
	pass_barriers(MEMBARRIER_CMD_PRIVATE_EXPEDITED); /* (it is registered) */
	return 0;
}

void dirty_stop(struct dirty *d)
{
	if (d->vm) {
		device_list_log(d->devices, false);
		set_logging(d->vm, false);
	}
	free(d->bits);
	free(d->log);
	*d = (struct dirty){ 0 };
}

/* ---- What was written ---- */

/* A word of ours, and whole pages of the host's by it: KVM protects those again when any part is taken. */
static void add(struct dirty *d, uint64_t *bits, uint64_t word)
{
	uint64_t per = scale(d); /* 16 at most */
	uint64_t page = (1ull << per) - 1;

	for (unsigned int i = 0; per > 1 && i < 64; i += per)
		word |= word >> i & page ? page << i : 0;
	d->count += (unsigned int)__builtin_popcountll(word & ~*bits);
	*bits |= word;
}

/* Word `w` of KVM's log. */
static void add_kvms(struct dirty *d, uint64_t *bits, uint64_t w, uint64_t word)
{
	uint64_t per = scale(d);

	if (per == 1)
		add(d, &bits[w], word);
	for (; per > 1 && word; word &= word - 1) {
		uint64_t page = (w * 64 + (unsigned int)__builtin_ctzll(word)) * per;

		add(d, &bits[page / 64], 1ull << page % 64);
	}
}

static int sync_slot(struct dirty *d, unsigned int i)
{
	const struct mem_slot *s = &d->vm->mem.slots[i];
	struct kvm_dirty_log log = { .slot = i, .dirty_bitmap = d->log };
	uint64_t *bits = slot_bits(d, s);

	if (ioctl(d->vm->fd, KVM_GET_DIRTY_LOG, &log))
		return -errno;
	for (uint64_t w = 0; w * 64 * scale(d) < slot_pages(s); w++)
		add_kvms(d, bits, w, d->log[w]);
	for (uint64_t w = 0; w * 64 < slot_pages(s); w++) {
		if (atomic_load_explicit(&s->dirty[w], memory_order_relaxed))
			add(d, &bits[w], atomic_exchange(&s->dirty[w], 0));
	}
	return 0;
}

int dirty_sync(struct dirty *d, struct err *err)
{
	int rc = 0;

	mem_take_log(&d->vm->mem);
	for (unsigned int i = 0; !rc && i < d->vm->mem.n_slots; i++)
		rc = sync_slot(d, i);
	if (!rc)
		rc = pass_barriers(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	return rc ? err_set(err, -rc, "KVM does not tell what the guest has written: %s",
			    strerror(-rc))
		  : 0;
}

/* ---- What is taken ---- */

/* KVM protects these pages again. Its words have a bit for each of the host's pages. */
static int protect(struct dirty *d, unsigned int slot, uint64_t first, unsigned int n,
		   const uint64_t bits[DIRTY_WORDS])
{
	uint64_t log[DIRTY_WORDS] = { 0 };
	unsigned int per = scale(d);
	struct kvm_clear_dirty_log clear = {
		.slot = slot,
		.first_page = first / per,
		.num_pages = (n + per - 1) / per,
		.dirty_bitmap = log,
	};

	for (unsigned int page = 0; page < n; page++) {
		if (bits[page / 64] >> page % 64 & 1)
			log[page / per / 64] |= 1ull << page / per % 64;
	}
	return ioctl(d->vm->fd, KVM_CLEAR_DIRTY_LOG, &clear) ? -errno : 0;
}

int dirty_take(struct dirty *d, unsigned int slot, uint64_t first, uint64_t bits[DIRTY_WORDS],
	       unsigned int *n, struct err *err)
{
	const struct mem_slot *s = &d->vm->mem.slots[slot];
	uint64_t *from = slot_bits(d, s) + first / 64;
	unsigned int words, marked = 0;
	int rc;

	*n = (unsigned int)MIN(slot_pages(s) - first, (uint64_t)DIRTY_WINDOW);
	words = (*n + 63) / 64;
	memcpy(bits, from, words * sizeof(*bits));
	memset(from, 0, words * sizeof(*bits));
	for (unsigned int w = 0; w < words; w++)
		marked += (unsigned int)__builtin_popcountll(bits[w]);
	d->count -= marked;
	rc = marked && d->manual ? protect(d, slot, first, *n, bits) : 0;
	return rc ? not_logged(rc, err) : 0;
}
