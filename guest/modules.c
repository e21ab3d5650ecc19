/* SPDX-License-Identifier: MIT */
#include "guest/modules.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/image.h"
#include "guest/modinfo.h"
#include "guest/unpack.h"
#include "util/util.h"

#define UNPACKED_MAX (256 * MIB)
#define DEPENDS_MAX 4096

/* ---- The tables ---- */

static bool map_table(const char *dir, const char *name, struct file_map *map)
{
	char path[PATH_MAX];
	struct err ignored;

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
	       !file_map(path, "", map, &ignored);
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

/* modules.order has a file a line; since Linux 6.3 "a.o", which a.ko was made of. */
static void make_dep(const struct file_map *order, struct buf *dep)
{
	struct module_path line;

	for (size_t at = 0; next_line(order, &at, &line);) {
		bool object = line.len > 2 && !memcmp(line.text + line.len - 2, ".o", 2);

		buf_put(dep, line.text, line.len - (object ? 1 : 0));
		buf_put(dep, object ? "ko:\n" : ":\n", object ? 4 : 2);
	}
}

/* Without the list of what is built in nobody could tell that from what is missing. */
static bool open_built(const char *dir, struct module_tree *t)
{
	struct file_map order;

	if (!map_table(dir, "modules.builtin", &t->builtin))
		return false;
	if (!map_table(dir, "modules.order", &order)) {
		file_unmap(&t->builtin);
		return false;
	}
	make_dep(&order, &t->made);
	file_unmap(&order);
	t->dep = (struct file_map){ t->made.data, t->made.len };
	if (!t->made.failed)
		return true;
	modules_close(t);
	return false;
}

bool modules_open(const char *dir, struct module_tree *t)
{
	*t = (struct module_tree){ 0 };
	if (snprintf(t->dir, sizeof(t->dir), "%s", dir) >= (int)sizeof(t->dir))
		return false;
	if (!map_table(dir, "modules.dep", &t->dep))
		return open_built(dir, t);
	map_table(dir, "modules.builtin", &t->builtin);
	return true;
}

void modules_close(struct module_tree *t)
{
	if (!t->made.data)
		file_unmap(&t->dep);
	buf_free(&t->made);
	file_unmap(&t->builtin);
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

/* For people. */
static const char *table_of(const struct module_tree *t)
{
	return t->made.data ? "modules.order" : "modules.dep";
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

static int add_file(struct step *s, struct module_path file);

/* As the file's line in modules.dep has it. */
static int add_needs(struct step *s, const struct module_path *file)
{
	struct module_path needs = needs_of(s->t, file), word;
	int rc = 0;

	while (!rc && last_word(&needs, &word))
		rc = add_file(s, word);
	return rc;
}

/* As the file itself has it: "a,b", names. It is copied: files may be large, and many begun. */
static int read_depends(struct step *s, const struct module_path *file, char names[DEPENDS_MAX])
{
	struct buf module = { 0 };
	int rc = modules_read(s->t, file, &module, s->err);
	const char *value = rc ? NULL : modinfo_get(module.data, module.len, "depends");

	if (!rc && !value)
		rc = err_set(s->err, EINVAL, "%s/%.*s does not say which modules it needs",
			     s->t->dir, (int)MIN(file->len, (size_t)100), file->text);
	else if (!rc && snprintf(names, DEPENDS_MAX, "%s", value) >= DEPENDS_MAX)
		rc = err_set(s->err, E2BIG, "%s/%.*s needs too many modules", s->t->dir,
			     (int)MIN(file->len, (size_t)100), file->text);
	buf_free(&module);
	return rc;
}

static int add_depends(struct step *s, const struct module_path *file)
{
	char *names = malloc(DEPENDS_MAX), *rest = names, *name;
	struct module_path needed;
	int rc = names ? read_depends(s, file, names) : err_set(s->err, ENOMEM, "no memory");

	while (!rc && (name = strsep(&rest, ","))) {
		if (*name && find_by_name(s->t, name, &needed))
			rc = add_file(s, needed);
	}
	free(names);
	return rc;
}

/* A file is begun once, whatever circles there are: so this ends, and is MODULES_MAX deep at most. */
static int add_file(struct step *s, struct module_path file)
{
	int rc;

	if (seen(s, &file))
		return 0;
	if (!is_inside(&file))
		return err_set(s->err, EINVAL, "%s/%s: a file outside, %.*s", s->t->dir,
			       table_of(s->t), (int)MIN(file.len, (size_t)100), file.text);
	if (s->n_begun == MODULES_MAX || s->list->n == MODULES_MAX)
		return err_set(s->err, E2BIG, "%s/%s: more than %u modules are needed", s->t->dir,
			       table_of(s->t), MODULES_MAX);
	s->begun[s->n_begun++] = file;
	rc = s->t->made.data ? add_depends(s, &file) : add_needs(s, &file);
	if (!rc && s->list->n == MODULES_MAX)
		return err_set(s->err, E2BIG, "%s/%s: more than %u modules are needed", s->t->dir,
			       table_of(s->t), MODULES_MAX);
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

static bool compose(const struct module_tree *t, const struct module_path *path, const char *ending,
		    char name[PATH_MAX])
{
	return snprintf(name, PATH_MAX, "%s/%.*s%s", t->dir, (int)path->len, path->text, ending) <
	       PATH_MAX;
}

/*
 * modules.order doesn't tell of packing, which comes with installing; and it was written for what is
 * installed, in kernel/, before Linux 5.3.
 */
static bool find_file(const struct module_tree *t, const struct module_path *path,
		      char name[PATH_MAX])
{
	static const char *const endings[] = { "", ".xz", ".zst", ".gz" };
	struct module_path built = *path;

	for (unsigned int i = 0; t->made.data && i < ARRAY_SIZE(endings); i++) {
		if (compose(t, path, endings[i], name) && !access(name, F_OK))
			return true;
	}
	if (t->made.data && built.len > 7 && !memcmp(built.text, "kernel/", 7)) {
		built.text += 7;
		built.len -= 7;
		if (compose(t, &built, "", name) && !access(name, F_OK))
			return true;
	}
	return compose(t, path, "", name);
}

int modules_read(const struct module_tree *t, const struct module_path *path, struct buf *out,
		 struct err *err)
{
	char name[PATH_MAX];
	struct file_map file;
	int rc;

	if (!find_file(t, path, name))
		return err_set(err, ENAMETOOLONG, "%s/%s: too long a name", t->dir, table_of(t));
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
