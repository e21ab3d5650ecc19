#!/bin/sh
# SPDX-License-Identifier: MIT
# A running Linux is paused for longer than its watchdogs bear, and resumed; SysRq and NMI.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_initrd pause cloud '' "$top/${KINDLING_BUILD:-build}/lab/guest/clock:/bin/clock"
lab_run x86-pause.l1
