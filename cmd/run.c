/* SPDX-License-Identifier: MIT */
/* lkvm run: from the options to a machine, and from its verdict to the exit status. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/junit.h"
#include "cmd/options.h"
#include "cmd/result.h"
#include "cmd/transport.h"
#include "term/terminal.h"
#include "util/file.h"
#include "util/util.h"
#include "vm/arch.h"

/* ---- Signals ---- */

/*
 * What handlers act on. A process has one set of handlers, so this belongs to it and not to a VM.
 */
static struct {
	struct machine *_Atomic machine;
	atomic_int interrupted, ending;
} process;

/* To end: once politely, then at once. But the first Ctrl-C is for the command in the guest. */
static void on_end(int sig)
{
	struct machine *m = atomic_load(&process.machine);
	int saved = errno;

	if (sig == SIGINT && m && !atomic_exchange(&process.interrupted, 1) &&
	    machine_interrupt(m)) {
		errno = saved;
		return;
	}
	if (!m || atomic_exchange(&process.ending, 1)) {
		terminal_restore();
		_exit(STATUS_SIGNAL + sig);
	}
	machine_stop(m, sig);
	errno = saved;
}

/* A bug of ours: leave the terminal usable, then die of it as if nothing had caught it. */
static void on_crash(int sig)
{
	terminal_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void on_stop(int sig)
{
	int saved = errno;

	(void)sig;
	terminal_restore();
	raise(SIGSTOP);
	errno = saved;
}

static void on_poke(int sig)
{
	struct machine *m = atomic_load(&process.machine);
	int saved = errno;

	(void)sig;
	if (m)
		machine_poke(m);
	errno = saved;
}

static void set_handler(int sig, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct sigaction old;

	/* nohup and the like have set it to be ignored, and mean it. */
	if ((handler == on_end || handler == on_stop) && !sigaction(sig, NULL, &old) &&
	    old.sa_handler == SIG_IGN)
		return;
	sigfillset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
}

static void set_signals(void)
{
	/* All that would end the process by default: the terminal must not stay raw behind any. */
	static const int ends[] = { SIGINT,  SIGTERM,	SIGHUP,	 SIGQUIT, SIGUSR1, SIGUSR2,
				    SIGALRM, SIGVTALRM, SIGPROF, SIGIO,	  SIGXCPU, SIGPWR };
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* EFBIG is the disk's error, not our end */
	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++)
		set_handler(ends[i], on_end);
	for (unsigned int i = 0; i < ARRAY_SIZE(crashes); i++)
		set_handler(crashes[i], on_crash);
	set_handler(SIGTSTP, on_stop);
	set_handler(SIGCONT, on_poke);
	set_handler(SIGWINCH, on_poke);
}

/* ---- The command line for the guest ---- */

/* Is there a parameter that begins with `name`, which ends in '='? */
static bool has_param(const char *params, const char *name)
{
	for (const char *p = params; (p = strstr(p, name)); p++) {
		if (p == params || p[-1] == ' ')
			return true;
	}
	return false;
}

/* What the user would forget, and nothing else. */
static int add_defaults(struct run_options *o, struct err *err)
{
	enum console_kind kind = o->machine.console;
	char add[64] = "";

	if (o->nodefaults || o->machine.payload)
		return 0;
	/* A user's tree may have a command line of its own. */
	if (vm_option(&o->machine.vm, "dtb") && !o->params)
		return 0;
	if (kind != CONSOLE_NONE && !has_param(options_params(o), "console="))
		sprintf(add, "console=%s ", kind == CONSOLE_VIRTIO ? "hvc0" : arch_console);
	if (!has_param(options_params(o), "panic="))
		strcat(add, "panic=-1 ");
	/* By them the kernel's reports are told from what programs print. */
	if (o->machine.fail_on && !has_param(options_params(o), "printk.time=")) {
		strcat(add, "printk.time=1 ");
		o->machine.stamped = true;
	}
	if (add[0])
		add[strlen(add) - 1] = 0; /* the last space */
	return options_add_params(o, add, true, err);
}

/* Did the user say what the kernel shall print? */
static bool has_loglevel(const struct run_options *o)
{
	static const char *const words[] = { "quiet", "debug", "ignore_loglevel" };
	bool has = has_param(options_params(o), "loglevel=");

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		has |= has_param(options_params(o), words[i]);
	return has;
}

/*
 * With a command the console is there for what goes wrong. Each character on it costs an exit, so the
 * kernel prints warnings and what is worse (`quiet` would keep warnings back, too), unless somebody wants
 * its log, or the tests in it.
 */
