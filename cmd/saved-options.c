/* SPDX-License-Identifier: MIT */
/*
 * The words are made from what the options came to, not from what was typed: so every default that is
 * somebody's choice (a MAC address, the interrupt controller, the transport) is said, and what a snapshot of a
 * restored machine says is what the first one said.
 */
#include "cmd/saved-options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/file.h"
#include "util/util.h"

/* What no option says: bits before the words. */
enum {
	FACT_NOT_LINUX = 1,
	FACT_STAMPED = 2,
	FACTS = FACT_NOT_LINUX | FACT_STAMPED,
};

/* ---- Making them ---- */

struct words {
	struct buf *out;
	struct err *err;
	int rc; /* the first error's, whose line is in `err` */
};

static void put(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A piece of a word. */
static void put(struct words *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(w->out, fmt, ap);
	va_end(ap);
}

static void end_word(struct words *w)
{
	buf_put_u8(w->out, 0);
}

/* `commas`: it may have some. */
static void put_path(struct words *w, const char *path, bool commas)
{
	struct err err;
	char *whole = file_whole_path(path, &err);
	int rc = whole ? 0 : -ENOENT;

	if (whole && !commas && strchr(whole, ','))
		rc = err_set(&err, EINVAL,
			     "%s: an option can't name it by its whole path, which has a comma",
			     path);
	if (!rc)
		put(w, "%s", whole);
	else if (!w->rc)
		w->rc = err_set(w->err, -rc, "%s", err.text);
	free(whole);
}

static void put_limit(struct words *w, const struct limit_config *l)
{
	const struct {
		const char *key;
		uint64_t value;
	} keys[] = { { "rate", l->bytes }, { "iops", l->ops }, { "burst", l->burst } };

	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].value)
			put(w, ",%s=%llu", keys[i].key, (unsigned long long)keys[i].value);
	}
}

static void put_disk(struct words *w, const struct machine_disk *d)
{
	put(w, "--disk=");
	put_path(w, d->path, false);
	put(w, "%s%s%s%s%s", d->format ? ",format=" : "", d->format ? d->format : "",
	    d->ro ? ",ro" : "", d->cow ? ",cow" : "", d->direct ? ",direct" : "");
	if (d->backing_any)
		put(w, ",backing=any");
	if (d->queues)
		put(w, ",queues=%u", d->queues);
	if (d->serial)
		put(w, ",serial=%s", d->serial);
	if (d->engine)
		put(w, ",io=%s", d->engine);
	put_limit(w, &d->limit);
	end_word(w);
}

static void put_script(struct words *w, const char *key, const char *path)
{
	if (!path)
		return;
	put(w, ",%s=", key);
	put_path(w, path, false);
}

static void put_tap(struct words *w, const struct net_config *c)
{
	if (c->tap_name)
		put(w, ",tapif=%s", c->tap_name);
	if (c->queues > 1)
		put(w, ",queues=%u", c->queues);
	put_script(w, "script", c->script);
	put_script(w, "downscript", c->down_script);
}

/* Of an open descriptor the number means nothing to another process: who restores it has to name his own. */
static void put_net(struct words *w, const struct machine_net *n)
{
	static const char *const modes[] = {
		[NET_MODE_USER] = "user", [NET_MODE_TAP] = "tap", [NET_MODE_FD] = "fd"
	};
	const struct net_config *c = &n->net;

	put(w, "--network=mode=%s,guest_mac=%02x:%02x:%02x:%02x:%02x:%02x", modes[c->mode],
	    n->mac[0], n->mac[1], n->mac[2], n->mac[3], n->mac[4], n->mac[5]);
	if (c->mtu)
		put(w, ",mtu=%u", c->mtu);
	if (c->host_ip)
		put(w, ",host_ip=%s", c->host_ip);
	if (c->guest_ip)
		put(w, ",guest_ip=%s", c->guest_ip);
	if (n->vhost >= 0)
		put(w, ",vhost=%d", n->vhost);
	if (c->mode == NET_MODE_TAP)
		put_tap(w, c);
	for (unsigned int i = 0; i < c->n_forwards; i++) {
		const struct net_forward *f = &c->forwards[i];

		put(w, ",fwd=%s:%u:%u", f->address, f->host_port, f->guest_port);
	}
	put_limit(w, &n->limit);
	end_word(w);
}

/* (A tag with a '=' has come by --9p, and has no comma.) */
static void put_share(struct words *w, const struct machine_share *s)
{
	bool as_9p = strchr(s->tag, '=') && !s->ro;

	put(w, as_9p ? "--9p=" : "--share=%s=", s->tag);
	put_path(w, s->dir, true);
	put(w, as_9p ? ",%s" : s->ro ? ":ro" : ":rw", s->tag);
	end_word(w);
}

static void put_lists(struct words *w, const struct machine_config *c)
{
	static const char *const rules[] = {
		[DEBUG_EXIT_VALUE] = "", [DEBUG_EXIT_SHIFT] = ",shift", [DEBUG_EXIT_OK] = ",ok="
	};

	for (unsigned int i = 0; i < c->n_disks; i++)
		put_disk(w, &c->disks[i]);
	for (unsigned int i = 0; i < c->n_nets; i++)
		put_net(w, &c->nets[i]);
	for (unsigned int i = 0; i < c->n_shares; i++)
		put_share(w, &c->shares[i]);
	if (c->debug_exits_given && !c->n_debug_exits)
		put(w, "--debug-exit=none%c", 0);
	for (unsigned int i = 0; i < c->n_debug_exits; i++) {
		const struct machine_debug_exit *e = &c->debug_exits[i];

		put(w, "--debug-exit=0x%x%s", e->port, rules[e->rule]);
		if (e->rule == DEBUG_EXIT_OK)
			put(w, "%u", e->ok);
		end_word(w);
	}
}

