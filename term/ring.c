/* SPDX-License-Identifier: MIT */
#include "term/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"

int ring_make(struct ring *r)
{
	if (!r->data)
		r->data = malloc(RING_SIZE);
	return r->data ? 0 : -ENOMEM;
}

void ring_free(struct ring *r)
{
	free(r->data);
	*r = (struct ring){ 0 };
}

size_t ring_put(struct ring *r, const uint8_t *data, size_t len)
{
	uint32_t tail = (r->head + r->len) % RING_SIZE;
	size_t n = MIN(len, (size_t)(RING_SIZE - r->len));
	size_t first = MIN(n, (size_t)(RING_SIZE - tail));

	memcpy(r->data + tail, data, first);
	memcpy(r->data, data + first, n - first);
	r->len += n;
	return n;
}

size_t ring_front(const struct ring *r, const uint8_t **data)
{
	*data = r->data + r->head;
	return MIN(r->len, RING_SIZE - r->head);
}

/* An empty ring begins again at 0: a quiet console touches one page of it. */
void ring_drop(struct ring *r, size_t n)
{
	r->len -= n;
	r->head = r->len ? (r->head + n) % RING_SIZE : 0;
}
