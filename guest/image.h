/* SPDX-License-Identifier: MIT */
/* What a file is, by its own bytes: for the choice of a loader, and to name it in a refusal. */
#ifndef GUEST_IMAGE_H
#define GUEST_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "util/file.h"

enum image_kind {
	IMAGE_UNKNOWN,
	IMAGE_BZIMAGE, /* x86 Linux, boot protocol 2.12 or later */
	IMAGE_BZIMAGE_OLD,
	IMAGE_ELF64_X86,
	IMAGE_ELF32_X86,
	IMAGE_ELF_ARM64,
	IMAGE_ELF32_ARM,
	IMAGE_ELF_OTHER,
	IMAGE_SOLO5,	     /* an ELF file for one of Solo5's tenders (guest/solo5.h) */
	IMAGE_ELF_TRUNCATED, /* too short to say for which machine */
	IMAGE_ARM64,	     /* Linux arm64 Image, with or without its EFI stub */
	IMAGE_ZIMAGE,	     /* Linux 32-bit Arm */
	IMAGE_ZBOOT,	     /* a Linux kernel packed inside an EFI program */
	IMAGE_EFI,	     /* any other PE program */
	IMAGE_GZIP,
	IMAGE_XZ,
	IMAGE_ZSTD,
	IMAGE_LZ4, /* the old format */
	IMAGE_LZ4_FRAMES,
	IMAGE_BZIP2,
	IMAGE_LZMA,
	IMAGE_LZO,
	IMAGE_UIMAGE,
	IMAGE_FDT,
	IMAGE_ANDROID,
	IMAGE_CPIO,
	IMAGE_DEB,
	IMAGE_ISO,
	IMAGE_QCOW2,
	IMAGE_SCRIPT, /* text that begins with #! */
	IMAGE_TEXT,   /* all that is seen of it is */
};

enum image_kind image_sniff(const void *data, size_t size);

/* A file of that kind is mapped, until file_unmap(). What can't be read is of none: who loads it says why. */
bool image_map(const char *path, enum image_kind kind, struct file_map *file);

/* "a Linux kernel for arm64 (Image)" */
const char *image_describe(enum image_kind kind);

#endif
