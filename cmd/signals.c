/* SPDX-License-Identifier: MIT */
#include "cmd/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "term/terminal.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/util.h"

/*
 * What handlers act on. A process has one set of handlers, so this belongs to it and not to a VM.
 */
static struct {
	struct machine *_Atomic machine;
	atomic_int interrupted;
	/* The first signal that was to end it: when, in ns, and whether who was here before us handed it on. */
	_Atomic uint64_t ending;
	atomic_bool handed_on;
	_Atomic pid_t heir;
	void (*_Atomic clean)(void *opaque);
	void *clean_opaque;
} process;

#define HANDED_ON 0x6b766d /* in a signal's value */
#define AT_ONCE CLOCK_SECOND

static bool is_handed_on(const siginfo_t *info)
{
	return info->si_code == SI_QUEUE && info->si_value.sival_int == HANDED_ON;
}

/* Sent to a group, a signal comes by itself and from who was here before: that is one, whichever is first. */
static bool is_again(const siginfo_t *info, uint64_t first)
{
	return clock_now() - first < AT_ONCE &&
	       (is_handed_on(info) || atomic_load(&process.handed_on));
}

static void to_heir(int sig)
{
	const union sigval value = { .sival_int = HANDED_ON };
	pid_t heir = atomic_load(&process.heir);

	if (heir > 0)
		sigqueue(heir, sig, value);
}

/* To end: once politely, then at once. But the first Ctrl-C is for the command in the guest. */
static void on_end(int sig, siginfo_t *info, void *context)
{
	struct machine *m = atomic_load(&process.machine);
	uint64_t first = atomic_load(&process.ending);
	void (*clean)(void *opaque) = atomic_load(&process.clean);
	int saved = errno;

	(void)context;
	if (first && is_again(info, first))
		return;
	if (sig == SIGINT && m && !atomic_exchange(&process.interrupted, 1) &&
	    machine_interrupt(m)) {
		errno = saved;
		return;
	}
	if (!m || first) {
		terminal_restore();
		if (clean)
			clean(process.clean_opaque);
		_exit(STATUS_SIGNAL + sig);
	}
	atomic_store(&process.handed_on, is_handed_on(info));
	atomic_store(&process.ending, clock_now());
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

static void on_stop(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	if (info->si_code <= 0)
		to_heir(sig);
	terminal_restore();
	raise(SIGSTOP);
	errno = saved;
}

static void on_poke(int sig)
{
	struct machine *m = atomic_load(&process.machine);
	int saved = errno;

	if (sig == SIGCONT)
		to_heir(sig);
	if (m)
		machine_poke(m);
	errno = saved;
}

/* All are blocked meanwhile. nohup and the like have set it to be ignored, and mean it. */
static void set_informed(int sig, void (*handler)(int sig, siginfo_t *info, void *context))
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_RESTART | SA_SIGINFO };
	struct sigaction old;

	sigfillset(&sa.sa_mask);
	if (!sigaction(sig, &sa, &old) && old.sa_handler == SIG_IGN)
		sigaction(sig, &old, NULL);
}

static void set_handler(int sig, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };

	sigfillset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
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
	signal(SIGCHLD, SIG_DFL);	 /* else nobody hears how a child ended */
	signal(VM_KICK_SIGNAL, SIG_DFL); /* one that is ignored interrupts no KVM_RUN */
	signal(SIGXFSZ, SIG_IGN);	 /* EFBIG is the disk's error, not our end */
	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++)
		set_informed(ends[i], on_end);
	for (unsigned int i = 0; i < ARRAY_SIZE(crashes); i++)
		set_handler(crashes[i], on_crash);
	set_handler(SIGBUS, on_bus_error);
	set_informed(SIGTSTP, on_stop);
	set_handler(SIGCONT, on_poke);
	set_handler(SIGWINCH, on_poke);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

void signals_clean(void (*clean)(void *opaque), void *opaque)
{
	atomic_store(&process.clean, NULL);
	process.clean_opaque = opaque;
	atomic_store(&process.clean, clean);
}

void signals_end(struct machine *m)
{
	atomic_store(&process.machine, m);
}

/* (From a terminal it has had it itself.) */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	if (info->si_code <= 0)
		to_heir(sig);
	errno = saved;
}

void signals_hand_on(pid_t heir, int already)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	atomic_store(&process.heir, heir);
	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++)
		set_informed(ends[i], pass_on);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (already)
		to_heir(already);
}

int signals_follow(void)
{
	pid_t heir = atomic_load(&process.heir);
	int status;

	while (waitpid(heir, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	atomic_store(&process.heir, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_SIGNAL + WTERMSIG(status);
}
