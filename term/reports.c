/* SPDX-License-Identifier: MIT */
#include "term/reports.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"

static const struct {
	const char *name, *words;
} classes[REPORT_CLASSES] = {
	[REPORT_OOPS] = { "oops", "an oops" },
	[REPORT_BUG] = { "bug", "a BUG" },
	[REPORT_WARNING] = { "warning", "a WARNING" },
	[REPORT_KASAN] = { "kasan", "a bad memory access (KASAN)" },
	[REPORT_KFENCE] = { "kfence", "a bad memory access (KFENCE)" },
	[REPORT_KMSAN] = { "kmsan", "use of uninitialized memory (KMSAN)" },
	[REPORT_KCSAN] = { "kcsan", "a data race (KCSAN)" },
	[REPORT_UBSAN] = { "ubsan", "undefined behaviour (UBSAN)" },
	[REPORT_LOCKDEP] = { "lockdep", "a locking error" },
	[REPORT_ATOMIC] = { "atomic", "sleeping in atomic context" },
	[REPORT_HUNG_TASK] = { "hung-task", "a hung task" },
	[REPORT_WORKQUEUE] = { "workqueue", "a workqueue lockup" },
	[REPORT_SOFT_LOCKUP] = { "soft-lockup", "a soft lockup" },
	[REPORT_HARD_LOCKUP] = { "hard-lockup", "a hard lockup" },
	[REPORT_RCU_STALL] = { "rcu-stall", "an RCU stall" },
	[REPORT_LIST] = { "list", "a list corruption" },
	[REPORT_REFCOUNT] = { "refcount", "a reference count error" },
	[REPORT_BAD_PAGE] = { "bad-page", "a bad page state" },
	[REPORT_SLAB] = { "slab", "a slab error" },
	[REPORT_KMEMLEAK] = { "kmemleak", "a memory leak" },
};

/* '*': any run of characters, '?': any one; more may follow. The first that fits counts. */
static const struct {
	enum report_class class;
	const char *pattern;
} patterns[] = {
	{ REPORT_KASAN, "BUG: KASAN: " },
	{ REPORT_KFENCE, "BUG: KFENCE: " },
	{ REPORT_KMSAN, "BUG: KMSAN: " },
	{ REPORT_KCSAN, "BUG: KCSAN: " },
	{ REPORT_UBSAN, "UBSAN: " },

	{ REPORT_OOPS, "BUG: unable to handle " },
	{ REPORT_OOPS, "BUG: kernel NULL pointer dereference" },
	{ REPORT_OOPS, "Unable to handle kernel " }, /* arm */
	{ REPORT_OOPS, "Internal error: " },	     /* arm */
	{ REPORT_OOPS, "Oops: " },
	{ REPORT_OOPS, "*: ???? [#" }, /* x86: "invalid opcode: 0000 [#1]" and all others */

	{ REPORT_ATOMIC, "BUG: sleeping function called from invalid context" },
	{ REPORT_ATOMIC, "BUG: scheduling while atomic" },
	{ REPORT_ATOMIC, "BUG: using * in preemptible" },

	{ REPORT_LOCKDEP, "WARNING: possible * detected" },
	{ REPORT_LOCKDEP, "WARNING: inconsistent lock state" },
	{ REPORT_LOCKDEP, "WARNING: *-safe -> *-unsafe lock order detected" },
	{ REPORT_LOCKDEP, "WARNING: bad unlock balance detected" },
	{ REPORT_LOCKDEP, "WARNING: bad contention detected" },
	{ REPORT_LOCKDEP, "WARNING: held lock freed" },
	{ REPORT_LOCKDEP, "WARNING: lock held when returning to user space" },
	{ REPORT_LOCKDEP, "WARNING: Nested lock was not taken" },
	{ REPORT_LOCKDEP, "WARNING: * still has locks held" },
	{ REPORT_LOCKDEP, "WARNING: suspicious RCU usage" },
	{ REPORT_LOCKDEP, "[ BUG: " }, /* "Invalid wait context" */
	{ REPORT_LOCKDEP, "BUG: MAX_LOCK" },

	{ REPORT_SOFT_LOCKUP, "watchdog: BUG: soft lockup - CPU#" },
	{ REPORT_SOFT_LOCKUP, "BUG: soft lockup - CPU#" },
	{ REPORT_HARD_LOCKUP, "watchdog: *Watchdog detected hard LOCKUP on cpu" },
	{ REPORT_HARD_LOCKUP, "NMI watchdog: *Watchdog detected hard LOCKUP on cpu" },
	{ REPORT_RCU_STALL, "rcu: INFO: *stall* on " },
	{ REPORT_RCU_STALL, "INFO: rcu*stall* on " },
	{ REPORT_HUNG_TASK, "INFO: task * blocked* for more than " },
	{ REPORT_WORKQUEUE, "BUG: workqueue lockup - pool" },

	{ REPORT_LIST, "list_add*corruption" },
	{ REPORT_LIST, "list_del*corruption" },
	{ REPORT_REFCOUNT, "refcount_t: " },
	{ REPORT_BAD_PAGE, "BUG: Bad page " },
	{ REPORT_BAD_PAGE, "BUG: Bad rss-counter state" },
	{ REPORT_SLAB, "BUG ?* (*): " },
	{ REPORT_KMEMLEAK, "kmemleak: * new suspected memory leaks" },

	{ REPORT_BUG, "kernel BUG at " },
	{ REPORT_BUG, "BUG: " },
	{ REPORT_WARNING, "WARNING: CPU: * PID: " },
	{ REPORT_WARNING, "WARNING: *at *, CPU#" }, /* 6.19 */
};

