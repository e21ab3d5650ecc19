/* SPDX-License-Identifier: MIT */
/*
 * The few I/O ports of a PC that a machine without firmware still answers: every way to power off
 * and to reset, and the CMOS (x86/cmos.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/util.h"
#include "x86/map.h"
#include "x86/x86.h"

#define SLEEP_ENABLE (1u << 5) /* ACPI 6.4, table 4.17 */
#define SLEEP_TYPE(v) ((v) >> 2 & 7)
#define PM1_SLEEP_ENABLE (1u << 13)

#define KBD_RESET 0xfe

static void acpi_ports(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct vm *vm = opaque;
	uint8_t value = *(uint8_t *)data;

	if (!is_write) {
		memset(data, 0, len);
		return;
	}
	if (offset == 0 && value & SLEEP_ENABLE && SLEEP_TYPE(value) == X86_ACPI_S5)
		vm_end(vm, VERDICT_POWEROFF, 0);
	else if (offset == 2 && value == X86_ACPI_RESET_VALUE)
		vm_end(vm, VERDICT_RESET, 0);
}

/* PM1a control as QEMU's q35 has it: sleep type 0 is S5 there. */
static void pm1a_port(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	if (!is_write)
		memset(data, 0, len);
	else if (offset == 0 && get_le(data, len) & PM1_SLEEP_ENABLE)
		vm_end(opaque, VERDICT_POWEROFF, 0);
}

/* No keyboard behind it: always ready for a command, of which one is known. */
static void keyboard_command(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	(void)offset;
	if (!is_write)
		memset(data, 0, len);
	else if (*(uint8_t *)data == KBD_RESET)
		vm_end(opaque, VERDICT_RESET, 0);
}

#define NMI_REASONS 0xc0 /* memory's parity, a device's error: neither */

/* Linux on a machine without a PIT waits here for one of its outputs to rise: the other bits are set as where nobody is. */
static void nmi_reason(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	(void)opaque;
	(void)offset;
	if (!is_write)
		memset(data, 0xff & ~NMI_REASONS, len);
}

int x86_legacy_claim(struct vm *vm, struct err *err)
{
	const struct {
		uint64_t base, size;
		bus_fn fn;
		const char *name;
	} ports[] = {
		{ X86_PORT_NMI_REASON, 1, nmi_reason, "nmi" },
		{ X86_PORT_KBD_COMMAND, 1, keyboard_command, "keyboard" },
		{ X86_PORT_CMOS, 2, x86_cmos_ports, "cmos" },
		{ X86_PORT_ACPI, 4, acpi_ports, "acpi" },
		{ X86_PORT_PM1A, 4, pm1a_port, "pm1a" },
	};
	int rc = x86_pci_ports_claim(vm, err);

	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(ports); i++)
		rc = bus_claim(&vm->pio, ports[i].base, ports[i].size, ports[i].fn, vm,
			       ports[i].name, err);
	return rc;
}

/*
 * An eventfd that nobody reads. It makes the VM's end some 15 ms longer where KVM waits for a grace period then: a
 * Linux boot is worth that, other images are not. (KVM's coalesced I/O would take a byte for the reset register, too, which is one of
 * these four, and keep it until the next exit.)
 */
void x86_legacy_drop(struct vm *vm)
{
	struct kvm_ioeventfd drop = {
		.addr = X86_PORT_PCI_ADDRESS,
		.len = 4,
		.flags = KVM_IOEVENTFD_FLAG_PIO,
	};

	drop.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (drop.fd < 0)
		return;
	if (ioctl(vm->fd, KVM_IOEVENTFD, &drop))
		close(drop.fd);
	else
		vm->arch->nowhere = drop.fd;
}
