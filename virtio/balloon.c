/* SPDX-License-Identifier: MIT */
/*
 * `lock` guards what the host's side and the guest's both see. It is taken under the device's own
 * lock, never the other way round, and not held while pages are discarded.
 */
#include "virtio/balloon.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/core.h"
#include "virtio/balloon-hints.h"

/* Linux reports 32 ranges at a time, and gives up on a queue that is shorter. */
#define QUEUE_SIZE 128
#define PAGE (1ull << VIRTIO_BALLOON_PFN_SHIFT)
#define PFNS 256 /* read at a time */

/*
 * What a turn on the loop may cost: a call to the host is 1, and so are so many bytes. A turn is
 * some milliseconds at most then; what a request has beyond waits for the next.
 */
#define BUDGET 1024
#define BYTES_PER_COST (64 * KIB)
#define MAX_BYTES (16 * MIB) /* a call */

/* More statistics than anyone tells. */
#define MAX_STATS (4 * BALLOON_STATS)

/* In the order of their queues: STATS, where it is, is always the third. */
enum role { INFLATE, DEFLATE, STATS, HINTS, REPORTS, ROLES, NO_ROLE = ROLES };

struct balloon {
	struct virtio_dev dev;

	/* The loop's. */
	struct chain chain;
	struct chain stats;   /* the buffer that waits until the driver shall tell again */
	bool has_stats;	      /* there is one */
	int budget;	      /* what is left of this turn */
	uint32_t done[ROLES]; /* bytes of a queue's next request: earlier turns did them */
	struct hints hints;

	pthread_mutex_t lock;
	struct virtio_balloon_config config; /* as the driver sees it */
	bool tells;			     /* the statistics queue is running */
	bool asked;			     /* for statistics */
	struct balloon_info info;	     /* what is of statistics in it */
};

static struct balloon *balloon_of(struct virtio_dev *dev)
{
	return container_of(dev, struct balloon, dev);
}

static struct balloon *from_device(struct device *device)
{
	return balloon_of(virtio_from_device(device));
}

/*
 * Linux numbers the queues that it has negotiated, without gaps. By the specification (section
 * 5.5.2) each keeps its number: that works too wherever it can't be another.
 */
static enum role role_of(const struct virtio_dev *dev, unsigned int i)
{
	static const unsigned int features[ROLES] = {
		[STATS] = VIRTIO_BALLOON_F_STATS_VQ,
		[HINTS] = VIRTIO_BALLOON_F_FREE_PAGE_HINT,
		[REPORTS] = VIRTIO_BALLOON_F_REPORTING,
	};
	unsigned int next = 0;

	for (unsigned int role = INFLATE; role < ROLES; role++) {
		if (role >= STATS && !virtio_has_feature(dev, features[role]))
			continue;
		if (i == next++)
			return role;
	}
	return i < ROLES && i >= STATS && virtio_has_feature(dev, features[i]) ? i : NO_ROLE;
}

/* ---- Memory that the guest does without ---- */

static int cost_of(uint64_t len)
{
	return 1 + (int)(len / BYTES_PER_COST);
}

static void discard(struct balloon *b, uint64_t gpa, uint64_t len)
{
	int rc = mem_discard(b->dev.env->mem, gpa, len);

	b->budget -= cost_of(len);
	if (rc)
		log_guest(b->dev.env->log, &b->dev.complaints,
			  "%s: %llu KiB at 0x%llx are not taken from the guest: %s",
			  b->dev.device.name, (unsigned long long)(len / KIB),
			  (unsigned long long)gpa, strerror(-rc));
}

/* How many of `n` pages lie side by side, upwards or downwards, and the lowest of them. */
static unsigned int find_run(const uint32_t *pfns, unsigned int n, uint64_t *first)
{
	uint64_t pfn = pfns[0];
	unsigned int up = 1, down = 1;

	while (up < n && pfns[up] == pfn + up)
		up++;
	while (down < n && pfns[down] + (uint64_t)down == pfn)
		down++;
	*first = down > up ? pfn - (down - 1) : pfn;
	return MAX(up, down);
}

