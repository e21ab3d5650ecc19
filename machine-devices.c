/* SPDX-License-Identifier: MIT */
/* A machine's devices, from its configuration. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/disk-queue.h"
#include "host/disk.h"
#include "host/net.h"
#include "machine-parts.h"
#include "platform/pl031.h"
#include "platform/power-button.h"
#include "platform/pvpanic.h"
#include "platform/vmgenid.h"
#include "term/uart.h"
#include "util/file.h"
#include "util/util.h"
#include "virtio/9p.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/mmio.h"
#include "virtio/net.h"
#include "virtio/pci.h"
#include "virtio/rng.h"
#include "virtio/vsock.h"

static int create_device(struct machine *m, const char *type_name, const char *name,
			 const void *config, struct device **dev, struct err *err)
{
	const struct device_type *type = device_type_find(type_name);

	if (!type)
		return err_set(err, ENOTSUP, "%s: left out of this lkvm when it was configured",
			       name);
	return type->create(&m->env, config, dev, err);
}

int machine_add_device(struct machine *m, const char *type_name, const char *name,
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

	return machine_add_device(m, uart->type, uart->name, &config, err);
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

	return rtc->type ? machine_add_device(m, rtc->type, rtc->name, &config, err) : 0;
}

/* The guest goes on, and says more on its console before it resets. */
static void panicked(void *opaque, unsigned int events)
{
	struct machine *m = opaque;

	(void)events;
	verdict_add(&m->vm->verdict, VERDICT_PANIC, 0);
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

	return machine_add_device(m, pvpanic->type, pvpanic->name, &config, err);
}

bool machine_has_power_button(const struct machine_config *c)
{
	return arch_map.power_button.type && !c->vm.not_linux && !c->payload && !c->hvt && !c->exec;
}

static int add_power_button(struct machine *m, struct err *err)
{
	const struct arch_device *button = &arch_map.power_button;
	struct power_button_config config = {
		.name = button->name,
		.is_pio = button->place.is_pio,
		.base = button->place.base,
		.irq = line_of(m, &button->place),
	};
	int rc;

	if (!machine_has_power_button(m->config))
		return 0;
	rc = create_device(m, button->type, button->name, &config, &m->power_button, err);
	if (!rc)
		device_list_add(&m->devices, m->power_button);
	return rc;
}

/* Where there is no button there is nobody to ask for it. */
static int add_vmgenid(struct machine *m, struct err *err)
{
	const struct arch_device *vmgenid = &arch_map.vmgenid;
	struct power_button *button;
	struct vmgenid_config config = {
		.name = vmgenid->name,
		.gpa = vmgenid->place.base,
		.irq = line_of(m, &vmgenid->place),
		.same_vm = m->config->incoming,
	};

	if (!m->power_button)
		return 0;
	button = container_of(m->power_button, struct power_button, dev);
	config.tell = button->tell_vmgenid;
	config.opaque = button;
	return machine_add_device(m, vmgenid->type, vmgenid->name, &config, err);
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

int machine_add_virtio(struct machine *m, const char *type_name, const char *name,
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
	return machine_add_virtio(m, "virtio_console", config.name, &config, err);
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
		.unlocked = m->config->incoming && !machine_disks_come(m->config),
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
	m->disks[i] = config.disk;
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
	for (unsigned int q = 0; q < net.queues; q++)
		m->net_queues[m->n_net_queues++] = nets[q];
	if (!net.handed)
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

	return m->config->rng ? machine_add_virtio(m, "virtio_rng", config.name, &config, err) : 0;
}

static int add_vsock(struct machine *m, struct err *err)
{
	struct vsock_config config = {
		.name = "virtio-vsock.0",
		.cid = m->config->vsock_cid,
		.path = m->config->vsock_path,
	};

	return config.cid ? machine_add_virtio(m, "virtio_vsock", config.name, &config, err) : 0;
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
	return machine_add_virtio(m, "virtio_balloon", config.name, &config, err);
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
	return machine_add_virtio(m, "virtio_9p", config.name, &config, err);
}

static int add_shares(struct machine *m, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < m->config->n_shares; i++)
		rc = add_share(m, i, err);
	return rc;
}

/* In this order: it is that of addresses, and of the names that guests give. */
static int (*const all[])(struct machine *m, struct err *err) = {
	add_uarts,	    add_rtc,   add_pvpanic, add_power_button, add_vmgenid, add_pci,
	add_virtio_console, add_disks, add_nets,    add_rng,	      add_vsock,   add_balloon,
	add_shares,
};

int machine_add_devices(struct machine *m, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < ARRAY_SIZE(all); i++)
		rc = all[i](m, err);
	return rc;
}
