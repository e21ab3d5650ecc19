/* SPDX-License-Identifier: MIT */
/* What is behind the devices of the manifest: disks and taps, as the tender's options name them. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "host/tap.h"
#include "hvt/parts.h"
#include "util/number.h"
#include "util/util.h"

#define DEFAULT_BLOCK 512
#define DEFAULT_MTU 1500 /* of a tap that we can't ask */

static const struct {
	const char *word;
	enum solo5_type type;
} options[] = {
	[HVT_BLOCK] = { "--block", SOLO5_BLOCK },
	[HVT_BLOCK_SECTOR_SIZE] = { "--block-sector-size", SOLO5_BLOCK },
	[HVT_NET] = { "--net", SOLO5_NET },
	[HVT_NET_MAC] = { "--net-mac", SOLO5_NET },
};

/* One option, its name looked up. */
struct wish {
	const char *option, *name, *value;
	struct hvt_device *device;
	struct err *err;
};

static int bad_wish(const struct wish *w, int code, const char *why)
{
	return err_set(w->err, code, "%s:%s=%s: %s", w->option, w->name, w->value, why);
}

/* ---- Blocks ---- */

static int attach_block(const struct wish *w)
{
	const struct disk_config config = { .path = w->value, .format = "raw" };

	if (w->device->disk)
		return bad_wish(w, EINVAL, "that device has one already");
	return disk_open(&config, &w->device->disk, w->err);
}

static int set_sector_size(const struct wish *w)
{
	const char *end;
	uint64_t n;

	if (number_parse(w->value, &n, &end) || *end || n < 512 || n > 32768 || n & (n - 1))
		return bad_wish(w, EINVAL, "it is a power of two from 512 to 32768");
	w->device->block_size = (uint16_t)n;
	return 0;
}

static int check_block(const char *name, struct hvt_device *d, struct err *err)
{
	if (!d->block_size)
		d->block_size = (uint16_t)MAX(disk_block_size(d->disk), (uint32_t)DEFAULT_BLOCK);
	if (d->block_size < disk_block_size(d->disk))
		return err_set(err, EINVAL,
			       "block device %s: its sectors have %u bytes; give "
			       "--block-sector-size:%s=%u",
			       name, disk_block_size(d->disk), name, disk_block_size(d->disk));
	if (disk_size(d->disk) % d->block_size)
		return err_set(err, EINVAL,
			       "block device %s: its %llu bytes are no multiple of sectors of %u",
			       name, (unsigned long long)disk_size(d->disk), d->block_size);
	return 0;
}

/* ---- Networks ---- */

/* A tap is made by opening it, if it is not there: that is not what is meant. */
static int check_tap(const struct wish *w)
{
	int flags;

	if (strlen(w->value) >= IFNAMSIZ)
		return bad_wish(w, EINVAL, "no interface has so long a name");
	flags = tap_flags(w->value);
	if (flags < 0)
		return bad_wish(w, -flags,
				"there is no such interface; as root: ip tuntap add NAME mode tap");
	return flags & (IFF_UP | IFF_RUNNING)
		       ? 0
		       : bad_wish(w, ENETDOWN, "it is down; as root: ip link set NAME up");
}

