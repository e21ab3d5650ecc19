/* SPDX-License-Identifier: MIT */
/*
 * host/qcow2 beside QEMU: images of every feature that qemu-img and qemu-io can make, each read in
 * pieces of many lengths, byte for byte what `qemu-img convert` says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/disk.h"
#include "tests/unit/tap.h"
#include "util/util.h"

#define SIZE (6 * MIB) /* of src.raw */

/* Each makes the image `x`, out of src.raw (noise, zeros, text). */
static const struct recipe {
	const char *name, *script;
} recipes[] = {
	{ "v3, 64 KiB", "qemu-img convert -O qcow2 src.raw x" },
	{ "v2", "qemu-img convert -O qcow2 -o compat=0.10 src.raw x" },
	{ "512 B", "qemu-img convert -O qcow2 -o cluster_size=512 src.raw x" },
	{ "v2, 512 B", "qemu-img convert -O qcow2 -o compat=0.10,cluster_size=512 src.raw x" },
	{ "4 KiB", "qemu-img convert -O qcow2 -o cluster_size=4k src.raw x" },
	{ "2 MiB", "qemu-img convert -O qcow2 -o cluster_size=2M src.raw x" },
	{ "zlib", "qemu-img convert -c -O qcow2 src.raw x" },
	{ "zlib, v2", "qemu-img convert -c -O qcow2 -o compat=0.10 src.raw x" },
	{ "zlib, 512 B", "qemu-img convert -c -O qcow2 -o cluster_size=512 src.raw x" },
	{ "zlib, 2 MiB", "qemu-img convert -c -O qcow2 -o cluster_size=2M src.raw x" },
	{ "zstd", "qemu-img convert -c -O qcow2 -o compression_type=zstd src.raw x" },
	{ "zstd, 4 KiB",
	  "qemu-img convert -c -O qcow2 -o compression_type=zstd,cluster_size=4k src.raw x" },
	{ "zstd, 2 MiB",
	  "qemu-img convert -c -O qcow2 -o compression_type=zstd,cluster_size=2M src.raw x" },
	{ "zlib, extended", "qemu-img convert -c -O qcow2 -o extended_l2=on src.raw x" },
	{ "refcounts of 1 bit", "qemu-img convert -O qcow2 -o refcount_bits=1 src.raw x" },
	{ "refcounts of 64 bits", "qemu-img convert -O qcow2 -o refcount_bits=64 src.raw x" },
	{ "lazy refcounts", "qemu-img convert -O qcow2 -o lazy_refcounts=on src.raw x" },
	{ "dirty", "qemu-img convert -O qcow2 -o lazy_refcounts=on src.raw x; "
		   "qemu-io -f qcow2 -c 'write -P 9 1M 64k' -c flush -c abort x; "
		   "qemu-img info x | grep 'shut down: no'" },
	{ "empty", "qemu-img create -f qcow2 x 8M" },
	{ "metadata only", "qemu-img create -f qcow2 -o preallocation=metadata x 8M &&"
			   "qemu-io -f qcow2 -c 'write -P 7 1M 100k' x" },
	{ "preallocated", "qemu-img create -f qcow2 -o preallocation=falloc x 8M" },
	{ "preallocated, extended",
	  "qemu-img create -f qcow2 -o preallocation=metadata,extended_l2=on x 8M &&"
	  "qemu-io -f qcow2 -c 'write -P 7 1M 10k' x" },
	{ "written here and there",
	  "qemu-img create -f qcow2 x 64M && qemu-io -f qcow2 -c 'write -P 1 0 1' -c 'write -P 2 65535 2' "
	  "-c 'write -P 3 40M 3M' -c 'write -P 4 63M 1M' x" },
	{ "zeros and discards",
	  "qemu-img convert -O qcow2 src.raw x && qemu-io -f qcow2 -c 'write -z 64k 128k' "
	  "-c 'write -zu 1M 1M' -c 'discard 3M 1M' -c 'write -z 2500000 5000' x" },
	{ "snapshots", "qemu-img convert -O qcow2 src.raw x && qemu-img snapshot -c one x &&"
		       "qemu-io -f qcow2 -c 'write -P 9 1M 300k' x && qemu-img snapshot -c two x &&"
		       "qemu-io -f qcow2 -c 'write -P 8 2M 300k' x" },
	{ "a snapshot gone back to",
	  "qemu-img convert -O qcow2 src.raw x && qemu-img snapshot -c one x &&"
	  "qemu-io -f qcow2 -c 'write -P 9 1M 300k' x && qemu-img snapshot -a one x" },
	{ "bitmaps", "qemu-img convert -O qcow2 src.raw x && qemu-img bitmap --add x b &&"
		     "qemu-io -f qcow2 -c 'write -P 9 1M 300k' x" },
	{ "made larger", "qemu-img convert -O qcow2 src.raw x && qemu-img resize -f qcow2 x 9M" },
	{ "made smaller",
	  "qemu-img convert -O qcow2 src.raw x && qemu-img resize --shrink -f qcow2 x 3000320" },
	{ "over raw", "qemu-img create -f qcow2 -b src.raw -F raw x &&"
		      "qemu-io -f qcow2 -c 'write -P 5 100k 1' -c 'write -z 1M 128k' x" },
	{ "over a longer raw", "qemu-img create -f qcow2 -b src.raw -F raw x 1M" },
	{ "over a shorter raw", "qemu-img create -f qcow2 -b src.raw -F raw x 12M &&"
				"qemu-io -f qcow2 -c 'write -P 5 6200k 100k' x" },
	{ "v2 over raw", "qemu-img create -f qcow2 -o compat=0.10 -b src.raw -F raw x &&"
			 "qemu-io -f qcow2 -c 'write -P 5 100k 1' x" },
	{ "extended over raw",
	  "qemu-img create -f qcow2 -o extended_l2=on,cluster_size=16k -b src.raw -F raw x &&"
	  "qemu-io -f qcow2 -c 'write -P 5 100k 512' -c 'write -z 200k 1k' -c 'write -P 6 300k 64k' "
	  "-c 'write -z 320k 16k' -c 'discard 340k 4k' x" },
	{ "extended, 2 MiB, over raw",
	  "qemu-img create -f qcow2 -o extended_l2=on,cluster_size=2M -b src.raw -F raw x &&"
	  "qemu-io -f qcow2 -c 'write -P 5 100k 64k' -c 'write -z 3M 64k' x" },
	{ "a chain of four", "qemu-img convert -c -O qcow2 -o cluster_size=4k src.raw a &&"
			     "qemu-img create -f qcow2 -o extended_l2=on -b a -F qcow2 b &&"
			     "qemu-io -f qcow2 -c 'write -P 1 1M 3k' -c 'write -z 2M 3k' b &&"
			     "qemu-img create -f qcow2 -o cluster_size=2M -b b -F qcow2 c 8M &&"
			     "qemu-io -f qcow2 -c 'write -P 2 7M 3k' c &&"
			     "qemu-img create -f qcow2 -o cluster_size=512 -b c -F qcow2 x &&"
			     "qemu-io -f qcow2 -c 'write -P 3 1M 512' -c 'write -z 7M 512' x" },
	{ "compressed over raw",
	  "qemu-img create -f qcow2 -b src.raw -F raw x &&"
	  "qemu-io -f qcow2 -c 'write -c -P 5 64k 64k' -c 'write -P 6 90k 1k' x" },
	{ "data in another file",
	  "qemu-img create -f qcow2 -o data_file=data x 8M &&"
	  "qemu-io -f qcow2 -c 'write -P 1 0 100k' -c 'write -P 2 5M 1M' -c 'write -z 5500k 64k' x" },
	{ "data in another file, as raw",
	  "qemu-img create -f qcow2 -o data_file=data,data_file_raw=on x 8M &&"
	  "qemu-io -f qcow2 -c 'write -P 1 0 100k' -c 'write -z 64k 64k' x" },
};

