#!/bin/sh
# SPDX-License-Identifier: MIT
# A command that never ends, under each of the timeouts.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
LAB_SILENCE=${LAB_SILENCE:-100}
lab_run timeouts.l1
