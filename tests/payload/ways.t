#!/bin/sh
# SPDX-License-Identifier: MIT
# Directories as roots, setup, sandbox, several initrds: what is refused, each by one line; and what setup makes.
# (tests/lab/x86-exec-ways.t has the guests.)
. tests/lib.sh
lkvm=$(cd "$(dirname "${LKVM:-build/lkvm}")" && pwd)/$(basename "${LKVM:-build/lkvm}")
elf=$PWD/${KINDLING_BUILD:-build}/payload/exit.elf
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
# By its banner it is taken for a kernel of Linux's.
{ cat "$elf"; echo 'Linux version 6.1.0 (me@here) #1'; } >linux
elf=$tmp/linux
HOME=$tmp/home
mkdir "$HOME" plain empty empty2
echo fs/9p/9p.ko >empty2/modules.order
echo kernel/drivers/virtio/virtio_pci.ko >empty2/modules.builtin
export HOME
unset LKVM_HOME

# refused REGEX ARGUMENT...: 125, one line.
refused()
{
	regex=$1
	shift
	timeout 30 "$lkvm" "$@" >out 2>err </dev/null
	status=$?
	[ "$status" = 125 ] && [ "$(wc -l <err)" = 1 ] && [ ! -s out ] && grep -Eq -- "^lkvm: .*$regex" err
	report $? "refused: lkvm $* ($(cut -c 7-90 err | head -n 1))"
	[ "$(wc -l <err)" = 1 ] || { note "status $status, wanted $regex"; sed 's/^/# /' err; }
}

works()
{
	timeout 30 "$lkvm" "$@" >out 2>err </dev/null
	is "$?" 0 "works: lkvm $*"
	[ ! -s err ] || sed 's/^/# /' err
}

# loglevel OPTION...: what the kernel is told to print.
loglevel() { timeout 60 "$lkvm" run -v -k "$elf" "$@" </dev/null 2>&1 | sed -n 's/.*command line .*\(loglevel=[0-9]\).*/\1/p'; }

# ---- What the kernel prints ----

is "$(loglevel --fail-on all)" loglevel=7 "what is looked for is printed"
is "$(loglevel -- true)" loglevel=7 "and where the log is asked for"
is "$(loglevel --fail-on all -p loglevel=3 -- true)" loglevel=3 "unless the user says otherwise"
is "$(loglevel)" "" "without need nothing is said of it"

# ---- setup ----

works setup X
is "$(wc -l <out)" 1 "it says where in one line"
refused 'is there already' setup X
check "the root has the folders that it needs" sh -c "cd $HOME/.lkvm/X && [ -d dev ] && [ -d proc ] && [ -d sys ] &&
	[ -d host ] && [ -d tmp ] && [ -d root ] && [ -x virt/init ]"
is "$(cd "$HOME/.lkvm/X" && readlink bin usr etc)" "/host/bin
/host/usr
/host/etc" "and links to the host's"
check "its init is a shell's script" sh -n "$HOME/.lkvm/X/virt/init"
is "$(find "$HOME/.lkvm" -type b -o -type c -o -type p)" "" "no device nodes"
is "$(ls -A "$HOME/.lkvm")" X "and nothing is left beside it"
works setup ./here
check "a path is a path" test -d here/host
refused 'here is there already' setup here/
refused 'one name' setup
refused 'one name' setup a b
refused 'no option --force' setup --force
refused 'comma' setup a,b
refused 'No such file' setup no/where/x
echo kernel >file # (in name)
refused 'Not a directory' setup file/x
works help setup
(unset HOME; "$lkvm" setup Y 2>err)
is "$? $(cat err)" "125 lkvm: setup Y: there is no HOME for it; give a path, as in lkvm setup ./Y" "without HOME"
(unset HOME; LKVM_HOME=$tmp/lkvm "$lkvm" setup Y >out && test -d "$tmp/lkvm/Y/host")
report $? "LKVM_HOME says where"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	# (This tree may lie where nobody else may go.)
	mkdir user && chmod 777 user && chmod 755 "$tmp" && cp "$lkvm" its
	check "an ordinary user can" setpriv --reuid 65534 --regid 65534 --clear-groups env HOME="$tmp/user" "$tmp/its" setup Z
	check "who has it then" test -d user/.lkvm/Z/host
