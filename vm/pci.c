/* SPDX-License-Identifier: MIT */
#include "vm/pci.h"

#include <errno.h>
#include <linux/pci.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES 32
#define FUNCTIONS 256 /* of a bus, whether they are there or not */
#define ECAM_STEP 4096
#define FIRST_CAPABILITY PCI_STD_HEADER_SIZEOF
#define MULTI_FUNCTION 0x80 /* in the header type */

/* Red Hat's generic PCIe host bridge: no driver takes it for more than it is. */
#define BRIDGE_VENDOR 0x1b36
#define BRIDGE_DEVICE 0x0008
#define BRIDGE_CLASS 0x060000

#define BAR_ADDRESS (~0xfull)
#define COMMAND_BITS (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE)
#define MSIX_BITS (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL)

struct pci_bus {
	struct device device;
	const struct device_env *env;
	struct pci_config config;
	struct pci_function bridge;

	pthread_mutex_t lock; /* configuration space */
	struct pci_function *first;
	struct pci_function *functions[FUNCTIONS]; /* by devfn */

	pthread_mutex_t line_lock;    /* below all other locks */
	unsigned int high[PCI_LINES]; /* functions that hold a line up */
};

/* ---- BARs ---- */

static uint64_t bar_address(const struct pci_function *fn)
{
	if (!fn->bar_size || !(get_le16(fn->config + PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return 0;
	return get_le64(fn->config + PCI_BASE_ADDRESS_0) & BAR_ADDRESS;
}

static void forget_bar(struct pci_function *fn)
{
	uint64_t base = atomic_exchange(&fn->decoded, 0);

	if (base)
		bus_release(fn->bus->env->mmio, base);
	if (base && fn->ops)
		fn->ops->moved(fn);
}

/* Of all functions: where one has left, another that wanted to be there appears. */
static void decode_bars(struct pci_bus *bus)
{
	struct err ignored;

	for (struct pci_function *fn = bus->first; fn; fn = fn->next) {
		uint64_t base = bar_address(fn);

		if (base && !atomic_load(&fn->decoded) &&
		    !bus_claim(bus->env->mmio, base, fn->bar_size, fn->bar_access, fn->opaque,
			       fn->name, &ignored))
			atomic_store(&fn->decoded, base);
	}
}

static void update_bar(struct pci_function *fn)
{
	if (bar_address(fn) == atomic_load(&fn->decoded))
		return;
	forget_bar(fn);
	decode_bars(fn->bus);
}

/* ---- Interrupts ---- */

/* In the order of changes: whoever comes last has seen the last value. */
void pci_update_intx(struct pci_function *fn)
{
	struct pci_bus *bus = fn->bus;
	unsigned int line = PCI_SLOT(fn->devfn) % PCI_LINES;
	bool high;

	if (!fn->intx || fn->msix.n)
		return;
	pthread_mutex_lock(&bus->line_lock);
	high = atomic_load(fn->intx) && !atomic_load(&fn->intx_disabled);
	if (high && !fn->intx_high && !bus->high[line]++)
		irq_raise(&bus->config.lines[line]);
	if (!high && fn->intx_high && !--bus->high[line])
		irq_lower(&bus->config.lines[line]);
	fn->intx_high = high;
	pthread_mutex_unlock(&bus->line_lock);
}

static void update_interrupts(struct pci_function *fn)
{
	uint16_t flags;

	if (fn->msix.n) {
		flags = get_le16(fn->config + fn->msix_capability + PCI_MSIX_FLAGS);
		msix_control(&fn->msix, flags & PCI_MSIX_FLAGS_ENABLE,
			     flags & PCI_MSIX_FLAGS_MASKALL);
	} else {
		atomic_store(&fn->intx_disabled,
			     get_le16(fn->config + PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);
		pci_update_intx(fn);
	}
}

/* ---- Configuration space ---- */

static void read_config(struct pci_function *fn, uint32_t offset, void *data, uint32_t len)
{
	/* The state of the pin is not in `config`: it changes by itself. */
	bool intx = fn->intx && !fn->msix.n && atomic_load(fn->intx);

	if (fn->ops)
		fn->ops->config_read(fn, offset, len);
	memcpy(data, fn->config + offset, len);
	if (intx && range_overlap(offset, len, PCI_STATUS, 1))
		((uint8_t *)data)[PCI_STATUS - offset] |= PCI_STATUS_INTERRUPT;
}

static void write_config(struct pci_function *fn, uint32_t offset, const uint8_t *data,
			 uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		uint8_t may = fn->writable[offset + i];

		fn->config[offset + i] = (fn->config[offset + i] & ~may) | (data[i] & may);
	}
	update_bar(fn);
	update_interrupts(fn);
	if (fn->ops)
		fn->ops->config_written(fn, offset, len);
}

/* Beyond a conventional space, and where there is no function, reads are all ones. */
static void ecam_access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct pci_bus *bus = opaque;
	struct pci_function *fn;
	uint32_t at = offset % ECAM_STEP;

	pthread_mutex_lock(&bus->lock);
	fn = bus->functions[offset / ECAM_STEP % FUNCTIONS];
	if (fn && range_in(at, len, PCI_CONFIG)) {
		if (is_write)
			write_config(fn, at, data, len);
		else
			read_config(fn, at, data, len);
	} else if (!is_write) {
		memset(data, 0xff, len);
	}
	pthread_mutex_unlock(&bus->lock);
}

/* ---- Making a function ---- */

void pci_identify(struct pci_function *fn, uint16_t vendor, uint16_t device, uint32_t class_code,
		  uint8_t revision)
{
	put_le16(fn->config + PCI_VENDOR_ID, vendor);
	put_le16(fn->config + PCI_DEVICE_ID, device);
	put_le32(fn->config + PCI_CLASS_REVISION, class_code << 8 | revision);
	put_le16(fn->config + PCI_SUBSYSTEM_VENDOR_ID, vendor);
	put_le16(fn->config + PCI_SUBSYSTEM_ID, device);
	put_le16(fn->writable + PCI_COMMAND, COMMAND_BITS);
	fn->writable[PCI_INTERRUPT_LINE] = 0xff;
	fn->writable[PCI_CACHE_LINE_SIZE] = 0xff;
}

/* They lie one behind the other, and are linked in that order. */
uint32_t pci_add_capability(struct pci_function *fn, uint8_t id, const void *body, uint32_t size)
{
	uint32_t at = FIRST_CAPABILITY, link = PCI_CAPABILITY_LIST;

	if (fn->last_capability) {
		link = fn->last_capability + PCI_CAP_LIST_NEXT;
		at = fn->next_capability;
	}
	fn->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	fn->config[link] = (uint8_t)at;
	fn->config[at] = id;
	memcpy(fn->config + at + 2, body, size);
	fn->last_capability = at;
	fn->next_capability = (uint32_t)align_up(at + 2 + size, 4);
	return at;
}

void pci_add_interrupts(struct pci_bus *bus, struct pci_function *fn, uint32_t n, uint32_t table,
			uint32_t pending)
{
	struct irq_chip *chip = bus->env->chip;
	uint8_t body[PCI_CAP_MSIX_SIZEOF - 2];

	if (!chip || !chip->send_msi) {
		fn->config[PCI_INTERRUPT_PIN] = 1;
		return;
	}
	put_le16(body, (uint16_t)(n - 1));
	put_le32(body + PCI_MSIX_TABLE - 2, table); /* of BAR 0 */
	put_le32(body + PCI_MSIX_PBA - 2, pending);
	fn->msix_capability = pci_add_capability(fn, PCI_CAP_ID_MSIX, body, sizeof(body));
	put_le16(fn->writable + fn->msix_capability + PCI_MSIX_FLAGS, MSIX_BITS);
	msix_init(&fn->msix, chip, n);
}

static void place_bar(struct pci_function *fn, uint64_t base)
{
	put_le64(fn->config + PCI_BASE_ADDRESS_0, base | PCI_BASE_ADDRESS_MEM_TYPE_64);
	put_le64(fn->writable + PCI_BASE_ADDRESS_0, -fn->bar_size);
	put_le16(fn->config + PCI_COMMAND, PCI_COMMAND_MEMORY);
}

static void insert(struct pci_bus *bus, struct pci_function *fn, uint8_t devfn)
{
	struct pci_function **tail = &bus->first;

	fn->bus = bus;
	fn->devfn = devfn;
	fn->msix.devid = devfn; /* bus 0 */
	memcpy(fn->power_on, fn->config, sizeof(fn->power_on));
	pthread_mutex_lock(&bus->lock);
	while (*tail)
		tail = &(*tail)->next;
	fn->next = NULL;
	*tail = fn;
	bus->functions[devfn] = fn;
	if (fn->bar_size)
		decode_bars(bus);
	pthread_mutex_unlock(&bus->lock);
}

/* Every device has function 0 before one has two. */
static uint8_t devfn_of(unsigned int slot)
{
	return (uint8_t)PCI_DEVFN(1 + slot % (DEVICES - 1), slot / (DEVICES - 1));
}

int pci_add(struct pci_bus *bus, struct pci_function *fn, unsigned int slot, struct err *err)
{
	uint8_t devfn = devfn_of(slot);
	struct pci_function *first = bus->functions[devfn & ~7];
	uint64_t base = bus->config.window + slot * PCI_BAR_MAX;

	if (slot >= PCI_SLOTS || fn->bar_size > PCI_BAR_MAX ||
	    !range_in(slot * PCI_BAR_MAX, PCI_BAR_MAX, bus->config.window_size))
		return err_set(err, ENOSPC, "%s: no room on the PCI bus", fn->name);
	if (fn->bar_size)
		place_bar(fn, base);
	if (first) {
		first->config[PCI_HEADER_TYPE] |= MULTI_FUNCTION;
		first->power_on[PCI_HEADER_TYPE] |= MULTI_FUNCTION;
	}
	insert(bus, fn, devfn);
	return 0;
}

void pci_remove(struct pci_function *fn)
{
	struct pci_bus *bus = fn->bus;
	struct pci_function **p;

	if (!bus)
		return;
	pthread_mutex_lock(&bus->lock);
	for (p = &bus->first; *p && *p != fn; p = &(*p)->next)
		;
	if (*p)
		*p = fn->next;
	bus->functions[fn->devfn] = NULL;
	forget_bar(fn);
	pthread_mutex_unlock(&bus->lock);
	msix_fini(&fn->msix);
	fn->bus = NULL;
}

/* ---- The bus as a device ---- */

static void apply(struct pci_function *fn, const uint8_t config[PCI_CONFIG])
{
	memcpy(fn->config, config, PCI_CONFIG);
	forget_bar(fn);
	update_interrupts(fn);
	if (fn->ops)
		fn->ops->config_written(fn, PCI_COMMAND, sizeof(uint16_t));
}

static void reset(struct device *device)
{
	struct pci_bus *bus = container_of(device, struct pci_bus, device);

	pthread_mutex_lock(&bus->lock);
	for (struct pci_function *fn = bus->first; fn; fn = fn->next) {
		if (fn->msix.n)
			msix_reset(&fn->msix);
		apply(fn, fn->power_on);
	}
	decode_bars(bus);
	pthread_mutex_unlock(&bus->lock);
}

static void save(struct device *device, struct buf *out)
{
	struct pci_bus *bus = container_of(device, struct pci_bus, device);

	pthread_mutex_lock(&bus->lock);
	for (struct pci_function *fn = bus->first; fn; fn = fn->next) {
		buf_put_u8(out, fn->devfn);
		buf_put(out, fn->config, PCI_CONFIG);
		if (fn->msix.n)
			msix_save(&fn->msix, out);
	}
	pthread_mutex_unlock(&bus->lock);
}

static bool possible(const struct pci_function *fn, const uint8_t config[PCI_CONFIG])
{
	for (uint32_t i = 0; i < PCI_CONFIG; i++) {
		if ((config[i] ^ fn->power_on[i]) & ~fn->writable[i])
			return false;
	}
	return true;
}

static uint32_t msix_saved(const struct pci_function *fn)
{
	return fn->msix.n ? MSIX_SAVED(fn->msix.n) : 0;
}

static int check_saved(const struct pci_bus *bus, struct reader in)
{
	uint8_t config[PCI_CONFIG];

	for (const struct pci_function *fn = bus->first; fn; fn = fn->next) {
		uint8_t devfn = reader_u8(&in);

		reader_get(&in, config, sizeof(config));
		if (in.failed || devfn != fn->devfn || !possible(fn, config) ||
		    in.left < msix_saved(fn))
			return -EINVAL;
		in.p += msix_saved(fn);
		in.left -= msix_saved(fn);
	}
	return 0;
}

static int load(struct device *device, struct reader *in)
{
	struct pci_bus *bus = container_of(device, struct pci_bus, device);
	uint8_t config[PCI_CONFIG];
	int rc;

	pthread_mutex_lock(&bus->lock);
	rc = check_saved(bus, *in);
	for (struct pci_function *fn = bus->first; !rc && fn; fn = fn->next) {
		reader_u8(in);
		reader_get(in, config, sizeof(config));
		if (fn->msix.n)
			msix_load(&fn->msix, in);
		apply(fn, config);
	}
	if (!rc)
		decode_bars(bus);
	pthread_mutex_unlock(&bus->lock);
	return rc;
}

static void destroy(struct device *device)
{
	struct pci_bus *bus = container_of(device, struct pci_bus, device);

	bus_release(bus->env->mmio, bus->config.ecam);
	pthread_mutex_destroy(&bus->lock);
	pthread_mutex_destroy(&bus->line_lock);
	free(bus);
}

static const struct device_ops ops = {
	.reset = reset,
	.save = save,
	.load = load,
	.destroy = destroy,
};

struct device *pci_device(struct pci_bus *bus)
{
	return &bus->device;
}

const struct pci_config *pci_config(const struct device *device)
{
	return &container_of(device, const struct pci_bus, device)->config;
}

bool pci_has_msi(const struct device *device)
{
	const struct irq_chip *chip = container_of(device, const struct pci_bus, device)->env->chip;

	return chip && chip->send_msi;
}

int pci_create(const struct device_env *env, const struct pci_config *config, struct pci_bus **out,
	       struct err *err)
{
	struct pci_bus *bus = calloc(1, sizeof(*bus));
	int rc;

	if (!bus)
		return err_set(err, ENOMEM, "no memory for the PCI bus");
	bus->device = (struct device){
		.ops = &ops,
		.name = "pci",
		.kind = DEVICE_PCI,
		.base = config->ecam,
		.size = PCI_BUS_SIZE,
	};
	bus->env = env;
	bus->config = *config;
	pthread_mutex_init(&bus->lock, NULL);
	pthread_mutex_init(&bus->line_lock, NULL);
	bus->bridge.name = "pci-bridge";
	pci_identify(&bus->bridge, BRIDGE_VENDOR, BRIDGE_DEVICE, BRIDGE_CLASS, 0);
	insert(bus, &bus->bridge, 0);
	rc = bus_claim(env->mmio, config->ecam, PCI_BUS_SIZE, ecam_access, bus, "pci-ecam", err);
	if (rc) {
		destroy(&bus->device);
		return rc;
	}
	*out = bus;
	return 0;
}
