/* SPDX-License-Identifier: MIT */
/* A kernel's command line: words with spaces between. */
#ifndef UTIL_CMDLINE_H
#define UTIL_CMDLINE_H

/*
 * What follows `name`, which may end in '=', in the last word that begins so; NULL: none does. It ends at a
 * space, or with the words.
 */
const char *cmdline_last(const char *cmdline, const char *name);

#endif
