/* SPDX-License-Identifier: MIT */
#include "vm/verdict.h"

static const struct {
	int status;
	const char *word, *text;
} outcomes[] = {
	[VERDICT_SIGNAL] = { STATUS_SIGNAL, "signal", "ended by a signal" },
	[VERDICT_HOST] = { STATUS_HOST_FAILED, "host-failed", "the host's side failed" },
	[VERDICT_PANIC] = { STATUS_GUEST_DIED, "panic", "the guest kernel panicked" },
	[VERDICT_KVM] = { STATUS_GUEST_DIED, "kvm", "KVM could not run the guest any further" },
	[VERDICT_FAULT] = { STATUS_GUEST_DIED, "fault",
			    "the guest did what its interface does not allow" },
	[VERDICT_CRASH] = { STATUS_GUEST_DIED, "crash", "the guest reported a crash" },
	[VERDICT_TRIPLE_FAULT] = { STATUS_GUEST_DIED, "triple-fault", "triple fault" },
	[VERDICT_RESET] = { STATUS_GUEST_DIED, "reset", "a reset that no kernel announced" },
	[VERDICT_ROOT] = { STATUS_GUEST_DIED, "root-died",
			   "the directory that is the guest's root is gone" },
	[VERDICT_TIMEOUT] = { STATUS_TIMEOUT, "timeout", "timeout" },
	[VERDICT_NO_COMMAND] = { STATUS_HOST_FAILED, "no-command",
				 "the guest could not run the command" },
	[VERDICT_LOST] = { STATUS_GUEST_DIED, "lost",
			   "the guest did not tell the command's status" },
	[VERDICT_REPORTED] = { STATUS_REPORTED, "reported", "the guest kernel reported a failure" },
	[VERDICT_COMMAND] = { 0, "command", "the command ended" },
	[VERDICT_IMAGE] = { 0, "image", "the image ended with its own status" },
	[VERDICT_MOVED] = { 0, "moved", "the guest was migrated and runs elsewhere" },
	[VERDICT_POWEROFF] = { 0, "poweroff", "the guest powered off" },
	[VERDICT_NONE] = { STATUS_GUEST_DIED, "none", "ended without a verdict" },
};

#define BIT(reason) (1u << (reason))
#define TOLD (BIT(VERDICT_COMMAND) | BIT(VERDICT_NO_COMMAND))

/* The value first: who sees the reason must find it. A status is stored plus one. */
static void keep_value(struct verdict *v, enum verdict_reason reason, int value)
{
	int none = 0;

	if (reason == VERDICT_SIGNAL)
		atomic_compare_exchange_strong(&v->signal, &none, value);
	else if (reason == VERDICT_IMAGE)
		atomic_compare_exchange_strong(&v->image_status, &none, (value & 0xff) + 1);
	else if (reason == VERDICT_COMMAND)
		atomic_compare_exchange_strong(&v->command_status, &none, (value & 0xff) + 1);
}

void verdict_add(struct verdict *v, enum verdict_reason reason, int value)
{
	uint32_t before = atomic_load(&v->reasons);

	keep_value(v, reason, value);
	do {
		if ((reason == VERDICT_TIMEOUT || reason == VERDICT_ROOT) && before & TOLD)
			return;
	} while (!atomic_compare_exchange_weak(&v->reasons, &before, before | BIT(reason)));
	if (v->told && !(before & BIT(reason)))
		v->told(v->told_opaque);
}

void verdict_mean(struct verdict *v, enum verdict_reason reason)
{
	v->meant |= BIT(reason);
}

void verdict_announce_reboot(struct verdict *v)
{
	atomic_store(&v->reboot_announced, 1);
}

/* After `reboot:` a reset is what was meant, and a triple fault is one way to make it. */
static bool announced_reset(const struct verdict *v, enum verdict_reason r)
{
	return (r == VERDICT_TRIPLE_FAULT || r == VERDICT_RESET) &&
	       atomic_load(&v->reboot_announced);
}

/* How a guest ends that has told how its command went does not matter, if it did not crash. */
static bool counts(const struct verdict *v, enum verdict_reason r, uint32_t reasons)
{
	return reasons & BIT(r) &&
	       !(reasons & TOLD && (r == VERDICT_RESET || announced_reset(v, r)));
}

enum verdict_reason verdict_reason(const struct verdict *v)
{
	/* A reboot is no success then: a status was to be told, or it was late, or had its reports. */
	const uint32_t still = BIT(VERDICT_LOST) | BIT(VERDICT_TIMEOUT) | BIT(VERDICT_REPORTED) |
			       BIT(VERDICT_ROOT);
	uint32_t reasons = atomic_load(&v->reasons);
	enum verdict_reason r = 0;

	if (reasons & v->meant)
		reasons = (reasons & ~v->meant) | BIT(VERDICT_POWEROFF);
	if (reasons & still && atomic_load(&v->reboot_announced))
		reasons &= ~(BIT(VERDICT_TRIPLE_FAULT) | BIT(VERDICT_RESET));
	while (r < VERDICT_NONE && !counts(v, r, reasons))
		r++;
	return r;
}

int verdict_status(const struct verdict *v)
{
	enum verdict_reason r = verdict_reason(v);

	if (announced_reset(v, r))
		return 0;
	if (r == VERDICT_SIGNAL)
		return STATUS_SIGNAL + atomic_load(&v->signal);
	if (r == VERDICT_IMAGE)
		return atomic_load(&v->image_status) - 1;
	if (r == VERDICT_COMMAND)
		return atomic_load(&v->command_status) - 1;
	return outcomes[r].status;
}

bool verdict_is_own(const struct verdict *v)
{
	enum verdict_reason r = verdict_reason(v);

	return r == VERDICT_IMAGE || r == VERDICT_COMMAND;
}

const char *verdict_text(const struct verdict *v)
{
	enum verdict_reason r = verdict_reason(v);

	return announced_reset(v, r) ? "the guest rebooted" : outcomes[r].text;
}

bool verdict_is_commands(const struct verdict *v)
{
	enum verdict_reason r = verdict_reason(v);

	return r == VERDICT_NO_COMMAND || r == VERDICT_LOST;
}

const char *verdict_word(const struct verdict *v)
{
	enum verdict_reason r = verdict_reason(v);

	return announced_reset(v, r) ? "reboot" : outcomes[r].word;
}

int verdict_bisect(int status, bool own)
{
	return own && status >= STATUS_HOST_FAILED ? 1 : status;
}
