/* SPDX-License-Identifier: MIT */
#include "guest/image.h"

#include <elf.h>
#include <string.h>

#include "guest/solo5.h"
#include "util/util.h"

/* Offsets in the x86 boot header (Documentation/arch/x86/boot.rst). */
#define BZ_MAGIC 0x202
#define BZ_VERSION 0x206

static const struct {
	enum image_kind kind;
	size_t offset;
	const char *bytes;
	size_t len;
} magics[] = {
	{ IMAGE_ARM64, 0x38, "ARM\x64", 4 },
	{ IMAGE_ZIMAGE, 0x24, "\x18\x28\x6f\x01", 4 },
	{ IMAGE_ZIMAGE, 0x24, "\x01\x6f\x28\x18", 4 }, /* an old big-endian one */
	{ IMAGE_GZIP, 0, "\x1f\x8b", 2 },
	{ IMAGE_XZ, 0,
	  "\xfd"
	  "7zXZ\0",
	  6 },
	{ IMAGE_ZSTD, 0, "\x28\xb5\x2f\xfd", 4 },
	{ IMAGE_LZ4, 0, "\x02\x21\x4c\x18", 4 },
	{ IMAGE_LZ4_FRAMES, 0, "\x04\x22\x4d\x18", 4 },
	{ IMAGE_BZIP2, 0, "BZh", 3 },
	{ IMAGE_LZMA, 0, "\x5d\0\0", 3 },
	{ IMAGE_LZO, 0, "\x89LZO\0", 5 },
	{ IMAGE_UIMAGE, 0, "\x27\x05\x19\x56", 4 },
	{ IMAGE_FDT, 0, "\xd0\x0d\xfe\xed", 4 },
	{ IMAGE_ANDROID, 0, "ANDROID!", 8 },
	{ IMAGE_CPIO, 0, "070701", 6 },
	{ IMAGE_CPIO, 0, "070702", 6 },
	{ IMAGE_DEB, 0, "!<arch>\n", 8 },
	{ IMAGE_QCOW2, 0, "QFI\xfb", 4 },
	{ IMAGE_ISO, 0x8001, "CD001", 5 },
	{ IMAGE_SCRIPT, 0, "#!", 2 },
	{ IMAGE_ZBOOT, 0, "MZ\0\0zimg", 8 },
	{ IMAGE_EFI, 0, "MZ", 2 },
};

static bool has_bytes(const uint8_t *data, size_t size, size_t offset, const char *bytes,
		      size_t len)
{
	return range_in(offset, len, size) && !memcmp(data + offset, bytes, len);
}

/* Those for virtio and Xen are for no tender: they are booted as any other ELF file. */
static bool is_solo5(const uint8_t *data, size_t size)
{
	enum solo5_target target;

	return solo5_has_note(data, size, &target) && target != SOLO5_VIRTIO && target != SOLO5_XEN;
}

static enum image_kind sniff_elf(const uint8_t *data, size_t size)
{
	bool elf64;

	if (size < offsetof(Elf64_Ehdr, e_version)) /* in ELF32 and ELF64 the same up to there */
		return IMAGE_ELF_TRUNCATED;
	if (data[EI_DATA] != ELFDATA2LSB)
		return IMAGE_ELF_OTHER;
	if (is_solo5(data, size))
		return IMAGE_SOLO5;
	elf64 = data[EI_CLASS] == ELFCLASS64;
	switch (get_le16(data + offsetof(Elf64_Ehdr, e_machine))) {
	case EM_X86_64:
		return elf64 ? IMAGE_ELF64_X86 : IMAGE_ELF32_X86;
	case EM_386:
		return IMAGE_ELF32_X86;
	case EM_AARCH64:
		return IMAGE_ELF_ARM64;
	case EM_ARM:
		return elf64 ? IMAGE_ELF_OTHER : IMAGE_ELF32_ARM;
	default:
		return IMAGE_ELF_OTHER;
	}
}

