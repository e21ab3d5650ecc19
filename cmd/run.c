/* SPDX-License-Identifier: MIT */
/* lkvm run: from the options to a machine, and from its verdict to the exit status. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/front.h"
#include "cmd/options.h"
#include "cmd/results.h"
#include "cmd/run.h"
#include "cmd/saved-options.h"
#include "cmd/signals.h"
#include "cmd/transport.h"
#include "control/control.h"
#include "host/input.h"
#include "term/terminal.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/util.h"
#include "vm/arch.h"

/* In ms: readers of output after the end, before results are written, and where somebody waits for us. */
#define SOON 200
#define PATIENCE 5000
#define PATIENCE_TEXT "5 s"
#define STUCK 15000 /* devices with their last work: longer than they wait for readers of output */
#define STUCK_TEXT "15 s"

/* ---- The command line for the guest ---- */

/* Did the user say what the kernel shall print? */
static bool has_loglevel(const struct run_options *o)
{
	static const char *const words[] = { "quiet", "debug", "ignore_loglevel" };
	bool has = options_param(o, "loglevel=");

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		has |= options_param(o, words[i]) != NULL;
	return has;
}

/* What the user would forget, and nothing else. */
static int add_defaults(struct run_options *o, struct err *err)
{
	enum console_kind kind = o->machine.console;
	char add[64] = "";

	if (o->nodefaults || o->machine.payload || o->machine.hvt || o->machine.vm.not_linux)
		return 0;
	/* A user's tree may have a command line of its own. */
	if (vm_option(&o->machine.vm, "dtb") && !o->params)
		return 0;
	if (kind != CONSOLE_NONE && !options_param(o, "console="))
		sprintf(add, "console=%s ", kind == CONSOLE_VIRTIO ? "hvc0" : arch_console);
	if (!options_param(o, "panic="))
		strcat(add, "panic=-1 ");
	/* By them the kernel's reports are told from what programs print. */
	if (o->machine.fail_on && !options_param(o, "printk.time=")) {
		strcat(add, "printk.time=1 ");
		o->machine.stamped = true;
	}
	if (o->machine.fail_on && !has_loglevel(o))
		strcat(add, "loglevel=7 ");
	if (add[0])
		add[strlen(add) - 1] = 0; /* the last space */
	return options_add_params(o, add, true, err);
}

/*
 * With a command the console is there for what goes wrong. Each character on it costs an exit, so the
 * kernel prints warnings and what is worse (`quiet` would keep warnings back, too), unless somebody wants
 * its log, or the tests in it: that is all but what is for debugging.
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
	if (m->payload)
		return 0;
	if (options_param(o, "rdinit="))
		return err_set(
			err, EINVAL,
			"--params: rdinit= would keep the init of lkvm, which runs the command, from "
			"its start");
	if (o->nodefaults)
		return 0;
	/* kmemleak only informs; and a kernel's own default may be 4, which keeps warnings back. */
	whole |= m->fail_on >> REPORT_KMEMLEAK & 1;
	if (!has_loglevel(o))
		rc = options_add_params(o, whole ? "loglevel=7" : "loglevel=5", false, err);
	/* For the list of tasks when a timeout has expired. */
	if (!rc && times && !options_param(o, "sysrq_always_enabled"))
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
	for (unsigned int i = 0; i < c->image.n_modules; i++)
		is |= file_same(path, c->image.modules[i].path);
	for (unsigned int i = 0; i < c->n_disks; i++)
		is |= file_same(path, c->disks[i].path);
	return is;
}

/* A slip of the hand would empty it. */
int run_check_output(const struct run_options *o, const char *option, const char *path,
		     struct err *err)
{
	return is_input(o, path)
		       ? err_set(err, EINVAL,
				 "%s %s: that file is the guest's kernel, initrd, tree or disk",
				 option, path)
		       : 0;
}

static int check_outputs(const struct run_options *o, struct err *err)
{
	const char *dump = vm_option(&o->machine.vm, "dump-dtb");
	int rc = 0;

	if (o->console_log)
		rc = run_check_output(o, "--console-log", o->console_log, err);
	if (!rc && dump)
		rc = run_check_output(o, "--dump-dtb", dump, err);
	if (!rc && dump && o->console_log &&
	    (!strcmp(dump, o->console_log) || file_same(dump, o->console_log)))
		rc = err_set(err, EINVAL, "--dump-dtb and --console-log are both %s", dump);
	return rc;
}

/* It is emptied only when all else is known to be right: see run_machine(). */
static int open_console_log(struct run_options *o, struct err *err)
{
	int rc = check_outputs(o, err);

	if (rc || !o->console_log)
		return rc;
	o->machine.log_fd = file_create(o->console_log, "--console-log", err);
	return MIN(o->machine.log_fd, 0);
}

int run_open_outputs(struct run_options *o, struct results *results, struct err *err)
{
	int rc = results_open(results, err);

	return rc ? rc : open_console_log(o, err);
}

