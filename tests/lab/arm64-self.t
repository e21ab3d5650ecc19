#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The arm64 lab itself: L1 boots with either GIC, has a KVM that can be traced, carries status, output and files,
# loads modules, and runs what the cross compiler links against glibc and its sanitizers.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs arm64
kernels32=$(dirname "$("$lab_dir/fetch" arm64)")/armhf
. "$here/self.sh"

cat >"$tmp/script" <<'END'
# The kind of vGIC that KVM gives its guests: on a GICv3 without GICv2 compatibility a vGICv3 only.
echo "cpus $(nproc)"
dmesg | grep -q 'kvm.*GIC system register CPU interface enabled' && echo "vgic 3" || echo "vgic 2"
for event in kvm_exit kvm_userspace_exit; do
	cd /sys/kernel/tracing/events/kvm/$event
	echo hist:keys=common_type >trigger && grep Hits: hist
	echo '!hist:keys=common_type' >trigger
done
modprobe overlay && grep -c overlay /proc/filesystems
cat "$LAB_KERNELS32/version-generic" 2>/dev/null || echo "no armhf"
END
after="cpus 2
vgic %s
    Hits: 0
    Hits: 0
1
$(cat "$kernels32/version-generic" 2>/dev/null || echo "no armhf")
"
lab_carries "$(cat "$tmp/script")" "$(printf "$after" 3)"

lab 0 "L1 with a GICv2" --timeout 120 --gic 2 -- sh -c "$(cat "$tmp/script")"
is "$(cat "$tmp/stdout")" "$(printf "$after" 2)" "and KVM has a vGICv2"

if command -v aarch64-linux-gnu-gcc >/dev/null; then
	echo 'int main(int c, char **v) { char a[1]; char *volatile p = a; return p[c] ? 3 : 4; }' >"$tmp/bug.c"
	check "a bug is compiled" aarch64-linux-gnu-gcc -g -fsanitize=address,undefined -o "$tmp/bug" "$tmp/bug.c"
	lab 1 "the address sanitizer ends it in L1" --timeout 120 --cpus 1 -- "/host$tmp/bug"
	like "$tmp/stdout" "stack-buffer-overflow" "and says why"
else
	skip "no aarch64-linux-gnu-gcc for the sanitizers"
fi
lab_ends 4
done_testing
