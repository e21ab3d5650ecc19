#!/bin/sh
# SPDX-License-Identifier: MIT
# A minute of more frames than anybody can take, both ways, while the link goes down and up. LONG=1: ten minutes,
# and one by vhost-net.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_network
LAB_TIMEOUT=${LAB_TIMEOUT:-${LONG:+900}}
lab_run x86-flood.l1
