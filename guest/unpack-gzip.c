/* SPDX-License-Identifier: MIT */
#if !__has_include(<zlib.h>)
#error "zlib.h is missing (Debian: zlib1g-dev; tests/install-needs build): install it, or leave GZIP out"
#endif
#include <errno.h>
#include <zlib.h>

#include "guest/unpack.h"
#include "util/util.h"

#define CHUNK (1u << 30) /* zlib counts in 32 bits */
#define MEMBER_MIN 20	 /* header, an empty block, checksum and size */

/* One member. 0, and z's next_in and next_out are past it. */
static int unpack_member(z_stream *z, const uint8_t *in_end, const uint8_t *out_end)
{
	int rc = Z_OK;

	while (rc == Z_OK) {
		z->avail_in = (uInt)MIN(in_end - z->next_in, (ptrdiff_t)CHUNK);
		z->avail_out = (uInt)MIN(out_end - z->next_out, (ptrdiff_t)CHUNK);
		rc = inflate(z, Z_NO_FLUSH);
	}
	switch (rc) {
	case Z_STREAM_END:
		return 0;
	case Z_MEM_ERROR:
		return -ENOMEM;
	case Z_BUF_ERROR: /* no progress: one of them has come to its end */
		return z->next_in < in_end ? -E2BIG : -EINVAL;
	default:
		return -EINVAL;
	}
}

static int64_t unpack_gzip(const void *in, size_t len, void *out, size_t max)
{
	const uint8_t *in_end = (const uint8_t *)in + len;
	const uint8_t *out_end = (uint8_t *)out + max;
	z_stream z = { .next_in = (z_const Bytef *)in, .next_out = out };
	int rc;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) /* 16: with gzip's header, no other */
		return -ENOMEM;
	do {
		rc = unpack_member(&z, in_end, out_end);
		if (!rc)
			inflateReset(&z);
	} while (!rc && in_end - z.next_in >= MEMBER_MIN && get_le16(z.next_in) == 0x8b1f);
	inflateEnd(&z);
	return rc ? rc : z.next_out - (uint8_t *)out;
}

const struct unpacker gzip_unpacker = {
	.name = "gzip",
	.kind = IMAGE_GZIP,
	.unpack = unpack_gzip,
};
