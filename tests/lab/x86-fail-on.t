#!/bin/sh
# SPDX-License-Identifier: MIT
# Each class of --fail-on, by a real kernel that a module of ours brings into trouble; and a command that says the
# same. What the kernel was not built to find is listed. LONG=1: each class in a guest of its own.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
lab_module provoke
long=${LONG:+400} # where a guest may take 300 s
LAB_SILENCE=${LAB_SILENCE:-${long:-250}} # all of them in one guest take a while
LAB_TIMEOUT=${LAB_TIMEOUT:-${LONG:+1800}}
lab_run x86-fail-on.l1
