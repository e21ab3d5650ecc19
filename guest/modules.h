/* SPDX-License-Identifier: MIT */
/*
 * A kernel's modules as depmod left them: a folder with modules.dep, which says what each file needs
 * before it, and modules.builtin, the ones that are part of the image. Or as the build left them, with
 * modules.order in place of modules.dep: then each file says what it needs. None of it is trusted:
 * what they say is bounded, and leads nowhere but into that folder.
 */
#ifndef GUEST_MODULES_H
#define GUEST_MODULES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "util/buf.h"
#include "util/file.h"
#include "util/log.h"

#define MODULES_MAX 128

struct module_tree {
	char dir[PATH_MAX];
	struct file_map dep, builtin; /* builtin may be missing: zeros */
	struct buf made;	      /* what `dep` is, where it was made of modules.order */
};

/* False: `dir` has neither modules.dep, nor modules.order and modules.builtin. */
bool modules_open(const char *dir, struct module_tree *t);
void modules_close(struct module_tree *t);

enum module_state { MODULE_NONE, MODULE_BUILTIN, MODULE_FILE };

/* By the name of a module, in which - and _ are one. */
enum module_state modules_state(const struct module_tree *t, const char *name);

/* A file, as modules.dep has it: below the tree's folder. Borrowed from the tree. */
struct module_path {
	const char *text;
	size_t len;
};

struct module_list {
	struct module_path files[MODULES_MAX]; /* each once, what it needs before it */
	unsigned int n;
};

/*
 * Adds the file of that name and all that it needs. One that is built in, or not there, adds
 * nothing. -E2BIG: more than MODULES_MAX; -EINVAL: a table or a file says something strange; -errno: a
 * file can't be read, of those that say what they need; a line each.
 */
int modules_add(const struct module_tree *t, const char *name, struct module_list *list,
		struct err *err);

/* Its name, without folder and endings: "9p". At most size - 1 characters. */
void modules_name(const struct module_path *path, char *name, size_t size);

/* The module itself, unpacked if need be, appended to `out`. -errno and a line. */
int modules_read(const struct module_tree *t, const struct module_path *path, struct buf *out,
		 struct err *err);

#endif
