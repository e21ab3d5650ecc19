/* SPDX-License-Identifier: MIT */
/*
 * A machine that was saved is made again by its options, which its stream carries in the section "options" (STATE_OPTIONS):
 * what the table calls OPTION_OF_MACHINE (cmd/options.h), each a word as `lkvm run` would take it, with paths
 * made absolute and what was left to the host or to chance said. They are read by the parser that a person's
 * are read by.
 *
 * Such words open files, connect sockets and start scripts. So whose stream it is decides: one that the user has
 * named, and that nobody else can have written, is believed; of any other only what opens nothing is, unless the
 * user says --trust. Then the options are the user's own, and the machine that they make is compared with what the
 * stream's state says (state/state.h).
 */
#ifndef CMD_SAVED_OPTIONS_H
#define CMD_SAVED_OPTIONS_H

#include "cmd/options.h"
#include "util/buf.h"

#define SAVED_OPTIONS_MOST (256u * 1024u) /* bytes of it */

/*
 * What goes into that section, of a machine that was made of `o`. `vm` is machine_vm()->config, where the port has said what
 * it chose. -errno and a line: it can't be made again by options (a path with a comma where commas part words). Any thread,
 * as long as both live.
 */
int saved_options_make(const struct run_options *o, const struct vm_config *vm, struct buf *out,
		       struct err *err);

enum saved_trust {
	SAVED_BELIEVED, /* the words, but for what the user gave an option of the same name for: that counts alone */
	SAVED_DOUBTED, /* no word: what the machine is must be in the user's options */
};

/*
 * `o` has the user's options (options_parse() with OPTIONS_RESTORE, which leaves the checks of what goes together to
 * this). `section` is the section's body. -errno and a line: it is none, or holds what is no option of a machine.
 */
int saved_options_take(struct run_options *o, const struct reader *section, enum saved_trust trust,
		       struct err *err);

/* Has the user said anything of what the machine is? */
bool saved_options_given(const struct run_options *o);

#endif
