#!/bin/sh
# SPDX-License-Identifier: MIT
# --virtio-transport auto: what it goes by, in kernels of which there is little more than that.
. tests/lib.sh
lkvm=$(realpath "${LKVM:-build/lkvm}")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

pci='CONFIG_X86=y CONFIG_ACPI=y CONFIG_PCI=y CONFIG_PCI_MMCONFIG=y CONFIG_VIRTIO_PCI=y'
mmio='CONFIG_X86=y CONFIG_ACPI=y CONFIG_VIRTIO_MMIO=y'
modules='CONFIG_X86=y CONFIG_ACPI=y CONFIG_PCI_MMCONFIG=y CONFIG_VIRTIO_PCI=m CONFIG_VIRTIO_MMIO=m'
config() { echo "# Linux"; printf '%s\n' $1; }

# cpio FILE...: an initramfs of them.
cpio_of() { printf '%s\n' "$@" | cpio -o -H newc --quiet; }
# kernel PATH
kernel() { case $1 in */*) mkdir -p "${1%/*}" ;; esac; head -c 1000 /dev/zero >"$1"; }

# chooses PCI|virtio-mmio WHY OPTION...
chooses()
{
	wanted="virtio devices are on $1.*$2"
	why=$2
	shift 2
	"$lkvm" run -v --dev /dev/null --rng "$@" 2>err >out
	like err "$wanted" "$why: $*"
}

kernel tree/arch/x86/boot/bzImage
chooses PCI 'nothing is known' tree/arch/x86/boot/bzImage
config "$pci" >tree/.config
chooses PCI tree/.config tree/arch/x86/boot/bzImage
config "$mmio" >tree/.config
chooses virtio-mmio tree/.config tree/arch/x86/boot/bzImage
cd tree || exit 1
chooses virtio-mmio ': .config' arch/x86/boot/bzImage
cd ..
config "$mmio CONFIG_PCI=y CONFIG_VIRTIO_PCI=y" >tree/.config
chooses virtio-mmio tree/.config tree/arch/x86/boot/bzImage # no ECAM
config "CONFIG_ARM64=y CONFIG_PCI_HOST_GENERIC=y CONFIG_VIRTIO_PCI=y CONFIG_VIRTIO_MMIO=y" >tree/.config
chooses PCI tree/.config tree/arch/x86/boot/bzImage
config "CONFIG_ARM64=y CONFIG_VIRTIO_PCI=y CONFIG_VIRTIO_MMIO=y" >tree/.config
chooses virtio-mmio tree/.config tree/arch/x86/boot/bzImage
echo "no configuration" >tree/.config
chooses PCI 'nothing is known' tree/arch/x86/boot/bzImage
printf 'kernel/drivers/virtio/virtio.ko\nkernel/drivers/virtio/virtio_mmio.ko\n' >tree/modules.builtin
chooses virtio-mmio tree/modules.builtin tree/arch/x86/boot/bzImage
mkdir kernel.config
kernel kernel.config/vmlinuz-6.1-test
config "$mmio" >kernel.config/config-6.1-test
chooses virtio-mmio config-6.1-test kernel.config/vmlinuz-6.1-test

# Modules count where the initrd has them.
kernel m/vmlinuz
config "$modules" >m/config
chooses PCI m/config m/vmlinuz
mkdir -p lib/modules
echo >lib/modules/virtio_mmio.ko
echo >lib/modules/virtio_pci.ko.xz
echo >other
cpio_of lib lib/modules lib/modules/virtio_mmio.ko other >mmio.cpio
cpio_of lib/modules/virtio_pci.ko.xz >pci.cpio
chooses virtio-mmio mmio.cpio m/vmlinuz -i mmio.cpio
chooses PCI pci.cpio m/vmlinuz -i pci.cpio
chooses PCI pci.cpio m/vmlinuz -i mmio.cpio -i pci.cpio
cpio_of other >other.cpio
chooses virtio-mmio mmio.cpio m/vmlinuz -i mmio.cpio -i other.cpio
chooses PCI other.cpio m/vmlinuz -i other.cpio
for packer in gzip xz 'zstd -q'; do
	command -v ${packer%% *} >/dev/null || continue
	$packer <mmio.cpio >packed
	chooses virtio-mmio packed m/vmlinuz -i packed
	cpio_of other >early
	head -c 1000 /dev/zero >>early
	cat early packed >both
	chooses virtio-mmio both m/vmlinuz -i both
done
head -c 300 mmio.cpio >cut
chooses PCI m/config m/vmlinuz -i cut
chooses virtio-mmio mmio.cpio -k other -i mmio.cpio

# In the image itself.
embed() { printf IKCFG_ST; config "$1" | gzip; printf IKCFG_ED; }
{ head -c 5000 /dev/urandom; embed "$mmio"; head -c 5000 /dev/zero; } >Image
chooses virtio-mmio 'inside it' Image
gzip <Image >Image.gz
chooses virtio-mmio 'inside it' Image.gz
{ printf IKCFG_ST; head -c 5000 /dev/urandom; printf IKCFG_ED; } >Image
chooses PCI 'nothing is known' Image

# And what is asked for is done.
config "$mmio" >m/config
"$lkvm" run -v --dev /dev/null --rng m/vmlinuz --virtio-transport pci 2>err
is "$(grep -c 'virtio devices' err)" 0 "nobody looks when a transport is given"
"$lkvm" run -v --dev /dev/null m/vmlinuz 2>err
is "$(grep -c 'virtio devices' err)" 0 "nor when there is no device"
"$lkvm" run -v --dev /dev/null --vsock 3,uds=vsock m/vmlinuz 2>err
like err 'virtio devices are on virtio-mmio' "sockets are one"
"$lkvm" run -v --dev /dev/null --rng --virtio-transport isa m/vmlinuz 2>err
like err 'mmio, pci or auto' "another word is refused"
done_testing