static int set_command_defaults(struct run_options *o, struct err *err)
{
	struct machine_config *m = &o->machine;
	bool whole = o->console_log || o->junit || m->vm.log.level >= LOG_INFO;
	bool times = m->timeouts[TIMEOUT_TOTAL] || m->timeouts[TIMEOUT_BOOT] ||
		     m->timeouts[TIMEOUT_SILENCE];
	int rc = 0;

	if (!o->command && m->timeouts[TIMEOUT_BOOT])
		return err_set(err, EINVAL,
			       "--boot-timeout is for a command in the guest, behind --");
	if (!o->command)
		return 0;
	if (!o->fail_on_given)
		m->fail_on = REPORT_DEFAULT;
	m->show_log = m->vm.log.level < LOG_INFO; /* else it all is on stderr */
	if (o->nodefaults || m->payload)
		return 0;
	if (!whole && !has_loglevel(o))
		rc = options_add_params(o, "loglevel=5", false, err);
	/* For the list of tasks when a timeout has expired. */
	if (!rc && times && !has_param(options_params(o), "sysrq_always_enabled"))
		rc = options_add_params(o, "sysrq_always_enabled", false, err);
	return rc;
}

/* ---- The command in the guest ---- */

/*
 * A descriptor of our own in place of a standard one, which is /dev/null from then on: when the guest has
 * closed its end we close it, and that shall be the last of it.
 */
static int take_fd(int fd, struct err *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int own = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int rc = own < 0 || null < 0 || dup2(null, fd) < 0 ? -errno : own;

	if (null >= 0)
		close(null);
	return rc < 0 ? err_set(err, -rc, "standard streams: %s", strerror(-rc)) : rc;
}

/* The terminal is the command's if all three are one: else a stream has its own place. */
static bool has_terminal(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);
}

static int prepare_command(struct run_options *o, struct err *err)
{
	struct winsize window;

	o->plan.tty = has_terminal();
	if (o->plan.tty && terminal_size(STDOUT_FILENO, STDIN_FILENO, &window)) {
		o->plan.rows = window.ws_row;
		o->plan.columns = window.ws_col;
	}
	return exec_prepare(o, err);
}

/* Standard output is the command's. stderr is ours, too. */
static int take_streams(struct run_options *o, struct err *err)
{
	struct machine_exec *e = &o->exec;

	if (!o->command)
		return 0;
	o->machine.exec = e;
	o->machine.in = -1;
	o->machine.out = o->machine.vm.log.level >= LOG_INFO ? STDERR_FILENO : -1;
	*e = (struct machine_exec){ true, STDIN_FILENO, STDOUT_FILENO, -1 };
	if (has_terminal())
		return 0;
	e->tty = false;
	e->in = take_fd(STDIN_FILENO, err);
	e->out = e->in < 0 ? -1 : take_fd(STDOUT_FILENO, err);
	e->err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return MIN(e->in, e->out) < 0 ? -1 : 0;
}

/* ---- Running ---- */

static int choose_kernel(struct run_options *o, char *buf, size_t size, struct err *err)
{
	struct arch_image *image = &o->machine.image;

	if (image->kernel || o->machine.payload)
		return 0;
	image->kernel = kernel_find(buf, size);
	if (!image->kernel)
		return err_set(
			err, ENOENT,
			"no kernel: none here, and %s is not there or not readable; give one "
			"with -k",
			buf);
	return 0;
}

static bool is_input(const struct run_options *o, const char *path)
{
	const struct machine_config *c = &o->machine;
	const char *files[] = { c->image.kernel, vm_option(&c->vm, "dtb") };
	bool is = false;

	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++)
		is |= files[i] && file_same(path, files[i]);
	for (unsigned int i = 0; i < o->n_initrds; i++)
		is |= file_same(path, o->initrds[i]);
	for (unsigned int i = 0; i < c->n_disks; i++)
		is |= file_same(path, c->disks[i].path);
	return is;
}

/* What is written must not be what the guest is made of: a slip of the hand would empty it. */
static int check_outputs(const struct run_options *o, struct err *err)
{
	const char *dump = vm_option(&o->machine.vm, "dump-dtb");

	if (o->console_log && is_input(o, o->console_log))
		return err_set(
			err, EINVAL,
			"--console-log %s: that file is the guest's kernel, initrd, tree or disk",
			o->console_log);
	if (dump && is_input(o, dump))
		return err_set(
			err, EINVAL,
			"--dump-dtb %s: that file is the guest's kernel, initrd, tree or disk",
			dump);
	if (dump && o->console_log &&
	    (!strcmp(dump, o->console_log) || file_same(dump, o->console_log)))
		return err_set(err, EINVAL, "--dump-dtb and --console-log are both %s", dump);
	return 0;
}

/* What is put in place at the end: it shall not come to nothing then. */
static int check_result(const struct run_options *o, const char *option, const char *path,
			struct err *err)
{
	char folder[PATH_MAX];
	char *slash;

