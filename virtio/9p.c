/* SPDX-License-Identifier: MIT */
/* The device: which request is whose, and the way of answers into the guest's buffers. */
#include "virtio/9p.h"

#include <errno.h>
#include <linux/virtio_9p.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/9p-session.h"
#include "virtio/core.h"

#define QUEUE_SIZE 128

struct virtio_9p {
	struct virtio_dev dev;
	struct p9 p9;
	struct loop *loop; /* NULL: the queue is not active */
	bool loop_used;
	struct chain chain;
	char *dir;
	bool dead; /* and that has been said */
	void (*died)(void *opaque);
	void *opaque;
	char tag[P9_TAG_MAX];
	uint16_t tag_len;
	uint8_t in[P9_MESSAGE], out[P9_MESSAGE];
};

static struct virtio_9p *v9p_of(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_9p, dev);
}

/* ---- Requests ---- */

static p9_fn *const handlers[P9_TYPES] = {
	[P9_TSTATFS] = p9_statfs,
	[P9_TLOPEN] = p9_lopen,
	[P9_TLCREATE] = p9_lcreate,
	[P9_TSYMLINK] = p9_symlink,
	[P9_TMKNOD] = p9_mknod,
	[P9_TRENAME] = p9_rename,
	[P9_TREADLINK] = p9_readlink,
	[P9_TGETATTR] = p9_getattr,
	[P9_TSETATTR] = p9_setattr,
	[P9_TXATTRWALK] = p9_xattrwalk,
	[P9_TXATTRCREATE] = p9_xattrcreate,
	[P9_TREADDIR] = p9_readdir,
	[P9_TFSYNC] = p9_fsync,
	[P9_TLOCK] = p9_lock,
	[P9_TGETLOCK] = p9_getlock,
	[P9_TLINK] = p9_link,
	[P9_TMKDIR] = p9_mkdir,
	[P9_TRENAMEAT] = p9_renameat,
	[P9_TUNLINKAT] = p9_unlinkat,
	[P9_TVERSION] = p9_version,
	[P9_TAUTH] = p9_auth,
	[P9_TATTACH] = p9_attach,
	[P9_TFLUSH] = p9_flush,
	[P9_TWALK] = p9_walk,
	[P9_TREAD] = p9_read,
	[P9_TWRITE] = p9_write,
	[P9_TCLUNK] = p9_clunk,
	[P9_TREMOVE] = p9_remove,
};

/* What stands before a Twrite's data, and others whole: 0, or what is wrong with it. */
static int take_message(struct virtio_9p *v, struct p9_call *call, uint8_t type, uint32_t size)
{
	uint32_t len = type == P9_TWRITE ? MIN(size, P9_WRITE_DATA) : size;

	if (size < P9_HEADER || size > call->chain->out_len)
		return -EPROTO;
	if (len > P9_MESSAGE)
		return -EMSGSIZE;
	len -= P9_HEADER;
	if (len)
		chain_read(call->chain, P9_HEADER, v->in, len);
	call->in = (struct reader){ .p = v->in, .left = len };
	return 0;
}

static int dead(struct virtio_9p *v)
{
	if (!v->dead) {
		log_at(v->dev.env->log, LOG_ERROR,
		       "%s: the shared directory %s is gone, or its file system fails",
		       v->dev.device.name, v->dir);
		if (v->died)
			v->died(v->opaque);
	}
	v->dead = true;
	return -EIO;
}

static int handle(struct virtio_9p *v, struct p9_call *call, uint8_t type, uint32_t size)
{
	p9_fn *handler = type < P9_TYPES ? handlers[type] : NULL;
	int rc = take_message(v, call, type, size);

	if (!rc && !handler)
		rc = -EOPNOTSUPP;
	if (!rc && !v->p9.msize && type != P9_TVERSION)
		rc = -EPROTO;
	if (!rc)
		rc = handler(&v->p9, call);
	if (!rc && (call->out_full || P9_HEADER + call->out_len > call->chain->in_len))
		rc = -EMSGSIZE;
	return rc && !tree_alive(v->p9.tree) ? dead(v) : rc;
}

/* How many bytes it has. */
static uint32_t answer(struct virtio_9p *v, struct p9_call *call, uint8_t type, uint16_t tag,
		       int error)
{
	uint32_t len, size;

	if (error) {
		type = P9_RLERROR - 1;
		call->out_len = call->data = 0;
		p9_put_u32(call, (uint32_t)-error);
	}
	len = P9_HEADER + call->out_len;
	size = len + call->data;
	put_le32(v->out, size);
	v->out[4] = type + 1;
	put_le16(v->out + 5, tag);
	chain_write(call->chain, 0, v->out, len);
	return size;
}

