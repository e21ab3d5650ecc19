/* SPDX-License-Identifier: MIT */
/* The command in a machine's guest: its streams or its terminal, and what it tells. */
#include <signal.h>
#include <unistd.h>

#include "guest/exec.h"
#include "guest/init/exec.h"
#include "host/stream.h"
#include "machine-parts.h"
#include "term/tty-stream.h"
#include "util/util.h"
#include "virtio/ports.h"

static void stream_failed(void *opaque)
{
	struct machine *m = opaque;

	vm_end(m->vm, VERDICT_HOST, 0);
}

static void command_ended(void *opaque, enum exec_end how, int value)
{
	static const enum verdict_reason reasons[] = {
		[EXEC_END_STATUS] = VERDICT_COMMAND,
		[EXEC_END_FAILED] = VERDICT_NO_COMMAND,
		[EXEC_END_LOST] = VERDICT_LOST,
	};
	struct machine *m = opaque;

	vm_end(m->vm, reasons[how], value);
}

static void command_told(void *opaque, uint32_t type)
{
	struct machine *m = opaque;

	timeouts_active(&m->timeouts);
	if (type == EXEC_HELLO) {
		timeline_mark(&m->timeline, PHASE_INIT);
	} else if (type == EXEC_STARTED) {
		timeline_mark(&m->timeline, PHASE_COMMAND);
		timeouts_booted(&m->timeouts);
	} else if (type == EXEC_EXITED) {
		timeline_mark(&m->timeline, PHASE_EXITED);
		/* What is left is to write output: that is its reader's time. */
		timeouts_done(&m->timeouts);
	}
}

static void command_printed(void *opaque, bool is_err, const struct iovec *iov, size_t len)
{
	struct machine *m = opaque;

	timeouts_active(&m->timeouts);
	for (; len && !is_err; iov++) {
		size_t n = MIN(iov->iov_len, len);

		machine_watched(m, MACHINE_STDOUT, iov->iov_base, n);
		len -= n;
	}
}

static void window_changed(void *opaque)
{
	struct machine *m = opaque;
	unsigned int columns, rows;

	if (tty_size(m->exec_tty, &columns, &rows))
		exec_window(m->exec, rows, columns);
}

/* What a command prints is no kernel's word. */
static void ignore_found(void *opaque, int what)
{
	(void)opaque, (void)what;
}

static void leave(void *opaque)
{
	machine_stop(opaque, SIGINT);
}

static int open_terminal(struct machine *m, struct err *err)
{
	struct tty_config config = {
		.in = m->config->exec->in,
		.out = m->config->exec->out,
		.log_fd = -1,
		.leave = leave,
		.found = ignore_found,
		.opaque = m,
	};
	int rc = tty_create(&config, m->loop, &m->vm->config.log, &m->exec_tty, err);

	return rc ? rc : tty_stream_open(m->exec_tty, window_changed, m, &m->exec_tty_stream, err);
}

static int open_streams(struct machine *m, struct err *err)
{
	static const char *const names[] = { "standard input", "standard output",
					     "standard error" };
	const struct machine_exec *e = m->config->exec;
	const int fds[] = { e->in, e->out, e->err };
	int rc = 0;

	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(fds); i++) {
		struct stream_config config = {
			.fd = fds[i],
			.is_output = i > 0,
			.what = names[i],
			.failed = stream_failed,
			.opaque = m,
		};

		rc = stream_open(&config, m->loop, &m->vm->config.log, &m->streams[i], err);
	}
	return rc;
}

static int open_exec(struct machine *m, struct err *err)
{
	struct exec_config config = {
		.ended = command_ended,
		.told = command_told,
		.printed = command_printed,
		.opaque = m,
	};
	int rc = m->config->exec->tty ? open_terminal(m, err) : open_streams(m, err);

	config.in = m->streams[0];
	config.out = m->streams[1];
	config.err = m->streams[2];
	config.tty = m->exec_tty_stream;
	if (!rc)
		rc = exec_create(&config, m->loop, &m->exec, err);
	if (!rc && m->config->console == CONSOLE_NONE)
		exec_seen(m->exec);
	return rc;
}

int machine_add_exec(struct machine *m, struct err *err)
{
	struct ports_config config = { .name = "virtio-ports.0" };
	int rc;

	_Static_assert(EXEC_PORTS <= PORTS_MAX, "a device for all of them");
	if (!m->config->exec)
		return 0;
	rc = open_exec(m, err);
	if (rc)
		return rc;
	config.n = exec_ports(m->exec, config.ports);
	return machine_add_virtio(m, "virtio_ports", config.name, &config, err);
}

/* Those that no stream has got are still to be closed. */
void machine_close_exec(struct machine *m)
{
	const struct machine_exec *e = m->config->exec;
	const int fds[] = { e->in, e->out, e->err };

	exec_destroy(m->exec);
	tty_stream_close(m->exec_tty_stream);
	if (m->exec_tty)
		tty_destroy(m->exec_tty);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++) {
		if (!e->tty && !m->streams[i] && fds[i] >= 0)
			close(fds[i]);
		stream_close(m->streams[i]);
	}
}

void machine_end_streams(struct machine *m)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(m->streams); i++) {
		if (m->streams[i])
			m->streams[i]->ops->end(m->streams[i]);
	}
}

bool machine_streams_written(struct machine *m)
{
	bool all = !m->exec_tty || tty_written(m->exec_tty);

	for (unsigned int i = 0; i < ARRAY_SIZE(m->streams); i++)
		all = all && (!m->streams[i] || stream_written(m->streams[i]));
	return all;
}

void machine_finish_streams(struct machine *m)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(m->streams); i++) {
		if (m->streams[i])
			stream_finish(m->streams[i]);
	}
}
