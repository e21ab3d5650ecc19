/* SPDX-License-Identifier: MIT */
#include "vm/irq.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/util.h"

int irq_fd(const struct irq_line *line)
{
	int fd, rc;

	if (!line->chip || !line->chip->bind_fd || line->trigger != IRQ_EDGE)
		return -ENOTSUP;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	rc = line->chip->bind_fd(line->chip, line, fd, true);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

void irq_fd_close(const struct irq_line *line, int fd)
{
	line->chip->bind_fd(line->chip, line, fd, false);
	close(fd);
}

int irq_init(struct irq *irq, int vm_fd, uint32_t chip_lines)
{
	if (chip_lines > IRQ_ROUTES)
		return -EINVAL;
	*irq = (struct irq){ .vm_fd = vm_fd };
	memset(irq->used, 1, chip_lines);
	pthread_mutex_init(&irq->lock, NULL);
	return 0;
}

void irq_destroy(struct irq *irq)
{
	free(irq->routes);
	irq->routes = NULL;
	pthread_mutex_destroy(&irq->lock);
}

int irq_msi_alloc(struct irq *irq, uint32_t *gsi)
{
	int rc = -ENOSPC;

	pthread_mutex_lock(&irq->lock);
	for (uint32_t i = 0; i < IRQ_ROUTES; i++) {
		if (irq->used[i])
			continue;
		irq->used[i] = 1;
		*gsi = i;
		rc = 0;
		break;
	}
	pthread_mutex_unlock(&irq->lock);
	return rc;
}

static struct kvm_irq_routing_entry *find_route(struct kvm_irq_routing *t, uint32_t gsi)
{
	for (uint32_t i = 0; i < t->nr; i++) {
		if (t->entries[i].gsi == gsi)
			return &t->entries[i];
	}
	return NULL;
}

/* Changes the table in memory; true if KVM must be told. With the lock held. */
static bool edit_route(struct kvm_irq_routing *t, uint32_t gsi, uint64_t address, uint32_t data)
{
	struct kvm_irq_routing_entry *e = find_route(t, gsi);
	struct kvm_irq_routing_entry want = {
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi.address_lo = (uint32_t)address,
		.u.msi.address_hi = (uint32_t)(address >> 32),
		.u.msi.data = data,
	};

	if (!address) {
		if (!e)
			return false;
		*e = t->entries[--t->nr];
		return true;
	}
	if (e && !memcmp(e, &want, sizeof(want)))
		return false;
	if (!e)
		e = &t->entries[t->nr++];
	*e = want;
	return true;
}

/* A table of ours replaces KVM's own, so it begins with what that held. */
static struct kvm_irq_routing *new_table(uint32_t pins)
{
	struct kvm_irq_routing *t;

	t = calloc(1, sizeof(*t) + IRQ_ROUTES * sizeof(t->entries[0]));
	for (; t && t->nr < pins; t->nr++) {
		t->entries[t->nr] = (struct kvm_irq_routing_entry){
			.gsi = t->nr,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip.pin = t->nr,
		};
	}
	return t;
}

int irq_route_set(struct irq *irq, uint32_t gsi, uint64_t address, uint32_t data)
{
	int rc = 0;

	if (gsi >= IRQ_ROUTES)
		return -EINVAL;
	pthread_mutex_lock(&irq->lock);
	if (!irq->routes)
		irq->routes = new_table(irq->pins);
	if (!irq->routes)
		rc = -ENOMEM;
	else if (edit_route(irq->routes, gsi, address, data) &&
		 ioctl(irq->vm_fd, KVM_SET_GSI_ROUTING, irq->routes))
		rc = -errno;
	pthread_mutex_unlock(&irq->lock);
	return rc;
}

void irq_msi_free(struct irq *irq, uint32_t gsi)
{
	irq_route_set(irq, gsi, 0, 0);
	pthread_mutex_lock(&irq->lock);
	irq->used[gsi % IRQ_ROUTES] = 0;
	pthread_mutex_unlock(&irq->lock);
}

int irq_msi_send(struct irq *irq, const struct msi *msi, bool with_devid)
{
	struct kvm_msi arg = {
		.address_lo = (uint32_t)msi->address,
		.address_hi = (uint32_t)(msi->address >> 32),
		.data = msi->data,
		.flags = with_devid ? KVM_MSI_VALID_DEVID : 0,
		.devid = msi->devid,
	};

	return ioctl(irq->vm_fd, KVM_SIGNAL_MSI, &arg) < 0 ? -errno : 0;
}

int irq_kvm_irqfd(struct irq *irq, uint32_t gsi, int fd, bool bind)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = bind ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	return ioctl(irq->vm_fd, KVM_IRQFD, &irqfd) ? -errno : 0;
}
