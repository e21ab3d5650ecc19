/* SPDX-License-Identifier: MIT */
/* Says what a kernel or a program might, as its command line names it; its status is 7. */
#include "guest/payload/port.h"

#define T "[    1.234567] "

static const struct {
	const char *what, *text;
} texts[] = {
	{ "warning", T "------------[ cut here ]------------\r\n" T
		       "WARNING: CPU: 0 PID: 1 at kernel/say.c:1 say+0x1/0x2\r\n" T
		       "Call Trace:\r\n" T "---[ end trace 0000000000000000 ]---\r\n" },
	{ "oops", T "BUG: unable to handle page fault for address: 0000000000001000\r\n" T
		    "Oops: 0002 [#1] SMP\r\n" },
	{ "kasan", T "BUG: KASAN: slab-out-of-bounds in say+0x1/0x2\r\n" },
	{ "kmemleak",
	  T "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)\r\n" },
	/* A program's own words, where the kernel prints its time stamps. */
	{ "words", T "Linux version 6.1.0-say (x) #1\r\nWARNING: CPU: 0 PID: 1 at x\r\n"
		     "Oops: 0002 [#1] SMP\r\nBUG: KASAN: x\r\n" },
	{ "reboot", T "WARNING: CPU: 0 PID: 1 at x\r\n" T "reboot: Restarting system\r\n" },
	{ "ktap",
	  "KTAP version 1\r\n1..2\r\n    KTAP version 1\r\n    # Subtest: suite\r\n    1..2\r\n"
	  "    ok 1 one\r\n    # it went wrong\r\n    not ok 2 t\xc3\xa4<w>o\x01\r\n"
	  "not ok 1 suite\r\n" T "BUG: noise\r\nok 2 other # SKIP no\r\n" },
	{ "good", "TAP version 13\r\n1..2\r\nok 1 one\r\nok 2 two\r\n" },
	{ "escape", T "WARNING: CPU: 0 PID: 1 at \033[31m\x07x\r\n" },
};

static void pvpanic(uint64_t events)
{
	for (unsigned int i = 0; i < port_n_places; i++) {
		if (str_eq(port_places[i].name, "pvpanic"))
			place_write(&port_places[i], port_places[i].base, events, 1);
	}
}

int payload_main(const void *boot)
{
	const char *what = payload_cmdline(boot);

	port_init();
	for (unsigned int i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (str_eq(what, texts[i].what))
			put_str(texts[i].text);
	}
	if (str_eq(what, "pvpanic"))
		pvpanic(1);
	if (str_eq(what, "crash-loaded"))
		pvpanic(2);
	return 7;
}
