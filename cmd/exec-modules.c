/* SPDX-License-Identifier: MIT */
/*
 * Which modules a kernel needs for the machine that it gets, and where they are: with --modules, or
 * for the image's own release beside the image, or on this host. Where its modules are known, so is
 * what it lacks; else the guest's init will see.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/exec.h"
#include "cmd/options.h"
#include "guest/cpio.h"
#include "guest/init/exec.h"
#include "util/util.h"

/* ---- Where ---- */

static int find_release(struct run_options *o, struct err *err)
{
	const char *kernel = o->machine.image.kernel;
	char *release = o->plan.release;
	struct file_map image;
	int rc = file_map(kernel, "kernel", &image, err);

	if (rc)
		return rc;
	if (!release_of_image(image.data, image.size, release) && !release_of_name(kernel, release))
		release[0] = 0;
	file_unmap(&image);
	return 0;
}

static bool open_below(struct module_tree *t, const char *dir, const char *below,
		       const char *release)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s%s%s", dir, below, release) < (int)sizeof(path) &&
	       modules_open(path, t);
}

/* A root, as make modules_install leaves it, or a folder of a release. */
static bool open_root(struct module_tree *t, const char *dir, const char *release)
{
	return release[0] && (open_below(t, dir, "/lib/modules/", release) ||
			      open_below(t, dir, "/usr/lib/modules/", release));
}

static int open_given(struct run_options *o, struct module_tree *t, struct err *err)
{
	const char *dir = o->plan.modules, *release = o->plan.release;

	if (modules_open(dir, t) || open_root(t, dir, release) ||
	    (release[0] && open_below(t, dir, "/", release)))
		return 0;
	return err_set(err, ENOENT,
		       "--modules %s: no modules.dep there, nor in its lib/modules/%s, and no "
		       "kernel tree that was built (make modules; or make modules_install "
		       "INSTALL_MOD_PATH=...)",
		       dir, release[0] ? release : "RELEASE");
}

/* A kernel that lies where it was built; its modules do, too. */
static bool open_built(struct module_tree *t, const char *kernel)
{
	char tree[PATH_MAX];

	return kernel_tree(kernel, tree) && modules_open(*tree ? tree : ".", t);
}

/* boot/vmlinuz-X has lib/modules/X beside boot; /lib/modules/X/vmlinuz lies among its own. */
static bool find_tree(struct run_options *o, struct module_tree *t)
{
	const char *kernel = o->machine.image.kernel, *slash = strrchr(kernel, '/');
	const char *release = o->plan.release;
	char dir[PATH_MAX], parent[PATH_MAX + 4];

	if (open_built(t, kernel))
		return true;
	if (!release[0])
		return false;
	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - kernel) : 1, slash ? kernel : ".");
	snprintf(parent, sizeof(parent), "%s/..", dir);
	return (strstr(dir, release) && modules_open(dir, t)) || open_root(t, dir, release) ||
	       open_root(t, parent, release) ||
	       (o->plan.dir && open_root(t, o->plan.dir, release)) || open_root(t, "", release);
}

/* ---- What ---- */

struct need {
	const char *name;
	const char *option; /* NULL: taken where it is there */
	const char *what;   /* for people: "this kernel has no WHAT" */
	const char *advice;
};

struct search {
	struct run_options *o;
	const struct module_tree *t;
	struct module_list list;
	bool needed;   /* by the root: see exec_add_root_modules() */
	bool optional; /* what is missing will be missed by nobody but the guest */
	struct err *err;
};

static int add(struct search *s, const struct need *need)
{
	if (need->option && !s->optional && modules_state(s->t, need->name) == MODULE_NONE)
		return err_set(s->err, ENOTSUP, "kernel %s has no %s (%s): %s",
			       s->o->plan.release[0] ? s->o->plan.release
						     : s->o->machine.image.kernel,
			       need->what, need->option, need->advice);
	return modules_add(s->t, need->name, &s->list, s->err);
}

