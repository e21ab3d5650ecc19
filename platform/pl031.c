/* SPDX-License-Identifier: MIT */
/*
 * The count is the host's seconds plus an offset, modulo 2^32. The alarm is kept as the host's
 * second when it is due: compared at each access, and waited for by a timer where the guest wants
 * the interrupt. A timer of absolute real time follows a host whose clock is set.
 */
#include "platform/pl031.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "util/util.h"

enum reg {
	REG_DR = 0x00,
	REG_MR = 0x04,
	REG_LR = 0x08,
	REG_CR = 0x0c,
	REG_IMSC = 0x10,
	REG_RIS = 0x14,
	REG_MIS = 0x18,
	REG_ICR = 0x1c,
	REG_ID = 0xfe0, /* PeriphID and PCellID, a byte a register, to the end */
	RANGE = 0x1000,
};

#define WRAP (1ull << 32)
#define DUE_MAX (1ull << 40) /* some 35,000 years: the timer takes it */

/* All that the guest can see, saved as it is. */
struct pl031_state {
	uint64_t due; /* the host's second when the count is `match` next */
	uint32_t offset, match, load;
	uint16_t imsc, ris; /* 0 or 1 */
};
_Static_assert(sizeof(struct pl031_state) == 24, "no padding");

struct pl031 {
	struct device dev;
	struct bus *bus;
	struct loop *loop;
	const struct log *log;
	pthread_mutex_t lock;
	struct pl031_state s;
	bool line;  /* the interrupt condition, as last told */
	bool quiet; /* between quiesce and resume */
	int timer_fd;
	loop_id timer; /* LOOP_NONE: the guest never wanted the interrupt */
};

static const struct pl031_state power_on = { .due = WRAP };

static struct pl031 *pl031_of(struct device *dev)
{
	return container_of(dev, struct pl031, dev);
}

/* Not time(): it may lag behind the timer, and the alarm would not be due yet. */
static uint64_t host_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec;
}

static uint32_t count_at(const struct pl031_state *s, uint64_t now)
{
	return (uint32_t)now + s->offset;
}

static void set_due(struct pl031_state *s, uint64_t now)
{
	uint32_t left = s->match - count_at(s, now);

	s->due = now + (left ? left : WRAP);
}

/* Did the count reach the match since it was looked at? */
static void look(struct pl031_state *s, uint64_t now)
{
	if (now < s->due)
		return;
	s->ris = 1;
	set_due(s, now);
}

static void update_line(struct pl031 *p)
{
	bool now = p->s.ris & p->s.imsc;

	if (now && !p->line)
		irq_raise(&p->dev.irq);
	else if (!now && p->line && p->dev.irq.trigger == IRQ_LEVEL)
		irq_lower(&p->dev.irq);
	p->line = now;
}

static void on_timer(void *opaque, uint32_t events);

static int make_timer(struct pl031 *p)
{
	int rc;

	p->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (p->timer_fd < 0)
		return -errno;
	rc = loop_add(p->loop, p->timer_fd, EPOLLIN, on_timer, p, &p->timer);
	if (rc) {
		close(p->timer_fd);
		p->timer_fd = -1;
	}
	return rc;
}

/* Only who wants the interrupt makes us wait for it. */
static void set_timer(struct pl031 *p)
{
	bool wanted = p->s.imsc && !p->quiet;
	struct itimerspec when = { .it_value.tv_sec = wanted ? (time_t)p->s.due : 0 };
	int rc = 0;

	if (p->timer_fd < 0) {
		if (!wanted)
			return;
		rc = make_timer(p);
	}
	if (!rc && timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &when, NULL))
		rc = -errno;
	if (rc)
		log_at(p->log, LOG_WARNING, "%s: no timer for the alarm: %s", p->dev.name,
		       strerror(-rc));
}

static void on_timer(void *opaque, uint32_t events)
{
	struct pl031 *p = opaque;
	uint64_t expirations;

	(void)events;
	pthread_mutex_lock(&p->lock);
	/* An alarm that was set anew meanwhile has nothing to read. */
	if (read(p->timer_fd, &expirations, sizeof(expirations)) > 0 && !p->quiet) {
		look(&p->s, host_seconds());
		update_line(p);
		set_timer(p);
	}
	pthread_mutex_unlock(&p->lock);
}

/* The match or the count is another: they may meet at once. */
static void alarm_changed(struct pl031_state *s, uint64_t now)
{
	if (count_at(s, now) == s->match)
		s->ris = 1;
	set_due(s, now);
}

