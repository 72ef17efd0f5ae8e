/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Text tables in the style of the reference's status screen, never wider than the given width:
 * the widest flexible columns are shortened with "..", those that are vital last. */
#include <stdio.h>

#include "base/macros.h"

struct zt_table_column {
	const char *title;
	unsigned min;  /* never narrower than this */
	bool right;    /* numbers */
	bool flexible; /* may be shortened to fit */
	bool vital;    /* … after those that are not */
	bool path;     /* what is shortened keeps its end: "..r/bin/curl" */
};
struct zt_table; /* opaque */
struct zt_table *zt_table_new(const struct zt_table_column *cols, size_t n);
void zt_table_free(struct zt_table *t);
void zt_table_freep(struct zt_table **t);
int zt_table_row(struct zt_table *t, const char *const *cells); /* copies; cells are escaped for terminals */
/* head_lines: "Policy: DEFAULT DENY" lines of the box above the table; title centred. Any may be NULL/0.
 * -ENOMEM: a row is missing; -EIO: it could not be written. width 0 = no limit: nothing is shortened. colour colours the title and cells that say DROP/REJECT/deny. */
int zt_table_print(const struct zt_table *t, FILE *f, const char *title, const char *const *head_lines, size_t n_head,
		   unsigned width, bool colour);
