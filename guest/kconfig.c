/* SPDX-License-Identifier: MIT */
#include "guest/kconfig.h"

#include <string.h>

#include "util/util.h"

#define BEGIN "IKCFG_ST"
#define END "IKCFG_ED"
#define EMBEDDED_MAX (4 * MIB)
#define PREFIX "CONFIG_"

bool kconfig_is(const char *text, size_t len)
{
	return memmem(text, len, "\n" PREFIX, strlen("\n" PREFIX));
}

enum kconfig_value kconfig_get(const char *text, size_t len, const char *name)
{
	size_t name_len = strlen(name);
	const char *end = text + len, *next;

	for (const char *line = text; line < end; line = next) {
		const char *eol = memchr(line, '\n', (size_t)(end - line));
		const char *value = line + strlen(PREFIX) + name_len + 1;

		next = eol ? eol + 1 : end;
		if (next - line < (ptrdiff_t)(strlen(PREFIX) + name_len + 2) ||
		    memcmp(line, PREFIX, strlen(PREFIX)) != 0 ||
		    memcmp(line + strlen(PREFIX), name, name_len) != 0 || value[-1] != '=')
			continue;
		return *value == 'y' ? KCONFIG_YES : *value == 'm' ? KCONFIG_MODULE : KCONFIG_NO;
	}
	return KCONFIG_NO;
}

bool kconfig_embedded(const void *image, size_t size, struct unpacked *config)
{
	const struct unpacker *gzip = unpacker_for_kind(IMAGE_GZIP);
	const char *p = memmem(image, size, BEGIN, strlen(BEGIN)), *end;
	size_t left = p ? size - (size_t)(p - (const char *)image) : 0;
	struct err why;

	if (!p || !gzip)
		return false;
	p += strlen(BEGIN);
	left -= strlen(BEGIN);
	end = memmem(p, left, END, strlen(END));
	return end && !unpack(gzip, p, (size_t)(end - p), EMBEDDED_MAX, config, &why);
}
