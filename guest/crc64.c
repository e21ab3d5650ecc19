/* SPDX-License-Identifier: MIT */
/*
 * liblzma's CRC64, in place of its own, which has a constructor that asks for the processor's ID: each program that
 * has it linked in statically would, at each start. Where the host is a guest itself that is a twentieth of what a
 * tiny guest's whole life takes. This one is slower, and few images that are packed by xz have a CRC64: Linux itself
 * takes none but CRC32.
 */
#include <lzma.h>

/* By half a byte; the polynomial of ECMA-182, its bits reversed. */
static const uint64_t table[16] = {
	0x0000000000000000ull, 0x7d9ba13851336649ull, 0xfb374270a266cc92ull, 0x86ace348f355aadbull,
	0x64b62bcaebc387a1ull, 0x192d8af2baf0e1e8ull, 0x9f8169ba49a54b33ull, 0xe21ac88218962d7aull,
	0xc96c5795d7870f42ull, 0xb4f7f6ad86b4690bull, 0x325b15e575e1c3d0ull, 0x4fc0b4dd24d2a599ull,
	0xadda7c5f3c4488e3ull, 0xd041dd676d77eeaaull, 0x56ed3e2f9e224471ull, 0x2b769f17cf112238ull,
};

uint64_t lzma_crc64(const uint8_t *data, size_t size, uint64_t crc)
{
	crc = ~crc;
	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		crc = table[crc & 15] ^ crc >> 4;
		crc = table[crc & 15] ^ crc >> 4;
	}
	return ~crc;
}
