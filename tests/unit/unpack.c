/* SPDX-License-Identifier: MIT */
/*
 * What is packed, whole and damaged. The unpackers read and write between pages that fault, so that
 * a byte too far ends the test even where the library knows no sanitizer.
 */
#include "guest/unpack.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/unit/tap.h"
#include "util/util.h"

#define PLAIN_SIZE 60000
#define PAGE 4096ull

struct bytes {
	uint8_t *data; /* malloc's */
	size_t size;
};

static struct bytes room(size_t size)
{
	return (struct bytes){ malloc(size), size };
}

/* Text and noise: some of it packs well, some does not. */
static struct bytes make_plain(size_t size)
{
	struct bytes b = room(size);
	uint32_t x = 1;

	for (size_t i = 0; i < size; i++) {
		x = x * 1664525 + 1013904223;
		b.data[i] = i / 512 % 2 ? (uint8_t)(x >> 24) : "a kernel, or so"[i % 15];
	}
	return b;
}

static struct bytes joined(struct bytes a, struct bytes b)
{
	struct bytes both = room(a.size + b.size);

	memcpy(both.data, a.data, a.size);
	memcpy(both.data + a.size, b.data, b.size);
	return both;
}

/* ---- Packers ---- */

static struct bytes pack_gzip(struct bytes plain)
{
	struct bytes out = room(plain.size + 1000);
	z_stream z = { .next_in = plain.data,
		       .avail_in = (uInt)plain.size,
		       .next_out = out.data,
		       .avail_out = (uInt)out.size };

	deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
	deflate(&z, Z_FINISH);
	out.size = z.total_out;
	deflateEnd(&z);
	return out;
}

/* As a stream whose size is not known, so that the frame has a window of the size asked for. */
static struct bytes pack_zstd_window(struct bytes plain, int window_log)
{
	struct bytes out = room(ZSTD_compressBound(plain.size));
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	ZSTD_inBuffer from = { plain.data, plain.size, 0 };
	ZSTD_outBuffer to = { out.data, out.size, 0 };

	ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, window_log);
	ZSTD_compressStream2(ctx, &to, &from, ZSTD_e_continue);
	ZSTD_compressStream2(ctx, &to, &from, ZSTD_e_end);
	ZSTD_freeCCtx(ctx);
	out.size = to.pos;
	return out;
}

static struct bytes pack_zstd(struct bytes plain)
{
	return pack_zstd_window(plain, 20);
}

/* As Linux's build does it: a filter for machine code in front. */
static struct bytes pack_xz(struct bytes plain)
{
	struct bytes out = room(plain.size + 10000);
	lzma_options_lzma options;
	lzma_filter filters[] = { { LZMA_FILTER_ARMTHUMB, NULL },
				  { LZMA_FILTER_LZMA2, &options },
				  { LZMA_VLI_UNKNOWN, NULL } };
	size_t used = 0;

	if (lzma_lzma_preset(&options, 1) ||
	    lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, plain.data, plain.size,
				      out.data, &used, out.size))
		ok(false, "liblzma packs");
	out.size = used;
	return out;
}

/* The old format: a block of 8 MiB behind another, each with its packed size. */
static struct bytes pack_lz4(struct bytes plain)
{
	struct bytes out = room(plain.size + plain.size / 200 + 4096);
	size_t at = 4;

	put_le32(out.data, 0x184c2102);
	for (size_t from = 0; from < plain.size; from += 8 * MIB) {
		size_t len = MIN(plain.size - from, (size_t)(8 * MIB));
		int n = LZ4_compress_default((char *)plain.data + from, (char *)out.data + at + 4,
					     (int)len, (int)(out.size - at - 4));

		put_le32(out.data + at, (uint32_t)n);
		at += 4 + (size_t)n;
	}
	out.size = at;
	return out;
}

static const struct format {
	const char *what, *unpacker;
	struct bytes (*pack)(struct bytes plain);
	bool checked; /* by a checksum */
} formats[] = {
	{ "gzip", "gzip", pack_gzip, true },
	{ "zstd", "zstd", pack_zstd, true },
	{ "xz", "xz", pack_xz, true },
	{ "lz4", "lz4", pack_lz4, false },
};

