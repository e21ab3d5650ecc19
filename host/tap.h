/* SPDX-License-Identifier: MIT */
/* For host/tap.c: the host's side of a tap, an interface of this name. */
#ifndef HOST_TAP_H
#define HOST_TAP_H

#include "host/net.h"

/*
 * Runs it with the tap's name, and waits. -ENOENT: it is not there; -ECANCELED: it failed; another
 * -errno.
 */
int tap_run_script(const char *script, const char *name);

/* One that we made has no other who could give it an address, an MTU, and bring it up. */
int tap_configure(const char *name, const struct net_config *c, struct err *err);

/* Does this kernel know UDP's segmentation (NET_USO)? */
bool tap_knows_uso(void);

/* IFF_UP and so on. -ENODEV: this network namespace has no such interface. */
int tap_flags(const char *name);

/* -errno likewise. */
int tap_mtu(const char *name);

#endif
