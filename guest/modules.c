/* SPDX-License-Identifier: MIT */
#include "guest/modules.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/image.h"
#include "guest/unpack.h"
#include "util/util.h"

#define UNPACKED_MAX (256 * MIB)

/* ---- The tables ---- */

static bool map_table(const char *dir, const char *name, struct file_map *map)
{
	char path[PATH_MAX];
	struct err ignored;

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
	       !file_map(path, "", map, &ignored);
}

bool modules_open(const char *dir, struct module_tree *t)
{
	*t = (struct module_tree){ 0 };
	if (snprintf(t->dir, sizeof(t->dir), "%s", dir) >= (int)sizeof(t->dir) ||
	    !map_table(dir, "modules.dep", &t->dep))
		return false;
	map_table(dir, "modules.builtin", &t->builtin);
	return true;
}

void modules_close(struct module_tree *t)
{
	file_unmap(&t->dep);
	file_unmap(&t->builtin);
}

/* A line without its end; *at goes behind it. False: there are no more. */
static bool next_line(const struct file_map *map, size_t *at, struct module_path *line)
{
	const char *p, *eol;

	if (*at >= map->size)
		return false;
	p = (const char *)map->data + *at;
	eol = memchr(p, '\n', map->size - *at);
	line->text = p;
	line->len = eol ? (size_t)(eol - p) : map->size - *at;
	*at += line->len + 1;
	return true;
}

/* ---- Names ---- */

static char plain(char c)
{
	return c == '-' ? '_' : c;
}

static struct module_path base_of(const struct module_path *path)
{
	const char *slash = memrchr(path->text, '/', path->len);
	const char *base = slash ? slash + 1 : path->text;

	return (struct module_path){ base, path->len - (size_t)(base - path->text) };
}

/* "kernel/fs/9p/9p.ko.xz" is the module 9p. */
static bool is_called(const struct module_path *path, const char *name)
{
	struct module_path base = base_of(path);
	size_t len = strlen(name);

	if (base.len < len + 3 || memcmp(base.text + len, ".ko", 3) != 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (plain(base.text[i]) != plain(name[i]))
			return false;
	}
	return true;
}

void modules_name(const struct module_path *path, char *name, size_t size)
{
	struct module_path base = base_of(path);
	const char *dot = memchr(base.text, '.', base.len);

	snprintf(name, size, "%.*s", (int)(dot ? (size_t)(dot - base.text) : base.len), base.text);
}

/* ---- modules.dep: "FILE: NEEDED NEEDED ...", the last of which comes first ---- */

static struct module_path file_of(const struct module_path *line)
{
	const char *colon = memchr(line->text, ':', line->len);

	return (struct module_path){ line->text, colon ? (size_t)(colon - line->text) : 0 };
}

static bool find_by_name(const struct module_tree *t, const char *name, struct module_path *file)
{
	struct module_path line;

	for (size_t at = 0; next_line(&t->dep, &at, &line);) {
		*file = file_of(&line);
		if (is_called(file, name))
			return true;
	}
	return false;
}

static bool same(const struct module_path *a, const struct module_path *b)
{
	return a->len == b->len && !memcmp(a->text, b->text, a->len);
}

/* What stands behind the colon; nothing where the file has no line. */
static struct module_path needs_of(const struct module_tree *t, const struct module_path *file)
{
	struct module_path line;

	for (size_t at = 0; next_line(&t->dep, &at, &line);) {
		struct module_path its = file_of(&line);

		if (same(&its, file))
			return (struct module_path){ line.text + its.len + 1,
						     line.len - its.len - 1 };
	}
	return (struct module_path){ "", 0 };
}

enum module_state modules_state(const struct module_tree *t, const char *name)
{
	struct module_path line;

	for (size_t at = 0; next_line(&t->builtin, &at, &line);) {
		if (is_called(&line, name))
			return MODULE_BUILTIN;
	}
	return find_by_name(t, name, &line) ? MODULE_FILE : MODULE_NONE;
}

/* ---- The order ---- */

/* A file on the way to the list: what it needs is being added. */
struct step {
	const struct module_tree *t;
	struct module_list *list;
	struct err *err;
	struct module_path begun[MODULES_MAX];
	unsigned int n_begun;
};

