/* SPDX-License-Identifier: MIT */
#include "vm/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/util.h"

#define HUGE_PAGE (2 * MIB)
#define WORTH_MAPPING (64 * KIB) /* what is less is copied sooner */

static int hold_image(struct mem_image *image, int fd)
{
	struct stat st;

	if (image->fd >= 0)
		return 0;
	if (fstat(fd, &st))
		return -errno;
	*image = (struct mem_image){ fcntl(fd, F_DUPFD_CLOEXEC, 0), st.st_mtim, st.st_size };
	return image->fd < 0 ? -errno : 0;
}

static bool is_as_held(const struct mem_image *image)
{
	struct stat st;

	return image->fd < 0 || (!fstat(image->fd, &st) && st.st_size == image->size &&
				 st.st_mtim.tv_sec == image->time.tv_sec &&
				 st.st_mtim.tv_nsec == image->time.tv_nsec);
}

/* Nobody can cut it short, which would be a SIGBUS here. */
static int make_shared(struct mem *mem, struct err *err)
{
	mem->fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (mem->fd < 0 || ftruncate(mem->fd, (off_t)mem->size) ||
	    fcntl(mem->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return err_set(err, errno, "cannot make shared guest memory (memfd): %s",
			       strerror(errno));
	return 0;
}

static int take_shared(struct mem *mem, int fd, struct err *err)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) ||
	    st.st_size != (off_t)mem->size)
		return err_set(err, EINVAL, "what should be the guest's memory is not");
	mem->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return mem->fd < 0 ? err_set(err, errno, "the guest's memory: %s", strerror(errno)) : 0;
}

static int open_backing(struct mem *mem, int fd, struct err *err)
{
	int rc;

	if (mem->backing == MEM_SHARED)
		return fd < 0 ? make_shared(mem, err) : take_shared(mem, fd, err);
	mem->fd = fd;
	rc = mem->backing == MEM_FILE ? hold_image(&mem->image, fd) : 0;
	return rc ? err_set(err, -rc, "the file of guest memory: %s", strerror(-rc)) : 0;
}

static size_t bitmap_bytes(const struct mem *mem)
{
	return align_up(mem->size / MEM_PAGE, 64) / 8;
}

/*
 * RAM and behind it the dirty bitmap, of which only what is marked costs anything: one mapping,
 * since each is a microsecond or two of the start. RAM begins at a huge page, as its gpas do: where
 * hva and gpa differ modulo 2 MiB KVM can't map a huge page at all.
 */
