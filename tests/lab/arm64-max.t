#!/bin/sh
# SPDX-License-Identifier: MIT
# A processor with all that QEMU has: SVE, MTE, pointer authentication and a PMU, seen by the guest.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
lab_initrd plain cloud
lab_run arm64 --cpu max,pauth-impdef=on --machine mte=on arm64-max.l1
