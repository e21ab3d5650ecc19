/* SPDX-License-Identifier: MIT */
/* liblkvm's one file: what lib/lkvm.h promises, by machine.h. */
#include "lib/lkvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/image.h"
#include "guest/initrd.h"
#include "machine.h"
#include "util/util.h"

#define DEFAULT_MEM (128 * MIB)

struct text {
	struct text *next;
	char s[];
};

struct lkvm {
	struct machine_config config;
	const char *initrds[INITRDS_MAX + 1]; /* what config.image.initrds points to */
	unsigned int n_initrds;
	struct hvt_guest hvt; /* what config.hvt points to; its file while the machine is made */
	struct text *texts;   /* what config points to */
	lkvm_bytes_fn console;
	void *console_opaque;
	lkvm_line_fn log;
	void *log_opaque;
	int failed; /* -errno of the first error, which `err` has in words */
	struct err err;
	bool ran;
	int status;			 /* then */
	struct machine *_Atomic machine; /* from lkvm_create() to lkvm_free() */
	atomic_bool stopped;
};

struct lkvm *lkvm_new(void)
{
	struct lkvm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->config = (struct machine_config){
		.vm = { .cpus = 1, .mem = DEFAULT_MEM, .log = { .fd = -1, .level = LOG_NONE } },
		.image.cmdline = "",
		.in = -1,
		.out = -1,
		.log_fd = -1,
	};
	return vm;
}

void lkvm_free(struct lkvm *vm)
{
	if (!vm)
		return;
	if (vm->machine)
		machine_destroy(vm->machine);
	while (vm->texts) {
		struct text *t = vm->texts;

		vm->texts = t->next;
		free(t);
	}
	free(vm);
}

const char *lkvm_error(const struct lkvm *vm)
{
	return vm ? vm->err.text : "no memory";
}

/* ---- What it shall be ---- */

/* The first error stays. Always -errno. */
static int fail(struct lkvm *vm, int code, const char *text)
{
	if (!vm->failed)
		vm->failed = err_set(&vm->err, code, "%s", text);
	return vm->failed;
}

static int invalid(struct lkvm *vm, const char *text)
{
	return fail(vm, EINVAL, text);
}

/* It can still be changed: 0, or -errno. `vm` may be what lkvm_new() gave where memory was short. */
static int check_open(struct lkvm *vm)
{
	if (!vm)
		return -ENOMEM;
	if (vm->machine)
		fail(vm, EBUSY, "the machine is made already: this is set before lkvm_create()");
	return vm->failed;
}

/* *to: a copy of `s`, or NULL for NULL. It lives as long as `vm`. */
static int copy(struct lkvm *vm, const char *s, const char **to)
{
	struct text *t;

	*to = NULL;
	if (!s)
		return 0;
	t = malloc(sizeof(*t) + strlen(s) + 1);
	if (!t)
		return fail(vm, ENOMEM, "no memory");
	strcpy(t->s, s);
	t->next = vm->texts;
	vm->texts = t;
	*to = t->s;
	return 0;
}

/* One image only. */
static int check_image(struct lkvm *vm)
{
	int rc = check_open(vm);

	if (rc)
		return rc;
	return vm->config.image.kernel || vm->config.image.data || vm->config.payload
		       ? invalid(vm, "two images: a machine runs one")
		       : 0;
}

int lkvm_set_image(struct lkvm *vm, const char *path)
{
	int rc = check_image(vm);

	if (rc)
		return rc;
	return path ? copy(vm, path, &vm->config.image.kernel) : invalid(vm, "no image: NULL");
}

int lkvm_set_image_bytes(struct lkvm *vm, const void *data, size_t size)
{
	int rc = check_image(vm);

	if (rc)
		return rc;
	if (!data || !size)
		return invalid(vm, "the image in memory is empty");
	vm->config.image.data = data;
	vm->config.image.size = size;
	return 0;
}

int lkvm_share_image(struct lkvm *vm)
{
	int rc = check_open(vm);

	if (!rc)
		vm->config.image.share = true;
	return rc;
}

int lkvm_set_payload(struct lkvm *vm, const char *name)
{
	int rc = check_image(vm);

	if (rc)
		return rc;
	return name ? copy(vm, name, &vm->config.payload) : invalid(vm, "no payload: NULL");
}

int lkvm_add_initrd(struct lkvm *vm, const char *path)
{
	int rc = check_open(vm);

	if (rc)
		return rc;
	if (!path || vm->n_initrds == INITRDS_MAX)
		return invalid(vm, path ? "too many initrds: 16 are the most" : "no initrd: NULL");
	vm->config.image.initrds = vm->initrds;
	return copy(vm, path, &vm->initrds[vm->n_initrds++]);
}

