#!/bin/sh
# SPDX-License-Identifier: MIT
# Each way into an image, with words, files beside it and a status: tests/images/x86 says what it found.
. tests/lib.sh
lkvm=$(cd "$(dirname "${LKVM:-build/lkvm}")" && pwd)/$(basename "${LKVM:-build/lkvm}")
images=$PWD/${KINDLING_BUILD:-build}/images
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
cp "$images"/*.elf "$images"/*.bin .
mkdir dir
echo first >one
echo 'the second' >two
{ echo beginning; head -c 5000 /dev/zero; } >big

# entered STATUS OUTPUT OPTION...: all that it prints.
entered()
{
	wanted=$1 output=$2
	shift 2
	timeout ${PATIENCE:-20} "$lkvm" run "$@" >out 2>err </dev/null
	status=$?
	[ $status = "$wanted" ] && [ "$(cat out)" = "$output" ] && [ ! -s err ]
	report $? "entered: $*"
	[ $status = "$wanted" ] && [ "$(cat out)" = "$output" ] || { note "status $status"; note "$(cat out err)"; }
}

# ---- Multiboot: by an ELF file of either class, and by the header's own addresses ----

for image in multiboot.elf multiboot64.elf multiboot.bin; do
	entered 42 "multiboot by Kindling
words [$image] [x] [y] [a] [exit=42]
module 6 [one] first
module 11 [two a=b c] the second
module 5010 [big] beginning
memory 639 64512 64512" $image -m 64 -i one --module two,a=b\ c --module big -p "x y" -- a exit=42
done
entered 0 "multiboot by Kindling
words [./multiboot.bin]
memory 639 1024 1024" -c 1 -k ./multiboot.bin -m 2
entered 3 "multiboot by Kindling
words [exit=3]
memory 639 3144704 4193280" --nodefaults multiboot.elf -m 4G -- exit=3
entered 4 "multiboot by Kindling
words [multiboot.elf] [exit=4]
memory 639 15360 15360" multiboot.elf -m 16 --irqchip split -p exit=4

# ---- PVH ----

entered 5 "pvh
words [p] [exit=5]
memory 15360" pvh.elf -m 16 -p p -- exit=5
entered 6 "pvh
words [exit=6]
module 6 [] first
memory 15360" pvh.elf -m 16 -i one -- exit=6
entered 7 "pvh
words [exit=7]
module 6 [] first
module 11 [two] the second
module 6 [one and words] first
memory 15360" pvh.elf -m 16 -i one --module two --module "one,and words" -- exit=7
entered 0 "pvh
words []
module 11 [two] the second
memory 15360" pvh.elf -m 16 --module two -p ' '

# ---- Linux's 64-bit entry: its own name first, unless -p has words ----

entered 8 "linux64
words [linux64.elf] [a] [exit=8]
memory 15360" ./linux64.elf -m 16 -- a exit=8
entered 9 "linux64
words [name] [--] [exit=9]
module 6 [] first
memory 15360" linux64.elf -m 16 -i one -p 'name --' -- exit=9
entered 0 "linux64
words
memory 15360" linux64.elf -m 16 --nodefaults
entered 10 "linux64
words [linux64.elf] [exit=10]
memory 15360" --entry linux64 linux64.elf -m 16 -- exit=10

# ---- Packed: what is in it is looked at if --entry is given ----

gzip -k multiboot.elf
entered 12 "multiboot by Kindling
words [multiboot.elf.gz] [exit=12]
memory 639 15360 15360" --entry multiboot multiboot.elf.gz -m 16 -- exit=12

# ---- Real mode ----

entered 17 "raw 1000:0000" raw.bin --entry raw -m 2

# ---- Nothing of Linux's ----

entered 0 "linux64
words [linux64.elf] [virtio_mmio.device=4096@0xd0000000:1]
memory 15360" linux64.elf -m 16 -d dir
entered 11 "linux64
words [linux64.elf] [exit=11]
memory 15360" linux64.elf -m 16 --timeout 30 -- exit=11

# ---- Refused ----

refused()
{
	regex=$1
	shift
	timeout ${PATIENCE:-20} "$lkvm" run "$@" >out 2>err </dev/null
	status=$?
	[ $status = 125 ] && [ "$(wc -l <err)" = 1 ] && [ ! -s out ] && grep -Eq -- "$regex" err
	report $? "refused: $*"
	[ "$(wc -l <err)" = 1 ] && grep -Eq -- "$regex" err || note "status $status: $(head -c 300 err)"
}

# patched FILE OFFSET BYTES: a copy with these bytes (printf's escapes).
patched() { cp "$1" bad.bin && printf "$3" | dd of=bad.bin bs=1 seek="$2" conv=notrunc 2>/dev/null; }

refused 'raw image takes no command line' raw.bin --entry raw -- words
refused 'raw image takes .*initrd' raw.bin --entry raw -i one
refused 'not entered by multiboot or PVH' linux64.elf --module one
refused 'not entered by multiboot or PVH' raw.bin --entry raw --module one
refused 'module nothing: No such|cannot open module nothing' multiboot.elf --module nothing
refused 'no multiboot header' linux64.elf --entry multiboot
refused 'no PVH note' multiboot64.elf --entry pvh
refused '32-bit code' multiboot.elf --entry linux64
refused "can't be entered by --entry pvh" raw.bin --entry pvh
head -c 600000 /dev/zero >long
refused 'a raw image has' long --entry raw
truncate -s 3M module
refused 'module module .* does not fit' multiboot.elf -m 4 --module module
for option in '--root /' --root-rw '--env A=1' '--user root' '--modules .' '--boot-timeout 1' '--fail-on oops' \
	'--unpack host'; do
	refused "${option%% *} is for kernels of Linux" $option multiboot.elf -- word
done
refused 'two kernels' multiboot.elf linux64.elf
{ head -c 8192 /dev/zero; cat multiboot.bin; } >late.bin
refused 'at byte 8192; it must be in the first 8 KiB' late.bin --entry multiboot
refused 'no kind of image' late.bin
{ printf x; cat multiboot.bin; } >odd.bin
refused 'at byte 1, which is no multiple of 4' odd.bin --entry multiboot
patched multiboot.bin 8 '\0'
refused 'no kind of image' bad.bin
patched multiboot.bin 12 '\001'
refused 'say.* 1 bytes stand before it; 0 do' bad.bin
patched multiboot.bin 20 '\0\0\0\001'
refused 'its multiboot header wants' bad.bin
patched multiboot.bin 20 '\001\0\0\0'
refused 'says that it ends at' bad.bin
patched multiboot.bin 24 '\001\0\0\0'
refused 'its bss ends at' bad.bin
patched multiboot.bin 27 '\377'
refused 'the end of what images can have' bad.bin
patched multiboot.bin 27 '\200'
refused 'more with -m' bad.bin
patched multiboot.bin 28 '\0\0\0\0'
refused 'its entry 0x0 is outside' bad.bin
patched multiboot.bin 15 '\377'
refused 'bytes stand before it' bad.bin
patched multiboot.bin 12 '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\020\0\0\0'
refused 'where boot data lies' bad.bin
refused 'does not fit|more with -m' multiboot.bin -m 2 --module module
done_testing
