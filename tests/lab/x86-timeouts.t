#!/bin/sh
# SPDX-License-Identifier: MIT
# A command that never ends, under each of the timeouts. In a lab of its own: QEMU's SVM hangs L1 once in some thirty
# such guests (idle=poll or not), and it is then run again.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
LAB_SILENCE=${LAB_SILENCE:-100}
lab_run timeouts.l1
