/* SPDX-License-Identifier: MIT */
/*
 * A memory balloon (virtio 1.2, section 5.5): the host asks the guest for memory (or gives it
 * back), the guest says which pages it does without, and the host has them until they are touched
 * again. Beside that the guest reports what it has freed, tells its statistics when asked, and on
 * request names all that is free.
 *
 * What the guest names is dropped by mem_discard(), a bounded number of bytes at a time on the
 * machine's loop; a page that is no RAM is refused, and said. A guest that runs out of memory takes
 * pages back without asking, and that is well: so a target is a wish, and `actual` says what came
 * of it.
 */
#ifndef VIRTIO_BALLOON_H
#define VIRTIO_BALLOON_H

#include "vm/device.h"

/* Statistics, by their tags: VIRTIO_BALLOON_S_SWAP_IN and so on. Memory is in bytes. */
#define BALLOON_STATS 16

struct balloon_config {
	const char *name; /* borrowed; "virtio-balloon.0" */
	uint64_t target;  /* bytes that it shall take from the start */
};

extern const struct device_type virtio_balloon_type;

struct balloon_info {
	uint64_t target, actual; /* bytes: what was asked for, and what the balloon has */
	uint64_t told;		 /* how often the driver has told its statistics */
	uint32_t known;		 /* bit n: it has told stats[n] */
	uint64_t stats[BALLOON_STATS];
};

/*
 * Free page hinting: what the guest does not use, so that a snapshot need not have it.
 *
 * free(): whole pages that were free at a moment since hinting began. The guest may use them again
 * at any time: what counts is that they were not written to since (KVM's dirty log tells), and such
 * pages may be lost. end(): no more will come, since the driver has named all, or was reset, or the
 * machine was quiesced. Both run on the loop or the thread that resets or quiesces, and must not
 * call what is declared below.
 */
struct balloon_hints {
	void (*free)(void *opaque, uint64_t gpa, uint64_t len);
	void (*end)(void *opaque);
	void *opaque;
};

/*
 * The host's side. `device` is one of this type; any thread but where said.
 */

/* In whole pages of 4 KiB; more than the guest has is more than it will give. */
void balloon_set_target(struct device *device, uint64_t bytes);
void balloon_get_info(struct device *device, struct balloon_info *info);

/* The driver tells them anew; `told` counts on then. -ENOTSUP: it does not tell any (yet). */
int balloon_ask_stats(struct device *device);

/*
 * Between these two the driver keeps what it has named, as long as it can do without. -ENOTSUP: it
 * names nothing (yet); -EBUSY: hinting is on already. Nothing is called after balloon_end_hints();
 * quiescing the machine ends hinting, too.
 */
int balloon_start_hints(struct device *device, const struct balloon_hints *hints);
void balloon_end_hints(struct device *device);

#endif
