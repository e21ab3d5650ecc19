/* SPDX-License-Identifier: MIT */
/*
 * Puts a machine together: the one place that sees every device. machine_create() reads from top to
 * bottom as the machine is built, machine_destroy() takes it down in the other order.
 */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "guest/exec.h"
#include "guest/init/exec.h"
#include "guest/payloads.h"
#include "host/disk-queue.h"
#include "host/disk.h"
#include "host/net.h"
#include "host/stream.h"
#include "platform/pl031.h"
#include "platform/pvpanic.h"
#include "term/log-tail.h"
#include "term/scan.h"
#include "term/tty-stream.h"
#include "term/tty.h"
#include "term/uart.h"
#include "util/file.h"
#include "util/loop.h"
#include "util/util.h"
#include "virtio/9p.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/mmio.h"
#include "virtio/net.h"
#include "virtio/pci.h"
#include "virtio/ports.h"
#include "virtio/rng.h"
#include "virtio/vsock.h"

/* In ms: for a key of SysRq to be taken, and for all that it makes Linux print. */
#define SYSRQ_KEY 200
#define SYSRQ_MOST 2000
#define SYSRQ_STEP 20
#define SHOWN_LINES 25 /* of the consoles, where a run fails */

struct machine {
	const struct machine_config *config;
	struct vm *vm;
	struct loop *loop;
	struct tty *tty;
	struct exec *exec;	   /* NULL: there is no command in the guest */
	struct stream *streams[3]; /* its stdin, stdout, stderr */
	struct tty *exec_tty;	   /* or its terminal */
	struct stream *exec_tty_stream;
	struct device_env env;
	struct device_list devices;
	struct pci_bus *pci; /* NULL: none is needed */
	unsigned int n_virtio;
	char names[MACHINE_DISKS][24], net_names[MACHINE_NETS][24];
	char share_names[MACHINE_SHARES][24];
	struct reports reports;
	struct report_console report_consoles[TTY_PORTS];
	struct log_tail log_tail;
	struct timeline timeline;
	struct timeouts timeouts;
	pthread_t last_words; /* of a timeout, if has_last_words */
	bool has_last_words;
	char why[REPORT_LINE + 128];
	struct {
		machine_output_fn fn; /* NULL: nobody */
		void *opaque;
	} watchers[MACHINE_OUTPUTS];
	pthread_mutex_t watch_lock; /* among consoles */
};

/* ---- What the console tells ---- */

static void console_found(void *opaque, int what)
{
	struct machine *m = opaque;

	if (what == SCAN_PANIC)
		verdict_add(&m->vm->verdict, VERDICT_PANIC, 0);
	else if (what == SCAN_REBOOT)
		verdict_announce_reboot(&m->vm->verdict);
}

static void watched(struct machine *m, enum machine_output which, const void *data, size_t len)
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
	watched(m, MACHINE_CONSOLE, data, len);
	pthread_mutex_unlock(&m->watch_lock);
}

/* The run goes on: what the command makes of it is worth seeing. */
static void reported(void *opaque, enum report_class class)
{
	struct machine *m = opaque;

	if (m->config->fail_on >> class & 1)
		verdict_add(&m->vm->verdict, VERDICT_REPORTED, 0);
}

