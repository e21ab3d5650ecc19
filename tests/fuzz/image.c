/* SPDX-License-Identifier: MIT */
/*
 * Linux's own kernel files: any bytes are named (guest/image.h), and what claims to be a bzImage,
 * an arm64 Image, a zImage or an EFI zboot is read.
 */
#include "guest/image.h"

#include <errno.h>

#include "guest/arm64-image.h"
#include "guest/bzimage.h"
#include "guest/unpack.h"
#include "guest/zboot.h"
#include "guest/zimage.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lib/ram.h"

/* A refusal has a line for people. */
static bool parsed(int rc, const struct err *err)
{
	CHECK(!rc || (rc == -EINVAL && err->text[0]));
	return !rc;
}

static void bzimage(const uint8_t *file, size_t size)
{
	struct err err = { "" };
	struct bzimage bz;
	int rc;

	if (!parsed(bzimage_parse(file, size, &bz, &err), &err))
		return;
	CHECK(range_in(bz.kernel_offset, bz.kernel_size, size) && bz.kernel_size > BZ_ENTRY64);
	CHECK(BZ_HEADER + bz.header_len <= MIN(size, (size_t)BZ_HEADER_END));
	CHECK(bz.init_size >= bz.kernel_size);
	if (bz.payload)
		CHECK(bz.payload >= file &&
		      range_in((uint64_t)(bz.payload - file), bz.payload_size, size));
	rc = bzimage_fits(&bz, LOW + SLOT_SIZE, &err);
	CHECK(!rc == (bz.pref_address + bz.init_size <= LOW + SLOT_SIZE));
	rc = bzimage_load(&bz, ram_fresh());
	CHECK(!rc || rc == -EFAULT);
	ram_check_dirty();
}

static void arm64_image(const uint8_t *file, size_t size)
{
	struct err err = { "" };
	struct arm64_image a;

	if (!parsed(arm64_image_parse(file, size, &a, &err), &err))
		return;
	CHECK(a.data == file && a.size == size && a.image_size >= size);
	CHECK(a.text_offset < 2 * MIB && a.image_size <= 1ull << 48);
}

static void zimage(const uint8_t *file, size_t size)
{
	struct err err = { "" };
	struct zimage z;

	if (parsed(zimage_parse(file, size, &z, &err), &err))
		CHECK(z.data == file && z.size == size && z.memory > size);
}

static void zboot(const uint8_t *file, size_t size)
{
	struct err err = { "" };
	struct zboot z;

	if (!parsed(zboot_parse(file, size, &z, &err), &err))
		return;
	CHECK(z.size && z.payload >= file && range_in((uint64_t)(z.payload - file), z.size, size));
	CHECK(strnlen(z.compression, sizeof(z.compression)) < sizeof(z.compression));
	unpacker_by_name(z.compression);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *file = heap_copy(data, size);
	enum image_kind kind = image_sniff(file, size);

	CHECK(image_describe(kind)[0]);
	unpacker_for_kind(kind);
	/* Whatever it is called: a parser that trusts the name finds out. */
	bzimage(file, size);
	arm64_image(file, size);
	zimage(file, size);
	zboot(file, size);
	free(file);
	return 0;
}
