/* SPDX-License-Identifier: MIT */
/* Two machines at once, each with a console and an end of its own. */
#include <lkvm.h>
#include <pthread.h>
#include <stdio.h>

static void print(void *console, const void *data, size_t len)
{
	fwrite(data, 1, len, console);
}

static struct lkvm *guest(const char *payload, const char *cmdline, FILE *console)
{
	struct lkvm *vm = lkvm_new();

	lkvm_set_payload(vm, payload); /* yours: lkvm_set_image(vm, "app.elf") */
	lkvm_set_cmdline(vm, cmdline);
	lkvm_on_console(vm, print, console);
	return vm;
}

static void *run(void *vm)
{
	lkvm_run(vm);
	return NULL;
}

int main(void)
{
	struct lkvm *a = guest("hello", "", stdout), *b = guest("end", "panic", stderr);
	pthread_t thread;

	pthread_create(&thread, NULL, run, a);
	run(b);
	pthread_join(thread, NULL);
	printf("hello: %d, %s\n", lkvm_status(a), lkvm_why(a));
	printf("end: %d, %s\n", lkvm_status(b), lkvm_why(b));
	lkvm_free(a);
	lkvm_free(b);
}
