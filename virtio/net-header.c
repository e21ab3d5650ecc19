/* SPDX-License-Identifier: MIT */
#include "virtio/net-header.h"

#include "util/util.h"

#define BIT(n) (1ull << (n))

/* A kind of unfinished frames: who can, on either side, and how the header calls it. */
static const struct offload {
	uint32_t offload;
	uint64_t host, guest;
	uint8_t gso; /* 0: not a kind of its own */
} offloads[] = {
	{ NET_CSUM, BIT(VIRTIO_NET_F_CSUM), BIT(VIRTIO_NET_F_GUEST_CSUM), 0 },
	{ NET_TSO4, BIT(VIRTIO_NET_F_HOST_TSO4), BIT(VIRTIO_NET_F_GUEST_TSO4),
	  VIRTIO_NET_HDR_GSO_TCPV4 },
	{ NET_TSO6, BIT(VIRTIO_NET_F_HOST_TSO6), BIT(VIRTIO_NET_F_GUEST_TSO6),
	  VIRTIO_NET_HDR_GSO_TCPV6 },
	{ NET_TSO_ECN, BIT(VIRTIO_NET_F_HOST_ECN), BIT(VIRTIO_NET_F_GUEST_ECN), 0 },
	{ NET_USO, BIT(NET_F_HOST_USO), BIT(NET_F_GUEST_USO4) | BIT(NET_F_GUEST_USO6),
	  NET_HDR_GSO_UDP_L4 },
};

uint64_t net_guest_features(uint32_t which)
{
	uint64_t features = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(offloads); i++)
		features |= which & offloads[i].offload ? offloads[i].guest : 0;
	return features;
}

uint64_t net_features(uint32_t which)
{
	uint64_t features = net_guest_features(which);

	for (unsigned int i = 0; i < ARRAY_SIZE(offloads); i++)
		features |= which & offloads[i].offload ? offloads[i].host : 0;
	return which ? features | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) : 0;
}

uint32_t net_guest_offloads(uint64_t features)
{
	uint32_t which = 0;

	/* All others need it (section 5.1.3.1). */
	if (!(features & BIT(VIRTIO_NET_F_GUEST_CSUM)))
		return 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(offloads); i++) {
		if ((features & offloads[i].guest) == offloads[i].guest)
			which |= offloads[i].offload;
	}
	return which;
}

/* Both checksum and where it goes lie in the frame. Each number has 16 bits: no sum wraps. */
static bool csum_inside(const struct virtio_net_hdr_v1 *h, uint32_t len)
{
	return (uint32_t)h->csum_start + h->csum_offset + sizeof(uint16_t) <= len;
}

/* `allowed`: NET_*. Of the header only what was checked stays. */
static const char *check(uint32_t allowed, struct virtio_net_hdr_v1 *h, uint32_t len)
{
	struct virtio_net_hdr_v1 out = { 0 };
	uint8_t gso = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (!(allowed & NET_CSUM))
			return "a checksum left out that nobody agreed to fill in";
		if (!csum_inside(h, len))
			return "a checksum past the end of the frame";
		out.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		out.csum_start = h->csum_start;
		out.csum_offset = h->csum_offset;
	}
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		uint32_t needed = h->gso_type & VIRTIO_NET_HDR_GSO_ECN ? NET_TSO_ECN : 0;
		bool known = false;

		for (unsigned int i = 0; i < ARRAY_SIZE(offloads); i++) {
			if (!gso || offloads[i].gso != gso)
				continue;
			known = true;
			needed |= offloads[i].offload;
		}
		if (!known || needed & ~allowed)
			return "a kind of long frame that was not agreed on";
		if (!out.flags || !h->gso_size)
			return "a long frame without a checksum's place, or a size of its parts";
		out.gso_type = h->gso_type;
		out.gso_size = h->gso_size;
		/* A hint, of which nobody may rely on more than that it lies in the frame. */
		out.hdr_len = (uint16_t)MIN((uint32_t)h->hdr_len, len);
	}
	*h = out;
	return NULL;
}

bool net_check_sent(uint64_t features, struct virtio_net_hdr_v1 *header, uint32_t len,
		    const char **why)
{
	uint32_t allowed = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(offloads); i++)
		allowed |= features & offloads[i].host ? offloads[i].offload : 0;
	if (len < NET_FRAME_MIN)
		*why = "a frame shorter than its addresses";
	else if (len > NET_FRAME_MAX)
		*why = "a frame longer than any can be";
	else
		*why = check(allowed, header, len);
	return !*why;
}

bool net_check_received(uint64_t features, struct virtio_net_hdr_v1 *header, uint32_t len)
{
	uint32_t allowed = net_guest_offloads(features);
	bool valid = header->flags & VIRTIO_NET_HDR_F_DATA_VALID;

	if (check(allowed, header, len))
		return false;
	if (valid && allowed & NET_CSUM && !header->flags)
		header->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	return true;
}
