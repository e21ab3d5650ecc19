/* SPDX-License-Identifier: MIT */
/* Dirty tracking on hosts of any page size, with a KVM of our own: see ioctl(). */
#include "state/dirty.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/unit/tap.h"
#include "util/util.h"

#define GPA GIB
#define SIZE MIB /* 256 pages of ours */

/* The test's KVM: a bit for each of the host's pages. */
static uint64_t kvms_log[SIZE / MEM_PAGE / 64];

static void clear(const struct kvm_clear_dirty_log *c)
{
	const uint64_t *bits = c->dirty_bitmap;

	for (unsigned int i = 0; i < c->num_pages; i++) {
		uint64_t page = c->first_page + i;

		if (bits[i / 64] >> i % 64 & 1)
			kvms_log[page / 64] &= ~(1ull << page % 64);
	}
}

/* In libc's place. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	(void)fd;
	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	switch (request) {
	case KVM_CHECK_EXTENSION:
		return KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
	case KVM_GET_DIRTY_LOG:
		memcpy(((struct kvm_dirty_log *)arg)->dirty_bitmap, kvms_log, sizeof(kvms_log));
		return 0;
	case KVM_CLEAR_DIRTY_LOG:
		clear(arg);
		return 0;
	default:
		return 0;
	}
}

/* Who has a device's log on. */
static int on;

static void log_writes(struct device *dev, bool wanted)
{
	(void)dev;
	on += wanted ? 1 : -1;
}

static uint64_t take(struct dirty *d)
{
	uint64_t bits[DIRTY_WORDS];
	struct err err;
	unsigned int n;

	ok(!dirty_take(d, 0, 0, bits, &n, &err) && n == SIZE / MEM_PAGE, "a window is taken");
	return bits[0];
}

static void host_with(uint64_t page)
{
	const unsigned int per = (unsigned int)(page / MEM_PAGE);
	const uint64_t whole = (1ull << per) - 1;
	const struct device_ops ops = { .log = log_writes };
	struct device dev = { .ops = &ops };
	struct device_list devices = { &dev };
	struct vm vm = { .fd = -1, .kvm_fd = -1 };
	struct dirty d;
	struct err err;

	printf("# pages of %llu KiB\n", (unsigned long long)page / 1024);
	if (mem_create(&vm.mem, MEM_ANON, -1, SIZE, &err) || mem_add_slot(&vm.mem, GPA, 0, SIZE))
		abort();
	vm.mem.page = page;
	memset(kvms_log, 0, sizeof(kvms_log));
	ok(!dirty_start(&d, &vm, &devices, &err) && on == 1, "tracking begins, and devices know");
	ok(take(&d) == UINT64_MAX && !d.count, "with all");
	kvms_log[0] = 1ull << 1;
	ok(!dirty_sync(&d, &err) && d.count == per, "a vCPU writes to the second page");
	ok(take(&d) == whole << per && !kvms_log[0] && !d.count, "which is all of ours there");
	mem_dirty(&vm.mem, GPA + 2 * page, 1);
	ok(!dirty_sync(&d, &err) && d.count == per, "we write to the third");
	kvms_log[0] = 1ull << 2;
	ok(take(&d) == whole << 2 * per && !kvms_log[0],
	   "and a vCPU, where we did not, before it is protected: it is all taken");
	((uint8_t *)mem_log(&vm.mem))[GPA / MEM_PAGE / 8] = 1;
	mem_dirty(&vm.mem, GPA, 1);
	ok(!dirty_sync(&d, &err) && d.count == per, "the first is written to by others, and by us");
	ok(take(&d) == whole && !d.count, "once");
	ok(!dirty_sync(&d, &err) && !d.count, "then nobody writes");
	dirty_stop(&d);
	ok(!on, "it ends, and devices know");
	mem_destroy(&vm.mem);
}

int main(void)
{
	host_with(4 * KIB);
	host_with(16 * KIB);
	host_with(64 * KIB);
	return done_testing();
}
