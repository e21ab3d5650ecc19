# SPDX-License-Identifier: MIT
#
# The x86 lab's own part: QEMU's SVM; the host's file system, read-only, is L1's root.
#
# QEMU 7.2 loses interrupts while a guest of L1's runs: VMRUN and each exit clear a bit of the word where other
# threads note that one is pending, and take no lock for it. It waits in the local APIC until the next one comes,
# and if it was that of the timer, none ever may: L1 idles for good. So there is a heartbeat, a byte of entropy every
# 100 ms. One CPU by default: it happens more often with two.
qemu_binary=qemu-system-x86_64 package=qemu-system-x86
modules=kvm-amd,virtio_pci,virtio_mmio,virtio_console,9pnet_virtio,9p,virtio_rng
cpu=max cpus=1 microvm= heart=

own_option()
{
	[ "$1" = --microvm ] || return
	microvm=1 words=1
}

# A microvm has nothing to measure the TSC against, and Linux hangs whenever the PIT alone is too
# imprecise for it; QEMU's software CPU shows the host's own TSC, so its frequency is no secret.
tsc_khz() { [ -z "$microvm" ] || awk '/MHz/ { printf "tsc_early_khz=%d", $4 * 1000; exit }' /proc/cpuinfo; }

# The unpacked kernel starts by its PVH note: unpacking an XZ image takes the software CPU 2.5 s.
machine()
{
	if [ -n "$microvm" ]; then
		machine=microvm,rtc=on bus=device
	else
		machine=q35 bus=pci
	fi
	heart="-device virtio-rng-$bus,max-bytes=1,period=100"
	kernel=$kernels/vmlinux-generic
	parameters="console=ttyS0 $(tsc_khz)"
}

# A KVM that is loaded before Linux has measured the TSC well, a second or so after its start, keeps for all its
# guests the frequency that it first believed in, and says "user requested TSC rate below hardware speed" to
# each: their timers then come late or never.
l1_root()
{
	cat <<-'END'
		for i in $(seq 100); do
			grep -q '^tsc-early' /sys/devices/system/clocksource/*/current_clocksource && usleep 50000
		done
		dmesg | grep 'Nested Virtualization\|Refined TSC' | tail -n 1 | grep -q Refined &&
			rmmod kvm_amd && insmod /lib/modules/kvm-amd.ko
		cat /dev/hwrng >/dev/null &
		share root /mnt ro,cache=loose
		mount --bind /mnt /host
	END
}

# What L1's tmpfs on /tmp and /run would hide.
binds() { grep -E '^/(tmp|run)/.'; }

own_command() { :; }
