/* SPDX-License-Identifier: MIT */
#include "cmd/result.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "util/file.h"
#include "util/json.h"
#include "util/util.h"

/* ---- The command line ---- */

static void put(struct buf *out, const char *text)
{
	buf_put(out, text, strlen(text));
}

/* Plain where that is plain to any shell, else between single quotes. */
static void put_word(struct buf *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-+=.,/:@%";

	if (*word && !word[strspn(word, plain)]) {
		put(out, word);
		return;
	}
	put(out, "'");
	for (; *word; word++) {
		if (*word == '\'')
			put(out, "'\\''");
		else
			buf_put_u8(out, (uint8_t)*word);
	}
	put(out, "'");
}

void result_put_replay(struct buf *out, char **argv)
{
	char cwd[PATH_MAX], self[PATH_MAX];
	ssize_t len;

	if (getcwd(cwd, sizeof(cwd))) {
		put(out, "cd ");
		put_word(out, cwd);
		put(out, " && ");
	}
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[MAX(len, (ssize_t)0)] = 0;
	put_word(out, len > 0 ? self : "lkvm");
	for (unsigned int i = 0; argv[i]; i++) {
		put(out, " ");
		put_word(out, argv[i]);
	}
}

/* ---- The text ---- */

static void put_timings(struct json *j, const struct timeline *t)
{
	json_object(j, "timings_us");
	for (int i = PHASE_START + 1; t && i < PHASES; i++) {
		int64_t us = timeline_us(t, (enum phase)i);

		if (us < 0)
			json_null(j, phase_name((enum phase)i));
		else
			json_int(j, phase_name((enum phase)i), us);
	}
	json_end_object(j);
}

static void put_report(struct json *j, const struct report *report, uint32_t fail_on)
{
	json_object(j, NULL);
	json_string(j, "class", report_name(report->class));
	json_array(j, "classes");
	for (int i = 0; i < REPORT_CLASSES; i++) {
		if (report->classes >> i & 1)
			json_string(j, NULL, report_name((enum report_class)i));
	}
	json_end_array(j);
	json_bool(j, "failed", report->classes & fail_on);
	json_string(j, "line", report->first);
	json_string(j, "text", report->text ? report->text : "");
	json_end_object(j);
}

static void put_reports(struct json *j, const struct result *r)
{
	json_int(j, "reports_total", r->reports ? r->reports->total : 0);
	json_array(j, "reports");
	for (uint32_t i = 0; r->reports && i < r->reports->n; i++)
		put_report(j, &r->reports->list[i], r->fail_on);
	json_end_array(j);
}

static void put_command(struct json *j, char **argv)
{
	struct buf replay = { 0 };

	json_array(j, "argv");
	for (unsigned int i = 0; argv[i]; i++)
		json_string(j, NULL, argv[i]);
	json_end_array(j);
	result_put_replay(&replay, argv);
	json_bytes(j, "replay", replay.data, replay.len);
	j->out->failed |= replay.failed;
	buf_free(&replay);
}

void result_put(struct buf *out, const struct result *r)
{
	struct json j = { .out = out };

	json_object(&j, NULL);
	json_string(&j, "lkvm", cmd_version_string);
	json_string(&j, "verdict", r->verdict);
	json_int(&j, "status", r->status);
	json_bool(&j, "own_status", r->own_status);
	json_string(&j, "reason", r->reason);
	json_bool(&j, "output_written", r->output_written);
	if (r->release && *r->release)
		json_string(&j, "kernel", r->release);
	else
		json_null(&j, "kernel");
	put_timings(&j, r->timeline);
	put_reports(&j, r);
	put_command(&j, r->argv);
	json_end_object(&j);
}

/* ---- The file ---- */

static int write_plainly(const struct result_file *f, const struct buf *text, int ms,
			 struct err *err)
{
	int fd = f->fd >= 0 ? f->fd : file_create(f->path, f->option, err);
	int rc;

	if (fd < 0)
		return fd;
	/* Fails on what has no length. */
	rc = f->fd < 0 ? ftruncate(fd, 0) : 0;
	(void)rc;
	rc = write_within(fd, text->data, text->len, ms);
	if (f->fd < 0 && close(fd) && !rc)
		rc = -errno;
	return rc ? err_set(err, -rc, "%s %s: %s", f->option, f->path, strerror(-rc)) : 0;
}

/* As open() would have made it. Nobody else makes files now. */
static mode_t default_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

static int write_aside(int fd, const char *aside, const char *path, const struct buf *text)
{
	int rc = write_full(fd, text->data, text->len);

	if (!rc && fchmod(fd, default_mode()))
		rc = -errno;
	if (close(fd) && !rc)
		rc = -errno;
	if (!rc && rename(aside, path))
		rc = -errno;
	return rc;
}

bool result_replaces(const struct result_file *f)
{
	struct stat st;

	return f->fd < 0 && (stat(f->path, &st) || S_ISREG(st.st_mode));
}

static int put_in_place(const char *path, const struct buf *text)
{
	char aside[PATH_MAX + 8];
	int rc = snprintf(aside, sizeof(aside), "%s.XXXXXX", path), fd;

	if (rc >= (int)sizeof(aside))
		return -ENAMETOOLONG;
	fd = mkostemp(aside, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = write_aside(fd, aside, path, text);
	if (rc)
		unlink(aside);
	return rc;
}

/* A file that may be written to, and not be replaced: mounted there, or in somebody else's folder. */
static bool must_stay(int error)
{
	return error == EBUSY || error == EXDEV || error == EPERM || error == EACCES;
}

/* Through a link that somebody has made, so that it stays; also where nothing is behind it yet. */
int result_write(const struct result_file *f, const struct buf *text, int ms, struct err *err)
{
	char target[PATH_MAX];
	const char *path = realpath(f->path, target) ? target : f->path;
	struct stat st;
	int rc;

	if (text->failed)
		return err_set(err, ENOMEM, "%s %s: no memory", f->option, f->path);
	if (!result_replaces(f) || (path == f->path && !lstat(path, &st)))
		return write_plainly(f, text, ms, err);
	rc = put_in_place(path, text);
	if (must_stay(-rc) && !stat(path, &st))
		return write_plainly(f, text, ms, err);
	return rc ? err_set(err, -rc, "%s %s: %s", f->option, f->path, strerror(-rc)) : 0;
}
