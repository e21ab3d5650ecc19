/* SPDX-License-Identifier: MIT */
#if !__has_include(<zlib.h>)
#error "zlib.h is missing (Debian: zlib1g-dev; tests/install-needs build): install it, or leave QCOW2 out"
#endif
#include <errno.h>
#include <zlib.h>

#include "host/qcow2.h"

/* Deflate without a header. Either length is a few MiB at most. */
static int unpack_zlib(const void *in, size_t len, void *out, size_t size)
{
	z_stream z = { .next_in = (z_const Bytef *)in,
		       .avail_in = (uInt)len,
		       .next_out = out,
		       .avail_out = (uInt)size };
	int rc;

	if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
		return -ENOMEM;
	rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	if (rc == Z_MEM_ERROR)
		return -ENOMEM;
	return (rc == Z_STREAM_END || rc == Z_BUF_ERROR) && !z.avail_out ? 0 : -EIO;
}

const struct qcow2_codec qcow2_zlib = { .type = 0, .unpack = unpack_zlib };
