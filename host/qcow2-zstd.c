/* SPDX-License-Identifier: MIT */
#if !__has_include(<zstd.h>)
#error "zstd.h is missing (Debian: libzstd-dev; tests/install-needs build): install it, or leave QCOW2_ZSTD out"
#endif
#include <errno.h>
#include <zstd.h>

#include "host/qcow2.h"

/* One frame, in one go: so its window takes no memory of its own. */
static int unpack_zstd(const void *in, size_t len, void *out, size_t size)
{
	size_t frame = ZSTD_findFrameCompressedSize(in, len), n;
	ZSTD_DCtx *ctx;

	if (ZSTD_isError(frame))
		return -EIO;
	ctx = ZSTD_createDCtx();
	if (!ctx)
		return -ENOMEM;
	n = ZSTD_decompressDCtx(ctx, out, size, in, frame);
	ZSTD_freeDCtx(ctx);
	return n == size ? 0 : -EIO;
}

const struct qcow2_codec qcow2_zstd = { .type = 1, .unpack = unpack_zstd };