	if (!path)
		return 0;
	if (is_input(o, path))
		return err_set(err, EINVAL, "%s %s: that file is the guest's %s", option, path,
			       "kernel, initrd, tree or disk");
	if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder))
		return err_set(err, ENAMETOOLONG, "%s %s: %s", option, path,
			       strerror(ENAMETOOLONG));
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = 0;
	if (access(slash ? folder : ".", W_OK | X_OK))
		return err_set(err, errno, "%s %s: %s", option, path, strerror(errno));
	return 0;
}

/* It is emptied only when all else is known to be right: see run_machine(). */
static int open_console_log(struct run_options *o, struct err *err)
{
	int rc = check_outputs(o, err);

	if (!rc)
		rc = check_result(o, "--result", o->result, err);
	if (!rc)
		rc = check_result(o, "--junit", o->junit, err);
	if (rc || !o->console_log)
		return rc;
	o->machine.log_fd = file_create(o->console_log, "--console-log", err);
	return MIN(o->machine.log_fd, 0);
}

static void choose_transport(struct run_options *o)
{
	struct machine_config *c = &o->machine;

	if (machine_virtio_devices(c) && !o->transport_given)
		c->virtio_pci = transport_wants_pci(c);
}

static int prepare(int argc, char **argv, struct run_options *o, char *buf, size_t size,
		   struct err *err)
{
	int rc = options_parse(argc, argv, o, err);

	if (!rc)
		rc = choose_kernel(o, buf, size, err);
	if (!rc)
		rc = o->command ? prepare_command(o, err) : root_prepare(o, err);
	if (!rc)
		rc = set_command_defaults(o, err);
	if (!rc)
		rc = add_defaults(o, err);
	if (!rc)
		rc = open_console_log(o, err);
	if (!rc && o->machine.payload && !o->mem_given)
		o->machine.vm.mem = DEFAULT_PAYLOAD_MEM;
	o->machine.image.cmdline = options_params(o);
	if (!rc)
		rc = take_streams(o, err);
	if (rc)
		return rc;
	choose_transport(o);
	log_at(&o->machine.vm.log, LOG_INFO, "%u vCPUs, %llu MiB, kernel %s, command line \"%s\"",
	       o->machine.vm.cpus, (unsigned long long)(o->machine.vm.mem / MIB),
	       o->machine.payload ? o->machine.payload : o->machine.image.kernel,
	       options_params(o));
	return 0;
}

/*
 * A shared directory's server may need an fd for each file that a guest has open. The limit that most
 * systems begin with is for programs that use select().
 */
