/* SPDX-License-Identifier: MIT */
/*
 * Two levels of tables: the first is read when the image is opened, of the second ones slices of up
 * to 4 KiB when they are asked for. An image is never written, so a slice stays true, and the lock
 * is held for looking only, not while the file is read: two threads may read the same one.
 *
 * There are no more than two levels whatever the entries say, so a look-up always ends. Two entries
 * may speak of the same place: it is read twice, that is all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/qcow2.h"
#include "util/util.h"

#define SLICE_MAX (4 * KIB)
#define LOOK_AHEAD 32u /* entries that are looked at for one run */
#define SUBCLUSTERS 32u
#define SUBCLUSTER_BITS 5u

/* Of an entry of either level. */
#define OFFSET_MASK 0x00fffffffffffe00ull
#define COPIED (1ull << 63) /* its reference count is 1 */
/* The first level. */
#define L1_RESERVED (~(OFFSET_MASK | COPIED))
/* The second. */
#define PACKED (1ull << 62)
#define ZERO 1ull
#define L2_RESERVED (~(OFFSET_MASK | COPIED | PACKED | ZERO))

static uint64_t cluster_size(const struct qcow2_map *map)
{
	return 1ull << map->h.cluster_bits;
}

/* An entry has 1 << this bytes, a table is a cluster of them. */
static unsigned int entry_bits(const struct qcow2_map *map)
{
	return map->h.extended ? 4 : 3;
}

/* ---- The first table ---- */

static bool overlaps_l1(const struct qcow2_map *map, uint64_t offset)
{
	return range_overlap(offset, cluster_size(map), map->h.l1_offset, map->h.l1_entries * 8ull);
}

/* Nothing that an entry speaks of lies in the header's cluster, or in the first table. */
static bool l1_entry_possible(const struct qcow2_map *map, uint64_t entry)
{
	uint64_t offset = entry & OFFSET_MASK;

	if (entry & L1_RESERVED || offset & (cluster_size(map) - 1))
		return false;
	return !offset ||
	       (range_in(offset, cluster_size(map), map->file->size) && !overlaps_l1(map, offset));
}

static int load_l1(struct qcow2_map *map, const char *path, struct err *err)
{
	struct iovec iov = { map->l1, map->h.l1_entries * sizeof(map->l1[0]) };
	int rc = disk_read(map->file, &iov, 1, map->h.l1_offset);

	if (rc)
		return err_set(err, -rc, "disk %s: its first table: %s", path, strerror(-rc));
	for (uint32_t i = 0; i < map->h.l1_entries; i++) {
		uint64_t entry = get_be64(&map->l1[i]);

		if (!l1_entry_possible(map, entry))
			return err_set(err, EINVAL,
				       "disk %s: a damaged qcow2 image: entry %u of its first "
				       "table points where no table can be; is it whole?",
				       path, i);
		map->l1[i] = entry & OFFSET_MASK;
	}
	return 0;
}

int qcow2_map_init(struct qcow2_map *map, struct disk *file, const struct qcow2_header *h,
		   const char *path, struct err *err)
{
	map->file = file;
	map->h = *h;
	pthread_mutex_init(&map->lock, NULL);
	map->l1 = malloc(h->l1_entries * sizeof(map->l1[0]));
	if (!map->l1)
		return err_set(err, ENOMEM, "disk %s: no memory for its first table", path);
	return load_l1(map, path, err);
}

void qcow2_map_fini(struct qcow2_map *map)
{
	for (unsigned int i = 0; i < QCOW2_SLICES; i++)
		free(map->slices[i].bytes);
	free(map->l1);
	pthread_mutex_destroy(&map->lock);
}

/* ---- The second tables ---- */

static void get_words(const uint8_t *bytes, uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		words[i] = get_be64(bytes + 8 * i);
}

static size_t slice_size(const struct qcow2_map *map)
{
	return (size_t)MIN(cluster_size(map), (uint64_t)SLICE_MAX);
}

static struct qcow2_slice *slice_of(struct qcow2_map *map, uint64_t offset)
{
	return &map->slices[offset / slice_size(map) % QCOW2_SLICES];
}

/* `n` words that lie `skip` bytes into a slice; false: it is not there. */
static bool look_up(struct qcow2_map *map, uint64_t offset, size_t skip, uint64_t *words, size_t n)
{
	struct qcow2_slice *s = slice_of(map, offset);
	bool there;

	pthread_mutex_lock(&map->lock);
	there = s->bytes && s->offset == offset;
	if (there)
		get_words(s->bytes + skip, words, n);
	pthread_mutex_unlock(&map->lock);
	return there;
}

/* In the place of what was there. `bytes` belongs to the map from now on. */
static void keep(struct qcow2_map *map, uint64_t offset, uint8_t *bytes)
{
	struct qcow2_slice *s = slice_of(map, offset);
	uint8_t *old;

	pthread_mutex_lock(&map->lock);
	old = s->bytes;
	*s = (struct qcow2_slice){ offset, bytes };
	pthread_mutex_unlock(&map->lock);
	free(old);
}

/*
 * Reads up to `*n` entries from cluster number `cluster` on, which has a second table, and says how
 * many: those that lie in one slice.
 */
