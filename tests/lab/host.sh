# SPDX-License-Identifier: MIT
# For the labs' outer scripts: what must be there, the guests' initrds, and the run itself.
lab_dir=$(cd "$(dirname "$0")" && pwd -P)
top=$(cd "$lab_dir/../.." && pwd -P)
LAB_OUT=$top/${KINDLING_BUILD:-build}/lab/out/${0##*/}
export LAB_OUT
mkdir -p "$LAB_OUT"

# A download that failed is no test that failed: it ends the run, and says what it was.
lab_needs()
{
	command -v qemu-system-x86_64 >/dev/null || skip_all "qemu-system-x86 is not installed"
	"$lab_dir/fetch" "$1" >/dev/null
	case $? in
	0) ;;
	3) bail "the download of Debian's kernels failed, and the cache is empty" ;;
	*) bail "tests/lab/fetch failed" ;;
	esac
}

# lab_initrd NAME cloud|generic [MODULES]
lab_initrd()
{
	"$lab_dir/mkinitrd" "$LAB_OUT/$1.cpio.gz" "$2" "$lab_dir/guest.sh" ${3:+--modules "$3"} ||
		bail "cannot make the initrd $1"
}

# The inner script prints the TAP, which is shown when it is whole. A lab that fails (not its tests:
# QEMU's SVM hangs L1 now and then) is run once more, and that is said.
lab_run()
{
	cd "$top" || exit 1
	for try in 1 2; do
		"$lab_dir/lab" x86 --timeout "${LAB_TIMEOUT:-170}" -- sh "tests/lab/$1" >"$LAB_OUT/tap"
		status=$?
		[ "$status" -ge 124 ] || break
		echo "# the lab itself failed (status $status), try $try; it had come to:"
		tail -n 3 "$LAB_OUT/tap" | sed 's/^/#   /'
	done
	[ "$status" -lt 124 ] || bail "the lab itself failed twice: status $status"
	cat "$LAB_OUT/tap"
	exit "$status"
}
