/* SPDX-License-Identifier: MIT */
/*
 * bzImages made here, with a kernel packed inside: it is unpacked to its place, left to the guest,
 * or refused with a line for people. And ELF files that are packed as a whole.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "guest/bzimage.h"
#include "guest/unpack.h"
#include "tests/unit/tap.h"
#include "util/util.h"
#include "x86/map.h"
#include "x86/x86.h"

#define RAM (64 * MIB)
#define PLACE (16 * MIB) /* pref_address */
#define LOW (2 * MIB)	 /* ... of an odd one */
#define ROOM (16 * MIB)	 /* init_size */
#define FIRST (2 * MIB)	 /* where segments begin in the file, as Linux has them */
#define SECOND (3 * MIB)
#define SECOND_AT (PLACE + 3 * MIB / 2)
#define PLAIN (4 * MIB)
#define TEXT "the first segment"
#define DATA "the second one"
#define KERNEL 1024 /* the bzImage's own program, in the file */
#define PAYLOAD 0x1000
#define BZ_SIZE (256 * KIB)

struct bytes {
	uint8_t *data; /* malloc's */
	size_t size;
};

/*
 * A kernel's ELF file: a segment that is in place when unpacked, one that is not, and relocations.
 */
static struct bytes make_vmlinux(void)
{
	struct bytes b = { calloc(1, PLAIN), PLAIN };
	Elf64_Ehdr eh = { .e_type = ET_EXEC,
			  .e_machine = EM_X86_64,
			  .e_entry = PLACE + 64,
			  .e_phoff = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 2 };
	Elf64_Phdr ph[2] = {
		{ .p_type = PT_LOAD, .p_offset = FIRST, .p_paddr = PLACE },
		{ .p_type = PT_LOAD, .p_offset = SECOND, .p_paddr = SECOND_AT },
	};

	memcpy(eh.e_ident, "\177ELF\2\1\1", 7);
	ph[0].p_filesz = ph[0].p_memsz = MIB;
	ph[1].p_filesz = MIB / 2;
	ph[1].p_memsz = MIB; /* bss, where the file has relocations */
	memcpy(b.data, &eh, sizeof(eh));
	memcpy(b.data + sizeof(eh), ph, sizeof(ph));
	strcpy((char *)b.data + FIRST, TEXT);
	strcpy((char *)b.data + SECOND, DATA);
	memset(b.data + SECOND + MIB / 2, 0xee, PLAIN - SECOND - MIB / 2);
	return b;
}

static struct bytes pack(struct bytes plain)
{
	struct bytes out = { malloc(BZ_SIZE), BZ_SIZE };
	z_stream z = { .next_in = plain.data,
		       .avail_in = (uInt)plain.size,
		       .next_out = out.data,
		       .avail_out = (uInt)out.size };

	deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	out.size = z.total_out;
	deflateEnd(&z);
	free(plain.data);
	return out;
}

static struct bytes make_bzimage(struct bytes payload)
{
	struct bytes b = { calloc(1, BZ_SIZE), BZ_SIZE };
	uint8_t *p = b.data;

	p[0x1f1] = 1;
	put_le32(p + 0x1f4, (BZ_SIZE - KERNEL) / 16);
	memcpy(p + 0x201,
	       "\x6a"
	       "HdrS",
	       5);
	put_le16(p + 0x206, 0x20f);
	p[0x211] = 1;
	put_le32(p + 0x22c, 0x7fffffff);
	put_le16(p + 0x236, 1);
	put_le32(p + 0x238, 2047);
	put_le32(p + 0x248, PAYLOAD);
	put_le32(p + 0x24c, (uint32_t)payload.size);
	put_le64(p + 0x258, PLACE);
	put_le32(p + 0x260, ROOM);
	memcpy(p + KERNEL, "unpacks itself", 15);
	memcpy(p + KERNEL + PAYLOAD, payload.data, payload.size);
	free(payload.data);
	return b;
}

static struct bytes good_bzimage(void)
{
	return make_bzimage(pack(make_vmlinux()));
}

/* ---- A machine that is loaded, and never run ---- */

struct machine {
	struct vm vm;
	struct arch_vm arch;
	struct vm_option option;
	struct err err;
	int rc;
};

