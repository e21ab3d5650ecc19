#!/bin/sh
# SPDX-License-Identifier: MIT
# Built-in payloads on arm64: every end, several VMs in one process, edges, options, and bad input.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
cd "$top" || exit 1
kernels=$("$lab_dir/fetch" arm64)
# A DTB to be refused: cut short, of another memory, with the memory's node gone.
dts='/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; compatible = "linux,dummy-virt"; %s };'
dtb() { printf "$dts" "$2" | dtc -q -I dts -O dtb -o "$LAB_OUT/$1" - || bail "dtc failed"; }
command -v dtc >/dev/null || skip_all "device-tree-compiler is not installed"
dtb none.dtb ''
dtb other.dtb 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x10000000>; };'
dtb two.dtb 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x4000000 0 0x80000000 0 0x1000>; };'
head -c 100 "$LAB_OUT/other.dtb" >"$LAB_OUT/cut.dtb"
{ head -c 20 "$LAB_OUT/other.dtb"; printf "\0\0\0\004\0\0\0\004"; tail -c +29 "$LAB_OUT/other.dtb"; } >"$LAB_OUT/old.dtb"
head -c 5000 /dev/urandom >"$LAB_OUT/noise.dtb"

# An Image whose header asks for what the processor lacks: 16 KiB pages.
head -c 4194304 "$kernels/vmlinuz-cloud" >"$LAB_OUT/pages16"
printf '\014' | dd of="$LAB_OUT/pages16" bs=1 seek=24 conv=notrunc 2>/dev/null
cp "${KINDLING_BUILD:-build}/payload/hello.elf" "$LAB_OUT/x86.elf"
{ head -c 497 /dev/zero; printf '\004'; head -c 16 /dev/zero; printf 'HdrS\014\002'; head -c 9000 /dev/zero; } >"$LAB_OUT/bzImage"
"$lab_dir/mkimage" zboot lzma "$LAB_OUT/noise.dtb" "$LAB_OUT/zboot-lzma"
"$lab_dir/mkimage" zboot gzip "$LAB_OUT/noise.dtb" "$LAB_OUT/zboot-noise"
"$lab_dir/mkimage" elf 0x1000 "$LAB_OUT/pages16" "$LAB_OUT/low.elf"
gzip -c "$LAB_OUT/bzImage" >"$LAB_OUT/bzImage.gz"
head -c 3000000 "$kernels/vmlinuz-cloud" | gzip -1 -c | head -c 100000 >"$LAB_OUT/cut.gz"
head -c 600000000 /dev/zero | gzip -1 -c >"$LAB_OUT/bomb.gz"
lab_run arm64 --cpus 2 arm64-payload.l1
