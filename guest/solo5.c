/* SPDX-License-Identifier: MIT */
#include "guest/solo5.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "util/util.h"

#define MAX_HEADERS 64
#define NOTE_ABI1 0x31494241u
#define NOTE_MFT1 0x3154464du
#define MANIFEST_VERSION 1
/* From a note's beginning: its header, "Solo5" padded, and the manifest wants to be at 8. */
#define ABI_OFFSET 20u
#define MANIFEST_OFFSET 24u
#define PAGE 0x1000ull /* of the guest, on both machines */

_Static_assert(sizeof(struct hvt_manifest_entry) == 104, "the manifest's entry");
_Static_assert(offsetof(struct hvt_manifest_entry, u) == 72, "its properties");
_Static_assert(offsetof(struct hvt_manifest_entry, attached) == 96, "its end");
_Static_assert(sizeof(struct hvt_boot_info) == 56, "the boot information");

struct note {
	uint64_t at, size; /* of all of it, in the file; size 0: none */
};

const char *solo5_target_name(enum solo5_target target)
{
	static const char *const names[] = {
		[SOLO5_HVT] = "hvt",   [SOLO5_SPT] = "spt",	  [SOLO5_VIRTIO] = "virtio",
		[SOLO5_MUEN] = "muen", [SOLO5_GENODE] = "genode", [SOLO5_XEN] = "xen",
	};

	return target >= SOLO5_HVT && target <= SOLO5_XEN ? names[target] : "unknown";
}

const char *solo5_type_name(enum solo5_type type)
{
	return type == SOLO5_BLOCK ? "block" : type == SOLO5_NET ? "net" : "unknown";
}

/* ---- Headers and notes ---- */

static const char *check_header(const uint8_t *data, size_t size, Elf64_Ehdr *eh)
{
	if (size < sizeof(*eh))
		return "it is truncated: less than an ELF header";
	memcpy(eh, data, sizeof(*eh));
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return "it is not a 64-bit little-endian ELF file";
	if (eh->e_machine != EM_X86_64 && eh->e_machine != EM_AARCH64)
		return "it is for another architecture";
	if (eh->e_phentsize != sizeof(Elf64_Phdr) || !eh->e_phnum || eh->e_phnum > MAX_HEADERS)
		return "its ELF header has an impossible number or size of program headers";
	if (!range_in(eh->e_phoff, (uint64_t)eh->e_phnum * sizeof(Elf64_Phdr), size))
		return "it is truncated: its program headers are past its end";
	return NULL;
}

static Elf64_Phdr header_at(const uint8_t *data, const Elf64_Ehdr *eh, unsigned int i)
{
	Elf64_Phdr ph;

	memcpy(&ph, data + eh->e_phoff + i * sizeof(ph), sizeof(ph));
	return ph;
}

/* Looks for Solo5's note of this type in [at, end) of the file. How many there are; `out`: the last. */
static unsigned int find_note(const uint8_t *data, uint64_t at, uint64_t end, uint32_t type,
			      struct note *out)
{
	unsigned int n = 0;

	while (end - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr nh;
		uint64_t name, desc;

		memcpy(&nh, data + at, sizeof(nh));
		name = at + sizeof(nh);
		desc = name + align_up(nh.n_namesz, 4);
		/* 32-bit lengths added to an offset in the file: no wrap. The last may be unpadded. */
		if (desc > end || nh.n_descsz > end - desc)
			break;
		if (nh.n_type == type && nh.n_namesz == 6 && !memcmp(data + name, "Solo5", 6)) {
			*out = (struct note){ at, desc + nh.n_descsz - at };
			n++;
		}
		at = MIN(desc + align_up(nh.n_descsz, 4), end);
	}
	return n;
}

static unsigned int count_notes(const uint8_t *data, size_t size, const Elf64_Ehdr *eh,
				uint32_t type, struct note *out)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < eh->e_phnum; i++) {
		Elf64_Phdr ph = header_at(data, eh, i);

		if (ph.p_type == PT_NOTE && range_in(ph.p_offset, ph.p_filesz, size))
			n += find_note(data, ph.p_offset, ph.p_offset + ph.p_filesz, type, out);
	}
	return n;
}

