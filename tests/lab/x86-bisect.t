#!/bin/sh
# SPDX-License-Identifier: MIT
# git bisect run lkvm run --bisect -k build/bzImage -- test: which of 16 commits broke the kernel? Some do not build,
# some panic, one has a test that ends with 200.
here=$(dirname "$0")
. "$here/../lib.sh"
. "$here/host.sh"

lab_needs x86
for tool in git perl; do
	command -v $tool >/dev/null || skip_all "$tool is not installed"
done
LAB_SILENCE=${LAB_SILENCE:-280} LAB_TIMEOUT=${LAB_TIMEOUT:-600}
lab_run x86-bisect.l1
