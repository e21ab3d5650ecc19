/* SPDX-License-Identifier: MIT */
/*
 * A state machine that looks at each byte once and keeps no text: prefixes are stepped over, then
 * all patterns are compared at once, a bit for each that still fits.
 */
#include "term/scan.h"

#include <stdbool.h>
#include <string.h>

#include "util/util.h"

enum state {
	START,	/* at the start of a line, or after a prefix */
	LEVEL,	/* in "<N>" */
	PREFIX, /* in "[...]" at the start: a time stamp or a caller, "T1" or "C0" */
	STAMP,	/* in "[...]" in mid-line: a time stamp only; `pos` counts its points */
	ESCAPE, /* after ESC */
	CSI,	/* after ESC [ */
	MATCH,
	NUMBER, /* behind "EXIT: STATUS=" */
	SKIP,	/* nothing can begin here but a time stamp */
};

static const struct pattern {
	const char *text;
	enum scan_event event;
} patterns[] = {
	{ "Kernel panic - not syncing", SCAN_PANIC },
	{ "reboot: Restarting system", SCAN_REBOOT },
	{ "reboot: machine restart", SCAN_REBOOT },
	{ "reboot: Power down", SCAN_POWEROFF },
	{ "reboot: System halted", SCAN_HALT },
	{ "lkvm-init: the command has ended", SCAN_ENDED },
	{ "EXIT: STATUS=", SCAN_EXIT },
};

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Returns the event that `c` completes, or 0. */
static int match(struct scan *scan, uint8_t c)
{
	int event = 0;

	for (uint32_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		if (!(scan->alive & 1u << i))
			continue;
		if ((uint8_t)patterns[i].text[scan->pos] != c) {
			scan->alive &= ~(1u << i);
		} else if (!patterns[i].text[scan->pos + 1]) {
			event = patterns[i].event;
			scan->alive = 0;
		}
	}
	scan->pos++;
	return event;
}

static enum state start(struct scan *scan, uint8_t c)
{
	switch (c) {
	case ' ':
		return START;
	case '<':
		return LEVEL;
	case '[':
		return PREFIX;
	case 0x1b:
		return ESCAPE;
	}
	scan->alive = (1u << ARRAY_SIZE(patterns)) - 1;
	scan->pos = 0;
	match(scan, c);
	return scan->alive ? MATCH : SKIP;
}

static enum state mid_line(struct scan *scan, uint8_t c)
{
	scan->pos = 0;
	return c == '[' ? STAMP : SKIP;
}

static enum state stamp(struct scan *scan, uint8_t c)
{
	if (c == ']')
		return scan->pos == 1 ? START : SKIP;
	if (c == '.')
		scan->pos++;
	return c == ' ' || c == '.' || is_digit(c) ? STAMP : mid_line(scan, c);
}

/* `pos` is 0 before the first digit, then the number plus one. A minus makes it the largest there is. */
static enum state number(struct scan *scan, uint8_t c)
{
	if (c == '-' && !scan->pos)
		scan->pos = SCAN_STATUS_MAX + 1;
	else if (is_digit(c))
		scan->pos = MIN((scan->pos ? scan->pos - 1 : 0) * 10 + (c - 48u), SCAN_STATUS_MAX) +
			    1;
	else
		return mid_line(scan, c);
	return NUMBER;
}

static enum state next(struct scan *scan, uint8_t c)
{
	switch ((enum state)scan->state) {
	case START:
		return start(scan, c);
	case LEVEL:
		return c == '>' ? START : is_digit(c) ? LEVEL : mid_line(scan, c);
	case PREFIX:
		if (c == ']')
			return START;
		return is_digit(c) || memchr(" .TC", c, 4) ? PREFIX : mid_line(scan, c);
	case STAMP:
		return stamp(scan, c);
	case ESCAPE:
		return c == '[' ? CSI : START;
	case CSI:
		return c >= 0x40 && c <= 0x7e ? START : CSI;
	case NUMBER:
		return number(scan, c);
	case MATCH:
	case SKIP:
		break;
	}
	return mid_line(scan, c);
}

void scan_feed(struct scan *scan, const void *data, size_t len,
	       void (*found)(void *opaque, int event), void *opaque)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		int event = 0;

		if (p[i] == '\n' || p[i] == '\r') {
			if (scan->state == NUMBER && scan->pos)
				found(opaque, SCAN_STATUS + (int)scan->pos - 1);
			scan->state = START;
			continue;
		}
		if (scan->state == MATCH) {
			event = match(scan, p[i]);
			if (scan->alive)
				continue;
		}
		if (event == SCAN_EXIT) {
			scan->state = NUMBER;
			scan->pos = 0;
			continue;
		}
		scan->state = next(scan, p[i]);
		if (event)
			found(opaque, event);
	}
}
