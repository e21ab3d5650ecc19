/* SPDX-License-Identifier: MIT */
#include "guest/payload/arm64/lib.h"

#define UART_DR ARM_PL011
#define UART_FR (ARM_PL011 + 0x18)
#define UART_FR_TXFF (1u << 5)

#define PSCI_CPU_ON 0xc4000003u

#define FDT_MAGIC 0xd00dfeed
#define FDT_BEGIN_NODE 1
#define FDT_END_NODE 2
#define FDT_PROP 3
#define FDT_NOP 4

/* In the distributor; what is of one CPU has the same offsets in GICv3's redistributor. */
#define GIC_CTLR 0
#define GIC_GROUP 0x80
#define GIC_SET_ENABLE 0x100
#define GIC_CLEAR_ENABLE 0x180
#define GIC_SET_PENDING 0x200
#define GICD_TARGETS 0x800
#define GIC_CONFIG 0xc00
#define GICD_ROUTES 0x6000

#define GICD_V3_ON 0x13		/* group 1 by either security state's bit, affinity routing */
#define GICD_V3_BUSY (1u << 31) /* a write has not come to effect yet */
#define GICR_WAKER (ARM_GICR + 0x14)
#define GICR_WAKER_SLEEP (1u << 1)
#define GICR_WAKER_ASLEEP (1u << 2)
#define GICR_SGI (ARM_GICR + 0x10000)

#define GICC_PMR (ARM_GICC + 4)
#define GICC_IAR (ARM_GICC + 0xc)
#define GICC_EOIR (ARM_GICC + 0x10)

#define NO_INTERRUPT 1023

#define VECTOR_IRQ 5 /* from the same level, on its own stack */
#define STATUS_EXCEPTION 98

extern const uint8_t ap_start[];

uint32_t psci_by_smc; /* start.S sets it, before there is a stack */

volatile bool skip_faults;
volatile uint32_t caught;
volatile uint64_t caught_esr;

static volatile uint32_t irq_taken;
static bool gic_v3;

/* For the payloads that start no other vCPU. */
__attribute__((weak)) void payload_ap_main(void)
{
}

int64_t payload_psci(uint32_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 asm("x0") = function;
	register uint64_t x1 asm("x1") = a;
	register uint64_t x2 asm("x2") = b;
	register uint64_t x3 asm("x3") = c;

	asm volatile("cbnz %w4, 1f; hvc #0; b 2f; 1: smc #0; 2:"
		     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
		     : "r"(psci_by_smc)
		     : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
		       "x16", "x17", "cc", "memory");
	return (int64_t)x0;
}

int64_t payload_start_ap(uint64_t mpidr, void *stack_top)
{
	return payload_psci(PSCI_CPU_ON, mpidr, (uint64_t)ap_start, (uint64_t)stack_top);
}

static _Noreturn void sleep_for_ever(void)
{
	for (;;)
		asm volatile("wfi");
}

/* QEMU has nothing there, and answers with an abort: no reason to come back here. */
void payload_exit(int status)
{
	skip_faults = true;
	write8(ARM_DEBUG_EXIT, (uint8_t)status);
	sleep_for_ever();
}

void payload_poweroff(void)
{
	payload_psci(PSCI_SYSTEM_OFF, 0, 0, 0);
	sleep_for_ever();
}

void payload_reset(void)
{
	payload_psci(PSCI_SYSTEM_RESET, 0, 0, 0);
	sleep_for_ever();
}

