/* SPDX-License-Identifier: MIT */
/* What payloads share: port and memory-mapped I/O, a polled serial port, interrupts, their end. */
#ifndef PAYLOAD_LIB_H
#define PAYLOAD_LIB_H

#include "guest/payload/port.h"

/* Starts the vCPU of that APIC ID: payload_ap_main(), which only some payloads have. */
void payload_start_ap(uint32_t apic_id, void *stack_top);

/*
 * Catches a vector and counts it. There is no IRET (KVM's instruction emulator lacks it), so
 * interrupts come only while wait_interrupt() halts, once for each call.
 */
void catch_vector(uint8_t vector);
void wait_interrupt(void);
extern volatile uint32_t caught;

static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t v)
{
	asm volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void write32(uint64_t address, uint32_t v)
{
	asm volatile("movl %0, (%1)" ::"r"(v), "r"(address) : "memory");
}

static inline uint32_t read32(uint64_t address)
{
	uint32_t v;

	asm volatile("movl (%1), %0" : "=r"(v) : "r"(address) : "memory");
	return v;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	asm volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

#endif
