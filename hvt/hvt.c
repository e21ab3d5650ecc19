/* SPDX-License-Identifier: MIT */
#include "hvt/hvt.h"

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hvt/parts.h"
#include "util/util.h"
#include "vm/arch.h"

#define COOKIE 512 /* what hypercall 8 points to, if it does: where a debugger finds more */
#define MANIFEST (HVT_INFO + sizeof(struct hvt_boot_info))

void hvt_fault(struct hvt *h, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_at(&h->vm->config.log, LOG_ERROR, "the guest %s", text);
	vm_end(h->vm, VERDICT_FAULT, 0);
}

void *hvt_at(struct hvt *h, uint64_t gpa, uint64_t len, enum mem_access access)
{
	if (!len)
		return h;
	if (gpa < (access == MEM_W ? HVT_BASE : HVT_INFO))
		return NULL;
	return mem_at(&h->vm->mem, gpa, len, access);
}

/* ---- Hypercalls ---- */

static void walltime(struct hvt *h, uint64_t gpa)
{
	uint64_t *out = hvt_at(h, gpa, sizeof(*out), MEM_W);
	struct timespec now;

	if (!out) {
		hvt_fault(h, "asks for the time to 0x%llx, which is not its to write",
			  (unsigned long long)gpa);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	put_le64(out, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	mem_dirty(&h->vm->mem, gpa, sizeof(*out));
}

/* All of it goes out, however slow its reader: as if the guest wrote there itself. */
static void puts_(struct hvt *h, uint64_t gpa)
{
	const uint8_t *arg = hvt_at(h, gpa, 16, MEM_R), *text = NULL;
	uint64_t at = 0, len = 0;

	if (arg) {
		at = get_le64(arg);
		len = get_le64(arg + 8);
		text = hvt_at(h, at, len, MEM_R);
	}
	if (!text) {
		hvt_fault(
			h,
			"prints %llu bytes at 0x%llx (arguments at 0x%llx), outside of its memory",
			(unsigned long long)len, (unsigned long long)at, (unsigned long long)gpa);
		return;
	}
	while (len) {
		size_t n = h->console.write(h->console.opaque, text, len);

		text += n;
		len -= n;
		if (len && !hvt_wait_room(h))
			return;
	}
}

static void halt(struct hvt *h, uint64_t gpa)
{
	const uint8_t *arg = hvt_at(h, gpa, 12, MEM_R);
	uint64_t cookie = arg ? get_le64(arg) : 0;

	if (!arg || (cookie && !hvt_at(h, cookie, COOKIE, MEM_R)))
		hvt_fault(
			h,
			"halts with a cookie at 0x%llx (arguments at 0x%llx), outside of its memory",
			(unsigned long long)cookie, (unsigned long long)gpa);
	else
		vm_end(h->vm, VERDICT_IMAGE, (int)get_le32(arg + 8));
}

static void (*const hypercalls[])(struct hvt *h, uint64_t gpa) = {
	[1] = walltime,	      [2] = puts_,	   [3] = hvt_poll,     [4] = hvt_block_write,
	[5] = hvt_block_read, [6] = hvt_net_write, [7] = hvt_net_read, [8] = halt,
};

/* All there is. `at` is a port or an address; a call is a write of 32 bits to one that has a number. */
static void on_access(struct hvt *h, const char *where, bool calls, uint64_t at, const void *data,
		      uint32_t len, bool is_write)
{
	unsigned int shift = arch_map.hvt.shift;
	uint64_t n = at - arch_map.hvt.base;

	/* The rest of a string instruction, of thousands of accesses. */
	if (atomic_load(&h->vm->want) == VM_END)
		return;
	if (calls && at >= arch_map.hvt.base && !(n & ((1u << shift) - 1)) &&
	    n >> shift < ARRAY_SIZE(hypercalls) && hypercalls[n >> shift] && is_write && len == 4)
		hypercalls[n >> shift](h, get_le32(data));
	else
		hvt_fault(h, "%s %u bytes %s %s 0x%llx, where there is nothing for it",
			  is_write ? "writes" : "reads", len, is_write ? "to" : "from", where,
			  (unsigned long long)at);
}

static void on_port(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	on_access(opaque, "port", arch_map.hvt.is_pio, offset, data, len, is_write);
	if (!is_write)
		memset(data, 0xff, len);
}

/* A write to sealed memory, too, comes here, or KVM_RUN fails: that depends on the host. */
static void on_memory(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct hvt *h = opaque;

	if (offset < h->vm->config.mem)
		hvt_fault(h, "%s 0x%llx, which is not its to %s",
			  is_write ? "writes to" : "reads from", (unsigned long long)offset,
			  is_write ? "write" : "read");
	else
		on_access(h, "address", !arch_map.hvt.is_pio, offset, data, len, is_write);
	if (!is_write)
		memset(data, 0xff, len);
}

static int claim(struct hvt *h, struct err *err)
{
	int rc = bus_claim(&h->vm->pio, 0, 0x10000, on_port, h, "hvt", err);

	return rc ? rc : bus_claim(&h->vm->mmio, 0, UINT64_MAX, on_memory, h, "hvt", err);
}

/* ---- Memory ---- */

/* Neighbours are sealed together: each seal is a mapping of its own to the host. */
static int seal(struct hvt *h, const struct solo5_image *image)
{
	uint64_t first = 0, end = 0;
	int rc = 0;

	for (unsigned int i = 0; !rc && i < image->n_segments; i++) {
		const struct solo5_segment *s = &image->segments[i];

		if (s->writable || s->first == s->end)
			continue;
		if (s->first != end) {
			rc = end ? mem_seal(&h->vm->mem, first, end - first) : 0;
			first = s->first;
		}
		end = s->end;
	}
	return rc || !end ? rc : mem_seal(&h->vm->mem, first, end - first);
}

/* What follows a segment's bytes is zero, as RAM is. */
static int load(struct hvt *h, const struct solo5_image *image, struct err *err)
{
	int rc = solo5_fits(image, h->vm->config.mem, err);

	for (unsigned int i = 0; !rc && i < image->n_segments; i++) {
		const struct solo5_segment *s = &image->segments[i];

		if (s->file_size &&
		    mem_write(&h->vm->mem, s->gpa, image->data + s->offset, s->file_size))
			rc = err_set(err, EINVAL, "segment %u does not fit in RAM", i);
	}
	if (rc)
		return rc;
	rc = seal(h, image);
	return rc ? err_set(err, -rc, "its pages can't be made read-only: %s",
			    rc == -EINVAL ? "this host's are larger" : strerror(-rc))
		  : 0;
}

static void describe(const struct hvt_device *d, struct hvt_manifest_entry *e)
{
	memcpy(e->name, d->spec.name, sizeof(e->name));
	e->type = d->spec.type;
	if (d->disk) {
		e->u.block.capacity = disk_size(d->disk);
		e->u.block.block_size = d->block_size;
	} else if (d->net) {
		memcpy(e->u.net.mac, d->mac, sizeof(e->u.net.mac));
		e->u.net.mtu = d->mtu;
	}
	e->attached = d->disk || d->net;
}

/* The boot information, the manifest, the command line, one behind the other. */
static int write_info(struct hvt *h, uint64_t kernel_end, const char *cmdline, struct err *err)
{
	unsigned int n = h->n_devices;
	size_t size = sizeof(struct hvt_manifest) + n * sizeof(struct hvt_manifest_entry);
	struct hvt_boot_info info = {
		.mem_size = h->vm->config.mem,
		.kernel_end = kernel_end,
		.manifest = MANIFEST,
		.cmdline = MANIFEST + size,
	};
	size_t len = strlen(cmdline) + 1;
	struct hvt_manifest *m = mem_at(&h->vm->mem, MANIFEST, size, MEM_W);

	if (len > HVT_CMDLINE_MAX)
		return err_set(err, E2BIG, "its arguments have %zu characters; %u are the most",
			       len - 1, HVT_CMDLINE_MAX - 1);
	if (!m)
		return err_set(err, ENOMEM, "no room for its manifest");
	m->version = 1;
	m->entries = n;
	for (unsigned int i = 0; i < n; i++)
		describe(&h->devices[i], &m->entry[i]);
	mem_dirty(&h->vm->mem, MANIFEST, size);
	if (mem_write(&h->vm->mem, HVT_INFO, &info, sizeof(info)) ||
	    mem_write(&h->vm->mem, info.cmdline, cmdline, len))
		return err_set(err, ENOMEM, "no room for its arguments");
	return 0;
}

/* ---- Life ---- */

static int take_devices(struct hvt *h, const struct solo5_image *image, struct err *err)
{
	if (!image->n_devices)
		return 0;
	h->devices = calloc(image->n_devices, sizeof(h->devices[0]));
	if (!h->devices)
		return err_set(err, ENOMEM, "no memory for its devices");
	h->n_devices = image->n_devices;
	for (unsigned int i = 0; i < h->n_devices; i++)
		h->devices[i].spec = image->devices[i];
	return 0;
}

static int load_image(struct hvt *h, const struct hvt_guest *guest, struct solo5_image *image,
		      struct err *err)
{
	struct err why = { "" };
	int rc = solo5_parse(guest->file.data, guest->file.size, image, &why);

	/* Of another machine's image that is the first thing to say. */
	if (image->machine && solo5_check_machine(image, arch_name, &why))
		rc = -ENOEXEC;
	if (!rc)
		rc = load(h, image, &why);
	if (!rc)
		rc = take_devices(h, image, &why);
	return rc ? err_set(err, -rc, "image %s: %s", guest->name, why.text) : 0;
}

static int prepare(struct hvt *h, const struct hvt_guest *guest, struct err *err)
{
	struct solo5_image image;
	int rc = load_image(h, guest, &image, err);

	if (rc)
		return rc;
	rc = hvt_attach_all(h, guest, err);
	if (!rc)
		rc = write_info(h, image.end, guest->cmdline, err);
	if (!rc)
		rc = arch_load_hvt(h->vm, image.entry, solo5_may_identify(&image), err);
	return rc ? rc : claim(h, err);
}

int hvt_create(struct vm *vm, const struct hvt_guest *guest, const struct hvt_console *console,
	       struct hvt **out, struct err *err)
{
	struct hvt *h = calloc(1, sizeof(*h));
	int rc;

	*out = NULL;
	if (!h)
		return err_set(err, ENOMEM, "no memory for a Solo5 guest");
	h->vm = vm;
	h->console = *console;
	h->kick_fd = h->timer_fd = -1;
	atomic_init(&h->room_fd, -1);
	rc = prepare(h, guest, err);
	if (rc)
		hvt_destroy(h);
	else
		*out = h;
	return rc;
}

void hvt_destroy(struct hvt *h)
{
	if (!h)
		return;
	hvt_detach_all(h);
	if (h->kick_fd >= 0)
		close(h->kick_fd);
	if (h->timer_fd >= 0)
		close(h->timer_fd);
	if (h->room_fd >= 0)
		close(h->room_fd);
	free(h->devices);
	free(h);
}
