/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/unixname.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

enum { NAMES_SHOWN = 4 }; /* to people */

static bool plain_path(const char *s)
{
	for (const char *p = s; *p;) {
		size_t n = strcspn(++p, "/");

		if (!n || (p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.'))))
			return false;
		p += n;
	}
	return true;
}

bool zt_unix_name_valid(const char *s)
{
	size_t n = strlen(s);

	if (n < 2 || n > ZT_UNIX_NAME_MAX || (s[0] != '/' && s[0] != '@'))
		return false;
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("\"'\\,", *p))
			return false;
	return s[0] == '@' || plain_path(s);
}

/* Where name is, or would be. */
static size_t place(const struct zt_unix_names *l, const char *name, bool *ret_there)
{
	size_t i = 0;

	while (i < l->n && strcmp(l->v[i], name) < 0)
		i++;
	*ret_there = i < l->n && !strcmp(l->v[i], name);
	return i;
}

int zt_unix_names_add(struct zt_unix_names *l, const char *name)
{
	bool there;
	size_t at = place(l, name, &there);
	char *copy;

	if (there)
		return 0;
	if (zt_grow(l->v, l->cap, l->n) < 0 || !(copy = zt_strdup(name)))
		return -ENOMEM;
	memmove(l->v + at + 1, l->v + at, (l->n - at) * sizeof(*l->v));
	l->v[at] = copy;
	l->n++;
	return 0;
}

int zt_unix_names_copy(struct zt_unix_names *dst, const struct zt_unix_names *src)
{
	int r = 0;

	for (size_t i = 0; !r && i < src->n; i++)
		r = zt_unix_names_add(dst, src->v[i]);
	return r;
}

void zt_unix_names_done(struct zt_unix_names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct zt_unix_names){0};
}

bool zt_unix_names_has(const struct zt_unix_names *l, const char *name)
{
	bool there = false;

	if (l->n && name)
		(void)place(l, name, &there); /* where it is does not matter */
	return !l->n || there;
}

bool zt_unix_names_eq(const struct zt_unix_names *a, const struct zt_unix_names *b)
{
	for (size_t i = 0; a->n == b->n && i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return a->n == b->n;
}

bool zt_unix_names_overlap(const struct zt_unix_names *a, const struct zt_unix_names *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (zt_unix_names_has(b, a->v[i]))
			return true;
	return !a->n || !b->n;
}

bool zt_unix_names_contain(const struct zt_unix_names *outer, const struct zt_unix_names *inner)
{
	for (size_t i = 0; i < inner->n; i++)
		if (!zt_unix_names_has(outer, inner->v[i]))
			return false;
	return !outer->n || inner->n;
}

void zt_unix_names_text(const struct zt_unix_names *l, struct zt_strbuf *out)
{
	zt_strbuf_str(out, "unix:");
	for (size_t i = 0; i < l->n && i < NAMES_SHOWN; i++)
		zt_strbuf_printf(out, i ? ",%s" : "%s", l->v[i]);
	if (l->n > NAMES_SHOWN)
		zt_strbuf_printf(out, " and %zu more", l->n - NAMES_SHOWN);
	if (!l->n)
		zt_strbuf_char(out, '*');
}
