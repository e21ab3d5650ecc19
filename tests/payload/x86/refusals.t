#!/bin/sh
# SPDX-License-Identifier: MIT
# Bad input: one line that says what, why and what to do; status 125; nothing started, nothing left.
. tests/lib.sh
lkvm=$(cd "$(dirname "${LKVM:-build/lkvm}")" && pwd)/$(basename "${LKVM:-build/lkvm}")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
elf=$PWD/${KINDLING_BUILD:-build}/payload/exit.elf
cd "$tmp" || exit 1

refused()	# REGEX OPTION...
{
	regex=$1
	shift
	timeout 20 "$lkvm" run "$@" >out 2>err </dev/null
	status=$?
	lines=$(wc -l <err)
	if [ $status = 125 ] && [ "$lines" = 1 ] && [ ! -s out ] && grep -Eq -- "$regex" err; then
		report 0 "refused: $*"
	else
		report 1 "refused: $*"
		note "status $status, $lines lines, wanted /$regex/: $(head -c 300 err)"
	fi
}

: >empty
mkdir dir
head -c 100000 /dev/urandom >noise
head -c 300 "$elf" >cut-elf
cp "$elf" elf
{ cat "$elf"; echo 'Linux version 6.1.0 (me@here) #1'; } >linux # stands in for one
truncate -s 513 odd.img
truncate -s 4096 disk.img
truncate -s 1M good.img
{ printf 'QFI\373'; head -c 508 /dev/zero; } >looks.img
printf '\177ELF\002\001\001' >tiny-elf
{ head -c 56 /dev/zero; printf 'ARMd'; head -c 4096 /dev/zero; } >arm64-image
{ head -c 36 /dev/zero; printf '\030\050\157\001'; head -c 4096 /dev/zero; } >arm-zimage
{ head -c 497 /dev/zero; printf '\004'; head -c 16 /dev/zero; printf 'HdrS\014\002'; head -c 40 /dev/zero; } >cut-bzimage
{ head -c 497 /dev/zero; printf '\004'; head -c 16 /dev/zero; printf 'HdrS\000\002'; head -c 9000 /dev/zero; } >old-bzimage
echo 070701 >cpio
head -c 300 elf | gzip >packed-cut-elf
gzip <noise | head -c 50000 >cut-gzip
printf '\004\042\115\030abcdefg' >frames.lz4
mkfifo fifo
ln -s good.img link.img

refused 'cannot open kernel nothing: No such file' -k nothing
refused 'kernel empty is empty' -k empty
refused 'kernel dir is a directory' -k dir
refused 'not a regular file' -k fifo
refused 'no kind of image' -k noise
refused 'truncated' -k cut-elf
refused 'truncated' -k tiny-elf
refused 'arm64 .*this machine is x86' -k arm64-image
refused '32-bit Arm .*this machine is x86' -k arm-zimage
refused 'truncated' -k cut-bzimage
refused 'oldest' -k old-bzimage
refused 'initrd goes to -i' -k cpio
refused 'kernel packed-cut-elf: .*truncated' -k packed-cut-elf
refused 'kernel cut-gzip: .*damaged or truncated' -k cut-gzip
refused 'packed by lz4 -l' -k frames.lz4
refused 'host or guest' -k linux --unpack both
refused 'cannot open initrd nothing' -k elf -i nothing
refused 'initrd empty is empty' -k elf -i empty
truncate -s 40M big
refused 'initrd big .*does not fit' -k elf -i big -m 32
cp elf large-elf # its second segment has 256 MiB
printf '\0\0\0\020\0\0\0\0' | dd of=large-elf bs=1 seek=160 conv=notrunc 2>/dev/null
refused 'more with -m' -k large-elf -m 64M
refused 'initrd big .*does not fit' -k elf -i big -m 2M
refused 'too little' -k elf -m 1M
refused 'needs a CPU' -k elf -c 0
refused 'allows [0-9]+ vCPUs' -k elf -c 100000
refused 'not a whole number' -k elf -c many
refused 'more than any host' -k elf -m 99999999999999G
refused 'this host has' -k elf -m 900T
refused 'a number and B, K' -k elf -m 12q
refused 'balloon shall take 64 MiB: the guest has 32' -k elf -m 32 --balloon-target 64M
refused 'balloon-target 4q: give a number' -k elf --balloon-target 4q
refused 'balloon-target 100B: not a multiple' -k elf --balloon-target 100B
refused "'format=raw' is no word for a directory" -k elf -d dir,format=raw
refused 'disk nothing' -k elf -d nothing
refused 'disk empty.*(empty|zero|0)' -k elf -d empty
refused 'multiple of 512' -k elf -d odd.img
refused 'given twice' -k elf -d good.img -d link.img
refused 'given twice' -k elf -d good.img,ro -d good.img,ro
refused "'wb' is no word" -k elf -d good.img,wb
refused 'format vmdk is not known' -k elf -d good.img,format=vmdk
refused 'cow.* together' -k elf -d good.img,cow,direct
for limit in rate=0 rate=5G iops= iops=x burst=1T rate=1KB rate=99999999999999999999; do
	refused "${limit%%=*} is a number from 1 to 4G" -k elf -d "good.img,$limit"