const char *report_name(enum report_class class)
{
	return classes[class].name;
}

const char *report_words(enum report_class class)
{
	return classes[class].words;
}

/* ---- --fail-on ---- */

static int class_by_name(const char *name, size_t len)
{
	for (int i = 0; i < REPORT_CLASSES; i++) {
		if (strlen(classes[i].name) == len && !memcmp(classes[i].name, name, len))
			return i;
	}
	return -1;
}

static int unknown_name(const char *name, size_t len, struct err *err)
{
	char names[400] = "";

	for (unsigned int i = 0; i < REPORT_CLASSES; i++)
		strcat(strcat(names, i ? ", " : ""), classes[i].name);
	return err_set(err, EINVAL, "--fail-on %.*s: it is none, all, default, or of %s",
		       (int)MIN(len, (size_t)64), name, names);
}

static bool word_is(const char *word, size_t len, const char *what)
{
	return strlen(what) == len && !memcmp(word, what, len);
}

static int parse_word(const char *word, size_t len, uint32_t *mask, struct err *err)
{
	bool remove = len && *word == '-';
	int class;

	if (word_is(word, len, "none") || word_is(word, len, "all")) {
		*mask = *word == 'n' ? 0 : REPORT_ALL;
		return 0;
	}
	if (word_is(word, len, "default")) {
		*mask |= REPORT_DEFAULT;
		return 0;
	}
	class = class_by_name(word + remove, len - remove);
	if (class < 0)
		return unknown_name(word, len, err);
	if (remove)
		*mask &= ~(1u << class);
	else
		*mask |= 1u << class;
	return 0;
}

int reports_parse(const char *list, uint32_t *mask, struct err *err)
{
	uint32_t wanted = *list == '-' ? REPORT_DEFAULT : 0;
	int rc = 0;

	for (const char *at = list; !rc; at += strcspn(at, ",") + 1) {
		size_t len = strcspn(at, ",");

		rc = parse_word(at, len, &wanted, err);
		if (!at[len])
			break;
	}
	if (!rc)
		*mask = wanted;
	return rc;
}

/* ---- Lines ---- */

struct report_text {
	char line[REPORT_LINE];
	char before[2 * REPORT_LINE];
};

/*
 * Lines are short, and a pattern has three stars at the most. A star is first taken for nothing;
 * when what follows it does not fit, the last star takes one character more.
 */
