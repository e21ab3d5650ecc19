/* SPDX-License-Identifier: MIT */
/* Packed kernels (guest/unpack.h), each format by the unpacker that its first bytes ask for. */
#include "guest/unpack.h"

#include <dlfcn.h>
#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/fuzz/fuzz.h"

/* Before the libraries' own, for when memory is short: it is at once, or later. */
static enum { ENOUGH, SHORT, SHORT_LATER } memory;

int inflateInit2_(z_streamp z, int bits, const char *version, int size)
{
	int (*real)(z_streamp, int, const char *, int) = (__typeof__(real))dlsym(RTLD_NEXT,
										 "inflateInit2_");

	return memory == SHORT ? Z_MEM_ERROR : real(z, bits, version, size);
}

int inflate(z_streamp z, int flush)
{
	int (*real)(z_streamp, int) = (__typeof__(real))dlsym(RTLD_NEXT, "inflate");

	return memory == SHORT_LATER ? Z_MEM_ERROR : real(z, flush);
}

ZSTD_DCtx *ZSTD_createDCtx(void)
{
	ZSTD_DCtx *(*real)(void) = (__typeof__(real))dlsym(RTLD_NEXT, "ZSTD_createDCtx");

	return memory == SHORT ? NULL : real();
}

/* To a heap block, so that ASan sees a write past `max`: unpack() itself takes whole pages. */
static int64_t unpack_tightly(const struct unpacker *u, const uint8_t *file, size_t len, size_t max)
{
	uint8_t *out = malloc(max);
	int64_t rc;

	CHECK(out);
	rc = u->unpack(file, len, out, max);
	CHECK(rc <= (int64_t)max);
	CHECK(rc >= 0 || rc == -EINVAL || rc == -E2BIG || rc == -ENOMEM);
	free(out);
	return rc;
}

static void check(const struct unpacker *u, const uint8_t *file, size_t len, size_t max)
{
	int64_t n = unpack_tightly(u, file, len, max);
	struct err err = { "" };
	struct unpacked whole;

	CHECK(unpacker_by_name(u->name) == u);
	if (!unpack(u, file, len, max, &whole, &err)) {
		CHECK((int64_t)whole.size == n && whole.size <= whole.mapped);
		unpacked_free(&whole);
	} else {
		CHECK(n < 0 && err.text[0]);
	}
	CHECK(unpack(u, file, len, SIZE_MAX / 2, &whole, &err) == -ENOMEM); /* no such room */
}

/*
 * Bytes 0 and 1: how many bytes there is room for (0 and 1: memory is short, too). The rest is the
 * file.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	size_t max = take_u16(&in);
	uint8_t *file = heap_copy(in.p, in.left);
	const struct unpacker *u = unpacker_for_kind(image_sniff(file, in.left));

	memory = max == 0 ? SHORT : max == 1 ? SHORT_LATER : ENOUGH;
	if (u)
		check(u, file, in.left, MAX(max, (size_t)1));
	free(file);
	return 0;
}
