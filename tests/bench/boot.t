#!/bin/sh
# SPDX-License-Identifier: MIT
# Wall time of a Linux boot, in the x86 lab, beside QEMU's microvm. With LONG=1 15 rounds, judged; else one.
here=$(dirname "$0")
lab_dir=$(cd "$here/../lab" && pwd -P)
. "$here/../lib.sh"
. "$here/../lab/host.sh"

lab_needs x86
lab_initrd plain cloud
LAB_TIMEOUT=${LAB_TIMEOUT:-600} LAB_SILENCE=0
lab_run ../bench/boot.l1
