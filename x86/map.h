/* SPDX-License-Identifier: MIT */
/*
 * The guest-physical map of the x86 machine.
 *
 *   0x0000_0500  GDT                                     (boot data lies where Firecracker
 *   0x0000_6000  PVH start info, its memory map            puts it: images rely on that)
 *   0x0000_7000  Linux boot parameters ("zero page")
 *   0x0000_9000  PML4; 0xa000 PDPT; 0xb000..0xefff page directories: 4 GiB mapped 1:1 by 2 MiB
 *   0x0001_0000  a raw image, entered in real mode
 *   0x0002_0000  command line
 *   0x0003_0000  modules' list, and the words that go with them
 *   0x0009_0000  multiboot's information, with all that it points to: there is no other boot data then,
 *                and the rest of low RAM is the image's
 *   0x0009_fc00  end of low RAM
 *   0x000e_0000  ACPI: RSDP, VMGenID, then all tables
 *   0x000f_fff0  reset vector: a few bytes that reset
 *   0x0010_0000  RAM: the kernel, the initrd below its end
 *   0xc000_0000  end of RAM below 4 GiB; PCI's BARs
 *   0xd000_0000  virtio-mmio, 4 KiB each
 *   0xe000_0000  PCI's configuration space (ECAM), one bus
 *   0xfec0_0000  IOAPIC
 *   0xfee0_0000  local APICs (KVM)
 *   0xfffb_c000  KVM's own pages for Intel: identity map and TSS
 *   0x1_0000_0000  the rest of RAM
 *
 * I/O ports: 0x61 an NMI's reason, none of those of a PC; 0x64 keyboard controller (reset only), 0x70 CMOS clock, 0x3f8 COM1, 0x505
 * pvpanic, 0x600 ACPI sleep and reset, 0x604 power-off as QEMU's q35 has it, 0x608 ACPI events, 0xcf9 reset. For
 * images that are no Linux kernels also 0xf4 and 0x501 debug exits, 0x510 fw_cfg, 0xcf8 PCI.
 *
 * GSIs: 4 COM1, 5 ACPI events (the power button); 1, 3, then 6 up virtio-mmio by slot.
 */
#ifndef X86_MAP_H
#define X86_MAP_H

#define X86_GDT 0x500ull
#define X86_PVH_INFO 0x6000ull
#define X86_ZERO_PAGE 0x7000ull
#define X86_PML4 0x9000ull
#define X86_PDPT 0xa000ull
#define X86_PAGE_DIRS 0xb000ull
#define X86_CMDLINE 0x20000ull
#define X86_CMDLINE_MAX 0x10000ull /* with its NUL */
#define X86_MODULES 0x30000ull
#define X86_MODULES_END 0x40000ull
#define X86_MULTIBOOT_LOW 0x1000ull /* what a multiboot image may be loaded to */
#define X86_MULTIBOOT 0x90000ull
#define X86_RAW 0x10000ull
#define X86_LOW_RAM_END 0x9fc00ull
#define X86_ACPI 0xe0000ull
#define X86_VMGENID 0xe0030ull
#define X86_ACPI_TABLES 0xe0040ull
#define X86_ACPI_END 0xffff0ull
#define X86_RESET_VECTOR 0xffff0ull
#define X86_HIGH_RAM 0x100000ull
#define X86_HOLE 0xc0000000ull
#define X86_PCI_WINDOW 0xc0000000ull
#define X86_PCI_WINDOW_SIZE 0x10000000ull
#define X86_PCI_ECAM 0xe0000000ull
#define X86_VIRTIO_MMIO 0xd0000000ull
#define X86_VIRTIO_MMIO_STEP 0x1000ull
#define X86_IOAPIC 0xfec00000ull
#define X86_IOAPIC_SIZE 0x1000ull
#define X86_LAPIC 0xfee00000ull
#define X86_APIC_BASE_AT_RESET (X86_LAPIC | 1u << 8 | 1u << 11) /* the boot CPU's, enabled */
#define X86_IDENTITY_MAP 0xfffbc000ull
#define X86_TSS 0xfffbd000ull
#define X86_ABOVE_HOLE 0x100000000ull

#define X86_PORT_NMI_REASON 0x61
#define X86_PORT_KBD_COMMAND 0x64
#define X86_PORT_CMOS 0x70
#define X86_PORT_COM1 0x3f8
#define X86_PORT_PVPANIC 0x505 /* as QEMU has it */
#define X86_PORT_ACPI 0x600    /* +0 sleep control, +1 sleep status, +2 reset */
#define X86_PORT_PM1A 0x604
#define X86_PORT_GED 0x608
#define X86_PORT_PCI_ADDRESS 0xcf8 /* 4 bytes of it at once */
#define X86_PORT_PCI_DATA 0xcfc
#define X86_PORT_RESET 0xcf9
#define X86_PORT_DEBUG_EXIT 0xf4
#define X86_PORT_DEBUG_EXIT_QEMU 0x501 /* where QEMU has it unless told otherwise */
#define X86_PORT_FW_CFG 0x510
#define X86_PORT_HVT 0x500 /* and up to 0x508: Solo5's hypercalls, where there is nothing else */

#define X86_ACPI_RESET_VALUE 1
#define X86_ACPI_S5 5

#define X86_GSI_COM1 4
#define X86_GSI_POWER_BUTTON 5
#define X86_GSI_VIRTIO_0 1
#define X86_GSI_VIRTIO_1 3
#define X86_GSI_VIRTIO 6 /* slot 2, and up */
#define X86_GSI_MAX 120	 /* pins that KVM allows a split IOAPIC */

#endif