static bool seen(const struct step *s, const struct module_path *file)
{
	for (unsigned int i = 0; i < s->n_begun; i++) {
		if (same(&s->begun[i], file))
			return true;
	}
	for (unsigned int i = 0; i < s->list->n; i++) {
		if (same(&s->list->files[i], file))
			return true;
	}
	return false;
}

/* "/" and "..": it would be outside. */
static bool is_inside(const struct module_path *file)
{
	return file->len && file->text[0] != '/' && !memmem(file->text, file->len, "..", 2) &&
	       !memchr(file->text, 0, file->len);
}

/* The last word of what is left of `words`, which it is cut from. */
static bool last_word(struct module_path *words, struct module_path *word)
{
	while (words->len && words->text[words->len - 1] == ' ')
		words->len--;
	word->len = 0;
	while (words->len && words->text[words->len - 1] != ' ') {
		words->len--;
		word->len++;
	}
	word->text = words->text + words->len;
	return word->len;
}

/* A file is begun once, whatever circles there are: so this ends, and is MODULES_MAX deep at most. */
static int add_file(struct step *s, struct module_path file)
{
	struct module_path needs, word;
	int rc = 0;

	if (seen(s, &file))
		return 0;
	if (!is_inside(&file))
		return err_set(s->err, EINVAL, "%s/modules.dep: a file outside, %.*s", s->t->dir,
			       (int)MIN(file.len, (size_t)100), file.text);
	if (s->n_begun == MODULES_MAX || s->list->n == MODULES_MAX)
		return err_set(s->err, E2BIG, "%s/modules.dep: more than %u modules are needed",
			       s->t->dir, MODULES_MAX);
	s->begun[s->n_begun++] = file;
	needs = needs_of(s->t, &file);
	while (!rc && last_word(&needs, &word))
		rc = add_file(s, word);
	if (!rc && s->list->n == MODULES_MAX)
		return err_set(s->err, E2BIG, "%s/modules.dep: more than %u modules are needed",
			       s->t->dir, MODULES_MAX);
	if (!rc)
		s->list->files[s->list->n++] = file;
	return rc;
}

int modules_add(const struct module_tree *t, const char *name, struct module_list *list,
		struct err *err)
{
	struct step s = { .t = t, .list = list, .err = err };
	struct module_path file;

	if (modules_state(t, name) != MODULE_FILE || !find_by_name(t, name, &file))
		return 0;
	return add_file(&s, file);
}

/* ---- Their bytes ---- */

static int put_module(const uint8_t *data, size_t size, struct buf *out)
{
	if (size < SELFMAG || memcmp(data, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	buf_put(out, data, size);
	return out->failed ? -ENOMEM : 0;
}

static int put_unpacked(const struct file_map *file, struct buf *out)
{
	const struct unpacker *u = unpacker_for_kind(image_sniff(file->data, file->size));
	struct unpacked plain_file;
	struct err why;
	int rc;

	if (!u)
		return put_module(file->data, file->size, out);
	rc = unpack(u, file->data, file->size, UNPACKED_MAX, &plain_file, &why);
	if (rc)
		return rc;
	rc = put_module(plain_file.data, plain_file.size, out);
	unpacked_free(&plain_file);
	return rc;
}

int modules_read(const struct module_tree *t, const struct module_path *path, struct buf *out,
		 struct err *err)
{
	char name[PATH_MAX];
	struct file_map file;
	int rc;

	if (snprintf(name, sizeof(name), "%s/%.*s", t->dir, (int)path->len, path->text) >=
	    (int)sizeof(name))
		return err_set(err, ENAMETOOLONG, "%s/modules.dep: too long a name", t->dir);
	rc = file_map(name, "module", &file, err);
	if (rc)
		return rc;
	rc = put_unpacked(&file, out);
	file_unmap(&file);
	if (rc == -ENOEXEC)
		return err_set(err, ENOEXEC,
			       "%s is no module, or packed in a way that this lkvm doesn't know",
			       name);
	return rc ? err_set(err, -rc, "module %s is damaged, or there is no memory: %s", name,
			    strerror(-rc))
		  : 0;
}