static bool fits(const char *pattern, const char *text)
{
	const char *star = NULL, *from = NULL;

	while (*pattern) {
		if (*pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (*text && (*pattern == '?' || *pattern == *text)) {
			pattern++;
			text++;
		} else if (star && *from) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	return true;
}

static int classify(const char *message)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(patterns); i++) {
		if (fits(patterns[i].pattern, message))
			return (int)patterns[i].class;
	}
	return -1;
}

static const char *skip_digits(const char *p)
{
	while (isdigit((unsigned char)*p))
		p++;
	return p;
}

/* What follows printk's "[    1.234567]" at `p`, or NULL. */
static const char *behind_time(const char *p)
{
	const char *point, *end;

	if (*p++ != '[')
		return NULL;
	p += strspn(p, " ");
	point = skip_digits(p);
	if (point == p || *point != '.')
		return NULL;
	end = skip_digits(point + 1);
	return end == point + 7 && *end == ']' ? end + 1 : NULL;
}

/* What follows its caller, "[    T1]" or "[    C0]", if that is there. */
static const char *behind_caller(const char *text)
{
	const char *p = text, *end;

	if (*p++ != '[')
		return text;
	p += strspn(p, " ");
	if (*p != 'T' && *p != 'C')
		return text;
	end = skip_digits(p + 1);
	return end > p + 1 && *end == ']' ? end + 1 : text;
}

/* The message of a line that has a time stamp, wherever that stands; or NULL. */
static const char *behind_stamp(const char *line)
{
	const char *at = NULL;

	for (const char *p = line; !at && (p = strchr(p, '[')); p++)
		at = behind_time(p);
	if (!at)
		return NULL;
	at = behind_caller(at);
	return at + (*at == ' ');
}

/* Without one: behind the level "<4>", if that is there. */
static const char *behind_level(const char *line)
{
	const char *p = line;

	if (*p != '<')
		return line;
	p = skip_digits(p + 1);
	return *p == '>' ? p + 1 : line;
}

/* ---- Reports ---- */

static void add_line(struct report *report, const char *line)
{
	size_t len = strlen(line);

	if (!report->text || report->lines == REPORT_LINES || report->len + len + 2 > REPORT_TEXT) {
		report->lines = REPORT_LINES;
		return;
	}
	memcpy(report->text + report->len, line, len);
	report->len += (uint32_t)len;
	report->text[report->len++] = '\n';
	report->text[report->len] = 0;
	report->lines++;
}

