/* SPDX-License-Identifier: MIT */
#include "util/hash.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 64u
#define LAST_BUCKETS (1u << 20)

static struct hash_link **bucket_of(const struct hash *h, uint64_t hash)
{
	return &h->buckets[hash & (h->n_buckets - 1)];
}

/* Without memory it stays as it is, and becomes slow. */
static int grow(struct hash *h)
{
	struct hash bigger = { .n_buckets = h->n_buckets ? h->n_buckets * 2 : FIRST_BUCKETS };

	bigger.buckets = calloc(bigger.n_buckets, sizeof(*bigger.buckets));
	if (!bigger.buckets)
		return h->buckets ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < h->n_buckets; i++) {
		struct hash_link *next;

		for (struct hash_link *l = h->buckets[i]; l; l = next) {
			struct hash_link **to = bucket_of(&bigger, l->hash);

			next = l->next;
			l->next = *to;
			*to = l;
		}
	}
	free(h->buckets);
	h->buckets = bigger.buckets;
	h->n_buckets = bigger.n_buckets;
	return 0;
}

int hash_add(struct hash *h, struct hash_link *link, uint64_t hash)
{
	struct hash_link **to;

	if (h->count >= h->n_buckets && h->n_buckets < LAST_BUCKETS && grow(h))
		return -ENOMEM;
	to = bucket_of(h, hash);
	link->hash = hash;
	link->next = *to;
	*to = link;
	h->count++;
	return 0;
}

void hash_remove(struct hash *h, struct hash_link *link)
{
	struct hash_link **at = bucket_of(h, link->hash);

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	h->count--;
}

static struct hash_link *from(struct hash_link *link, uint64_t hash)
{
	while (link && link->hash != hash)
		link = link->next;
	return link;
}

struct hash_link *hash_first(const struct hash *h, uint64_t hash)
{
	return h->count ? from(*bucket_of(h, hash), hash) : NULL;
}

struct hash_link *hash_next(const struct hash_link *link)
{
	return from(link->next, link->hash);
}

struct hash_link *hash_scan(const struct hash *h, uint32_t *bucket)
{
	for (; *bucket < h->n_buckets; ++*bucket) {
		if (h->buckets[*bucket])
			return h->buckets[*bucket];
	}
	return NULL;
}

void hash_free(struct hash *h)
{
	free(h->buckets);
	*h = (struct hash){ 0 };
}

uint64_t hash_mix(uint64_t v)
{
	v = (v ^ (v >> 32)) * 0x9e3779b97f4a7c15;
	return (v ^ (v >> 29)) * 0xd6e8feb86659fd93;
}

uint64_t hash_bytes(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		seed = (seed ^ p[i]) * 0x100000001b3;
	return hash_mix(seed);
}

#define LANES 4

/* What is invertible in each word loses none of them. */
static uint64_t add_word(uint64_t lane, uint64_t word)
{
	lane ^= word;
	return (lane << 29 | lane >> 35) * 0x9e3779b97f4a7c15;
}

/* (Compilers do not see that get_le64() is one load.) */
static uint64_t load(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

/*
 * Four sums side by side, for a processor that can multiply faster than wait for a product. (A loop over them would
 * have them in memory, and take twice as long.)
 */
uint64_t hash_block(uint64_t seed, const void *data, size_t len)
{
	uint64_t lanes[LANES] = { seed, ~seed, hash_mix(seed), len };
	const uint8_t *p = data;

	for (; len >= LANES * 8; p += LANES * 8, len -= LANES * 8) {
		lanes[0] = add_word(lanes[0], load(p));
		lanes[1] = add_word(lanes[1], load(p + 8));
		lanes[2] = add_word(lanes[2], load(p + 16));
		lanes[3] = add_word(lanes[3], load(p + 24));
	}
	seed = hash_bytes(0, p, len);
	for (unsigned int i = 0; i < LANES; i++)
		seed = hash_mix(add_word(seed, lanes[i]));
	return seed;
}
