/* SPDX-License-Identifier: MIT */
/*
 * Puts a machine together: the one place that sees every device, with machine-devices.c, where they are made,
 * machine-hvt.c, which makes another kind of machine, and machine-exec.c, the command's end of it.
 * machine_create() reads from top to bottom as the machine is built, machine_destroy() takes it down in the
 * other order.
 */
#include "machine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/exec.h"
#include "guest/payloads.h"
#include "machine-parts.h"
#include "platform/power-button.h"
#include "term/scan.h"
#include "term/tty.h"
#include "util/clock.h"
#include "util/loop.h"
#include "util/util.h"

#define FLUSH_STEP 500 /* us, between looks whether output is written */
#define SHOWN_LINES 25 /* of the consoles, where a run fails */

/* ---- What the console tells ---- */

static void console_found(void *opaque, int what)
{
	struct machine *m = opaque;

	/* What such a guest prints is its own affair: it has a status. */
	if (m->config->hvt)
		return;
	if (what == SCAN_PANIC)
		verdict_add(&m->vm->verdict, VERDICT_PANIC, 0);
	else if (what == SCAN_REBOOT)
		verdict_announce_reboot(&m->vm->verdict);
	else if (what == SCAN_ENDED && m->exec)
		exec_seen(m->exec);
	else if (what >= SCAN_STATUS)
		machine_told_status(m, (unsigned int)what - SCAN_STATUS);
}

void machine_watched(struct machine *m, enum machine_output which, const void *data, size_t len)
{
	if (m->watchers[which].fn)
		m->watchers[which].fn(m->watchers[which].opaque, data, len);
}

static void console_printed(void *opaque, int port, const void *data, size_t len)
{
	struct machine *m = opaque;

	timeline_mark(&m->timeline, PHASE_CONSOLE);
	timeouts_active(&m->timeouts);
	log_tail_feed(&m->log_tail, data, len);
	reports_feed(&m->reports, &m->report_consoles[port], data, len);
	pthread_mutex_lock(&m->watch_lock);
	machine_watched(m, MACHINE_CONSOLE, data, len);
	pthread_mutex_unlock(&m->watch_lock);
}

/* The run goes on: what the command makes of it is worth seeing. */
static void reported(void *opaque, enum report_class class)
{
	struct machine *m = opaque;

	if (m->config->fail_on >> class & 1)
		verdict_add(&m->vm->verdict, VERDICT_REPORTED, 0);
}

static void console_leave(void *opaque)
{
	machine_stop(opaque, SIGINT);
}

static int add_tty(struct machine *m, struct err *err)
{
	const struct machine_config *c = m->config;
	struct tty_config config = {
		.in = c->in,
		.out = c->out,
		.log_fd = c->log_fd,
		.leave = console_leave,
		.found = console_found,
		.output = console_printed,
		.opaque = m,
	};

	for (unsigned int i = 0; i < TTY_PORTS; i++)
		m->report_consoles[i].stamped = c->stamped;
	return tty_create(&config, m->loop, &m->vm->config.log, &m->tty, err);
}

/* ---- The image ---- */

static int load_image(struct machine *m, struct err *err)
{
	struct arch_image image = m->config->image;
	const struct payload *p;
	int rc = machine_cmdline(m, &image.cmdline, err);

	if (rc)
		return rc;
	if (m->config->payload) {
		p = payload_find(m->config->payload);
		if (!p)
			return err_set(err, ENOENT,
				       "no payload is named %s; lkvm help payloads lists them",
				       m->config->payload);
		image.kernel = NULL;
		image.own = true;
		image.data = p->data;
		image.size = (size_t)((const char *)p->end - (const char *)p->data);
	}
	rc = arch_load(m->vm, &image, err);
	if (!rc && image.share && m->vm->mem.image.fd < 0)
		log_at(&m->vm->config.log, LOG_WARNING,
		       "nothing of the image can be shared: it is packed, small, or not aligned to pages");
	return rc;
}

/* ---- Life ---- */

unsigned int machine_virtio_devices(const struct machine_config *c)
{
	return c->n_disks + c->n_nets + c->n_shares + c->rng + c->balloon + !!c->vsock_cid +
	       !!c->exec + (c->console == CONSOLE_VIRTIO);
}

static void count_lines(const struct machine_config *c, struct vm_config *config,
			unsigned int n_virtio)
{
	config->irq_lines = arch_map.lines;
	if (machine_has_power_button(c))
		config->irq_lines = MAX(config->irq_lines, arch_map.power_button.place.gsi + 1);
	for (unsigned int slot = 0; !config->pci && slot < n_virtio; slot++)
		config->irq_lines = MAX(config->irq_lines, arch_virtio_gsi(slot) + 1);
}