static int map_ram(struct mem *mem, struct err *err)
{
	const int flags = mem->backing == MEM_SHARED ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE;
	const size_t bitmap_at = align_up(mem->size, mem->page);
	void *area;

	mem->area_size = HUGE_PAGE + bitmap_at + bitmap_bytes(mem);
	area = mmap(NULL, mem->area_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return err_set(err, errno,
			       "cannot reserve %llu MiB for the guest: %s; give less with -m",
			       (unsigned long long)(mem->size / MIB), strerror(errno));
	mem->area = area;
	mem->ram = (uint8_t *)align_up((uintptr_t)area, HUGE_PAGE);
	mem->dirty = (void *)(mem->ram + bitmap_at);
	if (mem->fd >= 0 && mmap(mem->ram, mem->size, PROT_READ | PROT_WRITE, flags | MAP_FIXED,
				 mem->fd, 0) == MAP_FAILED)
		return err_set(err, errno, "cannot map %llu MiB for the guest: %s",
			       (unsigned long long)(mem->size / MIB), strerror(errno));
	return 0;
}

int mem_create(struct mem *mem, enum mem_backing backing, int fd, uint64_t size, struct err *err)
{
	int rc;

	*mem = (struct mem){
		.size = size,
		.backing = backing,
		.page = (uint64_t)sysconf(_SC_PAGESIZE),
		.fd = -1,
		.image.fd = -1,
		.over.fd = -1,
	};
	if (!size || size % MEM_PAGE || size > UINT64_MAX / 4)
		return err_set(err, EINVAL,
			       "guest memory of %llu bytes: not a sane number of pages",
			       (unsigned long long)size);
	rc = open_backing(mem, fd, err);
	if (!rc)
		rc = map_ram(mem, err);
	if (rc) {
		mem_destroy(mem);
		return rc;
	}
	/*
	 * Advice: a host that knows neither is as good. Where huge pages are the rule they are
	 * undone here.
	 */
	madvise(mem->area, mem->area_size, MADV_DONTDUMP);
	madvise(mem->area, mem->area_size, MADV_NOHUGEPAGE);
	return 0;
}

/* Advice, too: a host without huge pages is only slower. */
void mem_use_huge_pages(struct mem *mem)
{
	madvise(mem->ram, mem->size, MADV_HUGEPAGE);
}

static size_t log_bytes(const struct mem *mem)
{
	uint64_t end = 0;

	for (unsigned int i = 0; i < mem->n_slots; i++)
		end = MAX(end, mem->slots[i].gpa + mem->slots[i].size);
	return align_up(end / MEM_PAGE, 64) / 8;
}

void mem_destroy(struct mem *mem)
{
	_Atomic uint64_t *log = atomic_load(&mem->log);

	if (log)
		munmap(log, log_bytes(mem));
	if (mem->area)
		munmap(mem->area, mem->area_size);
	if (mem->backing == MEM_SHARED && mem->fd >= 0)
		close(mem->fd);
	if (mem->image.fd >= 0)
		close(mem->image.fd);
	if (mem->over.fd >= 0)
		close(mem->over.fd);
	free(mem->runs);
	*mem = (struct mem){ .fd = -1, .image.fd = -1, .over.fd = -1 };
}

static int lay_run(struct mem *mem, int fd, const struct mem_run *run)
{
	if ((run->at | run->len) % mem->page || !run->len ||
	    !range_in(run->at, run->len, mem->size))
		return -EINVAL;
	return mmap(mem->ram + run->at, run->len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd, (off_t)run->at) == MAP_FAILED
		       ? -errno
		       : 0;
}

int mem_lay_over(struct mem *mem, int fd, const struct mem_run *runs, unsigned int n)
{
	int rc = hold_image(&mem->over, fd);

	mem->runs = rc ? NULL : calloc(n ? n : 1, sizeof(*runs));
	if (!mem->runs)
		return rc ? rc : -ENOMEM;
	for (; !rc && mem->n_runs < n; mem->n_runs++) {
		mem->runs[mem->n_runs] = runs[mem->n_runs];
		rc = lay_run(mem, fd, &runs[mem->n_runs]);
	}
	madvise(mem->ram, mem->size, MADV_DONTDUMP);
	madvise(mem->ram, mem->size, MADV_NOHUGEPAGE);
	return rc;
}

int mem_add_slot(struct mem *mem, uint64_t gpa, uint64_t offset, uint64_t size)
{
	if (mem->n_slots == MEM_SLOTS || !size || (gpa | offset | size) % MEM_PAGE ||
	    !range_in(offset, size, mem->size) || gpa > UINT64_MAX - size)
		return -EINVAL;
	for (unsigned int i = 0; i < mem->n_slots; i++) {
		if (range_overlap(gpa, size, mem->slots[i].gpa, mem->slots[i].size))
			return -EINVAL;
	}
	/* A bitmap word must belong to one slot, as dirty logs are handed out by slot. */
	if (offset / MEM_PAGE % 64)
		return -EINVAL;
	mem->slots[mem->n_slots++] = (struct mem_slot){
		.gpa = gpa,
		.size = size,
		.hva = mem->ram + offset,
		.dirty = mem->dirty + offset / MEM_PAGE / 64,
	};
	return 0;
}

static const struct mem_slot *find_slot(const struct mem *mem, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < mem->n_slots; i++) {
		const struct mem_slot *s = &mem->slots[i];

		if (gpa >= s->gpa && range_in(gpa - s->gpa, len, s->size))
			return s;
	}
	return NULL;
}

/* [gpa, gpa+len) lies in a slot. */
static bool is_sealed(const struct mem *mem, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < mem->n_seals; i++) {
		if (range_overlap(gpa, len, mem->seals[i].gpa, mem->seals[i].size))
			return true;
	}
	return false;
}

int mem_seal(struct mem *mem, uint64_t gpa, uint64_t len)
{
	const struct mem_slot *s = len ? find_slot(mem, gpa, len) : NULL;

	if (!s || (gpa | len) % mem->page)
		return -EINVAL;
	if (mem->n_seals == MEM_SEALS)
		return -ENOSPC;
	if (mprotect(s->hva + (gpa - s->gpa), len, PROT_READ))
		return -errno;
	mem->seals[mem->n_seals].gpa = gpa;
	mem->seals[mem->n_seals++].size = len;
	return 0;
}

void *mem_at(const struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access)
{
	const struct mem_slot *s = len ? find_slot(mem, gpa, len) : NULL;

	if (!s || (access == MEM_W && is_sealed(mem, gpa, len)))
		return NULL;
	return s->hva + (gpa - s->gpa);
}

int mem_read(const struct mem *mem, uint64_t gpa, void *to, uint64_t len)
{
	const void *p = mem_at(mem, gpa, len, MEM_R);

	if (!p)
		return -EFAULT;
	memcpy(to, p, len);
	return 0;
}

int mem_write(struct mem *mem, uint64_t gpa, const void *from, uint64_t len)
{
	void *p = mem_at(mem, gpa, len, MEM_W);

	if (!p)
		return -EFAULT;
	memcpy(p, from, len);
	mem_dirty(mem, gpa, len);
	return 0;
}

/* All three are whole host pages. */
static int map_image(struct mem *mem, uint8_t *hva, uint64_t len, int fd, uint64_t offset)
{
	int rc = hold_image(&mem->image, fd);

	if (rc)
		return rc;
	if (mmap(hva, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
		 (off_t)offset) == MAP_FAILED)
		return -errno;
	madvise(hva, len, MADV_DONTDUMP);
	return 0;
}

