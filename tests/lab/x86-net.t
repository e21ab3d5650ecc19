#!/bin/sh
# SPDX-License-Identifier: MIT
# Linux's own driver on our network device: through a tap of L1's, and through passt, without privileges.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
for tool in passt iperf3 ip perl; do
	command -v $tool >/dev/null || skip_all "$tool is not installed"
done

# iperf3 and perl with all their libraries, at their own paths: L1's root is this host's.
set --
for tool in iperf3 perl; do
	set -- "$@" --add "$(command -v $tool):/bin/$tool"
	for library in $(ldd "$(command -v $tool)" | grep -o '/[^ ]*'); do
		set -- "$@" --add "$library:$library"
	done
done
"$here/mkinitrd" "$LAB_OUT/net.cpio.gz" cloud "$here/guest.sh" --modules virtio_pci,virtio_mmio,virtio_net "$@" ||
	bail "cannot make the initrd net"
lab_run x86-net.l1
