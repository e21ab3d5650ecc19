/* SPDX-License-Identifier: MIT */
/* --network: kvmtool's keys, and ours. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cmd/options.h"
#include "util/number.h"
#include "util/util.h"

#define MTU_LEAST 68u /* virtio 1.2, section 5.1.4.1 */
#define MTU_MOST 65535u

/* One -n, while it is read. */
struct network {
	struct run_options *options;
	struct machine_net *nic;
	const char *given; /* all of it, for errors */
	bool none;
	bool mode_given, fd_given;
};

static int set_mode(struct network *n, const char *value, struct err *err)
{
	static const char *const modes[] = { "user", "tap", "fd" };

	n->mode_given = true;
	n->none = !strcmp(value, "none");
	if (n->none)
		return 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!strcmp(value, modes[i])) {
			n->nic->net.mode = (enum net_mode)i;
			return 0;
		}
	}
	return err_set(err, EINVAL, "--network %s: mode is user, tap, fd or none", n->given);
}

/* (sscanf() alone would be a fiftieth of the lean binary.) */
static bool parse_mac(const char *text, uint8_t mac[6])
{
	for (unsigned int i = 0; i < 6; i++) {
		char *end;
		unsigned long byte = strtoul(text, &end, 16);

		if (!isxdigit((unsigned char)*text) || end - text > 2 || *end != (i < 5 ? ':' : 0))
			return false;
		mac[i] = (uint8_t)byte;
		text = end + 1;
	}
	return true;
}

static int set_mac(struct network *n, const char *value, struct err *err)
{
	const uint8_t *m = n->nic->mac;

	if (!parse_mac(value, n->nic->mac))
		return err_set(err, EINVAL,
			       "--network %s: guest_mac is six bytes, 52:54:00:12:34:56", n->given);
	if (m[0] & 1 || !(m[0] | m[1] | m[2] | m[3] | m[4] | m[5]))
		return err_set(err, EINVAL,
			       "--network %s: guest_mac is no single station's: its first byte is "
			       "even, and not all are 0",
			       n->given);
	return 0;
}

static int set_ip(const char **ip, struct network *n, const char *value, struct err *err)
{
	struct in_addr address;

	*ip = value;
	if (inet_pton(AF_INET, value, &address) != 1)
		return err_set(err, EINVAL, "--network %s: %s is no IPv4 address", n->given, value);
	return 0;
}

static int set_guest_ip(struct network *n, const char *value, struct err *err)
{
	return set_ip(&n->nic->net.guest_ip, n, value, err);
}

static int set_host_ip(struct network *n, const char *value, struct err *err)
{
	return set_ip(&n->nic->net.host_ip, n, value, err);
}

static int set_tap(struct network *n, const char *value, struct err *err)
{
	(void)err;
	n->nic->net.tap_name = value;
	return 0;
}

/* kvmtool's word for no script is "none". */
static int set_script(struct network *n, const char *value, struct err *err)
{
	(void)err;
	n->nic->net.script = strcmp(value, "none") ? value : NULL;
	return 0;
}

static int set_down_script(struct network *n, const char *value, struct err *err)
{
	(void)err;
	n->nic->net.down_script = strcmp(value, "none") ? value : NULL;
	return 0;
}

/* A number from `least` to `most`, and the end of it. */
static int take_number(const char *value, uint64_t least, uint64_t most, uint64_t *out,
		       const char **end)
{
	return number_parse(value, out, end) || *out < least || *out > most ? -EINVAL : 0;
}

static int set_fd(struct network *n, const char *value, struct err *err)
{
	const char *end;
	uint64_t fd;

	if (take_number(value, 0, INT32_MAX, &fd, &end) || *end)
		return err_set(err, EINVAL, "--network %s: fd is the number of an open tap",
			       n->given);
	n->nic->net.fd = (int)fd;
	n->fd_given = true;
	return 0;
}

