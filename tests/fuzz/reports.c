/* SPDX-License-Identifier: MIT */
/*
 * What a console prints, in pieces: the same is found however it is split, and what is kept of it
 * is bounded and plain text. The log's tail, which sees the same bytes, shows nothing but plain
 * text either.
 */
#include "term/reports.h"

#include "term/log-tail.h"
#include "tests/fuzz/fuzz.h"

struct seen {
	uint32_t n, classes;
};

static void found(void *opaque, enum report_class class)
{
	struct seen *seen = opaque;

	CHECK(class < REPORT_CLASSES);
	seen->n++;
	seen->classes |= 1u << class;
}

static void check_plain(const char *text)
{
	for (; *text; text++)
		CHECK(*text == '\n' || *text == '\t' || (*text >= ' ' && *text < 0x7f));
}

static void show(void *opaque, const char *line)
{
	CHECK(*line);
	check_plain(line);
	(*(unsigned int *)opaque)++;
}

static void check_reports(struct reports *r, const struct seen *seen)
{
	uint32_t classes = 0;

	CHECK(r->n <= REPORTS_MAX && r->n <= r->total && r->total <= seen->n);
	for (uint32_t i = 0; i < r->n; i++) {
		const struct report *report = &r->list[i];

		CHECK(report->text && strlen(report->text) == report->len);
		CHECK(report->len < REPORT_TEXT && report->lines <= REPORT_LINES);
		CHECK(report->first[0] && strstr(report->text, report->first));
		check_plain(report->text);
		classes |= report->classes;
	}
	CHECK((classes & ~seen->classes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct log_tail tail;
	struct input in = { data, size };
	struct report_console whole = { .stamped = take_u8(&in) & 1 }, split = whole;
	struct reports a, b;
	struct seen seen_a = { 0 }, seen_b = { 0 };
	size_t piece = 1 + take_u8(&in);
	unsigned int lines = 0, wanted = take_u8(&in);
	uint8_t *text = heap_copy(in.p, in.left);
	uint32_t mask;

	reports_init(&a, found, &seen_a);
	reports_init(&b, found, &seen_b);
	log_tail_init(&tail);
	reports_feed(&a, &whole, text, in.left);
	for (size_t at = 0; at < in.left; at += piece) {
		reports_feed(&b, &split, text + at, MIN(piece, in.left - at));
		log_tail_feed(&tail, text + at, MIN(piece, in.left - at));
	}
	reports_end(&a, &whole);
	reports_end(&b, &split);
	CHECK(seen_a.n == seen_b.n && a.total == b.total && a.n == b.n);
	check_reports(&a, &seen_a);
	log_tail_lines(&tail, wanted, show, &lines);
	CHECK(wanted || !lines);
	text = realloc(text, in.left + 1);
	CHECK(text);
	text[in.left] = 0;
	if (!reports_parse((char *)text, &mask, NULL))
		CHECK((mask & ~REPORT_ALL) == 0);
	free(text);
	reports_destroy(&a);
	reports_destroy(&b);
	log_tail_destroy(&tail);
	return 0;
}
