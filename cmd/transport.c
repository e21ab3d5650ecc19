/* SPDX-License-Identifier: MIT */
/*
 * --virtio-transport auto: what can this kernel do? Asked are, until it is known: a configuration,
 * or a modules.builtin, that lies where the kernel does; one of its release on this host; the
 * modules in the initrd; the configuration inside the image. A module counts where the initrd has
 * it. PCI is taken where the kernel has it, as a queue has an interrupt of its own there; and where
 * nothing is known.
 */
#include "cmd/transport.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/cmd.h"
#include "guest/image.h"
#include "guest/initramfs.h"
#include "guest/kconfig.h"
#include "guest/release.h"
#include "guest/unpack.h"
#include "util/file.h"
#include "util/util.h"

#define UNPACKED_MAX (512 * MIB)
#define PCI_MODULE "virtio_pci.ko"
#define MMIO_MODULE "virtio_mmio.ko"

enum ability { UNKNOWN, LACKS, HAS_MODULE, HAS };

struct kernel {
	const struct machine_config *config;
	enum ability pci, mmio;
	char why[PATH_MAX]; /* where it was told, for people */
};

static bool settled(const struct kernel *k)
{
	return k->pci == HAS || (k->pci == LACKS && (k->mmio == HAS || k->mmio == LACKS));
}

static void told_by(struct kernel *k, const char *what)
{
	snprintf(k->why, sizeof(k->why), "%s", what);
}

/* ---- Configurations ---- */

/* The driver, and what it hangs on here: ECAM, and the tables or the tree that tell of devices. */
static enum ability ability_of(const char *text, size_t len, const char *driver, const char *x86,
			       const char *arm)
{
	enum kconfig_value value = kconfig_get(text, len, driver);
	const char *needs = kconfig_get(text, len, "X86") ? x86 : arm;

	if (!value || (needs && !kconfig_get(text, len, needs)))
		return LACKS;
	return value == KCONFIG_YES ? HAS : HAS_MODULE;
}

static bool take_config(struct kernel *k, const char *text, size_t len, const char *what)
{
	if (!kconfig_is(text, len))
		return false;
	k->pci = ability_of(text, len, "VIRTIO_PCI", "PCI_MMCONFIG", "PCI_HOST_GENERIC");
	k->mmio = ability_of(text, len, "VIRTIO_MMIO", "ACPI", NULL);
	told_by(k, what);
	return true;
}

/* The list says what is built in; of modules it is silent. */
static bool take_builtin(struct kernel *k, const char *text, size_t len, const char *what)
{
	bool pci = memmem(text, len, "/" PCI_MODULE, strlen("/" PCI_MODULE));
	bool mmio = memmem(text, len, "/" MMIO_MODULE, strlen("/" MMIO_MODULE));

	if (pci)
		k->pci = HAS;
	if (mmio)
		k->mmio = HAS;
	if (pci || mmio)
		told_by(k, what);
	return pci || mmio;
}

/* ---- Files beside the kernel ---- */

typedef bool (*take_fn)(struct kernel *k, const char *text, size_t len, const char *what);

static bool read_file(struct kernel *k, take_fn take, const char *dir, const char *name,
		      const char *suffix)
{
	char path[PATH_MAX];
	struct file_map file;
	struct stat st;
	struct err ignored;
	bool taken;

	if (snprintf(path, sizeof(path), "%s%s%s", dir, name, suffix) >= (int)sizeof(path) ||
	    stat(path, &st) || !S_ISREG(st.st_mode) || file_map(path, "", &file, &ignored))
		return false;
	taken = take(k, (const char *)file.data, file.size, path);
	file_unmap(&file);
	return taken;
}

