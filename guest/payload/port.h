/* SPDX-License-Identifier: MIT */
/*
 * What payloads that run on every port need of it: its lib.c and machine.c provide this. Such
 * payloads lie in guest/payload/ itself.
 */
#ifndef PAYLOAD_PORT_H
#define PAYLOAD_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Returns the exit status. `boot` is Linux's struct boot_params on x86, the device tree on arm64.
 */
int payload_main(const void *boot);
const char *payload_cmdline(const void *boot);

bool str_eq(const char *a, const char *b);
void put_str(const char *s);
void put_hex(uint64_t v);

_Noreturn void payload_exit(int status); /* where lkvm takes it for the image's own */
_Noreturn void payload_poweroff(void);
_Noreturn void payload_reset(void);

/* First of all, on each CPU: from then on devices see RAM as it does. */
void port_init(void);

/*
 * Starts CPU `i`, 1 and up, on a stack of its own: it runs payload_ap_main(). The next one may be
 * started once this one has left its first instructions behind. False: there is no such CPU.
 */
bool port_start_cpu(const void *boot, unsigned int i, void *stack_top);
void payload_ap_main(void);

/* What this CPU wrote before comes before what it reads or writes after. */
void port_fence(void);

/* Memory-mapped I/O of 1, 2, 4 or 8 bytes. */
uint64_t mmio_read(uint64_t at, unsigned int size);
void mmio_write(uint64_t at, uint64_t v, unsigned int size);

/*
 * A device that is not virtio, and of which it is safe to write anything that `keep` lets through.
 */
struct place {
	const char *name;
	uint64_t base;
	uint32_t size;
	bool is_port; /* I/O ports: at most 4 bytes at a time */
	uint64_t keep;
};

uint64_t place_read(const struct place *p, uint64_t at, unsigned int size);
void place_write(const struct place *p, uint64_t at, uint64_t v, unsigned int size);

/* One instruction, many accesses, where there is such a one. */
void place_burst(const struct place *p, uint64_t at, unsigned int size, void *buffer,
		 unsigned int n, bool is_write);

extern const struct place port_places[];
extern const unsigned int port_n_places;

/* Where virtio-mmio slots lie, and PCI's configuration space, if there is any of them; RAM ends below PORT_NO_RAM, and nothing above it is RAM (-m 64). */
extern const uint64_t port_virtio, port_virtio_step, port_ecam;
#define PORT_NO_RAM 0x80000000u
uint64_t port_ram_end(const void *boot);

/* How far around a device's range accesses may begin, and the alignment that they need. */
extern const unsigned int port_margin;
extern const bool port_aligned;

/* After garbage: the serial port prints again; and do the places work? NULL or the name of one. */
void port_repair(void);
const char *port_check(void);

#endif
