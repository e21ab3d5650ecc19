/* SPDX-License-Identifier: MIT */
/* liblkvm as a program uses it: ends, errors, input, stops from outside, and nothing left behind. */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/lkvm.h"
#include "tests/unit/tap.h"

#define HELLO "Hello from inside the guest.\r\n"

struct said {
	char text[4096];
	size_t len;
	struct lkvm *stop; /* at the first byte */
};

static void take(void *opaque, const void *data, size_t len)
{
	struct said *s = opaque;

	if (s->stop)
		lkvm_stop(s->stop);
	if (len > sizeof(s->text) - 1 - s->len)
		len = sizeof(s->text) - 1 - s->len;
	memcpy(s->text + s->len, data, len);
	s->len += len;
}

static struct lkvm *guest(const char *payload, const char *cmdline, struct said *said)
{
	struct lkvm *vm = lkvm_new();

	if (!vm)
		abort();
	lkvm_set_payload(vm, payload);
	lkvm_set_cmdline(vm, cmdline);
	if (said)
		lkvm_on_console(vm, take, said);
	return vm;
}

/* ---- Ends ---- */

static void ends(void)
{
	static const struct {
		const char *payload, *cmdline, *reason;
		int status, own;
	} all[] = {
		{ "hello", "", "poweroff", 0, 0 },	{ "end", "42", "image", 42, 1 },
		{ "end", "panic", "panic", 123, 0 },	{ "end", "reset", "reset", 123, 0 },
		{ "end", "announced", "reboot", 0, 0 }, { "end", "hang", "timeout", 124, 0 },
	};

	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct lkvm *vm = guest(all[i].payload, all[i].cmdline, NULL);
		int status;

		if (all[i].status == 124)
			lkvm_set_timeout(vm, 50);
		status = lkvm_run(vm);
		ok(status == all[i].status && lkvm_status(vm) == status &&
			   !strcmp(lkvm_reason(vm), all[i].reason) &&
			   lkvm_own_status(vm) == all[i].own && lkvm_why(vm)[0],
		   "%s %s: %d, %s: %s", all[i].payload, all[i].cmdline, status, lkvm_reason(vm),
		   lkvm_why(vm));
		lkvm_free(vm);
	}
}

static void consoles(void)
{
	static const enum lkvm_console kinds[] = { LKVM_SERIAL, LKVM_VIRTIO, LKVM_SILENT };

	for (unsigned int i = 0; i < 3; i++) {
		struct said said = { .len = 0 };
		/* A guest that prints waits for its UART for ever, where an arm64 machine has none. */
		const char *payload = kinds[i] == LKVM_SILENT ? "exit" : "hello";
		struct lkvm *vm = guest(payload, "", &said);

		lkvm_set_console(vm, kinds[i]);
		lkvm_use_pci(vm);
		lkvm_add_entropy(vm);
		lkvm_run(vm);
		ok(lkvm_status(vm) == 0 && !strcmp(said.text, kinds[i] == LKVM_SILENT ? "" : HELLO),
		   "console %u: %s", i, lkvm_why(vm));
		lkvm_free(vm);
	}
}

/* ---- Images ---- */

static void *read_all(const char *path, size_t *size)
{
	FILE *f = fopen(path, "r");
	char *data = malloc(1 << 20);

	if (!f || !data)
		abort();
	*size = fread(data, 1, 1 << 20, f);
	fclose(f);
	return data;
}

static void images(const char *build)
{
	struct said said = { .len = 0 }, more = { .len = 0 };
	struct lkvm *vm = lkvm_new();
	char path[256];
	size_t size;
	void *data;

	snprintf(path, sizeof(path), "%s/payload/hello.elf", build);
	lkvm_set_image(vm, path);
	lkvm_on_console(vm, take, &said);
	lkvm_run(vm);
	ok(lkvm_status(vm) == 0 && !strcmp(said.text, HELLO), "an image by its path: %s",
	   lkvm_why(vm));
	lkvm_free(vm);

	data = read_all(path, &size);
	vm = lkvm_new();
	lkvm_set_image_bytes(vm, data, size);
	lkvm_on_console(vm, take, &more);
	ok(!lkvm_create(vm), "an image in memory: %s", lkvm_error(vm));
	free(data);
	lkvm_run(vm);
	ok(lkvm_status(vm) == 0 && !strcmp(more.text, HELLO), "runs when its bytes are gone: %s",
	   lkvm_why(vm));
	lkvm_free(vm);
}

