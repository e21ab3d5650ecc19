#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The x86 lab itself: L1 boots, has a KVM with nested paging, and carries status, output and files.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
. "$here/self.sh"

lab_carries 'echo "npt $(cat /sys/module/kvm_amd/parameters/npt)"' "npt Y"
lab_ends 8
done_testing
