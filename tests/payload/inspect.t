#!/bin/sh
# SPDX-License-Identifier: MIT
# lkvm inspect: what a run would do with a file is what it says, by status 0 or 1; and a few words of it.
. tests/lib.sh
lkvm=$(cd "$(dirname "${LKVM:-build/lkvm}")" && pwd)/$(basename "${LKVM:-build/lkvm}")
build=$PWD/${KINDLING_BUILD:-build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

# says STATUS REGEX ARGUMENT...: the status, and that each line begins as it should; nothing on stderr.
says()
{
	wanted=$1 regex=$2
	shift 2
	timeout 30 "$lkvm" inspect "$@" >out 2>err </dev/null
	status=$?
	[ $status = "$wanted" ] && [ ! -s err ] && grep -Eq -- "$regex" out
	report $? "inspect $*: $regex"
	[ $status = "$wanted" ] && [ ! -s err ] && grep -Eq -- "$regex" out || note "status $status: $(cat out err)"
}

: >empty
mkdir dir
mkfifo fifo
printf '\377\330\377\340\0\020JFIF\0\001\001\001\0H\0H\0\0' >photo.jpeg
head -c 5000 /dev/urandom >>photo.jpeg
echo 'a text' >text
says 1 'is empty' empty
says 1 'is a directory' dir
says 1 'not a regular file' fifo
says 1 'No such file' nothing
says 1 'a program, which needs a system' "$lkvm"
[ ! -e /bin/ls ] || says 1 'a program, which needs a system' /bin/ls
says 1 'refused .*a text file' text
says 0 'loaded .*segment|segment ' "$build/payload/hello.elf"
says 0 'needs +--block:first=PATH' "$build/hvt/disk.hvt"
says 0 "by Solo5's hvt interface, version 2: 0x100000" "$build/hvt/empty.hvt"
head -c 3000 "$build/hvt/empty.hvt" >cut.hvt
says 1 'refused' cut.hvt
case $(uname -m) in
x86_64)
	images=$build/images
	says 1 'no kind of image' photo.jpeg
	says 0 'in real mode' --entry raw photo.jpeg
	says 1 'linux64, pvh, multiboot or raw' --entry=efi photo.jpeg
	says 0 '^[^ ]*: a 32-bit ELF image for x86$' "$images/multiboot.elf"
	says 0 'entered .*multiboot header.*: 0x10000c$' "$images/multiboot.elf"
	says 0 'files +-i, --module$' "$images/multiboot.elf"
	says 0 '--irqchip full' "$images/multiboot.elf"
	says 0 'loaded +0x100000 to 0x101' "$images/multiboot.bin"
	says 0 ': a multiboot image$' "$images/multiboot.bin"
	says 1 'it has no --entry' --entry raw "${images%/images}/hvt/empty.hvt"
	says 0 'note +PVH entry 0x100000' "$images/pvh.elf"
	says 0 'behind its name unless -p' "$images/linux64.elf"
	says 1 'no PVH note' --entry pvh "$images/linux64.elf"
	gzip -c "$images/linux64.elf" >packed.gz
	says 0 'packed +by gzip' packed.gz
	{ cat "$images/linux64.elf"; echo 'Linux version 6.1.0 (me@here) #1'; } >linux
	says 0 'Linux +6.1.0$' linux
	says 0 'stands a command' linux
	;;
esac
"$lkvm" inspect >out 2>err
is $? 125 "inspect what?"
"$lkvm" inspect --what x >out 2>err
is $? 125 "no such option"
"$lkvm" inspect text text >out 2>err
is $? 125 "one image"
done_testing
