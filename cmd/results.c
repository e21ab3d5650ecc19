/* SPDX-License-Identifier: MIT */
#include "cmd/results.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/junit.h"
#include "util/file.h"
#include "util/util.h"

#define KSFT_SKIP 4

/* ---- Where to ---- */

static void name_files(struct results *r, const char *json, const char *junit)
{
	r->files[RESULTS_JSON] = (struct result_file){ "--result", json, -1 };
	r->files[RESULTS_JUNIT] = (struct result_file){ "--junit", junit, -1 };
}

/* A descriptor of ours that a path names; -1: it names none. */
static int own_fd(const char *path)
{
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };
	char *end;

	if (!strcmp(path, "/dev/stdout"))
		return STDOUT_FILENO;
	if (!strcmp(path, "/dev/stderr"))
		return STDERR_FILENO;
	for (unsigned int i = 0; i < ARRAY_SIZE(folders); i++) {
		size_t len = strlen(folders[i]);
		unsigned long n = strncmp(path, folders[i], len) ? ULONG_MAX
								 : strtoul(path + len, &end, 10);

		if (n <= INT_MAX && end > path + len && !*end)
			return (int)n;
	}
	return -1;
}

static int hold_fd(struct result_file *f, int fd, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
		f->fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	else if (flags >= 0)
		errno = EBADF;
	return f->fd < 0 ? err_set(err, errno, "%s %s: %s", f->option, f->path, strerror(errno))
			 : 0;
}

/* To put a file in its place would take away the one that goes on being written to. */
static bool is_stream(const struct stat *file)
{
	struct stat st;

	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
		if (!fstat(fd, &st) && st.st_dev == file->st_dev && st.st_ino == file->st_ino)
			return true;
	}
	return false;
}

static int check_folder(const struct result_file *f, struct err *err)
{
	char folder[PATH_MAX];
	char *slash;

	if (snprintf(folder, sizeof(folder), "%s", f->path) >= (int)sizeof(folder))
		return err_set(err, ENAMETOOLONG, "%s %s: %s", f->option, f->path,
			       strerror(ENAMETOOLONG));
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = 0;
	if (access(slash ? folder : ".", W_OK | X_OK))
		return err_set(err, errno, "%s %s: %s", f->option, f->path, strerror(errno));
	return 0;
}

static int open_file(struct result_file *f, struct err *err)
{
	int fd = own_fd(f->path);
	struct stat st;

	if (fd >= 0)
		return hold_fd(f, fd, err);
	if (stat(f->path, &st))
		return check_folder(f, err);
	if (S_ISREG(st.st_mode) && is_stream(&st))
		return err_set(err, EINVAL,
			       "%s %s: that file is standard output or standard error; to have "
			       "both in it say /dev/stdout or /dev/stderr",
			       f->option, f->path);
	if (S_ISREG(st.st_mode))
		return access(f->path, W_OK) ? check_folder(f, err) : 0;
	if (S_ISDIR(st.st_mode))
		errno = EISDIR;
	else if (!access(f->path, W_OK))
		return 0;
	return err_set(err, errno, "%s %s: %s", f->option, f->path, strerror(errno));
}

/* A link to what is not there yet. */
static bool links_to(const char *link, const char *path)
{
	char target[PATH_MAX];
	ssize_t len = readlink(link, target, sizeof(target) - 1);

	target[MAX(len, (ssize_t)0)] = 0;
	return len > 0 && !strcmp(target, path);
}

/* Of two that are put in one place the first would be gone. What keeps nothing may take both. */
static bool is_one_file(const char *a, const char *b)
{
	struct stat st;

	if (!stat(a, &st) && !S_ISREG(st.st_mode))
		return false;
	return !strcmp(a, b) || file_same(a, b) || links_to(a, b) || links_to(b, a);
}

static int check_others(const struct results *r, const struct result_file *f, struct err *err)
{
	const struct result_file *first = &r->files[0];
	const char *option = NULL;

	if (r->o->console_log && is_one_file(f->path, r->o->console_log))
		option = "--kernel-log";
	else if (f > first && first->path && is_one_file(f->path, first->path))
		option = first->option;
	return option ? err_set(err, EINVAL, "%s %s: that is %s's file", f->option, f->path, option)
		      : 0;
}

