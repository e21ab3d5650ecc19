/* SPDX-License-Identifier: MIT */
/*
 * The button stays down until the guest has taken the interrupt, and a moment longer: its driver looks at the
 * line again when it has waited out a bounce, and a busy or paused guest takes its time. Without an interrupt
 * that is enabled nobody would.
 */
#include "platform/pl061.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum reg {
	REG_DATA = 0x000, /* to 0x3fc: address bits 9 to 2 are a mask */
	REG_DIR = 0x400,
	REG_IS = 0x404,
	REG_IBE = 0x408,
	REG_IEV = 0x40c,
	REG_IE = 0x410,
	REG_RIS = 0x414,
	REG_MIS = 0x418,
	REG_IC = 0x41c,
	REG_AFSEL = 0x420,
	REG_ID = 0xfe0, /* PeriphID and PCellID, a byte a register, to the end */
	RANGE = 0x1000,
};

#define BUTTON (1u << PL061_POWER_BUTTON)
#define HOLD 200000000 /* ns, from when the guest has taken the interrupt */

/* All that the guest can see, saved as it is. */
struct pl061_state {
	uint8_t in;    /* levels from outside */
	uint8_t out;   /* what was written */
	uint8_t dir;   /* bits that are outputs */
	uint8_t is;    /* level, not edge */
	uint8_t ibe;   /* both edges */
	uint8_t iev;   /* rising, or high */
	uint8_t ie;    /* enabled */
	uint8_t edges; /* that were seen */
	uint8_t afsel;
	uint8_t taken; /* bit of `in` that the guest knows of: it goes down soon */
};
_Static_assert(sizeof(struct pl061_state) == 10, "no padding");

struct pl061 {
	struct power_button button;
	struct bus *bus;
	struct loop *loop;
	const struct log *log;
	pthread_mutex_t lock;
	struct pl061_state s;
	bool line;  /* the interrupt, as last told */
	bool quiet; /* between quiesce and resume */
	int timer_fd;
	loop_id timer; /* LOOP_NONE: it was never pressed */
};

static struct pl061 *pl061_of(struct device *dev)
{
	return container_of(dev, struct pl061, button.dev);
}

static uint8_t levels(const struct pl061_state *s)
{
	return (uint8_t)((s->in & ~s->dir) | (s->out & s->dir));
}

static uint8_t raw(const struct pl061_state *s)
{
	uint8_t active = (uint8_t) ~(levels(s) ^ s->iev);

	return (uint8_t)((s->edges & ~s->is) | (active & s->is));
}

static void update_line(struct pl061 *p)
{
	bool now = raw(&p->s) & p->s.ie;

	if (now && !p->line)
		irq_raise(&p->button.dev.irq);
	else if (!now && p->line && p->button.dev.irq.trigger == IRQ_LEVEL)
		irq_lower(&p->button.dev.irq);
	p->line = now;
}

/* Edges that a change of inputs makes are seen whether or not they are enabled. */
static void set_levels(struct pl061_state *s, uint8_t before)
{
	uint8_t now = levels(s), changed = (uint8_t)((before ^ now) & ~s->dir);

	s->edges |= changed & (uint8_t)(s->ibe | ~(now ^ s->iev));
}

/* ---- The button ---- */

static void on_timer(void *opaque, uint32_t events);

static int make_timer(struct pl061 *p)
{
	int rc;

	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (p->timer_fd < 0)
		return -errno;
	rc = loop_add(p->loop, p->timer_fd, EPOLLIN, on_timer, p, &p->timer);
	if (rc) {
		close(p->timer_fd);
		p->timer_fd = -1;
	}
	return rc;
}

static void set_timer(struct pl061 *p)
{
	bool wanted = p->s.taken && !p->quiet;
	struct itimerspec when = { .it_value.tv_nsec = wanted ? HOLD : 0 };
	int rc = 0;

	if (p->timer_fd < 0) {
		if (!wanted)
			return;
		rc = make_timer(p);
	}
	if (!rc && timerfd_settime(p->timer_fd, 0, &when, NULL))
		rc = -errno;
	if (rc)
		log_at(p->log, LOG_WARNING, "%s: the power button stays down: %s",
		       p->button.dev.name, strerror(-rc));
}

static void release(struct pl061 *p)
{
	uint8_t before = levels(&p->s);

	p->s.in &= (uint8_t)~BUTTON;
	p->s.taken = 0;
	set_levels(&p->s, before);
	update_line(p);
}

static void on_timer(void *opaque, uint32_t events)
{
	struct pl061 *p = opaque;
	uint64_t expirations;

	(void)events;
	pthread_mutex_lock(&p->lock);
	if (read(p->timer_fd, &expirations, sizeof(expirations)) > 0 && !p->quiet && p->s.taken)
		release(p);
	pthread_mutex_unlock(&p->lock);
}

static bool press(struct power_button *button)
{
	struct pl061 *p = pl061_of(&button->dev);
	bool listens;
	uint8_t before;

	pthread_mutex_lock(&p->lock);
	listens = p->s.ie & BUTTON;
	if (listens) {
		before = levels(&p->s);
		p->s.in |= BUTTON;
		set_levels(&p->s, before);
		update_line(p);
	}
	pthread_mutex_unlock(&p->lock);
	return listens;
}

/* ---- Registers ---- */

