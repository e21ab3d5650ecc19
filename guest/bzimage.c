/* SPDX-License-Identifier: MIT */
#include "guest/bzimage.h"

#include <errno.h>

#include "util/util.h"

/* Offsets of struct setup_header's fields in the file. */
#define SETUP_SECTS 0x1f1
#define HEADER_JUMP 0x201 /* the short jump's distance: the header ends at 0x202 plus it */
#define VERSION 0x206
#define LOADFLAGS 0x211
#define INITRD_ADDR_MAX 0x22c
#define XLOADFLAGS 0x236
#define CMDLINE_SIZE 0x238
#define PAYLOAD_OFFSET 0x248 /* from the protected-mode kernel's start */
#define PAYLOAD_LENGTH 0x24c
#define PREF_ADDRESS 0x258
#define INIT_SIZE 0x260
#define FIXED_HEADER_END 0x268

#define LOADED_HIGH 1
#define XLF_KERNEL_64 1

/* Its last four bytes are its unpacked size; gzip's own are the same. */
static int find_payload(struct bzimage *bz, struct err *err)
{
	uint32_t offset = get_le32(bz->data + PAYLOAD_OFFSET);
	uint32_t size = get_le32(bz->data + PAYLOAD_LENGTH);
	const uint8_t *kernel = bz->data + bz->kernel_offset;

	if (!offset || !size)
		return 0;
	if (!range_in(offset, size, bz->kernel_size) || size < 4)
		return err_set(err, EINVAL,
			       "it is truncated or damaged: its header promises %u bytes of packed "
			       "kernel at %u, it has %zu",
			       size, offset, bz->kernel_size);
	bz->payload = kernel + offset;
	bz->payload_size = size;
	bz->unpacked_size = get_le32(kernel + offset + size - 4);
	return 0;
}

int bzimage_parse(const void *data, size_t size, struct bzimage *bz, struct err *err)
{
	const uint8_t *p = data;
	size_t sects;

	if (size < FIXED_HEADER_END)
		return err_set(err, EINVAL, "it is truncated: %zu bytes", size);
	if (get_le16(p + VERSION) < 0x20c)
		return err_set(
			err, EINVAL,
			"its boot protocol is 0x%x; 0x20c (Linux 3.8) is the oldest that works",
			get_le16(p + VERSION));
	if (!(get_le16(p + XLOADFLAGS) & XLF_KERNEL_64) || !(p[LOADFLAGS] & LOADED_HIGH))
		return err_set(err, EINVAL,
			       "it is a 32-bit kernel; only 64-bit ones can be booted");
	sects = p[SETUP_SECTS] ? p[SETUP_SECTS] : 4;
	*bz = (struct bzimage){
		.data = p,
		.size = size,
		.kernel_offset = (sects + 1) * 512,
		.header_len = MIN((size_t)0x202 + p[HEADER_JUMP], (size_t)BZ_HEADER_END) -
			      BZ_HEADER,
		.pref_address = get_le64(p + PREF_ADDRESS),
		.init_size = get_le32(p + INIT_SIZE),
		.initrd_max = get_le32(p + INITRD_ADDR_MAX),
		.cmdline_max = get_le32(p + CMDLINE_SIZE),
	};
	if (bz->kernel_offset >= size || bz->kernel_offset + BZ_ENTRY64 >= size ||
	    BZ_HEADER + bz->header_len > size)
		return err_set(err, EINVAL,
			       "it is truncated: %zu bytes, and its kernel begins at %zu", size,
			       bz->kernel_offset);
	bz->kernel_size = size - bz->kernel_offset;
	/* The header counts in 16-byte units what must be there of the file. */
	if ((uint64_t)get_le32(p + 0x1f4) * 16 > bz->kernel_size + 15)
		return err_set(
			err, EINVAL,
			"it is truncated: its header promises %llu bytes of kernel, the file has %zu",
			(unsigned long long)get_le32(p + 0x1f4) * 16, bz->kernel_size);
	if (bz->pref_address < MIB || bz->pref_address % MEM_PAGE || bz->pref_address > UINT32_MAX)
		return err_set(err, EINVAL,
			       "its header asks for the impossible load address 0x%llx",
			       (unsigned long long)bz->pref_address);
	if (bz->init_size < bz->kernel_size)
		bz->init_size = bz->kernel_size;
	return find_payload(bz, err);
}

int bzimage_fits(const struct bzimage *bz, uint64_t ram_end, struct err *err)
{
	uint64_t end = bz->pref_address + bz->init_size;

	if (end > ram_end)
		return err_set(err, ENOMEM, "it needs RAM up to %llu MiB; give more with -m",
			       (unsigned long long)(align_up(end, MIB) / MIB));
	return 0;
}

int bzimage_load(const struct bzimage *bz, struct mem *mem)
{
	return mem_write(mem, bz->pref_address, bz->data + bz->kernel_offset, bz->kernel_size);
}
