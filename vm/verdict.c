/* SPDX-License-Identifier: MIT */
#include "vm/verdict.h"

static const struct {
	int status;
	const char *text;
} outcomes[] = {
	[VERDICT_SIGNAL] = { STATUS_SIGNAL, "ended by a signal" },
	[VERDICT_HOST] = { STATUS_HOST_FAILED, "the host's side failed" },
	[VERDICT_PANIC] = { STATUS_GUEST_DIED, "the guest kernel panicked" },
	[VERDICT_KVM] = { STATUS_GUEST_DIED, "KVM could not run the guest any further" },
	[VERDICT_CRASH] = { STATUS_GUEST_DIED, "the guest reported a crash" },
	[VERDICT_TRIPLE_FAULT] = { STATUS_GUEST_DIED, "triple fault" },
	[VERDICT_RESET] = { STATUS_GUEST_DIED, "a reset that no kernel announced" },
	[VERDICT_TIMEOUT] = { STATUS_TIMEOUT, "timeout" },
	[VERDICT_IMAGE] = { 0, "the image ended with its own status" },
	[VERDICT_POWEROFF] = { 0, "the guest powered off" },
	[VERDICT_NONE] = { STATUS_GUEST_DIED, "ended without a verdict" },
};

void verdict_add(struct verdict *v, enum verdict_reason reason, int value)
{
	int none = 0;

	/* The value first: who sees the reason must find it. A status is stored plus one. */
	if (reason == VERDICT_SIGNAL)
		atomic_compare_exchange_strong(&v->signal, &none, value);
	else if (reason == VERDICT_IMAGE)
		atomic_compare_exchange_strong(&v->image_status, &none, (value & 0xff) + 1);
	atomic_fetch_or(&v->reasons, 1u << reason);
}

void verdict_announce_reboot(struct verdict *v)
{
	atomic_store(&v->reboot_announced, 1);
}

static enum verdict_reason gravest(const struct verdict *v)
{
	uint32_t reasons = atomic_load(&v->reasons);
	enum verdict_reason r = 0;

	while (r < VERDICT_NONE && !(reasons >> r & 1))
		r++;
	return r;
}

/* After `reboot:` a reset is what was meant, and a triple fault is one way to make it. */
static int announced_reset(const struct verdict *v, enum verdict_reason r)
{
	return (r == VERDICT_TRIPLE_FAULT || r == VERDICT_RESET) &&
	       atomic_load(&v->reboot_announced);
}

int verdict_status(const struct verdict *v)
{
	enum verdict_reason r = gravest(v);

	if (announced_reset(v, r))
		return 0;
	if (r == VERDICT_SIGNAL)
		return STATUS_SIGNAL + atomic_load(&v->signal);
	if (r == VERDICT_IMAGE)
		return atomic_load(&v->image_status) - 1;
	return outcomes[r].status;
}

bool verdict_is_own(const struct verdict *v)
{
	return gravest(v) == VERDICT_IMAGE;
}

const char *verdict_text(const struct verdict *v)
{
	enum verdict_reason r = gravest(v);

	return announced_reset(v, r) ? "the guest rebooted" : outcomes[r].text;
}
