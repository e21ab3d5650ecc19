/* SPDX-License-Identifier: MIT */
#include "cmd/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "util/cmdline.h"
#include "util/util.h"
#include "vm/arch.h"

bool option_is_ours(const struct option *p)
{
	return !p->port || !strcmp(p->port, arch_name);
}

static const struct option *by_letter(char letter)
{
	for (const struct option *p = run_option_table; p->name; p++) {
		if (letter && p->letter == letter)
			return p;
	}
	return NULL;
}

static bool extends(const struct option *p, const struct option *q)
{
	return !strncmp(p->name, q->name, strlen(q->name));
}

static bool ends_in_colon(const struct option *p)
{
	return p->name[strlen(p->name) - 1] == ':';
}

/* --block:NAME=PATH: the name with its colon, whole. */
static const struct option *by_colon(const char *text)
{
	const char *colon = strpbrk(text, ":=");
	size_t len = colon && *colon == ':' ? (size_t)(colon - text) + 1 : 0;

	for (const struct option *p = run_option_table; len && p->name; p++) {
		if (!strncmp(p->name, text, len) && !p->name[len])
			return p;
	}
	return NULL;
}

/* The whole name, or its beginning: where several begin so, the one that all others extend. */
static const struct option *find(const char *name, size_t len, bool ours, bool *ambiguous)
{
	const struct option *found = NULL;

	*ambiguous = false;
	for (const struct option *p = run_option_table; p->name; p++) {
		if (strncmp(p->name, name, len) || option_is_ours(p) != ours || ends_in_colon(p))
			continue;
		if (!p->name[len]) {
			*ambiguous = false;
			return p;
		}
		if (found && extends(p, found))
			continue;
		*ambiguous |= found && !extends(found, p);
		found = p;
	}
	return *ambiguous ? NULL : found;
}

/* Another port's option is known too, to say whose it is. */
static const struct option *by_name(const char *name, size_t len, bool *ambiguous)
{
	const struct option *p = find(name, len, true, ambiguous);

	return p || *ambiguous ? p : find(name, len, false, ambiguous);
}

static int unknown(const char *word, struct err *err)
{
	const char *names[OPTIONS_MAX];
	const char *near;
	unsigned int n = 0;

	for (const struct option *p = run_option_table; p->name; p++)
		names[n++] = p->name;
	names[n] = NULL;
	near = cmd_nearest(word, names);
	if (near)
		return err_set(err, EINVAL, "unknown option --%s; did you mean --%s?", word, near);
	return err_set(err, EINVAL, "unknown option --%s; lkvm run --help lists them", word);
}

int option_set_port(struct run_options *o, const char *name, const char *value, struct err *err)
{
	struct vm_config *vm = &o->machine.vm;

	if (vm->n_options == PORT_OPTIONS)
		return err_set(err, E2BIG, "--%s: too many options", name);
	vm->options = o->port_options;
	o->port_options[vm->n_options++] = (struct vm_option){ name, value };
	return 0;
}

/*
 * May these words say this? A person's own win over what a stream says: `*skip`. (In a stream the value need not be
 * looked at then: it names a disk, perhaps, that is somewhere else here.)
 */
static int check_source(const struct option *p, struct run_options *o, bool *skip, struct err *err)
{
	bool *given = &o->given[p - run_option_table];

	*skip = false;
	if (o->source == OPTIONS_SAVED) {
		*skip = *given;
		return p->kind == OPTION_OF_MACHINE
			       ? 0
			       : err_set(err, EINVAL, "--%s does not describe a machine", p->name);
	}
	*given = true;
	if (o->source == OPTIONS_RESTORE && p->kind == OPTION_OF_BOOT)
		return err_set(err, EINVAL,
			       "--%s says how a guest begins: one that is restored goes on",
			       p->name);
	return 0;
}

static void keep_word(struct run_options *o, const struct option *p, const char *no,
		      const char *value)
{
	const char *pieces[] = { "--", no, p->name, p->arg ? "=" : "", p->arg ? value : "" };

	for (unsigned int i = 0; i < ARRAY_SIZE(pieces); i++)
		buf_put(&o->run_words, pieces[i], strlen(pieces[i]));
	buf_put_u8(&o->run_words, 0);
}

