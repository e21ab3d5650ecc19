/* SPDX-License-Identifier: MIT */
#include "vm/device.h"

#include <string.h>

const struct device_type *device_type_find(const char *name)
{
	for (unsigned int i = 0; device_types[i]; i++) {
		if (!strcmp(device_types[i]->name, name))
			return device_types[i];
	}
	return NULL;
}

void device_resets_nothing(struct device *dev)
{
	(void)dev;
}

void device_saves_nothing(struct device *dev, struct buf *out)
{
	(void)dev;
	(void)out;
}

int device_loads_nothing(struct device *dev, struct reader *in)
{
	(void)dev;
	(void)in;
	return 0;
}

void device_list_add(struct device_list *list, struct device *dev)
{
	struct device **p = &list->first;

	while (*p)
		p = &(*p)->next;
	dev->next = NULL;
	*p = dev;
}

void device_list_quiesce(struct device_list *list)
{
	for (struct device *d = list->first; d; d = d->next) {
		if (d->ops->quiesce)
			d->ops->quiesce(d);
	}
}

void device_list_resume(struct device_list *list)
{
	for (struct device *d = list->first; d; d = d->next) {
		if (d->ops->resume)
			d->ops->resume(d);
	}
}

void device_list_log(struct device_list *list, bool on)
{
	for (struct device *d = list->first; d; d = d->next) {
		if (d->ops->log)
			d->ops->log(d, on);
	}
}

static void destroy_from(struct device *dev)
{
	if (!dev)
		return;
	destroy_from(dev->next);
	dev->ops->destroy(dev);
}

void device_list_destroy(struct device_list *list)
{
	destroy_from(list->first);
	list->first = NULL;
}
