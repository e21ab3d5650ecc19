#!/bin/sh
# SPDX-License-Identifier: MIT
# liblkvm as it is handed out: the example runs, nothing but the API can be seen, and others can build with it.
. tests/lib.sh
build=${KINDLING_BUILD:-build}
lkvm=${LKVM:-build/lkvm}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

"$build/two-vms" >"$tmp/out" 2>"$tmp/err"
is $? 0 "the example runs two VMs at once"
like "$tmp/out" "^Hello from inside the guest" "the first on its console"
like "$tmp/err" "Kernel panic" "the second on another"
like "$tmp/out" "^hello: 0, the guest powered off$" "the first's verdict"
like "$tmp/out" "^end: 123, the guest kernel panicked$" "the second's"
check "the example has 40 lines at most" test "$(wc -l <docs/two-vms.c)" -le 40
is "$(grep '#include' lib/lkvm.h | tr '\n' ' ')" "#include <stddef.h> #include <stdint.h> " "the header needs no other of ours"

nm -g --defined-only "$build/liblkvm.a" | awk 'NF == 3 { print $3 }' | sort >"$tmp/symbols"
grep -o 'lkvm_[a-z_]*(' lib/lkvm.h | tr -d '(' | grep -v '_fn$' | sort -u | grep -vx 'lkvm_set_\|lkvm_add_\|lkvm_on_' >"$tmp/declared"
check "what can be seen of the library is what the header declares" cmp "$tmp/symbols" "$tmp/declared"
if command -v g++ >/dev/null; then
	check "the header is C++, too" sh -c "echo '#include <lkvm.h>' | g++ -Wall -Wextra -Werror -I'$build' -x c++ -fsyntax-only -"
else
	skip "no g++"
fi

# As somebody else builds: installed elsewhere, by pkg-config, with names of his own that ours have, too.
case $build in
*/asan | */tsan) built_by_others=no ;;
*) built_by_others=yes ;;
esac
if [ $built_by_others = yes ] && command -v pkg-config >/dev/null && command -v cc >/dev/null; then
	mkdir -p "$tmp/lib" "$tmp/include"
	cp "$build/liblkvm.a" "$tmp/lib" && cp "$build/lkvm.h" "$tmp/include"
	flags=$(PKG_CONFIG_PATH=$build pkg-config --define-variable=prefix="$tmp" --cflags --libs lkvm)
	cp docs/two-vms.c "$tmp/his.c"
	echo 'void vm_run(void) {} void log_at(void) {} int mem_at, device_types, machine_create, payloads;' >>"$tmp/his.c"
	check "a program of somebody else's is built by pkg-config" sh -c "cd '$tmp' && cc his.c -o his $flags"
	check "and runs" "$tmp/his"
else
	skip "no pkg-config or compiler, or a sanitizer's build"
fi

# As processes, one after the other: no file is left where it may leave some.
mkdir "$tmp/empty"
here=$PWD n=100
[ -z "${LONG-}" ] || n=10000
case $lkvm in /*) ;; *) lkvm=$here/$lkvm ;; esac
said=$(cd "$tmp/empty" && export TMPDIR="$PWD" HOME="$PWD" && for i in $(seq $n); do "$lkvm" run --payload hello </dev/null; done | grep -c Hello)
is "$said" "$n" "$n processes one after the other"
is "$(ls -A "$tmp/empty")" "" "leave no file"
done_testing
