/* SPDX-License-Identifier: MIT */
#include "host/wire.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/hash.h"
#include "util/util.h"

#define HEAD 32
#define SUMMED 24		   /* of the head */
#define SEED 0x31474d4c444e494bull /* "KINDLMG1" */
#define REASON 400

/* The frame of that number; what goes back is not what went there. */
static uint64_t seed(uint64_t number, uint32_t type)
{
	return hash_mix(SEED ^ number << 1 ^ !!(type & WIRE_BACK));
}

int wire_put(struct wire *w, uint32_t type, uint64_t at, uint64_t value, const void *body,
	     size_t len, struct err *err)
{
	uint64_t start = seed(w->sent++, type);
	uint8_t head[HEAD];
	struct iovec parts[] = { { head, HEAD }, { (void *)(uintptr_t)body, len } };

	put_le32(head, type);
	put_le32(head + 4, (uint32_t)len);
	put_le64(head + 8, at);
	put_le64(head + 16, len ? hash_block(start, body, len) : value);
	put_le64(head + SUMMED, hash_bytes(start, head, SUMMED));
	w->bytes += HEAD + len;
	return channel_write(w->channel, parts, len ? 2 : 1, err);
}

int wire_get(struct wire *w, struct frame *f, struct err *err)
{
	uint8_t head[HEAD];
	int rc = channel_read(w->channel, head, HEAD, err);

	if (rc)
		return rc;
	*f = (struct frame){ .type = get_le32(head),
			     .len = get_le32(head + 4),
			     .at = get_le64(head + 8),
			     .value = get_le64(head + 16) };
	if (get_le64(head + SUMMED) != hash_bytes(seed(w->received++, f->type), head, SUMMED))
		return err_set(err, EBADMSG,
			       w->received == 1 ? "what comes is no migration of lkvm's, or damaged"
						: "what comes is damaged");
	if (f->len > WIRE_BODY)
		return err_set(err, EBADMSG, "what comes is too long: %u bytes in one piece",
			       f->len);
	return 0;
}

int wire_body(struct wire *w, const struct frame *f, void *to, struct err *err)
{
	int rc = channel_read(w->channel, to, f->len, err);

	if (!rc && f->len && hash_block(seed(w->received - 1, f->type), to, f->len) != f->value)
		rc = err_set(err, EBADMSG, "what comes is damaged");
	return rc;
}

static int take_reason(struct wire *w, const struct frame *f, struct err *err)
{
	char reason[REASON + 1] = "";
	int rc;

	if (f->len > REASON)
		return err_set(err, EBADMSG, "the other side answers with what is no answer");
	rc = wire_body(w, f, reason, err);
	if (rc)
		return rc;
	/* Somebody else's words, on their way to a terminal. */
	for (char *p = reason; *p; p++)
		*p = *p < ' ' || *p > '~' ? '?' : *p;
	return err_set(err, EREMOTEIO, "the other side: %s", reason);
}

int wire_expect(struct wire *w, uint32_t type, struct err *err)
{
	struct frame f;
	int rc = wire_get(w, &f, err);

	if (rc)
		return rc;
	if (f.type == WIRE_FAILED && type & WIRE_BACK)
		return take_reason(w, &f, err);
	return f.type == type && !f.len
		       ? 0
		       : err_set(err, EBADMSG, "the other side answers with what is no answer");
}

static int wait_turn(struct wire *w, struct limit *limit, struct err *err)
{
	int rc = channel_check(w->channel, err);
	uint64_t wait;

	while (!rc && limit && (wait = limit_wait(limit))) {
		usleep((useconds_t)(MIN(wait, 20 * CLOCK_MS) / 1000 + 1));
		rc = channel_check(w->channel, err);
	}
	return rc;
}

int wire_put_bulk(struct wire *w, struct limit *limit, uint32_t type, uint64_t at, const void *body,
		  size_t len, struct err *err)
{
	int rc = wait_turn(w, limit, err);

	if (!rc && channel_has_input(w->channel))
		rc = wire_expect(w, WIRE_BACK, err)
			     ?: err_set(err, EBADMSG, "the other side answers unasked");
	if (!rc)
		rc = wire_put(w, type, at, 0, body, len, err);
	if (limit)
		limit_charge(limit, len);
	return rc;
}