/* ---- Between pages that fault ---- */

struct cage {
	uint8_t *end; /* the first byte that faults */
	uint8_t *map;
	size_t mapped;
};

static struct cage make_cage(size_t size)
{
	struct cage c = { .mapped = align_up(size, PAGE) + PAGE };

	c.map = mmap(NULL, c.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	c.end = c.map + c.mapped - PAGE;
	mprotect(c.end, PAGE, PROT_NONE);
	return c;
}

static void free_cage(struct cage *c)
{
	munmap(c->map, c->mapped);
}

/* Unpacks `in` within the two cages, which are large enough; the result ends at out->end - max. */
static int64_t unpack_caged(const struct unpacker *u, struct bytes in, size_t max,
			    struct cage *from, struct cage *to)
{
	uint8_t *at = from->end - in.size;

	memcpy(at, in.data, in.size);
	return u->unpack(at, in.size, to->end - max, max);
}

/* ---- Tests ---- */

static void whole(const struct format *f, const struct unpacker *u, struct bytes plain)
{
	struct bytes packed = f->pack(plain), nothing = f->pack((struct bytes){ plain.data, 0 });
	struct bytes garbage = { (uint8_t *)"\x12\x34\x56\x01", 4 };
	struct bytes tailed = joined(packed, garbage), two = joined(packed, packed);
	struct cage from = make_cage(two.size), to = make_cage(2 * plain.size);
	uint8_t *exact = to.end - plain.size;

	ok(image_sniff(packed.data, packed.size) == u->kind, "%s: known", f->what);
	ok(unpack_caged(u, packed, plain.size, &from, &to) == (int64_t)plain.size &&
		   !memcmp(exact, plain.data, plain.size),
	   "%s: unpacked, with no byte to spare", f->what);
	ok(unpack_caged(u, packed, plain.size - 1, &from, &to) == -E2BIG, "%s: a byte too many",
	   f->what);
	ok(unpack_caged(u, packed, 0, &from, &to) == -E2BIG, "%s: no room at all", f->what);
	memset(exact, 0, plain.size);
	ok(unpack_caged(u, tailed, plain.size, &from, &to) == (int64_t)plain.size &&
		   !memcmp(exact, plain.data, plain.size),
	   "%s: with the size behind it, as Linux's build does", f->what);
	ok(unpack_caged(u, two, 2 * plain.size, &from, &to) == 2 * (int64_t)plain.size &&
		   !memcmp(exact, plain.data, plain.size),
	   "%s: two of them", f->what);
	ok(unpack_caged(u, two, 2 * plain.size - 1, &from, &to) == -E2BIG,
	   "%s: two of them and no room for the second", f->what);
	ok(unpack_caged(u, nothing, 10, &from, &to) == (f->checked ? 0 : -EINVAL),
	   "%s: nothing, packed", f->what); /* lz4's old format: a magic number alone */
	free_cage(&from);
	free_cage(&to);
	free(packed.data);
	free(nothing.data);
	free(tailed.data);
	free(two.data);
}

static void cut(const struct format *f, const struct unpacker *u, struct bytes plain)
{
	struct bytes packed = f->pack(plain), part = packed;
	struct cage from = make_cage(packed.size), to = make_cage(plain.size);
	bool refused = true;

	for (part.size = 0; part.size < packed.size; part.size++) {
		int64_t rc;

		if (part.size > 300 && part.size < packed.size - 300)
			part.size += 97;
		rc = unpack_caged(u, part, plain.size, &from, &to);
		refused &= rc == -EINVAL;
	}
	ok(refused, "%s: every truncation is refused", f->what);
	free_cage(&from);
	free_cage(&to);
	free(packed.data);
}

static void flipped(const struct format *f, const struct unpacker *u, struct bytes plain)
{
	struct bytes packed = f->pack(plain);
	struct cage from = make_cage(packed.size), to = make_cage(plain.size);
	bool caught = true;

	for (size_t at = 0; at < packed.size; at += at < 200 || at > packed.size - 200 ? 1 : 61) {
		uint8_t bit = (uint8_t)(1 << (at * 7 + 3) % 8);
		int64_t rc;

		packed.data[at] ^= bit;
		rc = unpack_caged(u, packed, plain.size, &from, &to);
		packed.data[at] ^= bit;
		if (rc >= 0 && f->checked) /* a header's time or a flag that says nothing */
			caught &= rc == (int64_t)plain.size &&
				  !memcmp(to.end - plain.size, plain.data, plain.size);
		else
			caught &= rc == -EINVAL || rc == -E2BIG || rc == -ENOMEM || !f->checked;
	}
	ok(caught, "%s: flipped bits are %s", f->what, f->checked ? "noticed" : "harmless");
	free_cage(&from);
	free_cage(&to);
	free(packed.data);
}

/* 16 MiB of zeros, to a guest with 1 MiB. */
static void bomb(const struct format *f, const struct unpacker *u)
{
	struct bytes zeros = { calloc(1, 16 * MIB), 16 * MIB };
	struct bytes packed = f->pack(zeros);
	struct cage from = make_cage(packed.size), to = make_cage(MIB);
	struct unpacked out = { 0 };
	struct err err = { "" };

	ok(unpack_caged(u, packed, MIB, &from, &to) == -E2BIG, "%s: a bomb of %zu bytes is bounded",
	   f->what, packed.size);
	ok(unpack(u, packed.data, packed.size, MIB, &out, &err) == -E2BIG && !out.data &&
		   strstr(err.text, "more than the 1 MiB"),
	   "%s: refused: %s", f->what, err.text);
	ok(!unpack(u, packed.data, packed.size, 64 * GIB, &out, &err) && out.size == 16 * MIB &&
		   out.mapped == 16 * MIB && !out.data[0] && !out.data[16 * MIB - 1],
	   "%s: unpacked with 64 GiB of room, which is given back", f->what);
	unpacked_free(&out);
	unpacked_free(&out);
	free_cage(&from);
	free_cage(&to);
	free(zeros.data);
	free(packed.data);
}

static void mapped(const struct unpacker *u, struct bytes plain)
{
	struct bytes packed = pack_gzip(plain);
	struct unpacked out;
	struct err err = { "" };

	ok(!unpack(u, packed.data, packed.size, 64 * MIB, &out, &err) && out.size == plain.size &&
		   out.mapped == align_up(plain.size, PAGE) &&
		   !memcmp(out.data, plain.data, plain.size),
	   "unpacked to a mapping of its own, no larger than it must be");
	unpacked_free(&out);
	packed.data[packed.size - 6] ^= 1;
	ok(unpack(u, packed.data, packed.size, 64 * MIB, &out, &err) == -EINVAL && !out.data &&
		   strstr(err.text, "damaged"),
	   "refused: %s", err.text);
	ok(unpack(u, packed.data, packed.size, 1ull << 60, &out, &err) == -ENOMEM &&
		   strstr(err.text, "no address space"),
	   "refused: %s", err.text);
	free(packed.data);
}

static void zstd_windows(const struct unpacker *u, struct bytes plain)
{
	struct bytes packed = pack_zstd_window(plain, 27);
	struct bytes skippable = { (uint8_t *)"\x50\x2a\x4d\x18\4\0\0\0skip", 12 };
	struct bytes with_skippable = joined(skippable, packed);
	struct cage from = make_cage(with_skippable.size), to = make_cage(plain.size);

	ok(unpack_caged(u, packed, plain.size, &from, &to) == (int64_t)plain.size,
	   "zstd: a window of 128 MiB");
	ok(unpack_caged(u, with_skippable, plain.size, &from, &to) == (int64_t)plain.size,
	   "zstd: behind a frame to skip");
	free_cage(&from);
	free_cage(&to);
	free(packed.data);
	free(with_skippable.data);
}

/* The dictionary's size is in the block header, and says how much memory unpacking takes. */
static void xz_dictionary(const struct unpacker *u, struct bytes plain)
{
	struct bytes packed = pack_xz(plain);
	struct cage from = make_cage(packed.size), to = make_cage(plain.size);
	uint8_t *block = packed.data + 12;
	size_t header = (block[0] + 1u) * 4;
	uint8_t *filter = memchr(block + 2, LZMA_FILTER_LZMA2, header - 2);
	bool found = filter && filter[1] == 1;

	if (found) {
		filter[2] = 40; /* 4 GiB */
		put_le32(block + header - 4, lzma_crc32(block, header - 4, 0));
	}
	ok(found && unpack_caged(u, packed, plain.size, &from, &to) == -ENOMEM,
	   "xz: a dictionary of 4 GiB is refused");
	free_cage(&from);
	free_cage(&to);
	free(packed.data);
}

/* Of more than one block, and two archives in a row. */
static void lz4_blocks(const struct unpacker *u)
{
	struct bytes plain = make_plain(20 * MIB), old = pack_lz4(plain);
	struct bytes both = joined(old, old);
	size_t size = 2 * plain.size;
	struct cage from = make_cage(both.size), to = make_cage(size);

	ok(unpack_caged(u, old, plain.size, &from, &to) == (int64_t)plain.size &&
		   !memcmp(to.end - plain.size, plain.data, plain.size),
	   "lz4: three blocks");
	ok(unpack_caged(u, old, 16 * MIB, &from, &to) == -E2BIG, "lz4: with room for two");
	ok(unpack_caged(u, both, size, &from, &to) == (int64_t)size &&
		   !memcmp(to.end - plain.size, plain.data, plain.size),
	   "lz4: two archives");
	put_le32(old.data + 4, UINT32_MAX);
	ok(unpack_caged(u, old, plain.size, &from, &to) == -EINVAL, "lz4: a block of 4 GiB");
	put_le32(old.data + 4, 9 * MIB);
	ok(unpack_caged(u, old, plain.size, &from, &to) == -EINVAL, "lz4: one of 9 MiB");
	free_cage(&from);
	free_cage(&to);
	free(plain.data);
	free(old.data);
	free(both.data);
}

static void test_format(const struct format *f, struct bytes plain)
{
	const struct unpacker *u = unpacker_by_name(f->unpacker);

	if (!u) {
		ok(true, "%s # skip left out of this binary", f->what);
		return;
	}
	ok(unpacker_for_kind(u->kind) == u, "%s: found by its kind", f->what);
	whole(f, u, plain);
	cut(f, u, plain);
	flipped(f, u, plain);
	bomb(f, u);
}

/* guest/crc64.c stands in for liblzma's: the check value of CRC-64/XZ, whole and in two pieces. */
static void xz_crc64(void)
{
	const uint8_t *text = (const uint8_t *)"123456789";

	ok(lzma_crc64(text, 9, 0) == 0x995dc9bbdf1939faull &&
		   lzma_crc64(text + 4, 5, lzma_crc64(text, 4, 0)) == 0x995dc9bbdf1939faull,
	   "xz: CRC64");
}

int main(void)
{
	struct bytes plain = make_plain(PLAIN_SIZE);
	const struct unpacker *gzip = unpacker_by_name("gzip");
	const struct unpacker *zstd = unpacker_by_name("zstd");
	const struct unpacker *xz = unpacker_by_name("xz");
	const struct unpacker *lz4 = unpacker_by_name("lz4");

	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++)
		test_format(&formats[i], plain);
	if (gzip)
		mapped(gzip, plain);
	if (zstd)
		zstd_windows(zstd, plain);
	xz_crc64();
	if (xz)
		xz_dictionary(xz, plain);
	if (lz4)
		lz4_blocks(lz4);
	ok(!unpacker_by_name("lzma") && !unpacker_for_kind(IMAGE_BZIMAGE), "no others");
	free(plain.data);
	return done_testing();
}
