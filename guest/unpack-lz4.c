/* SPDX-License-Identifier: MIT */
/*
 * Kernels are in lz4's old format (`lz4 -l`): a magic number, then blocks of 8 MiB, each with its
 * packed size in front, to the end of the file. It has no checksum, and an end that is cut off
 * between two blocks can't be told. The framed format, which no kernel is in, is refused: liblz4's
 * code for it is as large as all of its rest.
 */
#if !__has_include(<lz4.h>)
#error "lz4.h is missing (Debian: liblz4-dev; tests/install-needs build): install it, or leave LZ4 out"
#endif
#include <errno.h>
#include <lz4.h>

#include "guest/unpack.h"
#include "util/util.h"

#define OLD_MAGIC 0x184c2102u
#define OLD_BLOCK (8 * MIB)

struct streams {
	const uint8_t *in;
	size_t in_left;
	uint8_t *out;
	size_t out_left;
};

static void advance(struct streams *s, size_t in, size_t out)
{
	s->in += in;
	s->in_left -= in;
	s->out += out;
	s->out_left -= out;
}

static int unpack_old_block(struct streams *s, size_t len)
{
	size_t max = MIN(s->out_left, (size_t)OLD_BLOCK);
	int n;

	if (len > (size_t)LZ4_COMPRESSBOUND(OLD_BLOCK) || len > s->in_left)
		return -EINVAL;
	n = LZ4_decompress_safe((const char *)s->in, (char *)s->out, (int)len, (int)max);
	if (n < 0) {
		/* Damaged, or sound as far as there is room for it? */
		n = LZ4_decompress_safe_partial((const char *)s->in, (char *)s->out, (int)len,
						(int)max, (int)max);
		return n == (int)max && max < OLD_BLOCK ? -E2BIG : -EINVAL;
	}
	advance(s, len, (size_t)n);
	return 0;
}

/*
 * Until the end or the magic number of another stream. Linux's build adds the unpacked size: four
 * bytes that are no block.
 */
static int unpack_old(struct streams *s)
{
	int rc = -EINVAL; /* without a block */

	advance(s, 4, 0);
	while (s->in_left > 4) {
		uint32_t len = get_le32(s->in);

		if (!len || len == OLD_MAGIC)
			return rc;
		advance(s, 4, 0);
		rc = unpack_old_block(s, len);
		if (rc)
			return rc;
	}
	return s->in_left % 4 ? -EINVAL : rc;
}

static int64_t unpack_lz4(const void *in, size_t len, void *out, size_t max)
{
	struct streams s = { in, len, out, max };
	int rc = -EINVAL;

	/* Five bytes: four alone are the unpacked size, even if they look like a magic number. */
	while (s.in_left > 4 && get_le32(s.in) == OLD_MAGIC) {
		rc = unpack_old(&s);
		if (rc)
			return rc;
	}
	return rc ? rc : (int64_t)(max - s.out_left);
}

const struct unpacker lz4_unpacker = {
	.name = "lz4",
	.kind = IMAGE_LZ4,
	.unpack = unpack_lz4,
};
