#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Solo5's hvt on the local KVM: all of hvt.sh, and what images and command lines can be wrong. Networks, where they can be made.
. tests/lib.sh
build=${KINDLING_BUILD:-build}
here=$PWD
lkvm=$(realpath "${LKVM:-$build/lkvm}")
guests=$(realpath "$build/hvt")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
case $(uname -m) in aarch64) page=65536 ;; *) page=4096 ;; esac

. "$here/tests/payload/hvt.sh"

# Images and command lines.
refused()	# REGEX OPTION...
{
	regex=$1
	shift
	timeout 60 "$lkvm" run "$@" >out 2>err </dev/null
	status=$?
	if [ $status = 125 ] && [ "$(wc -l <err)" = 1 ] && [ ! -s out ] && grep -Eq -- "$regex" err; then
		report 0 "refused: $*"
	else
		report 1 "refused: $*"
		note "status $status, wanted /$regex/: $(head -c 300 err)"
	fi
}
refused 'has a block device first, and nothing is attached.*--block:first=PATH' "$guests/disk.hvt"
refused 'has a block device second' "$guests/disk.hvt" --block:first=a.img
refused 'has a net device first.*--net:first=TAP' "$guests/net.hvt"
refused 'no block device third' "$guests/disk.hvt" $disks --block:third=a.img
refused 'no net device first' "$guests/disk.hvt" $disks --net:first=tap0
refused 'no block device first' "$guests/empty.hvt" --block:first=a.img
refused 'it is --block:NAME=PATH' "$guests/disk.hvt" --block:first
refused 'it is --block:NAME=PATH' "$guests/disk.hvt" --block:=a.img
refused 'it is --block:NAME=PATH' "$guests/disk.hvt" --block:first=
refused 'needs a value' "$guests/disk.hvt" --block:
refused 'it is --block:NAME=PATH' "$guests/disk.hvt" "--block:$(head -c 68 /dev/zero | tr '\0' x)=a.img"
refused 'has one already' "$guests/disk.hvt" --block:first=a.img --block:first=b.img
refused 'in use' "$guests/disk.hvt" --block:first=a.img --block:second=a.img
refused 'nowhere.img' "$guests/disk.hvt" --block:first=nowhere.img --block:second=b.img
for size in 0 1 256 521 1000 65536 4096x ''; do
	refused "power of two|it is --block-sector-size" "$guests/disk.hvt" $disks --block-sector-size:first=$size
done
truncate -s 6144 odd.img
refused 'its 6144 bytes are no multiple of sectors of 4096' "$guests/disk.hvt" --block:first=odd.img --block:second=b.img \
	--block-sector-size:first=4096
refused 'no such interface' "$guests/net.hvt" --net:first=nowhere0 --net:second=nowhere1
refused 'so long a name' "$guests/net.hvt" --net:first=a-name-of-17-chars
refused 'behind @' "$guests/net.hvt" --net:first=@x
refused 'not a tap' "$guests/net.hvt" --net:first=@0
refused 'not a tap' "$guests/net.hvt" --net:first=@99
for mac in 1 02:00:00:00:00 02:00:00:00:00:0 02:00:00:00:00:01:02 02:00:00:00:00:0g 02-00-00-00-00-01 02:00:00:00:00:001; do
	refused 'six pairs' "$guests/net.hvt" --net-mac:first=$mac
done
refused 'multiple of 2 MiB' "$guests/empty.hvt" -m 3
refused 'multiple of 2 MiB' "$guests/empty.hvt" -m 4098
refused 'too little' "$guests/empty.hvt" -m 1
refused 'one' "$guests/empty.hvt" -c 2
refused '--block:NAME' "$guests/empty.hvt" -d a.img
refused '--net:NAME' "$guests/empty.hvt" -n mode=user
refused 'behind --' "$guests/empty.hvt" -p x
refused '--initrd' "$guests/empty.hvt" -i a.img
refused '--rng' "$guests/empty.hvt" --rng
refused 'no --entry' "$guests/empty.hvt" --entry pvh
refused 'no --root' "$guests/empty.hvt" --root / -- hello
refused 'no --env' "$guests/empty.hvt" --env A=b -- hello
refused 'no --user' "$guests/empty.hvt" --user 1 -- hello
refused 'no --fail-on' "$guests/empty.hvt" --fail-on oops
"$lkvm" run "$guests/empty.hvt" --share-image 2>err
is "$?" 0 "to share its pages is a wish"
like err "nothing of a Solo5 image is shared" "that is not fulfilled, which is said"
refused 'are for Solo5 images' --payload exit --block:first=a.img
refused 'are for Solo5 images' a.img --block:first=a.img

# On x86 a halt is the end: told by KVM where RAM leaves no place for a local APIC, else found out. Also behind a
# wait in which the one who looks came by.
if [ "$(uname -m)" = x86_64 ]; then
	for words in '512 0' '512 500000000' '4096 0'; do
		timeout 20 "$lkvm" run "$guests/calls.hvt" -m "${words% *}" -- sleep "${words#* }" >out 2>err </dev/null
		status=$?
		check "a guest that halts has ended, with $words" test "$status $(grep -c 'halts its processor' err)" = '123 1'
	done
	timeout 20 "$lkvm" run "$guests/calls.hvt" -- odd 5 >out 2>err </dev/null
	is "$? $(grep -c 'reads 1 bytes from port 0x60' err)" '123 1' "one instruction, one wrong"
	refused 'no --module' "$guests/empty.hvt" --module a.img
	refused 'no --debug-exit' "$guests/empty.hvt" --debug-exit 0xf4
	refused 'no --discovery' "$guests/empty.hvt" --discovery acpi
	refused 'no --unpack' "$guests/empty.hvt" --unpack host
