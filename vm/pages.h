/* SPDX-License-Identifier: MIT */
/* Pages of RAM that have nothing in them: what is saved or sent of a guest is the others. */
#ifndef VM_PAGES_H
#define VM_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "vm/mem.h"

#define PAGES_MOST 4096u /* looked at in one go */

/* An fd for pages_absent(), to be closed; -1, where the host does not tell. */
int pages_open(void);

/*
 * Which of `n` host pages from RAM byte `from` on need not be looked at: those of anonymous or shared memory that never
 * were there, or of a snapshot's that nobody has written to, and that were zeros there. To read them would make them be
 * there. Where the host does not tell all are to be looked at.
 */
void pages_absent(const struct mem *mem, int fd, uint64_t from, unsigned int n,
		  bool absent[PAGES_MOST]);

/*
 * Which of them, of MEM_FILE, are not as its file has them: written to, or laid over. Where the host does not tell, all
 * are said to be.
 */
void pages_written(const struct mem *mem, int fd, uint64_t from, unsigned int n,
		   bool written[PAGES_MOST]);

/* They are about to be written to: in one go they come for less than by a fault each. */
void pages_bring(void *at, size_t len);

#endif
