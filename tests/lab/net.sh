# SPDX-License-Identifier: MIT
# For the inner scripts of labs with networks: servers here for the guest's words that begin with net_.
initrd=net
busybox=$LAB_KERNELS/busybox

mkfifo "$tmp/quiet" # an end of input that never comes: see guest.sh
modprobe -d "$LAB_KERNELS" tun || bail "no module tun"
head -c 1048576 /dev/urandom >"$tmp/data"
data_sum=$(sha256sum <"$tmp/data")

# wait_for FILE REGEX: a line of it, while the guest runs.
wait_for()
{
	while kill -0 $guest 2>/dev/null; do
		grep -q -- "$2" "$1" 2>/dev/null && return 0
		sleep 0.1
	done
	return 1
}

# Ports 5001 (takes) and 5002 (gives), for one connection each; 5004 sends datagrams back; and iperf3's.
serve()
{
	served_sum=$data_sum
	$busybox nc -l -p 5001 <>"$tmp/quiet" >"$tmp/taken" &
	servers=$!
	$busybox nc -l -p 5002 <"$tmp/data" >/dev/null &
	servers="$servers $!"
	perl -e 'socket(S, 2, 2, 17) && bind(S, pack("S n x12", 2, 5004)) or die;
		while (defined(my $from = recv(S, my $it, 65536, 0))) { send(S, $it, 0, $from) }' &
	servers="$servers $!"
	iperf3 -s >/dev/null 2>&1 &
	servers="$servers $!"
}

# guest_word NAME WORD: what it said behind that.
guest_word() { tr -d '\r' <"$tmp/$1.out" | sed -n "s/.*guest: $2 //p"; }

# carried NAME LONGEST: between the servers and it, as much as there must.
carried()
{
	kill $servers 2>/dev/null
	is "$(wc -c <"$tmp/taken")" 1048576 "$1: 1 MiB came from the guest"
	is "$(sha256sum <"$tmp/taken")" "$(guest_word "$1" sent)" "$1: and is the same here"
	is "$(guest_word "$1" got)" "$data_sum" "$1: so is one from here in the guest"
	is "$(guest_word "$1" datagram | tr '\n' ' ')" \
		"1 intact 100 intact 1472 intact 1473 intact 9000 intact $2 intact " "$1: datagrams there and back"
	like "$tmp/$1.out" "guest: iperf3 works" "$1: iperf3 from the guest"
	like "$tmp/$1.out" "guest: iperf3 -R works" "$1: and to it"
	is "$(guest_word "$1" served)" "$served_sum" "$1: a server in the guest is reached"
}

# KiB
on_disk() { du -k "$1" | cut -f1; }
resident() { awk '/^Rss/ { print $2 }' "/proc/$("$lkvm" list --json | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' | head -n 1)/smaps_rollup"; }

# differs NAME: a snapshot of what it writes to from now on has all of that, and not all that there is.
differs()
{
	"$lkvm" snapshot -n "$1" --diff "$tmp/base" >"$tmp/said" 2>&1
	sleep 1
	# (Who is paused takes frames, too.)
	touch "$tmp/hold"
	ip link set tap0 down
	sleep 1
	"$lkvm" pause "$1" &&
		"$lkvm" snapshot -n "$1" --diff "$tmp/diff" >>"$tmp/said" 2>&1 &&
		"$lkvm" snapshot -n "$1" "$tmp/whole" >>"$tmp/said" 2>&1 && "$lkvm" resume "$1"
	is $? 0 "what it writes to is a snapshot: $(cat "$tmp/said")"
	whole=$(on_disk "$tmp/whole/memory") less=$(on_disk "$tmp/diff/memory.diff")
	check "of $less KiB, not $whole" test "$less" -lt $((whole / 2))
	# Between the two the rings are begun anew, of which two bytes each are the device's.
	differ=$(. tests/merged.sh && cd "$tmp" && merged diff && cmp -l merged whole/memory | wc -l)
	check "with its base it is what the memory is, but for ${differ:-all} bytes" test "${differ:-9}" -le 8
	ip link set tap0 up
	rm -r "$tmp/hold" "$tmp/base" "$tmp/diff" "$tmp/whole" "$tmp/merged"
}

# upgrade NAME HOST PORT: while its server is sent to it goes on in another process.
upgrade()
{
	{
		until [ -e "$tmp/moved" ]; do
			[ -e "$tmp/hold" ] || head -c 100000 /dev/urandom
			sleep 0.05 # it is kept there
		done
		cat "$tmp/data"
	} | tee "$tmp/flow" | $busybox nc "$2" "$3" >/dev/null &
	client=$!
	sleep 2
	case $keys in *vhost*) differs "$1" ;; esac
	has=$(resident)
	"$lkvm" migrate -n "$1" --local --downtime 3000 >"$tmp/said" 2>&1
	is $? 0 "it goes on in another process: $(cat "$tmp/said")"
	check "which is sent less than what it has one and a half times" \
		awk -v has="$has" '{ exit !match($0, /[0-9.]+ MiB in/) || substr($0, RSTART) * 1024 > 1.5 * has }' "$tmp/said"
	touch "$tmp/moved"
	wait $client
	served_sum=$(sha256sum <"$tmp/flow")
	rm "$tmp/moved" "$tmp/flow"
}

# tap NAME ACTS KEYS [OPTION...]: a guest with a tap that we make, with -n KEYS; whose link goes down and up if it
# waits for that.
tap()
{
	name=$1 acts=$2 keys=$3
	shift 3
	serve
	guest "$name" vmlinuz-cloud "net_up,$acts,poweroff" --name "$name" -p net=192.168.33.15/24 -n "mode=tap,$keys" "$@" </dev/null &
	guest=$!
	wait_for "$tmp/$name.out" serving
	case $keys in
	*queues=2*)
		upgrade "$name" 192.168.33.15 5003
		is "$(ls -d /sys/class/net/tap0/queues/rx-* | wc -l)" 2 "with both queues" ;;
	*)
		$busybox nc 192.168.33.15 5003 <"$tmp/data" >/dev/null ;;
	esac
	case $acts in
	*net_flap*)
		wait_for "$tmp/$name.out" "waiting for the link"
		ip link set tap0 down
		wait_for "$tmp/$name.out" "link down"
		ip link set tap0 up ;;
	esac
	wait $guest
	ended "$name" 0 "a guest with a tap of ours, by $keys"
	carried "$name" 65507
	check "the tap is gone with its guest" sh -c "! ip link show tap0"
}
