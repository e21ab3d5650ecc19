/* SPDX-License-Identifier: MIT */
/* Two networks, handles 1 and 2: waits for frames of both, and sends each one back. */
#include "tests/payload/hvt/guest.h"

GUEST(DEVICE(SOLO5_NET, "first"), DEVICE(SOLO5_NET, "second"));

#define MS 1000000ull

static uint8_t frame[9100];

static void print_mac(const uint8_t *mac)
{
	char text[19];

	for (unsigned int i = 0; i < 12; i++)
		text[i / 2 * 3 + i % 2] =
			"0123456789abcdef"[i % 2 ? mac[i / 2] & 15 : mac[i / 2] >> 4];
	for (unsigned int i = 2; i < 17; i += 3)
		text[i] = ':';
	text[17] = ' ';
	text[18] = 0;
	print(text);
}

static void send_back(uint64_t handle)
{
	uint64_t len = sizeof(frame);
	uint32_t rc = net(NET_READ, handle, (uintptr_t)frame, &len);

	check(!rc && len >= 14 && len <= sizeof(frame), "a frame, as poll said");
	for (unsigned int i = 0; i < 6; i++)
		frame[i] = 0xff;
	frame[6] = 2; /* from somebody else */
	check(!net(NET_WRITE, handle, (uintptr_t)frame, &len), "is sent back");
}

static void refusals(void)
{
	uint64_t len = 13;

	check(net(NET_WRITE, 1, (uintptr_t)frame, &len) == 2, "less than a header");
	len = 66000;
	check(net(NET_WRITE, 1, 0x200000, &len) == 2, "more than any frame");
	len = 60;
	check(net(NET_WRITE, 0, (uintptr_t)frame, &len) == 2, "no device");
	check(net(NET_READ, 3, (uintptr_t)frame, &len) == 2, "none of that number");
	check(block(BLOCK_READ, 1, 0, (uintptr_t)frame, 512) == 2, "a network is no disk");
}

int guest_main(const struct hvt_boot_info *info)
{
	const struct hvt_manifest *m = (const void *)(uintptr_t)info->manifest;
	uint64_t ready, seen = 0, len = sizeof(frame);

	for (unsigned int i = 1; i <= 2; i++) {
		print_mac(m->entry[i].u.net.mac);
		print_number(m->entry[i].u.net.mtu);
		print("\n");
	}
	if (*(const char *)(uintptr_t)info->cmdline)
		return 0;
	refusals();
	for (unsigned int i = 0; i < 1000 && seen != 6; i++) {
		if (!poll(20000 * MS, &ready))
			break;
		check(!(ready & ~6ull), "no other is ready");
		for (unsigned int handle = 1; handle <= 2; handle++) {
			if (ready & 1ull << handle)
				send_back(handle);
		}
		seen |= ready;
	}
	check(seen == 6, "frames of both networks");
	for (unsigned int i = 0; i < 1000 && !net(NET_READ, 1, (uintptr_t)frame, &len); i++)
		len = sizeof(frame);
	check(net(NET_READ, 1, (uintptr_t)frame, &len) == 1, "then there is none");
	print("both\n");
	return 0;
}