static int apply(const struct option *p, struct run_options *o, const char *value, struct err *err)
{
	const char *no = !p->arg && *value == '0' ? "no-" : "";
	bool skip;
	int rc;

	if (!option_is_ours(p))
		return err_set(err, ENOTSUP, "--%s%s is for %s guests, this machine is %s", no,
			       p->name, p->port, arch_name);
	if (p->state == OPTION_LATER)
		return err_set(err, ENOTSUP, "--%s is not built yet", p->name);
	if (!*value && strcmp(p->name, "params"))
		return err_set(err, EINVAL, "--%s needs a value: --%s%s%s", p->name, p->name,
			       ends_in_colon(p) ? "" : " ", p->arg);
	rc = check_source(p, o, &skip, err);
	if (rc || skip)
		return rc;
	if (p->kind == OPTION_OF_RUN && strcmp(p->name, "name"))
		keep_word(o, p, no, value);
	return p->set ? p->set(o, value, err) : option_set_port(o, p->name, value, err);
}

/* --name, --name=value, --name value, --no-switch. Advances *i past a value. */
static int parse_long(int argc, char **argv, int *i, struct run_options *o, struct err *err)
{
	char word[64];
	const char *text = argv[*i] + 2;
	const char *value = strchr(text, '=');
	size_t len = value ? (size_t)(value - text) : strlen(text);
	const struct option *p = by_colon(text);
	bool ambiguous, no = false;

	if (p)
		return apply(p, o, text + strlen(p->name), err);
	if (len >= sizeof(word))
		return err_set(err, EINVAL, "unknown option %.80s", argv[*i]);
	memcpy(word, text, len);
	word[len] = 0;
	p = by_name(word, len, &ambiguous);
	if (!p && !ambiguous && !strncmp(word, "no-", 3)) {
		p = by_name(word + 3, len - 3, &ambiguous);
		no = p;
	}
	if (ambiguous)
		return err_set(err, EINVAL, "--%s is short for several options; write more of it",
			       word);
	if (!p || (no && p->arg))
		return unknown(word, err);
	if (!p->arg) {
		if (value)
			return err_set(err, EINVAL, "--%s takes no value", p->name);
		return apply(p, o, no ? "0" : "1", err);
	}
	if (value)
		return apply(p, o, value + 1, err);
	if (p->state == OPTION_WORKS && option_is_ours(p) && *i + 1 >= argc)
		return err_set(err, EINVAL, "--%s needs a value: --%s %s", p->name, p->name,
			       p->arg);
	*i += *i + 1 < argc;
	return apply(p, o, argv[*i], err);
}

/* -m 512, -m512, -m=512; switches may not be bundled (kvmtool has one letter for each). */
static int parse_short(int argc, char **argv, int *i, struct run_options *o, struct err *err)
{
	const char *text = argv[*i];
	const struct option *p = by_letter(text[1]);

	if (!p)
		return err_set(err, EINVAL, "unknown option -%c; lkvm run --help lists them",
			       text[1]);
	if (!p->arg) {
		if (text[2])
			return err_set(err, EINVAL, "-%c takes no value, and stands alone",
				       text[1]);
		return apply(p, o, "1", err);
	}
	if (text[2])
		return apply(p, o, text + 2 + (text[2] == '='), err);
	if (p->state == OPTION_WORKS && option_is_ours(p) && *i + 1 >= argc)
		return err_set(err, EINVAL, "-%c needs a value: -%c %s", text[1], text[1], p->arg);
	*i += *i + 1 < argc;
	return apply(p, o, argv[*i], err);
}

int options_parse_word(char *word, struct run_options *o, struct err *err)
{
	int i = 0;

	if (strncmp(word, "--", 2))
		return err_set(err, EINVAL, "%.80s is no option", word);
	return parse_long(1, &word, &i, o, err);
}

static int set_word(struct run_options *o, const char *word, struct err *err)
{
	if (o->source != OPTIONS_RESTORE)
		return option_set_kernel(o, word, err);
	if (o->from)
		return err_set(err, EINVAL, "two to restore: %s and %s", o->from, word);
	o->from = word;
	return 0;
}

