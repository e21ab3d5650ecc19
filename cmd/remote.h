/* SPDX-License-Identifier: MIT */
/* Subcommands as clients of running guests: their options, whom they mean, and what they ask (control/control.h). */
#ifndef CMD_REMOTE_H
#define CMD_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "util/json-parse.h"
#include "util/json.h"
#include "util/log.h"

/* ---- Talking to one ---- */

struct remote {
	int fd;
	char *text;		 /* what has come, JSON_TEXT_MAX bytes at most */
	size_t used, size, line; /* `line`: bytes of the first, which the tree is of */
	struct json_tree tree;
	unsigned int ms; /* that an answer may take */
	/* Told of each event that comes before an answer; set after remote_open(), or NULL. */
	void (*event)(void *opaque, const struct json_tree *tree);
	void *opaque;
};

/* Connects, ready for commands. -errno and a line: there is nothing to close. */
int remote_open(struct remote *r, const char *name, unsigned int ms, struct err *err);
void remote_close(struct remote *r);

/*
 * `args` is a JSON object, or NULL. 0: `*out`, which may be NULL, is the answer, until the next call. -errno
 * and a line.
 */
int remote_call(struct remote *r, const char *command, const char *args,
		const struct json_value **out, struct err *err);

/* The same, of arguments that were written to j->out, but for the end of the object that they are. */
int remote_call_with(struct remote *r, const char *command, struct json *j, struct err *err);

/* The next event of that name that comes, each line within r->ms; its data as remote_call() has answers. */
int remote_wait_event(struct remote *r, const char *event, const struct json_value **data,
		      struct err *err);

/* It was told to end: waits until it has. False: not within so many ms. */
bool remote_wait_end(struct remote *r, unsigned int ms);

/* ---- Whom a command line means ---- */

struct guest {
	char *name;
	pid_t pid; /* 0: not known */
};

struct guests {
	struct guest *all; /* in order of their names, if they were looked for */
	size_t n;
	bool failed; /* no memory */
};

/* All that run. 0 or -errno and a line. */
int guests_find(struct guests *g, struct err *err);
void guests_free(struct guests *g);

typedef int (*remote_fn)(struct remote *r, const char *name, void *opaque, struct err *err);

struct remote_option {
	const char *name;   /* NULL ends a table */
	char letter;	    /* 0: none */
	const char **value; /* of the option; "1" where it takes none */
	bool takes;
};

/*
 * argv[1] on: -n NAME, --name NAME, NAME, -a, --all, and these options; `guests` are who is meant, of NULL none
 * may be. -errno and a line. In both cases guests_free() afterwards.
 */
int remote_parse(int argc, char **argv, const struct remote_option *options, struct guests *guests,
		 struct err *err);

/* These options, and other words, `most` of them, in order: -errno and a line. */
int remote_parse_words(int argc, char **argv, const struct remote_option *options,
		       const char **words, unsigned int most, unsigned int *n, struct err *err);

/*
 * `what` is done for each of them: an error of one is said, and the others have their turn. Then they are freed.
 * lkvm's exit status.
 */
int remote_each(struct guests *guests, remote_fn what, void *opaque);

#endif
