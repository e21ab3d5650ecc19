#!/bin/sh
# SPDX-License-Identifier: MIT
# lkvm run -- COMMAND, in a real kernel: every status, every stream, every way in which it goes wrong. LONG=1: more of each.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
LAB_TIMEOUT=${LAB_TIMEOUT:-${LONG:+3600}}
lab_run exec.l1
