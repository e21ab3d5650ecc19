/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A redirection entry is an MSI in another spelling, and that is how it is
 * delivered: at once by KVM_SIGNAL_MSI, which needs no route. A route in KVM's table is kept for
 * two kinds of pin only: level-triggered ones (by it KVM knows that the vector's EOI must exit to
 * us), and pins with an eventfd bound. Rewriting routes is slow, so only a change to an unmasked
 * entry does it.
 *
 * Masked pins: an edge is latched and delivered on unmask. An eventfd is taken from KVM while its
 * pin is masked; its counter is then the latch, since KVM looks at it when it is given back.
 */
#include "x86/ioapic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/util.h"
#include "x86/map.h"

#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define REG_EOI 0x40

#define INDEX_ID 0x00
#define INDEX_VERSION 0x01
#define INDEX_ARBITRATION 0x02
#define INDEX_REDIRECTION 0x10

#define RTE_VECTOR 0xffull
#define RTE_DELIVERY (7ull << 8)
#define RTE_LOGICAL (1ull << 11)
#define RTE_STATUS (1ull << 12)
#define RTE_REMOTE_IRR (1ull << 14)
#define RTE_LEVEL (1ull << 15)
#define RTE_MASKED (1ull << 16)
#define RTE_DEST_SHIFT 56
#define RTE_READ_ONLY (RTE_STATUS | RTE_REMOTE_IRR)
#define RTE_WRITABLE (0xff0000000001ffffull & ~RTE_READ_ONLY)

static uint64_t msi_address(uint64_t rte)
{
	return X86_LAPIC | (rte >> RTE_DEST_SHIFT) << 12 | (rte & RTE_LOGICAL ? 4 : 0);
}

static uint32_t msi_data(uint64_t rte)
{
	return (uint32_t)(rte & (RTE_VECTOR | RTE_DELIVERY)) |
	       (rte & RTE_LEVEL ? 1u << 15 | 1u << 14 : 0);
}

/* Sends what the pin has to say, if it may. With the lock held. */
static void deliver(struct ioapic *io, uint32_t pin)
{
	uint64_t *rte = &io->st.redirection[pin];

	if (*rte & RTE_MASKED)
		return;
	if (*rte & RTE_LEVEL) {
		if (!io->st.level[pin] || *rte & RTE_REMOTE_IRR)
			return;
		*rte |= RTE_REMOTE_IRR;
	} else {
		if (!io->st.latched[pin])
			return;
	}
	io->st.latched[pin] = 0;
	irq_msi_send(io->irq, &(struct msi){ msi_address(*rte), msi_data(*rte), 0 }, false);
}

/* Brings KVM's routes and irqfds in line with the entry. With the lock held. */
static void update_route(struct ioapic *io, uint32_t pin)
{
	uint64_t rte = io->st.redirection[pin];
	bool masked = rte & RTE_MASKED;
	bool attach = !masked && io->fd[pin] >= 0;

	if (io->attached[pin] && !attach) {
		irq_kvm_irqfd(io->irq, pin, io->fd[pin], false);
		io->attached[pin] = false;
	}
	/* The route of a masked pin is left alone: Linux masks and unmasks around every change. */
	if (!masked && (io->fd[pin] >= 0 || rte & RTE_LEVEL))
		irq_route_set(io->irq, pin, msi_address(rte), msi_data(rte));
	if (attach && !io->attached[pin])
		io->attached[pin] = !irq_kvm_irqfd(io->irq, pin, io->fd[pin], true);
}

static void ioapic_raise(struct irq_chip *chip, const struct irq_line *line)
{
	struct ioapic *io = container_of(chip, struct ioapic, chip);

	if (line->gsi >= chip->lines)
		return;
	pthread_mutex_lock(&io->lock);
	if (line->trigger == IRQ_LEVEL)
		io->st.level[line->gsi] = 1;
	io->st.latched[line->gsi] = 1;
	deliver(io, line->gsi);
	pthread_mutex_unlock(&io->lock);
}

static void ioapic_lower(struct irq_chip *chip, const struct irq_line *line)
{
	struct ioapic *io = container_of(chip, struct ioapic, chip);

	if (line->gsi >= chip->lines)
		return;
	pthread_mutex_lock(&io->lock);
	io->st.level[line->gsi] = 0;
	pthread_mutex_unlock(&io->lock);
}

static int ioapic_bind_fd(struct irq_chip *chip, const struct irq_line *line, int fd, bool bind)
{
	struct ioapic *io = container_of(chip, struct ioapic, chip);
	uint32_t pin = line->gsi;

	if (pin >= chip->lines)
		return -EINVAL;
	pthread_mutex_lock(&io->lock);
	if (io->attached[pin])
		irq_kvm_irqfd(io->irq, pin, io->fd[pin], false);
	io->attached[pin] = false;
	io->fd[pin] = bind ? fd : -1;
	update_route(io, pin);
	pthread_mutex_unlock(&io->lock);
	return 0;
}

/* Straight to the local APICs. */
static void ioapic_send_msi(struct irq_chip *chip, const struct msi *msi)
{
	irq_msi_send(container_of(chip, struct ioapic, chip)->irq, msi, false);
}

static void end_of_interrupt(struct ioapic *io, uint8_t vector)
{
	for (uint32_t pin = 0; pin < io->chip.lines; pin++) {
		uint64_t *rte = &io->st.redirection[pin];

		if ((*rte & RTE_VECTOR) != vector || !(*rte & RTE_LEVEL))
			continue;
		*rte &= ~RTE_REMOTE_IRR;
		deliver(io, pin);
	}
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
	pthread_mutex_lock(&io->lock);
	end_of_interrupt(io, vector);
	pthread_mutex_unlock(&io->lock);
}

