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
# Nothing but a header of version 2: it shows what is in disk.img.
perl -e 'print pack("a4 N Q> N N Q> N N Q> Q> N N Q>", "QFI\xfb", 2, 96, 8, 16, 1 << 20, 0, 1, 65536, 0, 0, 0, 0),
	pack("N N a8 N N", 0xe2792aca, 3, "raw", 0, 0), "disk.img", "\0" x (65536 - 104 + 8)' >disk.qcow2
cp disk.qcow2 kept.qcow2
writes disk.qcow2,format=qcow2,cow
report $? "qcow2: a guest writes ($turns sectors, status $status)"
check "qcow2: the image is as it was" cmp kept.qcow2 disk.qcow2
check "qcow2: and what is below it" cmp noise.img disk.img
timeout 60 "$lkvm" run --payload disk -m 64 -d disk.qcow2,format=qcow2,ro </dev/null >out 2>err
is $? 0 "qcow2, ro: a guest reads"
timeout 60 "$lkvm" run --payload disk -m 64 -p blocks=64 -d disk.img,ro --timeout 5 </dev/null >out 2>err
is $? 2 "ro: the guest's write fails, and it is the guest that ends"
truncate -s 70000 cut.qcow2
dd if=disk.qcow2 of=cut.qcow2 conv=notrunc 2>err
printf '\200\0\0\0\0\2\0\0' | dd of=cut.qcow2 bs=1 seek=65536 conv=notrunc 2>err
truncate -s 200000 cut.qcow2
printf '\200\0\0\0\100\0\0\0' | dd of=cut.qcow2 bs=1 seek=131072 conv=notrunc 2>err
timeout 60 "$lkvm" run --payload disk -m 64 -d cut.qcow2,format=qcow2,ro --timeout 10 </dev/null >out 2>err
is $? 1 "qcow2: a cluster beyond the file's end is the guest's I/O error, and the VM lives on"
like err 'read at sector 0: Input/output error' "which is said"
done_testing
