#!/bin/sh
# SPDX-License-Identifier: MIT
# Linux at work, with disks and a network, moved by lkvm's own commands: pause, snapshot, restore, migrate.
# The generic kernel: the cloud one knows no VMGenID. LONG=1: twenty times, on each machine.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
PATH=$PATH:/usr/sbin
for tool in ip perl; do
	command -v $tool >/dev/null || skip_all "$tool is not installed"
done
lab_tools
guest=$top/${KINDLING_BUILD:-build}/lab/guest
lab_initrd moves generic virtio_pci,virtio_mmio,virtio_blk,virtio_net,virtio_console,virtio_balloon,9pnet_virtio,9p,ext4 \
	"$guest/clock:/bin/clock" "$guest/memory:/bin/memory" "$guest/session:/bin/session"
LAB_TIMEOUT=${LAB_TIMEOUT:-${LONG:+3600}}
LAB_TIMEOUT=${LAB_TIMEOUT:-600}
LAB_SILENCE=${LAB_SILENCE:-${LONG:+0}}
LAB_SILENCE=${LAB_SILENCE:-200}
lab_run x86-migrate.l1
