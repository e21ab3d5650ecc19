/* SPDX-License-Identifier: MIT */
/* Solo5 images: their devices as the tender's options name them, and what `lkvm run` makes of one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/front.h"
#include "cmd/options.h"
#include "guest/image.h"
#include "guest/solo5.h"
#include "util/util.h"

static int add(struct run_options *o, enum hvt_option option, const char *text, struct err *err)
{
	if (o->hvt.n_attach == ATTACH_MAX)
		return err_set(err, E2BIG, "more than %u options for a Solo5 image's devices",
			       ATTACH_MAX);
	if (!o->attach)
		o->attach = calloc(ATTACH_MAX, sizeof(o->attach[0]));
	if (!o->attach)
		return err_set(err, ENOMEM, "no memory for options");
	o->attach[o->hvt.n_attach++] = (struct hvt_attach){ option, text };
	return 0;
}

int option_set_block(struct run_options *o, const char *value, struct err *err)
{
	return add(o, HVT_BLOCK, value, err);
}

int option_set_block_sector_size(struct run_options *o, const char *value, struct err *err)
{
	return add(o, HVT_BLOCK_SECTOR_SIZE, value, err);
}

int option_set_net(struct run_options *o, const char *value, struct err *err)
{
	return add(o, HVT_NET, value, err);
}

int option_set_net_mac(struct run_options *o, const char *value, struct err *err)
{
	return add(o, HVT_NET_MAC, value, err);
}

/* It has one CPU, what its manifest says, and a console that only prints. */
static int check_options(const struct run_options *o, struct err *err)
{
	const struct machine_config *m = &o->machine;
	const struct {
		bool given;
		const char *what;
	} none[] = {
		{ o->params, "--params: its arguments go behind --" },
		{ m->image.initrds, "--initrd" },
		{ m->vm.cpus != 1, "--cpus: it has one" },
		{ m->vm.irqchip, "--irqchip" },
		{ m->n_disks, "--disk: see --block:NAME=PATH" },
		{ m->n_nets, "--network: see --net:NAME=TAP" },
		{ m->n_shares, "--share" },
		{ m->rng, "--rng" },
		{ m->balloon, "--balloon" },
		{ m->vsock_cid, "--vsock" },
		{ m->console != CONSOLE_SERIAL, "--console" },
		{ vm_option(&m->vm, "entry"), "--entry: it has one" },
		{ m->image.n_modules, "--module" },
		{ m->debug_exits_given, "--debug-exit: it has a status" },
		{ m->discovery != DISCOVERY_DEFAULT, "--discovery" },
	};
	const char *linux_option = front_linux_option(o);

	for (unsigned int i = 0; i < ARRAY_SIZE(none); i++) {
		if (none[i].given)
			return err_set(err, EINVAL, "%s is a Solo5 image, which has no %s",
				       m->image.kernel, none[i].what);
	}
	return linux_option ? err_set(err, EINVAL, "%s is a Solo5 image, which has no %s",
				      m->image.kernel, linux_option)
			    : 0;
}

/* The words, a space between. */
static int join_arguments(struct run_options *o, struct err *err)
{
	size_t len = 1;

	for (char **word = o->command; word && *word; word++)
		len += strlen(*word) + 1;
	if (len > HVT_CMDLINE_MAX + 1)
		return err_set(err, E2BIG, "more than %u characters of arguments for a Solo5 image",
			       HVT_CMDLINE_MAX - 1);
	o->hvt_cmdline = calloc(1, len);
	if (!o->hvt_cmdline)
		return err_set(err, ENOMEM, "no memory for arguments");
	for (char **word = o->command; word && *word; word++) {
		strcat(o->hvt_cmdline, *word);
		if (word[1])
			strcat(o->hvt_cmdline, " ");
	}
	return 0;
}

int option_finish_hvt(struct run_options *o, struct err *err)
{
	const char *image = o->machine.image.kernel;
	int rc;

	if (!image || !image_map(image, IMAGE_SOLO5, &o->hvt.file))
		return o->hvt.n_attach ? err_set(err, EINVAL,
						 "--block:%s and the like are for Solo5 images",
						 o->attach[0].text)
				       : 0;
	rc = check_options(o, err);
	if (!rc)
		rc = join_arguments(o, err);
	o->hvt.name = image;
	o->hvt.cmdline = o->hvt_cmdline;
	o->hvt.attach = o->attach;
	o->machine.hvt = &o->hvt;
	o->machine.in = -1; /* nobody reads it: a terminal stays as it is, with its Ctrl-C */
	o->command = NULL;
	return rc;
}
