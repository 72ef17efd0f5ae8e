/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Diagnostics: what rooms below the command line say instead of logging. A list of
 * (severity, code, place, message, hint), several per run, printed once by the caller as
 *
 *   rules.yaml:12:7: error: unknown key "potr" [ZT1107]
 *      12 |       potr: 6379
 *         |       ^~~~
 *   hint: did you mean "port"?
 *
 * Codes: 1xxx policy language, 2xxx ruleset and lint, 3xxx engines, 4xxx apply and state, 5xxx command line.
 * Each room documents its codes in its own codes.def (`ZT_CODE(1107, "unknown key", "long explanation")`).
 */
#include <stdio.h>

#include "base/macros.h"

enum zt_severity { ZT_ERROR, ZT_WARNING, ZT_NOTE };

/* A place in a file. file is borrowed and must outlive the list unless zt_diags_intern() made it. line 0 = no place. */
struct zt_span {
	const char *file;
	uint32_t line, col, len; /* 1-based line and column in bytes; len of the marked text, 0 = one caret */
};

struct zt_diag {
	enum zt_severity severity;
	unsigned code; /* 0 = none */
	struct zt_span span;
	char *message, *hint, *source; /* source: the text of the line, NULL when unknown */
};

struct zt_diags {
	struct zt_diag *items;
	size_t n, cap, errors, warnings;
	size_t max; /* 0 = 200; further errors are counted in `suppressed` only */
	size_t suppressed;
	char **strings; /* interned file names */
	size_t n_strings, cap_strings;
};

void zt_diags_done(struct zt_diags *d);
const char *zt_diags_intern(struct zt_diags *d, const char *s); /* "" on allocation failure */

/* Adds one. Returns -EINVAL for errors, 0 for warnings and notes, so that
 * `return zt_diag(d, ZT_ERROR, 1107, &span, …)` reads well. d may be NULL. */
int zt_diag(struct zt_diags *d, enum zt_severity severity, unsigned code, const struct zt_span *span, const char *fmt,
	    ...) ZT_PRINTF(5, 6);
void zt_diag_hint(struct zt_diags *d, const char *fmt, ...) ZT_PRINTF(2, 3); /* to the last one added */
void zt_diag_source(struct zt_diags *d, const char *line, size_t len);	     /* to the last one added */
/* Adds "WHAT: strerror(-r)" as an error without a place and returns r. */
int zt_diag_errno(struct zt_diags *d, unsigned code, int r, const char *fmt, ...) ZT_PRINTF(4, 5);

void zt_diags_print(const struct zt_diags *d, FILE *f, bool colour);
