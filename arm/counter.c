/* SPDX-License-Identifier: MIT */
/*
 * The counter from which a guest has all of its time, in state that is saved: as it was, and when that was by the
 * host's wall clock. Where the state is restored it goes on from there, plus what has passed since by the wall clock
 * there: so it did while the guest was paused (KVM lets it run then), and so does kvmclock on x86. A guest whose
 * clock was right has the right one then, after however long, and sees none go back: wall clocks that disagree by
 * less than has passed are as good as one, and where they say that it was restored before it was saved, no time has
 * passed.
 *
 * The price is what a long pause has, too: Linux has no word on arm64 for time in which it did not run, and after
 * more than 20 s of that its watchdogs may say that a CPU was stuck.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "arm/arm.h"
#include "util/clock.h"
#include "util/util.h"

/* Two clocks are read, or set, as if at once: again, if the thread was held up between them. */
#define AT_ONCE (200000u) /* ns */
#define TRIES 10

/* Who believes that it was longer has no right clock: ten years, within which no counter comes to its end. */
#define MOST (3650 * 86400 * CLOCK_SECOND)

static uint64_t wall_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * CLOCK_SECOND + (uint64_t)t.tv_nsec;
}

/*
 * KVM keeps one offset for all vCPUs, or since Linux 6.4 one for each kind of counter; before that the physical one
 * is the host's, as it is.
 */
static int read_counters(const struct vm *vm, struct arm_counters *c)
{
	int fd = vm->vcpus[0].fd, rc;
	uint64_t took;

	*c = (struct arm_counters){ .hz = arm_counter_hz() };
	for (unsigned int i = 0; i < TRIES; i++) {
		c->when = wall_clock();
		rc = arm_get_reg(fd, KVM_REG_ARM_TIMER_CNT, &c->virt);
		if (rc)
			return rc;
		c->has_phys = !arm_get_reg(fd, KVM_REG_ARM_PTIMER_CNT, &c->phys);
		took = wall_clock() - c->when;
		if (took < AT_ONCE)
			break;
	}
	return 0;
}

int arm_counters_save(const struct vm *vm, struct buf *out, struct err *err)
{
	struct arm_counters c;
	int rc = read_counters(vm, &c);

	if (rc)
		return err_set(err, -rc, "KVM does not tell the guest's counter: %s",
			       strerror(-rc));
	buf_put_le64(out, c.virt);
	buf_put_u8(out, c.has_phys);
	buf_put_le64(out, c.phys);
	buf_put_le64(out, c.when);
	buf_put_le64(out, c.hz);
	return 0;
}

/* A guest that was told how fast it counts can't be told anew. */
int arm_counters_read(struct reader *in, struct arm_counters *c, struct err *err)
{
	uint64_t hz = arm_counter_hz();
	uint8_t has_phys;

	*c = (struct arm_counters){ .virt = reader_le64(in) };
	has_phys = reader_u8(in);
	c->has_phys = has_phys;
	c->phys = reader_le64(in);
	c->when = reader_le64(in);
	c->hz = reader_le64(in);
	if (in->failed || has_phys > 1)
		return err_set(err, EINVAL, "the VM's state is damaged or cut short");
	if (c->hz != hz)
		return err_set(err, ENOTSUP,
			       "the guest counts its time at %llu Hz, and this host's counter "
			       "runs at %llu",
			       (unsigned long long)c->hz, (unsigned long long)hz);
	return 0;
}

/* ---- Setting them ---- */

/* With an offset of the user's choice KVM ignores writes to the counters: another one, to the same end. */
static int move_offset(const struct vm *vm, uint64_t wanted)
{
	struct arm_counter_offset arg = { .offset = vm->arch->options.counter_offset };
	uint64_t now = 0;
	int rc = arm_get_reg(vm->vcpus[0].fd, KVM_REG_ARM_TIMER_CNT, &now);

	arg.offset += now - wanted;
	if (!rc && ioctl(vm->fd, ARM_SET_COUNTER_OFFSET, &arg))
		rc = -errno;
	if (!rc)
		vm->arch->options.counter_offset = arg.offset;
	return rc;
}

static int set_counters(const struct vm *vm, const struct arm_counters *c, uint64_t passed)
{
	int fd = vm->vcpus[0].fd;
	uint64_t now;
	int rc;

	if (vm->arch->options.has_offset)
		return move_offset(vm, c->virt + passed);
	rc = arm_set_reg(fd, KVM_REG_ARM_TIMER_CNT, c->virt + passed);
	if (!rc && c->has_phys && !arm_get_reg(fd, KVM_REG_ARM_PTIMER_CNT, &now))
		rc = arm_set_reg(fd, KVM_REG_ARM_PTIMER_CNT, c->phys + passed);
	return rc;
}

/* In ticks. */
static uint64_t passed_since(const struct arm_counters *c, uint64_t now)
{
	uint64_t passed = now > c->when ? MIN(now - c->when, MOST) : 0;

	return (uint64_t)((unsigned __int128)passed * c->hz / CLOCK_SECOND);
}

int arm_counters_restore(const struct vm *vm, const struct arm_counters *c, struct err *err)
{
	uint64_t now;
	int rc = 0;

	for (unsigned int i = 0; !rc && i < TRIES; i++) {
		now = wall_clock();
		rc = set_counters(vm, c, passed_since(c, now));
		if (wall_clock() - now < AT_ONCE)
			break;
	}
	return rc ? err_set(err, -rc, "KVM does not set the guest's counter%s: %s",
			    vm->arch->options.has_offset ? ", which has a --counter-offset" : "",
			    strerror(-rc))
		  : 0;
}
