/* SPDX-License-Identifier: MIT */
/*
 * memory MIB: in a guest that is moved, writes to so much memory over and over, some of it at a time. Before a page
 * is written it is looked at, each word of it: it must hold what the round before left there. Says so when it does
 * not, and ends.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define WORDS (PAGE / sizeof(uint64_t))
#define AT_ONCE 32 /* pages */
#define REST 10000 /* us, after those */

static uint64_t pattern(uint64_t page, uint64_t round, uint64_t word)
{
	return (page << 32 | word) * 0x9e3779b97f4a7c15 ^ round;
}

static int look(const uint64_t *at, uint64_t page, uint64_t round)
{
	for (uint64_t i = 0; i < WORDS; i++) {
		uint64_t wanted = round ? pattern(page, round, i) : 0;

		if (at[i] == wanted)
			continue;
		printf("guest: memory holds something else: page %llu word %llu round %llu: %llx, not %llx\n",
		       (unsigned long long)page, (unsigned long long)i, (unsigned long long)round,
		       (unsigned long long)at[i], (unsigned long long)wanted);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t pages = argc > 1 ? strtoull(argv[1], NULL, 10) * 256 : 0;
	uint64_t *all = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (all == MAP_FAILED) {
		puts("guest: no memory to write to");
		return 1;
	}
	for (uint64_t round = 0;; round++) {
		for (uint64_t page = 0; page < pages; page++) {
			uint64_t *at = all + page * WORDS;

			if (look(at, page, round))
				return 1;
			for (uint64_t i = 0; i < WORDS; i++)
				at[i] = pattern(page, round + 1, i);
			if (page % AT_ONCE == 0)
				usleep(REST);
		}
	}
}