/* Of what is not shown nothing can be found. */
static int check_fail_on(const struct run_options *o, struct err *err)
{
	if (!o->machine.fail_on || o->machine.console != CONSOLE_NONE)
		return 0;
	return err_set(
		err, EINVAL,
		"--fail-on and --console none: what a kernel reports is seen on its console");
}

int options_check(const struct run_options *o, struct err *err)
{
	int rc = option_check_exec(o, err);

	if (!rc)
		rc = option_check_shares(o, err);
	if (!rc)
		rc = check_fail_on(o, err);
	if (!rc && o->machine.payload && o->machine.image.kernel)
		rc = err_set(err, EINVAL, "--payload %s and kernel %s: one of them",
			     o->machine.payload, o->machine.image.kernel);
	return rc;
}

/* The image, and what is its own. */
static int take_tenders_words(char **words, struct run_options *o, struct err *err)
{
	if (!words[0])
		return err_set(err, EINVAL, "--tender: which image?");
	o->command = words[1] ? words + 1 : NULL;
	return set_word(o, words[0], err);
}

int options_parse(int argc, char **argv, struct run_options *o, struct err *err)
{
	int rc = 0;

	o->plan.sandbox = !strcmp(argv[0], "sandbox");
	for (int i = 1; !rc && i < argc; i++) {
		const char *arg = argv[i];

		if (o->tender && (*arg != '-' || !strcmp(arg, "--"))) {
			rc = take_tenders_words(argv + i + (*arg == '-'), o, err);
			break;
		}
		if (!strcmp(arg, "--")) {
			o->command = argv + i + 1;
			break;
		}
		if (!strncmp(arg, "--", 2))
			rc = parse_long(argc, argv, &i, o, err);
		else if (arg[0] == '-' && arg[1])
			rc = parse_short(argc, argv, &i, o, err);
		else
			rc = set_word(o, arg, err);
	}
	if (!rc && o->command && o->source == OPTIONS_RESTORE)
		rc = err_set(err, EINVAL, "-- and a command: a guest that is restored goes on");
	if (!rc && o->command && !o->command[0])
		rc = err_set(err, EINVAL, "there is no command behind --");
	if (!rc)
		rc = sandbox_command(o, err);
	return rc || o->source == OPTIONS_RESTORE ? rc : options_check(o, err);
}

const char *options_params(const struct run_options *o)
{
	return o->params ? o->params : "";
}

const char *options_param(const struct run_options *o, const char *name)
{
	return cmdline_last(options_params(o), name);
}

int options_add_params(struct run_options *o, const char *words, bool before, struct err *err)
{
	const char *there = options_params(o);
	char *all;

	if (!*words)
		return 0;
	if (strlen(there) + strlen(words) + 1 > PARAMS_MAX)
		return err_set(err, E2BIG, "--params: more than %d characters", PARAMS_MAX);
	if (asprintf(&all, "%s%s%s", before ? words : there, *there ? " " : "",
		     before ? there : words) < 0)
		return err_set(err, ENOMEM, "no memory for --params");
	free(o->params);
	o->params = all;
	return 0;
}

void options_free(struct run_options *o)
{
	free(o->params);
	free(o->saved_text);
	free(o->hvt_cmdline);
	file_unmap(&o->hvt.file);
	free(o->attach);
	buf_free(&o->run_words);
	free(o->plan.env);
	free(o->plan.cwd);
	free(o->plan.dir);
	free(o->plan.words);
	free(o->plan.word);
	buf_free(&o->plan.initramfs);
	for (unsigned int i = 0; i < o->machine.n_disks; i++)
		free(o->disk_text[i]);
	for (unsigned int i = 0; i < BOOT_MODULES_MAX; i++)
		free(o->module_text[i]);
	for (unsigned int i = 0; i < MACHINE_NETS; i++)
		free(o->net_text[i]);
	for (unsigned int i = 0; i < MACHINE_SHARES; i++)
		free(o->share_text[i]);
}
