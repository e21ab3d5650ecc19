/* SPDX-License-Identifier: MIT */
/* -d DIR: a directory of the host's as the guest's root file system, over 9p as kvmtool has it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/exec.h"
#include "cmd/options.h"
#include "cmd/setup.h"
#include "guest/init/exec.h"
#include "util/util.h"

#define HOW "rootfstype=9p rootflags=trans=virtio,version=9p2000.L"

/* ---- Shares ---- */

int exec_share(struct run_options *o, const struct machine_share *share, struct err *err)
{
	struct machine_config *m = &o->machine;

	for (unsigned int i = 0; i < m->n_shares; i++) {
		if (!strcmp(m->shares[i].tag, share->tag))
			return err_set(err, EEXIST, "--share %s=...: that tag is for %s",
				       share->tag, share->dir);
	}
	if (m->n_shares == MACHINE_SHARES)
		return err_set(err, ENOSPC, "%u directories are the most, and %s is one",
			       MACHINE_SHARES, share->dir);
	m->shares[m->n_shares++] = *share;
	return 0;
}

int exec_share_host(struct run_options *o, const char *root, bool writable, struct err *err)
{
	static const struct machine_share host = { .tag = HOST_TAG, .dir = "/", .ro = true };
	char mount_point[PATH_MAX];
	struct stat st;

	if (!o->plan.sandbox && !(root && setup_is_made(root)))
		return 0;
	/* No folder is made in what is the host's. */
	if (writable && (snprintf(mount_point, sizeof(mount_point), "%s" EXEC_HOST, root) >=
				 (int)sizeof(mount_point) ||
			 stat(mount_point, &st) || !S_ISDIR(st.st_mode)))
		return err_set(
			err, ENOENT,
			"a sandbox in %s: it has no folder %s for the host's root; make one, or "
			"let lkvm setup make the whole",
			root, &EXEC_HOST[1]);
	o->plan.host = true;
	return exec_share(o, &host, err);
}

/* ---- The kernel's command line ---- */

/* Another root was asked for: then the directory is there to be mounted, no more. */
static bool has_other_root(const struct run_options *o)
{
	const char *root = options_param(o, "root=");
	size_t len = strlen(ROOT_TAG);

	return root && (strcspn(root, " ") != len || strncmp(root, ROOT_TAG, len) != 0);
}

/* Before the user's own words, of which the kernel takes the last. */
static int add_root_params(struct run_options *o, struct err *err)
{
	char words[128];

	if (o->nodefaults)
		return 0;
	snprintf(words, sizeof(words), "root=%s %s %s", ROOT_TAG, o->plan.dir_ro ? "ro" : "rw",
		 HOW);
	return options_add_params(o, words, true, err);
}

/* ---- Who mounts it ---- */

static int boot(struct run_options *o, struct err *err)
{
	struct exec_plan *e = &o->plan;
	/* Those that the kernel tries. */
	const char *inits[] = { "/sbin/init", "/etc/init", "/bin/init", "/bin/sh", NULL };
	const char *given = options_param(o, "init=");
	char *own = given && *given == '/' ? strndup(given, strcspn(given, " ")) : NULL;
	int rc;

	if (own || e->host) {
		inits[0] = own ? own : SETUP_INIT;
		inits[1] = NULL;
	}
	rc = exec_boot(o, e->host || e->dir_cow, inits, err);
	free(own);
	return rc;
}

int root_prepare(struct run_options *o, struct err *err)
{
	struct exec_plan *e = &o->plan;
	struct machine_share root = {
		.tag = ROOT_TAG, .dir = e->dir, .ro = e->dir_ro || e->dir_cow, .cow = e->dir_cow
	};
	int rc;

	if (!e->dir)
		return 0;
	rc = exec_share(o, &root, err);
	if (rc || o->machine.payload || o->machine.vm.not_linux || has_other_root(o))
		return rc;
	rc = exec_share_host(o, e->dir, true, err);
	if (!rc)
		rc = add_root_params(o, err);
	if (rc || !o->n_initrds)
		return rc ? rc : boot(o, err);
	return e->dir_cow
		       ? err_set(err, EINVAL,
				 "--disk %s,cow: with --initrd it is that one who mounts it; say ro, or "
				 "leave one of them out",
				 e->dir)
		       : 0;
}