static int create_vm(struct machine *m, struct err *err)
{
	const struct machine_config *c = m->config;
	struct vm_config config = c->vm;
	unsigned int n_virtio = machine_virtio_devices(c);
	int rc;

	config.pci = c->virtio_pci && n_virtio;
	config.hvt = c->hvt;
	if (!config.pci && n_virtio > arch_map.virtio_slots)
		return err_set(err, ENOSPC, "%u virtio devices: this machine has room for %u",
			       n_virtio, arch_map.virtio_slots);
	config.cmdline_devices = machine_discovery(c) == DISCOVERY_CMDLINE;
	count_lines(c, &config, n_virtio);
	rc = c->snapshot   ? machine_prepare_restore(m, &config, err)
	     : c->incoming ? machine_prepare_incoming(m, &config, err)
			   : 0;
	if (!rc)
		rc = vm_create(&config, &m->vm, err);
	if (!rc && c->triple_fault_ok)
		verdict_mean(&m->vm->verdict, VERDICT_TRIPLE_FAULT);
	if (!rc && c->reset_ok)
		verdict_mean(&m->vm->verdict, VERDICT_RESET);
	return rc;
}

typedef int (*part)(struct machine *m, struct err *err);

static int describe(struct machine *m, struct err *err)
{
	return arch_describe(m->vm, &m->devices, err);
}

static const part parts[] = {
	load_image,
	add_tty,
	machine_add_devices,
	machine_add_exec,
	machine_add_small,
	machine_start_timeouts,
	describe,
	NULL,
};

/* Image and tables are in the memory that was saved. */
static const part restored_parts[] = {
	add_tty,	   machine_add_devices,	   machine_add_exec,
	machine_add_small, machine_start_timeouts, NULL,
};

static const part hvt_parts[] = { add_tty, machine_add_hvt, machine_start_timeouts, NULL };

static int build(struct machine *m, struct err *err)
{
	int rc = create_vm(m, err);
	const part *p;

	if (rc)
		return rc;
	m->loop = loop_create("lkvm-loop");
	if (!m->loop)
		return err_set(err, ENOMEM, "no memory for the event loop");
	m->env = (struct device_env){
		.mem = &m->vm->mem,
		.mmio = &m->vm->mmio,
		.pio = &m->vm->pio,
		.chip = m->vm->chip,
		.loop = m->loop,
		.log = &m->vm->config.log,
		.driven = &m->driven,
	};
	p = m->config->snapshot || m->config->incoming ? restored_parts
	    : m->config->hvt			       ? hvt_parts
						       : parts;
	for (; !rc && *p; p++)
		rc = (*p)(m, err);
	return rc;
}

int machine_create(const struct machine_config *config, struct machine **out, struct err *err)
{
	struct machine *m = calloc(1, sizeof(*m));
	int rc;

	*out = NULL;
	if (!m)
		return err_set(err, ENOMEM, "no memory for a machine");
	m->config = config;
	reports_init(&m->reports, reported, m);
	log_tail_init(&m->log_tail);
	machine_init_descent(m);
	machine_init_migration(m);
	pthread_mutex_init(&m->watch_lock, NULL);
	pthread_mutex_init(&m->state_lock, NULL);
	timeline_mark(&m->timeline, PHASE_START);
	rc = build(m, err);
	if (rc)
		machine_destroy(m);
	else
		*out = m;
	return rc;
}

static void end_reports(struct machine *m)
{
	for (unsigned int i = 0; i < TTY_PORTS; i++)
		reports_end(&m->reports, &m->report_consoles[i]);
}

int machine_run(struct machine *m, struct err *err)
{
	int rc;

	timeline_mark(&m->timeline, PHASE_KERNEL);
	rc = vm_run(m->vm, err);
	timeline_mark(&m->timeline, PHASE_END);
	/* It did end in time: a slow reader of the console must not turn that into a timeout. */
	machine_stop_timeouts(m);
	machine_watch_descent(m);
	machine_end_migration(m);
	if (rc)
		return rc;
	/* What consoles still hold must pass the scan before the verdict is read. */
	pthread_mutex_lock(&m->state_lock);
	device_list_quiesce(&m->devices);
	pthread_mutex_unlock(&m->state_lock);
	machine_end_descent(m);
	end_reports(m);
	if (m->exec)
		exec_stopped(m->exec);
	return verdict_status(&m->vm->verdict);
}

/* What devices hold of the host, a socket perhaps, shall not wait for a reader. */
static void end_output(struct machine *m)
{
	if (!atomic_load(&m->descent.stuck))
		device_list_destroy(&m->devices);
	machine_end_streams(m);
}

static bool all_written(struct machine *m)
{
	return machine_words_over(m) && (!m->tty || tty_written(m->tty)) &&
	       machine_streams_written(m);
}

