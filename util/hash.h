/* SPDX-License-Identifier: MIT */
/*
 * A hash table whose links lie in what it holds, which stays its owner's. It grows; what it holds is
 * found by a 64-bit hash of the owner's making, and by the owner's own comparison among those that
 * have the same. For one thread at a time.
 */
#ifndef UTIL_HASH_H
#define UTIL_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_link {
	struct hash_link *next;
	uint64_t hash;
};

struct hash {
	struct hash_link **buckets; /* NULL: nothing was ever added */
	uint32_t n_buckets, count;
};

/* A zeroed struct hash is an empty one. -ENOMEM: it was not added. */
int hash_add(struct hash *h, struct hash_link *link, uint64_t hash);
void hash_remove(struct hash *h, struct hash_link *link); /* it is in there */

/* Those of one hash, one after the other; NULL: no more. */
struct hash_link *hash_first(const struct hash *h, uint64_t hash);
struct hash_link *hash_next(const struct hash_link *link);

/*
 * The first of the next bucket from `*bucket` on that has any, which `*bucket` then is; NULL: no more.
 * What is behind it in its bucket hangs at `next`. Removing is fine meanwhile, adding is not.
 */
struct hash_link *hash_scan(const struct hash *h, uint32_t *bucket);

/* What is still there is forgotten. */
void hash_free(struct hash *h);

/* For keys: bits that are as good in one place as in another. */
uint64_t hash_mix(uint64_t v);
uint64_t hash_bytes(uint64_t seed, const void *data, size_t len);

/* A checksum of long blocks, some ten times as fast: any change within eight bytes changes it. */
uint64_t hash_block(uint64_t seed, const void *data, size_t len);

#endif