static void write_data(struct pl061_state *s, uint8_t mask, uint8_t v)
{
	s->out = (uint8_t)((s->out & ~mask) | (v & mask));
}

static void clear_edges(struct pl061 *p, uint8_t v)
{
	p->s.edges &= (uint8_t)~v;
	if (!(v & p->s.in & BUTTON) || p->s.taken)
		return;
	p->s.taken = BUTTON;
	set_timer(p);
}

static void write_reg(struct pl061 *p, uint64_t reg, uint8_t v)
{
	struct pl061_state *s = &p->s;
	uint8_t before = levels(s);

	switch (reg) {
	case REG_DIR:
		s->dir = v;
		break;
	case REG_IS:
		s->is = v;
		break;
	case REG_IBE:
		s->ibe = v;
		break;
	case REG_IEV:
		s->iev = v;
		break;
	case REG_IE:
		s->ie = v;
		break;
	case REG_IC:
		clear_edges(p, v);
		break;
	case REG_AFSEL:
		s->afsel = v;
		break;
	default:
		if (reg < REG_DIR)
			write_data(s, (uint8_t)(reg >> 2), v);
	}
	set_levels(s, before);
}

static uint8_t read_id(uint64_t reg)
{
	static const uint8_t id[] = { 0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

	return id[(reg - REG_ID) / 4];
}

static uint8_t read_reg(const struct pl061_state *s, uint64_t reg)
{
	switch (reg) {
	case REG_DIR:
		return s->dir;
	case REG_IS:
		return s->is;
	case REG_IBE:
		return s->ibe;
	case REG_IEV:
		return s->iev;
	case REG_IE:
		return s->ie;
	case REG_RIS:
		return raw(s);
	case REG_MIS:
		return raw(s) & s->ie;
	case REG_AFSEL:
		return s->afsel;
	}
	if (reg < REG_DIR)
		return levels(s) & (uint8_t)(reg >> 2);
	return reg >= REG_ID ? read_id(reg) : 0;
}

/* An access of whatever width is one of the register that it begins with. */
static void on_access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct pl061 *p = opaque;

	if (!is_write)
		memset(data, 0, len);
	if (offset & 3 || !len)
		return;
	pthread_mutex_lock(&p->lock);
	if (is_write)
		write_reg(p, offset, *(uint8_t *)data);
	else
		*(uint8_t *)data = read_reg(&p->s, offset);
	update_line(p);
	pthread_mutex_unlock(&p->lock);
}

/* ---- Life ---- */

static void pl061_reset(struct device *dev)
{
	struct pl061 *p = pl061_of(dev);

	pthread_mutex_lock(&p->lock);
	p->s = (struct pl061_state){ 0 };
	update_line(p);
	set_timer(p);
	pthread_mutex_unlock(&p->lock);
}

static void set_quiet(struct device *dev, bool quiet)
{
	struct pl061 *p = pl061_of(dev);

	pthread_mutex_lock(&p->lock);
	p->quiet = quiet;
	set_timer(p);
	pthread_mutex_unlock(&p->lock);
}

static void pl061_quiesce(struct device *dev)
{
	set_quiet(dev, true);
}

static void pl061_resume(struct device *dev)
{
	set_quiet(dev, false);
}

static void pl061_save(struct device *dev, struct buf *out)
{
	struct pl061 *p = pl061_of(dev);

	buf_put(out, &p->s, sizeof(p->s));
}

static bool state_is_possible(const struct pl061_state *s)
{
	return !(s->in & ~BUTTON) && !(s->taken & ~s->in);
}

/*
 * Raises nothing: what was told before the save is in the interrupt controller's state. resume()
 * sets the timer.
 */
static int pl061_load(struct device *dev, struct reader *in)
{
	struct pl061 *p = pl061_of(dev);
	struct pl061_state s;

	reader_get(in, &s, sizeof(s));
	if (in->failed || !state_is_possible(&s))
		return -EINVAL;
	pthread_mutex_lock(&p->lock);
	p->s = s;
	p->line = raw(&s) & s.ie;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static void pl061_free(struct pl061 *p)
{
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void pl061_destroy(struct device *dev)
{
	struct pl061 *p = pl061_of(dev);

	bus_release(p->bus, dev->base);
	loop_remove(p->loop, p->timer);
	if (p->timer_fd >= 0)
		close(p->timer_fd);
	pl061_free(p);
}

static const struct device_ops pl061_ops = {
	.reset = pl061_reset,
	.quiesce = pl061_quiesce,
	.resume = pl061_resume,
	.save = pl061_save,
	.load = pl061_load,
	.destroy = pl061_destroy,
};

static int pl061_create(const struct device_env *env, const void *config, struct device **out,
			struct err *err)
{
	const struct power_button_config *c = config;
	struct pl061 *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	p->button = (struct power_button){
		.dev = {
			.ops = &pl061_ops,
			.name = c->name,
			.kind = DEVICE_PL061,
			.base = c->base,
			.size = RANGE,
			.irq = c->irq,
		},
		.press = press,
	};
	p->bus = env->mmio;
	p->loop = env->loop;
	p->log = env->log;
	p->timer_fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	rc = bus_claim(p->bus, c->base, RANGE, on_access, p, c->name, err);
	if (rc)
		pl061_free(p);
	else
		*out = &p->button.dev;
	return rc;
}

const struct device_type pl061_type = { "pl061", pl061_create };
