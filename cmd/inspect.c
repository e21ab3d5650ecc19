/* SPDX-License-Identifier: MIT */
/*
 * lkvm inspect: what an image is, how it would be entered, what it asks for. How it is entered is
 * arch_look()'s word, by which lkvm run goes, too. What else is worth knowing of its format is read
 * here, one function a kind.
 */
#include "cmd/inspect.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "cmd/cmd.h"
#include "guest/elf.h"
#include "guest/image.h"
#include "guest/release.h"
#include "guest/solo5.h"
#include "guest/unpack.h"
#include "util/file.h"
#include "util/util.h"
#include "vm/verdict.h"

#define UNPACKED_MAX (512 * MIB)

#define HEX(v) ((unsigned long long)(v))

/* ---- Sizes and places, for people ---- */

static void put_size(FILE *out, uint64_t bytes)
{
	if (bytes < 10 * KIB)
		fprintf(out, "%llu bytes", HEX(bytes));
	else if (bytes < 10 * MIB)
		fprintf(out, "%llu KiB", HEX(bytes / KIB));
	else
		fprintf(out, "%llu MiB", HEX(bytes / MIB));
}

static void put_span(FILE *out, uint64_t low, uint64_t high)
{
	fprintf(out, "0x%llx to 0x%llx (", HEX(low), HEX(high));
	put_size(out, high - low);
	fputc(')', out);
}

/* ---- What a format tells beside that ---- */

static void put_segments(FILE *out, const struct elf_image *elf)
{
	struct elf_segment s;

	for (unsigned int i = 0; elf_segment(elf, i, &s); i++) {
		if (!s.size)
			continue;
		fprintf(out, "  segment      ");
		put_span(out, s.gpa, s.gpa + s.size);
		fprintf(out, " %c%c%c", s.readable ? 'r' : '-', s.writable ? 'w' : '-',
			s.executable ? 'x' : '-');
		if (s.file_size < s.size) {
			fprintf(out, ", ");
			put_size(out, s.file_size);
			fprintf(out, " of it from the file");
		}
		fputc('\n', out);
	}
}

static void put_elf(FILE *out, const void *data, size_t size, uint16_t machine)
{
	struct elf_image elf;
	struct err ignored;

	if (elf_parse(data, size, machine, &elf, &ignored))
		return;
	put_segments(out, &elf);
	if (elf.has_pvh)
		fprintf(out, "  note         PVH entry 0x%x\n", elf.pvh_entry);
	if (elf.has_linux)
		fprintf(out, "  note         Linux's\n");
}

static void put_release(FILE *out, const void *data, size_t size)
{
	char release[RELEASE_MAX];

	if (release_of_image(data, size, release))
		fprintf(out, "  Linux        %s\n", release);
}

static void put_format(FILE *out, const void *data, size_t size, bool is_linux)
{
	switch (image_sniff(data, size)) {
	case IMAGE_ELF64_X86:
		put_elf(out, data, size, EM_X86_64);
		break;
	case IMAGE_ELF32_X86:
		put_elf(out, data, size, EM_386);
		break;
	case IMAGE_ELF_ARM64:
		put_elf(out, data, size, EM_AARCH64);
		break;
	default:
		break;
	}
	if (is_linux)
		put_release(out, data, size);
}

/* ---- Solo5's, which are no affair of arch_look()'s: hvt/ runs them ---- */

static void put_solo5(FILE *out, const struct solo5_image *image)
{
	fprintf(out, "  entered      by Solo5's %s interface, version %u: 0x%llx\n",
		solo5_target_name(image->target), image->version, HEX(image->entry));
	fprintf(out, "  memory       %llu MiB at least\n",
		HEX(align_up(image->end, HVT_MEM_STEP) / MIB));
	fprintf(out, "  words        those behind -- are its command line\n");
	for (unsigned int i = 0; i < image->n_devices; i++) {
		const struct solo5_device *d = &image->devices[i];

		if (d->type == SOLO5_BLOCK)
			fprintf(out, "  needs        --block:%s=PATH\n", d->name);
		else if (d->type == SOLO5_NET)
			fprintf(out, "  needs        --net:%s=TAP\n", d->name);
	}
	for (unsigned int i = 0; i < image->n_segments; i++) {
		const struct solo5_segment *s = &image->segments[i];

		fprintf(out, "  segment      ");
		put_span(out, s->gpa, s->gpa + s->size);
		fprintf(out, " r%c%c\n", s->writable ? 'w' : '-', s->executable ? 'x' : '-');
	}
}