static int get_entries(struct qcow2_map *map, uint64_t cluster, uint64_t *words, unsigned int *n)
{
	unsigned int table_bits = map->h.cluster_bits - entry_bits(map);
	uint64_t at = (cluster & ((1ull << table_bits) - 1)) << entry_bits(map);
	size_t size = slice_size(map);
	uint64_t offset = map->l1[cluster >> table_bits] + align_down(at, size);
	size_t skip = at % size, n_words;
	struct iovec iov;
	uint8_t *bytes;
	int rc;

	*n = (unsigned int)MIN((uint64_t)*n, (size - skip) >> entry_bits(map));
	n_words = ((size_t)*n << entry_bits(map)) / 8;
	if (look_up(map, offset, skip, words, n_words))
		return 0;
	bytes = malloc(size);
	if (!bytes)
		return -ENOMEM;
	iov = (struct iovec){ bytes, size };
	rc = disk_read(map->file, &iov, 1, offset);
	if (rc) {
		free(bytes);
		return rc;
	}
	get_words(bytes + skip, words, n_words);
	keep(map, offset, bytes);
	return 0;
}

/* ---- What an entry says ---- */

/*
 * The text's "Compressed Clusters Descriptor": the offset's width depends on the clusters' size,
 * and what is left of 62 bits counts sectors behind the first.
 */
static int read_packed(const struct qcow2_map *map, uint64_t entry, uint64_t offset,
		       struct qcow2_run *run)
{
	unsigned int x = 62 - (map->h.cluster_bits - 8);
	uint64_t sectors = (entry & (PACKED - 1)) >> x;

	run->kind = QCOW2_PACKED;
	run->offset = entry & ((1ull << x) - 1);
	run->file_len = (uint32_t)((sectors + 1) * DISK_SECTOR - run->offset % DISK_SECTOR);
	run->len = cluster_size(map) - offset % cluster_size(map);
	if (map->h.external || run->offset & ~(OFFSET_MASK | (DISK_SECTOR - 1)))
		return -EIO;
	return 0;
}

/* From subcluster `i` on as far as the bitmap says the same. */
static int read_bitmap(const struct qcow2_map *map, uint64_t bitmap, uint64_t offset,
		       struct qcow2_run *run)
{
	unsigned int bits = map->h.cluster_bits - SUBCLUSTER_BITS;
	uint64_t in = offset % cluster_size(map);
	unsigned int first = (unsigned int)(in >> bits), end = first + 1;
	uint32_t there = (uint32_t)bitmap, zero = (uint32_t)(bitmap >> 32);

	if (there & zero)
		return -EIO;
	while (end < SUBCLUSTERS && (there >> end & 1) == (there >> first & 1) &&
	       (zero >> end & 1) == (zero >> first & 1))
		end++;
	run->kind = there >> first & 1 ? QCOW2_DATA : zero >> first & 1 ? QCOW2_ZERO : QCOW2_HOLE;
	run->len = ((uint64_t)end << bits) - in;
	return 0;
}

/* Can a cluster of the guest's data lie there? */
static bool data_possible(const struct qcow2_map *map, uint64_t host, uint64_t offset)
{
	if (map->h.external) /* there each has its own place, the first one included */
		return host == align_down(offset, cluster_size(map));
	return host && !(host & (cluster_size(map) - 1)) && !overlaps_l1(map, host);
}

static int read_standard(const struct qcow2_map *map, const uint64_t *words, uint64_t offset,
			 struct qcow2_run *run)
{
	uint64_t in = offset % cluster_size(map);
	uint64_t host = words[0] & OFFSET_MASK;
	bool there = host || words[0] & COPIED;
	int rc = 0;

	if (words[0] & L2_RESERVED || (there && !data_possible(map, host, offset)))
		return -EIO;
	if (words[0] & ZERO && (map->h.version < 3 || map->h.extended))
		return -EIO;
	run->kind = words[0] & ZERO ? QCOW2_ZERO : there ? QCOW2_DATA : QCOW2_HOLE;
	run->len = cluster_size(map) - in;
	run->offset = host + in;
	if (map->h.extended)
		rc = read_bitmap(map, words[1], offset, run);
	return !rc && run->kind == QCOW2_DATA && !there ? -EIO : rc;
}

static int read_entry(const struct qcow2_map *map, const uint64_t *words, uint64_t offset,
		      struct qcow2_run *run)
{
	return words[0] & PACKED ? read_packed(map, words[0], offset, run)
				 : read_standard(map, words, offset, run);
}

static bool follows(const struct qcow2_run *run, const struct qcow2_run *next)
{
	if (next->kind != run->kind || next->kind == QCOW2_PACKED)
		return false;
	return next->kind != QCOW2_DATA || next->offset == run->offset + run->len;
}

/* What is wrong with an entry behind the first is said when it is its turn. */
static int find_in_table(struct qcow2_map *map, uint64_t offset, uint64_t len,
			 struct qcow2_run *run)
{
	uint64_t words[2 * LOOK_AHEAD];
	uint64_t first = offset / cluster_size(map), last = (offset + len - 1) / cluster_size(map);
	unsigned int n = (unsigned int)MIN(last - first + 1, (uint64_t)LOOK_AHEAD);
	unsigned int width = map->h.extended ? 2 : 1;
	int rc = get_entries(map, first, words, &n);

	if (!rc)
		rc = read_entry(map, words, offset, run);
	for (unsigned int i = 1; !rc && i < n; i++) {
		struct qcow2_run next;
		uint64_t at = offset + run->len;

		/* Unless the run has ended within a cluster. */
		if (at != (first + i) * cluster_size(map) ||
		    read_entry(map, words + i * width, at, &next) || !follows(run, &next))
			break;
		run->len += next.len;
	}
	return rc;
}

int qcow2_map_find(struct qcow2_map *map, uint64_t offset, uint64_t len, struct qcow2_run *run)
{
	unsigned int bits = 2 * map->h.cluster_bits - entry_bits(map);
	uint64_t i = offset >> bits;
	int rc = 0;

	if (map->l1[i]) {
		rc = find_in_table(map, offset, len, run);
	} else {
		run->kind = QCOW2_HOLE;
		run->len = ((i + 1) << bits) - offset;
	}
	run->len = MIN(run->len, len);
	return rc;
}
