#!/bin/sh
# SPDX-License-Identifier: MIT
# A person at Linux's console, played by tmux inside L1: a shell, a resize, a paste of 10,000 characters.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

command -v tmux >/dev/null || skip_all "tmux is not installed"
lab_needs x86
lab_initrd shell cloud
lab_run x86-console.l1
