/* SPDX-License-Identifier: MIT */
#if !__has_include(<lzma.h>)
#error "lzma.h is missing (Debian: liblzma-dev; tests/install-needs build): install it, or leave XZ out"
#endif
#include <errno.h>
#include <lzma.h>
#include <string.h>

#include "guest/unpack.h"
#include "util/util.h"

#define MEMORY_MAX (256 * MIB) /* kernels' dictionaries have up to 128 MiB, xz -9's 64 */
#define STREAM_MIN 32	       /* header, an empty index, footer */

static bool is_stream(const uint8_t *in, size_t len)
{
	return len >= STREAM_MIN && !memcmp(in,
					    "\xfd"
					    "7zXZ\0",
					    6);
}

/* One stream. 0, and next_in and next_out are past it. */
static int unpack_stream(lzma_stream *xz)
{
	lzma_ret rc = lzma_stream_decoder(xz, MEMORY_MAX, 0);

	while (rc == LZMA_OK)
		rc = lzma_code(xz, LZMA_FINISH);
	switch (rc) {
	case LZMA_STREAM_END:
		return 0;
	case LZMA_MEM_ERROR:
	case LZMA_MEMLIMIT_ERROR:
		return -ENOMEM;
	case LZMA_BUF_ERROR: /* no progress: one of them has come to its end */
		return xz->avail_in ? -E2BIG : -EINVAL;
	default:
		return -EINVAL;
	}
}

static int64_t unpack_xz(const void *in, size_t len, void *out, size_t max)
{
	lzma_stream xz = LZMA_STREAM_INIT;
	int rc;

	xz.next_in = in;
	xz.avail_in = len;
	xz.next_out = out;
	xz.avail_out = max;
	do {
		rc = unpack_stream(&xz);
	} while (!rc && is_stream(xz.next_in, xz.avail_in));
	lzma_end(&xz);
	return rc ? rc : xz.next_out - (uint8_t *)out;
}

const struct unpacker xz_unpacker = {
	.name = "xz",
	.kind = IMAGE_XZ,
	.unpack = unpack_xz,
};