static void discard_pages(struct balloon *b, const uint32_t *pfns, unsigned int n)
{
	uint64_t first;
	unsigned int run;

	for (unsigned int at = 0; at < n; at += run) {
		run = find_run(pfns + at, n - at, &first);
		discard(b, first * PAGE, run * PAGE);
	}
}

static int64_t inflate(struct virtio_dev *dev, const struct chain *c)
{
	struct balloon *b = balloon_of(dev);
	uint32_t *done = &b->done[INFLATE];
	uint32_t pfns[PFNS];

	while (range_in(*done, sizeof(pfns[0]), c->out_len)) {
		uint32_t n = MIN((c->out_len - *done) / (uint32_t)sizeof(pfns[0]), (uint32_t)PFNS);

		if (b->budget <= 0)
			return VIRTIO_LATER;
		chain_read(c, *done, pfns, n * sizeof(pfns[0]));
		discard_pages(b, pfns, n);
		*done += n * sizeof(pfns[0]);
	}
	*done = 0;
	return 0;
}

/* A page comes back by itself when it is touched. */
static int64_t deflate(struct virtio_dev *dev, const struct chain *c)
{
	(void)dev;
	(void)c;
	return 0;
}

/*
 * Calls fn() for the writable pieces of a request, which are ranges of memory in themselves and are
 * not written to. True when it has done all.
 */
static bool each_range(struct balloon *b, enum role role, const struct chain *c,
		       void (*fn)(struct balloon *b, uint64_t gpa, uint64_t len))
{
	uint32_t *done = &b->done[role];
	uint64_t end = 0; /* of this piece, in the request */

	for (uint32_t i = c->n_out; i < c->n_out + c->n_in; i++) {
		uint64_t from = end;

		end += c->iov[i].iov_len;
		while (*done < end) {
			uint64_t len = MIN(end - *done, MAX_BYTES);

			if (b->budget <= 0)
				return false;
			fn(b, c->gpa[i] + (*done - from), len);
			*done += (uint32_t)len;
		}
	}
	*done = 0;
	return true;
}

/* What the guest counts on finding there again must be what is there then (section 5.5.6.7). */
static bool may_discard_reports(struct balloon *b)
{
	bool zero;

	pthread_mutex_lock(&b->lock);
	zero = !b->config.poison_val && mem_discards_to_zeros(b->dev.env->mem);
	pthread_mutex_unlock(&b->lock);
	return zero || !virtio_has_feature(&b->dev, VIRTIO_BALLOON_F_PAGE_POISON);
}

static int64_t take_report(struct virtio_dev *dev, const struct chain *c)
{
	struct balloon *b = balloon_of(dev);

	if (!may_discard_reports(b))
		return 0;
	return each_range(b, REPORTS, c, discard) ? 0 : VIRTIO_LATER;
}

/* ---- Statistics ---- */

/* What the guest tells, which may be anything (section 5.5.6.3). Unknown ones are left out. */
static void read_stats(const struct chain *c, struct balloon_info *info)
{
	struct virtio_balloon_stat stat;

	for (uint32_t i = 0; i < MAX_STATS; i++) {
		if (!chain_read(c, i * (uint32_t)sizeof(stat), &stat, sizeof(stat)))
			break;
		if (stat.tag >= BALLOON_STATS)
			continue;
		info->known |= 1u << stat.tag;
		info->stats[stat.tag] = stat.val;
	}
}

/* The driver, which has one buffer for this, may use it again. */
static void give_back_stats(struct balloon *b)
{
	if (!b->has_stats)
		return;
	b->has_stats = false;
	virtio_give_back(&b->dev, STATS, &b->stats, 0);
	virtio_tell_driver(&b->dev, STATS);
}

static int64_t take_stats(struct virtio_dev *dev, const struct chain *c)
{
	struct balloon *b = balloon_of(dev);
	struct balloon_info info = { 0 };

	read_stats(c, &info);
	pthread_mutex_lock(&b->lock);
	info.told = b->info.told + 1;
	b->info = info;
	b->asked = false;
	pthread_mutex_unlock(&b->lock);
	give_back_stats(b);
	chain_copy(&b->stats, c);
	b->has_stats = true;
	return VIRTIO_TAKEN;
}

