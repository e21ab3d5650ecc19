/* SPDX-License-Identifier: MIT */
/*
 * The one table of `lkvm run`'s options: parsing, --help, the man page, completion and the tests of
 * examples all read it. kvmtool's spellings work, and those of its options that are not built yet
 * are refused by name.
 */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include "cmd/exec.h"
#include "guest/initrd.h"
#include "machine.h"

#define DEFAULT_CPUS 1
#define DEFAULT_MEM (512 * MIB)
#define PORT_OPTIONS 32
#define OPTIONS_MAX 112
#define BOOT_MODULES_MAX 32
#define ATTACH_MAX 256
#define DEFAULT_PAYLOAD_MEM (128 * MIB)

/* Whose words are being parsed. */
enum option_source {
	OPTIONS_RUN,
	OPTIONS_RESTORE, /* a person's, for a machine that was saved */
	OPTIONS_SAVED,	 /* what a stream says of such a machine: see cmd/saved-options.h */
};

struct run_options {
	struct machine_config machine;
	enum option_source source;
	bool given[OPTIONS_MAX]; /* by a person: the table's entries */
	const char *from;	 /* what is restored: the bare word, with OPTIONS_RESTORE */
	char *saved_text;	 /* what a stream's words point into */
	const char *initrds[INITRDS_MAX + 1]; /* what image.initrds points to */
	unsigned int n_initrds;
	struct arch_module modules[BOOT_MODULES_MAX]; /* what image.modules points to */
	char *module_text[BOOT_MODULES_MAX];	      /* what they point into */
	char *params; /* all -p, a space between; NULL: none. See options_add_params() */
	const char *name;
	const char *console_log;
	const char *result, *junit;
	bool bisect, tender, fail_on_given;
	char **command; /* what stands behind `--`, or sandbox_command() made of it, ends with NULL; NULL: none, or front_look() took it */
	bool nodefaults; /* nothing is added to the command line */
	bool mem_given, transport_given;
	char *disk_text[MACHINE_DISKS];	  /* what disks[] points into */
	char *net_text[MACHINE_NETS];	  /* and nets[] */
	char *share_text[MACHINE_SHARES]; /* and shares[] */
	struct exec_plan plan;		  /* what the guest does for the command */
	struct hvt_guest hvt;		  /* a Solo5 image: what machine.hvt points to */
	struct hvt_attach *attach;	  /* ATTACH_MAX; NULL: none is given */
	char *hvt_cmdline;
	struct buf run_words; /* what was said of this run, as for control_config.words */
	bool heir;	      /* another lkvm's guest goes on in this one: CONTROL_HEIR */
	cpu_set_t affinity;
	struct machine_exec exec; /* the command's streams: what machine.exec points to */
	struct vm_option port_options[PORT_OPTIONS]; /* what vm.options points to */
};

enum option_state {
	OPTION_WORKS,
	OPTION_LATER, /* known, not built yet */
};

/* What an option says something of, and so who gives it to a machine that is restored. */
enum option_kind {
	OPTION_OF_RUN,	   /* this run, or lkvm: whoever restores it gives his own */
	OPTION_OF_BOOT,	   /* how the guest began: that is in its memory, and can't be said again */
	OPTION_OF_MACHINE, /* what the machine is: goes with it, in its stream */
};

struct option {
	const char *
		name; /* without its dashes; with a colon at its end the value is right behind it */
	char letter;  /* 0: none */
	const char *arg; /* what the value is called; NULL: a switch, which --no-NAME turns off */
	enum option_state state;
	const char *port; /* the arch_name that has it; NULL: all */
	enum option_kind kind;
	/*
	 * `value` is the argument, or "1" or "0" for a switch. 0 or -errno and a line. NULL: it is
	 * handed to the port as it is (vm_option()).
	 */
	int (*set)(struct run_options *o, const char *value, struct err *err);
	const char *help;
	const char *example; /* what follows `lkvm run` in a command line that works */
};

