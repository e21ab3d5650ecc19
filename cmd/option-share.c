/* SPDX-License-Identifier: MIT */
/* --share TAG=DIR[:ro|rw|cow], and --9p DIR[,TAG] as kvmtool has it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/options.h"
#include "guest/init/exec.h"
#include "virtio/9p.h"

#define KVMTOOL_TAG "kvm_9p"

/* A copy of `value` for the next share to point into; NULL and `*rc`. */
static char *next_share(struct run_options *o, const char *option, const char *value, int *rc,
			struct err *err)
{
	struct machine_config *m = &o->machine;
	char *text;

	if (m->n_shares == MACHINE_SHARES) {
		*rc = err_set(err, ENOSPC, "%s %s: %u directories are the most", option, value,
			      MACHINE_SHARES);
		return NULL;
	}
	text = strdup(value);
	if (!text)
		*rc = err_set(err, ENOMEM, "no memory");
	o->share_text[m->n_shares] = text;
	return text;
}

static int add_share(struct run_options *o, const char *option, const char *value,
		     const struct machine_share *share, struct err *err)
{
	struct machine_config *m = &o->machine;
	size_t len = strlen(share->tag);

	m->shares[m->n_shares++] = *share;
	if (!len || len > P9_TAG_MAX)
		return err_set(err, EINVAL, "%s %s: a tag has 1 to %d characters", option, value,
			       P9_TAG_MAX);
	if (!*share->dir)
		return err_set(err, EINVAL, "%s %s: which directory?", option, value);
	for (unsigned int i = 0; i + 1 < m->n_shares; i++) {
		if (!strcmp(m->shares[i].tag, share->tag))
			return err_set(err, EEXIST, "%s %s: %s has the tag %s already", option,
				       value, m->shares[i].dir, share->tag);
	}
	return 0;
}

/* What stands behind the last colon, if it is a word for this; it is cut off. */
static bool cut_word(char *dir, const char *word)
{
	char *colon = strrchr(dir, ':');

	if (!colon || strcmp(colon + 1, word))
		return false;
	*colon = 0;
	return true;
}

int option_set_share(struct run_options *o, const char *value, struct err *err)
{
	struct machine_share share = { .ro = true };
	int rc = 0;
	char *text = next_share(o, "--share", value, &rc, err);
	char *dir;

	if (!text)
		return rc;
	share.tag = text;
	dir = strchr(text, '=');
	if (!dir)
		return err_set(err, EINVAL,
			       "--share %s: it is TAG=DIR, with :ro, :rw or :cow behind", value);
	*dir++ = 0;
	share.dir = dir;
	if (cut_word(dir, "rw"))
		share.ro = false;
	else if (cut_word(dir, "cow"))
		share.cow = true;
	else
		cut_word(dir, "ro");
	return add_share(o, "--share", value, &share, err);
}

int option_set_9p(struct run_options *o, const char *value, struct err *err)
{
	struct machine_share share = { .tag = KVMTOOL_TAG };
	int rc = 0;
	char *text = next_share(o, "--9p", value, &rc, err);
	char *comma;

	if (!text)
		return rc;
	share.dir = text;
	comma = strrchr(text, ',');
	if (comma) {
		*comma = 0;
		share.tag = comma + 1;
	}
	return add_share(o, "--9p", value, &share, err);
}

int option_check_shares(const struct run_options *o, struct err *err)
{
	const struct machine_config *m = &o->machine;

	for (unsigned int i = 0; i < m->n_shares; i++) {
		const char *tag = m->shares[i].tag;

		if (o->command && (*tag == '.' || strchr(tag, '/')))
			return err_set(
				err, EINVAL,
				"the tag %s of %s: with a command it is a folder of " EXEC_SHARES
				", and may have no / and no dot in front",
				tag, m->shares[i].dir);
		/* It is part of the options of a mount, where these mean something. */
		if (m->shares[i].cow && strpbrk(tag, ",:\\"))
			return err_set(
				err, EINVAL,
				"the tag %s of %s: with :cow it may have no comma, no colon and no "
				"backslash",
				tag, m->shares[i].dir);
		if (!o->command && m->shares[i].cow)
			return err_set(
				err, EINVAL,
				"--share %s=%s:cow: it needs a command (-- COMMAND), whose init "
				"keeps what is written; or share it :ro",
				m->shares[i].tag, m->shares[i].dir);
	}
	return 0;
}