static uint32_t read_index(const struct ioapic *io, uint32_t index)
{
	uint32_t pin = (index - INDEX_REDIRECTION) / 2;

	switch (index) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return io->st.id;
	case INDEX_VERSION:
		return 0x20 | (io->chip.lines - 1) << 16;
	}
	if (index < INDEX_REDIRECTION || pin >= io->chip.lines)
		return 0;
	return (uint32_t)(io->st.redirection[pin] >> (index & 1 ? 32 : 0));
}

static void write_redirection(struct ioapic *io, uint32_t pin, bool high, uint32_t value)
{
	uint64_t old = io->st.redirection[pin];
	uint64_t rte = high ? (uint32_t)old | (uint64_t)value << 32 : (old >> 32) << 32 | value;

	rte = (rte & RTE_WRITABLE) | (old & RTE_READ_ONLY);
	/* An entry made edge-triggered forgets the level interrupt that it had in service. */
	if (!(rte & RTE_LEVEL))
		rte &= ~RTE_REMOTE_IRR;
	io->st.redirection[pin] = rte;
	if (rte != old)
		update_route(io, pin);
	deliver(io, pin);
}

static void write_index(struct ioapic *io, uint32_t index, uint32_t value)
{
	uint32_t pin = (index - INDEX_REDIRECTION) / 2;

	if (index == INDEX_ID)
		io->st.id = value & 0x0f000000;
	else if (index >= INDEX_REDIRECTION && pin < io->chip.lines)
		write_redirection(io, pin, index & 1, value);
}

static void access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct ioapic *io = opaque;
	uint32_t value = 0;

	pthread_mutex_lock(&io->lock);
	if (is_write) {
		value = (uint32_t)get_le(data, MIN(len, 4u));
		if (offset == REG_SELECT)
			io->st.select = value & 0xff;
		else if (offset == REG_WINDOW)
			write_index(io, io->st.select, value);
		else if (offset == REG_EOI)
			end_of_interrupt(io, (uint8_t)value);
	} else {
		if (offset == REG_SELECT)
			value = io->st.select;
		else if (offset == REG_WINDOW)
			value = read_index(io, io->st.select);
		put_le(data, value, len);
	}
	pthread_mutex_unlock(&io->lock);
}

static void reset(struct device *dev)
{
	struct ioapic *io = container_of(dev, struct ioapic, device);

	pthread_mutex_lock(&io->lock);
	memset(&io->st, 0, sizeof(io->st));
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		io->st.redirection[pin] = RTE_MASKED;
		update_route(io, pin);
	}
	pthread_mutex_unlock(&io->lock);
}

static void save(struct device *dev, struct buf *out)
{
	struct ioapic *io = container_of(dev, struct ioapic, device);

	buf_put(out, &io->st, sizeof(io->st));
}

static int load(struct device *dev, struct reader *in)
{
	struct ioapic *io = container_of(dev, struct ioapic, device);
	struct ioapic_state st;

	reader_get(in, &st, sizeof(st));
	if (in->failed || st.select > 0xff)
		return -EINVAL;
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		if (st.redirection[pin] & ~(RTE_WRITABLE | RTE_READ_ONLY) || st.level[pin] > 1 ||
		    st.latched[pin] > 1)
			return -EINVAL;
	}
	pthread_mutex_lock(&io->lock);
	io->st = st;
	for (uint32_t pin = 0; pin < io->chip.lines; pin++)
		update_route(io, pin);
	pthread_mutex_unlock(&io->lock);
	return 0;
}

static void destroy(struct device *dev)
{
	struct ioapic *io = container_of(dev, struct ioapic, device);

	bus_release(io->mmio, X86_IOAPIC);
	pthread_mutex_destroy(&io->lock);
	free(io);
}

static const struct device_ops ops = {
	.reset = reset,
	.save = save,
	.load = load,
	.destroy = destroy,
};

int ioapic_create(struct irq *irq, struct bus *mmio, uint32_t pins, struct ioapic **out,
		  struct err *err)
{
	struct ioapic *io;
	int rc;

	if (!pins || pins > IOAPIC_PINS)
		return err_set(err, EINVAL, "%u interrupt lines: KVM's split irqchip has %u", pins,
			       IOAPIC_PINS);
	io = calloc(1, sizeof(*io));
	if (!io)
		return err_set(err, ENOMEM, "no memory for the IOAPIC");
	rc = bus_claim(mmio, X86_IOAPIC, X86_IOAPIC_SIZE, access, io, "ioapic", err);
	if (rc) {
		free(io);
		return rc;
	}
	io->device = (struct device){
		.ops = &ops,
		.name = "ioapic",
		.base = X86_IOAPIC,
		.size = X86_IOAPIC_SIZE,
	};
	io->chip = (struct irq_chip){
		.lines = pins,
		.raise = ioapic_raise,
		.lower = ioapic_lower,
		.bind_fd = ioapic_bind_fd,
		.send_msi = ioapic_send_msi,
	};
	io->irq = irq;
	io->mmio = mmio;
	pthread_mutex_init(&io->lock, NULL);
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		io->fd[pin] = -1;
		io->st.redirection[pin] = RTE_MASKED;
	}
	*out = io;
	return 0;
}