static int set_mtu(struct network *n, const char *value, struct err *err)
{
	const char *end;
	uint64_t mtu;

	if (take_number(value, MTU_LEAST, MTU_MOST, &mtu, &end) || *end)
		return err_set(err, EINVAL, "--network %s: mtu is from %u to %u", n->given,
			       MTU_LEAST, MTU_MOST);
	n->nic->net.mtu = (unsigned int)mtu;
	return 0;
}

/* [HOST:]PORT:PORT */
static int set_forward(struct network *n, const char *value, struct err *err)
{
	struct net_config *c = &n->nic->net;
	struct net_forward *f = &c->forwards[c->n_forwards];
	const char *ports = strchr(value, ':'), *end;
	uint64_t host, guest;
	struct in_addr any;

	if (c->n_forwards == NET_FORWARDS)
		return err_set(err, ENOSPC, "--network: more than %u times fwd", NET_FORWARDS);
	strcpy(f->address, "127.0.0.1");
	if (ports && strchr(ports + 1, ':')) {
		size_t len = (size_t)(ports - value);

		if (len >= sizeof(f->address))
			goto bad;
		memcpy(f->address, value, len);
		f->address[len] = 0;
		value = ports + 1;
	}
	if (inet_pton(AF_INET, f->address, &any) != 1 ||
	    take_number(value, 0, UINT16_MAX, &host, &end) || *end != ':' ||
	    take_number(end + 1, 1, UINT16_MAX, &guest, &end) || *end)
		goto bad;
	f->host_port = (uint16_t)host;
	f->guest_port = (uint16_t)guest;
	c->n_forwards++;
	return 0;
bad:
	return err_set(err, EINVAL,
		       "--network %s: fwd is [HOST:]PORT:PORT, HOST an IPv4 address of this host",
		       n->given);
}

/* It is one transport for all devices: as --virtio-transport. */
static int set_trans(struct network *n, const char *value, struct err *err)
{
	return option_set_transport(n->options, value, err);
}

static int set_vhost(struct network *n, const char *value, struct err *err)
{
	if (strcmp(value, "0") && strcmp(value, "1"))
		return err_set(err, EINVAL, "--network %s: vhost is 0 or 1", n->given);
	n->nic->vhost = value[0] - '0';
	return 0;
}

static int set_queues(struct network *n, const char *value, struct err *err)
{
	const char *end;
	uint64_t queues;

	if (take_number(value, 1, NET_QUEUES, &queues, &end) || *end)
		return err_set(err, EINVAL, "--network %s: queues is 1 to %u", n->given,
			       NET_QUEUES);
	n->nic->net.queues = (unsigned int)queues;
	return 0;
}

/* kvmtool's word for it, where 0 is none but the one. */
static int set_mq(struct network *n, const char *value, struct err *err)
{
	return set_queues(n, strcmp(value, "0") ? value : "1", err);
}

static int set_limit(struct network *n, const char *key, const char *value, struct err *err)
{
	return option_set_limit(&n->nic->limit, "--network", n->given, key, value, err);
}

static int set_rate(struct network *n, const char *value, struct err *err)
{
	return set_limit(n, "rate", value, err);
}

static int set_iops(struct network *n, const char *value, struct err *err)
{
	return set_limit(n, "iops", value, err);
}

static int set_burst(struct network *n, const char *value, struct err *err)
{
	return set_limit(n, "burst", value, err);
}

static const struct key {
	const char *name;
	int (*set)(struct network *n, const char *value, struct err *err);
} keys[] = {
	{ "mode", set_mode },
	{ "guest_mac", set_mac },
	{ "guest_ip", set_guest_ip },
	{ "host_ip", set_host_ip },
	{ "tapif", set_tap },
	{ "script", set_script },
	{ "downscript", set_down_script },
	{ "fd", set_fd },
	{ "mtu", set_mtu },
	{ "fwd", set_forward },
	{ "trans", set_trans },
	{ "vhost", set_vhost },
	{ "queues", set_queues },
	{ "mq", set_mq },
	{ "rate", set_rate },
	{ "iops", set_iops },
	{ "burst", set_burst },
};

