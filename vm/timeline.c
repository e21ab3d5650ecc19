/* SPDX-License-Identifier: MIT */
#include "vm/timeline.h"

#include "util/clock.h"
void timeline_mark(struct timeline *t, enum phase phase)
{
	uint64_t none = 0;

	if (!atomic_load_explicit(&t->at[phase], memory_order_relaxed))
		atomic_compare_exchange_strong(&t->at[phase], &none, clock_now());
}

int64_t timeline_us(const struct timeline *t, enum phase phase)
{
	uint64_t start = atomic_load(&t->at[PHASE_START]), at = atomic_load(&t->at[phase]);

	return start && at >= start ? (int64_t)((at - start) / 1000) : -1;
}

const char *phase_name(enum phase phase)
{
	static const char *const names[PHASES] = {
		[PHASE_START] = "start", [PHASE_KERNEL] = "kernel",   [PHASE_CONSOLE] = "console",
		[PHASE_INIT] = "init",	 [PHASE_COMMAND] = "command", [PHASE_EXITED] = "exited",
		[PHASE_END] = "end",
	};

	return names[phase];
}
