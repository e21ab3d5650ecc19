/* SPDX-License-Identifier: MIT */
/* --debug-exit, --discovery, --reset: for images that are no Linux kernels. */
#include <errno.h>
#include <string.h>

#include "cmd/options.h"
#include "util/number.h"
#include "util/util.h"

#define PORT_LAST (0x10000 - DEBUG_EXIT_SIZE)

static int bad_rule(const char *value, struct err *err)
{
	return err_set(
		err, EINVAL,
		"--debug-exit %s: an I/O port up to 0x%x, then nothing, ,shift or ,ok=NUMBER; "
		"or none",
		value, PORT_LAST);
}

int option_set_debug_exit(struct run_options *o, const char *value, struct err *err)
{
	struct machine_config *m = &o->machine;
	struct machine_debug_exit exit = { .rule = DEBUG_EXIT_VALUE };
	const char *rest;
	uint64_t n;

	m->debug_exits_given = true;
	if (!strcmp(value, "none"))
		return 0;
	if (m->n_debug_exits == MACHINE_DEBUG_EXITS)
		return err_set(err, E2BIG, "--debug-exit %s: more than %d of them", value,
			       MACHINE_DEBUG_EXITS);
	if (number_parse(value, &n, &rest) || n > PORT_LAST)
		return bad_rule(value, err);
	exit.port = (uint16_t)n;
	if (!strcmp(rest, ",shift")) {
		exit.rule = DEBUG_EXIT_SHIFT;
	} else if (!strncmp(rest, ",ok=", 4)) {
		exit.rule = DEBUG_EXIT_OK;
		if (number_parse(rest + 4, &n, &rest) || *rest || n > UINT32_MAX)
			return bad_rule(value, err);
		exit.ok = (uint32_t)n;
	} else if (*rest) {
		return bad_rule(value, err);
	}
	m->debug_exits[m->n_debug_exits++] = exit;
	return 0;
}

int option_set_discovery(struct run_options *o, const char *value, struct err *err)
{
	static const char *const words[] = { [DISCOVERY_ACPI] = "acpi",
					     [DISCOVERY_CMDLINE] = "cmdline",
					     [DISCOVERY_BOTH] = "both" };

	for (unsigned int i = DISCOVERY_ACPI; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(value, words[i])) {
			o->machine.discovery = (enum discovery)i;
			return 0;
		}
	}
	return err_set(err, EINVAL, "--discovery %s: it is acpi, cmdline or both", value);
}

int option_set_reset(struct run_options *o, const char *value, struct err *err)
{
	o->machine.reset_ok = !strcmp(value, "ok");
	if (!o->machine.reset_ok && strcmp(value, "fail") != 0)
		return err_set(err, EINVAL, "--reset %s: it is ok or fail", value);
	return 0;
}
