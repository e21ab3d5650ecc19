/* SPDX-License-Identifier: MIT */
/*
 * 9P2000.L on the wire: every message is size[4] type[1] tag[2] and its fields, little-endian;
 * a string is its length[2] and so many bytes. One call is a request and the answer to it: its fields
 * are taken in order, and what is wrong with any is asked for once, by p9_bad().
 */
#ifndef VIRTIO_9P_WIRE_H
#define VIRTIO_9P_WIRE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "host/tree.h"
#include "util/buf.h"
#include "virtio/queue.h"

enum p9_type { /* of requests; an answer is one more */
	       P9_RLERROR = 7,
	       P9_TSTATFS = 8,
	       P9_TLOPEN = 12,
	       P9_TLCREATE = 14,
	       P9_TSYMLINK = 16,
	       P9_TMKNOD = 18,
	       P9_TRENAME = 20,
	       P9_TREADLINK = 22,
	       P9_TGETATTR = 24,
	       P9_TSETATTR = 26,
	       P9_TXATTRWALK = 30,
	       P9_TXATTRCREATE = 32,
	       P9_TREADDIR = 40,
	       P9_TFSYNC = 50,
	       P9_TLOCK = 52,
	       P9_TGETLOCK = 54,
	       P9_TLINK = 70,
	       P9_TMKDIR = 72,
	       P9_TRENAMEAT = 74,
	       P9_TUNLINKAT = 76,
	       P9_TVERSION = 100,
	       P9_TAUTH = 102,
	       P9_TATTACH = 104,
	       P9_TFLUSH = 108,
	       P9_TWALK = 110,
	       P9_TREAD = 116,
	       P9_TWRITE = 118,
	       P9_TCLUNK = 120,
	       P9_TREMOVE = 122,
	       P9_TYPES = 128,
};

#define P9_NO_FID UINT32_MAX
#define P9_HEADER 7u
#define P9_ERROR_SIZE (P9_HEADER + 4u)
#define P9_DATA (P9_HEADER + 4u)	/* where an Rread's and an Rreaddir's data begin */
#define P9_WRITE_DATA (P9_HEADER + 16u) /* and a Twrite's */
#define P9_MESSAGE 8192u		/* the longest without such data, ours and theirs */
#define P9_MSIZE_MIN 4096u
#define P9_MSIZE_MAX (512u * 1024)
#define P9_WALK_MAX 16

typedef char p9_name[TREE_NAME_MAX + 1];

struct p9_call {
	const struct chain *chain;
	struct reader in; /* behind the header */
	int error;	  /* of what was taken: the first */
	uint8_t *out;	  /* the answer, behind its header; P9_MESSAGE */
	uint32_t out_len;
	bool out_full;
	uint32_t data; /* bytes behind `out` that are in the guest's buffer already */
};

uint8_t p9_u8(struct p9_call *c);
uint16_t p9_u16(struct p9_call *c);
uint32_t p9_u32(struct p9_call *c);
uint64_t p9_u64(struct p9_call *c);

/* Up to `size` - 1 bytes without a NUL, and one behind them. */
void p9_string(struct p9_call *c, char *buf, size_t size);

/* A name of a file: tree_name_ok(). */
void p9_take_name(struct p9_call *c, p9_name name);

/* -EPROTO: it was too short; -EINVAL, -ENAMETOOLONG: of strings; or what c->error was set to. */
int p9_bad(struct p9_call *c);

void p9_put_u8(struct p9_call *c, uint8_t v);
void p9_put_u16(struct p9_call *c, uint16_t v);
void p9_put_u32(struct p9_call *c, uint32_t v);
void p9_put_u64(struct p9_call *c, uint64_t v);
void p9_put_bytes(struct p9_call *c, const void *data, size_t len);
void p9_put_string(struct p9_call *c, const char *s, size_t len);

/* type[1] version[4] path[8]: `id` is tree_id()'s. */
#define P9_QID 13u
struct p9_qid {
	uint8_t type;
	uint32_t version;
	uint64_t path;
};

struct p9_qid p9_qid_of(const struct stat *st, uint64_t id);
uint8_t p9_qid_type(mode_t mode);
void p9_put_qid(struct p9_call *c, const struct p9_qid *qid);

/* Linux's numbers of flags, as x86 has them, into this machine's; unknown ones are dropped. */
int p9_open_flags(uint32_t flags);

/* What an open file keeps of them. */
#define P9_OPEN_FLAGS (O_ACCMODE | O_APPEND | O_DSYNC | O_SYNC | O_DIRECTORY)

#endif