static void load_with(struct machine *m, struct bytes image, const char *unpack, const char *initrd,
		      const char *more)
{
	struct arch_image load = { .data = image.data,
				   .size = image.size,
				   .cmdline = "quiet",
				   .initrds = initrd ? (const char *const[]){ initrd, NULL } : NULL,
				   .initrd_more = more,
				   .initrd_more_size = more ? strlen(more) + 1 : 0 };

	*m = (struct machine){ .option = { "unpack", unpack }, .vm.arch = &m->arch };
	m->vm.config.log.fd = -1;
	m->vm.config.options = &m->option;
	m->vm.config.n_options = unpack ? 1 : 0;
	if (mem_create(&m->vm.mem, MEM_ANON, -1, RAM, &m->err) || arch_layout(&m->vm, &m->err))
		abort();
	m->rc = arch_load(&m->vm, &load, &m->err);
	free(image.data);
}

static void load(struct machine *m, struct bytes image, const char *unpack)
{
	load_with(m, image, unpack, NULL, NULL);
}

static bool holds(const struct machine *m, uint64_t gpa, const char *text)
{
	const char *p = mem_at(&m->vm.mem, gpa, strlen(text) + 1, MEM_R);

	return !strcmp(p, text);
}

static bool is_zero(const struct machine *m, uint64_t gpa, size_t len)
{
	const uint8_t *p = mem_at(&m->vm.mem, gpa, len, MEM_R);

	for (size_t i = 0; i < len; i++) {
		if (p[i])
			return false;
	}
	return true;
}

static void unpacked(struct bytes image, const char *what)
{
	struct machine m;

	load(&m, image, NULL);
	ok(!m.rc && m.arch.entry == X86_ENTRY_BZIMAGE && m.arch.entry_gpa == PLACE + 64 &&
		   holds(&m, PLACE, TEXT) && holds(&m, SECOND_AT, DATA) &&
		   is_zero(&m, SECOND_AT + MIB / 2, MIB / 2) &&
		   get_le16(mem_at(&m.vm.mem, X86_ZERO_PAGE + 0x206, 2, MEM_R)) == 0x20f,
	   "%s is unpacked %s", what, m.err.text);
	ok(mem_test_dirty(&m.vm.mem, PLACE, false) && mem_test_dirty(&m.vm.mem, SECOND_AT, false),
	   "and its pages are marked");
	mem_destroy(&m.vm.mem);
}

static void left_to_guest(struct bytes image, const char *option, const char *what)
{
	struct machine m;

	load(&m, image, option);
	ok(!m.rc && m.arch.entry == X86_ENTRY_BZIMAGE && m.arch.entry_gpa == PLACE + BZ_ENTRY64 &&
		   holds(&m, PLACE, "unpacks itself"),
	   "%s is left to the guest %s", what, m.err.text);
	mem_destroy(&m.vm.mem);
}

static void refused(struct bytes image, const char *option, const char *word)
{
	struct machine m;

	load(&m, image, option);
	ok(m.rc < 0 && strstr(m.err.text, word), "refused: %s", m.err.text);
	mem_destroy(&m.vm.mem);
}

/* ---- Tests ---- */

#define EHDR(field) offsetof(Elf64_Ehdr, field)
#define PHDR(i, field) (sizeof(Elf64_Ehdr) + (i) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, field))

/* Below 4 MiB there is no room for the file's head: it is unpacked above, and moved down. */
static void low_kernel(void)
{
	struct bytes plain = make_vmlinux(), b;
	struct machine m;

	put_le64(plain.data + EHDR(e_entry), LOW + 64);
	put_le64(plain.data + PHDR(0, p_paddr), LOW);
	put_le64(plain.data + PHDR(1, p_paddr), LOW + SECOND_AT - PLACE);
	b = make_bzimage(pack(plain));
	put_le64(b.data + 0x258, LOW);
	load(&m, b, NULL);
	ok(!m.rc && m.arch.entry_gpa == LOW + 64 && holds(&m, LOW, TEXT) &&
		   holds(&m, LOW + SECOND_AT - PLACE, DATA),
	   "one of the lowest addresses is unpacked %s", m.err.text);
	mem_destroy(&m.vm.mem);
}

/* A good bzImage, but for eight bytes of the ELF file inside. */
static struct bytes changed_vmlinux(size_t at, uint64_t value)
{
	struct bytes plain = make_vmlinux();

	put_le64(plain.data + at, value);
	return make_bzimage(pack(plain));
}

static struct bytes changed(size_t at, uint32_t value)
{
	struct bytes b = good_bzimage();

	put_le32(b.data + at, value);
	return b;
}

static uint32_t payload_size(void)
{
	struct bytes b = good_bzimage();
	uint32_t size = get_le32(b.data + 0x24c);

	free(b.data);
	return size;
}

