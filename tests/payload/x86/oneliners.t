#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Command lines that people have: each is accepted and does what was meant, or its first option that is
# not built yet is refused by name. tests/oneliners is the list; and every option's own example works.
. tests/lib.sh
lkvm=$(cd "$(dirname "${LKVM:-build/lkvm}")" && pwd)/$(basename "${LKVM:-build/lkvm}")
list=$PWD/tests/oneliners
elf=$PWD/${KINDLING_BUILD:-build}/payload/exit.elf
images=$PWD/${KINDLING_BUILD:-build}/images
tmp=$(mktemp -d -p "${LAB_OUT:-$PWD/${KINDLING_BUILD:-build}}") # where direct I/O works: no tmpfs
trap 'rm -rf "$tmp"' EXIT

# Every file that the lines name; a payload stands in for the kernels.
cd "$tmp" || exit 1
mkdir -p arch/arm64/boot arch/x86/boot
# (By Linux's banner it is taken for one, as a vmlinux is.)
for kernel in bzImage Image K arch/arm64/boot/Image; do
	{ cat "$elf"; echo 'Linux version 6.1.0 (me@here) #1'; } >"./$kernel"
done
cp "$elf" kernel.elf
cp "$images/multiboot.bin" kernel.bin
cp "$images/multiboot.elf" kernel.mb
for disk in rootfs.ext4 rootfs.ext2 blk.img x.ext4 disk.img; do truncate -s 1M $disk; done
cp "${elf%/payload/*}/hvt/storage.hvt" guest.hvt
echo exit >script.sh
cp script.sh script
mkdir DIR
HOME=$tmp # for lkvm setup
export HOME
for initrd in initramfs.cpio.gz rootfs.img initramfs.cpio I initrd.img initrd.cpio.gz; do echo x >$initrd; done

while IFS='	' read -r wanted line; do
	case $wanted in ''|'#'*) continue ;; esac
	eval "set -- $line"
	timeout 30 "$lkvm" "$@" >out 2>err </dev/null
	status=$?
	case $wanted in
	works)
		[ $status = 0 ]
		report $? "works: lkvm $line"
		[ $status = 0 ] || note "status $status: $(head -n 3 err)"
		;;
	either*) # by what this host has, and this user may do
		[ $status = 0 ] || { [ $status = 125 ] && tail -n 1 err | grep -Fq -- "${wanted#either }"; }
		report $? "works, or the host's part is refused: lkvm $line"
		[ $status = 0 ] || note "$(tail -n 1 err)"
		;;
	runs) # what stands in for the kernel ends without a word of the command
		[ $status = 123 ]
		report $? "goes as far as the guest: lkvm $line"
		[ $status = 123 ] || note "status $status: $(head -n 3 err)"
		;;
	*)
		[ $status = 125 ] && tail -n 1 err | grep -Fq -- "${wanted#refused }"
		report $? "$wanted: lkvm $line"
		;;
	esac
done <"$list"

"$lkvm" help --examples >examples
while IFS='	' read -r option line; do
	rm -f disk.img
	truncate -s 1M disk.img
	eval "set -- $line"
	timeout 30 "$lkvm" run "$@" >out 2>err </dev/null
	is $? 0 "--$option: lkvm run $line"
done <examples

for word in $("$lkvm" run --help | sed -n 's/^  .*--\([a-z-]*:\{0,1\}\).*/\1/p'); do
	case $word in net:|net-mac:) continue ;; esac # of a tap that is there: tests/payload/hvt.t
	grep -q "^$word	" examples || report 1 "--$word has an example"
done
done_testing