static void add_before(struct report *report, struct report_console *c)
{
	char *save, *line;

	c->text->before[c->before_len] = 0;
	for (line = strtok_r(c->text->before, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		add_line(report, line);
	c->cut = false;
}

/* With the lock held. No room for another, or no memory: it has been counted. */
static void begin_report(struct reports *r, struct report_console *c, enum report_class class,
			 const char *message)
{
	struct report *report = &r->list[r->n];

	r->total++;
	c->open = NULL;
	if (r->n == REPORTS_MAX)
		return;
	report->text = malloc(REPORT_TEXT + REPORT_LINE);
	report->first = classes[class].words;
	if (report->text) {
		report->text[0] = 0;
		report->first = strcpy(report->text + REPORT_TEXT, message);
	}
	report->class = class;
	report->classes = 1u << class;
	if (c->cut)
		add_before(report, c);
	add_line(report, c->text->line);
	c->open = report;
	r->n++;
}

/*
 * One event may say several things: a BUG or a page fault ends in an oops, and a corruption found
 * is then warned of, or a BUG.
 */
static bool follows(const struct report *report, enum report_class class)
{
	const uint32_t oops = 1u << REPORT_OOPS, bug = 1u << REPORT_BUG;
	const uint32_t found = 1u << REPORT_LIST | 1u << REPORT_REFCOUNT;
	uint32_t from = report->classes;

	if (class == REPORT_OOPS)
		return from & (oops | bug);
	if (class == REPORT_BUG)
		return from & found;
	return class == REPORT_WARNING && from & found && !(from & 1u << REPORT_WARNING);
}

static void take_report(struct reports *r, struct report_console *c, enum report_class class,
			const char *message)
{
	if (c->open && follows(c->open, class)) {
		c->open->classes |= 1u << class;
		add_line(c->open, c->text->line);
	} else {
		begin_report(r, c, class, message);
	}
}

/* "[ cut here ]" stands above a warning, with its own words between. */
static bool take_cut(struct report_console *c, const char *message)
{
	if (strncmp(message, "------------[ cut here ]", 24))
		return false;
	c->open = NULL;
	c->cut = true;
	c->before_len = c->before_lines = 0;
	return true;
}

static void take_before(struct report_console *c)
{
	size_t len = strlen(c->text->line);

	if (c->before_len + len + 2 > sizeof(c->text->before) ||
	    c->before_lines++ == REPORT_BEFORE) {
		c->cut = false;
		return;
	}
	memcpy(c->text->before + c->before_len, c->text->line, len);
	c->before_len += (uint32_t)len;
	c->text->before[c->before_len++] = '\n';
}

/* With the lock held. */
static void take_banner(struct reports *r, const char *message)
{
	static const char banner[] = "Linux version ";

	if (r->release[0] || strncmp(message, banner, strlen(banner)))
		return;
	snprintf(r->release, sizeof(r->release), "%.*s",
		 (int)strcspn(message + strlen(banner), " "), message + strlen(banner));
}

static void take_message(struct reports *r, struct report_console *c, const char *message)
{
	int class = classify(message);

	pthread_mutex_lock(&r->lock);
	take_banner(r, message);
	if (class >= 0)
		take_report(r, c, (enum report_class) class, message);
	else if (take_cut(c, message) || c->cut)
		take_before(c);
	else if (c->open)
		add_line(c->open, c->text->line);
	if (!strncmp(message, "---[ end trace", 14))
		c->open = NULL;
	pthread_mutex_unlock(&r->lock);
	if (class >= 0)
		r->found(r->opaque, (enum report_class) class);
}

static void take_line(struct reports *r, struct report_console *c)
{
	const char *message;

	c->text->line[c->len] = 0;
	c->len = 0;
	if (!c->text->line[0])
		return;
	message = behind_stamp(c->text->line);
	if (message)
		c->stamped = true;
	else if (!c->stamped)
		message = behind_level(c->text->line);
	if (message)
		take_message(r, c, message);
}

/* ---- Bytes ---- */

static void take_byte(struct reports *r, struct report_console *c, uint8_t byte)
{
	if (byte == '\n' || byte == '\r') {
		c->escape = ESCAPE_NONE;
		take_line(r, c);
	} else if (!escape_takes(&c->escape, byte) && c->len < REPORT_LINE - 1) {
		c->text->line[c->len++] = byte >= 0x20 && byte < 0x7f ? (char)byte
					  : byte == '\t'	      ? ' '
								      : '?';
	}
}

void reports_feed(struct reports *r, struct report_console *c, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (!c->text)
		c->text = malloc(sizeof(*c->text));
	if (!c->text)
		return;
	for (size_t i = 0; i < len; i++)
		take_byte(r, c, p[i]);
}

void reports_end(struct reports *r, struct report_console *c)
{
	if (c->text)
		take_line(r, c);
	free(c->text);
	c->text = NULL;
	c->cut = false;
}

const struct report *reports_first(struct reports *r, uint32_t mask)
{
	const struct report *first = NULL;

	pthread_mutex_lock(&r->lock);
	for (uint32_t i = 0; !first && i < r->n; i++) {
		if (r->list[i].classes & mask)
			first = &r->list[i];
	}
	pthread_mutex_unlock(&r->lock);
	return first;
}

void reports_init(struct reports *r, void (*found)(void *opaque, enum report_class class),
		  void *opaque)
{
	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	r->found = found;
	r->opaque = opaque;
}

void reports_destroy(struct reports *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		free(r->list[i].text);
	pthread_mutex_destroy(&r->lock);
}