/* The guest goes on, and says more on its console before it resets. */
static void panicked(void *opaque, unsigned int events)
{
	struct machine *m = opaque;

	(void)events;
	verdict_add(&m->vm->verdict, VERDICT_PANIC, 0);
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

/* ---- Devices ---- */

static int create_device(struct machine *m, const char *type_name, const char *name,
			 const void *config, struct device **dev, struct err *err)
{
	const struct device_type *type = device_type_find(type_name);

	if (!type)
		return err_set(err, ENOTSUP, "%s: left out of this lkvm when it was configured",
			       name);
	return type->create(&m->env, config, dev, err);
}

static int add_device(struct machine *m, const char *type_name, const char *name,
		      const void *config, struct err *err)
{
	struct device *dev;
	int rc = create_device(m, type_name, name, config, &dev, err);

	if (!rc)
		device_list_add(&m->devices, dev);
	return rc;
}

static struct irq_line line_of(const struct machine *m, const struct arch_place *place)
{
	return (struct irq_line){
		.chip = m->vm->chip,
		.gsi = place->gsi,
		.trigger = place->trigger,
	};
}

static int add_uart(struct machine *m, const struct arch_device *uart, struct err *err)
{
	struct uart_config config = {
		.name = uart->name,
		.is_pio = uart->place.is_pio,
		.base = uart->place.base,
		.irq = line_of(m, &uart->place),
		.output_only = m->config->console == CONSOLE_VIRTIO,
		.tty = m->tty,
	};

	return add_device(m, uart->type, uart->name, &config, err);
}

static int add_uarts(struct machine *m, struct err *err)
{
	int rc = 0;

	if (m->config->console == CONSOLE_NONE)
		return 0;
	for (unsigned int i = 0; !rc && i < ARCH_UARTS && arch_map.uarts[i].type; i++)
		rc = add_uart(m, &arch_map.uarts[i], err);
	return rc;
}

static int add_rtc(struct machine *m, struct err *err)
{
	const struct arch_device *rtc = &arch_map.rtc;
	struct pl031_config config = {
		.name = rtc->name,
		.base = rtc->place.base,
		.irq = line_of(m, &rtc->place),
	};

	return rtc->type ? add_device(m, rtc->type, rtc->name, &config, err) : 0;
}

static int add_pvpanic(struct machine *m, struct err *err)
{
	const struct arch_device *pvpanic = &arch_map.pvpanic;
	struct pvpanic_config config = {
		.name = pvpanic->name,
		.is_pio = pvpanic->place.is_pio,
		.base = pvpanic->place.base,
		.event = panicked,
		.opaque = m,
	};

	return add_device(m, pvpanic->type, pvpanic->name, &config, err);
}

static int add_pci(struct machine *m, struct err *err)
{
	const struct arch_pci *map = &arch_map.pci;
	struct pci_config config = {
		.ecam = map->ecam,
		.window = map->window,
		.window_size = map->window_size,
	};
	int rc;

	if (!m->vm->config.pci)
		return 0;
	for (unsigned int i = 0; i < PCI_LINES; i++)
		config.lines[i] = (struct irq_line){ m->vm->chip, map->intx[i], IRQ_LEVEL };
	rc = pci_create(&m->env, &config, &m->pci, err);
	if (!rc)
		device_list_add(&m->devices, pci_device(m->pci));
	return rc;
}

static int plug_mmio(struct machine *m, struct virtio_dev *dev, unsigned int slot, struct err *err)
{
	struct irq_line irq = {
		.chip = m->vm->chip,
		.gsi = arch_virtio_gsi(slot),
		.trigger = arch_map.virtio.trigger,
	};

	log_at(&m->vm->config.log, LOG_INFO, "%s: virtio-mmio slot %u, GSI %u", dev->device.name,
	       slot, irq.gsi);
	return virtio_mmio_plug(dev, arch_map.virtio.base + slot * arch_map.virtio_step, irq, err);
}

/* Into the next slot. The machine's list owns the device from here on, also when this fails. */
static int plug_virtio(struct machine *m, struct device *dev, struct err *err)
{
	struct virtio_dev *virtio = virtio_from_device(dev);
	unsigned int slot = m->n_virtio++;

	device_list_add(&m->devices, dev);
	return m->pci ? virtio_pci_plug(virtio, m->pci, slot, err)
		      : plug_mmio(m, virtio, slot, err);
}

static int add_virtio(struct machine *m, const char *type_name, const char *name,
		      const void *config, struct err *err)
{
	struct device *dev;
	int rc = create_device(m, type_name, name, config, &dev, err);

	return rc ? rc : plug_virtio(m, dev, err);
}

static int add_virtio_console(struct machine *m, struct err *err)
{
	struct console_config config = { .name = "virtio-console.0", .tty = m->tty };

	if (m->config->console != CONSOLE_VIRTIO)
		return 0;
	return add_virtio(m, "virtio_console", config.name, &config, err);
}

/* One file behind two devices would be two caches of one disk: the guest's file systems break. */
static int check_twice(const struct machine_config *c, unsigned int i, struct err *err)
{
	for (unsigned int j = 0; j < i; j++) {
		if (file_same(c->disks[i].path, c->disks[j].path))
			return err_set(err, EBUSY, "disk %s is given twice (%s); one device a file",
				       c->disks[i].path, c->disks[j].path);
	}
	return 0;
}

/* What was asked for by name fails now, not when the guest starts the disk. */
static int check_engine(const struct machine_disk *d, struct disk *disk, struct err *err)
{
	struct disk_queue *q;
	int rc = d->engine ? disk_queue_create(disk, 1, d->engine, &q) : 0;

	if (rc)
		return err_set(err, -rc, "disk %s: io=%s: %s; leave it out", d->path, d->engine,
			       rc == -ENOTSUP ? "for raw disks without cow only" : strerror(-rc));
	if (d->engine)
		disk_queue_destroy(q);
	return 0;
}

static int add_disk(struct machine *m, unsigned int i, struct err *err)
{
	const struct machine_disk *d = &m->config->disks[i];
	struct disk_config open = {
		.path = d->path,
		.format = d->format,
		.read_only = d->ro,
		.cow = d->cow,
		.direct = d->direct,
		.backing_any = d->backing_any,
	};
	struct blk_config config = {
		.name = m->names[i],
		.serial = d->serial,
		.engine = d->engine,
		.queues = d->queues,
		.limit = d->limit,
	};
	struct device *dev;
	int rc = check_twice(m->config, i, err);

	if (!rc)
		rc = disk_open(&open, &config.disk, err);
	if (rc)
		return rc;
	snprintf(m->names[i], sizeof(m->names[i]), "virtio-blk.%u", i);
	rc = check_engine(d, config.disk, err);
	if (!rc)
		rc = create_device(m, "virtio_blk", config.name, &config, &dev, err);
	if (rc) {
		disk_close(config.disk); /* else it is the device's */
		return rc;
	}
	return plug_virtio(m, dev, err);
}

static int add_disks(struct machine *m, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < m->config->n_disks; i++)
		rc = add_disk(m, i, err);
	return rc;
}