/* cmd/option-table.c. Ends with a NULL name; two ports may have options of one name. */
extern const struct option run_option_table[];

/* The kernel as a bare word, or by -k. */
int option_set_kernel(struct run_options *o, const char *value, struct err *err);

/* What all virtio devices are on: mmio, pci or auto. */
int option_set_transport(struct run_options *o, const char *value, struct err *err);

/* cmd/option-disk.c: a disk of its own, each time; or the directory that is the root. */
int option_set_disk(struct run_options *o, const char *value, struct err *err);

/* cmd/option-limit.c: rate, iops or burst of `option`, which was given so. */
int option_set_limit(struct limit_config *limit, const char *option, const char *given,
		     const char *key, const char *value, struct err *err);

/* cmd/option-network.c: a network of its own, each time. */
int option_set_network(struct run_options *o, const char *value, struct err *err);

/* cmd/option-exec.c: for the command. */
int option_set_root(struct run_options *o, const char *value, struct err *err);
int option_set_root_rw(struct run_options *o, const char *value, struct err *err);
int option_set_env(struct run_options *o, const char *value, struct err *err);
int option_set_user(struct run_options *o, const char *value, struct err *err);
int option_set_modules(struct run_options *o, const char *value, struct err *err);
int option_set_sandbox(struct run_options *o, const char *value, struct err *err);

/* cmd/option-small.c: for images that are no Linux kernels. */
int option_set_debug_exit(struct run_options *o, const char *value, struct err *err);
int option_set_discovery(struct run_options *o, const char *value, struct err *err);
int option_set_reset(struct run_options *o, const char *value, struct err *err);

/* cmd/option-hvt.c: a device of a Solo5 image; what the tender spells --block:NAME=PATH and so on. */
int option_set_block(struct run_options *o, const char *value, struct err *err);
int option_set_block_sector_size(struct run_options *o, const char *value, struct err *err);
int option_set_net(struct run_options *o, const char *value, struct err *err);
int option_set_net_mac(struct run_options *o, const char *value, struct err *err);

/*
 * When all are known, and the kernel: if that is a Solo5 image, what is behind `--` are its arguments, and
 * o->machine.hvt is set. What has no meaning, with one or without, is refused.
 */
int option_finish_hvt(struct run_options *o, struct err *err);

/* When all are known: without a command none of these has a meaning. */
int option_check_exec(const struct run_options *o, struct err *err);

/* cmd/option-share.c: a directory of its own, each time. */
int option_set_share(struct run_options *o, const char *value, struct err *err);
int option_set_9p(struct run_options *o, const char *value, struct err *err);

/* What only goes with a command is refused without: -errno and a line. */
int option_check_shares(const struct run_options *o, struct err *err);

/* One of the port's own, for vm_option(). Both strings outlive `o`. */
int option_set_port(struct run_options *o, const char *name, const char *value, struct err *err);

/* Does this lkvm have it (or will it)? */
bool option_is_ours(const struct option *p);

/* argv[1] on: options, and the kernel (or what is restored) as a bare word. 0 or -errno and a line. */
int options_parse(int argc, char **argv, struct run_options *o, struct err *err);

/* When all are known: what does not go together. options_parse() has done it, but with OPTIONS_RESTORE. */
int options_check(const struct run_options *o, struct err *err);

/* One word that is all of an option, --name=value: with OPTIONS_SAVED. */
int options_parse_word(char *word, struct run_options *o, struct err *err);
void options_free(struct run_options *o);

#define PARAMS_MAX 4095

/* Words for the kernel, before or behind those that there are. E2BIG past PARAMS_MAX characters. */
int options_add_params(struct run_options *o, const char *words, bool before, struct err *err);
const char *options_params(const struct run_options *o); /* "" when there are none */

/* Of the words for the kernel: util/cmdline.h. */
const char *options_param(const struct run_options *o, const char *name);

#endif
