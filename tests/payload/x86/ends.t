#!/bin/sh
# SPDX-License-Identifier: MIT
# Every way to end a VM, by its status and by what is printed.
. tests/lib.sh
lkvm=${LKVM:-build/lkvm}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

run()	# WANTED DESCRIPTION OPTION...
{
	wanted=$1 what=$2
	shift 2
	timeout 60 "$lkvm" run "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	is $? "$wanted" "$what"
}

run 0 "hello powers off" --payload hello
is "$(cat "$tmp/out")" "$(printf 'Hello from inside the guest.\r')" "and says hello, byte for byte"
is "$(cat "$tmp/err")" "" "and lkvm says nothing"
run 0 "ACPI sleep" --payload end -p s5
run 0 "PM1a sleep" --payload end -p pm1a
run 123 "ACPI reset" --payload end -p acpi-reset
run 123 "keyboard controller" --payload end -p keyboard
run 123 "port 0xcf9" --payload end -p cf9
run 123 "port 0xcf9, where KVM drops writes to 0xcf8" --nodefaults -k "${KINDLING_BUILD:-build}/payload/end.elf" -p cf9
run 123 "triple fault" --payload end -p triple
run 0 "triple fault that is ok" --payload end -p triple --triple-fault ok
run 0 "triple fault after reboot:" --payload end -p announced
run 123 "panic, then reset" --payload end -p panic
run 123 "panic, then power-off" --payload end -p panic-poweroff
run 123 "panic is no triple fault" --payload end -p panic --triple-fault ok
run 123 "a vCPU that KVM can't run" --payload end -p no-code
run 42 "the image's own status" --payload end -p 42
run 124 "a guest that spins meets the timeout" --payload end -p spin --timeout 1
run 124 "a guest that hangs meets the timeout" --payload end -p hang --timeout 1
run 0 "timer interrupts" --payload timer
run 0 "two CPUs" --payload smp -c 2
run 0 "the full irqchip" --payload timer --irqchip full
run 0 "no irqchip" --payload exit --irqchip none
run 0 "registers that do not exist" --payload badreg -c 2 --rng
run 0 "8 GiB" --payload exit -m 8G

run 0 "registers, with interrupts that lead nowhere" --payload badreg --irqchip none

# A timeout meets a guest that is in and out of KVM all the time.
for i in 1 2 3 4 5 6 7 8; do
	{ timeout 30 "$lkvm" run --payload end -p ports --timeout 1 >/dev/null 2>&1 </dev/null; echo $? >"$tmp/ports$i"; } &
done
wait
is "$(cat "$tmp"/ports* | sort | uniq -c | tr -s ' ')" " 8 124" "eight timeouts in eight"

# Signals: the status says which, and nothing is left.
for sig in 1 2 15; do
	timeout --preserve-status -k 10 -s "$sig" 0.5 "$lkvm" run --payload end -p spin >"$tmp/out" 2>&1 </dev/null
	is $? $((128 + sig)) "signal $sig gives 128 + its number"
done
done_testing
