/* SPDX-License-Identifier: MIT */
/*
 * A guest's RAM for fuzzing: two small slots with a hole between, in a mapping where all else is no
 * memory, so that whoever leaves a slot faults. Made once and cleared for each input.
 *
 * A copy is kept of what the guest knows of. What differs from it was written by the VMM, and must
 * be marked dirty: ram_check_dirty().
 */
#ifndef TESTS_FUZZ_LIB_RAM_H
#define TESTS_FUZZ_LIB_RAM_H

#include "vm/mem.h"

#define LOW 0x40000000ull
#define HIGH 0x50000000ull
#define SLOT_SIZE 0x8000ull /* of each */

/* All zeros, all clean. */
struct mem *ram_fresh(void);

/* A driver's write: what is outside RAM is left out, as in a guest it would be. */
void ram_guest_write(uint64_t gpa, const void *data, size_t len);

/* Aborts if a byte was changed on a page that is not marked. */
void ram_check_dirty(void);

/* Does [p, p + len) lie inside one slot? */
bool ram_has(const void *p, uint64_t len);

#endif