static void ask_if_wanted(struct balloon *b)
{
	bool asked;

	pthread_mutex_lock(&b->lock);
	asked = b->asked;
	pthread_mutex_unlock(&b->lock);
	if (asked)
		give_back_stats(b);
}

/* ---- Hints ---- */

static void hint(struct balloon *b, uint64_t gpa, uint64_t len)
{
	b->budget -= cost_of(len);
	hints_free(&b->hints, gpa, len);
}

static int64_t take_hints(struct virtio_dev *dev, const struct chain *c)
{
	struct balloon *b = balloon_of(dev);
	uint32_t id;

	if (chain_read(c, 0, &id, sizeof(id)))
		hints_answer(&b->hints, id);
	return each_range(b, HINTS, c, hint) ? 0 : VIRTIO_LATER;
}

/* ---- The host's side ---- */

void balloon_set_target(struct device *device, uint64_t bytes)
{
	struct balloon *b = from_device(device);
	uint32_t pages = (uint32_t)MIN(bytes / PAGE, (uint64_t)UINT32_MAX);
	bool changed;

	pthread_mutex_lock(&b->lock);
	changed = b->config.num_pages != pages;
	b->config.num_pages = pages;
	pthread_mutex_unlock(&b->lock);
	if (changed)
		virtio_config_changed(&b->dev);
}

void balloon_get_info(struct device *device, struct balloon_info *info)
{
	struct balloon *b = from_device(device);

	pthread_mutex_lock(&b->lock);
	*info = b->info;
	info->target = b->config.num_pages * PAGE;
	info->actual = b->config.actual * PAGE;
	pthread_mutex_unlock(&b->lock);
}

int balloon_ask_stats(struct device *device)
{
	struct balloon *b = from_device(device);
	bool tells;

	pthread_mutex_lock(&b->lock);
	tells = b->asked = b->tells;
	pthread_mutex_unlock(&b->lock);
	if (!tells)
		return -ENOTSUP;
	virtio_notify(&b->dev, STATS);
	return 0;
}

int balloon_start_hints(struct device *device, const struct balloon_hints *hints)
{
	struct balloon *b = from_device(device);
	int rc = hints_start(&b->hints, hints);

	if (!rc)
		virtio_config_changed(&b->dev);
	return rc;
}

void balloon_end_hints(struct device *device)
{
	struct balloon *b = from_device(device);

	if (hints_done(&b->hints))
		virtio_config_changed(&b->dev);
}

/* ---- The device ---- */

static void balloon_kick(struct virtio_dev *dev, unsigned int i)
{
	static int64_t (*const serve[ROLES])(struct virtio_dev * dev, const struct chain *c) = {
		[INFLATE] = inflate,  [DEFLATE] = deflate,     [STATS] = take_stats,
		[HINTS] = take_hints, [REPORTS] = take_report,
	};
	struct balloon *b = balloon_of(dev);
	enum role role = role_of(dev, i);

	if (role == NO_ROLE)
		return;
	b->budget = BUDGET;
	virtio_serve(dev, i, &b->chain, serve[role]);
	if (role == STATS)
		ask_if_wanted(b);
	if (b->budget <= 0)
		virtio_notify(dev, i);
}

static void set_running(struct balloon *b, enum role role, bool on)
{
	if (role == HINTS)
		hints_set_possible(&b->hints, on);
	if (role != STATS)
		return;
	pthread_mutex_lock(&b->lock);
	b->tells = on;
	pthread_mutex_unlock(&b->lock);
}

static int balloon_activate(struct virtio_dev *dev, unsigned int i)
{
	set_running(balloon_of(dev), role_of(dev, i), true);
	return 0;
}

/* The snapshot that hints were for is made of a machine at rest. */
static void balloon_quiesce(struct virtio_dev *dev)
{
	struct balloon *b = balloon_of(dev);

	if (hints_cut_short(&b->hints))
		virtio_config_changed(dev);
}

static void balloon_stop(struct virtio_dev *dev, unsigned int i)
{
	struct balloon *b = balloon_of(dev);
	enum role role = role_of(dev, i);

	if (role == NO_ROLE)
		return;
	b->done[role] = 0;
	/* It is still the queue's next: who starts it again finds it there. */
	if (role == STATS && b->has_stats) {
		queue_unpop(&dev->queues[i].ring);
		b->has_stats = false;
	}
	set_running(b, role, false);
}

