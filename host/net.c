/* SPDX-License-Identifier: MIT */
#include "host/net.h"

int net_open(struct net_config *config, struct net **out, struct err *err)
{
	return config->mode == NET_MODE_USER ? passt_open(config, out, err)
					     : tap_open(config, out, err);
}
