/* SPDX-License-Identifier: MIT */
#include "util/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/util.h"

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return code > 0 ? -code : -EINVAL;
}

static void log_line(const struct log *log, enum log_level level, const char *fmt, va_list ap)
{
	char line[512];
	int n = log->sink ? 0 : snprintf(line, sizeof(line), "%s: ", log->name);
	size_t len;
	ssize_t rc;

	vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	if (log->sink) {
		log->sink(log->opaque, level, line);
		return;
	}
	len = strlen(line);
	line[len++] = '\n';
	/* Nobody can be told that telling failed. */
	rc = write(log->fd, line, len);
	(void)rc;
}

void log_at(const struct log *log, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > log->level)
		return;
	va_start(ap, fmt);
	log_line(log, level, fmt, ap);
	va_end(ap);
}

static bool takes(const struct log *log)
{
	struct pollfd p = { .fd = log->fd, .events = POLLOUT };

	return log->sink || poll(&p, 1, 0) == 1;
}

void log_guest(const struct log *log, struct ratelimit *rl, const char *fmt, ...)
{
	struct timespec now;
	uint32_t dropped;
	va_list ap;

	if (log->level < LOG_WARNING)
		return;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (atomic_exchange(&rl->second, (uint64_t)now.tv_sec) != (uint64_t)now.tv_sec)
		atomic_store(&rl->count, 0);
	if (atomic_fetch_add(&rl->count, 1) >= LOG_BURST || !takes(log)) {
		atomic_fetch_add(&rl->dropped, 1);
		return;
	}
	dropped = atomic_exchange(&rl->dropped, 0);
	if (dropped)
		log_at(log, LOG_WARNING, "(%u similar lines dropped)", dropped);
	va_start(ap, fmt);
	log_line(log, LOG_WARNING, fmt, ap);
	va_end(ap);
}
