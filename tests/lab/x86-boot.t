#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Debian's kernels boot to init, and every end has its true status. LONG=1: every kernel with every
# number of CPUs and amount of memory (make bars).
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_initrd plain cloud
packed=$LAB_OUT/vmlinux.gz
vmlinux=$("$lab_dir/fetch" x86)/vmlinux-cloud
[ "$packed" -nt "$vmlinux" ] || gzip -1 -c "$vmlinux" >"$packed" || bail "cannot make $packed"
lab_run x86-boot.l1
