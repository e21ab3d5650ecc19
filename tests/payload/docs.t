#!/bin/sh
# SPDX-License-Identifier: MIT
# The man page and the completion say what the binary says, and are well-formed.
. tests/lib.sh
lkvm=${LKVM:-build/lkvm}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

"$lkvm" help --mdoc >"$tmp/mdoc"
check "docs/lkvm.1 is what the tables say (else: make docs)" cmp "$tmp/mdoc" docs/lkvm.1
"$lkvm" help --bash >"$tmp/bash"
check "docs/lkvm.bash, too" cmp "$tmp/bash" docs/lkvm.bash
check "bash reads the completion" bash -n docs/lkvm.bash
is "$(grep -c 'compgen -W.*FILE' docs/lkvm.bash)" 0 "and a file is completed as a file"
if command -v mandoc >/dev/null; then
	is "$(mandoc -Tlint -Wwarning docs/lkvm.1)" "" "mandoc has no complaint"
else
	skip "mandoc is not installed"
fi
for option in kernel initrd disk payload timeout; do
	check "--help has --$option" sh -c "$lkvm run --help | grep -q -- --$option"
done
done_testing
