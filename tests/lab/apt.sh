# SPDX-License-Identifier: MIT
#
# To be sourced: fills a directory from Debian packages of any architecture, which are kept in a cache. Needs
# no root, no `apt-get update` of the host, no foreign architecture in its dpkg.
#
# The caller sets
#   deb         Debian's name of the architecture
#   name        of the lock and of what the cache holds: one for each set of packages
#   dir         what is filled, a directory of its own; dir/layout then holds $layout
#   layout      a number, raised when what the directory holds changes
#   what        for messages: "Debian's amd64 kernels"
# and defines
#   packages    the names to download, one a line; fails when one is not known
#   find_debs   succeeds when the cache holds all that is needed
#   build       puts it in $new
# then calls `fill`, or `fill --refresh` to download anew. It prints dir, at once and without network when that
# is filled. Status: 0 filled, 3 the download failed and the cache holds nothing to use instead, 1 anything else.
export LC_ALL=C
tries=4
cache=${KINDLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kindling}
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac

say() { echo "${0##*/}: $*" >&2; }
die() { say "$1"; exit "${2:-1}"; }

# need_tools COMMAND:PACKAGE...
need_tools()
{
	missing=
	for pair; do
		command -v "${pair%:*}" >/dev/null || missing="$missing ${pair#*:}"
	done
	[ -z "$missing" ] && return
	say "installing$missing"
	{ apt-get update && apt-get install -y --no-install-recommends $missing; } >/dev/null 2>&1 ||
		die "install these packages first:$missing"
}

# Lists and cache of our own. What the host wants run after an update (docker-clean and the like) is not for
# these lists.
apt_setup()
{
	mkdir -p "$tmp/lists/partial" "$tmp/apt/archives/partial" "$tmp/debs" || die "cannot write to $cache"
	cat >"$tmp/apt.conf" <<-END
		#clear APT::Architectures;
		#clear APT::Update;
		APT::Architecture "$deb";
		APT::Architectures { "$deb"; };
		APT::Sandbox::User "root";
		Dir::State::Lists "$tmp/lists";
		Dir::State::status "/dev/null";
		Dir::Cache "$tmp/apt";
		Acquire::Retries "1";
		Acquire::http::Timeout "20";
		Acquire::https::Timeout "20";
		Acquire::Languages "none";
	END
}

# One attempt. The update may fail for one suite and still leave what is needed: only the result counts.
download_once()
{
	apt-get -q -c "$tmp/apt.conf" update
	wanted=$(packages) || return
	(cd "$tmp/debs" && apt-get -q -c "$tmp/apt.conf" download $wanted)
}

# What apt complained of first.
reason() { grep '^[EW]:' "$tmp/log" | head -n 1; }

download()
{
	n=1
	until download_once >"$tmp/log" 2>&1; do
		[ "$n" -lt "$tries" ] || return 1
		say "download failed (try $n of $tries): $(reason)"
		sleep $((n * 2)) 9>&-
		n=$((n + 1))
	done
	mkdir -p "$debs" && rm -f "$debs"/*.deb && mv "$tmp/debs"/*.deb "$debs"
}

# held PATTERN: the newest package of that form in the cache; fails when there is none.
held()
{
	found=$(find "$debs" -name "$1" 2>/dev/null | sort -V | tail -n 1)
	[ -n "$found" ] && echo "$found"
}

filled() { [ "$(cat "$dir/layout" 2>/dev/null)" = "$layout" ]; }

get_debs()
{
	[ -n "$refresh" ] || ! find_debs || return 0
	apt_setup
	if ! download; then
		say "$(reason)"
		if filled; then say "the download failed: keeping what is there"; echo "$dir"; exit 0; fi
		find_debs || die "the download of $what failed, nothing is cached in $cache" 3
		say "the download failed: using the packages that the cache holds"
	fi
	find_debs || die "packages downloaded, yet not found in $debs"
}

fill()
{
	refresh=${1-}
	if [ -z "$refresh" ] && filled; then echo "$dir"; exit 0; fi
	mkdir -p "$cache" || die "cannot write to $cache"
	exec 9>"$cache/$name.lock"
	flock 9
	if [ -z "$refresh" ] && filled; then echo "$dir"; exit 0; fi    # another run did it meanwhile

	# Left by runs that were killed; the lock says that none is alive.
	debs=$cache/debs/$name new=$dir.new old=$dir.old
	rm -rf "$cache/$name".tmp.* "$new" "$old"
	tmp=$(mktemp -d "$cache/$name.tmp.XXXXXX") || exit 1
	trap 'rm -rf "$tmp" "$new" "$old"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP

	get_debs
	mkdir -p "$new" || die "cannot write to $new"
	build
	echo "$layout" >"$new/layout"
	[ ! -e "$dir" ] || mv "$dir" "$old"
	mv "$new" "$dir"
	echo "$dir"
}