bool solo5_has_note(const void *data, size_t size, enum solo5_target *target)
{
	struct note note;
	Elf64_Ehdr eh;

	if (check_header(data, size, &eh) || !count_notes(data, size, &eh, NOTE_ABI1, &note))
		return false;
	*target = note.size < ABI_OFFSET + 4
			  ? 0
			  : get_le32((const uint8_t *)data + note.at + ABI_OFFSET);
	return true;
}

static int one_note(const struct solo5_image *image, size_t size, const Elf64_Ehdr *eh,
		    uint32_t type, const char *what, struct note *out, struct err *err)
{
	unsigned int n = count_notes(image->data, size, eh, type, out);

	if (!n)
		return err_set(err, EINVAL, "it has no Solo5 %s", what);
	return n > 1 ? err_set(err, EINVAL, "it has %u Solo5 %ss; one is right", n, what) : 0;
}

static int parse_abi(struct solo5_image *image, size_t size, const Elf64_Ehdr *eh, struct err *err)
{
	struct note note;
	int rc = one_note(image, size, eh, NOTE_ABI1, "ABI note", &note, err);

	if (rc)
		return rc;
	if (note.size < ABI_OFFSET + 8)
		return err_set(err, EINVAL, "its Solo5 ABI note is too short");
	image->target = get_le32(image->data + note.at + ABI_OFFSET);
	image->version = get_le32(image->data + note.at + ABI_OFFSET + 4);
	if (image->target != SOLO5_HVT)
		return err_set(err, EINVAL, "it is for Solo5's %s (%u); hvt is wanted",
			       solo5_target_name(image->target), image->target);
	if (image->version != SOLO5_HVT_VERSION)
		return err_set(err, EINVAL, "it is for version %u of Solo5's hvt; %u is known",
			       image->version, SOLO5_HVT_VERSION);
	return 0;
}

/* ---- The manifest ---- */

/* The tender's options can name nothing else. */
static bool is_name(const char *name)
{
	size_t len = strnlen(name, SOLO5_NAME);

	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
			return false;
	}
	return len && len < SOLO5_NAME;
}

static int parse_device(struct solo5_image *image, unsigned int i, const uint8_t *p,
			struct err *err)
{
	struct solo5_device *d = &image->devices[i];
	uint32_t type = get_le32(p + offsetof(struct hvt_manifest_entry, type));

	d->type = type;
	memcpy(d->name, p, SOLO5_NAME);
	if (d->name[SOLO5_NAME - 1])
		return err_set(err, EINVAL, "its manifest: the name of entry %u does not end", i);
	if (p[offsetof(struct hvt_manifest_entry, attached)])
		return err_set(err, EINVAL, "its manifest: entry %u is attached already", i);
	if (!i)
		return type == SOLO5_RESERVED && !d->name[0]
			       ? 0
			       : err_set(err, EINVAL,
					 "its manifest: entry 0 is not the reserved one");
	if (type != SOLO5_BLOCK && type != SOLO5_NET)
		return err_set(err, EINVAL, "its manifest: entry %u is of an unknown type, 0x%x", i,
			       type);
	if (!is_name(d->name))
		return err_set(err, EINVAL,
			       "its manifest: the name of entry %u is not of letters and digits",
			       i);
	for (unsigned int j = 1; j < i; j++) {
		if (!strcmp(image->devices[j].name, d->name))
			return err_set(err, EINVAL, "its manifest: two devices are named %s",
				       d->name);
	}
	return 0;
}

static int parse_manifest(struct solo5_image *image, size_t size, const Elf64_Ehdr *eh,
			  struct err *err)
{
	const uint64_t head = MANIFEST_OFFSET + sizeof(struct hvt_manifest);
	struct note note;
	uint32_t version, n;
	int rc = one_note(image, size, eh, NOTE_MFT1, "manifest", &note, err);

