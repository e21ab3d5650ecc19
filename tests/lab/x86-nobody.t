#!/bin/sh
# SPDX-License-Identifier: MIT
# lkvm run -- COMMAND as an ordinary user, with no HOME: its statuses; eight at once. LONG=1: more of them.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
LAB_SILENCE=${LAB_SILENCE:-250} LAB_TIMEOUT=${LAB_TIMEOUT:-${LONG:+1800}}
lab_run x86 --mem 4096 x86-nobody.l1