static int open_checked(const struct results *r, struct result_file *f, struct err *err)
{
	int rc = run_check_output(r->o, f->option, f->path, err);

	if (!rc)
		rc = check_others(r, f, err);
	return rc ? rc : open_file(f, err);
}

/* What can't be is told in no file, least of all in that one. */
int results_open(struct results *r, struct err *err)
{
	struct err one;
	int first = 0;

	name_files(r, r->o->result, r->o->junit);
	for (unsigned int i = 0; i < RESULTS_FILES; i++) {
		struct result_file *f = &r->files[i];
		int rc = f->path ? open_checked(r, f, &one) : 0;

		if (rc)
			f->path = NULL;
		if (rc && !first)
			*err = one;
		first = first ? first : rc;
	}
	return first;
}

void results_close(struct results *r)
{
	for (unsigned int i = 0; i < RESULTS_FILES; i++) {
		if (r->files[i].path && r->files[i].fd >= 0)
			close(r->files[i].fd);
	}
	for (unsigned int i = 0; i < MACHINE_OUTPUTS; i++)
		ktap_destroy(r->ktap[i]);
}

void results_forget(const struct results *r)
{
	for (unsigned int i = 0; i < RESULTS_FILES; i++) {
		const struct result_file *f = &r->files[i];
		struct stat st;

		if (!f->path || f->fd >= 0 || lstat(f->path, &st))
			continue;
		if (S_ISREG(st.st_mode) && !unlink(f->path))
			continue;
		/*
		 * A link is somebody's, and what can't be removed: it stays, with nothing in it that
		 * could be taken for ours. If that fails it is replaced at the end, or that fails, too.
		 */
		if (!stat(f->path, &st) && S_ISREG(st.st_mode)) {
			int rc = truncate(f->path, 0);

			(void)rc;
		}
	}
}

/* ---- Tests ---- */

static void feed_ktap(void *ktap, const void *data, size_t len)
{
	ktap_feed(ktap, data, len);
}

int results_watch(struct results *r, struct machine *m)
{
	for (unsigned int i = 0; r->files[RESULTS_JUNIT].path && i < MACHINE_OUTPUTS; i++) {
		r->ktap[i] = ktap_create();
		if (!r->ktap[i])
			return -ENOMEM;
		machine_watch(m, (enum machine_output)i, feed_ktap, r->ktap[i]);
	}
	return 0;
}

/* How many have failed, or only been skipped. */
static unsigned int count(const struct results *r, bool (*is)(const struct ktap_test *t))
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < MACHINE_OUTPUTS; i++) {
		for (uint32_t t = 0; r->ktap[i] && t < r->ktap[i]->n; t++)
			n += is(&r->ktap[i]->tests[t]);
	}
	return n;
}

static bool is_skipped(const struct ktap_test *t)
{
	return t->status == KTAP_SKIP;
}

static bool is_test(const struct ktap_test *t)
{
	return t->name;
}

/* As kselftest's programs say that they could not be run here. */
static bool all_skipped(const struct results *r)
{
	unsigned int n = count(r, is_test);

	return r->status == KSFT_SKIP && n && count(r, is_skipped) == n;
}

/*
 * Why the run itself is an error beside its tests, or NULL. Who reads nothing but this shall see what the
 * exit status says: so a program's own status is one, unless a test of its own tells why, or it died.
 */
static const char *failure(const struct results *r, char *buf, size_t size)
{
	bool told = count(r, ktap_is_bad);

	if (!r->what.own_status)
		return r->status ? r->what.reason : NULL;
	if (!r->status || (r->status <= STATUS_SIGNAL && told) || all_skipped(r))
		return NULL;
	snprintf(buf, size, "%s: status %d, %s", r->what.reason, r->status,
		 told ? "as of a signal" : "though no test failed");
	return buf;
}

/* ---- The files ---- */

static void put_json(struct buf *out, struct results *r)
{
	result_put(out, &r->what);
}

static void put_junit(struct buf *out, struct results *r)
{
	static const char *const names[] = {
		[MACHINE_CONSOLE] = "console", [MACHINE_STDOUT] = "stdout"
	};
	struct junit_source sources[MACHINE_OUTPUTS];
	unsigned int n = 0;
	char why[REPORT_LINE + 256];

	for (unsigned int i = 0; i < MACHINE_OUTPUTS; i++) {
		if (!r->ktap[i])
			continue;
		ktap_end(r->ktap[i]);
		sources[n++] = (struct junit_source){ names[i], r->ktap[i] };
	}
	junit_put(out, sources, n, failure(r, why, sizeof(why)));
}