static void packed_elf(void)
{
	struct bytes cut = pack(make_vmlinux());
	struct machine m;

	load(&m, pack(make_vmlinux()), NULL);
	ok(!m.rc && m.arch.entry == X86_ENTRY_ELF64 && m.arch.entry_gpa == PLACE + 64 &&
		   holds(&m, PLACE, TEXT) && holds(&m, SECOND_AT, DATA),
	   "a packed ELF file is unpacked %s", m.err.text);
	mem_destroy(&m.vm.mem);
	cut.size -= 9;
	refused(cut, NULL, "damaged or truncated");
	refused(pack((struct bytes){ calloc(1, 2 * RAM), 2 * RAM }), NULL, "more than the 64 MiB");
	refused(pack((struct bytes){ calloc(1, RAM), RAM }), NULL, "no kind of image");
}

static void odd_kernels(void)
{
	left_to_guest(changed_vmlinux(0, 0), NULL, "what is no ELF file");
	left_to_guest(changed_vmlinux(PHDR(0, p_paddr), PLACE - MIB), NULL,
		      "a segment below the kernel's place");
	left_to_guest(changed_vmlinux(PHDR(1, p_paddr), PLACE + ROOM - MIB / 2), NULL,
		      "one above it");
	left_to_guest(changed_vmlinux(PHDR(0, p_memsz), 5 * MIB / 4), NULL,
		      "bss over what is still to be moved");
	left_to_guest(changed_vmlinux(PHDR(0, p_paddr), PLACE + 2 * MIB), NULL,
		      "a segment that goes over the next");
	left_to_guest(changed_vmlinux(PHDR(1, p_offset), PLAIN), NULL,
		      "a segment past the file's end");
	left_to_guest(changed_vmlinux(EHDR(e_entry), PLACE - 1), NULL, "an entry outside");
	left_to_guest(changed(KERNEL + PAYLOAD, 0x004c5a89), NULL, "another format");
	left_to_guest(changed(0x248, 0), NULL, "no payload");
}

static void lies(void)
{
	uint32_t size = payload_size();

	refused(changed(0x248, BZ_SIZE), NULL, "truncated");
	refused(changed(0x24c, BZ_SIZE), NULL, "truncated");
	refused(changed(0x248, UINT32_MAX), NULL, "truncated");
	refused(changed(0x24c, 3), NULL, "truncated");
	refused(changed(0x24c, size - 8), NULL, "damaged");
	refused(changed(KERNEL + PAYLOAD + size - 4, 0), NULL, "damaged");
	refused(changed(KERNEL + PAYLOAD + size - 4, ROOM + 1), NULL, "damaged");
	refused(changed(KERNEL + PAYLOAD + size - 4, PLAIN + 1), NULL, "damaged");
	refused(changed(KERNEL + PAYLOAD + size - 4, PLAIN - 1), NULL, "more is packed");
	refused(changed(KERNEL + PAYLOAD + size / 2, 0x55aa55aa), NULL, "damaged");
	refused(changed(0x260, RAM), NULL, "more with -m");
	refused(good_bzimage(), "both", "it is host or guest");
	left_to_guest(changed(0x24c, size - 8), "guest", "a damaged one that is not looked at");
}

/* A file, an archive of ours, both, neither: where the zero page says. */
static void initrds(void)
{
	char path[] = "/tmp/kindling-load-XXXXXX";
	int fd = mkstemp(path);
	struct machine m;

	if (fd < 0 || write(fd, "a file", 7) != 7)
		abort();
	for (int i = 0; i < 4; i++) {
		bool file = i & 1, more = i & 2;
		uint32_t at, size;

		load_with(&m, good_bzimage(), NULL, file ? path : NULL, more ? "ours" : NULL);
		at = get_le32(mem_at(&m.vm.mem, X86_ZERO_PAGE + 0x218, 4, MEM_R));
		size = get_le32(mem_at(&m.vm.mem, X86_ZERO_PAGE + 0x21c, 4, MEM_R));
		ok(!m.rc && size == (file && more ? 12u + 5 : file * 7u + more * 5u) &&
			   (!file || holds(&m, at, "a file")) &&
			   (!more || holds(&m, at + size - 5, "ours")) &&
			   (!file || !more || is_zero(&m, at + 7, 5)),
		   "an initrd of %s%s: %u bytes", file ? "a file" : "", more ? " and ours" : "",
		   size);
		mem_destroy(&m.vm.mem);
	}
	close(fd);
	unlink(path);
}

int main(void)
{
	if (!unpacker_by_name("gzip")) {
		ok(true, "# skip gzip is left out of this binary");
		return done_testing();
	}
	unpacked(good_bzimage(), "a bzImage");
	unpacked(pack(good_bzimage()), "a packed bzImage");
	left_to_guest(good_bzimage(), "guest", "with --unpack guest a bzImage");
	low_kernel();
	packed_elf();
	odd_kernels();
	lies();
	initrds();
	return done_testing();
}