static int add_transport(struct search *s)
{
	static const struct need pci = { "virtio_pci", "CONFIG_VIRTIO_PCI", "virtio on PCI",
					 "try --virtio-transport mmio" };
	static const struct need mmio = { "virtio_mmio", "CONFIG_VIRTIO_MMIO", "virtio-mmio",
					  "try --virtio-transport pci" };
	struct run_options *o = s->o;

	if (!o->transport_given) {
		o->machine.virtio_pci = modules_state(s->t, "virtio_pci") != MODULE_NONE;
		o->transport_given = true;
	}
	return add(s, o->machine.virtio_pci ? &pci : &mmio);
}

static int add_9p(struct search *s)
{
	static const struct need needs[] = {
		{ "9pnet_virtio", "CONFIG_NET_9P_VIRTIO", "9p",
		  "it was built without; take another kernel, or a disk as root (-d), or --root "
		  "none and -i" },
		{ "9p", "CONFIG_9P_FS", "9p",
		  "it was built without; take another kernel, or a disk as root (-d), or --root "
		  "none and -i" },
	};
	static const struct need overlay = {
		"overlay", "CONFIG_OVERLAY_FS", "overlayfs",
		"it was built without; --root-rw does without, and writes to the directory itself"
	};
	const struct machine_config *m = &s->o->machine;
	int rc = 0;

	if (!m->n_shares)
		return 0;
	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(needs); i++)
		rc = add(s, &needs[i]);
	for (unsigned int i = 0; !rc && i < m->n_shares; i++)
		rc = m->shares[i].cow ? add(s, &overlay) : 0;
	return rc;
}

/* What the first disk holds, where that can be seen from here. */
static const char *file_system_of(const struct machine_disk *disk)
{
	static const struct {
		const char *type;
		unsigned int at, len;
		const char *magic;
	} types[] = {
		{ "ext4", 0x438, 2, "\x53\xef" },	   { "xfs", 0, 4, "XFSB" },
		{ "btrfs", 0x10040, 8, "_BHRfS_M" },	   { "squashfs", 0, 4, "hsqs" },
		{ "erofs", 0x400, 4, "\xe2\xe1\xf5\xe0" },
	};
	char magic[8];
	int fd = open(disk->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *type = NULL;

	for (unsigned int i = 0; fd >= 0 && !type && i < ARRAY_SIZE(types); i++) {
		if (pread(fd, magic, types[i].len, types[i].at) == (ssize_t)types[i].len &&
		    !memcmp(magic, types[i].magic, types[i].len))
			type = types[i].type;
	}
	if (fd >= 0)
		close(fd);
	return type;
}

static int add_disks(struct search *s)
{
	static const struct need disk = { "virtio_blk", "CONFIG_VIRTIO_BLK", "virtio disks",
					  "it was built without" };
	/* ext4 asks for the first by another name, which nobody in the guest could resolve. */
	static const char *const any[] = { "crc32c_generic", "ext4", "xfs", "btrfs", NULL };
	const char *known[] = { "crc32c_generic", NULL, NULL };
	const char *const *types = any;
	const char *root = exec_root_disk(&s->o->plan);
	int rc = s->o->machine.n_disks ? add(s, &disk) : 0;

	if (rc || !root)
		return rc;
	known[1] = strcmp(root, "/dev/vda") ? NULL : file_system_of(&s->o->machine.disks[0]);
	if (known[1])
		types = known;
	for (; !rc && *types; types++)
		rc = add(s, &(struct need){ .name = *types });
	return rc;
}

/* Asked for by an option each: a guest that can't have it shall not look as if it had. */
static int add_devices(struct search *s)
{
	const struct machine_config *m = &s->o->machine;
	const struct {
		bool wanted;
		struct need need;
	} devices[] = {
		{ true,
		  { "virtio_console", "CONFIG_VIRTIO_CONSOLE", "virtio console",
		    "a command can't be run without" } },
		{ m->n_nets,
		  { "virtio_net", "CONFIG_VIRTIO_NET", "virtio network", "leave out -n" } },
		{ m->rng,
		  { "virtio_rng", "CONFIG_HW_RANDOM_VIRTIO", "virtio rng", "leave out --rng" } },
		{ m->balloon,
		  { "virtio_balloon", "CONFIG_VIRTIO_BALLOON", "virtio balloon",
		    "leave out --balloon" } },
		{ m->vsock_cid,
		  { "vmw_vsock_virtio_transport", "CONFIG_VIRTIO_VSOCKETS", "virtio vsock",
		    "leave out --vsock" } },
	};
	int rc = 0;

	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(devices); i++)
		rc = devices[i].wanted ? add(s, &devices[i].need) : 0;
	return rc;
}

