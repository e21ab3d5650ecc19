/* SPDX-License-Identifier: MIT */
/* What term/scan finds, and what it must not. */
#include "term/scan.h"

#include <string.h>

#include "guest/init/exec.h"
#include "tests/unit/tap.h"
#include "util/util.h"

struct events {
	int list[16];
	unsigned int n;
};

static void found(void *opaque, int event)
{
	struct events *e = opaque;

	if (e->n < ARRAY_SIZE(e->list))
		e->list[e->n] = event;
	e->n++;
}

/* Feeds `text` in pieces of `piece` bytes; returns the only event, 0 for none, -1 for several. */
static int scan_text(const char *text, size_t piece)
{
	struct scan scan = { 0 };
	struct events e = { 0 };

	for (size_t at = 0, len = strlen(text); at < len; at += piece)
		scan_feed(&scan, text + at, MIN(piece, len - at), found, &e);
	return e.n > 1 ? -1 : e.list[0];
}

static const struct {
	const char *text;
	int event;
} cases[] = {
	{ "[    1.234567] reboot: Restarting system\r\n", SCAN_REBOOT },
	{ "[    1.234567] reboot: machine restart\r\n", SCAN_REBOOT },
	{ "[    1.234567] reboot: Power down\r\n", SCAN_POWEROFF },
	{ "[    1.234567] reboot: System halted\r\n", SCAN_HALT },
	{ "[    1.200000][    T1] Kernel panic - not syncing: Attempted to kill init!",
	  SCAN_PANIC },
	{ "[    1.200000][   C12] Kernel panic - not syncing: x\n", SCAN_PANIC },
	{ "[123456.200000] Kernel panic - not syncing", SCAN_PANIC },
	{ "Kernel panic - not syncing: x", SCAN_PANIC },
	{ "reboot: Restarting system", SCAN_REBOOT },
	{ "[    1.234567] " EXEC_MARK "\n", SCAN_ENDED },
	{ "<6>[    1.000000] reboot: Power down", SCAN_POWEROFF },
	{ "<30>reboot: Power down", SCAN_POWEROFF },
	{ "reboot: Restarting system with command 'x'\n", SCAN_REBOOT },
	{ "one\ntwo\r\n\r\nreboot: Power down", SCAN_POWEROFF },
	{ "50%\r[    1.000000] reboot: Power down", SCAN_POWEROFF },
	{ "\033[0m\033[1;31m[    1.000000] reboot: Power down", SCAN_POWEROFF },
	{ "\033[?25h\033creboot: Power down", SCAN_POWEROFF },
	{ "[    1.000000] \033[31mreboot: Power down", SCAN_POWEROFF },
	{ "login: [    1.000000] reboot: Power down", SCAN_POWEROFF },
	{ "x[[[    1.000000][    T1] Kernel panic - not syncing", SCAN_PANIC },
	{ "rebreboot: \nreboot: Power down", SCAN_POWEROFF },

	{ "EXIT: STATUS=1\n", SCAN_STATUS + 1 },
	{ "x\r\nEXIT: STATUS=255\r\n", SCAN_STATUS + 255 },
	{ "EXIT: STATUS=0\n", SCAN_STATUS },
	{ "EXIT: STATUS=007\n", SCAN_STATUS + 7 },
	{ "EXIT: STATUS=-1\n", SCAN_STATUS + SCAN_STATUS_MAX },
	{ "EXIT: STATUS=65536\n", SCAN_STATUS + SCAN_STATUS_MAX },
	{ "EXIT: STATUS=18446744073709551616\n", SCAN_STATUS + SCAN_STATUS_MAX },
	{ "EXIT: STATUS=4294967296000000000\n", SCAN_STATUS + SCAN_STATUS_MAX },
	{ "EXIT: STATUS=3", 0 }, /* more digits may come */
	{ "EXIT: STATUS=\n", 0 },
	{ "EXIT: STATUS=1x\n", 0 },
	{ "EXIT: STATUS= 1\n", 0 },
	{ "EXIT: STATUS=1-\n", 0 },
	{ "EXIT: STATUS=x\n1\n", 0 },
	{ "PASS EXIT: STATUS=1\n", 0 },
	{ "EXIT: STATUS:1\n", 0 },

	{ "reboot: Restarting syste", 0 },
	{ "reboot: Restarting syste\nm", 0 },
	{ "Kernel panic - not\rsyncing", 0 },
	{ "# grep 'reboot: Power down' log", 0 },
	{ "x reboot: Power down", 0 },
	{ "xreboot: Power down", 0 },
	{ "rreboot: Power down", 0 },
	{ "Reboot: Power down", 0 },
	{ "x [3] reboot: Power down", 0 },
	{ "x [1.2.3] reboot: Power down", 0 },
	{ "[ INFO ] reboot: Power down", 0 },
	{ "[    1.000000] systemd[1]: reboot: Power down", 0 },
	{ "[    1.000000] x reboot: Power down", 0 },
	{ "[reboot: Power down", 0 },
	{ "<reboot: Power down", 0 },
	{ "\033[", 0 },
	{ "", 0 },
};

static void test_cases(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t piece = 1;

		while (piece <= 80 && scan_text(cases[i].text, piece) == cases[i].event)
			piece++;
		ok(piece > 80, "case %u gives %d however it is split (%zu)", i, cases[i].event,
		   piece);
	}
}

static void test_at_last_byte(void)
{
	static const char text[] = "[    1.000000] reboot: Power down";
	struct scan scan = { 0 };
	struct events e = { 0 };

	scan_feed(&scan, text, sizeof(text) - 2, found, &e);
	ok(e.n == 0, "nothing before the last byte");
	scan_feed(&scan, text + sizeof(text) - 2, 1, found, &e);
	ok(e.n == 1 && e.list[0] == SCAN_POWEROFF, "found as it arrives");
}

static void test_several(void)
{
	static const char text[] = "[    1.000000] reboot: Restarting system\r\n"
				   "[    1.000001] reboot: machine restart\r\n"
				   "[    1.000002] Kernel panic - not syncing: x\r\n";
	struct scan scan = { 0 };
	struct events e = { 0 };

	scan_feed(&scan, text, sizeof(text) - 1, found, &e);
	ok(e.n == 3 && e.list[0] == SCAN_REBOOT && e.list[1] == SCAN_REBOOT &&
		   e.list[2] == SCAN_PANIC,
	   "each of several lines");
}

/* Long lines and every byte value; UBSan and ASan watch. */
static void test_noise(void)
{
	struct scan scan = { 0 };
	struct events e = { 0 };
	uint8_t noise[4096];
	uint32_t seed = 1;

	for (unsigned int round = 0; round < 256; round++) {
		for (unsigned int i = 0; i < sizeof(noise); i++) {
			seed = seed * 1664525 + 1013904223;
			noise[i] = round & 1 ? (uint8_t)(seed >> 24)
					     : "[<]>. 1T\033rK"[(seed >> 24) % 11];
		}
		scan_feed(&scan, noise, sizeof(noise), found, &e);
	}
	scan_feed(&scan, "\nreboot: Power down", 19, found, &e);
	ok(e.n == 1 && e.list[0] == SCAN_POWEROFF, "noise finds nothing and hides nothing");
}

int main(void)
{
	test_cases();
	test_at_last_byte();
	test_several();
	test_noise();
	return done_testing();
}
