/* SPDX-License-Identifier: MIT */
/*
 * Makes a real kernel report what --fail-on names: `echo warning >/proc/provoke`, and so on. Not for a kernel that
 * anybody still needs. Who asks for an oops, a bug or a list dies of it, the kernel goes on.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define OBJECT 64
#define BLOCK 4 /* an order that the per-CPU lists, which look at nothing, do not take */

static unsigned int seconds = 6;
module_param(seconds, uint, 0644);
MODULE_PARM_DESC(seconds, "how long a task hangs, a CPU is locked up, a reader stalls RCU");

static int *nowhere;

static void oops(void)
{
	*(volatile int *)nowhere = 1;
}

static void bug(void)
{
	BUG();
}

static void warning(void)
{
	WARN_ON(1);
}

/* The scheduler sets the count right by itself. */
static void atomic(void)
{
	preempt_disable();
	msleep(1);
}

static void hung_task(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(seconds * HZ);
}

static void soft_lockup(void)
{
	unsigned long end = jiffies + seconds * HZ;

	preempt_disable();
	while (time_before(jiffies, end))
		cpu_relax();
	preempt_enable();
}

static void done(struct rcu_head *head)
{
}

/* Others run, those that look for stalls among them. */
static void rcu_stall(void)
{
	static struct rcu_head head;
	unsigned long end = jiffies + seconds * HZ;

	rcu_read_lock();
	call_rcu(&head, done);
	while (time_before(jiffies, end))
		cond_resched();
	rcu_read_unlock();
}

static void list(void)
{
	static struct list_head damaged;
	static struct list_head entry;

	damaged.next = damaged.prev = &entry;
	list_add(&entry, &damaged);
}

static void refcount(void)
{
	refcount_t gone = REFCOUNT_INIT(0);

	refcount_inc(&gone);
}

static void bad_page(void)
{
	struct page *page = alloc_pages(GFP_KERNEL, BLOCK);

	if (!page)
		return;
	atomic_set(&page->_mapcount, 5);
	__free_pages(page, BLOCK);
}

static void slab(void)
{
	struct kmem_cache *cache = kmem_cache_create("provoke", OBJECT, 0,
						     SLAB_RED_ZONE | SLAB_CONSISTENCY_CHECKS, NULL);
	char *object = cache ? kmem_cache_alloc(cache, GFP_KERNEL) : NULL;

	if (!object)
		return;
	((volatile char *)object)[OBJECT] = 1;
	kmem_cache_free(cache, object);
}

static const struct {
	const char *name;
	void (*provoke)(void);
} kinds[] = {
	{ "oops", oops },	    { "bug", bug },
	{ "warning", warning },	    { "atomic", atomic },
	{ "hung-task", hung_task }, { "soft-lockup", soft_lockup },
	{ "rcu-stall", rcu_stall }, { "list", list },
	{ "refcount", refcount },   { "bad-page", bad_page },
	{ "slab", slab },
};

static ssize_t provoke(struct file *file, const char __user *from, size_t len, loff_t *at)
{
	char name[32] = "";

	if (len >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, from, len))
		return -EFAULT;
	for (int i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(strim(name), kinds[i].name))
			continue;
		kinds[i].provoke();
		return len;
	}
	return -ENOENT;
}

static const struct proc_ops ops = { .proc_write = provoke };

static int __init provoke_init(void)
{
	return proc_create("provoke", 0200, NULL, &ops) ? 0 : -ENOMEM;
}
module_init(provoke_init);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("provokes the kernel's own reports");
