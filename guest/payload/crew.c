/* SPDX-License-Identifier: MIT */
/*
 * No atomics (arm64's need an MMU): every word has one writer. CPU 0 counts jobs up, each other CPU
 * follows with a count of its own.
 */
#include "guest/payload/crew.h"

#include "guest/payload/port.h"

#define STACK_SIZE 8192
#define PATIENCE 100000000u

static uint8_t stacks[CREW_MAX][STACK_SIZE] __attribute__((aligned(16)));
static volatile unsigned int size, starting;
static volatile uint32_t given, done[CREW_MAX];
static void (*volatile work)(unsigned int cpu);

static bool wait_for(volatile uint32_t *count, uint32_t wanted)
{
	for (uint32_t i = 0; i < PATIENCE; i++) {
		if (*count == wanted) {
			port_fence();
			return true;
		}
	}
	return false;
}

void payload_ap_main(void)
{
	unsigned int cpu;

	port_init();
	cpu = starting;
	port_fence();
	done[cpu] = 1;
	for (uint32_t job = 2;; job++) {
		while (!wait_for(&given, job))
			;
		work(cpu);
		port_fence();
		done[cpu] = job;
	}
}

bool crew_start(const void *boot, unsigned int n)
{
	if (!n || n > CREW_MAX)
		return false;
	given = 1;
	size = n;
	for (unsigned int i = 1; i < n; i++) {
		starting = i;
		port_fence();
		if (!port_start_cpu(boot, i, stacks[i] + STACK_SIZE) || !wait_for(&done[i], 1))
			return false;
	}
	return true;
}

void crew_run(void (*job)(unsigned int cpu))
{
	work = job;
	port_fence();
	given = given + 1;
	job(0);
	for (unsigned int i = 1; i < size; i++)
		while (!wait_for(&done[i], given))
			;
}
