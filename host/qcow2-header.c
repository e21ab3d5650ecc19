/* SPDX-License-Identifier: MIT */
/*
 * The header, and the extensions behind it. All of it lies in the first cluster; of large clusters
 * the first HEAD_MAX bytes are looked at, which no image that was ever made goes beyond.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/qcow2.h"
#include "util/util.h"

#define HEAD_MAX (64 * KIB)
#define V2_LEN 72u
#define V3_LEN 104u
#define COMPRESSION_TYPE 104u
#define L1_MAX (4 * MIB) /* entries; QEMU's limit, too */

#define MAGIC 0x514649fbu
#define EXT_END 0u
#define EXT_BACKING_FORMAT 0xe2792acau
#define EXT_FEATURES 0x6803f857u
#define EXT_DATA_FILE 0x44415441u

/* Incompatible features. Dirty says that reference counts may be wrong: only a writer needs them. */
#define DIRTY (1ull << 0)
#define CORRUPT (1ull << 1)
#define EXTERNAL (1ull << 2)
#define COMPRESSION (1ull << 3)
#define EXTENDED (1ull << 4)
#define KNOWN (DIRTY | CORRUPT | EXTERNAL | COMPRESSION | EXTENDED)

#define FEATURE_LEN 48u /* of the table that names them: kind, bit, name */
#define FEATURE_NAME 46

struct head {
	const char *path;
	uint8_t *bytes;
	size_t len; /* what there is, at least V2_LEN */
	uint64_t file_size;
	uint32_t end;	   /* of the header itself, where extensions begin */
	size_t limit;	   /* where they end */
	uint64_t features; /* incompatible ones */
};

static int damaged(const struct head *head, struct err *err, const char *what)
{
	return err_set(err, EINVAL, "disk %s: a damaged qcow2 image: %s", head->path, what);
}

/* Of text without an end. What goes to a terminal has no control characters. */
static bool is_printable(const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] < ' ' || text[i] == 0x7f)
			return false;
	}
	return true;
}

static int get_name(const struct head *head, const uint8_t *text, size_t len, char *out, size_t max,
		    const char *what, struct err *err)
{
	if (len > max)
		return damaged(head, err, what);
	if (!is_printable(text, len))
		return damaged(head, err, "it names a file or a format by control characters");
	memcpy(out, text, len);
	out[len] = 0;
	return 0;
}

static int load(struct head *head, struct disk *file, struct err *err)
{
	struct iovec iov;
	int rc;

	head->file_size = file->size;
	head->len = (size_t)MIN(file->size, (uint64_t)HEAD_MAX);
	if (head->len >= V2_LEN)
		head->bytes = malloc(head->len);
	else
		return err_set(err, EINVAL, "disk %s: no qcow2 image: it is too short", head->path);
	if (!head->bytes)
		return err_set(err, ENOMEM, "disk %s: no memory", head->path);
	iov = (struct iovec){ head->bytes, head->len };
	rc = disk_read(file, &iov, 1, 0);
	if (rc)
		return err_set(err, -rc, "disk %s: %s", head->path, strerror(-rc));
	if (get_be32(head->bytes) != MAGIC)
		return err_set(err, EINVAL, "disk %s: no qcow2 image: it does not begin as one",
			       head->path);
	return 0;
}

static int get_version(struct head *head, struct qcow2_header *h, struct err *err)
{
	const uint8_t *p = head->bytes;

	h->version = get_be32(p + 4);
	h->cluster_bits = get_be32(p + 20);
	if (h->version != 2 && h->version != 3)
		return err_set(err, ENOTSUP, "disk %s: qcow2 version %u; 2 and 3 are known",
			       head->path, h->version);
	if (h->cluster_bits < 9 || h->cluster_bits > 21)
		return err_set(err, EINVAL,
			       "disk %s: clusters of 2^%u bytes; 512 bytes to 2 MiB can be",
			       head->path, h->cluster_bits);
	head->limit = MIN(head->len, (size_t)1 << h->cluster_bits);
	head->end = V2_LEN;
	if (h->version == 2)
		return 0;
	if (head->limit < V3_LEN)
		return damaged(head, err, "its header is cut off");
	head->end = get_be32(p + 100);
	if (head->end < V3_LEN || head->end % 8 || head->end > head->limit)
		return damaged(head, err, "its header has no length that can be");
	head->features = get_be64(p + 72);
	return 0;
}

/* The extension's data, and their length; NULL: not there. */
static const uint8_t *find_extension(const struct head *head, uint32_t type, size_t *len)
{
	size_t at = head->end;

	while (at + 8 <= head->limit) {
		uint32_t this = get_be32(head->bytes + at);
		uint32_t n = get_be32(head->bytes + at + 4);

		at += 8;
		if (this == EXT_END || n > head->limit - at)
			break;
		if (this == type) {
			*len = n;
			return head->bytes + at;
		}
		at += (size_t)align_up(n, 8);
	}
	return NULL;
}

