/* SPDX-License-Identifier: MIT */
/* Two disks, handles 1 and 2: every block is written and read, and what is not on them is refused. */
#include "tests/payload/hvt/guest.h"

GUEST(DEVICE(SOLO5_BLOCK, "first"), DEVICE(SOLO5_BLOCK, "second"));

static uint8_t data[131072], back[131072];

/* The first and the last byte of a block tell whose it is: more takes long where KVM emulates. */
static bool goes_and_comes(uint64_t handle, uint64_t offset, uint64_t step)
{
	uint8_t first = (uint8_t)(handle + offset / step), last = (uint8_t)~first;

	data[0] = first;
	data[step - 1] = last;
	back[0] = back[step - 1] = 0;
	check(!block(BLOCK_WRITE, handle, offset, (uintptr_t)data, step), "a block is written");
	check(!block(BLOCK_READ, handle, offset, (uintptr_t)back, step), "and read");
	return back[0] == first && back[step - 1] == last;
}

static void one(uint64_t handle, const struct hvt_manifest_entry *e)
{
	const uint64_t size = e->u.block.capacity, step = e->u.block.block_size;
	const uint64_t at = (uintptr_t)data;

	check(e->attached && e->type == SOLO5_BLOCK, "it is attached");
	for (uint64_t offset = 0; offset < size; offset += step)
		check(goes_and_comes(handle, offset, step), "and is what was written");
	check(!block(BLOCK_READ, handle, 0, (uintptr_t)back, 4 * step), "several at once");
	check(!block(BLOCK_READ, handle, size - step, at, step), "the last one");
	for (unsigned int n = BLOCK_WRITE; n <= BLOCK_READ; n++) {
		check(block(n, handle, size, at, step) == 2, "the one behind it");
		check(block(n, handle, size - step, at, 2 * step) == 2, "over the end");
		check(block(n, handle, UINT64_MAX - step + 1, at, step) == 2,
		      "an offset that wraps");
		check(block(n, handle, UINT64_MAX - step + 1, at, 2 * step) == 2,
		      "and with a length");
		check(block(n, handle, 1ull << 63, at, step) == 2, "an offset of 2^63");
		check(block(n, handle, 0, at, 1ull << 63) == 2, "a length of 2^63");
		check(block(n, handle, 0, at, UINT64_MAX - step + 1) == 2, "and one more");
		check(block(n, handle, 1, at, step) == 2, "an offset within a block");
		check(block(n, handle, 0, at, step - 1) == 2, "a length within one");
		check(block(n, handle, 0, at, 1) == 2, "a byte");
		check(!block(n, handle, 0, 0, 0), "nothing");
		check(block(n, 0, 0, at, step) == 2, "no device");
		check(block(n, 3, 0, at, step) == 2, "none of that number");
		check(block(n, handle + (1ull << 32), 0, at, step) == 2, "nor of that");
		check(block(n, UINT64_MAX, 0, at, step) == 2, "nor of that one");
	}
	print("block size ");
	print_number(step);
	print(", ");
	print_number(size);
	print(" bytes\n");
}

int guest_main(const struct hvt_boot_info *info)
{
	const struct hvt_manifest *m = (const void *)(uintptr_t)info->manifest;
	const char *line = (const char *)(uintptr_t)info->cmdline;
	uint64_t len = 100;

	check(m->entries == 3, "its manifest");
	if (is(line, "read-sealed"))
		block(BLOCK_READ, 1, 0, (uintptr_t)_rodata, 512);
	else if (is(line, "read-far"))
		block(BLOCK_READ, 1, 0, info->mem_size - 511, 512);
	else if (is(line, "read-low"))
		block(BLOCK_READ, 1, 0, 0x2000, 512);
	else if (is(line, "write-wraps"))
		block(BLOCK_WRITE, 1, 0, UINT64_MAX - 255, 512);
	if (*line) {
		print("still here\n");
		return 99;
	}
	one(1, &m->entry[1]);
	one(2, &m->entry[2]);
	check(net(NET_READ, 1, (uintptr_t)data, &len) == 2, "a disk is no network");
	return 0;
}