/* Ports that were left to us are said in any case: who asked must know. */
static void tell_ports(const struct machine *m, const struct net_config *asked,
		       const struct net_config *got)
{
	for (unsigned int i = 0; i < got->n_forwards; i++) {
		const struct net_forward *f = &got->forwards[i];

		if (!asked->forwards[i].host_port)
			log_at(&m->vm->config.log, LOG_ERROR,
			       "%s:%u is forwarded to the guest's port %u", f->address,
			       f->host_port, f->guest_port);
	}
}

/* What was asked for by name fails now, not when the guest starts the network. */
static int check_vhost(const struct machine_net *n, const struct net *net, struct err *err)
{
	int fd;

	if (n->vhost <= 0)
		return 0;
	if (!net->vhost)
		return err_set(err, ENOTSUP, "--network vhost=1: %s is none for it; leave it out",
			       net->what);
	fd = open(NET_VHOST, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_set(
			err, errno,
			"--network vhost=1: cannot open %s: %s; as root: modprobe vhost_net; "
			"or leave it out",
			NET_VHOST, strerror(errno));
	close(fd);
	return 0;
}

static int add_net(struct machine *m, unsigned int i, struct err *err)
{
	const struct machine_net *n = &m->config->nets[i];
	struct net_config net = n->net;
	struct net *nets[NET_QUEUES];
	struct nic_config config = {
		.name = m->net_names[i],
		.nets = nets,
		.pairs = net.queues,
		.mtu = (uint16_t)net.mtu,
		.vhost = n->vhost != 0,
		.limit = n->limit,
	};
	struct device *dev;
	int rc;

	snprintf(m->net_names[i], sizeof(m->net_names[i]), "virtio-net.%u", i);
	memcpy(config.mac, n->mac, sizeof(config.mac));
	rc = net_open(&net, nets, err);
	if (rc)
		return rc;
	rc = check_vhost(n, nets[0], err);
	if (!rc)
		rc = create_device(m, "virtio_net", config.name, &config, &dev, err);
	if (rc) {
		net_close(nets, net.queues); /* else they are the device's */
		return rc;
	}
	tell_ports(m, &n->net, &net);
	return plug_virtio(m, dev, err);
}

static int add_nets(struct machine *m, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < m->config->n_nets; i++)
		rc = add_net(m, i, err);
	return rc;
}

static int add_rng(struct machine *m, struct err *err)
{
	struct rng_config config = { .name = "virtio-rng.0" };

	return m->config->rng ? add_virtio(m, "virtio_rng", config.name, &config, err) : 0;
}

static int add_vsock(struct machine *m, struct err *err)
{
	struct vsock_config config = {
		.name = "virtio-vsock.0",
		.cid = m->config->vsock_cid,
		.path = m->config->vsock_path,
	};

	return config.cid ? add_virtio(m, "virtio_vsock", config.name, &config, err) : 0;
}