static void kind_is(const char *what, struct lkvm *vm, const char *cmdline, int status)
{
	struct said said = { .len = 0 };

	lkvm_set_cmdline(vm, cmdline);
	lkvm_on_console(vm, take, &said);
	lkvm_run(vm);
	ok(lkvm_status(vm) == status && lkvm_own_status(vm), "%s: %d, %s", what, lkvm_status(vm),
	   lkvm_why(vm));
	lkvm_free(vm);
}

/* Each kind of image gets the machine that it wants. Those of tests/images are one port's. */
static void kinds(const char *build)
{
	static const struct {
		const char *file, *cmdline;
		int status;
	} all[] = {
		{ "hvt/empty.hvt", "", 0 },
		{ "images/multiboot.elf", "exit=7", 7 },
		{ "images/linux64.elf", "exit=8", 8 },
		{ "images/pvh.elf", "exit=9", 9 },
	};

	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct lkvm *vm;
		char path[256];
		size_t size;
		void *data;

		snprintf(path, sizeof(path), "%s/%s", build, all[i].file);
		if (access(path, R_OK))
			continue;
		vm = lkvm_new();
		lkvm_set_image(vm, path);
		kind_is(all[i].file, vm, all[i].cmdline, all[i].status);
		data = read_all(path, &size);
		vm = lkvm_new();
		lkvm_set_image_bytes(vm, data, size);
		kind_is("the same from memory", vm, all[i].cmdline, all[i].status);
		free(data);
	}
}

/* ---- Errors ---- */

static void refused(const char *what, struct lkvm *vm, int code)
{
	int rc = lkvm_run(vm);

	ok(rc == -code && lkvm_status(vm) == rc && lkvm_error(vm)[0] &&
		   !strcmp(lkvm_error(vm), lkvm_why(vm)),
	   "%s: %d, %s", what, rc, lkvm_error(vm));
	lkvm_free(vm);
}

static struct lkvm *solo5(const char *build)
{
	struct lkvm *vm = lkvm_new();
	char path[256];

	snprintf(path, sizeof(path), "%s/hvt/empty.hvt", build);
	lkvm_set_image(vm, path);
	return vm;
}

static void errors(const char *build)
{
	struct lkvm *vm = lkvm_new();

	refused("no image", vm, EINVAL);
	refused("no such payload", guest("nothing", "", NULL), ENOENT);
	vm = lkvm_new();
	lkvm_set_image(vm, "/nonexistent");
	refused("no such file", vm, ENOENT);
	vm = lkvm_new();
	lkvm_set_image_bytes(vm, "not an image", 12);
	refused("no image at all", vm, ENOEXEC);
	vm = guest("hello", "", NULL);
	ok(lkvm_set_memory(vm, 12345) == -EINVAL, "an odd size: %s", lkvm_error(vm));
	ok(lkvm_set_memory(vm, 4 << 20) == -EINVAL && strstr(lkvm_error(vm), "memory"),
	   "the first error stays: %s", lkvm_error(vm));
	refused("and is what running says", vm, EINVAL);
	vm = guest("hello", "", NULL);
	lkvm_set_payload(vm, "end");
	refused("two images", vm, EINVAL);
	vm = guest("hello", "", NULL);
	lkvm_set_irqchip(vm, "bogus");
	refused("no such irqchip", vm, EINVAL);
	vm = solo5(build);
	lkvm_add_disk(vm, "/dev/null", "raw", 0);
	refused("a Solo5 image with a disk of virtio's", vm, EINVAL);
	vm = solo5(build);
	lkvm_set_irqchip(vm, "none");
	refused("with an irqchip", vm, EINVAL);
	vm = solo5(build);
	lkvm_set_console(vm, LKVM_SILENT);
	refused("with no console", vm, EINVAL);
	vm = guest("hello", "", NULL);
	lkvm_add_disk(vm, "/dev/null", "raw", 4);
	refused("unknown flags", vm, EINVAL);
	vm = guest("hello", "", NULL);
	lkvm_set_cpus(vm, 100000);
	refused("too many CPUs", vm, EINVAL);
	vm = guest("hello", "", NULL);
	ok(lkvm_run(vm) == 0 && lkvm_run(vm) == -EBUSY, "it runs once: %s", lkvm_error(vm));
	lkvm_free(vm);
	ok(lkvm_run(NULL) == -ENOMEM && lkvm_error(NULL)[0] && !lkvm_input(NULL, "x", 1),
	   "no handle is no memory");
	lkvm_stop(NULL);
	lkvm_free(NULL);
}

