/* SPDX-License-Identifier: MIT */
/*
 * Reports of a guest's kernel on its console: oopses, BUGs, warnings, what its sanitizers, lockdep
 * and watchdogs say. Which of them fail a run is the caller's affair (--fail-on); a panic is none
 * of these, term/scan finds it.
 *
 * A report begins with a line that the kernel printed: it has printk's time stamp, at its start or
 * wherever a program left the cursor. Lines without one count only until the first that has it
 * (printk.time=0, or a kernel made so), and not at all if the caller knows better. So what programs
 * print is theirs, even where they share the kernel's console; what root writes to /dev/kmsg is the
 * kernel's. The texts are those of Linux 5.4 to 6.19.
 */
#ifndef TERM_REPORTS_H
#define TERM_REPORTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "term/escape.h"
#include "util/log.h"

#define REPORTS_MAX 16	       /* with their text; later ones are counted only */
#define REPORT_TEXT (8 * 1024) /* bytes */
#define REPORT_LINES 64
#define REPORT_BEFORE 16 /* lines of those that may stand above its first */
#define REPORT_LINE 512	 /* what is longer is cut */

enum report_class {
	REPORT_OOPS,
	REPORT_BUG,
	REPORT_WARNING,
	REPORT_KASAN,
	REPORT_KFENCE,
	REPORT_KMSAN,
	REPORT_KCSAN,
	REPORT_UBSAN,
	REPORT_LOCKDEP, /* and suspicious RCU usage */
	REPORT_ATOMIC,	/* sleeping or scheduling where that must not be */
	REPORT_HUNG_TASK,
	REPORT_WORKQUEUE,
	REPORT_SOFT_LOCKUP,
	REPORT_HARD_LOCKUP,
	REPORT_RCU_STALL,
	REPORT_LIST, /* list corruption */
	REPORT_REFCOUNT,
	REPORT_BAD_PAGE,
	REPORT_SLAB,
	REPORT_KMEMLEAK,
	REPORT_CLASSES,
};

#define REPORT_ALL ((1u << REPORT_CLASSES) - 1)
/* Not kmemleak: it guesses. */
#define REPORT_DEFAULT (REPORT_ALL & ~(1u << REPORT_KMEMLEAK))

struct report {
	enum report_class class; /* of the line that it began with */
	uint32_t classes;	 /* bits: that one, and of what followed (a BUG ends in an oops) */
	const char *first;	 /* that line, without time stamp */
	char *text; /* whole lines as printed, ends in a NUL; NULL: no memory. Owned, with `first` */
	uint32_t len, lines;
};

/* One console's line in the making. All zero at first; reports_end() frees what it has. */
struct report_console {
	uint32_t len;
	enum escape escape;
	bool stamped;	     /* a line had a time stamp */
	struct report *open; /* what further lines belong to */
	uint32_t before_lines;
	uint32_t before_len; /* of what stands above a report, behind "cut here" */
	bool cut;
	struct report_text *text; /* made for the first byte: many a console stays silent */
};

struct reports {
	pthread_mutex_t lock; /* of what follows */
	struct report list[REPORTS_MAX];
	uint32_t n, total;
	char release[65]; /* of the kernel, when it was printed */
	/* Each line that is a report's, or part of one that means more; on the writer's thread. */
	void (*found)(void *opaque, enum report_class class);
	void *opaque;
};

void reports_init(struct reports *r, void (*found)(void *opaque, enum report_class class),
		  void *opaque);
void reports_destroy(struct reports *r);

/* Bytes of one console, by one thread at a time. */
void reports_feed(struct reports *r, struct report_console *c, const void *data, size_t len);

/* The console has ended: its last line may lack an end. */
void reports_end(struct reports *r, struct report_console *c);

/* The first that has a class in `mask`; NULL: none. Valid until reports_destroy(). */
const struct report *reports_first(struct reports *r, uint32_t mask);

/* "oops", as --fail-on has it; and for people: "an oops". */
const char *report_name(enum report_class class);
const char *report_words(enum report_class class);

/*
 * --fail-on: names with commas between; none, all, default; -NAME takes one away again. A list that
 * begins so takes it from the default.
 */
int reports_parse(const char *list, uint32_t *mask, struct err *err);

#endif