done
refused 'burst is a number from 1' -k elf -n mode=tap,burst=0
refused 'knows no rate: vhost=0' -k elf -n mode=tap,vhost=1,rate=1M
refused 'no key is named rates' -k elf -d good.img,rates=1
for n in 0 9 -1 2x '' 99999999999999999999; do
	refused 'queues is 1 to 8' -k elf -d "good.img,queues=$n"
done
refused 'io=uring: for raw disks without cow' -k elf -d good.img,cow,io=uring
refused 'format=qcow2, or format=raw' -k elf -d looks.img
refused 'no qcow2 image' -k elf -d good.img,format=qcow2,ro
refused 'qcow2 images are never written; add ,ro, or ,cow' -k elf -d looks.img,format=qcow2
refused 'backing is any' -k elf -d good.img,backing=none
refused 'snapshot inside .*convert -l old' -k elf -d looks.img,format=qcow2,ro,snapshot=old
for cid in 0 2 4294967295 18446744073709551615 x '3x' 3,uds 3,uds= 3,path=x '3,uds=x --vsock 4,uds=y'; do
	refused '[-]-vsock .*: (a guest has one|the guest.s address is|behind the address)' -k elf --vsock $cid
done
refused 'empty is there already' -k elf --vsock 3,uds=empty
[ -e /dev/vhost-vsock ] || refused 'modprobe vhost_vsock, or .*uds=PATH' -k elf --vsock 3
refused 'none/vsock: No such' -k elf --vsock 3,uds=none/vsock
refused 'too long' -k elf --vsock "3,uds=$(head -c 97 /dev/zero | tr '\0' x)"
refused 'nothing' -k elf --vsock 3,uds=left.sock -d nothing
check "no socket is left" test ! -e left.sock
TMPDIR=$tmp/missing; export TMPDIR
refused 'TMPDIR' -k elf -d good.img,cow
unset TMPDIR
refused 'did you mean --kernel' --kernle elf
refused 'unknown option --zzz' --zzz
refused 'unknown option -z' -z
refused 'needs a value' -k
refused 'two kernels' -k elf elf
refused 'short for several' --de elf
refused 'takes no value' --rng=yes elf
refused 'no payload is named' --payload nothing
refused 'cannot open /dev/nothing' --payload exit --dev /dev/nothing
refused '/dev/null is not KVM' --payload exit --dev /dev/null
refused 'no command behind --' -k elf --
refused '--env is for a command' -k elf --env A=1
refused 'NAME or NAME=VALUE' -k linux --env =1 -- true
refused 'two roots' -k linux --root / --root none -- true
refused 'not a directory; an image of a disk' -k linux --root elf -- true
refused 'No such file' -k linux --root /nonexistent -- true
refused 'give the guest a disk' -k linux --root /dev/vda -- true
refused 'no root to write to' -k linux --root none --root-rw -- true
mkdir root root/proc root/sys root/dev root-bare
ln -s proc root-bare/dev
refused 'no folder dev.*--root-rw' -k linux --root root-bare --root-rw -- true
refused 'no folder mnt.*--share' -k linux --root root --root-rw --share src=. -- true
is "$(ls root root-bare | tr '\n' ' ')" "root: dev proc sys  root-bare: dev " "and nothing is made there"
refused 'knows none of that name' -k linux --user no-such-user -- true
refused 'knows no group' -k linux --user root:no-such-group -- true
refused 'USER or USER:GROUP' -k linux --user root: -- true
refused 'no modules.dep there' -k linux --modules . -- true
refused 'cannot open kernel nonexistent: No such file' -k nonexistent --modules . -- true
refused 'one CPU only' --payload hello --irqchip none -c 2
cp good.img log.img
refused "guest's kernel, initrd, tree or disk" --payload hello -d log.img --console-log log.img
is "$(stat -c %s log.img)" 1048576 "and the image is whole"
echo old >old.log
refused 'nothing' --payload hello -d nothing --console-log old.log
is "$(cat old.log)" old "a run that is refused leaves the log alone"
refused 'nobody reads' --payload hello --console-log fifo
refused 'needs a value' -d ''
refused 'split, full or none' -k elf --irqchip gicv3
refused 'serial, virtio or none' -k elf --console vga
refused 'interrupt lines' --virtio-transport mmio -k elf --irqchip full $(for i in $(seq 21); do cp good.img g$i; echo "-d g$i"; done)
refused '[Tt]oo long|more than|characters' -k elf -p "$(head -c 5000 /dev/zero | tr '\0' x)"
refused 'console-log' --payload exit --console-log dir/none/log
refused 'mode is user, tap, fd or none' --payload exit -n mode=bridge
refused 'no key is named tap; ' --payload exit -n tap=tap0
refused 'guest_mac is six bytes' --payload exit -n guest_mac=52:54:00:12:34
refused "no single station's" --payload exit -n guest_mac=01:54:00:12:34:56
refused 'no IPv4 address' --payload exit -n host_ip=::1
refused 'mtu is from 68' --payload exit -n mtu=67
refused 'fwd is \[HOST:\]PORT:PORT' --payload exit -n fwd=22
refused 'fwd is \[HOST:\]PORT:PORT' --payload exit -n fwd=localhost:0:22
refused 'fwd is \[HOST:\]PORT:PORT' --payload exit -n fwd=0:65536
refused 'fwd needs mode=user' --payload exit -n mode=tap,fwd=0:22
refused 'need mode=tap' --payload exit -n mode=user,tapif=tap0
refused 'mode=fd and fd=N go together' --payload exit -n mode=fd
refused "fd=0 is not a tap's" --payload exit -n fd=0
refused 'vhost is 0 or 1' --payload exit -n mode=tap,vhost=2
refused 'vhost=1 needs a tap' --payload exit -n mode=user,vhost=1
for n in 0 9 -1 2x; do
	refused 'queues is 1 to 8' --payload exit -n "mode=tap,queues=$n"
done
refused 'queues is 1 to 8' --payload exit -n mode=tap,mq=9
refused 'queues needs mode=tap' --payload exit -n mode=user,queues=2
refused 'queues needs mode=tap' --payload exit -n fd=0,queues=2
refused 'it is mmio, pci or auto' --payload exit -n mode=tap,trans=usb
refused 'needs a value' --payload exit -n mode=tap,tapif=
refused 'more than 8 networks' --payload exit $(for i in $(seq 9); do echo "-n fd=$i"; done)
PATH=/nothing "$lkvm" run --payload exit -n mode=user >out 2>err </dev/null
is $? 125 "refused: no passt"
like err 'apt install passt' "and it is said how to get it"
chmod 000 good.img
[ "$(id -u)" = 0 ] || refused 'Permission denied' -k elf -d good.img
is "$(ls /dev/shm | grep -c lkvm)" 0 "nothing is left behind"
done_testing
