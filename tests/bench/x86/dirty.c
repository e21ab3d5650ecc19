/* SPDX-License-Identifier: MIT */
/*
 * dirty [ROUNDS [ENTRIES]]: what it costs to know which pages a guest writes to, by KVM's dirty log (as state/dirty.c has it)
 * and by its dirty ring. One vCPU writes to pages of 1 GiB, pass by pass; after each what it wrote is collected into
 * a map, and protected again. Medians, in us: of the guest's pass, of collecting it, and of both beside a pass that
 * nobody watches. The ways take turns, each in a VM of its own. ENTRIES, a power of two: of the ring; one that is full
 * stops the guest, and what it takes to go on is part of its pass. A KVM that runs over a ring's end without telling
 * (it warns in its log then, and pages are lost) is found out, and is status 1.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "raw.h"

#define PAGE 4096ull
#define MEMORY (1ull << 30)
#define PAGES (MEMORY / PAGE)
#define ENTRY 0x1000
#define FIRST 0x200000ull /* of what is written to */
#define WINDOW 4096u	  /* pages protected in one go, as state/dirty.h has it */
#define MOST_ROUNDS 101

enum way { NOTHING, LOG, DIRTY_RING, WAYS };

struct vm {
	enum way way;
	int kvm, fd, vcpu;
	struct kvm_run *run;
	struct kvm_dirty_gfn *ring;
	uint32_t entries, next; /* of the ring */
	unsigned int full;	/* exits of that kind */
	uint64_t found;
	uint64_t log[PAGES / 64], map[PAGES / 64];
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- The VM ---- */

static void add_memory(struct vm *vm)
{
	/* next: mov %eax, (%edi); add %edx, %edi; dec %ecx; jnz next; out %al, $0xf4 */
	static const uint8_t code[] = { 0x89, 0x07, 0x01, 0xd7, 0x49, 0x75, 0xf9, 0xe6, 0xf4 };
	uint8_t *ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region region = {
		.flags = vm->way == NOTHING ? 0 : KVM_MEM_LOG_DIRTY_PAGES,
		.memory_size = MEMORY,
		.userspace_addr = (uintptr_t)ram,
	};

	if (ram == MAP_FAILED)
		err(125, "mmap");
	madvise(ram, MEMORY, MADV_NOHUGEPAGE);
	memcpy(ram + ENTRY, code, sizeof(code));
	call(vm->fd, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

static void watch(struct vm *vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
				      .args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE } };

	if (vm->way == NOTHING)
		return;
	if (vm->way == DIRTY_RING) {
		cap.cap = KVM_CAP_DIRTY_LOG_RING;
		cap.args[0] = vm->entries * sizeof(struct kvm_dirty_gfn);
	}
	call(vm->fd, KVM_ENABLE_CAP, &cap, vm->way == LOG ? "the dirty log" : "the dirty ring");
}

static void make(struct vm *vm)
{
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		err(125, "/dev/kvm");
	vm->fd = call(vm->kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
	watch(vm);
	add_memory(vm);
	vm->vcpu = call(vm->fd, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
	vm->run = mmap(
		NULL, (size_t)call(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "KVM_GET_VCPU_MMAP_SIZE"),
		PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED)
		err(125, "mmap of the vCPU");
	if (vm->way == DIRTY_RING) {
		vm->ring = mmap(NULL, vm->entries * sizeof(*vm->ring), PROT_READ | PROT_WRITE,
				MAP_SHARED, vm->vcpu, (off_t)(KVM_DIRTY_LOG_PAGE_OFFSET * PAGE));
		if (vm->ring == MAP_FAILED)
			err(125, "mmap of the ring");
	}
	set_flat(vm->vcpu);
}

/* ---- What was written ---- */

static void collect_log(struct vm *vm)
{
	struct kvm_dirty_log log = { .dirty_bitmap = vm->log };

	call(vm->fd, KVM_GET_DIRTY_LOG, &log, "KVM_GET_DIRTY_LOG");
	for (uint64_t first = 0; first < PAGES; first += WINDOW) {
		struct kvm_clear_dirty_log clear = { .first_page = first,
						     .num_pages = WINDOW,
						     .dirty_bitmap = vm->log + first / 64 };
		uint64_t any = 0;

		for (uint64_t w = first / 64; w < (first + WINDOW) / 64; w++) {
			any |= vm->log[w];
			vm->map[w] |= vm->log[w];
			vm->found += (unsigned int)__builtin_popcountll(vm->log[w]);
		}
		if (any)
			call(vm->fd, KVM_CLEAR_DIRTY_LOG, &clear, "KVM_CLEAR_DIRTY_LOG");
	}
}

static bool collect_ring(struct vm *vm)
{
	uint64_t before = vm->found;

	for (;; vm->next++) {
		struct kvm_dirty_gfn *gfn = &vm->ring[vm->next % vm->entries];

		if (!(__atomic_load_n(&gfn->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			break;
		if (gfn->offset < PAGES) {
			vm->map[gfn->offset / 64] |= 1ull << gfn->offset % 64;
			vm->found++;
		}
		__atomic_store_n(&gfn->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
	call(vm->fd, KVM_RESET_DIRTY_RINGS, NULL, "KVM_RESET_DIRTY_RINGS");
	return vm->found > before;
}

static void collect(struct vm *vm)
{
	if (vm->way == LOG)
		collect_log(vm);
	else if (vm->way == DIRTY_RING)
		collect_ring(vm);
}

/* ---- Passes ---- */

static void pass(struct vm *vm, uint64_t pages, uint64_t stride)
{
	struct kvm_regs regs = {
		.rip = ENTRY, .rflags = 2, .rdi = FIRST, .rcx = pages, .rdx = stride
	};

	call(vm->vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
	for (;;) {
		if (ioctl(vm->vcpu, KVM_RUN, NULL) && errno != EINTR)
			err(125, "KVM_RUN");
		if (vm->run->exit_reason != KVM_EXIT_DIRTY_RING_FULL)
			break;
		vm->full++;
		if (!collect_ring(vm))
			errx(1, "the ring is full, and nothing is in it: KVM ran over its end");
	}
	if (vm->run->exit_reason != KVM_EXIT_IO)
		errx(1, "the guest ended with exit %u", vm->run->exit_reason);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *of, unsigned int n)
{
	qsort(of, n, sizeof(*of), compare);
	return of[n / 2];
}

static void compare_ways(struct vm *vms, const char *what, uint64_t pages, uint64_t stride,
			 unsigned int rounds)
{
	static const char *const names[] = { "unwatched", "log", "ring" };
	static double passes[WAYS][MOST_ROUNDS], collecting[WAYS][MOST_ROUNDS],
		both[WAYS][MOST_ROUNDS];
	double alone;

	for (unsigned int i = 0; i < WAYS; i++) {
		pass(&vms[i], pages, stride); /* its pages come */
		collect(&vms[i]);
	}
	for (unsigned int round = 0; round < rounds; round++) {
		for (unsigned int i = 0; i < WAYS; i++) {
			double begin = now_us(), middle, end;

			vms[i].found = vms[i].full = 0;
			pass(&vms[i], pages, stride);
			middle = now_us();
			collect(&vms[i]);
			end = now_us();
			passes[i][round] = middle - begin;
			collecting[i][round] = end - middle;
			both[i][round] = end - begin;
			if (i != NOTHING && vms[i].found < pages)
				errx(1, "%s: the %s has %llu of %llu pages", what, names[i],
				     (unsigned long long)vms[i].found, (unsigned long long)pages);
		}
	}
	alone = median(both[NOTHING], rounds);
	for (unsigned int i = 0; i < WAYS; i++)
		printf("%-28s %-9s pass %9.0f  collecting %9.0f  both %9.0f  %6.1f  full %u\n",
		       what, names[i], median(passes[i], rounds), median(collecting[i], rounds),
		       median(both[i], rounds), median(both[i], rounds) / alone, vms[i].full);
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 11;
	static struct vm vms[WAYS] = { { .way = NOTHING }, { .way = LOG }, { .way = DIRTY_RING } };

	if (!rounds || rounds > MOST_ROUNDS)
		errx(125, "1 to %u rounds", MOST_ROUNDS);
	for (unsigned int i = 0; i < WAYS; i++) {
		vms[i].entries = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 65536;
		make(&vms[i]);
	}
	compare_ways(vms, "every page of 128 MiB", 32768, PAGE, rounds);
	compare_ways(vms, "every 64th page of 1 GiB", 4000, 64 * PAGE, rounds);
	compare_ways(vms, "16 pages", 16, 64 * PAGE, rounds);
	return 0;
}
