/* SPDX-License-Identifier: MIT */
#include "vm/msix.h"

#include <string.h>

#include "util/util.h"

#define MASKED 1u /* in a vector's control word, whose other bits are kept at 0 */

void msix_init(struct msix *msix, struct irq_chip *chip, uint32_t n)
{
	*msix = (struct msix){ .chip = chip, .n = n };
	pthread_mutex_init(&msix->lock, NULL);
	msix_reset(msix);
}

void msix_fini(struct msix *msix)
{
	if (msix->n)
		pthread_mutex_destroy(&msix->lock);
	msix->n = 0;
}

void msix_reset(struct msix *msix)
{
	pthread_mutex_lock(&msix->lock);
	msix->enabled = msix->masked = false;
	msix->pending = 0;
	for (uint32_t i = 0; i < msix->n; i++)
		msix->vectors[i] = (struct msix_vector){ .control = MASKED };
	pthread_mutex_unlock(&msix->lock);
}

/* Sends what is pending of one vector, if it may. With the lock held. */
static void deliver(struct msix *msix, uint32_t i)
{
	const struct msix_vector *v = &msix->vectors[i];
	struct msi msi = { .address = v->address, .data = v->data, .devid = msix->devid };

	if (!(msix->pending & 1ull << i) || !msix->enabled || msix->masked || v->control & MASKED)
		return;
	msix->pending &= ~(1ull << i);
	msix->chip->send_msi(msix->chip, &msi);
}

void msix_raise(struct msix *msix, uint32_t vector)
{
	if (vector >= msix->n)
		return;
	pthread_mutex_lock(&msix->lock);
	if (msix->enabled) {
		msix->pending |= 1ull << vector;
		deliver(msix, vector);
	}
	pthread_mutex_unlock(&msix->lock);
}

void msix_control(struct msix *msix, bool enabled, bool masked)
{
	pthread_mutex_lock(&msix->lock);
	msix->enabled = enabled;
	msix->masked = masked;
	if (!enabled)
		msix->pending = 0;
	for (uint32_t i = 0; i < msix->n; i++)
		deliver(msix, i);
	pthread_mutex_unlock(&msix->lock);
}

/* A vector as it lies in the BAR, and back. */
static void pack(const struct msix_vector *v, uint8_t raw[MSIX_ENTRY])
{
	put_le64(raw, v->address);
	put_le32(raw + 8, v->data);
	put_le32(raw + 12, v->control);
}

static struct msix_vector unpack(const uint8_t raw[MSIX_ENTRY])
{
	return (struct msix_vector){
		.address = get_le64(raw) & ~3ull,
		.data = get_le32(raw + 8),
		.control = get_le32(raw + 12) & MASKED,
	};
}

/* Aligned accesses of 4 or 8 bytes are all that there is: others read as 0 and write nothing. */
static bool possible(uint64_t offset, uint32_t len, uint64_t size)
{
	return (len == 4 || len == 8) && offset % len == 0 && range_in(offset, len, size);
}

void msix_table_access(struct msix *msix, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	uint32_t i = (uint32_t)(offset / MSIX_ENTRY), at = offset % MSIX_ENTRY;
	uint8_t raw[MSIX_ENTRY];

	if (!possible(offset, len, msix->n * MSIX_ENTRY)) {
		if (!is_write)
			memset(data, 0, len);
		return;
	}
	pthread_mutex_lock(&msix->lock);
	pack(&msix->vectors[i], raw);
	if (is_write) {
		memcpy(raw + at, data, len);
		msix->vectors[i] = unpack(raw);
		deliver(msix, i);
	} else {
		memcpy(data, raw + at, len);
	}
	pthread_mutex_unlock(&msix->lock);
}

void msix_pending_access(struct msix *msix, uint64_t offset, void *data, uint32_t len,
			 bool is_write)
{
	uint8_t raw[8];

	if (is_write)
		return;
	memset(data, 0, len);
	if (!possible(offset, len, sizeof(raw)))
		return;
	pthread_mutex_lock(&msix->lock);
	put_le64(raw, msix->pending);
	pthread_mutex_unlock(&msix->lock);
	memcpy(data, raw + offset, len);
}

void msix_save(struct msix *msix, struct buf *out)
{
	uint8_t raw[MSIX_ENTRY];

	pthread_mutex_lock(&msix->lock);
	buf_put_le64(out, msix->pending);
	for (uint32_t i = 0; i < msix->n; i++) {
		pack(&msix->vectors[i], raw);
		buf_put(out, raw, sizeof(raw));
	}
	pthread_mutex_unlock(&msix->lock);
}

void msix_load(struct msix *msix, struct reader *in)
{
	uint64_t all = msix->n < 64 ? (1ull << msix->n) - 1 : UINT64_MAX;
	uint8_t raw[MSIX_ENTRY];

	pthread_mutex_lock(&msix->lock);
	msix->pending = reader_le64(in) & all;
	for (uint32_t i = 0; i < msix->n; i++) {
		reader_get(in, raw, sizeof(raw));
		msix->vectors[i] = unpack(raw);
	}
	pthread_mutex_unlock(&msix->lock);
}
