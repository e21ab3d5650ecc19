/* SPDX-License-Identifier: MIT */
/* What the guest's init is told, were it not lkvm that told it. */
#include <errno.h>

#include "guest/init/order.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct order *o)
{
	CHECK(o->args[0] ? !o->boot[0] : o->boot[0] && o->root != ROOT_NONE);
	CHECK(o->cwd[0] == '/' && (!o->host || o->host[0]));
	for (const char **b = o->boot; *b; b++)
		CHECK(**b == '/');
	CHECK(o->n_groups <= ORDER_GROUPS);
	for (const char **m = o->modules; *m; m++)
		CHECK(**m == '/');
	for (char **e = o->env; *e; e++)
		CHECK(strchr(*e, '='));
	for (size_t i = 0; i < o->n_shares; i++)
		CHECK(o->shares[i].tag[0] && !strchr(o->shares[i].tag, '/'));
	CHECK(o->root == ROOT_NONE || o->root_source[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = (char *)heap_copy(data, size);
	struct order o = { .cwd = NULL };
	const char *bad;
	int rc = order_parse(text, size, &o, &bad);

	CHECK(!rc || rc == -EINVAL);
	if (!rc)
		check(&o);
	order_free(&o);
	free(text);
	return 0;
}