int mem_load(struct mem *mem, uint64_t gpa, const void *from, uint64_t len, int fd, uint64_t offset)
{
	uint8_t *hva = mem_at(mem, gpa, len, MEM_W);
	const uint8_t *bytes = from;
	uint64_t head, whole;

	if (!hva)
		return -EFAULT;
	head = align_up((uintptr_t)hva, mem->page) - (uintptr_t)hva;
	whole = len > head ? align_down(len - head, mem->page) : 0;
	if (fd < 0 || mem->backing != MEM_ANON || whole < WORTH_MAPPING ||
	    (offset + head) % mem->page || map_image(mem, hva + head, whole, fd, offset + head))
		return mem_write(mem, gpa, from, len);
	memcpy(hva, bytes, head);
	memcpy(hva + head + whole, bytes + head + whole, len - head - whole);
	mem_dirty(mem, gpa, len);
	return 0;
}

bool mem_intact(const struct mem *mem)
{
	return is_as_held(&mem->image) && is_as_held(&mem->over);
}

int mem_discard(struct mem *mem, uint64_t gpa, uint64_t len)
{
	uint8_t *hva = mem_at(mem, gpa, len, MEM_W);
	uint64_t before, whole;
	int rc;

	if (!hva)
		return -EFAULT;
	before = align_up((uintptr_t)hva, mem->page) - (uintptr_t)hva;
	whole = len > before ? align_down(len - before, mem->page) : 0;
	if (!whole)
		return 0;
	hva += before;
	/* A memfd keeps its pages, whoever has them mapped, until there is a hole in it. */
	if (mem->backing == MEM_SHARED)
		rc = fallocate(mem->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hva - mem->ram,
			       (off_t)whole);
	else
		rc = madvise(hva, whole, MADV_DONTNEED);
	if (rc)
		return -errno;
	mem_dirty(mem, gpa + before, whole);
	return 0;
}

bool mem_discards_to_zeros(const struct mem *mem)
{
	return mem->backing != MEM_FILE && mem->image.fd < 0;
}

void mem_dirty(struct mem *mem, uint64_t gpa, uint64_t len)
{
	const struct mem_slot *s = len ? find_slot(mem, gpa, len) : NULL;
	uint64_t first, last;

	if (!s)
		return;
	first = (gpa - s->gpa) / MEM_PAGE;
	last = (gpa - s->gpa + len - 1) / MEM_PAGE;
	/* What was written is written before its mark is looked at: state/dirty.c sees to the processor's part. */
	atomic_signal_fence(memory_order_seq_cst);
	for (uint64_t page = first; page <= last; page++) {
		uint64_t bit = 1ull << page % 64;

		if (bit == 1 && last - page >= 63) {
			atomic_store(&s->dirty[page / 64], UINT64_MAX);
			page += 63;
			continue;
		}
		/* Most are marked already: a load is cheaper than a locked write. */
		if (!(atomic_load_explicit(&s->dirty[page / 64], memory_order_relaxed) & bit))
			atomic_fetch_or(&s->dirty[page / 64], bit);
	}
}

/* Only what is marked costs anything. */
_Atomic uint64_t *mem_log(struct mem *mem)
{
	_Atomic uint64_t *log = atomic_load(&mem->log);
	void *made;

	if (log)
		return log;
	made = mmap(NULL, log_bytes(mem), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (made == MAP_FAILED)
		return NULL;
	madvise(made, log_bytes(mem), MADV_DONTDUMP);
	if (atomic_compare_exchange_strong(&mem->log, &log, made))
		return made;
	munmap(made, log_bytes(mem)); /* another thread was the first */
	return log;
}

static void take_word(struct mem *mem, _Atomic uint64_t *word, uint64_t first)
{
	uint64_t bits = atomic_load_explicit(word, memory_order_relaxed);

	if (bits)
		bits = atomic_exchange(word, 0);
	for (; bits; bits &= bits - 1)
		mem_dirty(mem, (first + (unsigned int)__builtin_ctzll(bits)) * MEM_PAGE, MEM_PAGE);
}

void mem_take_log(struct mem *mem)
{
	_Atomic uint64_t *log = atomic_load(&mem->log);

	for (unsigned int i = 0; log && i < mem->n_slots; i++) {
		uint64_t first = mem->slots[i].gpa / MEM_PAGE;
		uint64_t last = first + mem->slots[i].size / MEM_PAGE - 1;

		for (uint64_t w = first / 64; w <= last / 64; w++)
			take_word(mem, &log[w], w * 64);
	}
}

bool mem_test_dirty(struct mem *mem, uint64_t gpa, bool clear)
{
	const struct mem_slot *s = find_slot(mem, gpa, 1);
	uint64_t page, bit;

	if (!s)
		return false;
	page = (gpa - s->gpa) / MEM_PAGE;
	bit = 1ull << page % 64;
	if (clear)
		return atomic_fetch_and(&s->dirty[page / 64], ~bit) & bit;
	return atomic_load(&s->dirty[page / 64]) & bit;
}