	if (rc)
		return rc;
	if (note.size < head)
		return err_set(err, EINVAL, "its manifest is too short");
	version = get_le32(image->data + note.at + MANIFEST_OFFSET);
	n = get_le32(image->data + note.at + MANIFEST_OFFSET + 4);
	if (version != MANIFEST_VERSION)
		return err_set(err, EINVAL, "its manifest is of version %u; %u is known", version,
			       MANIFEST_VERSION);
	if (!n || n > SOLO5_DEVICES)
		return err_set(err, EINVAL, "its manifest has %u entries; 1 to %u are right", n,
			       SOLO5_DEVICES);
	if (note.size != head + n * sizeof(struct hvt_manifest_entry))
		return err_set(err, EINVAL,
			       "its manifest has %u entries, and not the size of so many", n);
	image->n_devices = n;
	for (unsigned int i = 0; !rc && i < n; i++)
		rc = parse_device(
			image, i,
			image->data + note.at + head + i * sizeof(struct hvt_manifest_entry), err);
	return rc;
}

/* ---- Segments ---- */

/* Its pages; those of a segment without bytes in the file are as all other memory. */
static int set_pages(unsigned int i, uint64_t align, struct solo5_segment *s, struct err *err)
{
	s->first = s->end = s->gpa;
	if (!s->file_size)
		return 0;
	if (!align || align & (align - 1))
		return err_set(err, EINVAL, "segment %u is aligned to 0x%llx: no power of two", i,
			       (unsigned long long)align);
	s->first = align_down(s->gpa, align);
	s->end = align_up(s->gpa + s->size, align);
	if (s->end < s->gpa + s->size)
		return err_set(err, EINVAL, "segment %u wraps around the end of memory", i);
	if (s->first % PAGE || s->end % PAGE)
		return err_set(err, EINVAL, "segment %u does not begin and end with a page", i);
	return 0;
}

static int check_segment(size_t size, unsigned int i, const Elf64_Phdr *ph, struct solo5_segment *s,
			 struct err *err)
{
	uint64_t end;
	int rc;

	*s = (struct solo5_segment){
		.gpa = ph->p_vaddr,
		.size = ph->p_memsz,
		.offset = ph->p_offset,
		.file_size = ph->p_filesz,
		.writable = ph->p_flags & PF_W,
		.executable = ph->p_flags & PF_X,
	};
	if (!range_in(s->offset, s->file_size, size))
		return err_set(err, EINVAL, "it is truncated: segment %u is past its end", i);
	if (s->file_size > s->size)
		return err_set(err, EINVAL, "segment %u is larger in the file than in memory", i);
	if (s->gpa > UINT64_MAX - s->size)
		return err_set(err, EINVAL, "segment %u wraps around the end of memory", i);
	if (s->writable && s->executable)
		return err_set(err, EINVAL, "segment %u is writable and executable", i);
	rc = set_pages(i, ph->p_align, s, err);
	if (rc)
		return rc;
	if (MIN(s->first, s->gpa) < HVT_BASE)
		return err_set(err, EINVAL, "segment %u is at 0x%llx; 0x%llx is the lowest", i,
			       (unsigned long long)MIN(s->first, s->gpa), HVT_BASE);
	end = MAX(s->end, s->gpa + s->size);
	if (end > HVT_MEM_MAX)
		return err_set(err, EINVAL,
			       "segment %u ends at 0x%llx; such a guest has 4 GiB at most", i,
			       (unsigned long long)end);
	return 0;
}

static int parse_segments(struct solo5_image *image, size_t size, const Elf64_Ehdr *eh,
			  struct err *err)
{
	uint64_t gpa = 0;

	for (unsigned int i = 0; i < eh->e_phnum; i++) {
		Elf64_Phdr ph = header_at(image->data, eh, i);
		struct solo5_segment s;
		int rc;

		/* The linker makes empty ones, at 0. */
		if (ph.p_type != PT_LOAD || (!ph.p_filesz && (!ph.p_memsz || !ph.p_vaddr)))
			continue;
		rc = check_segment(size, i, &ph, &s, err);
		if (rc)
			return rc;
		if (s.gpa < gpa)
			return err_set(err, EINVAL, "segment %u is not in ascending order", i);
		if (s.first < image->end)
			return err_set(err, EINVAL, "segment %u overlaps the one before", i);
		if (image->n_segments == SOLO5_SEGMENTS)
			return err_set(err, EINVAL, "it has more than %u segments", SOLO5_SEGMENTS);
		gpa = s.gpa;
		image->end = MAX(s.end, s.gpa + s.size);
		image->segments[image->n_segments++] = s;
	}
	image->end = align_up(image->end, PAGE);
	return image->n_segments ? 0 : err_set(err, EINVAL, "it has nothing to load");
}

