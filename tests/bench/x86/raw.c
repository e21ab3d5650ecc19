/* SPDX-License-Identifier: MIT */
/*
 * raw none|split|full [ioeventfd] [cpuid] [spin|stay] [MIB]: KVM's own floor. The least that makes a VM
 * with one vCPU, runs one instruction (out %al, $0xf4) and ends, in plain ioctls: what lkvm's
 * start-up is compared with. `ioeventfd` adds one, `cpuid` what a guest needs that asks for its
 * processor; `spin` never ends, nor does `stay`, which prints a newline and then halts.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "raw.h"

#define ENTRY 0x200000
#define DOORBELL 0xd0000050u
#define ENTRIES 256

static void create_irqchip(int vm, const char *kind)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 5 } };
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (!strcmp(kind, "split"))
		call(vm, KVM_ENABLE_CAP, &cap, "KVM_CAP_SPLIT_IRQCHIP");
	if (strcmp(kind, "full"))
		return;
	call(vm, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	call(vm, KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2");
}

static void add_memory(int vm, uint64_t size, bool spin)
{
	static const uint8_t exits[] = { 0xb0, 0x00, 0xe6, 0xf4, 0xf4 }; /* mov, out, hlt */
	static const uint8_t spins[] = { 0xeb, 0xfe };
	uint8_t *ram = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region region = {
		.memory_size = size,
		.userspace_addr = (uintptr_t)ram,
	};

	if (ram == MAP_FAILED)
		err(125, "mmap");
	memcpy(ram + ENTRY, exits, sizeof(exits));
	if (spin)
		memcpy(ram + ENTRY, spins, sizeof(spins));
	call(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

static void set_entry(int vcpu)
{
	struct kvm_regs regs = { .rip = ENTRY, .rflags = 2 };

	set_flat(vcpu);
	call(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

/* As a started virtio queue has it. */
static void add_doorbell(int vm)
{
	struct kvm_ioeventfd doorbell = {
		.addr = DOORBELL,
		.len = 4,
		.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	call(vm, KVM_IOEVENTFD, &doorbell, "KVM_IOEVENTFD");
}

static void set_cpuid(int kvm, int vcpu)
{
	static union {
		struct kvm_cpuid2 head;
		uint8_t room[sizeof(struct kvm_cpuid2) + ENTRIES * sizeof(struct kvm_cpuid_entry2)];
	} table = { .head.nent = ENTRIES };

	call(kvm, KVM_GET_SUPPORTED_CPUID, &table.head, "KVM_GET_SUPPORTED_CPUID");
	call(vcpu, KVM_SET_CPUID2, &table.head, "KVM_SET_CPUID2");
}

static bool has(char **argv, const char *word)
{
	while (*argv && strcmp(*argv, word))
		argv++;
	return *argv;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "split";
	unsigned long long mib = argc > 2 ? strtoull(argv[argc - 1], NULL, 10) : 0;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_run *run;
	int vm, vcpu;

	if (kvm < 0)
		err(125, "/dev/kvm");
	vm = call(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
	if (has(argv, "ioeventfd"))
		add_doorbell(vm);
	add_memory(vm, (mib ? mib : 128) << 20, has(argv, "spin"));
	create_irqchip(vm, kind);
	vcpu = call(vm, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "KVM_GET_VCPU_MMAP_SIZE"),
		   PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		err(125, "mmap of the vCPU");
	if (has(argv, "cpuid"))
		set_cpuid(kvm, vcpu);
	set_entry(vcpu);
	call(vcpu, KVM_RUN, NULL, "KVM_RUN");
	if (has(argv, "stay") && write(1, "\n", 1) == 1)
		call(vcpu, KVM_RUN, NULL, "KVM_RUN");
	return run->exit_reason == KVM_EXIT_IO && run->io.port == 0xf4 ? 0 : 1;
}