int lkvm_set_cmdline(struct lkvm *vm, const char *text)
{
	int rc = check_open(vm);

	return rc ? rc : copy(vm, text ? text : "", &vm->config.image.cmdline);
}

int lkvm_set_cpus(struct lkvm *vm, unsigned int n)
{
	int rc = check_open(vm);

	if (rc)
		return rc;
	if (!n)
		return invalid(vm, "0 CPUs: a guest needs one");
	vm->config.vm.cpus = n;
	return 0;
}

int lkvm_set_memory(struct lkvm *vm, uint64_t bytes)
{
	int rc = check_open(vm);

	if (rc)
		return rc;
	if (bytes < 2 * MIB || bytes % MEM_PAGE || bytes > UINT64_MAX / 4)
		return invalid(vm, "memory is a multiple of 4 KiB, and 2 MiB at least");
	vm->config.vm.mem = bytes;
	return 0;
}

int lkvm_set_irqchip(struct lkvm *vm, const char *name)
{
	int rc = check_open(vm);

	return rc ? rc : copy(vm, name, &vm->config.vm.irqchip);
}

int lkvm_use_pci(struct lkvm *vm)
{
	int rc = check_open(vm);

	if (!rc)
		vm->config.virtio_pci = true;
	return rc;
}

int lkvm_set_console(struct lkvm *vm, enum lkvm_console kind)
{
	int rc = check_open(vm);

	if (rc)
		return rc;
	if (kind == LKVM_SERIAL)
		vm->config.console = CONSOLE_SERIAL;
	else if (kind == LKVM_VIRTIO)
		vm->config.console = CONSOLE_VIRTIO;
	else if (kind == LKVM_SILENT)
		vm->config.console = CONSOLE_NONE;
	else
		return invalid(vm, "a console is LKVM_SERIAL, LKVM_VIRTIO or LKVM_SILENT");
	return 0;
}

int lkvm_add_disk(struct lkvm *vm, const char *path, const char *format, unsigned int flags)
{
	struct machine_disk disk = {
		.ro = flags & LKVM_DISK_READ_ONLY,
		.cow = flags & LKVM_DISK_COW,
	};
	struct machine_config *c;
	int rc = check_open(vm);

	if (rc)
		return rc;
	c = &vm->config;
	if (!path || !format || flags & ~(LKVM_DISK_READ_ONLY | LKVM_DISK_COW))
		return invalid(vm, "a disk has a path, a format and known flags");
	if (c->n_disks == MACHINE_DISKS)
		return invalid(vm, "too many disks: 32 are the most");
	if (copy(vm, path, &disk.path) || copy(vm, format, &disk.format))
		return vm->failed;
	c->disks[c->n_disks++] = disk;
	return 0;
}

int lkvm_add_entropy(struct lkvm *vm)
{
	int rc = check_open(vm);

	if (!rc)
		vm->config.rng = true;
	return rc;
}

int lkvm_set_timeout(struct lkvm *vm, uint64_t ms)
{
	int rc = check_open(vm);

	if (rc)
		return rc;
	if (ms > INT64_MAX / 1000000)
		return invalid(vm, "a timeout of more than 290 years");
	vm->config.timeouts[TIMEOUT_TOTAL] = ms;
	return 0;
}

int lkvm_on_console(struct lkvm *vm, lkvm_bytes_fn fn, void *opaque)
{
	int rc = check_open(vm);

	if (rc)
		return rc;
	vm->console = fn;
	vm->console_opaque = opaque;
	return 0;
}

/* The levels are the same, one by one. */
static void log_line(void *opaque, enum log_level level, const char *line)
{
	struct lkvm *vm = opaque;

	_Static_assert(LKVM_ERROR == (int)LOG_ERROR && LKVM_DEBUG == (int)LOG_DEBUG, "levels");
	vm->log(vm->log_opaque, (enum lkvm_level)level, line);
}

int lkvm_on_log(struct lkvm *vm, enum lkvm_level level, lkvm_line_fn fn, void *opaque)
{
	int rc = check_open(vm);

	if (rc)
		return rc;
	vm->log = fn;
	vm->log_opaque = opaque;
	vm->config.vm.log = (struct log){
		.fd = -1,
		.level = fn ? (enum log_level)level : LOG_NONE,
		.sink = fn ? log_line : NULL,
		.opaque = vm,
	};
	return 0;
}

/* ---- Running ---- */

