/* SPDX-License-Identifier: GPL-2.0-or-later */
/* identities: named senders and receivers; all: and any: combine them, so each is a list of alternatives. */
#include <string.h>

#include "base/mem.h"
#include "policy/load.h"

enum { ALTERNATIVES_MAX = 64 };

static int whos_add(struct zt_who **whos, size_t *n, struct zt_who *w)
{
	struct zt_who *bigger = zt_realloc(*whos, (*n + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	*whos = bigger;
	bigger[(*n)++] = *w;
	*w = (struct zt_who){0};
	return 0;
}

static void whos_done(struct zt_who **whos, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		zt_who_done(&(*whos)[i]);
	free(*whos);
	*whos = NULL;
	*n = 0;
}

/* ---- finding ---- */
static int identity_resolve(struct zt_load *l, struct zt_identity *id);

static struct zt_identity *identity_find(struct zt_load *l, const struct zt_node *v)
{
	struct zt_identity *id = zt_strmap_get(&l->identities, v->text + (v->text[0] == '@'));
	ZT_FREE const char **names = NULL;
	const char *near;
	size_t n = 0;

	if (id) {
		id->used = true;
		return id;
	}
	(void)zt_complain(l, 1216, v, "there is no identity \"%s\"", zt_shown(v)); /* NULL says it */
	names = zt_new(const char *, l->identities.n + 1);
	for (size_t i = 0; names && i < l->identities.cap; i++)
		if (l->identities.v[i].key)
			names[n++] = l->identities.v[i].key;
	near = names ? zt_str_nearest(v->text, names, n) : NULL;
	if (near)
		zt_diag_hint(l->d, "did you mean \"%s\"?", near);
	else
		zt_diag_hint(l->d, "identities are named under identities:");
	return NULL;
}

/* The alternatives of base and those of the identity hold at once. */
static int alternatives(struct zt_load *l, const struct zt_node *v, const struct zt_who *base,
			const struct zt_identity *id, const char *label, struct zt_who **whos, size_t *n)
{
	int r = 0;

	for (size_t i = 0; !r && i < id->n_whos; i++) {
		ZT_CLEANUP(zt_who_done) struct zt_who w = {0};

		if (*n == ALTERNATIVES_MAX)
			return zt_complain(l, 1241, v, "more than %d alternatives", ALTERNATIVES_MAX);
		r = zt_who_and(l, &w, base, v);
		if (!r && base->label)
			r = zt_who_label(&w, base->label);
		r = r ?: zt_who_and(l, &w, &id->whos[i], v);
		if (!r && label)
			r = zt_who_label(&w, label);
		zt_who_settle(&w);
		r = r ?: zt_count_ranges(l, v, w.uid.n + w.gid.n + w.n_cgroups);
		r = r ?: whos_add(whos, n, &w);
	}
	return r;
}

/* ---- filling: own keys, and all of `all`, and one of `any` ---- */
static int with_all(struct zt_load *l, struct zt_identity *id, const struct zt_node *names)
{
	int r = 0;

	for (const struct zt_node *i = zt_first(names); i && !r; i = zt_next(names, i)) {
		struct zt_identity *other = identity_find(l, i);
		struct zt_who *whos = NULL;
		size_t n = 0;

		r = other ? identity_resolve(l, other) : -EINVAL;
		for (size_t k = 0; !r && k < id->n_whos; k++)
			r = alternatives(l, i, &id->whos[k], other, NULL, &whos, &n);
		if (r) {
			whos_done(&whos, &n);
			return r;
		}
		whos_done(&id->whos, &id->n_whos);
		id->whos = whos;
		id->n_whos = n;
	}
	return r;
}

static int with_any(struct zt_load *l, struct zt_identity *id, const struct zt_node *names)
{
	struct zt_who *whos = NULL;
	size_t n = 0;
	int r = 0;

	if (!names)
		return 0;
	for (const struct zt_node *i = zt_first(names); i && r != -ENOMEM; i = zt_next(names, i)) {
		struct zt_identity *other = identity_find(l, i);
		int e = other ? identity_resolve(l, other) : -EINVAL;

		for (size_t k = 0; !e && k < id->n_whos; k++)
			e = alternatives(l, i, &id->whos[k], other, NULL, &whos, &n);
		r = zt_also(r, e);
	}
	whos_done(&id->whos, &id->n_whos);
	id->whos = whos;
	id->n_whos = n;
	return r;
}

static int identity_fill(struct zt_load *l, struct zt_identity *id)
{
	ZT_CLEANUP(zt_who_done) struct zt_who own = {0};
	const struct zt_node *all, *any;
	struct zt_fields f;
	bool given;
	int r = zt_fields_read(l->doc, ZT_MAP_IDENTITY, id->key->value, false, &f, l->d);

	all = zt_field(&f, IDENTITY, ALL);
	any = zt_field(&f, IDENTITY, ANY);
	r = zt_also(r, zt_who_inline(l, &f, false, &own, &given));
	if (!r && !given && !all && !any) {
		r = zt_complain(l, 1216, id->key, "the identity \"%s\" says nothing", zt_shown(id->key));
		zt_diag_hint(l->d, "for example %s: {user: web-user, service: nginx.service}", zt_shown(id->key));
	}
	return r ?: whos_add(&id->whos, &id->n_whos, &own) ?: with_all(l, id, all) ?: with_any(l, id, any);
}

static int identity_resolve(struct zt_load *l, struct zt_identity *id)
{
	const struct zt_doc *doc = l->doc;
	int r;

	if (id->state == ZT_IDENTITY_DONE)
		return id->bad ? -EINVAL : 0;
	l->doc = id->doc;
	if (id->state == ZT_IDENTITY_READING) {
		r = zt_complain(l, 1242, id->key, "the identity \"%s\" is made of itself", zt_shown(id->key));
	} else {
		id->state = ZT_IDENTITY_READING;
		r = identity_fill(l, id);
	}
	id->state = ZT_IDENTITY_DONE;
	id->bad = id->bad || r != 0;
	l->doc = doc;
	return r;
}

/* ---- users of identities ---- */
static int add_alternative(struct zt_load *l, const struct zt_node *v, const struct zt_who *base,
			   struct zt_endpoint *ep)
{
	const struct zt_identity *id = identity_find(l, v);
	ZT_FREE char *label = id ? zt_asprintf("@%s", id->key->text) : NULL;

	if (!id || id->bad)
		return -EINVAL;
	return label ? alternatives(l, v, base, id, label, &ep->whos, &ep->n_whos) : -ENOMEM;
}

int zt_whos_read(struct zt_load *l, const struct zt_fields *f, const struct zt_node *names, bool test,
		 struct zt_endpoint *ep)
{
	ZT_CLEANUP(zt_who_done) struct zt_who w = {0};
	bool given;
	int r = zt_who_inline(l, f, test, &w, &given);

	for (const struct zt_node *i = zt_first(names); i && r != -ENOMEM; i = zt_next(names, i))
		r = zt_also(r, add_alternative(l, i, &w, ep));
	return r || names || !given ? r : whos_add(&ep->whos, &ep->n_whos, &w);
}

static int identity_add(struct zt_load *l, const struct zt_node *key)
{
	const struct zt_identity *before = zt_strmap_get(&l->identities, key->text);
	struct zt_identity *id;

	if (before) {
		(void)zt_complain(l, 1234, key, "there is an identity \"%s\" already",
				  zt_shown(key)); /* the result follows */
		zt_diag_hint(l->d, "%s, line %u", before->doc->name, before->key->line + 1);
		return -EINVAL;
	}
	id = zt_new(struct zt_identity, 1);
	if (!id || zt_strmap_put(&l->identities, key->text, id) < 0) {
		free(id);
		return -ENOMEM;
	}
	*id = (struct zt_identity){.doc = l->doc, .key = key};
	return 0;
}

int zt_identities_read(struct zt_load *l, const struct zt_node *node)
{
	int r = 0;

	for (const struct zt_node *key = node->first; key && r != -ENOMEM; key = key->next)
		r = zt_also(r, zt_also(zt_name_check(l, key, "an identity"), identity_add(l, key)));
	return r;
}

int zt_identities_resolve(struct zt_load *l, const struct zt_node *node)
{
	int r = 0;

	for (const struct zt_node *key = node->first; key && r != -ENOMEM; key = key->next) {
		struct zt_identity *id = zt_strmap_get(&l->identities, key->text);

		if (id && id->key == key && id->state != ZT_IDENTITY_DONE)
			r = zt_also(r, identity_resolve(l, id));
	}
	return r;
}

void zt_identities_done(struct zt_load *l)
{
	for (size_t i = 0; i < l->identities.cap; i++) {
		struct zt_identity *id = l->identities.v[i].value;

		if (id) {
			whos_done(&id->whos, &id->n_whos);
			free(id);
		}
	}
	zt_strmap_done(&l->identities);
}
