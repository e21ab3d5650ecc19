#!/bin/sh
# SPDX-License-Identifier: MIT
# The same as x86-vsock.t by AF_VSOCK on the host, too: its kernel, here L1's, moves the packets.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_sockets
VHOST=1
export VHOST
lab_run x86-vsock.l1
