/* SPDX-License-Identifier: MIT */
/* What term/reports finds in a console's stream, and what it must not. */
#include "term/reports.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/tap.h"
#include "util/util.h"

static void found(void *opaque, enum report_class class)
{
	*(uint32_t *)opaque |= 1u << class;
}

#define T "[    1.234567] "
#define C "[   12.345678][  T123] "

static const struct {
	const char *text;
	uint32_t classes; /* bits of what is found */
	uint32_t n;	  /* reports */
} cases[] = {
#define ONE(class) 1u << REPORT_##class, 1
	/* x86, 6.1 and 6.12; a BUG ends in an oops */
	{ T "BUG: kernel NULL pointer dereference, address: 0000000000000000\r\n" T
	    "#PF: supervisor write access in kernel mode\r\n" T
	    "Oops: 0002 [#1] PREEMPT SMP PTI\r\n" T "---[ end trace 0000000000000000 ]---\r\n",
	  ONE(OOPS) },
	{ T "BUG: unable to handle page fault for address: ffffc90000000000\n" T
	    "Oops: Oops: 0000 [#1] SMP\n",
	  ONE(OOPS) },
	{ T "general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP\n",
	  ONE(OOPS) },
	{ T "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] "
	    "SMP NOPTI\n",
	  ONE(OOPS) },
	{ T "divide error: 0000 [#1] PREEMPT SMP\n", ONE(OOPS) },
	{ T "------------[ cut here ]------------\n" T
	    "kernel BUG at drivers/misc/lkdtm/bugs.c:82!\n" T
	    "invalid opcode: 0000 [#1] PREEMPT SMP NOPTI\n",
	  1u << REPORT_BUG | 1u << REPORT_OOPS, 1 },
	/* arm64 */
	{ C
	  "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000\n" C
	  "Mem abort info:\n" C "Internal error: Oops: 0000000096000044 [#1] SMP\n",
	  ONE(OOPS) },
	{ T "kernel BUG at mm/slub.c:1!\n" T
	    "Internal error: Oops - BUG: 00000000f2000800 [#1] SMP\n",
	  1u << REPORT_BUG | 1u << REPORT_OOPS, 1 },
	/* Warnings, before and since 6.19 */
	{ T "------------[ cut here ]------------\n" T "something is odd\n" T
	    "WARNING: CPU: 0 PID: 1 at kernel/foo.c:123 bar+0x12/0x34\n",
	  ONE(WARNING) },
	{ C "WARNING: kernel/foo.c:123 at bar+0x12/0x34, CPU#3: swapper/0/1\n", ONE(WARNING) },
	{ C "WARNING: at bar+0x12/0x34, CPU#3: swapper/0/1\n", ONE(WARNING) },
	{ T "------------[ cut here ]------------\n" T "refcount_t: underflow; use-after-free.\n" T
	    "WARNING: CPU: 1 PID: 9 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110\n",
	  1u << REPORT_REFCOUNT | 1u << REPORT_WARNING, 1 },
	{ T "list_add corruption. prev->next should be next (ff), but was 00. (prev=ff).\n",
	  ONE(LIST) },
	{ T "list_del corruption, ffff->next is LIST_POISON1 (dead)\n", ONE(LIST) },
	/* Sanitizers */
	{ T "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2\n", ONE(KASAN) },
	{ T "BUG: KFENCE: use-after-free read in f+0x1/0x2\n", ONE(KFENCE) },
	{ T "BUG: KMSAN: uninit-value in f+0x1/0x2\n", ONE(KMSAN) },
	{ T "BUG: KCSAN: data-race in f / g\n", ONE(KCSAN) },
	{ T "UBSAN: array-index-out-of-bounds in drivers/misc/lkdtm/bugs.c:400:16\n", ONE(UBSAN) },
	/* Locks */
	{ T "WARNING: possible circular locking dependency detected\n", ONE(LOCKDEP) },
	{ T "WARNING: possible recursive locking detected\n", ONE(LOCKDEP) },
	{ T "WARNING: possible irq lock inversion dependency detected\n", ONE(LOCKDEP) },
	{ T "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected\n", ONE(LOCKDEP) },
	{ T "WARNING: inconsistent lock state\n", ONE(LOCKDEP) },
	{ T "WARNING: bad unlock balance detected!\n", ONE(LOCKDEP) },
	{ T "WARNING: suspicious RCU usage\n", ONE(LOCKDEP) },
	{ T "[ BUG: Invalid wait context ]\n", ONE(LOCKDEP) },
	{ T "BUG: sleeping function called from invalid context at kernel/x.c:1\n", ONE(ATOMIC) },
	{ T "BUG: scheduling while atomic: cat/120/0x00000002\n", ONE(ATOMIC) },
	{ T "BUG: using smp_processor_id() in preemptible [00000000] code: cat/1\n", ONE(ATOMIC) },
	/* Watchdogs */
	{ T "INFO: task cat:120 blocked for more than 120 seconds.\n", ONE(HUNG_TASK) },
	{ T "INFO: task cat:120 blocked in I/O wait for more than 120 seconds.\n", ONE(HUNG_TASK) },
	{ T "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [cat:120]\n", ONE(SOFT_LOCKUP) },
	{ T "watchdog: Watchdog detected hard LOCKUP on cpu 0\n", ONE(HARD_LOCKUP) },
	{ T "watchdog: CPU3: Watchdog detected hard LOCKUP on cpu 3\n", ONE(HARD_LOCKUP) },
	{ T "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0\n", ONE(HARD_LOCKUP) },
	{ T "rcu: INFO: rcu_preempt self-detected stall on CPU\n", ONE(RCU_STALL) },
	{ T "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:\n", ONE(RCU_STALL) },
	{ T
	  "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... } 21 jiffies\n",
	  ONE(RCU_STALL) },
	{ T "INFO: rcu_tasks detected stalls on tasks:\n", ONE(RCU_STALL) },
	{ T "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!\n",
	  ONE(WORKQUEUE) },
	/* Memory */
	{ T "BUG: Bad page state in process cat  pfn:01234\n", ONE(BAD_PAGE) },
	{ T "BUG: Bad rss-counter state mm:ff type:MM_ANONPAGES val:1\n", ONE(BAD_PAGE) },
	{ T "BUG kmalloc-64 (Not tainted): Right Redzone overwritten\n", ONE(SLAB) },
	{ T "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)\n",
	  ONE(KMEMLEAK) },
	{ T "BUG: something new\n", ONE(BUG) },
	/* Where it may stand */
	{ "BUG: something new\n", ONE(BUG) }, /* no time stamps at all */
	{ "<4>WARNING: CPU: 0 PID: 1 at x\n", ONE(WARNING) },
	{ "<1>" T "BUG: something new\n", ONE(BUG) },
	{ "login: " T "BUG: something new\n", ONE(BUG) },
	{ "[1] [[    1.234567][   C12] BUG: something new\n", ONE(BUG) },
	{ "50%\r" T "BUG: something new\r\n", ONE(BUG) },
	{ "\033[0m\033[1;31m" T "BUG: something new\n", ONE(BUG) },
	{ T "BUG: one\n" T "BUG: two\n", 1u << REPORT_BUG, 2 },
	{ T "BUG: KASAN: x\n" T "WARNING: CPU: 0 PID: 1 at x\n",
	  1u << REPORT_KASAN | 1u << REPORT_WARNING, 2 },
	/* And where not */
	{ T "x\nBUG: by a program\n", 0, 0 },
	{ T "x\nWARNING: CPU: 0 PID: 1 at x\r\n", 0, 0 },
	{ T "systemd[1]: BUG: by a program\n", 0, 0 },
	{ T "traps: cat[120] general protection fault ip:1 sp:2 error:0 in cat\n", 0, 0 },
	{ T "x WARNING: CPU: 0 PID: 1 at x\n", 0, 0 },
	{ T "x\nversion [1.5] BUG: by a program\n", 0, 0 },
	{ T "x\n[1.2.345678] BUG: by a program\n", 0, 0 },
	{ T "x\n[    1.2345678] BUG: by a program\n", 0, 0 },
	{ T "[ X1] BUG: no caller\n", 0, 0 },
	{ T "WARNING: memory hotplug is odd\n", 0, 0 },
	{ T "rcu: Hierarchical RCU implementation.\n", 0, 0 },
	{ T "INFO: task x is fine\n", 0, 0 },
	{ T "debug: slab\n", 0, 0 },
	{ T "DEBUG: no\n", 0, 0 },
	{ "[ INFO ] x\n" T "y\n[  BUG ] z\n", 0, 0 },
	{ T "list_add is fine\n", 0, 0 },
	{ T "WARNI\nNG: CPU: 0 PID: 1 at x\n", 0, 0 },
	{ "[BUG: ", 0, 0 },
	{ "", 0, 0 },
};

