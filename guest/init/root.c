/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/init/init.h"

#define ROOT EXEC_DIR "/root"
#define DISK_MS 10000

/* Of 9P: the kernel takes less where the device or the server says so. */
#define MSIZE "262144"

/* ---- What is mounted ---- */

/*
 * What is not written from here may be kept in memory; else the page cache is for mmap() alone, so
 * that each side sees what the other does.
 */
static int mount_9p(const char *tag, const char *target, bool rw, struct exec_failed *why)
{
	const char *data = rw ? "trans=virtio,version=9p2000.L,msize=" MSIZE ",cache=mmap"
			      : "trans=virtio,version=9p2000.L,msize=" MSIZE ",cache=loose";

	if (!mount_at(tag, target, "9p", rw ? 0 : MS_RDONLY, data, why))
		return 0;
	if (why->error == ENOENT)
		return refuse(why, 0,
			      "no 9p device with the tag %s; has the kernel CONFIG_NET_9P_VIRTIO?",
			      tag);
	return -1;
}

static int wait_for_disk(const char *device, struct exec_failed *why)
{
	uint64_t end = now_ms() + DISK_MS;

	while (access(device, F_OK)) {
		if (now_ms() > end)
			return refuse(why, 0, "no disk %s (CONFIG_VIRTIO_BLK?)", device);
		sleep_ms(5);
		make_nodes();
	}
	return 0;
}

/* As each type that the kernel knows. */
static int mount_disk(const char *device, const char *target, bool rw, struct exec_failed *why)
{
	unsigned long flags = MS_SILENT | (rw ? 0 : MS_RDONLY);
	char types[4096], *rest = types, *type;
	int rc = EINVAL;

	read_file("/proc/filesystems", types, sizeof(types));
	mkdir(target, 0755);
	/* "\text4", or "nodev\tproc" */
	while (rc == EINVAL && (type = strsep(&rest, "\n"))) {
		if (*type++ == '\t')
			rc = mount(device, target, type, flags, NULL) ? errno : 0;
	}
	if (rc == EINVAL)
		return refuse(why, 0,
			      "%s has no file system that this kernel knows (CONFIG_EXT4_FS?)",
			      device);
	return rc ? refuse(why, rc, "mounting %s as %s", device, type) : 0;
}

struct source {
	enum root_kind kind;
	const char *name;
};

static int mount_source(const struct source *s, const char *target, bool rw,
			struct exec_failed *why)
{
	return s->kind == ROOT_9P ? mount_9p(s->name, target, rw, why)
				  : mount_disk(s->name, target, rw, why);
}

/* ---- How ---- */

/* The merged tree has its uppermost folder from above: it must be as the one below is. */
static int copy_owner(const char *from, const char *to)
{
	struct stat st;

	return stat(from, &st) || chown(to, st.st_uid, st.st_gid) || chmod(to, st.st_mode & 07777);
}

/*
 * Three mounts on one place: a tmpfs, in that the tree below and what is written, and on top of it
 * the two of them merged. Nobody sees but the last.
 */
static int mount_overlay(const struct source *s, const char *target, struct exec_failed *why)
{
	char lower[PATH_MAX], upper[PATH_MAX], work[PATH_MAX], data[3 * PATH_MAX + 64];

	if (mount_at("tmpfs", target, "tmpfs", 0, "mode=755", why))
		return -1;
	snprintf(lower, sizeof(lower), "%s/lower", target);
	snprintf(upper, sizeof(upper), "%s/upper", target);
	snprintf(work, sizeof(work), "%s/work", target);
	if (mkdir(upper, 0755) || mkdir(work, 0755))
		return refuse(why, errno, "a folder in a tmpfs");
	if (mount_source(s, lower, false, why))
		return -1;
	if (copy_owner(lower, upper))
		return refuse(why, errno, "the folder %s", s->name);
	snprintf(data, sizeof(data), "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);
	return mount_at("overlay", target, "overlay", 0, data, why);
}

static int mount_tree(const struct source *s, const char *target, enum tree_mode mode,
		      struct exec_failed *why)
{
	if (mode == MODE_OVERLAY)
		return mount_overlay(s, target, why);
	return mount_source(s, target, mode == MODE_RW, why);
}

/* ---- The root ---- */

bool root_is_ours(const struct order *o)
{
	return o->root == ROOT_NONE || o->root_mode == MODE_OVERLAY;
}

/* With what is mounted there. */
static int move_along(const struct order *o, const char *dir, struct exec_failed *why)
{
	char to[64];

	snprintf(to, sizeof(to), ROOT "%s", dir);
	if (root_is_ours(o))
		mkdir(to, 0755);
	else if (!is_folder(to))
		return refuse(why, 0, "the root has no folder %s, and none is made there", dir);
	return mount(dir, to, NULL, MS_MOVE, NULL) ? refuse(why, errno, "moving %s", dir) : 0;
}

/* The initramfs can't be left otherwise: the new root is laid upon it. */
static int become_root(const struct order *o, struct exec_failed *why)
{
	if (move_along(o, "/dev", why) || move_along(o, "/proc", why) || move_along(o, "/sys", why))
		return -1;
	if (chdir(ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		return refuse(why, errno, "going to the root");
	return 0;
}

int enter_root(const struct order *o, struct exec_failed *why)
{
	struct source s = { o->root, o->root_source };

	if (o->root == ROOT_NONE)
		return 0;
	if (o->root == ROOT_DISK && wait_for_disk(o->root_source, why))
		return -1;
	if (mount_tree(&s, ROOT, o->root_mode, why))
		return -1;
	return become_root(o, why);
}

/* ---- Shares ---- */

int mount_shares(const struct order *o, struct exec_failed *why)
{
	char target[PATH_MAX];
	bool ours = root_is_ours(o);

	if (o->n_shares && !ours && !is_folder(EXEC_SHARES))
		return refuse(why, 0, "the root has no folder " EXEC_SHARES " for shares");
	if (o->n_shares && !ours && mount_at("tmpfs", EXEC_SHARES, "tmpfs", 0, "mode=755", why))
		return -1;
	for (size_t i = 0; i < o->n_shares; i++) {
		struct source s = { ROOT_9P, o->shares[i].tag };

		snprintf(target, sizeof(target), EXEC_SHARES "/%s", s.name);
		if (mount_tree(&s, target, o->shares[i].mode, why))
			return -1;
	}
	return 0;
}

int mount_host(const struct order *o, struct exec_failed *why)
{
	return o->host ? mount_9p(o->host, EXEC_HOST, false, why) : 0;
}

/* ---- The end ---- */

void leave_root(void)
{
	sync();
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL))
		return; /* all is written nevertheless */
}