/* With its last slash; "" for a kernel in the current directory. */
static void directory_of(const char *path, char dir[PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	snprintf(dir, PATH_MAX, "%.*s", slash ? (int)(slash + 1 - path) : 0, path);
}

static void look_beside(struct kernel *k)
{
	const char *path = k->config->image.kernel;
	char dir[PATH_MAX];

	if (kernel_tree(path, dir) && (read_file(k, take_config, dir, ".config", "") ||
				       read_file(k, take_builtin, dir, "modules.builtin", "")))
		return;
	directory_of(path, dir);
	if (!read_file(k, take_config, dir, ".config", "") &&
	    !read_file(k, take_config, dir, "config", ""))
		read_file(k, take_builtin, dir, "modules.builtin", "");
}

static bool look_for_release(struct kernel *k, const char *release)
{
	char dir[PATH_MAX];

	directory_of(k->config->image.kernel, dir);
	return read_file(k, take_config, dir, "config-", release) ||
	       read_file(k, take_config, "/boot/", "config-", release) ||
	       read_file(k, take_config, "/lib/modules/", release, "/config") ||
	       read_file(k, take_builtin, "/lib/modules/", release, "/modules.builtin");
}

/* vmlinuz-RELEASE; and what a bzImage says in its header. */
static void look_by_release(struct kernel *k, const struct file_map *image)
{
	const char *path = k->config->image.kernel, *slash = strrchr(path, '/');
	const char *dash = strchr(slash ? slash : path, '-');
	char release[RELEASE_MAX];

	if (dash && look_for_release(k, dash + 1))
		return;
	if (image_sniff(image->data, image->size) == IMAGE_BZIMAGE &&
	    release_of_image(image->data, image->size, release))
		look_for_release(k, release);
}

/* ---- The initrd ---- */

static bool ends_in_module(const char *path, const char *module)
{
	const char *slash = strrchr(path, '/');

	return !strncmp(slash ? slash + 1 : path, module, strlen(module)); /* .ko, .ko.xz ... */
}

static bool see_file(void *opaque, const char *path, const uint8_t *data, size_t size)
{
	struct kernel *k = opaque;

	if (ends_in_module(path, PCI_MODULE))
		k->pci = HAS;
	else if (ends_in_module(path, MMIO_MODULE))
		k->mmio = HAS;
	else if (ends_in_module(path, "modules.builtin"))
		take_builtin(k, (const char *)data, size, "");
	return k->pci != HAS;
}

/* 0, or -errno: not all of it was seen. */
static int look_into_initrd(struct kernel *k, const char *path)
{
	struct kernel before = *k;
	struct file_map file;
	struct err ignored;
	int rc = file_map(path, "", &file, &ignored);

	if (rc)
		return rc;
	rc = initramfs_walk(file.data, file.size, UNPACKED_MAX, see_file, k);
	file_unmap(&file);
	if (k->pci != before.pci || k->mmio != before.mmio)
		told_by(k, path);
	return rc;
}

/* A module that is in none of them is not there. */
static void look_into_initrds(struct kernel *k)
{
	const char *const *path = k->config->image.initrds;
	int rc = 0;

	if (!path)
		return;
	for (; *path; path++)
		rc |= look_into_initrd(k, *path);
	if (rc)
		return;
	if (k->pci == HAS_MODULE && k->mmio == HAS_MODULE)
		told_by(k, k->config->image.initrds[0]); /* by what they don't hold */
	k->pci = k->pci == HAS_MODULE ? LACKS : k->pci;
	k->mmio = k->mmio == HAS_MODULE ? LACKS : k->mmio;
}

/* ---- The image itself ---- */

static void look_into(struct kernel *k, const void *image, size_t size)
{
	struct unpacked config;

	if (!kconfig_embedded(image, size, &config))
		return;
	take_config(k, (const char *)config.data, config.size, "the configuration inside it");
	unpacked_free(&config);
}

/* Where a bzImage has the kernel proper; any other image is itself. */
static const uint8_t *packed_part(const struct file_map *image, size_t *size)
{
	uint64_t at = (image->data[0x1f1] + 1) * 512ull + get_le32(image->data + 0x248);

	*size = image->size;
	if (image_sniff(image->data, image->size) != IMAGE_BZIMAGE)
		return image->data;
	*size = get_le32(image->data + 0x24c);
	return range_in(at, *size, image->size) ? image->data + at : NULL;
}

static void look_into_image(struct kernel *k, const struct file_map *image)
{
	size_t size;
	const uint8_t *p = image->size > 0x250 ? packed_part(image, &size) : NULL;
	const struct unpacker *u = p ? unpacker_for_kind(image_sniff(p, size)) : NULL;
	struct unpacked out;
	struct err ignored;

	if (!u && p)
		look_into(k, p, size);
	if (!u || unpack(u, p, size, UNPACKED_MAX, &out, &ignored))
		return;
	look_into(k, out.data, out.size);
	unpacked_free(&out);
}

/* ---- All of it ---- */

static void look(struct kernel *k)
{
	struct file_map image;
	struct err ignored;

	look_beside(k);
	if (settled(k) || file_map(k->config->image.kernel, "", &image, &ignored))
		return;
	if (k->pci == UNKNOWN)
		look_by_release(k, &image);
	if (!settled(k))
		look_into_initrds(k);
	if (k->pci == UNKNOWN && k->mmio != HAS)
		look_into_image(k, &image);
	file_unmap(&image);
}

bool transport_wants_pci(const struct machine_config *config)
{
	struct kernel k = { .config = config, .why = "nothing is known of this kernel" };
	bool pci;

	if (config->payload)
		return false; /* ours know but virtio-mmio */
	look(&k);
	pci = k.pci == HAS || k.mmio != HAS;
	log_at(&config->vm.log, LOG_INFO, "virtio devices are on %s: %s",
	       pci ? "PCI" : "virtio-mmio", k.why);
	return pci;
}
