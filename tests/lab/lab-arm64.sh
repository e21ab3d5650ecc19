# SPDX-License-Identifier: MIT
#
# The arm64 lab's own part: QEMU's EL2; the host's programs don't run there, so L1's root is a tmpfs with
# the initramfs's busybox.
qemu_binary=qemu-system-aarch64 package=qemu-system-arm
modules=virtio_mmio,virtio_console,9pnet_virtio,9p
cpu=cortex-a72 cpus=2 gic=3 more=

own_option()
{
	words=2
	case $1 in
	--gic)          gic=$2 ;;
	--cpu)          cpu=$2 ;;
	--machine)      more=,$2 ;;
	*)              false ;;
	esac
}

machine()
{
	machine=virt,virtualization=on,gic-version=$gic$more bus=device
	kernel=$kernels/vmlinuz-generic
	parameters="console=ttyAMA0"
}

# What Debian's cross compiler links against is found through usr/lib.
l1_root()
{
	cat <<-'END'
		share root /host ro,cache=loose
		mount -t tmpfs tmpfs /mnt
		cd /mnt
		mkdir bin dev etc host lib proc root run sys tmp usr
		ln -s bin sbin
		ln -s ../bin usr/bin
		ln -s aarch64-linux-gnu/lib usr/lib
		ln -s ../usr/lib/ld-linux-aarch64.so.1 lib/
		ln -s lib lib64
		echo root:x:0:0:root:/root:/bin/sh >etc/passwd
		mount --bind /bin bin
		mount --bind /host host
		cd /
	END
}

# Whatever L1 does not have of its own.
binds()
{
	grep -vxE '/((usr/)?(bin|lib)|dev|etc|host|lib64|proc|run|sbin|sys|tmp|usr)?'
	for dir in "$(kernels32)" /usr/aarch64-linux-gnu; do [ ! -d "$dir" ] || echo "$dir"; done
}

# Kernels for 32-bit guests, when somebody has fetched them.
kernels32() { [ ! -e "${kernels%/*}/armhf/layout" ] || echo "${kernels%/*}/armhf"; }

# busybox's modprobe looks nowhere else. LeakSanitizer takes eight seconds a process there.
own_command()
{
	cat <<-END
		export PATH=/bin:/sbin:/usr/bin SHELL=/bin/sh LAB_KERNELS32=$(quote "$(kernels32)")
		export ASAN_OPTIONS="detect_leaks=0:\${ASAN_OPTIONS-}"
		ln -s $(quote "$kernels/lib/modules") /lib/
	END
}