/* In two pieces, the second of which begins at `at`. */
static bool finds(const char *text, size_t at, uint32_t classes, uint32_t n)
{
	struct report_console c = { 0 };
	struct reports r;
	uint32_t got = 0;
	bool right;

	reports_init(&r, found, &got);
	reports_feed(&r, &c, text, at);
	reports_feed(&r, &c, text + at, strlen(text) - at);
	reports_end(&r, &c);
	right = got == classes && r.n == n && r.total == n;
	reports_destroy(&r);
	return right;
}

static void test_cases(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t at = 0, len = strlen(cases[i].text);

		while (at <= len && finds(cases[i].text, at, cases[i].classes, cases[i].n))
			at++;
		ok(at > len, "case %u, however it is split (%zu)", i, at);
	}
}

/* Must name each class somewhere above. */
static void test_complete(void)
{
	uint32_t seen = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		seen |= cases[i].classes;
	ok(seen == REPORT_ALL, "every class was found");
}

static const char warning[] = T "booting\n" T "------------[ cut here ]------------\n" T
				"the words of it\n" T "WARNING: CPU: 0 PID: 1 at a.c:1 f+1\n" T
				"Call Trace:\nprinted by a program\n" T " f+0x1/0x2\n" T
				"---[ end trace 0 ]---\n" T "later\n";