static void allow_files(const struct machine_config *c)
{
	struct rlimit limit;

	if (!c->n_shares || getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Says why only when something is wrong, or -v asks. */
static void report(const struct run_options *o, const char *why, bool own_status, int status)
{
	if (!own_status && status >= STATUS_REPORTED && status <= STATUS_HOST_FAILED)
		fprintf(stderr, "lkvm: %s (status %d)\n", why, status);
	else
		log_at(&o->machine.vm.log, LOG_INFO, "%s (status %d)", why, status);
}

/* ---- Results ---- */

/* Those of an earlier run go: who looks for them after this one shall find its own, or none. */
static void forget_results(const struct run_options *o)
{
	const char *const paths[] = { o->result, o->junit };
	struct stat st;

	for (unsigned int i = 0; i < ARRAY_SIZE(paths); i++) {
		if (paths[i] && !lstat(paths[i], &st) && S_ISREG(st.st_mode))
			unlink(paths[i]);
	}
}

/* Results that were asked for and are not there are a failure of the host's side. */
static void not_written(struct result *result, const struct err *err)
{
	cmd_fail("%s", err->text);
	result->status = result->status ? result->status : STATUS_HOST_FAILED;
}

static void write_result(const struct run_options *o, struct result *result)
{
	struct buf text = { 0 };
	struct err err;

	if (!o->result)
		return;
	result_put(&text, result);
	if (result_write(o->result, "--result", &text, &err))
		not_written(result, &err);
	buf_free(&text);
}

/* Where results of tests may be: see machine_watch(). */
struct tests {
	struct ktap *ktap[MACHINE_OUTPUTS];
};

static void tests_free(struct tests *t)
{
	for (unsigned int i = 0; i < MACHINE_OUTPUTS; i++)
		ktap_destroy(t->ktap[i]);
}

static void feed_ktap(void *ktap, const void *data, size_t len)
{
	ktap_feed(ktap, data, len);
}

static int tests_watch(struct tests *t, struct machine *m)
{
	for (unsigned int i = 0; i < MACHINE_OUTPUTS; i++) {
		t->ktap[i] = ktap_create();
		if (!t->ktap[i])
			return -ENOMEM;
		machine_watch(m, (enum machine_output)i, feed_ktap, t->ktap[i]);
	}
	return 0;
}

/* `t` NULL: nothing ran. */
static void write_junit(const struct run_options *o, struct result *result, struct tests *t)
{
	static const char *const names[] = {
		[MACHINE_CONSOLE] = "console", [MACHINE_STDOUT] = "stdout"
	};
	struct junit_source sources[MACHINE_OUTPUTS];
	unsigned int n = 0;
	struct buf text = { 0 };
	struct err err;
	/* A program that dies of a signal may have had good tests before. */
	bool failed = result->own_status ? result->status > STATUS_SIGNAL : result->status;

	if (!o->junit)
		return;
	for (; t && n < MACHINE_OUTPUTS; n++) {
		ktap_end(t->ktap[n]);
		sources[n] = (struct junit_source){ names[n], t->ktap[n] };
	}
	junit_put(&text, sources, n, failed ? result->reason : NULL);
	if (result_write(o->junit, "--junit", &text, &err))
		not_written(result, &err);
	buf_free(&text);
}

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

static int fail(struct run_options *o, struct result *result, const char *why)
{
	o->result = o->result ? o->result : given(result->argv, "--result");
	o->junit = o->junit ? o->junit : given(result->argv, "--junit");
	result->status = cmd_fail("%s", why);
	result->verdict = "host-failed";
	result->reason = why;
	write_result(o, result);
	write_junit(o, result, NULL);
	return result->status;
}

static void describe(struct result *result, struct machine *m, const struct run_options *o)
{
	result->verdict = verdict_word(machine_verdict(m));
	result->reason = machine_why(m);
	result->own_status = machine_own_status(m);
	result->timeline = machine_timeline(m);
	result->reports = machine_reports(m);
	result->fail_on = o->machine.fail_on;
	result->release = machine_release(m);
}

/* While the machine is there. Whoever waits for the results need not wait for the console's reader. */
static void conclude(struct machine *m, const struct run_options *o, struct result *result,
		     struct tests *tests, int status)
{
	describe(result, m, o);
	result->status = o->bisect ? verdict_bisect(status, result->own_status) : status;
	if (status == STATUS_REPORTED || status == STATUS_GUEST_DIED)
		machine_show_log(m);
	write_result(o, result);
	write_junit(o, result, tests);
}

/* ---- Running ---- */

/* While signals end it. The exit status, or -errno and a line. */
static int run_watched(struct machine *m, struct err *err)
{
	int status;

	atomic_store(&process.machine, m);
	status = machine_run(m, err);
	/* From here on a signal ends the process at once: output may be waiting for its reader. */
	atomic_store(&process.machine, NULL);
	if (status >= 0)
		status = machine_finish(m);
	terminal_restore();
	return status;
}

static int run_machine(struct run_options *o, struct result *result)
{
	struct tests tests = { 0 };
	struct machine *m;
	struct err err;
	char why[REPORT_LINE + 128];
	int status;

	set_signals();
	allow_files(&o->machine);
	if (machine_create(&o->machine, &m, &err))
		return fail(o, result, err.text);
	/* Fails on what has no length, a pipe or a terminal, and that is well. */
	if (o->machine.log_fd >= 0 && ftruncate(o->machine.log_fd, 0))
		log_at(&o->machine.vm.log, LOG_DEBUG, "--console-log: %s", strerror(errno));
	forget_results(o);
	if (o->junit && tests_watch(&tests, m))
		status = err_set(&err, ENOMEM, "no memory for the results of tests");
	else
		status = run_watched(m, &err);
	if (status < 0) {
		status = fail(o, result, err.text);
		machine_destroy(m);
	} else {
		conclude(m, o, result, &tests, status);
		snprintf(why, sizeof(why), "%s", result->reason);
		machine_destroy(m);
		report(o, why, result->own_status, status);
		status = result->status;
	}
	tests_free(&tests);
	return status;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	}
	return false;
}

int cmd_run(int argc, char **argv, const struct command *table)
{
	char *help[] = { "help", argv[0], NULL };
	char buf[128] = "";
	struct run_options o = {
		.machine = {
			.vm = {
				.cpus = DEFAULT_CPUS,
				.mem = DEFAULT_MEM,
				.log = { .fd = STDERR_FILENO, .level = LOG_WARNING, .name = "lkvm" },
			},
			.in = STDIN_FILENO,
			.out = STDOUT_FILENO,
			.log_fd = -1,
		},
	};
	struct result result = { .argv = argv };
	struct err err;
	int status;

	if (wants_help(argc, argv))
		return cmd_help(2, help, table);
	if (prepare(argc, argv, &o, buf, sizeof(buf), &err))
		status = fail(&o, &result, err.text);
	else
		status = run_machine(&o, &result);
	options_free(&o);
	return status;
}