bool str_eq(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

void put_char(char c)
{
	while (read32(UART_FR) & UART_FR_TXFF)
		;
	write32(UART_DR, (uint8_t)c);
}

void put_str(const char *s)
{
	while (*s)
		put_char(*s++);
}

void put_hex(uint64_t v)
{
	char text[17];

	for (int i = 15; i >= 0; i--) {
		text[i] = "0123456789abcdef"[v & 15];
		v >>= 4;
	}
	text[16] = 0;
	put_str(text);
}

/* ---- The device tree ---- */

uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* QEMU gives an ELF image no address in X0, but puts the tree at the start of RAM. */
void fdt_begin(struct fdt_walk *w, const void *fdt)
{
	const uint8_t *p = fdt ? fdt : (const uint8_t *)ARM_RAM;

	w->depth = 0;
	w->at = p + get_be32(p + 8);
	w->end = w->at + (get_be32(p) == FDT_MAGIC ? get_be32(p + 36) : 0);
	w->strings = (const char *)p + get_be32(p + 12);
}

static const uint8_t *align_4(const uint8_t *p)
{
	return (const uint8_t *)(((uintptr_t)p + 3) & ~(uintptr_t)3);
}

static void enter_node(struct fdt_walk *w)
{
	w->depth++;
	w->node = (const char *)w->at;
	while (w->at < w->end && *w->at)
		w->at++;
	w->at = align_4(w->at + 1);
}

static bool take_property(struct fdt_walk *w)
{
	if (w->end - w->at < 8)
		return false;
	w->len = get_be32(w->at);
	w->name = w->strings + get_be32(w->at + 4);
	w->value = w->at + 8;
	if (w->len > w->end - w->value)
		return false;
	w->at = align_4(w->value + w->len);
	return true;
}

bool fdt_next(struct fdt_walk *w)
{
	while (w->end - w->at >= 4) {
		uint32_t token = get_be32(w->at);

		w->at += 4;
		if (token == FDT_PROP)
			return take_property(w);
		if (token == FDT_BEGIN_NODE)
			enter_node(w);
		else if (token == FDT_END_NODE)
			w->depth--;
		else if (token != FDT_NOP)
			return false;
	}
	return false;
}

const char *payload_cmdline(const void *fdt)
{
	struct fdt_walk w;

	fdt_begin(&w, fdt);
	while (fdt_next(&w))
		if (w.depth == 2 && str_eq(w.node, "chosen") && str_eq(w.name, "bootargs") &&
		    w.len && !w.value[w.len - 1])
			return (const char *)w.value;
	return "";
}

/* A `reg` below /cpus: one cell or two. */
bool fdt_cpu(const void *fdt, unsigned int i, uint64_t *mpidr)
{
	struct fdt_walk w;
	bool in_cpus = false;
	unsigned int n = 0;

	fdt_begin(&w, fdt);
	while (fdt_next(&w)) {
		if (w.depth == 2)
			in_cpus = str_eq(w.node, "cpus");
		if (w.depth != 3 || !in_cpus || !str_eq(w.name, "reg") || n++ != i)
			continue;
		*mpidr = get_be32(w.value);
		if (w.len == 8)
			*mpidr = *mpidr << 32 | get_be32(w.value + 4);
		return w.len == 4 || w.len == 8;
	}
	return false;
}

/* Among the strings of one property: each ends with a NUL. */
static bool has_string(const struct fdt_walk *w, const char *wanted)
{
	uint32_t at = 0;

	if (!w->len || w->value[w->len - 1])
		return false;
	while (at < w->len) {
		if (str_eq((const char *)w->value + at, wanted))
			return true;
		while (w->value[at])
			at++;
		at++;
	}
	return false;
}

static bool is_compatible(const void *fdt, const char *wanted)
{
	struct fdt_walk w;

	fdt_begin(&w, fdt);
	while (fdt_next(&w))
		if (str_eq(w.name, "compatible") && has_string(&w, wanted))
			return true;
	return false;
}

/* ---- Exceptions ---- */

static void take_interrupt(void)
{
	irq_taken = gic_v3 ? (uint32_t)read_sysreg(icc_iar1_el1) : read32(GICC_IAR) & 0x3ff;
}

static _Noreturn void give_up(uint32_t vector, uint64_t esr, uint64_t elr)
{
	skip_faults = true; /* the UART may be what faults */
	put_str("exception ");
	put_hex(vector);
	put_str(" with ESR ");
	put_hex(esr);
	put_str(" at ");
	put_hex(elr);
	put_str("\r\n");
	payload_exit(STATUS_EXCEPTION);
}

uint64_t payload_exception(uint32_t vector, uint64_t esr, uint64_t elr)
{
	if (vector == VECTOR_IRQ) {
		take_interrupt();
		return elr;
	}
	caught++;
	caught_esr = esr;
	if (ESR_CLASS(esr) == CLASS_SVC)
		return elr;
	if (skip_faults && ESR_CLASS(esr) == CLASS_DATA_ABORT)
		return elr + 4;
	give_up(vector, esr, elr);
}

/* ---- Interrupts ---- */

static void gic_v2_init(void)
{
	write32(ARM_GICD + GIC_CTLR, 1);
	write32(GICC_PMR, 0xff);
	write32(ARM_GICC + GIC_CTLR, 1);
}

static void gic_v3_init(void)
{
	write32(ARM_GICD + GIC_CTLR, GICD_V3_ON);
	while (read32(ARM_GICD + GIC_CTLR) & GICD_V3_BUSY)
		;
	write32(GICR_WAKER, read32(GICR_WAKER) & ~GICR_WAKER_SLEEP);
	while (read32(GICR_WAKER) & GICR_WAKER_ASLEEP)
		;
	write_sysreg(icc_sre_el1, read_sysreg(icc_sre_el1) | 1);
	write_sysreg(icc_pmr_el1, 0xff);
	write_sysreg(icc_igrpen1_el1, 1);
}

void gic_init(const void *fdt)
{
	gic_v3 = is_compatible(fdt, "arm,gic-v3");
	if (gic_v3)
		gic_v3_init();
	else
		gic_v2_init();
}

static bool is_private(uint32_t intid)
{
	return intid < 32;
}

static uint64_t gic_registers(uint32_t intid)
{
	return gic_v3 && is_private(intid) ? GICR_SGI : ARM_GICD;
}

/* A register of a bit for each interrupt: the 32 bits that hold this one's. */
static uint64_t gic_word(uint32_t reg, uint32_t intid)
{
	return gic_registers(intid) + reg + intid / 32 * 4;
}

/* To the first vCPU, whose affinity is 0. */
static void route(uint32_t intid)
{
	if (gic_v3)
		write64(ARM_GICD + GICD_ROUTES + 8 * intid, 0);
	else
		write8(ARM_GICD + GICD_TARGETS + intid, 1);
}

static void set_edge(uint32_t intid, bool edge)
{
	uint64_t reg = gic_registers(intid) + GIC_CONFIG + intid / 16 * 4;
	uint32_t bit = 2u << intid % 16 * 2;

	write32(reg, (read32(reg) & ~bit) | (edge ? bit : 0));
}

void gic_enable(uint32_t intid, bool edge)
{
	uint64_t group = gic_word(GIC_GROUP, intid);

	if (gic_v3)
		write32(group, read32(group) | 1u << intid % 32);
	set_edge(intid, edge);
	if (!is_private(intid))
		route(intid);
	gic_set_mask(intid, false);
}

void gic_set_mask(uint32_t intid, bool masked)
{
	write32(gic_word(masked ? GIC_CLEAR_ENABLE : GIC_SET_ENABLE, intid), 1u << intid % 32);
}

bool gic_is_pending(uint32_t intid)
{
	return read32(gic_word(GIC_SET_PENDING, intid)) & 1u << intid % 32;
}

void gic_eoi(uint32_t intid)
{
	if (gic_v3)
		write_sysreg(icc_eoir1_el1, intid);
	else
		write32(GICC_EOIR, intid);
}

/* Interrupts are let in only once WFI is over: one that came before it would else never end it. */
uint32_t wait_interrupt(void)
{
	irq_taken = NO_INTERRUPT;
	while (irq_taken == NO_INTERRUPT)
		asm volatile("dsb sy; wfi; msr daifclr, #2; isb; msr daifset, #2" ::: "memory");
	return irq_taken;
}

bool timer_tick(void)
{
	uint32_t intid;

	write_sysreg(cntv_tval_el0, read_sysreg(cntfrq_el0) / 1000);
	write_sysreg(cntv_ctl_el0, 1);
	intid = wait_interrupt();
	write_sysreg(cntv_ctl_el0, 0);
	gic_eoi(intid);
	return intid == TIMER_INTID;
}
