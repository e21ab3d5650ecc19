/* SPDX-License-Identifier: MIT */
/* Solo5 images (guest/solo5.h): notes, manifest and segments, as they come. */
#include "guest/solo5.h"

#include <elf.h>
#include <errno.h>

#include "guest/image.h"
#include "tests/fuzz/fuzz.h"

#define MEM_STEP 4096u /* the smallest page */

static bool is_entry(const struct solo5_image *image)
{
	bool is = false;

	for (unsigned int i = 0; i < image->n_segments; i++) {
		const struct solo5_segment *s = &image->segments[i];

		is |= s->executable && image->entry - s->gpa < s->file_size;
	}
	return is;
}

static void check(const struct solo5_image *image, size_t size)
{
	uint64_t end = HVT_BASE;

	CHECK(image->target == SOLO5_HVT && image->version == SOLO5_HVT_VERSION);
	CHECK(image->machine == EM_X86_64 || image->machine == EM_AARCH64);
	CHECK(image->n_segments && image->n_segments <= SOLO5_SEGMENTS);
	for (unsigned int i = 0; i < image->n_segments; i++) {
		const struct solo5_segment *s = &image->segments[i];

		CHECK(range_in(s->offset, s->file_size, size) && s->file_size <= s->size);
		CHECK(!(s->writable && s->executable));
		CHECK(MIN(s->first, s->gpa) >= end);
		CHECK(s->first == s->end || (!(s->first % MEM_STEP) && !(s->end % MEM_STEP) &&
					     s->first <= s->gpa && s->gpa + s->size <= s->end));
		end = MAX(s->end, s->gpa + s->size);
	}
	CHECK(image->end >= end && is_entry(image));
	CHECK(image->n_devices && image->n_devices <= SOLO5_DEVICES);
	for (unsigned int i = 0; i < image->n_devices; i++) {
		CHECK(memchr(image->devices[i].name, 0, SOLO5_NAME));
		CHECK(!i == (image->devices[i].type == SOLO5_RESERVED));
		for (unsigned int j = 1; j < i; j++)
			CHECK(strcmp(image->devices[i].name, image->devices[j].name));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *file = heap_copy(data, size);
	enum solo5_target target = 0;
	struct solo5_image image;
	struct err err = { "" };
	int rc = solo5_parse(file, size, &image, &err);

	CHECK(!rc || (rc == -EINVAL && err.text[0]));
	if (!rc) {
		check(&image, size);
		CHECK(solo5_has_note(file, size, &target) && target == SOLO5_HVT);
		CHECK(image_sniff(file, size) == IMAGE_SOLO5);
		CHECK(!solo5_fits(&image, HVT_MEM_MAX, &err) == (image.end <= HVT_MEM_MAX));
	} else if (solo5_has_note(file, size, &target)) {
		image_sniff(file, size);
	}
	free(file);
	return 0;
}
