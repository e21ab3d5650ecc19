#!/bin/sh
# SPDX-License-Identifier: MIT
# The small machine: what images find that are no Linux kernels, and how they tell their status.
. tests/lib.sh
lkvm=$(cd "$(dirname "${LKVM:-build/lkvm}")" && pwd)/$(basename "${LKVM:-build/lkvm}")
pc=$PWD/${KINDLING_BUILD:-build}/payload/pc.elf
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

# run WANTED DESCRIPTION PARAMETERS OPTION...
run()
{
	wanted=$1 what=$2 words=$3
	shift 3
	timeout 60 "$lkvm" run -k "$pc" -p "$words" "$@" >out 2>err </dev/null
	is $? "$wanted" "$what"
}

refused()	# REGEX OPTION...
{
	regex=$1
	shift
	timeout 20 "$lkvm" run -k "$pc" "$@" >out 2>err </dev/null
	[ $? = 125 ] && [ "$(wc -l <err)" = 1 ] && grep -Eq -- "$regex" err
	report $? "refused: $* ($(cut -c 7-90 err | head -n 1))"
}

# ---- Its status ----

for width in 1 2 4; do
	run 42 "0xf4 ends it with the value written, $width bytes" "write=42,port=244,width=$width"
done
run 0 "and with 0" write=0,port=244
run 255 "a value whose low byte is 0 is no success" write=256,port=244,width=4
run 1 "of other values it is the low byte" write=257,port=244,width=4
run 200 "a status that lkvm has for nothing else" write=200,port=244
run 125 "one that it has" write=125,port=244 --result result.json
like result.json '"own_status": true' "is told from ours"
run 0 "0x501: 41 is Unikraft's success" write=41,port=1281,width=2
run 42 "and 42 is not" write=42,port=1281,width=2
run 1 "nor is 0" write=0,port=1281,width=2
run 7 "a port that is given" write=7,port=35072 --debug-exit 0x8900
run 0 "takes the place of those that are known" write=7,port=244 --debug-exit 0x8900
run 0 "none" write=7,port=244 --debug-exit none
run 7 "given with its rule" write=3,port=244 --debug-exit 0xf4,shift
run 1 "shift: 0 is 1, as with QEMU" write=0,port=244 --debug-exit 0xf4,shift
run 253 "shift, 4 bytes" write=4294967294,port=244,width=4 --debug-exit 0xf4,shift
run 0 "ok=" write=16,port=244 --debug-exit 0xf4,ok=0x10
run 17 "and what is not ok" write=17,port=244 --debug-exit 0xf4,ok=0x10
run 1 "0 neither" write=0,port=244 --debug-exit 0xf4,ok=0x10
run 255 "nor what has no low byte" write=512,port=244,width=4 --debug-exit 0xf4,ok=0x10
run 9 "the second of two" write=9,port=1000 --debug-exit 0xf4 --debug-exit 1000
run 3 "the last port" write=3,port=65532 --debug-exit 0xfffc
for bad in 0xfffd 65536 -1 x 0xf4,left 0xf4, 0xf4,ok= 0xf4,ok=x 0xf4,ok=4294967296 0xf4,shift,ok=1 ''; do
	refused '--debug-exit' --debug-exit "$bad"
done
refused 'serial|uart' --debug-exit 0x3f8
refused 'debug-exit' --debug-exit 0xf4 --debug-exit 0xf6
refused 'more than 4' --debug-exit 1 --debug-exit 10 --debug-exit 20 --debug-exit 30 --debug-exit 40

run 0 "EXIT: STATUS=1 is kvm-unit-tests' success" tell=1
run 1 "3 its failure" tell=3
run 127 "255 its abort" tell=255
run 255 "a larger one is 255" tell=513
run 0 "0 is one, too" tell=0
run 2 "an even number is itself" tell=2
run 123 "it counts with a power-off" tell=1,reset
run 0 "or a reset that is meant" tell=1,reset --reset ok
run 1 "which does not make it one" tell=3,reset --reset ok
run 42 "a debug exit says more" tell=42,write=42,port=244

run 123 "a reset" reset
like err "reset; --reset ok, if" "and what to do about it"
run 0 "a reset that is meant" reset --reset ok
run 123 "or not" reset --reset fail
refused 'ok or fail' --reset yes

# ---- What it finds ----

run 0 "CMOS: 64 MiB" cmos,mib=64 -m 64
day=$(date -u +%Y-%m-%d)
case "$(cat out)" in
"$day "[0-2][0-9]:[0-5][0-9]:[0-5][0-9] | "$(date -u +%Y-%m-%d) "*) ;;
*) false ;;
esac
report $? "and today's date: $(cat out)"
told=$(date -u -d "$(cat out)" +%s)
check "and the time, to a minute" test $(($(date +%s) - told)) -le 60 -a $((told - $(date +%s))) -le 1
run 0 "CMOS: 2 MiB" cmos,mib=2 -m 2
run 0 "CMOS: 512 MiB" cmos,mib=512
run 0 "CMOS: RAM above 4 GiB" cmos,mib=5120 -m 5G
run 1 "(it can fail)" cmos,mib=513
run 0 "an NMI has none of a PC's reasons" nmi
run 0 "fw_cfg" fw-cfg,mib=512,cpus=1
run 0 "of three CPUs" fw-cfg,mib=256,cpus=3 -m 256 -c 3
run 2 "(it can fail)" fw-cfg,mib=512,cpus=2 -c 2 -m 256
run 0 "CPUID tells the frequencies, and each of 3 CPUs its own APIC ID" cpuid,cpus=3 -c 3
run 0 "kvmclock goes, as fast as CPUID says" kvmclock
run 0 "nothing lies at 0x1000 to 0x2fff, and the first GiB is in large pages" low
for mib in 2 4 6 66; do run 0 "$mib MiB" low,fw-cfg,mib=$mib,cpus=1 -m $mib; done

run 0 "a word for a device" devices=1 --rng
run 0 "no devices, no words" devices=0
run 0 "three, as words and by ACPI" devices=3 --rng --balloon --console virtio --discovery both
run 0 "words before a --" "devices=1 -- app --x" --rng
run 0 "by ACPI alone" devices=0 --rng --discovery acpi
run 6 "(it can fail)" devices=2 --rng
refused 'acpi, cmdline or both' --discovery none
run 0 "PCI by ports" pci=2 --rng --balloon --virtio-transport pci
run 7 "(it can fail)" pci=3 --rng --balloon --virtio-transport pci
run 123 "where the reset port still is" cf9 --rng --virtio-transport pci
run 7 "no PCI, no ports" pci=0
timeout 20 "$lkvm" run --payload exit --rng --virtio-transport pci >out 2>err </dev/null
is $? 0 "nor for others"
truncate -s 1M disk
run 0 "nine disks" devices=9 -d disk,ro $(for i in 1 2 3 4 5 6 7 8; do cp disk disk$i; echo -d disk$i,ro; done)
done_testing
