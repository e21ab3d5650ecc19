#!/bin/sh
# SPDX-License-Identifier: MIT
# Linux's own driver on our network device: through a tap of L1's, and through passt, without privileges.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_network passt
lab_run x86-net.l1
