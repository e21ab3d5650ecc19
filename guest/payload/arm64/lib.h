/* SPDX-License-Identifier: MIT */
/*
 * What payloads share: memory-mapped I/O, a polled serial port, the device tree, exceptions, the
 * interrupt controller, PSCI, their end.
 *
 * The MMU is off, so all memory is Device memory: no unaligned access (-mstrict-align), no
 * exclusives, no atomics. Payloads that share memory with devices switch it on (port_init()).
 */
#ifndef PAYLOAD_LIB_H
#define PAYLOAD_LIB_H

#include "arm/map.h"
#include "guest/payload/port.h"

#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u
#define PSCI_SYSTEM_RESET2 0x84000012u

#define read_sysreg(name)                                            \
	({                                                           \
		uint64_t v_;                                         \
		asm volatile("mrs %0, " #name : "=r"(v_)::"memory"); \
		v_;                                                  \
	})
#define write_sysreg(name, value) \
	asm volatile("msr " #name ", %0; isb" ::"r"((uint64_t)(value)) : "memory")

/*
 * Starts a vCPU: payload_ap_main(), which only some payloads have. PSCI's answer: 0, or an error.
 */
int64_t payload_start_ap(uint64_t mpidr, void *stack_top);

int64_t payload_psci(uint32_t function, uint64_t a, uint64_t b, uint64_t c);

void put_char(char c);

/*
 * The device tree is NULL in QEMU. One property of the device tree after the other; a node's come
 * before those of its children.
 */
struct fdt_walk {
	const uint8_t *at, *end; /* what is left of the structure block */
	const char *strings;
	int depth; /* of the node: 1 is the root */
	const char *node, *name;
	const uint8_t *value;
	uint32_t len;
};

void fdt_begin(struct fdt_walk *w, const void *fdt);
bool fdt_next(struct fdt_walk *w);
uint32_t get_be32(const uint8_t *p);
bool fdt_cpu(const void *fdt, unsigned int i, uint64_t *mpidr); /* false: there is none */

/*
 * An exception that nobody expects ends the payload with status 98. SVC returns. So does a data
 * abort while `skip_faults` is set, behind the instruction.
 */
uint64_t payload_exception(uint32_t vector, uint64_t esr, uint64_t elr);
extern volatile bool skip_faults;
extern volatile uint32_t caught; /* exceptions that returned, but for interrupts */
extern volatile uint64_t caught_esr;

#define ESR_CLASS(esr) ((esr) >> 26 & 63)
#define CLASS_SVC 0x15
#define CLASS_DATA_ABORT 0x25 /* from the same level */

/* GICv2 or GICv3, as the tree says. An INTID is the tree's number + 16 (PPI) or + 32 (SPI). */
void gic_init(const void *fdt);
void gic_enable(uint32_t intid, bool edge);
void gic_set_mask(uint32_t intid, bool masked);
bool gic_is_pending(uint32_t intid); /* whether it is masked or not */
void gic_eoi(uint32_t intid);

/* Sleeps until one was taken and acknowledged. The caller silences its source, then gic_eoi(). */
uint32_t wait_interrupt(void);

#define TIMER_INTID (16 + ARM_PPI_TIMER_VIRT)

/* A millisecond of the virtual timer, which is enabled. False: another interrupt came. */
bool timer_tick(void);

/* Plain loads and stores: the forms whose every detail the VMM is told. */
static inline void write8(uint64_t address, uint8_t v)
{
	asm volatile("strb %w0, [%1]" ::"r"(v), "r"(address) : "memory");
}

static inline void write16(uint64_t address, uint16_t v)
{
	asm volatile("strh %w0, [%1]" ::"r"(v), "r"(address) : "memory");
}

static inline void write32(uint64_t address, uint32_t v)
{
	asm volatile("str %w0, [%1]" ::"r"(v), "r"(address) : "memory");
}

static inline void write64(uint64_t address, uint64_t v)
{
	asm volatile("str %0, [%1]" ::"r"(v), "r"(address) : "memory");
}

static inline uint8_t read8(uint64_t address)
{
	uint32_t v;

	asm volatile("ldrb %w0, [%1]" : "=r"(v) : "r"(address) : "memory");
	return (uint8_t)v;
}

static inline uint16_t read16(uint64_t address)
{
	uint32_t v;

	asm volatile("ldrh %w0, [%1]" : "=r"(v) : "r"(address) : "memory");
	return (uint16_t)v;
}

static inline uint32_t read32(uint64_t address)
{
	uint32_t v;

	asm volatile("ldr %w0, [%1]" : "=r"(v) : "r"(address) : "memory");
	return v;
}

static inline uint64_t read64(uint64_t address)
{
	uint64_t v;

	asm volatile("ldr %0, [%1]" : "=r"(v) : "r"(address) : "memory");
	return v;
}

#endif