fi

# ---- -d ----

works run --payload exit -d plain
works run --payload exit -d X
works run --payload exit -d X,cow
echo kernel >file
refused 'two roots' run --payload exit -d plain -d X
refused 'two roots' run -k file -d plain --root / -- true
refused "'direct' is no word for a directory" run --payload exit -d plain,direct
refused "'' is no word" run --payload exit -d plain,
refused "ro and cow" run --payload exit -d plain,ro,cow
refused "cow and --root-rw" run -k file -d plain,cow --root-rw -- true
refused "cow: with --initrd" run -k file -i file -d plain,cow
refused "that tag is for" run -k file --share /dev/root=. -d plain
refused "that tag is for /" run -k file --share hostfs=. -d X -- true
refused "nothing: No such file" run -k "$elf" -d nothing
# What was said of writing counts, and where it can't be it is refused.
truncate -s 1M image
refused 'image,ro and --root-rw' run -k file -d image,ro --root-rw -- true
refused 'image,ro and --root-rw' run -k file -d image,ro --root-rw --root /dev/vda -- true
refused 'plain has no folder dev' run -k file -d plain -- true
refused 'no virtio console' run -k file --modules empty2 -d plain --no-root-rw -- true
refused 'rdinit=.*init of lkvm' run -k "$elf" -p "quiet rdinit=/bin/sh" -- true
# Their names are folders in the guest.
refused 'tag.*a/b' run -k file --share a/b=plain -- true
refused 'tag.*[.]x' run -k file --share .x=plain -- true
works run --payload exit --share a/b=plain
# A file that is here goes before a name of setup's.
truncate -s 1M X
works run --payload exit -d X,format=raw
rm X

# ---- sandbox ----

refused 'sandbox for what' sandbox -k file
refused 'sandbox for what' sandbox --payload exit
refused 'no command behind' sandbox -k file --
refused 'nothing: No such file' sandbox --sandbox nothing
refused 'a script is a file' run --sandbox plain
refused 'one of them' run -k file --sandbox file -- true
refused 'two scripts' run --sandbox file --sandbox file
refused 'plain has no folder dev' sandbox -k file -d plain -- true
mkdir -p folders/dev folders/proc folders/sys folders/mnt
refused 'folders: it has no folder host' sandbox -k file -d folders -- true
refused 'for a command' run --payload exit --root /
works sandbox --payload exec -p 'hello started exited=0 ack' -- true
works run --payload exec -p 'hello started exited=0 ack' --sandbox file
"$lkvm" sandbox --payload exec -p 'hello started exited=42 ack' -d X -- true </dev/null
is "$?" 42 "a sandbox's status is the command's"
works sandbox --help

# ---- --initrd, --modules ----

set --
: >nil
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do set -- "$@" -i nil; done
refused 'more than 16' run -k file "$@" -i nil
refused 'initrd nil is empty' run -k "$elf" "$@"
echo 1 >one
refused 'initrd nothing: No such file' run -k "$elf" -i one -i nothing
refused 'guest.s kernel, initrd' run -k "$elf" -i one -i file --console-log file
refused 'no modules.dep.*make modules' run -k file --modules empty -- true
refused 'no modules.dep.*make modules' run -k file --modules empty -d plain
: >empty/modules.order
refused 'no modules.dep.*make modules' run -k file --modules empty -- true
echo fs/9p/9p.ko >empty/modules.order
echo kernel/drivers/virtio/virtio_pci.ko >empty/modules.builtin
refused 'kernel file has no virtio console \(CONFIG_VIRTIO_CONSOLE\)' run -k file --modules empty -- true
refused 'CONFIG_NET_9P_VIRTIO' run -k file --modules empty -d plain
mkdir -p built/arch/x86/boot
cp empty/modules.* built/
echo kernel >built/arch/x86/boot/bzImage
refused 'boot/bzImage has no virtio console' run -k built/arch/x86/boot/bzImage -- true
cd built || exit 1
refused 'boot/bzImage has no virtio console' run -k arch/x86/boot/bzImage -- true
mv arch/x86/boot/bzImage vmlinux
refused 'vmlinux has no virtio console' run -k vmlinux -- true
done_testing