/* "@7" is an fd that was left open for us. */
static int attach_net(const struct wish *w)
{
	struct net_config config = { .mode = NET_MODE_TAP, .queues = 1, .tap_name = w->value };
	struct net *net; /* net_open() writes to it whether it fails or not */
	const char *end;
	uint64_t fd = 0;
	int rc;

	if (w->device->net)
		return bad_wish(w, EINVAL, "that device has one already");
	if (w->value[0] == '@') {
		if (number_parse(w->value + 1, &fd, &end) || *end || fd > INT32_MAX)
			return bad_wish(w, EINVAL, "behind @ there is the number of an open fd");
		config = (struct net_config){ .mode = NET_MODE_FD, .queues = 1, .fd = (int)fd };
	}
	rc = config.mode == NET_MODE_TAP ? check_tap(w) : 0;
	if (!rc)
		rc = net_open(&config, &net, w->err);
	if (!rc)
		w->device->net = net;
	return rc;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int set_mac(const struct wish *w)
{
	const char *p = w->value;

	for (unsigned int i = 0; i < sizeof(w->device->mac); i++, p += 3) {
		int high = hex_digit(p[0]), low = high < 0 ? -1 : hex_digit(p[1]);

		if (low < 0 || p[2] != (i < 5 ? ':' : 0))
			return bad_wish(w, EINVAL,
					"it is six pairs of hex digits, a colon between");
		w->device->mac[i] = (uint8_t)(high << 4 | low);
	}
	w->device->has_mac = true;
	return 0;
}

static int check_net(struct hvt_device *d, struct err *err)
{
	int mtu = d->net->ops->mtu ? d->net->ops->mtu(d->net) : -ENODEV;

	d->mtu = (uint16_t)(mtu > 0 ? MIN(mtu, UINT16_MAX) : DEFAULT_MTU);
	if (d->has_mac)
		return 0;
	if (getrandom(d->mac, sizeof(d->mac), 0) != (ssize_t)sizeof(d->mac))
		return err_set(err, errno, "no random MAC address: %s", strerror(errno));
	d->mac[0] = (uint8_t)((d->mac[0] & 0xfc) | 2); /* one's own, of one host */
	return 0;
}

/* ---- All of them ---- */

static int (*const attach[])(const struct wish *w) = {
	[HVT_BLOCK] = attach_block,
	[HVT_BLOCK_SECTOR_SIZE] = set_sector_size,
	[HVT_NET] = attach_net,
	[HVT_NET_MAC] = set_mac,
};

static struct hvt_device *find_device(struct hvt *h, const char *name, enum solo5_type type)
{
	for (unsigned int i = 0; i < h->n_devices; i++) {
		if (h->devices[i].spec.type == type && !strcmp(h->devices[i].spec.name, name))
			return &h->devices[i];
	}
	return NULL;
}

static int attach_one(struct hvt *h, const struct hvt_attach *a, struct err *err)
{
	const char *equals = strchr(a->text, '=');
	size_t len = equals ? (size_t)(equals - a->text) : 0;
	enum solo5_type type = options[a->option].type;
	char name[SOLO5_NAME];
	struct wish w = { .option = options[a->option].word, .name = name, .err = err };

	if (!len || len >= sizeof(name) || !equals[1])
		return err_set(err, EINVAL, "%s:%s: it is %s:NAME=%s", w.option, a->text, w.option,
			       a->option == HVT_BLOCK ? "PATH"
			       : a->option == HVT_NET ? "TAP"
						      : "VALUE");
	memcpy(name, a->text, len);
	name[len] = 0;
	w.value = equals + 1;
	w.device = find_device(h, name, type);
	if (!w.device)
		return err_set(err, ENODEV, "%s:%s: the image's manifest has no %s device %s",
			       w.option, a->text, solo5_type_name(type), name);
	return attach[a->option](&w);
}

static int check_device(struct hvt_device *d, struct err *err)
{
	const struct solo5_device *spec = &d->spec;

	if (spec->type == SOLO5_RESERVED)
		return 0;
	if (!d->disk && !d->net)
		return err_set(
			err, ENODEV,
			"the image's manifest has a %s device %s, and nothing is attached to "
			"it; give --%s:%s=%s",
			solo5_type_name(spec->type), spec->name, solo5_type_name(spec->type),
			spec->name, spec->type == SOLO5_NET ? "TAP" : "PATH");
	return d->disk ? check_block(spec->name, d, err) : check_net(d, err);
}

int hvt_attach_all(struct hvt *h, const struct hvt_guest *guest, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < guest->n_attach; i++)
		rc = attach_one(h, &guest->attach[i], err);
	for (unsigned int i = 0; !rc && i < h->n_devices; i++)
		rc = check_device(&h->devices[i], err);
	return rc;
}

void hvt_detach_all(struct hvt *h)
{
	for (unsigned int i = 0; i < h->n_devices; i++) {
		disk_close(h->devices[i].disk);
		if (h->devices[i].net)
			net_close(&h->devices[i].net, 1);
	}
}
