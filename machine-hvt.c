/* SPDX-License-Identifier: MIT */
/* A machine that is Solo5's hvt, and its console, which only prints. */
#include <errno.h>
#include <string.h>

#include "machine-parts.h"

static size_t console_write(void *opaque, const void *data, size_t len)
{
	struct machine *m = opaque;

	return tty_write(m->tty, m->hvt_port, data, len);
}

static void console_room(void *opaque)
{
	struct machine *m = opaque;

	if (m->hvt)
		hvt_room(m->hvt);
}

int machine_add_hvt(struct machine *m, struct err *err)
{
	const struct tty_client client = { .room = console_room, .opaque = m };
	const struct hvt_console console = { .write = console_write, .opaque = m };

	m->hvt_port = tty_attach(m->tty, &client);
	if (m->hvt_port < 0)
		return err_set(err, -m->hvt_port, "no room for a console");
	if (m->config->image.share)
		log_at(&m->vm->config.log, LOG_WARNING,
		       "nothing of a Solo5 image is shared: it is copied");
	return hvt_create(m->vm, m->config->hvt, &console, &m->hvt, err);
}

void machine_remove_hvt(struct machine *m)
{
	if (!m->hvt)
		return;
	tty_detach(m->tty, m->hvt_port);
	hvt_destroy(m->hvt);
	m->hvt = NULL;
}
