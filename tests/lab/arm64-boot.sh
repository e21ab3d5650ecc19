# SPDX-License-Identifier: MIT
# Debian's arm64 and armhf kernels under KVM with a GICv$gic. LONG=1: more of them (make bars).
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64 armhf
lab_initrd plain cloud
lab_initrd --arch armhf armhf generic
lab_initrd --arch armhf armmp armmp
LAB_TIMEOUT=${LAB_TIMEOUT:-280}
lab_run arm64 --gic "$gic" arm64-boot.l1