/* What the image's own table calls an incompatible feature. */
static void feature_name(const struct head *head, unsigned int bit, char name[FEATURE_NAME + 1])
{
	size_t len = 0;
	const uint8_t *p = find_extension(head, EXT_FEATURES, &len);

	strcpy(name, "without a name");
	for (; p && len >= FEATURE_LEN; p += FEATURE_LEN, len -= FEATURE_LEN) {
		size_t n = strnlen((const char *)p + 2, FEATURE_NAME);

		if (p[0] == 0 && p[1] == bit && n && is_printable(p + 2, n)) {
			memcpy(name, p + 2, n);
			name[n] = 0;
			return;
		}
	}
}

static int judge_features(const struct head *head, struct qcow2_header *h, struct err *err)
{
	uint64_t unknown = head->features & ~KNOWN;
	char name[FEATURE_NAME + 1];

	if (head->features & CORRUPT)
		return err_set(err, EINVAL,
			       "disk %s: marked as corrupt; qemu-img check -r all mends it",
			       head->path);
	if (unknown) {
		unsigned int bit = (unsigned int)__builtin_ctzll(unknown);

		feature_name(head, bit, name);
		return err_set(err, ENOTSUP,
			       "disk %s: needs a feature of qcow2 that is not known here: %s (%u)",
			       head->path, name, bit);
	}
	if (get_be32(head->bytes + 32))
		return err_set(err, ENOTSUP,
			       "disk %s: encrypted, which can't be read here; qemu-img convert it",
			       head->path);
	h->external = head->features & EXTERNAL;
	h->extended = head->features & EXTENDED;
	if (h->extended && h->cluster_bits < 14)
		return damaged(head, err, "extended entries go with clusters of 16 KiB or more");
	if (head->end > COMPRESSION_TYPE)
		h->compression = head->bytes[COMPRESSION_TYPE];
	if (!(head->features & COMPRESSION) != !h->compression)
		return damaged(head, err,
			       "its compression is said in one place and not in another");
	return 0;
}

/* As many entries of the first table as the disk has use for: behind them may lie a VM's state. */
static int get_tables(const struct head *head, struct qcow2_header *h, struct err *err)
{
	unsigned int bits = 2 * h->cluster_bits - (h->extended ? 4 : 3); /* of a first entry */
	uint64_t entries;

	h->size = get_be64(head->bytes + 24);
	h->l1_offset = get_be64(head->bytes + 40);
	if (!h->size)
		return err_set(err, EINVAL, "disk %s: empty; qemu-img resize gives it a size",
			       head->path);
	if (h->size > INT64_MAX)
		return damaged(head, err, "its disk is larger than any can be");
	entries = ((h->size - 1) >> bits) + 1;
	if (entries > L1_MAX)
		return err_set(err, EFBIG,
			       "disk %s: %llu GiB is too much for clusters of %u bytes; qemu-img "
			       "convert it to larger ones",
			       head->path, (unsigned long long)(h->size / GIB),
			       1u << h->cluster_bits);
	if (entries > get_be32(head->bytes + 36))
		return damaged(head, err, "its first table is too short for its disk");
	h->l1_entries = (uint32_t)entries;
	if (!h->l1_offset || h->l1_offset & ((1ull << h->cluster_bits) - 1))
		return damaged(head, err, "its first table is not where a cluster begins");
	if (!range_in(h->l1_offset, entries * 8, head->file_size))
		return damaged(head, err, "its first table is beyond the file's end; is it whole?");
	return 0;
}

static int get_names(struct head *head, struct qcow2_header *h, struct err *err)
{
	uint64_t offset = get_be64(head->bytes + 8);
	uint32_t n = offset ? get_be32(head->bytes + 16) : 0;
	const uint8_t *p;
	size_t len = 0;
	int rc = 0;

	if (n && !range_in(offset, n, head->limit))
		return damaged(head, err, "its backing file's name lies outside its header");
	if (n)
		rc = get_name(head, head->bytes + offset, n, h->backing, QCOW2_NAME_MAX,
			      "its backing file's name is too long", err);
	/* Old images have the name where extensions would begin. */
	if (n)
		head->limit = (size_t)offset;
	p = find_extension(head, EXT_BACKING_FORMAT, &len);
	if (!rc && p)
		rc = get_name(head, p, len, h->backing_format, sizeof(h->backing_format) - 1,
			      "its backing file's format has no name that can be", err);
	p = find_extension(head, EXT_DATA_FILE, &len);
	if (!rc && p)
		rc = get_name(head, p, len, h->data_file, QCOW2_NAME_MAX,
			      "its data file's name is too long", err);
	return rc;
}

int qcow2_read_header(struct disk *file, const char *path, struct qcow2_header *h, struct err *err)
{
	struct head head = { .path = path };
	int rc = load(&head, file, err);

	memset(h, 0, sizeof(*h));
	if (!rc)
		rc = get_version(&head, h, err);
	if (!rc)
		rc = judge_features(&head, h, err);
	if (!rc)
		rc = get_tables(&head, h, err);
	if (!rc)
		rc = get_names(&head, h, err);
	free(head.bytes);
	return rc;
}
