# SPDX-License-Identifier: MIT
#
# For guests that move, or are saved, to be sourced by bash behind tests/lib.sh: they have names in a folder of their
# own, $tmp, in which we are. $lkvm runs $image, the payload $payload: `migrate`, which counts, a line at a time, if
# nobody has said another.
lkvm=$(cd "$(dirname "${LKVM:-build/lkvm}")" && pwd)/$(basename "${LKVM:-build/lkvm}")
build=$(cd "${KINDLING_BUILD:-build}" && pwd)
image=$build/payload/${payload:-migrate}.elf
[ -e "$image" ] || skip_all "no payload for this on this architecture yet"
tmp=$(mktemp -d)
export XDG_RUNTIME_DIR=$tmp
trap 'kill $(jobs -p) 2>/dev/null; "$lkvm" stop --force -a >/dev/null 2>&1; wait 2>/dev/null; umount "$tmp/small" 2>/dev/null; rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

# wait_for COMMAND...: succeeds within 20 s, or $patience.
wait_for() { for _ in $(seq $((${patience:-20} * 20))); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; return 1; }

# runs NAME: it prints more than it did.
lines() { grep -c . "$1.out"; }
more() { [ "$(lines "$1")" -gt "$before" ]; }
runs() { before=$(lines "$1"); wait_for more "$1"; }

# qmp NAME COMMAND...: the answers, a line each.
qmp()
{
	local of=$1
	shift
	{ printf '%s\n' '{"execute": "qmp_capabilities"}' "$@"; sleep 1; } | socat - "UNIX-CONNECT:$tmp/lkvm/$of/control" 2>/dev/null
}