static void choose_transport(struct run_options *o)
{
	struct machine_config *c = &o->machine;

	if (machine_virtio_devices(c) && !o->transport_given && !c->vm.not_linux)
		c->virtio_pci = transport_wants_pci(c);
}

static int prepare(int argc, char **argv, struct run_options *o, struct results *results, char *buf,
		   size_t size, struct err *err)
{
	int rc = options_parse(argc, argv, o, err);

	if (!rc)
		rc = choose_kernel(o, buf, size, err);
	if (!rc)
		rc = option_finish_hvt(o, err);
	if (!rc)
		rc = front_look(o, err);
	if (!rc)
		rc = o->command ? prepare_command(o, err) : root_prepare(o, err);
	if (!rc)
		rc = set_command_defaults(o, err);
	if (!rc)
		rc = add_defaults(o, err);
	if (!rc)
		rc = run_open_outputs(o, results, err);
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

/* ---- The end ---- */

/* Says why only when something is wrong, or -v asks. False: it says nothing. */
static bool is_worth_saying(const struct results *r)
{
	return results_judged(r) || r->o->machine.vm.log.level >= LOG_INFO;
}

/* Was it ended, and did not end by itself? Then a person or a script waits for us to end, too. */
static bool was_ended(struct machine *m)
{
	const uint32_t by_us = 1u << VERDICT_SIGNAL | 1u << VERDICT_TIMEOUT;

	return atomic_load(&machine_verdict(m)->reasons) & by_us;
}

/* What is left in ms of a reader's time, which began when the VM ended. */
static unsigned int patience(struct machine *m)
{
	uint64_t since = (clock_now() - machine_timeline(m)->at[PHASE_END]) / 1000000;

	return since < PATIENCE ? (unsigned int)(PATIENCE - since) : 0;
}

struct run {
	const struct run_options *o;
	struct results *results;
	struct control *control; /* NULL: it has no name */
	struct machine *machine;
};

/* Nobody is waited for any more, on stderr neither. Threads that are stuck end with the process. */
static _Noreturn void leave(const struct run *run, const char *why)
{
	struct results *results = run->results;
	const struct result *what = &results->what;
	char text[REPORT_LINE + 512];
	int len = 0;

	results_write(results, RESULTS_LEAVING);
	if (is_worth_saying(results))
		len = snprintf(text, sizeof(text), "lkvm: %s (status %d)\n", what->reason,
			       what->status);
	len += snprintf(text + len, sizeof(text) - (size_t)len, "lkvm: %s\n", why);
	write_within(STDERR_FILENO, text, (size_t)len, 0);
	terminal_restore();
	control_leave(run->control);
	_exit(what->status);
}

/* What came for us when the guest was gone already is for who has it. */
static void hand_on(struct machine *m)
{
	const struct verdict *v = machine_verdict(m);
	bool signalled = atomic_load(&v->reasons) >> VERDICT_SIGNAL & 1;

	terminal_lend(true);
	signals_hand_on(machine_heir(m), signalled ? atomic_load(&v->signal) : 0);
}

/* Until it has ended. The status that is ours, too. */
static int follow_heir(void)
{
	int status = signals_follow();

	terminal_lend(false);
	terminal_restore();
	if (status >= 0)
		return status;
	return cmd_fail("the process that has the guest can't be waited for: %s",
			strerror(-status));
}

/* The run is over, but for a device of the guest's: see machine.h. */
static void leave_stuck(void *opaque, struct machine *m)
{
	const struct run *run = opaque;
	int status = machine_status(m);

	if (machine_heir(m)) {
		hand_on(m);
		_exit(follow_heir());
	}
	signals_end(NULL);
	machine_flush(m, PATIENCE);
	results_describe(run->results, m, status);
	leave(run, "a file of a share, a disk or standard input has not answered for " STUCK_TEXT
		   ", and is not waited for");
}

/*
 * The status is known, but for an output that can't be written. Results that wait for that would wait for
 * its reader, too: so they are written before, if that takes long, and again.
 */
static int conclude(struct machine *m, const struct run *run, int status)
{
	const struct run_options *o = run->o;
	struct results *results = run->results;
	char why[REPORT_LINE + 128];

	if ((o->result || o->junit || was_ended(m)) && !machine_flush(m, SOON)) {
		results_describe(results, m, status);
		results_write(results, RESULTS_EARLY);
		if (was_ended(m) && !machine_flush(m, patience(m)))
			leave(run, "nobody has read the output for " PATIENCE_TEXT
				   ": what is left of it is lost");
	}
	status = machine_finish(m);
	results_describe(results, m, status);
	results_write(results, RESULTS_LAST);
	if (status == STATUS_REPORTED || status == STATUS_GUEST_DIED)
		machine_show_log(m);
	snprintf(why, sizeof(why), "%s", results->what.reason);
	machine_destroy(m);
	control_destroy(run->control);
	if (is_worth_saying(results))
		fprintf(stderr, "lkvm: %s (status %d)\n", why, results->what.status);
	return results->what.status;
}

/* While signals end it. The exit status, or -errno and a line. */
static int run_watched(struct machine *m, const struct run *run, struct err *err)
{
	int status;

	signals_end(m);
	status = machine_run(m, err);
	if (machine_heir(m)) {
		hand_on(m);
		control_hand_on(run->control);
	}
	/* From here on a signal ends the process at once: output may be waiting for its reader. */
	signals_end(NULL);
	control_ended(run->control);
	terminal_restore();
	return status;
}

/* The guest goes on in another process, which has our streams: its end is ours, unless ours was bad already. */
static int follow(struct machine *m, const struct run *run)
{
	struct results *results = run->results;
	char why[REPORT_LINE + 128];
	int status;

	results_describe(results, m, machine_finish(m));
	snprintf(why, sizeof(why), "%s", results->what.reason);
	machine_vm(m)->config.leaves_maps = false; /* there is no end of the process yet */
	machine_destroy(m);
	control_destroy(run->control);
	status = follow_heir();
	if (status || !results->what.status)
		return status;
	fprintf(stderr, "lkvm: %s (status %d)\n", why, results->what.status);
	return results->what.status;
}

static int options(void *opaque, struct buf *out, struct err *err)
{
	const struct run *run = opaque;

	return saved_options_make(run->o, &machine_vm(run->machine)->config, out, err);
}

static int open_control(struct run *run, struct machine *m, struct err *err)
{
	struct control_config config = {
		.name = run->o->name,
		.version = cmd_version_string,
		.machine = m,
		.options = options,
		.words = &run->o->run_words,
		.opaque = run,
		.heir = run->o->heir,
	};

	run->machine = m;
	return run->o->name ? control_create(&config, &run->control, err) : 0;
}

static void has_come(void *opaque)
{
	const struct run *run = opaque;

	control_come(run->control);
}

/* Nothing ran: who has sent a guest here hears why. */
static int fail(const struct run *run, const struct err *err)
{
	machine_refuse(&run->o->machine, err->text);
	return results_fail(run->results, err->text);
}

/* Who goes on with a guest goes on with its log, while the other may still write there. */
static void begin_log(const struct run_options *o)
{
	int fd = o->machine.log_fd, flags;

	if (fd < 0)
		return;
	/* Fails on what has no length, a pipe or a terminal, and that is well. */
	if (!o->heir && ftruncate(fd, 0))
		log_at(&o->machine.vm.log, LOG_DEBUG, "--console-log: %s", strerror(errno));
	flags = fcntl(fd, F_GETFL);
	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_APPEND);
}

