#!/bin/sh
# SPDX-License-Identifier: MIT
# Networks whose frames L1's kernel moves: vhost-net.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_network
lab_run x86-vhost.l1