static void test_text(void)
{
	struct report_console c = { 0 };
	struct reports r;
	uint32_t got = 0;
	const struct report *report;

	reports_init(&r, found, &got);
	reports_feed(&r, &c, warning, strlen(warning));
	report = reports_first(&r, REPORT_ALL);
	ok(report && !strcmp(report->first, "WARNING: CPU: 0 PID: 1 at a.c:1 f+1"),
	   "its first line, without time stamp");
	ok(report && report->text == strstr(report->text, T "------------[ cut"),
	   "its text begins at the cut");
	ok(report && strstr(report->text, "the words of it\n") &&
		   strstr(report->text, "f+0x1/0x2\n"),
	   "holds what stands above and below");
	ok(report && !strstr(report->text, "by a program"), "nothing of a program's");
	ok(report && !strstr(report->text, "later"), "and ends with the end of the trace");
	ok(!reports_first(&r, REPORT_ALL & ~(1u << REPORT_WARNING)), "no other class has it");
	reports_end(&r, &c);
	reports_destroy(&r);
}

static void test_bounds(void)
{
	struct report_console c = { 0 };
	struct reports r;
	uint32_t got = 0;
	char line[4096];

	memset(line, 'x', sizeof(line));
	reports_init(&r, found, &got);
	for (unsigned int i = 0; i < 1000; i++) {
		reports_feed(&r, &c, T "BUG: ", strlen(T) + 5);
		for (unsigned int j = 0; j < 100; j++) {
			reports_feed(&r, &c, line, sizeof(line));
			reports_feed(&r, &c, "\n" T, 1 + strlen(T));
		}
		reports_feed(&r, &c, "\n", 1);
	}
	ok(r.n == REPORTS_MAX && r.total == 1000, "so many are kept, all are counted");
	ok(r.list[0].len < REPORT_TEXT && strlen(r.list[0].text) == r.list[0].len,
	   "a text has its bounds");
	reports_end(&r, &c);
	reports_destroy(&r);
}

static void test_noise(void)
{
	static const char alphabet[] = "[<]>. 1T\033\n\rBUG: WARNING";
	struct report_console c = { 0 };
	struct reports r;
	uint32_t got = 0, seed = 1;
	uint8_t noise[4096];

	reports_init(&r, found, &got);
	for (unsigned int round = 0; round < 256; round++) {
		for (unsigned int i = 0; i < sizeof(noise); i++) {
			seed = seed * 1664525 + 1013904223;
			noise[i] = round & 1 ? (uint8_t)(seed >> 24)
					     : (uint8_t)alphabet[(seed >> 24) % strlen(alphabet)];
		}
		reports_feed(&r, &c, noise, sizeof(noise));
	}
	got = 0;
	reports_feed(&r, &c, "\n" T "UBSAN: x\n", strlen(T) + 11);
	ok(got == 1u << REPORT_UBSAN, "noise hides nothing");
	reports_end(&r, &c);
	reports_destroy(&r);
}

static const struct {
	const char *list;
	int64_t mask; /* -1: refused */
} lists[] = {
	{ "none", 0 },
	{ "all", REPORT_ALL },
	{ "default", REPORT_DEFAULT },
	{ "oops", 1u << REPORT_OOPS },
	{ "oops,hung-task", 1u << REPORT_OOPS | 1u << REPORT_HUNG_TASK },
	{ "-warning", REPORT_DEFAULT & ~(1u << REPORT_WARNING) },
	{ "all,-warning,-oops", REPORT_ALL & ~(1u << REPORT_WARNING | 1u << REPORT_OOPS) },
	{ "default,kmemleak", REPORT_ALL },
	{ "", -1 },
	{ "oop", -1 },
	{ "oopsy", -1 },
	{ "oops,", -1 },
	{ ",oops", -1 },
	{ "-", -1 },
	{ "-none", -1 },
};

static void test_lists(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(lists); i++) {
		struct err err = { "" };
		uint32_t mask = 0x55;
		int rc = reports_parse(lists[i].list, &mask, &err);

		if (lists[i].mask < 0)
			ok(rc == -22 && mask == 0x55 && err.text[0], "'%s' is refused",
			   lists[i].list);
		else
			ok(!rc && mask == lists[i].mask, "'%s'", lists[i].list);
	}
}

int main(void)
{
	test_cases();
	test_complete();
	test_text();
	test_bounds();
	test_noise();
	test_lists();
	return done_testing();
}
