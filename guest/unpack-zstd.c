/* SPDX-License-Identifier: MIT */
/*
 * Frame by frame, each in one go: what is unpacked already is the window then, so that a frame's
 * window (kernels have 128 MiB, --long up to 2 GiB) takes no memory of its own.
 */
#if !__has_include(<zstd.h>)
#error "zstd.h is missing (Debian: libzstd-dev; tests/install-needs build): install it, or leave ZSTD out"
#endif
#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "guest/unpack.h"
#include "util/util.h"

#define FRAME_MIN 8 /* a skippable one */

static bool is_frame(const uint8_t *in, size_t len)
{
	if (len < FRAME_MIN)
		return false;
	return get_le32(in) == ZSTD_MAGICNUMBER ||
	       (get_le32(in) & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

static int error_of(size_t rc)
{
	switch (ZSTD_getErrorCode(rc)) {
	case ZSTD_error_dstSize_tooSmall:
		return -E2BIG;
	case ZSTD_error_memory_allocation:
		return -ENOMEM;
	default:
		return -EINVAL;
	}
}

static int64_t unpack_frames(ZSTD_DCtx *ctx, const uint8_t *in, size_t len, uint8_t *out,
			     size_t max)
{
	size_t size = 0;

	do {
		size_t frame = ZSTD_findFrameCompressedSize(in, len);
		size_t n;

		if (ZSTD_isError(frame))
			return -EINVAL;
		n = ZSTD_decompressDCtx(ctx, out + size, max - size, in, frame);
		if (ZSTD_isError(n))
			return error_of(n);
		size += n;
		in += frame;
		len -= frame;
	} while (is_frame(in, len));
	return (int64_t)size;
}

static int64_t unpack_zstd(const void *in, size_t len, void *out, size_t max)
{
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	int64_t size;

	if (!ctx)
		return -ENOMEM;
	size = unpack_frames(ctx, in, len, out, max);
	ZSTD_freeDCtx(ctx);
	return size;
}

const struct unpacker zstd_unpacker = {
	.name = "zstd",
	.kind = IMAGE_ZSTD,
	.unpack = unpack_zstd,
};
