/* SPDX-License-Identifier: MIT */
#include "vm/bus.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util/util.h"

struct bus_region {
	uint64_t base, size;
	bus_fn fn;
	void *opaque;
	const char *name;
};

/* Immutable once published; sorted by base. */
struct bus_table {
	unsigned int n;
	struct bus_region regions[];
};

static struct bus_table *table_new(unsigned int n)
{
	struct bus_table *t = calloc(1, sizeof(*t) + n * sizeof(t->regions[0]));

	if (t)
		t->n = n;
	return t;
}

int bus_init(struct bus *bus)
{
	struct bus_table *empty = table_new(0);

	if (!empty)
		return -ENOMEM;
	pthread_mutex_init(&bus->lock, NULL);
	bus->vm_fd = -1;
	atomic_init(&bus->table, empty);
	atomic_init(&bus->readers, 0);
	atomic_init(&bus->unclaimed, 0);
	return 0;
}

void bus_destroy(struct bus *bus)
{
	if (!atomic_load(&bus->table))
		return;
	free(atomic_load(&bus->table));
	atomic_store(&bus->table, NULL);
	pthread_mutex_destroy(&bus->lock);
}

/*
 * Readers hold the table only while they search it, some dozens of nanoseconds, and never while a
 * handler runs; so waiting for a moment without readers is short, even for a handler that waits.
 */
static void publish(struct bus *bus, struct bus_table *t)
{
	struct bus_table *old = atomic_exchange(&bus->table, t);

	while (atomic_load(&bus->readers))
		sched_yield();
	free(old);
}

int bus_claim(struct bus *bus, uint64_t base, uint64_t size, bus_fn fn, void *opaque,
	      const char *name, struct err *err)
{
	struct bus_table *old, *t;
	unsigned int at = 0;

	if (!size || base > UINT64_MAX - size)
		return err_set(err, EINVAL, "%s: impossible range at 0x%llx", name,
			       (unsigned long long)base);
	pthread_mutex_lock(&bus->lock);
	old = atomic_load(&bus->table);
	for (unsigned int i = 0; i < old->n; i++) {
		const struct bus_region *r = &old->regions[i];

		if (range_overlap(base, size, r->base, r->size)) {
			pthread_mutex_unlock(&bus->lock);
			return err_set(err, EEXIST, "%s at 0x%llx overlaps %s at 0x%llx", name,
				       (unsigned long long)base, r->name,
				       (unsigned long long)r->base);
		}
		at += r->base < base;
	}
	t = table_new(old->n + 1);
	if (t) {
		memcpy(t->regions, old->regions, at * sizeof(t->regions[0]));
		memcpy(t->regions + at + 1, old->regions + at,
		       (old->n - at) * sizeof(t->regions[0]));
		t->regions[at] = (struct bus_region){ base, size, fn, opaque, name };
		publish(bus, t);
	}
	pthread_mutex_unlock(&bus->lock);
	return t ? 0 : err_set(err, ENOMEM, "no memory for %s", name);
}

void bus_release(struct bus *bus, uint64_t base)
{
	struct bus_table *old, *t;

	pthread_mutex_lock(&bus->lock);
	old = atomic_load(&bus->table);
	t = table_new(old->n);
	if (t) {
		t->n = 0;
		for (unsigned int i = 0; i < old->n; i++) {
			if (old->regions[i].base != base)
				t->regions[t->n++] = old->regions[i];
		}
		publish(bus, t);
	}
	pthread_mutex_unlock(&bus->lock);
}

static bool find_region(const struct bus_table *t, uint64_t addr, struct bus_region *out)
{
	unsigned int low = 0, high = t->n;

	while (low < high) {
		unsigned int mid = (low + high) / 2;
		const struct bus_region *r = &t->regions[mid];

		if (addr < r->base) {
			high = mid;
		} else if (addr - r->base >= r->size) {
			low = mid + 1;
		} else {
			*out = *r;
			return true;
		}
	}
	return false;
}

bool bus_access(struct bus *bus, uint64_t addr, void *data, uint32_t len, bool is_write)
{
	struct bus_region r;
	bool found;

	atomic_fetch_add(&bus->readers, 1);
	found = find_region(atomic_load(&bus->table), addr, &r);
	atomic_fetch_sub(&bus->readers, 1);
	if (found && range_in(addr - r.base, len, r.size)) {
		r.fn(r.opaque, addr - r.base, data, len, is_write);
		return true;
	}
	if (!is_write)
		memset(data, 0xff, len);
	atomic_fetch_add_explicit(&bus->unclaimed, 1, memory_order_relaxed);
	return false;
}

int bus_bind_fd(struct bus *bus, const struct bus_signal *signal, int fd, bool bind)
{
	struct kvm_ioeventfd arg = {
		.datamatch = signal->value,
		.addr = signal->addr,
		.len = signal->len,
		.fd = fd,
		.flags = (signal->has_value ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) |
			 (bind ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	if (bus->vm_fd < 0)
		return -ENOTSUP;
	return ioctl(bus->vm_fd, KVM_IOEVENTFD, &arg) ? -errno : 0;
}