/* What the host wants stays. */
static void balloon_reset(struct virtio_dev *dev)
{
	struct balloon *b = balloon_of(dev);

	pthread_mutex_lock(&b->lock);
	b->config = (struct virtio_balloon_config){ .num_pages = b->config.num_pages };
	b->info = (struct balloon_info){ 0 };
	b->asked = false;
	pthread_mutex_unlock(&b->lock);
	hints_reset(&b->hints);
}

static void balloon_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
	struct balloon *b = balloon_of(dev);
	struct virtio_balloon_config config;

	pthread_mutex_lock(&b->lock);
	config = b->config;
	pthread_mutex_unlock(&b->lock);
	config.free_page_hint_cmd_id = hints_command(&b->hints);
	memcpy(data, (uint8_t *)&config + offset, len);
}

/* What is the device's keeps its value. */
static void balloon_config_write(struct virtio_dev *dev, uint32_t offset, const void *data,
				 uint32_t len)
{
	struct balloon *b = balloon_of(dev);
	struct virtio_balloon_config config;

	pthread_mutex_lock(&b->lock);
	config = b->config;
	memcpy((uint8_t *)&config + offset, data, len);
	b->config.actual = config.actual;
	if (virtio_has_feature(dev, VIRTIO_BALLOON_F_PAGE_POISON))
		b->config.poison_val = config.poison_val;
	pthread_mutex_unlock(&b->lock);
}

static void balloon_save(struct virtio_dev *dev, struct buf *out)
{
	struct balloon *b = balloon_of(dev);

	pthread_mutex_lock(&b->lock);
	buf_put_le32(out, b->config.num_pages);
	buf_put_le32(out, b->config.actual);
	buf_put_le32(out, b->config.poison_val);
	pthread_mutex_unlock(&b->lock);
	hints_save(&b->hints, out);
}

static int balloon_load(struct virtio_dev *dev, struct reader *in)
{
	struct balloon *b = balloon_of(dev);
	struct virtio_balloon_config config = { 0 };
	int rc;

	config.num_pages = reader_le32(in);
	config.actual = reader_le32(in);
	config.poison_val = reader_le32(in);
	rc = hints_load(&b->hints, in);
	if (rc)
		return rc;
	pthread_mutex_lock(&b->lock);
	b->config = config;
	pthread_mutex_unlock(&b->lock);
	return 0;
}

static void balloon_destroy(struct virtio_dev *dev)
{
	struct balloon *b = balloon_of(dev);

	virtio_fini(dev);
	hints_fini(&b->hints);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static const struct virtio_ops balloon_ops = {
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.activate = balloon_activate,
	.kick = balloon_kick,
	.quiesce = balloon_quiesce,
	.stop = balloon_stop,
	.reset = balloon_reset,
	.save = balloon_save,
	.load = balloon_load,
	.destroy = balloon_destroy,
};

static int balloon_create(const struct device_env *env, const void *config, struct device **out,
			  struct err *err)
{
	const struct balloon_config *c = config;
	struct balloon *b = calloc(1, sizeof(*b));

	if (!b)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	pthread_mutex_init(&b->lock, NULL);
	hints_init(&b->hints);
	b->dev.ops = &balloon_ops;
	b->dev.id = VIRTIO_ID_BALLOON;
	/* A page that comes back needs nobody to be told: MUST_TELL_HOST is not offered. */
	b->dev.features = FEATURE(VIRTIO_BALLOON_F_STATS_VQ) |
			  FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
			  FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT) |
			  FEATURE(VIRTIO_BALLOON_F_PAGE_POISON) |
			  FEATURE(VIRTIO_BALLOON_F_REPORTING);
	b->dev.n_queues = ROLES;
	b->dev.queue_size = QUEUE_SIZE;
	b->dev.config_size = sizeof(b->config);
	virtio_init(&b->dev, c->name, env);
	balloon_set_target(&b->dev.device, c->target);
	*out = &b->dev.device;
	return 0;
}

const struct device_type virtio_balloon_type = { "virtio_balloon", balloon_create };