static bool is_solo5(struct lkvm *vm)
{
	const struct arch_image *image = &vm->config.image;

	if (image->kernel)
		return image_map(image->kernel, IMAGE_SOLO5, &vm->hvt.file);
	vm->hvt.file = (struct file_map){ image->data, image->size };
	return image_sniff(image->data, image->size) == IMAGE_SOLO5;
}

/* A Solo5 machine has nothing but what its interface has. */
static int check_solo5(struct lkvm *vm)
{
	const struct machine_config *c = &vm->config;

	if (c->n_disks || c->rng || c->virtio_pci || vm->n_initrds)
		return invalid(vm, "a Solo5 image has no virtio devices, no PCI and no initrd");
	if (c->vm.irqchip || c->console != CONSOLE_SERIAL)
		return invalid(vm,
			       "a Solo5 image has no interrupt controller, and its own console");
	return 0;
}

/* What kind of machine this image wants: as cmd/front.c has it. */
static int suit_image(struct lkvm *vm)
{
	struct machine_config *c = &vm->config;
	struct arch_look look;
	struct err ignored;

	if (c->payload)
		return 0;
	if (is_solo5(vm)) {
		vm->hvt.name = c->image.kernel ? c->image.kernel : "in memory";
		vm->hvt.cmdline = c->image.cmdline;
		c->hvt = &vm->hvt;
		return check_solo5(vm);
	}
	/* An error is arch_load()'s to tell. */
	if (arch_look(&c->vm, &c->image, false, &look, &ignored) || look.is_linux)
		return 0;
	c->vm.not_linux = true;
	if (!c->vm.irqchip)
		c->vm.irqchip = look.irqchip;
	return 0;
}

int lkvm_create(struct lkvm *vm)
{
	const struct machine_config *c;
	struct err err = { "" };
	struct machine *m = NULL;
	int rc = check_open(vm);

	if (rc)
		return rc;
	c = &vm->config;
	if (!c->image.kernel && !c->image.data && !c->payload)
		return invalid(vm, "no image: give one by lkvm_set_image()");
	rc = suit_image(vm);
	if (!rc) {
		rc = machine_create(c, &m, &err);
		rc = rc ? fail(vm, -rc, err.text) : 0;
	}
	if (c->image.kernel) /* else it is the caller's */
		file_unmap(&vm->hvt.file);
	if (rc)
		return rc;
	if (vm->console)
		machine_watch(m, MACHINE_CONSOLE, vm->console, vm->console_opaque);
	/* From here on who stops it finds it; and who did before is found. */
	atomic_store(&vm->machine, m);
	if (atomic_load(&vm->stopped))
		machine_stop(m, 0);
	return 0;
}

int lkvm_run(struct lkvm *vm)
{
	struct err err = { "" };
	int status = vm && vm->machine ? vm->failed : lkvm_create(vm);

	if (status)
		return status;
	if (vm->ran)
		return fail(vm, EBUSY, "a machine runs once: make another");
	vm->ran = true;
	status = machine_run(vm->machine, &err);
	vm->status = status < 0 ? fail(vm, -status, err.text) : machine_finish(vm->machine);
	return vm->status;
}

void lkvm_stop(struct lkvm *vm)
{
	struct machine *m;

	if (!vm)
		return;
	atomic_store(&vm->stopped, true);
	m = atomic_load(&vm->machine);
	if (m)
		machine_stop(m, 0);
}

static struct machine *made(struct lkvm *vm)
{
	return vm ? atomic_load(&vm->machine) : NULL;
}

size_t lkvm_input(struct lkvm *vm, const void *data, size_t len)
{
	struct machine *m = made(vm);

	return m && vm->config.console != CONSOLE_NONE ? machine_input(m, data, len) : 0;
}

int lkvm_pause(struct lkvm *vm)
{
	struct machine *m = made(vm);

	return m ? vm_pause(machine_vm(m)) : -ESRCH;
}

void lkvm_resume(struct lkvm *vm)
{
	struct machine *m = made(vm);

	if (m)
		vm_resume(machine_vm(m));
}

/* ---- What became of it ---- */

int lkvm_status(const struct lkvm *vm)
{
	if (!vm)
		return -ENOMEM;
	return vm->failed ? vm->failed : vm->status;
}

int lkvm_own_status(const struct lkvm *vm)
{
	return vm && vm->machine && machine_own_status(vm->machine);
}

const char *lkvm_reason(const struct lkvm *vm)
{
	return vm && vm->machine ? verdict_word(machine_verdict(vm->machine)) : "none";
}

const char *lkvm_why(const struct lkvm *vm)
{
	return vm && vm->machine && !vm->failed ? machine_why(vm->machine) : lkvm_error(vm);
}
