/* SPDX-License-Identifier: MIT */
/* A folder of modules that lies: its tables, and what an image says of its release. */
#include "guest/modules.h"

#include <errno.h>

#include "guest/release.h"
#include "tests/fuzz/fuzz.h"

/* A table is as long as it says; one that is not there is zeros. */
static struct file_map table_of(uint8_t *copy, size_t size)
{
	return (struct file_map){ .data = size ? copy : NULL, .size = size };
}

static void check_list(const struct module_list *list)
{
	char name[32];

	CHECK(list->n <= MODULES_MAX);
	for (unsigned int i = 0; i < list->n; i++) {
		const struct module_path *file = &list->files[i];

		CHECK(file->len && file->text[0] != '/');
		CHECK(!memmem(file->text, file->len, "../", 3));
		modules_name(file, name, sizeof(name));
		CHECK(strlen(name) < sizeof(name));
		for (unsigned int j = 0; j < i; j++)
			CHECK(list->files[j].len != file->len ||
			      memcmp(list->files[j].text, file->text, file->len) != 0);
	}
}

static void add_some(const struct module_tree *t)
{
	static const char *const names[] = { "a", "b", "virtio_pci", "9p" };
	struct module_list list = { .n = 0 };
	struct err err;

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		enum module_state state = modules_state(t, names[i]);
		unsigned int before = list.n;
		int rc = modules_add(t, names[i], &list, &err);

		CHECK(!rc || rc == -EINVAL || rc == -E2BIG);
		CHECK(state == MODULE_FILE || (!rc && list.n == before));
	}
	check_list(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	size_t split = MIN((size_t)take_u16(&in), in.left);
	uint8_t *dep = heap_copy(in.p, split), *builtin = heap_copy(in.p + split, in.left - split);
	struct module_tree t = { .dir = "." };
	char release[RELEASE_MAX];

	t.dep = table_of(dep, split);
	t.builtin = table_of(builtin, in.left - split);
	add_some(&t);
	if (release_of_image(builtin, in.left - split, release))
		CHECK(strlen(release) < RELEASE_MAX && !strchr(release, '/'));
	free(dep);
	free(builtin);
	return 0;
}