/* ---- From outside ---- */

static void *run(void *vm)
{
	lkvm_run(vm);
	return NULL;
}

static void stops(void)
{
	struct said said = { .len = 0 };
	struct lkvm *vm = guest("hello", "", NULL);
	pthread_t thread;

	lkvm_stop(vm);
	lkvm_run(vm);
	ok(lkvm_status(vm) == 128 && !strcmp(lkvm_reason(vm), "signal"),
	   "stopped before it ran: %s", lkvm_why(vm));
	lkvm_free(vm);

	vm = guest("end", "flood", &said);
	said.stop = vm;
	ok(lkvm_run(vm) == 128 && said.len, "by its console's callback");
	lkvm_free(vm);

	for (int i = 0; i < 20; i++) {
		vm = guest("end", "spin", NULL);
		if (i % 2)
			lkvm_set_cpus(vm, 2);
		pthread_create(&thread, NULL, run, vm);
		usleep((useconds_t)i * 500);
		if (i > 15) {
			while (lkvm_pause(vm))
				usleep(100);
			if (i == 16)
				lkvm_resume(vm);
		}
		lkvm_stop(vm);
		pthread_join(thread, NULL);
		if (lkvm_status(vm) != 128)
			break;
		lkvm_free(vm);
		vm = NULL;
	}
	ok(!vm, "by another thread, at any time");
	lkvm_free(vm);
}

/* The kick must not be left over in the caller's thread, nor stay blocked there. */
static void signals(void)
{
	sigset_t before, after, pending;
	struct lkvm *vm = guest("end", "ports", NULL);
	struct sigaction kick;
	pthread_t thread;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	lkvm_set_timeout(vm, 20);
	lkvm_run(vm);
	lkvm_free(vm);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	sigpending(&pending);
	sigaction(SIGSTKFLT, NULL, &kick);
	ok(sigismember(&after, SIGSTKFLT) == sigismember(&before, SIGSTKFLT) &&
		   !sigismember(&pending, SIGSTKFLT) && kick.sa_handler == SIG_DFL,
	   "the caller's signals are as they were");

	/* Ends by itself while it is stopped: a late kick would end this program. */
	for (int i = 0; i < 50; i++) {
		vm = guest("hello", "", NULL);
		pthread_create(&thread, NULL, run, vm);
		for (int n = 0; n < 200; n++)
			lkvm_stop(vm);
		pthread_join(thread, NULL);
		lkvm_free(vm);
	}
	ok(1, "kicks beside the end kill nobody");
}

static void *feed(void *opaque)
{
	struct lkvm *vm = opaque;

	while (!lkvm_input(vm, "abc", 3))
		usleep(100);
	return NULL;
}

