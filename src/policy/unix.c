/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "policy/load.h"

int zt_unix_read(struct zt_load *l, const struct zt_node *v, struct zt_unix_names *ret)
{
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i)) {
		if (v->kind != ZT_NODE_LIST && (!strcmp(i->text, "any") || !strcmp(i->text, "*")))
			return 0;
		if (ret->n == ZT_UNIX_NAMES_MAX)
			return zt_complain(l, 1260, i, "more than %d names of Unix sockets in one rule",
					   ZT_UNIX_NAMES_MAX);
		if (strlen(i->text) == i->n && zt_unix_name_valid(i->text)) {
			r = zt_also(r, zt_unix_names_add(ret, i->text));
			continue;
		}
		r = zt_also(r, zt_complain(l, 1260, i, "\"%s\" is not the name of a Unix socket", zt_shown(i)));
		zt_diag_hint(l->d, "an absolute path of at most %d bytes, or \"@name\"; any stands alone",
			     ZT_UNIX_NAME_MAX);
	}
	return r;
}

int zt_unix_alone(struct zt_load *l, const struct zt_node *const *others, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!others[i])
			continue;
		(void)zt_complain(l, 1261, others[i], "\"%s\" says nothing about a Unix socket",
				  zt_shown(others[i])); /* the result follows */
		zt_diag_hint(l->d,
			     "who connects stands in from:, who receives in to:; write another rule for the network");
		return -EINVAL;
	}
	return 0;
}