/* A word without a value is what old command lines have ("virtio"): it means nothing by now. */
static int set_word(struct network *n, char *word, struct err *err)
{
	char *value = strchr(word, '=');

	if (!value) {
		n->none |= !strcmp(word, "none");
		return 0;
	}
	*value++ = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(word, keys[i].name))
			continue;
		if (!*value)
			return err_set(err, EINVAL, "--network %s: %s needs a value", n->given,
				       word);
		return keys[i].set(n, value, err);
	}
	return err_set(
		err, EINVAL,
		"--network %s: no key is named %s; mode, fwd, tapif, host_ip, guest_ip, "
		"guest_mac, mtu, queues, vhost, script, downscript, rate, iops, burst and fd "
		"are",
		n->given, word);
}

/* What belongs to one mode only. */
static int check(struct network *n, struct err *err)
{
	struct net_config *c = &n->nic->net;

	if (!n->mode_given && n->fd_given)
		c->mode = NET_MODE_FD;
	else if (!n->mode_given && c->tap_name)
		c->mode = NET_MODE_TAP;
	if (n->fd_given && c->mode == NET_MODE_TAP) /* as kvmtool has it */
		c->mode = NET_MODE_FD;
	/* (Who goes on with another's guest is handed it.) */
	if ((c->mode == NET_MODE_FD) != n->fd_given && !n->options->heir)
		return err_set(err, EINVAL, "--network %s: mode=fd and fd=N go together", n->given);
	if (c->mode == NET_MODE_USER && (c->tap_name || c->script || c->down_script))
		return err_set(err, EINVAL,
			       "--network %s: tapif, script and downscript need mode=tap",
			       n->given);
	if (c->mode == NET_MODE_USER && n->nic->vhost > 0)
		return err_set(err, EINVAL, "--network %s: vhost=1 needs a tap", n->given);
	if (n->nic->vhost > 0 && (n->nic->limit.bytes || n->nic->limit.ops))
		return err_set(err, EINVAL,
			       "--network %s: the host's kernel knows no rate: vhost=0", n->given);
	if (c->mode != NET_MODE_TAP && c->queues > 1)
		return err_set(err, EINVAL, "--network %s: queues needs mode=tap", n->given);
	if (c->mode != NET_MODE_USER && c->n_forwards)
		return err_set(err, EINVAL, "--network %s: fwd needs mode=user", n->given);
	return 0;
}

/* By chance; one station's, locally administered. */
static int choose_mac(uint8_t mac[6], struct err *err)
{
	if (getrandom(mac, 6, 0) != 6)
		return err_set(err, EIO, "--network: no random MAC address: %s", strerror(errno));
	mac[0] = (mac[0] & 0xfc) | 2;
	return 0;
}

int option_set_network(struct run_options *o, const char *value, struct err *err)
{
	unsigned int i = o->machine.n_nets;
	struct network n = { .options = o, .given = value };
	char *rest, *word;
	int rc = 0;

	if (i == MACHINE_NETS)
		return err_set(err, ENOSPC, "--network: more than %u networks", MACHINE_NETS);
	free(o->net_text[i]); /* a "none" before */
	rest = o->net_text[i] = strdup(value);
	if (!rest)
		return err_set(err, ENOMEM, "no memory");
	n.nic = &o->machine.nets[i];
	*n.nic = (struct machine_net){ .net = { .queues = 1, .fd = -1 }, .vhost = -1 };
	rc = choose_mac(n.nic->mac, err);
	while (!rc && (word = strsep(&rest, ",")))
		rc = set_word(&n, word, err);
	if (!rc && !n.none)
		rc = check(&n, err);
	if (!rc && !n.none)
		o->machine.n_nets++;
	return rc;
}
