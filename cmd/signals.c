/* SPDX-License-Identifier: MIT */
#include "cmd/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "term/terminal.h"
#include "util/file.h"
#include "util/util.h"

/*
 * What handlers act on. A process has one set of handlers, so this belongs to it and not to a VM.
 */
static struct {
	struct machine *_Atomic machine;
	atomic_int interrupted, ending;
	pid_t heir;
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

/* Whose pages are a file's has none left, if somebody cuts that short. That is no bug, and no crash. */
static void on_bus_error(int sig)
{
	static const char image[] =
		"lkvm: the image's file was cut short while the guest ran on it: copy it, "
		"or leave out --share-image (status 125)\n";
	static const char snapshot[] =
		"lkvm: the snapshot's memory was cut short while the guest ran on it (status 125)\n";
	struct machine *m = atomic_load(&process.machine);

	if (!m || machine_intact(m)) {
		on_crash(sig);
		return;
	}
	terminal_restore();
	if (machine_settings(m)->snapshot)
		write_within(STDERR_FILENO, snapshot, sizeof(snapshot) - 1, 0);
	else
		write_within(STDERR_FILENO, image, sizeof(image) - 1, 0);
	_exit(STATUS_HOST_FAILED);
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

/* All are blocked meanwhile. */
static void set_handler(int sig, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct sigaction old;

	sigfillset(&sa.sa_mask);
	/* nohup and the like have set it to be ignored, and mean it. */
	if (!sigaction(sig, &sa, &old) && old.sa_handler == SIG_IGN &&
	    (handler == on_end || handler == on_stop))
		sigaction(sig, &old, NULL);
}

/* All that would end the process by default: the terminal must not stay raw behind any. */
static const int ends[] = { SIGINT,  SIGTERM,	SIGHUP,	 SIGQUIT, SIGUSR1, SIGUSR2,
			    SIGALRM, SIGVTALRM, SIGPROF, SIGIO,	  SIGXCPU, SIGPWR };

void signals_set(void)
{
	static const int crashes[] = { SIGSEGV, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };

	sigset_t all, old;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	signal(SIGPIPE, SIG_IGN);
	signal(VM_KICK_SIGNAL, SIG_DFL); /* one that is ignored interrupts no KVM_RUN */
	signal(SIGXFSZ, SIG_IGN);	 /* EFBIG is the disk's error, not our end */
	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++)
		set_handler(ends[i], on_end);
	for (unsigned int i = 0; i < ARRAY_SIZE(crashes); i++)
		set_handler(crashes[i], on_crash);
	set_handler(SIGBUS, on_bus_error);
	set_handler(SIGTSTP, on_stop);
	set_handler(SIGCONT, on_poke);
	set_handler(SIGWINCH, on_poke);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

void signals_end(struct machine *m)
{
	atomic_store(&process.machine, m);
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	if (info->si_code <= 0 && process.heir > 0) /* a process's doing, not the kernel's */
		kill(process.heir, sig);
	errno = saved;
}

int signals_follow(pid_t heir)
{
	struct sigaction sa = { .sa_sigaction = pass_on, .sa_flags = SA_RESTART | SA_SIGINFO };
	struct sigaction old;
	int status;

	process.heir = heir;
	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++) {
		if (!sigaction(ends[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(ends[i], &sa, NULL);
	}
	while (waitpid(heir, &status, 0) < 0) {
		if (errno != EINTR)
			return STATUS_HOST_FAILED;
	}
	process.heir = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_SIGNAL + WTERMSIG(status);
}
