/* SPDX-License-Identifier: MIT */
#include "guest/release.h"

#include <string.h>

#include "guest/image.h"
#include "guest/unpack.h"
#include "util/util.h"

#define BANNER "Linux version "
#define UNPACKED_MAX (512 * MIB)
#define BZ_KERNEL_VERSION 0x20e /* boot protocol: from 0x200, where the string is */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Up to a blank or the end; it names a folder, so it may hold nothing strange. */
static bool take(const char *p, size_t left, char release[RELEASE_MAX])
{
	size_t n = 0;

	while (n < left && n < RELEASE_MAX && p[n] > ' ' && p[n] < 127 && p[n] != '/')
		n++;
	if (!n || n == RELEASE_MAX || !is_digit(*p) || (n < left && p[n] && p[n] != ' '))
		return false;
	memcpy(release, p, n);
	release[n] = 0;
	return true;
}

/* The format of the banner is in the image, too, with a % where the release would be. */
static bool find_banner(const char *image, size_t size, char release[RELEASE_MAX])
{
	const char *end = image + size, *p = image;

	while ((p = memmem(p, (size_t)(end - p), BANNER, strlen(BANNER)))) {
		p += strlen(BANNER);
		if (take(p, (size_t)(end - p), release))
			return true;
	}
	return false;
}

/* Behind the release, in the same line. */
static bool names_builder(const char *p, size_t left)
{
	size_t n = 0;

	while (n < left && p[n] >= ' ' && p[n] < 127)
		n++;
	return n > 2 && !memcmp(p, " (", 2) && memchr(p, '@', n);
}

bool release_is_linux(const void *image, size_t size)
{
	const char *end = (const char *)image + size, *p = image;
	char release[RELEASE_MAX];

	while ((p = memmem(p, (size_t)(end - p), BANNER, strlen(BANNER)))) {
		p += strlen(BANNER);
		if (take(p, (size_t)(end - p), release) &&
		    names_builder(p + strlen(release), (size_t)(end - p) - strlen(release)))
			return true;
	}
	return false;
}

static bool of_bzimage(const char *image, size_t size, char release[RELEASE_MAX])
{
	size_t at;

	if (size < BZ_KERNEL_VERSION + 2)
		return false;
	at = 0x200u + get_le16(image + BZ_KERNEL_VERSION);
	return at > 0x200 && at < size && take(image + at, size - at, release);
}

bool release_of_image(const void *image, size_t size, char release[RELEASE_MAX])
{
	enum image_kind kind = image_sniff(image, size);
	const struct unpacker *u = unpacker_for_kind(kind);
	struct unpacked out;
	struct err why;
	bool found;

	if (kind == IMAGE_BZIMAGE || kind == IMAGE_BZIMAGE_OLD)
		return of_bzimage(image, size, release);
	if (!u)
		return find_banner(image, size, release);
	if (unpack(u, image, size, UNPACKED_MAX, &out, &why))
		return false;
	found = find_banner((const char *)out.data, out.size, release);
	unpacked_free(&out);
	return found;
}

bool release_of_name(const char *path, char release[RELEASE_MAX])
{
	const char *slash = strrchr(path, '/');
	const char *dash = strchr(slash ? slash : path, '-');

	return dash && take(dash + 1, strlen(dash + 1), release);
}
