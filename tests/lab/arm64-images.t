#!/bin/sh
# SPDX-License-Identifier: MIT
# Debian's Image in other clothes, made here: packed, as an ELF file, a vmlinux, an EFI zboot image.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
lab_initrd plain cloud
image=$("$lab_dir/fetch" arm64)/vmlinuz-cloud
# make NAME COMMAND...: its output as LAB_OUT/NAME, anew when the kernel is.
make()
{
	name=$LAB_OUT/$1
	shift
	[ "$name" -nt "$image" ] || "$@" >"$name" || bail "cannot make $name"
}

make Image.gz gzip -1 -c "$image"
make Image.lz4 lz4 -l -1 -c "$image"
make Image.zst zstd -q -1 -c "$image"
make Image.xz xz -0 -c "$image"
"$lab_dir/mkimage" elf 0x40400000 "$image" "$LAB_OUT/elf" || bail "no ELF file"
"$lab_dir/mkimage" elf 0xffff800008000000 "$image" "$LAB_OUT/vmlinux" || bail "no vmlinux"
"$lab_dir/mkimage" zboot gzip "$LAB_OUT/Image.gz" "$LAB_OUT/zboot-gzip" || bail "no zboot image"
"$lab_dir/mkimage" zboot zstd22 "$LAB_OUT/Image.zst" "$LAB_OUT/zboot-zstd" || bail "no zboot image"
lab_run arm64 arm64-images.l1