static void put_vsock(struct words *w, const struct machine_config *c)
{
	if (!c->vsock_cid)
		return;
	put(w, "--vsock=%u", c->vsock_cid);
	if (c->vsock_path) {
		put(w, ",uds=");
		put_path(w, c->vsock_path, true);
	}
	end_word(w);
}

static const struct option *find(const char *name)
{
	for (const struct option *p = run_option_table; p->name; p++) {
		if (!strcmp(p->name, name) && option_is_ours(p))
			return p;
	}
	return NULL;
}

static void put_switch(struct words *w, const char *name, bool on)
{
	put(w, "--%s%s%c", on ? "" : "no-", name, 0);
}

/* `vm`: nobody gave what its image stood for, which will not be there to say it again. */
static void put_port_options(struct words *w, const struct vm_config *c, const struct vm_config *vm)
{
	for (unsigned int i = 0; i < c->n_options; i++) {
		const struct vm_option *v = &c->options[i];
		const struct option *p = find(v->name);

		if (!p || p->kind != OPTION_OF_MACHINE)
			continue;
		if (p->arg)
			put(w, "--%s=%s%c", v->name, v->value, 0);
		else
			put_switch(w, v->name, *v->value == '1');
	}
	if (vm->found && !vm_option(c, vm->found))
		put_switch(w, vm->found, true);
}

static void put_scalars(struct words *w, const struct machine_config *c, const struct vm_config *vm)
{
	static const char *const consoles[] = {
		[CONSOLE_SERIAL] = "serial", [CONSOLE_VIRTIO] = "virtio", [CONSOLE_NONE] = "none"
	};

	put(w, "--cpus=%u%c--mem=%lluB%c", c->vm.cpus, 0, (unsigned long long)c->vm.mem, 0);
	put(w, "--console=%s%c", consoles[c->console], 0);
	put(w, "--virtio-transport=%s%c", c->virtio_pci ? "pci" : "mmio", 0);
	if (c->vm.backing == MEM_SHARED)
		put(w, "--mem-shared%c", 0);
	if (vm->irqchip)
		put(w, "--irqchip=%s%c", vm->irqchip, 0);
	if (c->payload)
		put(w, "--payload=%s%c", c->payload, 0);
	if (c->rng)
		put(w, "--rng%c", 0);
	if (c->balloon)
		put(w, "--balloon%c", 0);
	if (c->triple_fault_ok)
		put(w, "--triple-fault=ok%c", 0);
	if (c->reset_ok)
		put(w, "--reset=ok%c", 0);
	put_vsock(w, c);
}

int saved_options_make(const struct run_options *o, const struct vm_config *vm, struct buf *out,
		       struct err *err)
{
	const struct machine_config *c = &o->machine;
	struct words w = { .out = out, .err = err };

	buf_put_le32(out, (c->vm.not_linux ? FACT_NOT_LINUX : 0) | (c->stamped ? FACT_STAMPED : 0));
	put_scalars(&w, c, vm);
	put_port_options(&w, &c->vm, vm);
	put_lists(&w, c);
	if (!w.rc && out->failed)
		w.rc = err_set(err, ENOMEM, "no memory for the machine's options");
	if (!w.rc && out->len > SAVED_OPTIONS_MOST)
		w.rc = err_set(err, E2BIG, "the machine's options are longer than %u KiB",
			       SAVED_OPTIONS_MOST / 1024);
	return w.rc;
}

/* ---- Taking them ---- */

/* Two names of one thing: who gives the one does not want the other. */
static void give_both(struct run_options *o, const char *a, const char *b)
{
	const struct option *p = find(a), *q = find(b);

	if (p && q && o->given[p - run_option_table])
		o->given[q - run_option_table] = true;
	else if (p && q && o->given[q - run_option_table])
		o->given[p - run_option_table] = true;
}

static int take_words(struct run_options *o, const struct reader *in, struct err *err)
{
	struct err why = { "" };
	char *word, *end;
	int rc = 0;

	if (!in->left)
		return 0;
	o->saved_text = malloc(in->left);
	if (!o->saved_text)
		return err_set(err, ENOMEM, "no memory for the machine's options");
	memcpy(o->saved_text, in->p, in->left);
	end = o->saved_text + in->left;
	if (end[-1])
		return err_set(err, EINVAL, "the saved machine's options are cut short");
	give_both(o, "share", "9p");
	give_both(o, "mte", "disable-mte");
	o->source = OPTIONS_SAVED;
	for (word = o->saved_text; !rc && word < end; word += strlen(word) + 1)
		rc = options_parse_word(word, o, &why);
	o->source = OPTIONS_RESTORE;
	return rc ? err_set(err, -rc, "the saved machine's options: %.400s", why.text) : 0;
}

int saved_options_take(struct run_options *o, const struct reader *section, enum saved_trust trust,
		       struct err *err)
{
	struct reader in = *section;
	uint32_t facts = reader_le32(&in);
	int rc = 0;

	if (in.failed || facts & ~(uint32_t)FACTS || in.left > SAVED_OPTIONS_MOST)
		return err_set(err, EINVAL, "the saved state does not say what machine it is of");
	o->machine.vm.not_linux = facts & FACT_NOT_LINUX;
	o->machine.stamped = facts & FACT_STAMPED;
	if (trust == SAVED_BELIEVED)
		rc = take_words(o, &in, err);
	return rc ? rc : options_check(o, err);
}

bool saved_options_given(const struct run_options *o)
{
	for (const struct option *p = run_option_table; p->name; p++) {
		if (p->kind == OPTION_OF_MACHINE && o->given[p - run_option_table])
			return true;
	}
	return false;
}
