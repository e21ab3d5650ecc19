/* SPDX-License-Identifier: MIT */
/* What a run came to, for programs: --result's JSON. */
#ifndef CMD_RESULT_H
#define CMD_RESULT_H

#include "machine.h"
#include "util/buf.h"

struct result {
	const char *verdict; /* a word: "panic", "timeout", "own"; verdict_word() */
	const char *reason;  /* a line for people */
	int status;	     /* lkvm's exit status */
	bool own_status;     /* it is the guest's own word, not lkvm's judgement */
	bool output_written; /* all that the guest has printed is with its reader, or nobody reads */
	char **argv;	     /* "run" and what follows; NULL ends */
	/* Of the machine; NULL: there was none. */
	const struct timeline *timeline;
	const struct reports *reports;
	uint32_t fail_on;
	const char *release; /* of the guest's kernel; "": not known */
};

void result_put(struct buf *out, const struct result *r);

/* The command line as a shell takes it, with the folder that it was given in. */
void result_put_replay(struct buf *out, char **argv);

struct result_file {
	const char *option, *path; /* path NULL: none is asked for */
	int fd;			   /* that it stands for; -1: it is opened by its path */
};

/* Is it put in place as a whole, and may be again? Else what was written once is out. */
bool result_replaces(const struct result_file *f);

/*
 * Puts a file in place as a whole: a reader has the old one or the new one. What is no regular file
 * (a pipe, a terminal) is written to, waiting so many ms for who reads it (-1: as long as it takes). 0, or
 * -errno and a line: nothing was left behind.
 */
int result_write(const struct result_file *f, const struct buf *text, int ms, struct err *err);

#endif