static void write_reg(struct pl031_state *s, uint64_t now, uint64_t reg, uint32_t v)
{
	switch (reg) {
	case REG_MR:
		s->match = v;
		alarm_changed(s, now);
		break;
	case REG_LR:
		s->load = v;
		s->offset = v - (uint32_t)now;
		alarm_changed(s, now);
		break;
	case REG_IMSC:
		s->imsc = v & 1;
		break;
	case REG_ICR:
		s->ris &= ~v;
		break;
	}
}

static uint32_t read_id(uint64_t reg)
{
	static const uint8_t id[] = { 0x31, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

	return id[(reg - REG_ID) / 4];
}

static uint32_t read_reg(const struct pl031_state *s, uint64_t now, uint64_t reg)
{
	switch (reg) {
	case REG_DR:
		return count_at(s, now);
	case REG_MR:
		return s->match;
	case REG_LR:
		return s->load;
	case REG_CR:
		return 1; /* started; it can't be stopped */
	case REG_IMSC:
		return s->imsc;
	case REG_RIS:
		return s->ris;
	case REG_MIS:
		return s->ris & s->imsc;
	}
	return reg >= REG_ID ? read_id(reg) : 0;
}

/* An access of whatever width is one of the register that it begins with. */
static void on_access(void *opaque, uint64_t offset, void *data, uint32_t len, bool is_write)
{
	struct pl031 *p = opaque;
	uint64_t now = host_seconds();

	if (offset & 3) {
		if (!is_write)
			memset(data, 0, len);
		return;
	}
	pthread_mutex_lock(&p->lock);
	look(&p->s, now);
	if (is_write) {
		write_reg(&p->s, now, offset, (uint32_t)get_le(data, len));
		set_timer(p);
	} else {
		put_le(data, read_reg(&p->s, now, offset), len);
	}
	update_line(p);
	pthread_mutex_unlock(&p->lock);
}

static void pl031_reset(struct device *dev)
{
	struct pl031 *p = pl031_of(dev);

	pthread_mutex_lock(&p->lock);
	p->s = power_on;
	update_line(p);
	set_timer(p);
	pthread_mutex_unlock(&p->lock);
}

static void pl031_quiesce(struct device *dev)
{
	struct pl031 *p = pl031_of(dev);

	pthread_mutex_lock(&p->lock);
	p->quiet = true;
	set_timer(p);
	pthread_mutex_unlock(&p->lock);
}

/* An alarm that was due meanwhile is told now. */
static void pl031_resume(struct device *dev)
{
	struct pl031 *p = pl031_of(dev);

	pthread_mutex_lock(&p->lock);
	p->quiet = false;
	look(&p->s, host_seconds());
	update_line(p);
	set_timer(p);
	pthread_mutex_unlock(&p->lock);
}

static void pl031_save(struct device *dev, struct buf *out)
{
	struct pl031 *p = pl031_of(dev);

	buf_put(out, &p->s, sizeof(p->s));
}

static bool state_is_possible(const struct pl031_state *s)
{
	return s->imsc <= 1 && s->ris <= 1 && s->due < DUE_MAX && count_at(s, s->due) == s->match;
}

/*
 * Raises nothing: what was told before the save is in the interrupt controller's state. resume()
 * sets the timer.
 */
static int pl031_load(struct device *dev, struct reader *in)
{
	struct pl031 *p = pl031_of(dev);
	struct pl031_state s;

	reader_get(in, &s, sizeof(s));
	if (in->failed || !state_is_possible(&s))
		return -EINVAL;
	pthread_mutex_lock(&p->lock);
	p->s = s;
	p->line = s.ris & s.imsc;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static void pl031_free(struct pl031 *p)
{
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void pl031_destroy(struct device *dev)
{
	struct pl031 *p = pl031_of(dev);

	bus_release(p->bus, dev->base);
	loop_remove(p->loop, p->timer);
	if (p->timer_fd >= 0)
		close(p->timer_fd);
	pl031_free(p);
}

static const struct device_ops pl031_ops = {
	.reset = pl031_reset,
	.quiesce = pl031_quiesce,
	.resume = pl031_resume,
	.save = pl031_save,
	.load = pl031_load,
	.destroy = pl031_destroy,
};

static int pl031_create(const struct device_env *env, const void *config, struct device **out,
			struct err *err)
{
	const struct pl031_config *c = config;
	struct pl031 *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	p->dev = (struct device){
		.ops = &pl031_ops,
		.name = c->name,
		.kind = DEVICE_PL031,
		.base = c->base,
		.size = RANGE,
		.irq = c->irq,
	};
	p->bus = env->mmio;
	p->loop = env->loop;
	p->log = env->log;
	p->s = power_on;
	p->timer_fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	rc = bus_claim(p->bus, c->base, RANGE, on_access, p, c->name, err);
	if (rc)
		pl031_free(p);
	else
		*out = &p->dev;
	return rc;
}

const struct device_type pl031_type = { "pl031", pl031_create };