bool machine_flush(struct machine *m, unsigned int ms)
{
	uint64_t end = clock_now() + ms * CLOCK_MS;

	end_output(m);
	while (!all_written(m)) {
		if (clock_now() >= end)
			return false;
		usleep(FLUSH_STEP);
	}
	return true;
}

int machine_finish(struct machine *m)
{
	end_output(m);
	machine_finish_streams(m);
	return verdict_status(&m->vm->verdict);
}

int machine_status(struct machine *m)
{
	if (m->exec)
		exec_stopped(m->exec);
	return verdict_status(&m->vm->verdict);
}

const char *machine_why(struct machine *m)
{
	enum verdict_reason reason = verdict_reason(&m->vm->verdict);
	const struct report *report = reports_first(&m->reports, m->config->fail_on);

	if (reason == VERDICT_REPORTED && report)
		snprintf(m->why, sizeof(m->why), "the guest kernel reported %s: %s",
			 report_words(report->class), report->first);
	if ((reason == VERDICT_REPORTED || reason == VERDICT_TIMEOUT) && m->why[0])
		return m->why;
	if (m->exec && verdict_is_commands(&m->vm->verdict))
		return exec_why(m->exec);
	if (reason == VERDICT_RESET && m->config->vm.not_linux)
		return "a reset; --reset ok, if that is how this image ends";
	return verdict_text(&m->vm->verdict);
}

const char *machine_release(const struct machine *m)
{
	const char *told = m->exec ? exec_release(m->exec) : "";

	return *told ? told : m->reports.release;
}

static void show_line(void *opaque, const char *text)
{
	struct machine *m = opaque;

	log_at(&m->vm->config.log, LOG_ERROR, "| %s", text);
}

void machine_show_log(struct machine *m)
{
	if (m->config->show_log)
		log_tail_lines(&m->log_tail, SHOWN_LINES, show_line, m);
}

void machine_watch(struct machine *m, enum machine_output which, machine_output_fn fn, void *opaque)
{
	m->watchers[which].fn = fn;
	m->watchers[which].opaque = opaque;
}

const struct verdict *machine_verdict(const struct machine *m)
{
	return &m->vm->verdict;
}

const struct timeline *machine_timeline(const struct machine *m)
{
	return &m->timeline;
}

const struct reports *machine_reports(const struct machine *m)
{
	return &m->reports;
}

bool machine_own_status(const struct machine *m)
{
	return verdict_is_own(&m->vm->verdict);
}

void machine_stop(struct machine *m, int signal)
{
	vm_end(m->vm, VERDICT_SIGNAL, signal);
}

bool machine_interrupt(struct machine *m)
{
	return m->exec && exec_signal(m->exec, SIGINT);
}

void machine_poke(struct machine *m)
{
	tty_poke(m->tty);
	if (m->exec_tty)
		tty_poke(m->exec_tty);
}

bool machine_intact(const struct machine *m)
{
	return mem_intact(&m->vm->mem);
}

size_t machine_input(struct machine *m, const void *data, size_t len)
{
	return tty_feed(m->tty, data, len);
}

int machine_power_button(struct machine *m)
{
	if (m->exec)
		return exec_signal(m->exec, SIGTERM) ? 0 : -ESRCH;
	if (!m->power_button)
		return -ENODEV;
	return power_button_press(m->power_button) ? 0 : -ESRCH;
}

bool machine_sysrq(struct machine *m, char key)
{
	return !m->config->vm.not_linux && !m->config->hvt && tty_sysrq(m->tty, key);
}

const struct machine_config *machine_settings(const struct machine *m)
{
	return m->config;
}

struct loop *machine_loop(struct machine *m)
{
	return m->loop;
}

struct vm *machine_vm(struct machine *m)
{
	return m->vm;
}

struct device_list *machine_devices(struct machine *m)
{
	return &m->devices;
}

void machine_destroy(struct machine *m)
{
	machine_stop_timeouts(m);
	machine_join_last_words(m);
	machine_end_descent(m);
	machine_destroy_migration(m);
	device_list_destroy(&m->devices);
	machine_remove_hvt(m);
	if (m->config->exec)
		machine_close_exec(m);
	if (m->tty)
		tty_destroy(m->tty);
	else if (m->config->log_fd >= 0)
		close(m->config->log_fd);
	loop_destroy(m->loop);
	loop_destroy(m->clock_loop);
	end_reports(m);
	vm_destroy(m->vm);
	reports_destroy(&m->reports);
	log_tail_destroy(&m->log_tail);
	pthread_cond_destroy(&m->descent.changed);
	pthread_mutex_destroy(&m->descent.lock);
	pthread_mutex_destroy(&m->watch_lock);
	pthread_mutex_destroy(&m->state_lock);
	free(m->cmdline);
	free(m);
}