/* Shorter than a header, or without room for an error: there is nothing to answer. */
static int64_t serve(struct virtio_dev *dev, const struct chain *c)
{
	struct virtio_9p *v = v9p_of(dev);
	struct p9_call call = { .chain = c, .out = v->out + P9_HEADER };
	uint8_t header[P9_HEADER];
	int rc;

	if (!chain_read(c, 0, header, sizeof(header)) || c->in_len < P9_ERROR_SIZE)
		return VIRTIO_BROKEN;
	rc = handle(v, &call, header[4], get_le32(header));
	return answer(v, &call, header[4], get_le16(header + 5), rc);
}

/* ---- The device ---- */

static void v9p_kick(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_9p *v = v9p_of(dev);

	if (!v->loop_used)
		tree_use_thread();
	v->loop_used = true;
	virtio_serve(dev, i, &v->chain, serve);
}

static int v9p_activate(struct virtio_dev *dev, unsigned int i)
{
	struct virtio_9p *v = v9p_of(dev);

	if (!v->p9.scratch)
		v->p9.scratch = malloc(P9_SCRATCH);
	if (!v->p9.entries)
		v->p9.entries = malloc(P9_SCRATCH);
	if (!v->p9.scratch || !v->p9.entries)
		return -ENOMEM;
	v->loop = loop_create("9p");
	if (!v->loop)
		return -ENOMEM;
	v->loop_used = false;
	dev->queues[i].loop = v->loop;
	return 0;
}

static void v9p_stop(struct virtio_dev *dev, unsigned int i)
{
	(void)i;
	loop_destroy(v9p_of(dev)->loop);
	v9p_of(dev)->loop = NULL;
}

static void v9p_reset(struct virtio_dev *dev)
{
	p9_drop_all(&v9p_of(dev)->p9);
	v9p_of(dev)->p9.msize = 0;
}

static void v9p_config_read(struct virtio_dev *dev, uint32_t offset, void *data, uint32_t len)
{
	const struct virtio_9p *v = v9p_of(dev);
	uint8_t config[2 + P9_TAG_MAX];

	put_le16(config, v->tag_len);
	memcpy(config + 2, v->tag, v->tag_len);
	memcpy(data, config + offset, len);
}

static void v9p_save(struct virtio_dev *dev, struct buf *out)
{
	p9_save(&v9p_of(dev)->p9, out);
}

static int v9p_load(struct virtio_dev *dev, struct reader *in)
{
	return p9_load(&v9p_of(dev)->p9, in);
}

static void v9p_destroy(struct virtio_dev *dev)
{
	struct virtio_9p *v = v9p_of(dev);

	virtio_fini(dev);
	p9_drop_all(&v->p9);
	hash_free(&v->p9.fids);
	hash_free(&v->p9.lockers);
	tree_close(v->p9.tree);
	free(v->dir);
	free(v->p9.scratch);
	free(v->p9.entries);
	free(v);
}

static const struct virtio_ops v9p_ops = {
	.config_read = v9p_config_read,
	.activate = v9p_activate,
	.kick = v9p_kick,
	.stop = v9p_stop,
	.reset = v9p_reset,
	.save = v9p_save,
	.load = v9p_load,
	.destroy = v9p_destroy,
};

static int v9p_create(const struct device_env *env, const void *config, struct device **out,
		      struct err *err)
{
	const struct p9_config *c = config;
	size_t tag_len = strlen(c->tag);
	struct virtio_9p *v;
	int rc;

	if (!tag_len || tag_len > P9_TAG_MAX)
		return err_set(err, EINVAL, "the tag '%s' of %s: it has 1 to %d characters", c->tag,
			       c->dir, P9_TAG_MAX);
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_set(err, ENOMEM, "no memory for %s", c->name);
	v->dir = strdup(c->dir);
	rc = v->dir ? tree_open(c->dir, c->read_only, c->max_fds, &v->p9.tree, err)
		    : err_set(err, ENOMEM, "no memory for %s", c->name);
	if (rc) {
		free(v->dir);
		free(v);
		return rc;
	}
	v->died = c->died;
	v->opaque = c->opaque;
	memcpy(v->tag, c->tag, tag_len);
	v->tag_len = (uint16_t)tag_len;
	v->dev.ops = &v9p_ops;
	v->dev.id = VIRTIO_ID_9P;
	v->dev.features = FEATURE(VIRTIO_9P_MOUNT_TAG);
	v->dev.n_queues = 1;
	v->dev.often = true;
	v->dev.queue_size = QUEUE_SIZE;
	v->dev.config_size = 2u + v->tag_len;
	virtio_init(&v->dev, c->name, env);
	*out = &v->dev.device;
	return 0;
}

const struct device_type virtio_9p_type = { "virtio_9p", v9p_create };