static int add_balloon(struct machine *m, struct err *err)
{
	struct balloon_config config = { .name = "virtio-balloon.0",
					 .target = m->config->balloon_target };

	if (!m->config->balloon)
		return 0;
	if (config.target > m->vm->config.mem)
		return err_set(err, EINVAL,
			       "the balloon shall take %llu MiB: the guest has %llu MiB",
			       (unsigned long long)(config.target / MIB),
			       (unsigned long long)(m->vm->config.mem / MIB));
	return add_virtio(m, "virtio_balloon", config.name, &config, err);
}

/* All of them may open what the process may, but for what else it needs. */
static unsigned int fds_for_each(unsigned int n)
{
	const rlim_t others = 512, most = 65536;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur <= others)
		return 0;
	return (unsigned int)MIN((limit.rlim_cur - others) / n, most);
}

/*
 * Of a command whose root is dead any status would be false: 127 for what was there a moment ago.
 * What it had told before counts (vm/verdict.h).
 */
static void root_died(void *opaque)
{
	struct machine *m = opaque;

	vm_end(m->vm, VERDICT_ROOT, 0);
}

static int add_share(struct machine *m, unsigned int i, struct err *err)
{
	const struct machine_share *s = &m->config->shares[i];
	struct p9_config config = {
		.name = m->share_names[i],
		.tag = s->tag,
		.dir = s->dir,
		.read_only = s->ro,
		.max_fds = fds_for_each(m->config->n_shares),
		.died = s->is_root ? root_died : NULL,
		.opaque = m,
	};

	snprintf(m->share_names[i], sizeof(m->share_names[i]), "virtio-9p.%u", i);
	return add_virtio(m, "virtio_9p", config.name, &config, err);
}

static int add_shares(struct machine *m, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < m->config->n_shares; i++)
		rc = add_share(m, i, err);
	return rc;
}

/* ---- The command in the guest ---- */

static void stream_failed(void *opaque)
{
	struct machine *m = opaque;

	vm_end(m->vm, VERDICT_HOST, 0);
}

static void command_ended(void *opaque, enum exec_end how, int value)
{
	static const enum verdict_reason reasons[] = {
		[EXEC_END_STATUS] = VERDICT_COMMAND,
		[EXEC_END_FAILED] = VERDICT_NO_COMMAND,
		[EXEC_END_LOST] = VERDICT_LOST,
	};
	struct machine *m = opaque;

	vm_end(m->vm, reasons[how], value);
}

static void command_told(void *opaque, uint32_t type)
{
	struct machine *m = opaque;

	timeouts_active(&m->timeouts);
	if (type == EXEC_HELLO) {
		timeline_mark(&m->timeline, PHASE_INIT);
	} else if (type == EXEC_STARTED) {
		timeline_mark(&m->timeline, PHASE_COMMAND);
		timeouts_booted(&m->timeouts);
	} else if (type == EXEC_EXITED) {
		timeline_mark(&m->timeline, PHASE_EXITED);
		/* What is left is to write output: that is its reader's time. */
		timeouts_done(&m->timeouts);
	}
}

static void command_printed(void *opaque, bool is_err, const struct iovec *iov, size_t len)
{
	struct machine *m = opaque;

	timeouts_active(&m->timeouts);
	for (; len && !is_err; iov++) {
		size_t n = MIN(iov->iov_len, len);

		watched(m, MACHINE_STDOUT, iov->iov_base, n);
		len -= n;
	}
}

static void window_changed(void *opaque)
{
	struct machine *m = opaque;
	unsigned int columns, rows;

	if (tty_size(m->exec_tty, &columns, &rows))
		exec_window(m->exec, rows, columns);
}

/* What a command prints is no kernel's word. */
static void ignore_found(void *opaque, int what)
{
	(void)opaque, (void)what;
}

static int open_terminal(struct machine *m, struct err *err)
{
	struct tty_config config = {
		.in = m->config->exec->in,
		.out = m->config->exec->out,
		.log_fd = -1,
		.leave = console_leave,
		.found = ignore_found,
		.opaque = m,
	};
	int rc = tty_create(&config, m->loop, &m->vm->config.log, &m->exec_tty, err);

	return rc ? rc : tty_stream_open(m->exec_tty, window_changed, m, &m->exec_tty_stream, err);
}

static int open_streams(struct machine *m, struct err *err)
{
	static const char *const names[] = { "standard input", "standard output",
					     "standard error" };
	const struct machine_exec *e = m->config->exec;
	const int fds[] = { e->in, e->out, e->err };
	int rc = 0;

	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(fds); i++) {
		struct stream_config config = {
			.fd = fds[i],
			.is_output = i > 0,
			.what = names[i],
			.failed = stream_failed,
			.opaque = m,
		};

		rc = stream_open(&config, m->loop, &m->vm->config.log, &m->streams[i], err);
	}
	return rc;
}