static bool inspect_solo5(const struct vm_config *config, const struct file_map *file,
			  const char *name, FILE *out)
{
	struct solo5_image image;
	struct err err = { "" };
	int rc = solo5_parse(file->data, file->size, &image, &err);

	if (!rc)
		rc = solo5_check_machine(&image, arch_name, &err);
	if (!rc && vm_option(config, "entry"))
		rc = err_set(&err, EINVAL, "it has no --entry: it has one");
	fprintf(out, "%s: %s\n", name, image_describe(IMAGE_SOLO5));
	if (rc)
		fprintf(out, "  refused      %s\n", err.text);
	else
		put_solo5(out, &image);
	return !rc;
}

/* ---- What arch_look() tells ---- */

static void put_words(FILE *out, const struct arch_look *look)
{
	static const char *const names[] = {
		[ARCH_ARGV0_NONE] = "",
		[ARCH_ARGV0_PATH] = ", behind its path",
		[ARCH_ARGV0_UNLESS] = ", behind its name unless -p is given",
	};

	if (!look->cmdline)
		fprintf(out, "  words        it takes none\n");
	else if (look->is_linux)
		fprintf(out,
			"  words        behind -- stands a command to run in it; -p is for it\n");
	else
		fprintf(out, "  words        those of -p and behind -- are its command line%s\n",
			names[look->argv0]);
}

static void put_look(FILE *out, const struct arch_look *look)
{
	if (look->way)
		fprintf(out, "  entered      %s", look->way);
	if (look->way && look->high)
		fprintf(out, ": 0x%llx", HEX(look->start));
	if (look->way)
		fputc('\n', out);
	if (look->high) {
		fprintf(out, "  loaded       ");
		put_span(out, look->low, look->high);
		fputc('\n', out);
	}
	if (look->memory)
		fprintf(out, "  memory       %llu MiB at least\n", HEX(look->memory / MIB));
	put_words(out, look);
	if (look->modules || look->initrd)
		fprintf(out, "  files        %s%s\n", look->initrd ? "-i" : "",
			look->modules ? ", --module" : "");
	if (look->irqchip)
		fprintf(out, "  interrupts   --irqchip %s, unless another is given\n",
			look->irqchip);
}

/* Of a packed file what is in it. */
static void put_inside(FILE *out, const struct file_map *file, bool is_linux)
{
	const struct unpacker *u = unpacker_for_kind(image_sniff(file->data, file->size));
	struct unpacked plain;
	struct err ignored;

	if (!u) {
		put_format(out, file->data, file->size, is_linux);
		return;
	}
	if (unpack(u, file->data, file->size, UNPACKED_MAX, &plain, &ignored))
		return;
	fprintf(out, "  packed       by %s: %zu KiB of %zu KiB\n", u->name, file->size / 1024,
		plain.size / 1024);
	put_format(out, plain.data, plain.size, is_linux);
	unpacked_free(&plain);
}

static bool inspect_other(const struct vm_config *config, const struct arch_image *image,
			  const struct file_map *file, const char *name, FILE *out)
{
	struct arch_look look;
	struct err err = { "" };
	int rc = arch_look(config, image, true, &look, &err);

	fprintf(out, "%s: %s\n", name, look.what ? look.what : "not known");
	if (!rc)
		put_look(out, &look);
	else
		fprintf(out, "  refused      %s\n", err.text);
	put_inside(out, file, !rc && look.is_linux);
	return !rc;
}

bool inspect_image(const struct vm_config *config, const struct arch_image *image, const char *name,
		   FILE *out)
{
	struct file_map file = { .data = image->data, .size = image->size };
	struct err err = { "" };
	bool fine;

	if (image->kernel && file_map(image->kernel, "image", &file, &err)) {
		fprintf(out, "%s: %s\n", name, err.text);
		return false;
	}
	fine = image_sniff(file.data, file.size) == IMAGE_SOLO5
		       ? inspect_solo5(config, &file, name, out)
		       : inspect_other(config, image, &file, name, out);
	if (image->kernel)
		file_unmap(&file);
	return fine;
}

/* ---- The command ---- */

int cmd_inspect(int argc, char **argv, const struct command *table)
{
	struct vm_option entry = { "entry", NULL };
	struct vm_config config = { .options = &entry };
	struct arch_image image = { .cmdline = "" };

	(void)table;
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (!strncmp(word, "--entry=", 8) && word[8])
			entry.value = word + 8;
		else if (!strcmp(word, "--entry") && i + 1 < argc)
			entry.value = argv[++i];
		else if (*word == '-' && word[1])
			return cmd_fail("inspect has no option %s; lkvm help inspect", word);
		else if (image.kernel)
			return cmd_fail("inspect takes one image; lkvm help inspect");
		else
			image.kernel = word;
	}
	if (!image.kernel)
		return cmd_fail("inspect what? lkvm inspect IMAGE");
	config.n_options = entry.value ? 1 : 0;
	return inspect_image(&config, &image, image.kernel, stdout) ? 0 : 1;
}