/* ---- Into the initramfs ---- */

/* Numbered, as two may have one name, and so that a person sees the order. */
static int put_files(struct search *s, struct buf *order)
{
	struct buf file = { 0 };
	char name[64], path[128];
	int rc = 0;

	for (unsigned int i = 0; !rc && i < s->list.n; i++) {
		file.len = 0;
		rc = modules_read(s->t, &s->list.files[i], &file, s->err);
		modules_name(&s->list.files[i], name, sizeof(name));
		snprintf(path, sizeof(path), EXEC_MODULES "/%03u-%s.ko", i, name);
		cpio_file(&s->o->plan.initramfs, path, 0600, file.data, file.len);
		exec_record(order, "module", "%s", path);
	}
	buf_free(&file);
	return rc;
}

/* *found: the tree is open. */
static int open_tree(struct run_options *o, struct module_tree *t, bool *found, struct err *err)
{
	int rc = find_release(o, err);

	*found = !rc;
	if (rc)
		return rc;
	if (o->plan.modules)
		return open_given(o, t, err);
	*found = find_tree(o, t);
	if (!*found)
		log_at(&o->machine.vm.log, LOG_INFO, "no modules for kernel %s (%s)",
		       o->machine.image.kernel,
		       o->plan.release[0] ? o->plan.release : "release unknown");
	return 0;
}

/* `choose` says of which modules the list is to be made; without any nothing is put anywhere. */
static int add_modules(struct run_options *o, int (*choose)(struct search *s), struct buf *order,
		       struct search *s, struct err *err)
{
	struct module_tree t;
	bool found;
	int rc = open_tree(o, &t, &found, err);

	if (rc || !found)
		return rc;
	s->o = o;
	s->t = &t;
	s->err = err;
	rc = choose(s);
	if (!rc)
		rc = put_files(s, order);
	log_at(&o->machine.vm.log, LOG_INFO, "%u modules of %s", s->list.n, t.dir);
	modules_close(&t);
	return rc;
}

static int choose_for_command(struct search *s)
{
	int rc = add_transport(s);

	if (!rc)
		rc = add_devices(s);
	if (!rc)
		rc = add_9p(s);
	if (!rc)
		rc = add_disks(s);
	return rc;
}

int exec_add_modules(struct run_options *o, struct buf *order, struct err *err)
{
	struct search s = { 0 };

	return add_modules(o, choose_for_command, order, &s, err);
}

/* The root's own system will look for its devices; but it may have no modules of this kernel. */
static int choose_for_root(struct search *s)
{
	int rc = add_transport(s);

	if (!rc)
		rc = add_9p(s);
	s->needed |= s->list.n;
	s->optional = true;
	if (!rc && s->needed)
		rc = add_devices(s);
	if (!rc && s->needed)
		rc = add_disks(s);
	return rc;
}

int exec_add_root_modules(struct run_options *o, bool *needed, struct buf *order, struct err *err)
{
	struct search s = { .needed = *needed };
	int rc = add_modules(o, choose_for_root, order, &s, err);

	*needed = s.needed;
	return rc;
}
