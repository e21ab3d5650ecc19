/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest/init/init.h"

#define SAFE (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* ---- One ---- */

static const char *option_of(const char *type)
{
	static const struct {
		const char *type, *option;
	} options[] = {
		{ "9p", "CONFIG_9P_FS and CONFIG_NET_9P_VIRTIO" },
		{ "overlay", "CONFIG_OVERLAY_FS" },
		{ "tmpfs", "CONFIG_TMPFS" },
		{ "proc", "CONFIG_PROC_FS" },
		{ "sysfs", "CONFIG_SYSFS" },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (!strcmp(type, options[i].type))
			return options[i].option;
	}
	return "its file system's option";
}

static void make_folders(const char *path, bool last)
{
	char part[PATH_MAX];

	for (size_t i = 1; i < sizeof(part) && i < strlen(path) + last; i++) {
		if (path[i] != '/' && path[i])
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		mkdir(part, 0755);
	}
}

int mount_at(const char *source, const char *target, const char *type, unsigned long flags,
	     const char *data, struct exec_failed *why)
{
	make_folders(target, true);
	if (!mount(source, target, type, flags, data))
		return 0;
	if (errno == ENODEV)
		return refuse(why, ENODEV, "the kernel has no %s (%s)", type, option_of(type));
	return refuse(why, errno, "mounting %s (%s) at %s", source, type, target);
}

/* ---- Devices without devtmpfs ---- */

static void make_node(const char *uevent, mode_t kind)
{
	char text[512], path[256];
	const char *major, *minor, *name;

	read_file(uevent, text, sizeof(text));
	major = strstr(text, "MAJOR=");
	minor = strstr(text, "MINOR=");
	name = strstr(text, "DEVNAME=");
	if (!major || !minor || !name)
		return;
	name += strlen("DEVNAME=");
	snprintf(path, sizeof(path), "/dev/%.*s", (int)strcspn(name, "\n"), name);
	make_folders(path, false);
	mknod(path, kind | (strstr(text, "DEVMODE=0666") ? 0666 : 0600),
	      makedev((unsigned int)atoi(major + strlen("MAJOR=")),
		      (unsigned int)atoi(minor + strlen("MINOR="))));
}

static void make_nodes_of(const char *dir, mode_t kind)
{
	char path[PATH_MAX];
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s/uevent", dir, e->d_name);
		if (e->d_name[0] != '.')
			make_node(path, kind);
	}
	if (d)
		closedir(d);
}

void make_nodes(void)
{
	make_nodes_of("/sys/dev/char", S_IFCHR);
	make_nodes_of("/sys/dev/block", S_IFBLK);
}

/* ---- All ---- */

void read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
}

void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		errno = 0; /* left as it is */
	close(fd);
}

int mount_first(struct exec_failed *why)
{
	struct exec_failed ignored;

	if (mount_at("proc", "/proc", "proc", SAFE, NULL, why) ||
	    mount_at("sysfs", "/sys", "sysfs", SAFE, NULL, why))
		return -1;
	if (mount_at("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755", &ignored)) {
		if (mount_at("dev", "/dev", "tmpfs", MS_NOSUID, "mode=755", why))
			return -1;
		make_nodes();
	}
	return 0;
}

/* Does `path` lie in `dir`? */
static bool lies_in(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !strncmp(path, dir, len) && (!path[len] || path[len] == '/');
}

bool is_folder(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode);
}

/* But who starts there wants what is there; and an initramfs is in memory already. */
static void mount_empty(const struct order *o, const char *dir, const char *data)
{
	struct exec_failed ignored;

	if (o->root != ROOT_NONE && !lies_in(o->cwd, dir) && (root_is_ours(o) || is_folder(dir)))
		mount_at("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, data, &ignored);
}

void mount_rest(const struct order *o)
{
	static const struct {
		const char *type, *target;
		unsigned long flags;
		const char *data;
	} mounts[] = {
		{ "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666" },
		{ "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777" },
		{ "mqueue", "/dev/mqueue", SAFE, NULL },
		{ "cgroup2", "/sys/fs/cgroup", SAFE, NULL },
		{ "debugfs", "/sys/kernel/debug", SAFE, NULL },
		{ "tracefs", "/sys/kernel/tracing", SAFE, NULL },
	};
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "fd/0", "/dev/stdin" },
		{ "fd/1", "/dev/stdout" },
		{ "fd/2", "/dev/stderr" },
	};
	struct exec_failed ignored;

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mount_at(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags,
			 mounts[i].data, &ignored);
	}
	mount_empty(o, "/run", "mode=755");
	mount_empty(o, "/tmp", "mode=1777");
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (symlink(links[i][0], links[i][1]))
			continue; /* it is there */
	}
	chmod("/dev/ptmx", 0666);
}
