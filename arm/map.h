/* SPDX-License-Identifier: MIT */
/*
 * The guest-physical map of the arm machine: that of QEMU's `virt`, so that bare-metal programs
 * written for it run here.
 *
 *   0x0100_0000  16550A, SPI 10 (ttyS0; not in QEMU's map: it is where kvmtool has it)
 *   0x0800_0000  GIC distributor, 64 KiB
 *   0x0801_0000  GICv2 CPU interfaces, 64 KiB
 *   0x0802_0000  GICv2m frame, 4 KiB; SPI 48 up
 *   0x0808_0000  GICv3 ITS, 128 KiB
 *   0x080a_0000  GICv3 redistributors, 128 KiB a vCPU, the first 123
 *   0x0900_0000  PL011, SPI 1 (ttyAMA0)
 *   0x0901_0000  PL031, SPI 2
 *   0x0903_0000  PL061 with the power button, SPI 7
 *   0x0906_0000  pvpanic (not in QEMU's map: there it is a PCI device)
 *   0x090a_0000  stolen time, 64 bytes a vCPU (RAM of its own, as is:)
 *   0x090a_f000  VMGenID, SPI 11
 *   0x090f_0000  where built-in payloads write their exit status
 *   0x0a00_0000  virtio-mmio, 0x200 each, SPI 16 up
 *   0x1000_0000  PCI's BARs
 *   0x3f00_0000  PCI's configuration space (ECAM), one bus; INTA# to INTD#: SPI 3 up
 *   0x4000_0000  RAM
 *   0x40_0000_0000  the redistributors of vCPU 123 and up
 *
 * An SPI's number is its GSI; the GIC's own number (INTID) is 32 more. PPIs, by the device tree's
 * number (INTID 16 more): 7 PMU, 9 vGIC maintenance, 10 to 14 timers.
 */
#ifndef ARM_MAP_H
#define ARM_MAP_H

#define ARM_UART16550 0x01000000ull
#define ARM_GICD 0x08000000ull
#define ARM_GICD_SIZE 0x10000ull
#define ARM_GICC 0x08010000ull
#define ARM_GICC_SIZE 0x10000ull
#define ARM_V2M 0x08020000ull
#define ARM_V2M_SIZE 0x1000ull
#define ARM_ITS 0x08080000ull
#define ARM_ITS_SIZE 0x20000ull
#define ARM_GICR 0x080a0000ull
#define ARM_GICR_STEP 0x20000ull /* a vCPU's two frames */
#define ARM_GICR_VCPUS 123u
#define ARM_PL011 0x09000000ull
#define ARM_PL031 0x09010000ull
#define ARM_PL061 0x09030000ull
#define ARM_PVPANIC 0x09060000ull
#define ARM_PVTIME 0x090a0000ull
#define ARM_PVTIME_STEP 64ull
#define ARM_PVTIME_SIZE 0x10000ull
#define ARM_VMGENID 0x090af000ull /* behind the most vCPUs that KVM has, 512 */
#define ARM_DEBUG_EXIT 0x090f0000ull
#define ARM_VIRTIO_MMIO 0x0a000000ull
#define ARM_VIRTIO_MMIO_STEP 0x200ull
#define ARM_PCI_WINDOW 0x10000000ull
#define ARM_PCI_WINDOW_SIZE 0x2eff0000ull
#define ARM_PCI_ECAM 0x3f000000ull
#define ARM_RAM 0x40000000ull
#define ARM_FLAT_OFFSET_64 0x80000 /* of an image without a header: as QEMU has it */
#define ARM_FLAT_OFFSET_32 0x8000
#define ARM_GICR2 0x4000000000ull
#define ARM_HVT 0x100000000ull /* Solo5's hypercalls, where there is nothing else */

#define ARM_SPI_PL011 1
#define ARM_SPI_PL031 2
#define ARM_SPI_PCI 3
#define ARM_SPI_PL061 7
#define ARM_SPI_UART16550 10
#define ARM_SPI_VMGENID 11
#define ARM_SPI_VIRTIO 16
#define ARM_VIRTIO_SLOTS 80
#define ARM_SPI_V2M 48
#define ARM_V2M_SPIS 64

#define ARM_PPI_PMU 7
#define ARM_PPI_MAINTENANCE 9
#define ARM_PPI_TIMER_HYP 10
#define ARM_PPI_TIMER_VIRT 11
#define ARM_PPI_TIMER_HYP_VIRT 12
#define ARM_PPI_TIMER_SECURE 13
#define ARM_PPI_TIMER_PHYS 14

#endif
