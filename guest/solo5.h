/* SPDX-License-Identifier: MIT */
/*
 * Solo5 images: an ELF file with two notes. "ABI1" says which tender and which version of its
 * interface it is for, "MFT1" is the manifest, the devices that it must be given (Solo5's elf_abi.h,
 * mft_abi.h). And what hvt, one of these interfaces, lays down for guest memory (hvt_abi.h). All
 * numbers are little-endian, as is all that is known of these images.
 */
#ifndef GUEST_SOLO5_H
#define GUEST_SOLO5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/log.h"

/* What an image is for: enum abi_target. */
enum solo5_target {
	SOLO5_HVT = 1,
	SOLO5_SPT,
	SOLO5_VIRTIO,
	SOLO5_MUEN,
	SOLO5_GENODE,
	SOLO5_XEN,
};

#define SOLO5_HVT_VERSION 2
#define SOLO5_NAME 68u /* with its NUL */
#define SOLO5_DEVICES 64u
#define SOLO5_SEGMENTS 16u

enum solo5_type { SOLO5_BLOCK = 1, SOLO5_NET = 2, SOLO5_RESERVED = 1 << 30 };

/* A device by its index, which is its handle; the first, SOLO5_RESERVED, is none. */
struct solo5_device {
	enum solo5_type type;
	char name[SOLO5_NAME]; /* letters and digits */
};

/* In ascending order, without overlap; what follows `file_size` bytes is zero. */
struct solo5_segment {
	uint64_t gpa, size; /* in memory */
	uint64_t offset, file_size;
	uint64_t first, end; /* the pages that it has for itself; equal: none, it is all zeros */
	bool writable, executable;
};

struct solo5_image {
	const uint8_t *data; /* the file, borrowed */
	uint16_t machine;    /* EM_X86_64 or EM_AARCH64 */
	enum solo5_target target;
	uint32_t version;
	uint64_t entry;
	uint64_t end; /* the first page behind all segments */
	unsigned int n_segments, n_devices;
	struct solo5_segment segments[SOLO5_SEGMENTS];
	struct solo5_device devices[SOLO5_DEVICES];
};

/* Has it Solo5's ABI note? For a file whose ELF header is for a 64-bit machine. */
bool solo5_has_note(const void *data, size_t size, enum solo5_target *target);

/*
 * All of it, checked as an image for hvt must be, but for what depends on the memory it will have
 * (solo5_fits()). -EINVAL and a line for people.
 */
int solo5_parse(const void *data, size_t size, struct solo5_image *image, struct err *err);

/* Is it for this machine ("x86_64")? -ENOEXEC and a line. Its ELF header is enough: parsing may have failed. */
int solo5_check_machine(const struct solo5_image *image, const char *machine, struct err *err);

/* Does it fit into guest memory of `mem` bytes? */
int solo5_fits(const struct solo5_image *image, uint64_t mem, struct err *err);

/*
 * May it ask the processor what it is (x86's CPUID), or use what only a processor has that was told so? No, if
 * its code is short and has no such bytes. The file is still there.
 */
bool solo5_may_identify(const struct solo5_image *image);

const char *solo5_target_name(enum solo5_target target); /* "hvt" */
const char *solo5_type_name(enum solo5_type type);	 /* "block" */

/* ---- hvt's map of guest memory ---- */

#define HVT_INFO 0x10000ull  /* what is below is the tender's, and not mapped in the guest */
#define HVT_BASE 0x100000ull /* the lowest address of an image; what is below is for reading */
#define HVT_MEM_STEP 0x200000ull
#define HVT_MEM_MAX 0x100000000ull
#define HVT_CMDLINE_MAX 8192u /* with its NUL */

/* At HVT_INFO; its address is what the guest is called with. */
struct hvt_boot_info {
	uint64_t mem_size, kernel_end;
	uint64_t cycle_freq; /* of the counter that the guest reads by itself, in Hz */
	uint64_t cmdline, manifest;
	uint32_t host_features, guest_features;
	uint64_t net_ring;
};

/* As it lies in the file, and in the guest: there with what is known of each device. */
struct hvt_manifest_entry {
	char name[SOLO5_NAME];
	uint32_t type;
	union {
		struct {
			uint64_t capacity; /* bytes */
			uint16_t block_size;
		} block;
		struct {
			uint8_t mac[6];
			uint16_t mtu;
		} net;
	} u;
	uint64_t host; /* the tender's own */
	uint8_t attached;
};

struct hvt_manifest {
	uint32_t version, entries;
	struct hvt_manifest_entry entry[];
};

#endif
