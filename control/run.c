/* SPDX-License-Identifier: MIT */
/* Commands that stop a VM, let it go on, and end it. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "control/parts.h"
#include "util/util.h"

static bool has_begun(struct vm *vm)
{
	bool has;

	pthread_mutex_lock(&vm->lock);
	has = vm->live;
	pthread_mutex_unlock(&vm->lock);
	return has;
}

static int query_status(struct call *call)
{
	struct control *c = call->control;
	bool ending = atomic_load(&c->vm->want) == VM_END;
	bool begun = has_begun(c->vm);
	bool panicked = atomic_load(&c->vm->verdict.reasons) >> VERDICT_PANIC & 1;
	struct machine_migration_state moved;
	bool still;
	struct json *j = call->reply;

	machine_migration_state(c->config.machine, &moved);
	still = moved.status == MIGRATION_UNKNOWN || moved.progress.stopped;
	json_object(j, "return");
	json_bool(j, "running", begun && !c->stopped && !ending && !still);
	json_string(j, "status",
		    ending	 ? "shutdown"
		    : !begun	 ? "prelaunch"
		    : c->stopped ? "paused"
		    : still ? moved.status == MIGRATION_UNKNOWN ? "postmigrate" : "finish-migrate"
		    : panicked ? "guest-panicked"
			       : "running");
	json_end_object(j);
	return 0;
}

int control_not_running(struct call *call, int rc)
{
	return err_set(call->err, -rc, "%s",
		       rc == -ESRCH ? "the guest does not run: it has not begun, or has ended"
		       : rc == -ETIMEDOUT
			       ? "a CPU of the guest's does not stop: lkvm waits for the host there"
			       : strerror(-rc));
}

static int stop(struct call *call)
{
	struct control *c = call->control;
	int rc;

	/* The guest would run there. */
	if (control_is_migrating(c))
		return err_set(call->err, EBUSY,
			       "the guest is being migrated: migrate_cancel first");
	rc = c->stopped ? 0 : vm_pause(c->vm);
	if (rc)
		return control_not_running(call, rc);
	if (!c->stopped)
		control_event(c, "STOP", NULL, NULL);
	c->stopped = true;
	return 0;
}

static int cont(struct call *call)
{
	struct control *c = call->control;

	if (!c->stopped) {
		int rc = machine_migrate_take_back(c->config.machine, call->err);

		if (rc)
			return rc == -EINVAL ? 0 : rc;
		control_event(c, "RESUME", NULL, NULL);
		return 0;
	}
	c->stopped = false;
	control_event(c, "RESUME", NULL, NULL);
	vm_resume(c->vm);
	return 0;
}

/* The answer is on its way before the end can be. */
static int end(struct control *c, const char *why)
{
	c->ended = c->ended ? c->ended : why;
	machine_stop(c->config.machine, SIGTERM);
	return 0;
}

static int quit(struct call *call)
{
	return end(call->control, "host-qmp-quit");
}

/* As with QEMU's -no-reboot: a reset is a run's end here, whoever asks for it. */
static int system_reset(struct call *call)
{
	const char *why = "host-qmp-system-reset";

	if (!call->control->ended)
		control_event(call->control, "RESET", control_ended_by, why);
	return end(call->control, why);
}

static int system_powerdown(struct call *call)
{
	struct control *c = call->control;
	int rc = has_begun(c->vm) ? machine_power_button(c->config.machine) : -ESRCH;

	if (rc == -ENODEV) {
		call->class = "DeviceNotActive";
		return err_set(call->err, ENODEV, "this guest is no Linux: it has no power button");
	}
	if (rc)
		return err_set(call->err, -rc, "nobody in the guest listens to a power button now");
	control_event(c, "POWERDOWN", NULL, NULL);
	return 0;
}

static int nmi(struct call *call, unsigned int cpu)
{
	int rc = vm_nmi(call->control->vm, cpu);

	if (rc == -ENOTSUP)
		return err_set(call->err, ENOTSUP,
			       "this machine's processors have no NMI that KVM could inject");
	return rc ? control_not_running(call, rc) : 0;
}

static int inject_nmi(struct call *call)
{
	unsigned int n = atomic_load(&call->control->vm->n_vcpus);
	int rc = n ? 0 : control_not_running(call, -ESRCH);

	for (unsigned int cpu = 0; !rc && cpu < n; cpu++)
		rc = nmi(call, cpu);
	return rc;
}

static int one_nmi(struct call *call)
{
	unsigned int n = atomic_load(&call->control->vm->n_vcpus);
	int64_t cpu;

	if (!json_get_int(call->tree, call->args, "cpu", &cpu))
		return err_set(call->err, EINVAL, "'cpu' is missing, or is no number");
	if (cpu < 0 || cpu >= n)
		return err_set(call->err, EINVAL, "there is no CPU %lld", (long long)cpu);
	return nmi(call, (unsigned int)cpu);
}

static int sysrq(struct call *call)
{
	const char *key = json_get_string(call->tree, call->args, "key");

	if (!key || !key[0] || key[1] || key[0] < '0' || key[0] > 'z')
		return err_set(call->err, EINVAL, "'key' is one letter or digit");
	if (call->control->stopped)
		return err_set(call->err, EBUSY, "the guest is stopped");
	if (!machine_sysrq(call->control->config.machine, key[0]))
		return err_set(call->err, ENODEV,
			       "no Linux listens at the console that has the input");
	return 0;
}

const struct control_command control_run_commands[] = {
	{ "query-status", "", query_status, false },
	{ "stop", "", stop, false },
	{ "cont", "", cont, false },
	{ "quit", "", quit, false },
	{ "system_powerdown", "", system_powerdown, false },
	{ "system_reset", "", system_reset, false },
	{ "inject-nmi", "", inject_nmi, false },
	{ "x-lkvm-nmi", "cpu", one_nmi, false },
	{ "x-lkvm-sysrq", "key", sysrq, false },
	{ NULL, NULL, NULL, false },
};
