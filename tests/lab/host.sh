# SPDX-License-Identifier: MIT
# For the labs' outer scripts: what must be there, the guests' initrds, and the run itself.
lab_dir=${lab_dir:-$(cd "$(dirname "$0")" && pwd -P)} # set by tests that live elsewhere
top=$(cd "$lab_dir/../.." && pwd -P)
LAB_OUT=$top/${KINDLING_BUILD:-build}/lab/out/${0##*/}
export LAB_OUT
mkdir -p "$LAB_OUT"

# lab_needs x86|arm64 [armhf]: the lab, and the kernels of its guests. A download that failed is no test that
# failed: it ends the run, and says what it was.
lab_needs()
{
	lab_arch=$1
	case $1 in
	x86)    command -v qemu-system-x86_64 >/dev/null || skip_all "qemu-system-x86 is not installed" ;;
	arm64)  command -v qemu-system-aarch64 >/dev/null || skip_all "qemu-system-arm is not installed" ;;
	esac
	for kernels; do
		"$lab_dir/fetch" "$kernels" >/dev/null
		case $? in
		0) ;;
		3) bail "the download of Debian's kernels failed, and the cache is empty" ;;
		*) bail "tests/lab/fetch failed" ;;
		esac
	done
}

# lab_initrd [--arch ARCH] NAME FLAVOUR [MODULES [FILE:PATH...]]: ARCH is the lab's unless given; FILEs of this
# machine are in the guest at PATHs.
lab_initrd()
{
	guest_arch=$lab_arch
	[ "$1" != --arch ] || { guest_arch=$2; shift 2; }
	initrd_name=$1 flavour=$2 modules=${3-}
	shift $(($# < 3 ? $# : 3))
	for file; do
		shift
		set -- "$@" --add "$file"
	done
	"$lab_dir/mkinitrd" --arch "$guest_arch" "$LAB_OUT/$initrd_name.cpio.gz" "$flavour" "$lab_dir/guest.sh" \
		${modules:+--modules "$modules"} "$@" || bail "cannot make the initrd $initrd_name"
}

# lab_root FILE: a disk with a root file system, whose init says so and powers off.
lab_root()
{
	tree=$LAB_OUT/root
	rm -rf "$tree"
	mkdir -p "$tree/bin" "$tree/sbin" "$tree/proc" "$tree/sys" "$tree/dev"
	cp "$("$lab_dir/fetch" "$lab_arch")/busybox" "$tree/bin/" || bail "no busybox"
	cat >"$tree/sbin/init" <<-'END'
		#!/bin/busybox sh
		echo "guest: the root is $(/bin/busybox awk '$2 == "/" && $1 ~ /^\/dev/ { print $1 }' /proc/mounts)"
		/bin/busybox poweroff -f
	END
	chmod 755 "$tree/sbin/init"
	truncate -s 16M "$LAB_OUT/$1"
	PATH=$PATH:/sbin mke2fs -q -F -t ext4 -d "$tree" "$LAB_OUT/$1" || bail "cannot make the disk $1"
}

# lab_tools [ARCH]: $LAB_OUT/tools.img is a disk with fio and more, of the lab's architecture; toolsARCH.img of that one.
lab_tools()
{
	tools=$("$lab_dir/tools" "${1:-$lab_arch}")
	case $? in
	0) ;;
	3) bail "the download of Debian's tools failed, and the cache is empty" ;;
	*) bail "tests/lab/tools failed" ;;
	esac
	ln -f "$tools/disk.img" "$LAB_OUT/tools${1-}.img" 2>/dev/null || cp "$tools/disk.img" "$LAB_OUT/tools${1-}.img" ||
		bail "no room for the tools' disk"
}

# lab_module NAME: $LAB_OUT/NAME.ko is tests/lab/NAME, built for the lab's generic kernel.
lab_module()
{
	for tool in gcc make; do command -v $tool >/dev/null || skip_all "$tool is not installed"; done
	headers=$("$lab_dir/headers" "$lab_arch")
	case $? in
	0) ;;
	3) skip_all "Debian's archive has no headers of $(cat "$("$lab_dir/fetch" "$lab_arch")/version-generic") (any more)" ;;
	*) bail "tests/lab/headers failed" ;;
	esac
	rm -rf "$LAB_OUT/$1" "$LAB_OUT/$1.ko"
	cp -r "$lab_dir/$1" "$LAB_OUT/$1" &&
		env -u MAKEFLAGS -u MAKELEVEL make -C "$headers/build" M="$LAB_OUT/$1" CC=gcc modules >"$LAB_OUT/$1.log" 2>&1 &&
		strip -g -o "$LAB_OUT/$1.ko" "$LAB_OUT/$1/$1.ko" ||
		bail "cannot build the module $1: $(grep -i error "$LAB_OUT/$1.log" | head -n 3)"
}

# lab_network [TOOL...]: what labs with networks need, TOOLs too; and their guests' initrd, net.
lab_network()
{
	PATH=$PATH:/usr/sbin
	for tool in iperf3 ip perl ethtool "$@"; do
		command -v "$tool" >/dev/null || skip_all "$tool is not installed"
	done
	# With all their libraries, at their own paths: L1's root is this host's.
	set --
	for tool in iperf3 perl ethtool; do
		set -- "$@" --add "$(command -v $tool):/bin/$tool"
		for library in $(ldd "$(command -v $tool)" | grep -o '/[^ ]*'); do
			set -- "$@" --add "$library:$library"
		done
	done
	"$lab_dir/mkinitrd" "$LAB_OUT/net.cpio.gz" cloud "$lab_dir/guest.sh" \
		--modules virtio_pci,virtio_mmio,virtio_net "$@" || bail "cannot make the initrd net"
}

# lab_sockets: what labs with sockets need; and their guests' initrd, vsock, with this machine's socat.
lab_sockets()
{
	socat=$(command -v socat) || skip_all "socat is not installed"
	libraries=$(ldd "$socat" | sed -n 's|^[^/]*\(/[^ ]*\) (.*|\1:\1|p')
	lab_initrd vsock cloud virtio_pci,virtio_mmio,vmw_vsock_virtio_transport "$socat:/bin/socat" $libraries
}

# lab_run [x86|arm64 [LAB_OPTION...]] SCRIPT: the lab is that of lab_needs unless given.
#
# The inner script prints the TAP, which is shown when it is whole. A lab that fails (not its tests:
# QEMU's SVM hangs L1 now and then) is run once more, and that is said.
lab_run()
{
	cd "$top" || exit 1
	[ $# -gt 1 ] || set -- "$lab_arch" "$1"
	silence=${LONG:+0}
	silence=${LAB_SILENCE:-${silence:-120}}
	# sh and so on go before the last word.
	left=$#
	for word; do
		shift
		left=$((left - 1))
		if [ "$left" -gt 0 ]; then
			set -- "$@" "$word"
		else
			set -- "$@" --timeout "${LAB_TIMEOUT:-300}" --silence "$silence" -- sh "tests/lab/$word"
		fi
	done
	for try in 1 2; do
		"$lab_dir/lab" "$@" >"$LAB_OUT/tap"
		status=$?
		[ "$status" -ge 124 ] || break
		echo "# the lab itself failed (status $status), try $try; it had come to:"
		tail -n 3 "$LAB_OUT/tap" | sed 's/^/#   /'
	done
	[ "$status" -lt 124 ] || bail "the lab itself failed twice: status $status"
	cat "$LAB_OUT/tap"
	exit "$status"
}
