/* SPDX-License-Identifier: MIT */
/* What a command in the guest is given: --root, --root-rw, --env, --user, --modules, --sandbox. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/options.h"

int option_set_root(struct run_options *o, const char *value, struct err *err)
{
	if (o->plan.root)
		return err_set(err, EINVAL, "two roots: %s and %s", o->plan.root, value);
	o->plan.root = value;
	return 0;
}

int option_set_root_rw(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->plan.root_rw = *value == '1';
	o->plan.root_rw_given = true;
	return 0;
}

int option_set_env(struct run_options *o, const char *value, struct err *err)
{
	const char **env;

	if (*value == '=')
		return err_set(err, EINVAL, "--env %s: it is NAME or NAME=VALUE", value);
	if (o->plan.n_env == EXEC_ENV_MAX)
		return err_set(err, E2BIG, "--env %s: more than %u of them", value, EXEC_ENV_MAX);
	env = realloc(o->plan.env, (o->plan.n_env + 1) * sizeof(*env));
	if (!env)
		return err_set(err, ENOMEM, "no memory for --env");
	o->plan.env = env;
	env[o->plan.n_env++] = value;
	return 0;
}

int option_set_user(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->plan.user = value;
	return 0;
}

int option_set_modules(struct run_options *o, const char *value, struct err *err)
{
	(void)err;
	o->plan.modules = value;
	return 0;
}

int option_set_sandbox(struct run_options *o, const char *value, struct err *err)
{
	if (o->plan.script)
		return err_set(err, EINVAL, "two scripts: %s and %s", o->plan.script, value);
	o->plan.script = value;
	return 0;
}

int option_check_exec(const struct run_options *o, struct err *err)
{
	const struct exec_plan *p = &o->plan;
	/* (those are for who mounts -d DIR, too) */
	const char *option = p->root		     ? "root"
			     : p->root_rw	     ? "root-rw"
			     : p->n_env		     ? "env"
			     : p->user		     ? "user"
			     : p->modules && !p->dir ? "modules"
						     : NULL;

	if (o->command || !option)
		return 0;
	return err_set(err, EINVAL,
		       "--%s is for a command: put one behind --, as in lkvm run -- id", option);
}
