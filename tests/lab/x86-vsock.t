#!/bin/sh
# SPDX-License-Identifier: MIT
# Sockets between guest and host, by Linux's driver and socat, without root.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_sockets
lab_run x86-vsock.l1