static int check_entry(const struct solo5_image *image, struct err *err)
{
	for (unsigned int i = 0; i < image->n_segments; i++) {
		const struct solo5_segment *s = &image->segments[i];

		if (image->entry < s->gpa || image->entry - s->gpa >= s->file_size)
			continue;
		return s->executable
			       ? 0
			       : err_set(err, EINVAL,
					 "its entry 0x%llx is in a segment that is not executable",
					 (unsigned long long)image->entry);
	}
	return err_set(err, EINVAL, "its entry 0x%llx is outside of what it loads",
		       (unsigned long long)image->entry);
}

int solo5_parse(const void *data, size_t size, struct solo5_image *image, struct err *err)
{
	Elf64_Ehdr eh;
	const char *why;
	int rc;

	/* The lists are as long as they say: a page or two less to touch at each start. */
	memset(image, 0, offsetof(struct solo5_image, segments));
	image->data = data;
	why = check_header(data, size, &eh);
	if (why)
		return err_set(err, EINVAL, "%s", why);
	image->machine = eh.e_machine;
	image->entry = eh.e_entry;
	rc = parse_abi(image, size, &eh, err);
	if (!rc)
		rc = parse_manifest(image, size, &eh, err);
	if (!rc && eh.e_type != ET_EXEC)
		rc = err_set(err, EINVAL, "its ELF header does not say that it is an executable");
	if (!rc)
		rc = parse_segments(image, size, &eh, err);
	return rc ? rc : check_entry(image, err);
}

/* To look through more would take longer than what it saves. */
#define SHORT_CODE (128 * KIB)

/* CPUID itself; the number of EFER, with a bit for NX; XSETBV; RDTSCP; RDRAND and RDSEED begin so. */
static const struct {
	uint8_t len, bytes[4];
} telling[] = {
	{ 2, { 0x0f, 0xa2 } },	     { 4, { 0x80, 0x00, 0x00, 0xc0 } },
	{ 3, { 0x0f, 0x01, 0xd1 } }, { 3, { 0x0f, 0x01, 0xf9 } },
	{ 2, { 0x0f, 0xc7 } },
};

static bool may_identify(const uint8_t *code, size_t size)
{
	if (size > SHORT_CODE)
		return true;
	for (unsigned int i = 0; i < ARRAY_SIZE(telling); i++) {
		if (memmem(code, size, telling[i].bytes, telling[i].len))
			return true;
	}
	return false;
}

bool solo5_may_identify(const struct solo5_image *image)
{
	for (unsigned int i = 0; i < image->n_segments; i++) {
		const struct solo5_segment *s = &image->segments[i];

		if (s->executable && may_identify(image->data + s->offset, s->file_size))
			return true;
	}
	return false;
}

int solo5_check_machine(const struct solo5_image *image, const char *machine, struct err *err)
{
	const char *its = image->machine == EM_X86_64 ? "x86_64" : "aarch64";

	return strcmp(its, machine)
		       ? err_set(err, ENOEXEC, "it is for %s, and this machine is %s", its, machine)
		       : 0;
}

int solo5_fits(const struct solo5_image *image, uint64_t mem, struct err *err)
{
	if (mem < HVT_MEM_STEP || mem % HVT_MEM_STEP || mem > HVT_MEM_MAX)
		return err_set(err, EINVAL,
			       "-m %llu KiB: the memory of a Solo5 guest is a multiple of 2 MiB, 4 "
			       "GiB at most",
			       (unsigned long long)(mem / KIB));
	if (image->end > mem)
		return err_set(err, ENOMEM,
			       "it loads up to 0x%llx, memory ends at 0x%llx; give more with -m",
			       (unsigned long long)image->end, (unsigned long long)mem);
	return 0;
}
