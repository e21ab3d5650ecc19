/* SPDX-License-Identifier: MIT */
/* What init has been told to do: EXEC_ORDER, taken apart (exec.h has the words). */
#ifndef GUEST_INIT_ORDER_H
#define GUEST_INIT_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum root_kind { ROOT_NONE, ROOT_9P, ROOT_DISK };

/* RO and RW as they say; OVERLAY: read-only below a tmpfs, which takes what is written. */
enum tree_mode { MODE_RO, MODE_RW, MODE_OVERLAY };

struct order_share {
	const char *tag;
	enum tree_mode mode;
};

#define ORDER_GROUPS 64

/* Strings lie in the text that was parsed. Lists of strings end with NULL. */
struct order {
	const char **modules;
	struct order_share *shares;
	size_t n_shares;
	enum root_kind root;
	const char *root_source; /* the tag, or the device */
	enum tree_mode root_mode;
	const char *host;     /* a tag, or NULL */
	const char *hostname; /* NULL: as the kernel has it */
	const char *cwd;      /* "/" unless told */
	uid_t uid;
	gid_t gid;
	gid_t groups[ORDER_GROUPS];
	size_t n_groups;
	char **env;
	bool tty;
	unsigned short rows, columns;
	char **args;	   /* the command, or none ... */
	const char **boot; /* ... and then at least one of these */
	void *memory;
};

/*
 * Takes apart `text`, which is changed. 0; or -EINVAL, with the record that is wrong in *bad, or ""
 * where something is missing; or -ENOMEM. order_free() in any case.
 */
int order_parse(char *text, size_t len, struct order *o, const char **bad);
void order_free(struct order *o);

#endif