int run_machine(struct run_options *o, struct results *results)
{
	struct run run = { .o = o, .results = results };
	struct machine *m;
	struct err err;
	int status;

	signals_set();
	allow_files(&o->machine);
	o->machine.vm.leaves_maps = true;
	if (o->machine.n_shares || o->machine.n_disks || machine_input_may_last(&o->machine)) {
		o->machine.stuck = leave_stuck;
		o->machine.stuck_opaque = &run;
		o->machine.stuck_ms = STUCK;
	}
	if (o->heir) {
		o->machine.come = has_come;
		o->machine.come_opaque = &run;
	}
	if (machine_create(&o->machine, &m, &err))
		return fail(&run, &err);
	if (open_control(&run, m, &err)) {
		machine_destroy(m);
		return fail(&run, &err);
	}
	begin_log(o);
	if (!o->heir)
		results_forget(results);
	if (results_watch(results, m))
		status = err_set(&err, ENOMEM, "no memory for the results of tests");
	else
		status = run_watched(m, &run, &err);
	if (machine_heir(m))
		return follow(m, &run);
	if (status >= 0)
		return conclude(m, &run, status);
	status = fail(&run, &err);
	control_ended(run.control);
	machine_destroy(m);
	control_destroy(run.control);
	return status;
}

/* Behind --, and with --tender behind the image, the words are the guest's. */
static bool wants_help(int argc, char **argv)
{
	bool tender = false;

	for (int i = 1; i < argc && strcmp(argv[i], "--") && !(tender && *argv[i] != '-'); i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
		tender |= !strcmp(argv[i], "--tender");
	}
	return false;
}

void run_init(struct run_options *o)
{
	*o = (struct run_options){
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
}

int cmd_run(int argc, char **argv, const struct command *table)
{
	char *help[] = { "help", argv[0], NULL };
	char buf[128] = "";
	struct run_options o;
	struct results results = { .o = &o, .what.argv = argv };
	struct err err;
	int status;

	if (wants_help(argc, argv))
		return cmd_help(2, help, table);
	run_init(&o);
	if (prepare(argc, argv, &o, &results, buf, sizeof(buf), &err))
		status = results_fail(&results, err.text);
	else
		status = run_machine(&o, &results);
	results_close(&results);
	options_free(&o);
	return status;
}