static void input(void)
{
	struct said said = { .len = 0 };
	struct lkvm *vm = guest("rings", "", &said);
	static char much[100000];
	pthread_t thread;

	ok(!lkvm_input(vm, "abc", 3), "no input before there is a machine");
	ok(!lkvm_create(vm), "it is made: %s", lkvm_error(vm));
	ok(lkvm_input(vm, much, sizeof(much)) == 65536 && !lkvm_input(vm, much, 1),
	   "64 KiB of input are kept");
	lkvm_stop(vm);
	lkvm_run(vm);
	lkvm_free(vm);
	vm = guest("hello", "", &said);
	pthread_create(&thread, NULL, feed, vm);
	ok(lkvm_run(vm) == 0, "input that nobody reads is no harm");
	pthread_join(thread, NULL);
	lkvm_free(vm);
}

static void note_line(void *opaque, enum lkvm_level level, const char *line)
{
	int *lines = opaque;

	*lines += level <= LKVM_INFO && *line && !strchr(line, '\n');
}

static void logs(void)
{
	struct lkvm *vm = guest("hello", "", NULL);
	int lines = 0;

	lkvm_on_log(vm, LKVM_INFO, note_line, &lines);
	lkvm_run(vm);
	ok(lkvm_status(vm) == 0 && lines, "lines of its own: %d", lines);
	lkvm_free(vm);
}

/* ---- Many ---- */

static int count(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static long resident_kib(void)
{
	char line[128];
	long kib = 0;
	FILE *f = fopen("/proc/self/smaps_rollup", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Rss:", 4))
			kib = atol(line + 4);
	}
	if (f)
		fclose(f);
	return kib;
}

static int in_a_row(int n)
{
	int good = 0;

	for (int i = 0; i < n; i++) {
		struct said said = { .len = 0 };
		struct lkvm *vm = guest("hello", "", &said);

		lkvm_set_console(vm, i % 4 ? LKVM_SERIAL : LKVM_VIRTIO);
		good += lkvm_run(vm) == 0 && !strcmp(said.text, HELLO);
		lkvm_free(vm);
	}
	return good;
}

/* What the first ones need for good, allocators and the like, is there after a few. */
static void leaks(void)
{
	int n = getenv("LONG") ? 10000 : 300, fds, threads, good;
	long kib, bytes;

	in_a_row(50);
	fds = count("/proc/self/fd");
	threads = count("/proc/self/task");
	kib = resident_kib();
	bytes = (long)mallinfo2().uordblks;
	good = in_a_row(n);
	ok(good == n, "%d of %d guests in a row said hello", good, n);
	ok(count("/proc/self/fd") == fds && count("/proc/self/task") == threads,
	   "no fd and no thread is left: %d, %d", fds, threads);
	bytes = (long)mallinfo2().uordblks - bytes;
	ok(bytes < 16 * n && bytes < 4096,
	   "nor what was allocated: %ld bytes, which the allocator keeps", bytes);
	kib = resident_kib() - kib;
	ok(kib < 512, "resident memory after them: %ld KiB more", kib);
}

#define AT_ONCE 24

static void many(void)
{
	struct said said[AT_ONCE] = { 0 };
	struct lkvm *vms[AT_ONCE];
	pthread_t threads[AT_ONCE];
	int good = 0;

	for (int i = 0; i < AT_ONCE; i++) {
		vms[i] = guest("hello", "", &said[i]);
		pthread_create(&threads[i], NULL, run, vms[i]);
	}
	for (int i = 0; i < AT_ONCE; i++) {
		pthread_join(threads[i], NULL);
		good += lkvm_status(vms[i]) == 0 && !strcmp(said[i].text, HELLO);
		lkvm_free(vms[i]);
	}
	ok(good == AT_ONCE, "%d of %d machines at once", good, AT_ONCE);
}

int main(void)
{
	const char *build = getenv("KINDLING_BUILD");

	ends();
	consoles();
	images(build ? build : "build");
	kinds(build ? build : "build");
	errors(build ? build : "build");
	stops();
	signals();
	input();
	logs();
	many();
	leaks();
	return done_testing();
}