static int open_exec(struct machine *m, struct err *err)
{
	struct exec_config config = {
		.ended = command_ended,
		.told = command_told,
		.printed = command_printed,
		.opaque = m,
	};
	int rc = m->config->exec->tty ? open_terminal(m, err) : open_streams(m, err);

	config.in = m->streams[0];
	config.out = m->streams[1];
	config.err = m->streams[2];
	config.tty = m->exec_tty_stream;
	return rc ? rc : exec_create(&config, m->loop, &m->exec, err);
}

static int add_exec(struct machine *m, struct err *err)
{
	struct ports_config config = { .name = "virtio-ports.0" };
	int rc;

	_Static_assert(EXEC_PORTS <= PORTS_MAX, "a device for all of them");
	if (!m->config->exec)
		return 0;
	rc = open_exec(m, err);
	if (rc)
		return rc;
	config.n = exec_ports(m->exec, config.ports);
	return add_virtio(m, "virtio_ports", config.name, &config, err);
}

/* Those that no stream has got are still to be closed. */
static void close_exec(struct machine *m)
{
	const struct machine_exec *e = m->config->exec;
	const int fds[] = { e->in, e->out, e->err };

	exec_destroy(m->exec);
	tty_stream_close(m->exec_tty_stream);
	if (m->exec_tty)
		tty_destroy(m->exec_tty);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++) {
		if (!e->tty && !m->streams[i] && fds[i] >= 0)
			close(fds[i]);
		stream_close(m->streams[i]);
	}
}

/* ---- Ends ---- */

/* Where built-in payloads leave their exit status. */
static void debug_exit(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct machine *m = opaque;

	(void)offset;
	if (is_write)
		vm_end(m->vm, VERDICT_IMAGE, *(uint8_t *)data);
	else
		memset(data, 0xff, len);
}

static int add_debug_exit(struct machine *m, struct err *err)
{
	const struct arch_place *place = &arch_map.debug_exit;

	if (!m->config->payload)
		return 0;
	return bus_claim(place->is_pio ? &m->vm->pio : &m->vm->mmio, place->base, 1, debug_exit, m,
			 "debug-exit", err);
}

/* ---- Timeouts ---- */

static bool ended(struct machine *m)
{
	return atomic_load(&m->vm->want) == VM_END;
}

/* At most so long, and no longer than the VM lives. */
static void wait_ms(struct machine *m, unsigned int ms)
{
	for (unsigned int i = 0; i < ms && !ended(m); i += SYSRQ_STEP)
		usleep(SYSRQ_STEP * 1000);
}

/* Has Linux list its tasks; they are printed while its console moves. */
static void list_tasks(struct machine *m)
{
	uint64_t before, now = 0;

	if (!tty_sysrq(m->tty, '9')) /* all that it says goes to the console */
		return;
	wait_ms(m, SYSRQ_KEY);
	tty_sysrq(m->tty, 't');
	for (unsigned int i = 0; i < SYSRQ_MOST / SYSRQ_KEY; i++) {
		before = now;
		wait_ms(m, SYSRQ_KEY);
		now = log_tail_end(&m->log_tail);
		if (i && now == before)
			break;
	}
}

/* Where the guest hangs. On a thread of its own: it waits for vCPUs, which may wait for the loop. */
static void *say_last_words(void *opaque)
{
	struct machine *m = opaque;

	vm_dump(m->vm);
	machine_show_log(m);
	list_tasks(m);
	vm_end(m->vm, VERDICT_TIMEOUT, 0);
	return NULL;
}

static void timed_out(void *opaque, enum timeout which, bool again)
{
	struct machine *m = opaque;
	uint64_t ms = m->config->timeouts[which];

	if (ended(m))
		return;
	if (!again) {
		verdict_add(&m->vm->verdict, VERDICT_TIMEOUT, 0);
		snprintf(m->why, sizeof(m->why), "timeout: %s after %llu.%03llu s (%s)",
			 which == TIMEOUT_BOOT	    ? "no command"
			 : which == TIMEOUT_SILENCE ? "no output"
						    : "not over",
			 (unsigned long long)ms / 1000, (unsigned long long)ms % 1000,
			 timeout_option(which));
		m->has_last_words = !pthread_create(&m->last_words, NULL, say_last_words, m);
	}
	if (again || !m->has_last_words)
		vm_end(m->vm, VERDICT_TIMEOUT, 0);
}

