/* SPDX-License-Identifier: MIT */
/* lkvm restore: a guest goes on where lkvm snapshot wrote it down, any number of times. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/restore.h"
#include "cmd/run.h"
#include "cmd/saved-options.h"
#include "cmd/signals.h"
#include "control/control.h"
#include "host/channel.h"
#include "state/receive.h"
#include "state/snapshot.h"

/* Options in it open files with this user's rights. */
static int check_trust(const struct snapshot *s, const char *dir, bool trust, struct err *err)
{
	if (s->own || trust)
		return 0;
	return err_set(err, EPERM,
		       "snapshot %s: another user could have written it, and it names files to be "
		       "opened; --trust, if that is well",
		       dir);
}

static int take_options(struct run_options *o, const struct snapshot *s, struct err *err)
{
	const struct saved_section *section = saved_find(&s->state, STATE_OPTIONS, 0);
	struct err why = { "" };
	int rc;

	if (!section)
		return err_set(err, EINVAL, "snapshot %s: it has no options to be restored by",
			       o->from);
	rc = saved_options_take(o, &section->body, SAVED_BELIEVED, &why);
	return rc ? err_set(err, -rc, "snapshot %s: %.480s", o->from, why.text) : 0;
}

static int prepare(struct run_options *o, struct snapshot *s, bool trust, struct results *results,
		   struct err *err)
{
	int rc = o->from ? snapshot_open(s, o->from, err)
			 : err_set(err, EINVAL, "restore what? lkvm restore DIR");

	if (!rc)
		rc = check_trust(s, o->from, trust, err);
	if (!rc)
		rc = take_options(o, s, err);
	o->machine.snapshot = s;
	return rc ? rc : run_open_outputs(o, results, err);
}

/* ---- A guest that comes ---- */

/* Who has not got in by this user's own doing is somebody else, whom nobody has asked who he is. */
static enum saved_trust trust_in(const struct run_options *o, bool trust)
{
	bool own = o->heir || !strncmp(o->from, "unix:", 5) || !strncmp(o->from, "exec:", 5);

	return own || trust ? SAVED_BELIEVED : SAVED_DOUBTED;
}

static int take_hello(struct run_options *o, const struct receive *r, bool trust, struct err *err)
{
	const struct saved_section *section = saved_find(&r->said, STATE_OPTIONS, 0);
	enum saved_trust in = trust_in(o, trust);

	if (!section)
		return err_set(err, EINVAL, "the guest comes without options to be restored by");
	if (in == SAVED_DOUBTED && !saved_options_given(o))
		return err_set(
			err, EPERM,
			"%.64s: anybody may come there, and names files to be opened: say what "
			"machine it is (-m, -c, -d ...), or --trust",
			o->from);
	return saved_options_take(o, &section->body, in, err);
}

static int take_link(struct channel *channel, struct err *err)
{
	/* Nothing that is started from here on shall have them. (The last may not be there.) */
	for (int fd = CONTROL_FD_LINK; fd <= CONTROL_FD_MEMORY; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	channel_of(channel, CONTROL_FD_LINK, CONTROL_FD_LINK);
	return channel->is_socket
		       ? 0
		       : err_set(err, EINVAL,
				 CONTROL_HEIR " is what lkvm migrate --local starts, and no place");
}

/* As machine_net_fds() has them. Nothing that is started from here on shall have them. */
static void take_nets(struct machine_config *c)
{
	int fd = CONTROL_FD_NETS;

	for (unsigned int i = 0; i < c->n_nets; i++) {
		struct net_config *n = &c->nets[i].net;
		int end = fd + (int)net_handed(n);

		n->handed = fd;
		for (; fd < end; fd++)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
}

static int accept_guest(struct run_options *o, struct receive *r, struct channel *channel,
			bool trust, struct made_disks *made, struct results *results,
			struct err *err)
{
	int rc = o->heir ? take_link(channel, err) : channel_accept(channel, o->from, err);

	if (rc)
		return rc;
	rc = receive_begin(r, channel, err);
	if (o->heir && r->shared)
		r->memory = CONTROL_FD_MEMORY;
	if (!rc)
		rc = take_hello(o, r, trust, err);
	if (!rc && !strcmp(o->from, CONTROL_HEIR_NETS))
		take_nets(&o->machine);
	o->machine.incoming = r;
	if (!rc)
		rc = restore_make_disks(&o->machine, made, err);
	/* What is not the guest's goes nowhere. */
	if (!strcmp(o->from, "-"))
		o->machine.in = o->machine.out = -1;
	return rc ? rc : run_open_outputs(o, results, err);
}

static void has_come(void *opaque)
{
	const int *ssh = opaque;

	restore_let_ssh_go(*ssh);
}

struct coming {
	const struct receive *r;
	struct made_disks made;
};

/* In a signal's handler, too. */
static void unmake(void *opaque)
{
	const struct coming *c = opaque;

	if (!c->r->runs)
		restore_unmake_disks(&c->made);
}

static int run_incoming(struct run_options *o, bool trust, struct results *results)
{
	struct receive *r = calloc(1, sizeof(*r));
	struct channel channel = { 0 };
	struct coming coming = { .r = r };
	struct err err;
	int status, rc, ssh;

	if (!r)
		return cmd_fail("no memory");
	ssh = restore_part_from_ssh(o->from);
	/* Neither a source that goes nor a limit of files ends a process that has yet to say why it fails. */
	signals_set();
	signals_clean(unmake, &coming);
	if (ssh >= 0) {
		o->machine.come = has_come;
		o->machine.come_opaque = &ssh;
	}
	rc = accept_guest(o, r, &channel, trust, &coming.made, results, &err);
	status = rc ? results_fail(results, err.text) : run_machine(o, results);
	if (rc)
		machine_refuse(&o->machine, err.text);
	unmake(&coming);
	signals_clean(NULL, NULL);
	channel_close(&channel);
	receive_end(r);
	free(r);
	return status;
}

static bool is_heir(const char *place)
{
	return place && (!strcmp(place, CONTROL_HEIR) || !strcmp(place, CONTROL_HEIR_NETS));
}

/* It is no option of run's. */
static bool take_trust(int *argc, char **argv)
{
	int n = 0, all = *argc;

	for (int i = 0; i < all; i++) {
		if (strcmp(argv[i], "--trust"))
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	*argc = n;
	return n < all;
}

int cmd_restore(int argc, char **argv, const struct command *table)
{
	struct run_options o;
	struct results results = { .o = &o, .what.argv = argv };
	struct snapshot *s = calloc(1, sizeof(*s));
	struct err err;
	bool trust = take_trust(&argc, argv);
	int rc, status;

	(void)table;
	if (!s)
		return cmd_fail("no memory");
	s->memory = s->over = -1;
	run_init(&o);
	o.source = OPTIONS_RESTORE;
	rc = options_parse(argc, argv, &o, &err);
	o.heir = !rc && is_heir(o.from);
	if (o.heir || (!rc && o.from && channel_is_place(o.from))) {
		status = run_incoming(&o, trust, &results);
	} else {
		if (!rc)
			rc = prepare(&o, s, trust, &results, &err);
		status = rc ? results_fail(&results, err.text) : run_machine(&o, &results);
	}
	results_close(&results);
	options_free(&o);
	snapshot_close(s);
	free(s);
	return status;
}