static bool run(const char *script)
{
	char *command;
	int rc = asprintf(&command, "{ %s; } >log 2>&1", script);

	rc = rc < 0 ? rc : system(command);
	free(command);
	return rc == 0;
}

/* Noise, zeros and text in turn, in stretches of many lengths; the same ones each time. */
static void make_source(void)
{
	FILE *out = fopen("src.raw", "w");
	unsigned int seed = 1, kind = 0, left = 0;

	for (size_t i = 0; out && i < SIZE; i++) {
		if (!left--) {
			kind = (kind + 1) % 3;
			left = (unsigned int)rand_r(&seed) % 300000;
		}
		putc(kind == 0	 ? 0
		     : kind == 1 ? rand_r(&seed) >> 3 & 255
				 : 'a' + (int)(i / 7 % 23),
		     out);
	}
	if (!out || fclose(out))
		ok(false, "a source is written");
}

static uint8_t *load(const char *name, size_t len)
{
	uint8_t *bytes = malloc(len);
	FILE *in = fopen(name, "r");

	if (!in || fread(bytes, 1, len, in) != len) {
		free(bytes);
		bytes = NULL;
	}
	if (in)
		fclose(in);
	return bytes;
}

/* In two pieces a request; -1: all is the same, else where it is not. */
static int64_t compare(struct disk *disk, const uint8_t *wanted, size_t step)
{
	uint64_t size = disk_size(disk);
	uint8_t *got = malloc(step);
	int64_t wrong = -1;

	for (uint64_t at = 0; at < size && wrong < 0; at += step) {
		size_t len = (size_t)MIN((uint64_t)step, size - at), cut = len / 3;
		struct iovec iov[2] = { { got, cut }, { got + cut, len - cut } };

		if (disk_read(disk, iov, 2, at) || memcmp(got, wanted + at, len))
			wrong = (int64_t)at;
	}
	free(got);
	return wrong;
}