static int start_timeouts(struct machine *m, struct err *err)
{
	struct timeouts_config config = { .expired = timed_out, .opaque = m };

	memcpy(config.ms, m->config->timeouts, sizeof(config.ms));
	return timeouts_start(&m->timeouts, &config, m->loop, err);
}

static void stop_timeouts(struct machine *m)
{
	timeouts_stop(&m->timeouts);
	if (m->has_last_words)
		pthread_join(m->last_words, NULL);
	m->has_last_words = false;
}

/* ---- The image ---- */

static int load_image(struct machine *m, struct err *err)
{
	struct arch_image image = m->config->image;
	const struct payload *p;

	if (m->config->payload) {
		p = payload_find(m->config->payload);
		if (!p)
			return err_set(err, ENOENT,
				       "no payload is named %s; lkvm help payloads lists them",
				       m->config->payload);
		image.kernel = NULL;
		image.data = p->data;
		image.size = (size_t)((const char *)p->end - (const char *)p->data);
	}
	return arch_load(m->vm, &image, err);
}

/* ---- Life ---- */

unsigned int machine_virtio_devices(const struct machine_config *c)
{
	return c->n_disks + c->n_nets + c->n_shares + c->rng + c->balloon + !!c->vsock_cid +
	       !!c->exec + (c->console == CONSOLE_VIRTIO);
}

static void count_lines(struct vm_config *config, unsigned int n_virtio)
{
	config->irq_lines = arch_map.lines;
	for (unsigned int slot = 0; !config->pci && slot < n_virtio; slot++)
		config->irq_lines = MAX(config->irq_lines, arch_virtio_gsi(slot) + 1);
}

static int create_vm(struct machine *m, struct err *err)
{
	const struct machine_config *c = m->config;
	struct vm_config config = c->vm;
	unsigned int n_virtio = machine_virtio_devices(c);

	config.pci = c->virtio_pci && n_virtio;
	if (!config.pci && n_virtio > arch_map.virtio_slots)
		return err_set(err, ENOSPC, "%u virtio devices: this machine has room for %u",
			       n_virtio, arch_map.virtio_slots);
	count_lines(&config, n_virtio);
	return vm_create(&config, &m->vm, err);
}

/* In this order: it is that of addresses, and of the names that guests give. */
static int (*const parts[])(struct machine *m, struct err *err) = {
	load_image,	    add_tty,   add_uarts,      add_rtc,	       add_pvpanic, add_pci,
	add_virtio_console, add_disks, add_nets,       add_rng,	       add_vsock,   add_balloon,
	add_shares,	    add_exec,  add_debug_exit, start_timeouts,
};

static int build(struct machine *m, struct err *err)
{
	int rc = create_vm(m, err);

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
	};
	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(parts); i++)
		rc = parts[i](m, err);
	return rc ? rc : arch_describe(m->vm, &m->devices, err);
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
	pthread_mutex_init(&m->watch_lock, NULL);
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

static int final_status(const struct machine *m)
{
	const struct verdict *v = &m->vm->verdict;

	if (m->config->triple_fault_ok && atomic_load(&v->reasons) == 1u << VERDICT_TRIPLE_FAULT)
		return 0;
	return verdict_status(v);
}

int machine_run(struct machine *m, struct err *err)
{
	int rc;

	timeline_mark(&m->timeline, PHASE_KERNEL);
	rc = vm_run(m->vm, err);
	timeline_mark(&m->timeline, PHASE_END);
	/* It did end in time: a slow reader of the console must not turn that into a timeout. */
	stop_timeouts(m);
	if (rc)
		return rc;
	/* What consoles still hold must pass the scan before the verdict is read. */
	device_list_quiesce(&m->devices);
	end_reports(m);
	if (m->exec)
		exec_stopped(m->exec);
	return final_status(m);
}

int machine_finish(struct machine *m)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(m->streams); i++) {
		if (m->streams[i])
			stream_finish(m->streams[i]);
	}
	return final_status(m);
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
	stop_timeouts(m);
	device_list_destroy(&m->devices);
	if (m->config->exec)
		close_exec(m);
	if (m->tty)
		tty_destroy(m->tty);
	else if (m->config->log_fd >= 0)
		close(m->config->log_fd);
	loop_destroy(m->loop);
	end_reports(m);
	vm_destroy(m->vm);
	reports_destroy(&m->reports);
	log_tail_destroy(&m->log_tail);
	pthread_mutex_destroy(&m->watch_lock);
	free(m);
}