fi

# A byte of the image is another one: at OFFSET, as printf has it.
poke() { cp "$guests/calls.hvt" poked.hvt; printf "$2" | dd of=poked.hvt bs=1 seek="$1" conv=notrunc 2>/dev/null; }
headers=64 segment=56
poke $((headers + 4)) '\007'
refused 'segment 0 is writable and executable' poked.hvt
poke 24 '\0\0\0\0'
refused 'its entry 0x0 is outside' poked.hvt
poke 26 '\022'
refused 'its entry 0x.* (outside|not executable)' poked.hvt
poke $((headers + segment + 16)) '\0\0\020'
refused 'segment 1 overlaps' poked.hvt
poke $((headers + segment + 18)) '\017'
refused 'not in ascending order|is the lowest' poked.hvt
poke $((headers + 2 * segment + 16)) '\0\0\0\0\0\0\0\0'
refused 'segment 2 is at 0x0|overlaps|ascending' poked.hvt
poke $((headers + 2 * segment + 23)) '\177'
refused '4 GiB at most' poked.hvt
poke $((headers + 2 * segment + 22)) '\377\377'
refused 'wraps|4 GiB at most' poked.hvt
poke $((headers + 2 * segment + 44)) '\177'
refused '4 GiB at most' poked.hvt
poke $((headers + 2 * segment + 43)) '\177'
refused 'more with -m' poked.hvt
poke $((headers + 4 * segment)) '\0'
refused 'it has no Solo5 manifest' poked.hvt
poke 18 '\267\0'
[ $page = 65536 ] || refused 'it is for aarch64, and this machine is x86_64' poked.hvt
abi=$(grep -abo 'Solo5' "$guests/calls.hvt" | sed -n '1s/:.*//p')
manifest=$(grep -abo 'Solo5' "$guests/calls.hvt" | sed -n '2s/:.*//p')
poke $((abi + 8)) '\002'
refused "it is for Solo5's spt .2.; hvt is wanted" poked.hvt
poke $((abi + 12)) '\003'
refused "version 3 of Solo5's hvt" poked.hvt
poke $((manifest + 12)) '\002'
refused "manifest is of version 2" poked.hvt
poke $((manifest + 16)) '\0'
refused "manifest has 0 entries" poked.hvt
poke $((manifest + 16)) '\002'
refused "not the size of so many" poked.hvt
poke $((manifest + 16)) '\101'
refused "manifest has 65 entries" poked.hvt
poke $((manifest + 20)) 'x'
refused "entry 0 is not the reserved one" poked.hvt
poke $((manifest + 20 + 67)) 'x'
refused "the name of entry 0 does not end" poked.hvt
poke $((manifest + 20 + 96)) '\001'
refused "entry 0 is attached already" poked.hvt
head -c 6000 "$guests/calls.hvt" >cut.hvt
refused 'truncated|no Solo5|is not|loads' cut.hvt
[ $page = 65536 ] || { "$lkvm" run "$guests/empty.hvt" -m 2 2>/dev/null; report $? "2 MiB are enough"; }

# Networks: in a namespace of our own.
if [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] && unshare -n true 2>/dev/null && command -v ip >/dev/null; then
	cat >nets.sh <<-END
		for i in 0 1; do
			ip tuntap add hvt\$i mode tap
			ip link set hvt\$i up mtu \$((1500 + 100 * i))
		done
		timeout 60 "$lkvm" run "$guests/net.hvt" --net:first=hvt0 --net:second=hvt1 --net-mac:first=02:00:00:0A:0b:01 >out 2>err &
		pid=\$!
		for i in \$(seq 100); do
			kill -0 \$pid 2>/dev/null || break
			for j in 0 1; do ip addr add 10.\$j.\$i.1/24 dev hvt\$j; done # which says so, with IPv6
			perl -e 'use Socket; socket(my \$s, PF_INET, SOCK_DGRAM, 0); send(\$s, "x", 0, pack_sockaddr_in(9, inet_aton("10.$_.$ENV{i}.9"))) for 0, 1' 2>/dev/null
			sleep 0.2
		done
		wait \$pid
		echo \$? >status
		awk '/hvt/ { print \$3 }' /proc/net/dev >received
		ip link set hvt1 down
		"$lkvm" run "$guests/net.hvt" --net:first=hvt0 --net:second=hvt1 >out2 2>err2
		echo \$? >status2
	END
	unshare -n sh -c '. ./nets.sh' 2>nets.err
	is "$(cat status)" 0 "two networks: frames come, poll says of which, they are sent back"
	[ "$(cat status)" = 0 ] || note "$(cat out err nets.err)"
	is "$(sed -n 1p out)" "02:00:00:0a:0b:01 1500" "the address that was given, and the interface's MTU"
	like out "^[0-9a-f][26ae]:.* 1600$" "an address of its own"
	is "$(awk '$1 > 0' received | wc -l)" 2 "the host got frames of both"
	is "$(cat status2)" 125 "an interface that is down is refused"
	like err2 "hvt1: it is down" "by name"
else
	skip "networks: not root, or no /dev/net/tun"
fi
done_testing
