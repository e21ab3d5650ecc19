#!/bin/sh
# SPDX-License-Identifier: MIT
# Solo5's hvt on arm64.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
cp "$top/${KINDLING_ARM64:-${KINDLING_BUILD:-build}/arm64}"/hvt/*.hvt "$LAB_OUT" || bail "make under-test builds the guests"
cp "$top/${KINDLING_BUILD:-build}/hvt/empty.hvt" "$LAB_OUT/x86.hvt" || bail "make under-test builds the guests"
LAB_SILENCE=${LAB_SILENCE:-100}
lab_run arm64-hvt.l1
