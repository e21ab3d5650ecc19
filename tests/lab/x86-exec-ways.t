#!/bin/sh
# SPDX-License-Identifier: MIT
# kvmtool's ways to run things, in a real kernel: -d DIR, setup, sandbox, --sandbox SCRIPT; several -i; modules of a built tree.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_run exec-ways.l1
