/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Comments of a file and what they belong to. A unit is what gets a line of its own when formatted: a key of a mapping, or an item of
 * a list. A comment behind something belongs to the last unit before it. One on a line of its own belongs to the next unit, or,
 * where it is indented deeper than that, to the unit above that is indented like it.
 */
#include "policy/tree.h"

struct zt_comment {
	size_t start, end; /* bytes, from the # */
	uint32_t line;
	bool behind;			/* something stands before it on its line */
	bool below;			/* stands after all of its unit */
	bool blank_before, blank_after; /* an empty line */
	const struct zt_node *unit;	/* NULL: at the end of the file */
	size_t rank;
};
struct zt_comments {
	struct zt_comment *v; /* after zt_comments_find: grouped by unit, in their order */
	size_t n, cap;
};

int zt_comments_find(const struct zt_doc *doc, struct zt_comments *ret);
void zt_comments_done(struct zt_comments *c);
/* Those of a unit, from *ret_first on; their number. */
size_t zt_comments_of(const struct zt_comments *c, const struct zt_node *unit, const struct zt_comment **ret_first);
bool zt_comments_in_list(const struct zt_doc *doc, const struct zt_comments *c, const struct zt_node *list);
