#!/bin/sh
# SPDX-License-Identifier: MIT
# How often a booting guest leaves its vCPU, by the kernel's own tracepoints.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
lab_initrd plain cloud
lab_run arm64 arm64-exits.l1