bool results_judged(const struct results *r)
{
	return !r->what.own_status && r->status >= STATUS_REPORTED &&
	       r->status <= STATUS_HOST_FAILED;
}

/* Solo5's tender knows one status for all that lkvm tells apart. */
static int judgement(const struct results *r, int status)
{
	return r->o->tender ? 1 : status;
}

static void write_file(struct results *r, unsigned int which, enum results_when when)
{
	static void (*const put[])(struct buf * out, struct results * r) = {
		[RESULTS_JSON] = put_json,
		[RESULTS_JUNIT] = put_junit,
	};
	const struct result_file *f = &r->files[which];
	struct buf text = { 0 };
	struct err err;

	if (!f->path || (when == RESULTS_EARLY && !result_replaces(f)))
		return;
	put[which](&text, r);
	if (result_write(f, &text, when == RESULTS_LEAVING ? 0 : -1, &err)) {
		if (when == RESULTS_LAST) /* the other's line may have no reader either */
			cmd_fail("%s", err.text);
		if (when != RESULTS_EARLY && !r->what.status)
			r->what.status = judgement(r, STATUS_HOST_FAILED);
	}
	buf_free(&text);
}

void results_write(struct results *r, enum results_when when)
{
	for (unsigned int i = 0; i < RESULTS_FILES; i++)
		write_file(r, i, when);
}

/* ---- What there is to say ---- */

/* The value of --NAME that a command line holds which was not understood to its end. */
static const char *given(char **argv, const char *name)
{
	size_t len = strlen(name);

	for (unsigned int i = 1; argv[i] && strcmp(argv[i], "--"); i++) {
		if (!strncmp(argv[i], name, len) && argv[i][len] == '=')
			return argv[i] + len + 1;
		if (!strcmp(argv[i], name))
			return argv[i + 1];
	}
	return NULL;
}

/* Is nothing there that isn't from an earlier run? It may be the guest's disk: who knows yet. */
static bool is_ours(const struct result_file *f, const char *begin)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char there[64];
	ssize_t len;
	bool ours;

	if (fd < 0)
		return errno == ENOENT || errno == ENXIO;
	ours = !fstat(fd, &st);
	if (ours && S_ISREG(st.st_mode)) {
		len = read(fd, there, MIN(strlen(begin), sizeof(there)));
		/* (A run that was killed may have left less of it.) */
		ours = len >= 0 && !memcmp(there, begin, (size_t)len);
	}
	close(fd);
	return ours;
}

/* Where to is known from a command line that was not understood, or not checked yet. */
static void open_given(struct results *r)
{
	static const char *const begin[] = {
		[RESULTS_JSON] = "{\n\t\"lkvm\": ",
		[RESULTS_JUNIT] = JUNIT_BEGIN,
	};
	struct err err;

	name_files(r, given(r->what.argv, "--result"), given(r->what.argv, "--junit"));
	for (unsigned int i = 0; i < RESULTS_FILES; i++) {
		struct result_file *f = &r->files[i];

		if (f->path && (open_file(f, &err) || (f->fd < 0 && !is_ours(f, begin[i]))))
			f->path = NULL;
	}
}

int results_fail(struct results *r, const char *why)
{
	r->status = cmd_fail("%s", why);
	r->what.status = judgement(r, r->status);
	r->what.verdict = "host-failed";
	r->what.reason = why;
	r->what.output_written = true;
	if (!r->files[RESULTS_JSON].option)
		open_given(r);
	results_write(r, RESULTS_LAST);
	return r->what.status;
}

void results_describe(struct results *r, struct machine *m, int status)
{
	struct result *what = &r->what;

	what->verdict = verdict_word(machine_verdict(m));
	what->reason = machine_why(m);
	what->own_status = machine_own_status(m);
	what->output_written = machine_flush(m, 0);
	what->timeline = machine_timeline(m);
	what->reports = machine_reports(m);
	what->fail_on = r->o->machine.fail_on;
	what->release = machine_release(m);
	r->status = what->status = status;
	if (results_judged(r))
		what->status = judgement(r, status);
	else if (r->o->bisect)
		what->status = verdict_bisect(status, what->own_status);
}
