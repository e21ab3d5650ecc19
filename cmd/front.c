/* SPDX-License-Identifier: MIT */
#include "cmd/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"
#include "vm/arch.h"

/* ---- --module ---- */

int option_set_module(struct run_options *o, const char *value, struct err *err)
{
	struct arch_image *image = &o->machine.image;
	unsigned int n = image->n_modules;
	char *text, *comma;

	if (n == BOOT_MODULES_MAX)
		return err_set(err, E2BIG, "--module %s: more than %d of them", value,
			       BOOT_MODULES_MAX);
	if (*value == ',')
		return err_set(err, EINVAL, "--module %s: a file's name stands first", value);
	text = strdup(value);
	if (!text)
		return err_set(err, ENOMEM, "no memory for --module");
	comma = strchr(text, ',');
	if (comma)
		*comma++ = 0;
	o->module_text[n] = text;
	o->modules[n] = (struct arch_module){ text, comma };
	image->modules = o->modules;
	image->n_modules++;
	return 0;
}

/* ---- Images that are not Linux's ---- */

const char *front_linux_option(const struct run_options *o)
{
	const struct exec_plan *p = &o->plan;
	const struct machine_config *m = &o->machine;

	return p->script		     ? "--sandbox"
	       : p->sandbox		     ? "lkvm sandbox"
	       : p->root		     ? "--root"
	       : p->root_rw		     ? "--root-rw"
	       : p->n_env		     ? "--env"
	       : p->user		     ? "--user"
	       : p->modules		     ? "--modules"
	       : p->dir_cow		     ? "--disk DIR,cow"
	       : m->timeouts[TIMEOUT_BOOT]   ? "--boot-timeout"
	       : m->fail_on		     ? "--fail-on"
	       : vm_option(&m->vm, "unpack") ? "--unpack"
					     : NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The image's own name first, where it looks for that; then -p's words; then those behind `--`. */
static int make_cmdline(struct run_options *o, const struct arch_look *look, struct err *err)
{
	const char *path = o->machine.image.kernel;
	bool unless = look->argv0 == ARCH_ARGV0_UNLESS && !o->params && !o->nodefaults;
	int rc = 0;

	if (look->argv0 == ARCH_ARGV0_PATH && !o->nodefaults)
		rc = options_add_params(o, path, true, err);
	else if (unless)
		rc = options_add_params(o, base_name(path), true, err);
	for (char **word = o->command; !rc && word && *word; word++)
		rc = options_add_params(o, *word, false, err);
	o->command = NULL;
	return rc;
}

/* Code in real mode finds no words: -p and what stands behind `--` would be lost. */
static int check_words(const struct run_options *o, const struct arch_look *look, struct err *err)
{
	if (look->cmdline || (!o->command && !o->params))
		return 0;
	return err_set(err, EINVAL, "kernel %s: a raw image takes no command line",
		       o->machine.image.kernel);
}

static int prepare_other(struct run_options *o, const struct arch_look *look, struct err *err)
{
	const char *option = front_linux_option(o);
	int rc;

	if (option)
		return err_set(err, EINVAL,
			       "%s is for kernels of Linux's; %s is %s, entered %s (lkvm inspect "
			       "tells more)",
			       option, o->machine.image.kernel, look->what, look->way);
	rc = check_words(o, look, err);
	if (!rc)
		rc = make_cmdline(o, look, err);
	o->machine.vm.not_linux = true;
	if (!o->machine.vm.irqchip)
		o->machine.vm.irqchip = look->irqchip;
	return rc;
}

int front_look(struct run_options *o, struct err *err)
{
	struct arch_look look;
	struct err ignored;

	if (o->machine.payload || o->machine.hvt || !o->machine.image.kernel)
		return 0;
	if (arch_look(&o->machine.vm, &o->machine.image, false, &look, &ignored) || look.is_linux)
		return 0;
	return prepare_other(o, &look, err);
}