static void check(const struct recipe *r, bool cow)
{
	static const size_t steps[] = { 512, 12288, 100000, 1 * MIB, 5 * MIB };
	struct disk_config config = {
		.path = "x", .format = "qcow2", .read_only = !cow, .cow = cow
	};
	struct err err = { "" };
	struct disk *disk;
	int64_t wrong = -1;
	uint8_t *wanted;

	if (disk_open(&config, &disk, &err)) {
		ok(false, "%s: %s", r->name, err.text);
		return;
	}
	wanted = load("wanted", (size_t)disk_size(disk));
	for (unsigned int i = 0; wanted && wrong < 0 && i < ARRAY_SIZE(steps); i++)
		wrong = compare(disk, wanted, steps[i]);
	ok(wanted && wrong < 0, "%s%s: %llu KiB (wrong at %lld)", r->name, cow ? ", under cow" : "",
	   (unsigned long long)(disk_size(disk) / KIB), (long long)wrong);
	free(wanted);
	disk_close(disk);
}

static void try(const struct recipe *r)
{
	if (!run("rm -f x a b c data wanted") || !run(r->script) ||
	    !run("qemu-img convert -f qcow2 -O raw x wanted")) {
		printf("# %s: qemu-img can't make it:\n", r->name);
		fflush(stdout);
		ok(true, "%s # SKIP %s", r->name, system("sed 's/^/# /' log") ? "" : "see above");
		return;
	}
	check(r, false);
	check(r, true);
}

static void refused(const char *script, const char *words)
{
	struct disk_config config = { .path = "x", .format = "qcow2", .read_only = true };
	struct err err = { "" };
	struct disk *disk;

	if (!run("rm -f x") || !run(script)) {
		ok(true, "refused: %s # SKIP qemu-img can't make it", words);
		return;
	}
	ok(disk_open(&config, &disk, &err) && strstr(err.text, words), "refused: %s", err.text);
}

int main(void)
{
	char folder[] = "/var/tmp/kindling-qemu-img-XXXXXX";

	if (system("qemu-img --version >/dev/null 2>&1 && qemu-io --version >/dev/null 2>&1")) {
		printf("1..0 # SKIP no qemu-img (Debian: qemu-utils)\n");
		return 0;
	}
	if (!mkdtemp(folder) || chdir(folder)) {
		printf("Bail out! no folder for files\n");
		return 1;
	}
	make_source();
	for (unsigned int i = 0; i < ARRAY_SIZE(recipes); i++)
		try(&recipes[i]);
	refused("qemu-img create -f qcow2 --object secret,id=s,data=x "
		"-o encrypt.format=luks,encrypt.key-secret=s x 1M",
		"encrypted");
	refused("qemu-img create -f vmdk a 1M && qemu-img create -f qcow2 -b a -F vmdk x", "vmdk");
	ok(run("rm -f x a b c data wanted src.raw") && !unlink("log") && !chdir("/") &&
		   !rmdir(folder),
	   "all is cleaned up");
	return done_testing();
}
