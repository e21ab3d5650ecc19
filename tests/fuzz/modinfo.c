/* SPDX-License-Identifier: MIT */
/* A module that lies of itself (guest/modinfo.h): what is told lies in the file, and ends there. */
#include "guest/modinfo.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const keys[] = { "depends", "name", "a" };
	uint8_t *file = heap_copy(data, size);

	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *value = modinfo_get(file, size, keys[i]);
		size_t at = value ? (size_t)((const uint8_t *)value - file) : 0;

		if (!value)
			continue;
		CHECK(at > strlen(keys[i]) && at < size && memchr(value, 0, size - at));
		CHECK(value[-1] == '=' &&
		      !memcmp(value - 1 - strlen(keys[i]), keys[i], strlen(keys[i])));
	}
	free(file);
	return 0;
}
