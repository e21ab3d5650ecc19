# SPDX-License-Identifier: MIT
# QEMU's microvm, the best of its machines for this (rtc=off makes Linux poll a clock that is not there).
MICROVM="qemu-system-x86_64 -M microvm,pit=off,pic=off,rtc=on,acpi=on -accel kvm -cpu host -m 256 -smp 1 -nodefaults \
	-no-user-config -display none -serial stdio -no-reboot"
# And of its machines with PCI the usual one.
Q35="qemu-system-x86_64 -M q35 -accel kvm -cpu host -m 256 -smp 1 -nodefaults -no-user-config -display none \
	-serial stdio -no-reboot"
