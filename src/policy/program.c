/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs (exe:, parent:) and containers. Files are looked at when the ruleset is compiled, not here. */
#include <string.h>

#include "base/mem.h"
#include "identity/identity.h"
#include "policy/load.h"

enum { EXES_MAX = 64, DIGEST = 64 };
static const char pin[] = "@sha256:";

void zt_exe_refs_done(struct zt_exe_ref **refs, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		free((*refs)[i].path);
	free(*refs);
	*refs = NULL;
	*n = 0;
}

static int add(struct zt_exe_ref **refs, size_t *n, const struct zt_exe_ref *e)
{
	struct zt_exe_ref *bigger = zt_realloc(*refs, (*n + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	*refs = bigger;
	bigger[*n] = *e;
	bigger[*n].path = zt_strdup(e->path);
	if (!bigger[*n].path)
		return -ENOMEM;
	++*n;
	return 0;
}

static bool path_ok(const char *p, size_t n)
{
	if (p[0] != '/' || n < 2 || n > 1024 || p[n - 1] == '/')
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < ' ' || p[i] == 0x7f || p[i] == '"' || p[i] == '*')
			return false;
	return true;
}

static int read_digest(struct zt_load *l, const struct zt_node *v, const char *text, char ret[static 65])
{
	size_t n = strlen(text);

	if (n == DIGEST && strspn(text, "0123456789abcdef") == n) {
		memcpy(ret, text, n + 1);
		return 0;
	}
	(void)zt_complain(l, 1238, v, "\"%.80s\" is not a SHA-256 digest", text); /* the result follows */
	zt_diag_hint(l->d, "64 hexadecimal digits in small letters, as sha256sum prints them");
	return -EINVAL;
}

static int read_one(struct zt_load *l, const struct zt_node *v, struct zt_exe_ref **refs, size_t *n)
{
	const char *at = strstr(v->text, pin);
	size_t len = at ? (size_t)(at - v->text) : v->n;
	ZT_FREE char *path = zt_strndup(v->text, len);
	struct zt_exe_ref ref = {.path = path, .span = zt_doc_span(l->doc, v)};
	int r = 0;

	if (!path)
		return -ENOMEM;
	if (!path_ok(path, len)) {
		r = zt_complain(l, 1237, v, "\"%s\" is not an absolute path", zt_shown(v));
		zt_diag_hint(l->d, "for example exe: /usr/bin/redis-server");
		return r;
	}
	if (at)
		r = read_digest(l, v, at + sizeof(pin) - 1, ref.digest);
	if (!r && *n == EXES_MAX)
		r = zt_complain(l, 1239, v, "more than %d programs in one list", EXES_MAX);
	return r ? r : add(refs, n, &ref);
}

int zt_exe_refs_read(struct zt_load *l, const struct zt_node *v, struct zt_exe_ref **refs, size_t *n)
{
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i))
		r = zt_also(r, read_one(l, i, refs, n));
	return r;
}

/* The same path pinned to two digests is no program at all; pinned once, it stays pinned. */
static int both(const struct zt_exe_ref *a, const struct zt_exe_ref *b, struct zt_exe_ref **refs, size_t *n)
{
	if (strcmp(a->path, b->path) != 0 || (a->digest[0] && b->digest[0] && strcmp(a->digest, b->digest) != 0))
		return 0;
	return add(refs, n, a->digest[0] ? a : b);
}

int zt_exe_refs_and(struct zt_exe_ref **a, size_t *n_a, const struct zt_exe_ref *b, size_t n_b, bool *ret_empty)
{
	struct zt_exe_ref *out = NULL;
	size_t n = 0;
	bool first = !*n_a;
	int r = 0;

	*ret_empty = false;
	if (!n_b)
		return 0;
	for (size_t k = 0; !r && k < n_b; k++)
		for (size_t i = 0; !r && i < (first ? 1 : *n_a); i++)
			r = first ? add(&out, &n, &b[k]) : both(&(*a)[i], &b[k], &out, &n);
	*ret_empty = !r && !n;
	zt_exe_refs_done(a, n_a);
	*a = out;
	*n_a = n;
	return r;
}

/* ---- containers ---- */
static bool name_ok(const char *s)
{
	size_t n = strlen(s);

	return n && n <= 128 && s[0] != '.' && s[0] != '-' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

int zt_container_read(struct zt_load *l, struct zt_who *w, const struct zt_node *v)
{
	char *path = NULL;
	int r;

	if (!name_ok(v->text)) {
		r = zt_complain(l, 1240, v, "\"%s\" is not the name or id of a container", zt_shown(v));
		zt_diag_hint(l->d, "as docker ps or podman ps shows it, for example container: shop-db");
		return r;
	}
	r = l->o->no_resolve ? -ENOENT : zt_container_cgroup(l->o->root, v->text, &path);
	if (r == -EEXIST)
		return zt_complain(l, 1240, v, "several containers begin with \"%s\"", zt_shown(v));
	if (r == -ENOMEM)
		return r;
	if (r) /* not running: a group that is never there; `refresh` looks again */
		path = zt_asprintf("container-not-running/%s", v->text);
	return zt_who_add_cgroup(l, w, v, path, zt_strdup(v->text));
}
