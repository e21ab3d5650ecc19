#!/bin/sh
# SPDX-License-Identifier: MIT
# Disks that are not plain raw files, under a guest that reads and writes them (the payload `disk`).
. tests/lib.sh
lkvm=$(cd "$(dirname "${LKVM:-build/lkvm}")" && pwd)/$(basename "${LKVM:-build/lkvm}")
tmp=$(mktemp -d -p "${LAB_OUT:-$PWD/${KINDLING_BUILD:-build}}")
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

# writes DISK: the guest writes and flushes until time is up; how many sectors it has.
writes()
{
	timeout 60 "$lkvm" run --payload disk -m 64 -p blocks=64 -d "$1" --timeout 1 </dev/null >out 2>err
	status=$?
	turns=$(grep -c '^[0-9a-f]\{16\}' out)
	[ $status = 124 ] && [ "$turns" -gt 1 ]
}

head -c 1M /dev/urandom >noise.img
cp noise.img disk.img
chmod 400 disk.img
mkdir tmp
TMPDIR=$PWD/tmp writes disk.img,cow
report $? "cow: a guest writes ($turns sectors, status $status)"
check "cow: its image is as it was" cmp noise.img disk.img
is "$(ls -A tmp)" "" "cow: nothing is left in TMPDIR"
timeout 60 "$lkvm" run --payload disk -m 64 -p blocks=64 -d disk.img,ro --timeout 5 </dev/null >out 2>err
is $? 2 "ro: the guest's write fails, and it is the guest that ends"
done_testing
