/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Names of Unix sockets: "/run/x.sock", the absolute path the socket was bound to, or "@x", an abstract name. A list is sorted and has each
 * name once; the empty list is every name. It owns its texts.
 */
#include "base/strbuf.h"

enum {
	ZT_UNIX_NAME_MAX = 107, /* bytes; sun_path has one more */
	ZT_UNIX_NAMES_MAX = 64, /* in one list of a policy */
};

struct zt_unix_names {
	char **v;
	size_t n, cap;
};
/* Absolute and plain (no "//", "." or ".."), or "@" and at least one byte; printable, without blanks, quotes, backslashes and commas. */
bool zt_unix_name_valid(const char *s);
int zt_unix_names_add(struct zt_unix_names *l, const char *name); /* sorted in; 0 also where it is there already */
int zt_unix_names_copy(struct zt_unix_names *dst, const struct zt_unix_names *src); /* dst zeroed; done in any case */
void zt_unix_names_done(struct zt_unix_names *l);
bool zt_unix_names_has(const struct zt_unix_names *l, const char *name); /* name NULL: a socket without one */
bool zt_unix_names_eq(const struct zt_unix_names *a, const struct zt_unix_names *b);
bool zt_unix_names_overlap(const struct zt_unix_names *a, const struct zt_unix_names *b);
void zt_unix_names_text(const struct zt_unix_names *l, struct zt_strbuf *out); /* "unix:/run/x.sock,@y", "unix:*" */
bool zt_unix_names_contain(const struct zt_unix_names *outer, const struct zt_unix_names *inner);