/* Its beginning is. No program's is: not all of its bytes would be letters. */
static bool is_text(const uint8_t *data, size_t size)
{
	size_t n = MIN(size, (size_t)512);

	for (size_t i = 0; i < n; i++) {
		if (data[i] > '~' || (data[i] < ' ' && !strchr("\t\r\n\f", data[i] ? data[i] : 1)))
			return false;
	}
	return n > 0;
}

enum image_kind image_sniff(const void *data, size_t size)
{
	if (has_bytes(data, size, 0, ELFMAG, SELFMAG))
		return sniff_elf(data, size);
	/* A bzImage with an EFI stub is a PE program too: so before "MZ". */
	if (has_bytes(data, size, BZ_MAGIC, "HdrS", 4) && size > BZ_VERSION + 2)
		return get_le16((const uint8_t *)data + BZ_VERSION) < 0x20c ? IMAGE_BZIMAGE_OLD
									    : IMAGE_BZIMAGE;
	for (unsigned int i = 0; i < ARRAY_SIZE(magics); i++) {
		if (has_bytes(data, size, magics[i].offset, magics[i].bytes, magics[i].len))
			return magics[i].kind;
	}
	return is_text(data, size) ? IMAGE_TEXT : IMAGE_UNKNOWN;
}

bool image_map(const char *path, enum image_kind kind, struct file_map *file)
{
	if (file_map(path, "image", file, NULL))
		return false;
	if (image_sniff(file->data, file->size) == kind)
		return true;
	file_unmap(file);
	return false;
}

const char *image_describe(enum image_kind kind)
{
	static const char *const words[] = {
		[IMAGE_UNKNOWN] = "no kind of image that is known here",
		[IMAGE_BZIMAGE] = "a Linux kernel for x86 (bzImage)",
		[IMAGE_BZIMAGE_OLD] = "a Linux kernel for x86, older than 3.8",
		[IMAGE_ELF64_X86] = "a 64-bit ELF image for x86",
		[IMAGE_ELF32_X86] = "a 32-bit ELF image for x86",
		[IMAGE_ELF_ARM64] = "an ELF image for arm64",
		[IMAGE_ELF32_ARM] = "a 32-bit ELF image for Arm",
		[IMAGE_SOLO5] = "a Solo5 image",
		[IMAGE_ELF_TRUNCATED] = "a truncated ELF image",
		[IMAGE_ELF_OTHER] = "an ELF image for another architecture",
		[IMAGE_ARM64] = "a Linux kernel for arm64 (Image)",
		[IMAGE_ZIMAGE] = "a Linux kernel for 32-bit Arm (zImage)",
		[IMAGE_ZBOOT] = "a compressed Linux kernel with an EFI loader (zboot)",
		[IMAGE_EFI] = "an EFI program",
		[IMAGE_GZIP] = "a gzip archive",
		[IMAGE_XZ] = "an xz archive",
		[IMAGE_ZSTD] = "a zstd archive",
		[IMAGE_LZ4] = "an lz4 archive",
		[IMAGE_LZ4_FRAMES] = "an lz4 archive in frames (kernels are packed by lz4 -l)",
		[IMAGE_BZIP2] = "a bzip2 archive",
		[IMAGE_LZMA] = "an lzma archive",
		[IMAGE_LZO] = "an lzo archive",
		[IMAGE_UIMAGE] = "a U-Boot uImage (dumpimage takes the kernel out)",
		[IMAGE_FDT] = "a device tree, or a U-Boot FIT (dumpimage takes the kernel out)",
		[IMAGE_ANDROID] = "an Android boot image (unpack_bootimg takes the kernel out)",
		[IMAGE_CPIO] = "a cpio archive (an initrd?)",
		[IMAGE_DEB] = "a Debian package or ar archive",
		[IMAGE_ISO] = "an ISO 9660 disk image",
		[IMAGE_QCOW2] = "a qcow2 disk image",
		[IMAGE_SCRIPT] = "a script",
		[IMAGE_TEXT] = "a text file",
	};

	return words[kind];
}
