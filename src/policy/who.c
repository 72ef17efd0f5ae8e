/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "identity/identity.h"
#include "policy/load.h"

/* Places of the keys of who in every mapping that has them. */
enum { USER, UID, GROUP, GID, CGROUP, SERVICE, EXE, APP, CONTAINER, WHO_KEYS, IDENTITY = WHO_KEYS };
#define SAME_PLACES(M)                                                                                          \
	static_assert(ZT_K_##M##_USER - ZT_K_##M##_FIRST == USER && ZT_K_##M##_GID - ZT_K_##M##_FIRST == GID && \
			      ZT_K_##M##_SERVICE - ZT_K_##M##_FIRST == SERVICE,                                 \
		      "keys of who come first")
SAME_PLACES(FROM);
SAME_PLACES(TO);
SAME_PLACES(IDENTITY);
SAME_PLACES(TEST_FROM);
static_assert(ZT_K_FROM_CONTAINER - ZT_K_FROM_FIRST == CONTAINER && ZT_K_FROM_IDENTITY - ZT_K_FROM_FIRST == IDENTITY &&
		      ZT_K_TO_IDENTITY - ZT_K_TO_FIRST == IDENTITY,
	      "then the later ones and identity");

enum { ID_MAX = 4294967294u, NOBODY = UINT32_MAX };

void zt_who_done(struct zt_who *w)
{
	zt_u32_ranges_done(&w->uid);
	zt_u32_ranges_done(&w->gid);
	for (size_t i = 0; i < w->n_cgroups; i++) {
		free(w->cgroups[i].path);
		free(w->cgroups[i].service);
	}
	for (size_t i = 0; i < w->n_needs; i++)
		free(w->needs[i].value);
	free(w->cgroups);
	free(w->needs);
	free(w->label);
	*w = (struct zt_who){0};
}

/* ---- one value ---- */
static int unknown_account(struct zt_load *l, const struct zt_node *v, bool group)
{
	ZT_FREE char *near = NULL;

	if (l->o->no_resolve)
		return 0;
	near = zt_names_nearest(l, v->text, group);
	(void)zt_complain(l, group ? 1212 : 1211, v, "there is no %s \"%s\"", group ? "group" : "user",
			  zt_shown(v)); /* the result follows */
	if (near)
		zt_diag_hint(l->d, "did you mean \"%s\"?", near);
	else if (group && !strcmp(v->text, "*"))
		zt_diag_hint(l->d, "everybody is user: \"*\"");
	else
		zt_diag_hint(l->d, "numbers are taken as they are: %s: %s", group ? "gid" : "uid", "1000");
	return -EINVAL;
}

static bool only(const char *s, const char *allowed)
{
	return *s && !s[strspn(s, allowed)];
}

/* Names go to numbers; names is false for uid: and gid:. */
static int add_account(struct zt_load *l, const struct zt_node *v, bool group, bool names, struct zt_u32_ranges *ret)
{
	const struct zt_account *a = NULL;
	struct zt_u32_range range;
	int r;

	if (zt_range_read(l, v, 0, ID_MAX, &range) == 0)
		return zt_u32_ranges_add(ret, range.lo, range.hi);
	if (!names || only(v->text, "0123456789-")) {
		(void)zt_complain(l, 1213, v, "\"%s\" is not a number or range of numbers",
				  zt_shown(v)); /* the result follows */
		if (!names && !strchr("0123456789-", v->text[0]))
			zt_diag_hint(l->d, "names are written %s: %s", group ? "group" : "user", zt_shown(v));
		else
			zt_diag_hint(l->d, "0 to 4294967294, a range goes upwards");
		return -EINVAL;
	}
	r = group ? zt_names_group(l, v->text, &a) : zt_names_user(l, v->text, &a);
	if (r == -ENOENT)
		return unknown_account(l, v, group) ?: zt_u32_ranges_add(ret, NOBODY, NOBODY);
	return r ? r : zt_u32_ranges_add(ret, a->id, a->id);
}

static int add_cgroup(struct zt_load *l, struct zt_who *w, const struct zt_node *v, char *path, char *service)
{
	struct zt_cgroup_ref *bigger = path ? zt_realloc(w->cgroups, (w->n_cgroups + 1) * sizeof(*bigger)) : NULL;

	if (!bigger) {
		free(path);
		free(service);
		return -ENOMEM;
	}
	w->cgroups = bigger;
	w->cgroups[w->n_cgroups++] = (struct zt_cgroup_ref){path, service, zt_doc_span(l->doc, v)};
	return 0;
}

static bool path_ok(const char *p, size_t n)
{
	if (!n || n > 1024)
		return false;
	for (size_t i = 0; i < n;) {
		size_t part = strcspn(p + i, "/");

		part = ZT_MIN(part, n - i);
		if (!part || part > 255 || (p[i] == '.' && (part == 1 || (part == 2 && p[i + 1] == '.'))))
			return false;
		i += part + (i + part < n);
		if (i == n && p[n - 1] == '/')
			return false;
	}
	for (size_t i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] == 0x7f || p[i] == '"' || p[i] == '*')
			return false;
	return true;
}

static int read_cgroup(struct zt_load *l, struct zt_who *w, const struct zt_node *v)
{
	size_t skip = strspn(v->text, "/"), n = v->n;

	while (n > skip && v->text[n - 1] == '/')
		n--;
	if (path_ok(v->text + skip, n - skip) && strncmp(v->text, "/sys/fs/cgroup", 14) != 0)
		return add_cgroup(l, w, v, zt_strndup(v->text + skip, n - skip), NULL);
	(void)zt_complain(l, 1218, v, "\"%s\" is not a path of a control group", zt_shown(v)); /* the result follows */
	zt_diag_hint(
		l->d,
		"the path below the cgroup2 mount, for example user.slice/user-1000.slice; without \".\", \"..\", blanks and quotes");
	return -EINVAL;
}

static bool unit_ok(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.\\@-";
	const char *dot = strrchr(s, '.');

	if (!only(s, allowed) || strlen(s) > 255 || s[0] == '.' || s[0] == '@')
		return false;
	for (const char *const *t =
		     (const char *const[]){".slice", ".scope", ".socket", ".target", ".timer", ".mount", ".path", NULL};
	     *t; t++)
		if (dot && !strcmp(dot, *t))
			return false;
	return true;
}

static int read_service(struct zt_load *l, struct zt_who *w, const struct zt_node *v)
{
	ZT_FREE char *path = NULL;
	const char *known = zt_strmap_get(&l->services, v->text), *dot = strrchr(v->text, '.');
	char *unit;
	int r = 0;

	if (!unit_ok(v->text)) {
		(void)zt_complain(l, 1217, v, "\"%s\" is not the name of a service",
				  zt_shown(v)); /* the result follows */
		zt_diag_hint(l->d, "for example nginx.service; slices and scopes are named by cgroup:");
		return -EINVAL;
	}
	unit = dot && !strcmp(dot, ".service") ? zt_strdup(v->text) : zt_asprintf("%s.service", v->text);
	if (!known) {
		r = zt_service_cgroup(v->text, &path);
		if (!path) {
			free(unit);
			return r == -ENOMEM
				       ? r
				       : zt_complain(l, 1217, v, "the service \"%s\" is not understood", zt_shown(v));
		}
		known = path;
		if (zt_strmap_put(&l->services, v->text, path) == 0)
			ZT_TAKE(path);
	}
	return add_cgroup(l, w, v, unit ? zt_strdup(known) : NULL, unit);
}

int zt_who_need(struct zt_load *l, struct zt_who *w, const char *key, const char *value, const struct zt_node *at)
{
	struct zt_need *bigger = zt_realloc(w->needs, (w->n_needs + 1) * sizeof(*bigger));
	char *copy = bigger ? zt_strdup(value) : NULL;

	if (bigger)
		w->needs = bigger;
	if (!copy)
		return -ENOMEM;
	w->needs[w->n_needs++] = (struct zt_need){key, copy, zt_doc_span(l->doc, at)};
	return 0;
}

static int read_need(struct zt_load *l, struct zt_who *w, const struct zt_node *v, const char *key)
{
	ZT_FREE char *value = zt_as_written(v);
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && !strcmp(key, "exe"); i = zt_next(v, i)) {
		if (i->text[0] == '/')
			continue;
		r = zt_complain(l, 1237, i, "\"%s\" is not an absolute path", zt_shown(i));
		zt_diag_hint(l->d, "for example exe: /usr/bin/redis-server");
	}
	return r ? r : value ? zt_who_need(l, w, key, value, v) : -ENOMEM;
}

/* ---- both of two must hold ---- */
static int never(struct zt_load *l, const struct zt_node *at, const char *what)
{
	(void)zt_complain(l, 1228, at, "no process is meant: %s", what); /* the result follows */
	zt_diag_hint(l->d, "all keys must hold at once; alternatives are lists of one key, or two rules");
	return -EINVAL;
}

static int intersect_ids(struct zt_u32_ranges *a, const struct zt_u32_ranges *b, bool *ret_empty)
{
	struct zt_u32_ranges out = {0};
	int r = 0;

	*ret_empty = false;
	if (!b->n)
		return 0;
	if (!a->n)
		return zt_u32_ranges_copy(a, b);
	for (size_t i = 0, k = 0; !r && i < a->n && k < b->n;) {
		uint32_t lo = ZT_MAX(a->v[i].lo, b->v[k].lo), hi = ZT_MIN(a->v[i].hi, b->v[k].hi);

		if (lo <= hi)
			r = zt_u32_ranges_add(&out, lo, hi);
		if (a->v[i].hi < b->v[k].hi)
			i++;
		else
			k++;
	}
	*ret_empty = !out.n;
	zt_u32_ranges_done(a);
	*a = out;
	return r;
}

static bool inside(const char *inner, const char *outer)
{
	size_t n = strlen(outer);

	return !strncmp(inner, outer, n) && (inner[n] == '/' || !inner[n]);
}

static int copy_cgroup(struct zt_who *w, const struct zt_cgroup_ref *c)
{
	struct zt_cgroup_ref *bigger = zt_realloc(w->cgroups, (w->n_cgroups + 1) * sizeof(*bigger)), copy = *c;

	if (!bigger)
		return -ENOMEM;
	w->cgroups = bigger;
	copy.path = zt_strdup(c->path);
	copy.service = c->service ? zt_strdup(c->service) : NULL;
	w->cgroups[w->n_cgroups++] = copy;
	return copy.path && (copy.service || !c->service) ? 0 : -ENOMEM;
}

static int copy_cgroups(struct zt_who *w, const struct zt_who *b)
{
	int r = 0;

	for (size_t i = 0; !r && i < b->n_cgroups; i++)
		r = copy_cgroup(w, &b->cgroups[i]);
	return r;
}

/* A group of b inside one of w (or the other way round) stays, the rest goes. */
static int intersect_cgroups(struct zt_who *w, const struct zt_who *b, bool *ret_empty)
{
	struct zt_who out = {0};
	int r = 0;

	*ret_empty = false;
	if (!b->n_cgroups)
		return 0;
	if (!w->n_cgroups)
		return copy_cgroups(w, b);
	for (size_t i = 0; i < w->n_cgroups; i++)
		for (size_t k = 0; !r && k < b->n_cgroups; k++) {
			const struct zt_cgroup_ref *x = &w->cgroups[i], *y = &b->cgroups[k];

			if (inside(x->path, y->path))
				r = copy_cgroup(&out, x);
			else if (inside(y->path, x->path))
				r = copy_cgroup(&out, y);
		}
	*ret_empty = !out.n_cgroups;
	for (size_t i = 0; i < w->n_cgroups; i++) {
		free(w->cgroups[i].path);
		free(w->cgroups[i].service);
	}
	free(w->cgroups);
	w->cgroups = out.cgroups;
	w->n_cgroups = out.n_cgroups;
	return r;
}

static int add_label(struct zt_who *w, const char *text)
{
	char *joined = w->label ? zt_asprintf("%s %s", w->label, text) : zt_strdup(text);

	if (!joined)
		return -ENOMEM;
	free(w->label);
	w->label = joined;
	return 0;
}

static int who_and(struct zt_load *l, struct zt_who *w, const struct zt_who *b, const struct zt_node *at)
{
	bool no_uid = false, no_gid = false, no_cgroup = false;
	int r = intersect_ids(&w->uid, &b->uid, &no_uid);

	r = r ?: intersect_ids(&w->gid, &b->gid, &no_gid);
	r = r ?: intersect_cgroups(w, b, &no_cgroup);
	for (size_t i = 0; !r && i < b->n_needs; i++)
		r = zt_who_need(l, w, b->needs[i].key, b->needs[i].value, at);
	if (r)
		return r;
	if (no_uid || no_gid || no_cgroup)
		return never(l, at,
			     no_uid   ? "the users exclude each other"
			     : no_gid ? "the groups exclude each other"
				      : "the control groups exclude each other");
	return 0;
}

/* ---- the keys ---- */
static int read_ids(struct zt_load *l, struct zt_who *w, unsigned slot, const struct zt_node *v)
{
	bool group = slot == GROUP || slot == GID, names = slot == USER || slot == GROUP, any = false;
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges ids = {0};
	struct zt_who b = {0};
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i)) {
		if (slot == USER && !strcmp(i->text, "*"))
			any = true;
		else
			r = zt_also(r, add_account(l, i, group, names, &ids));
	}
	zt_u32_ranges_normalise(&ids);
	if (r || any)
		return r;
	*(group ? &b.gid : &b.uid) = ids; /* borrowed */
	return who_and(l, w, &b, v);
}

static int read_cgroups(struct zt_load *l, struct zt_who *w, unsigned slot, const struct zt_node *v)
{
	ZT_CLEANUP(zt_who_done) struct zt_who b = {0};
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i))
		r = zt_also(r, slot == SERVICE ? read_service(l, &b, i) : read_cgroup(l, &b, i));
	return r ? r : who_and(l, w, &b, v);
}

static int label_key(struct zt_who *w, unsigned slot, const struct zt_node *v)
{
	static const char *const words[] = {[USER] = "",    [UID] = "uid ",	  [GROUP] = "group ",
					    [GID] = "gid ", [CGROUP] = "cgroup ", [SERVICE] = "",
					    [EXE] = "",	    [APP] = "app ",	  [CONTAINER] = "container "};
	ZT_FREE char *text = zt_as_written(v), *label = text ? zt_asprintf("%s%s", words[slot], text) : NULL;

	return label ? add_label(w, label) : -ENOMEM;
}

static int read_key(struct zt_load *l, struct zt_who *w, unsigned slot, const struct zt_node *v)
{
	int r = label_key(w, slot, v);

	if (r)
		return r;
	if (slot <= GID)
		return read_ids(l, w, slot, v);
	if (slot <= SERVICE)
		return read_cgroups(l, w, slot, v);
	return read_need(l, w, v, slot == EXE ? "exe" : slot == APP ? "app" : "container");
}

static int read_inline(struct zt_load *l, const struct zt_fields *f, struct zt_who *w, bool *ret_given)
{
	int r = 0;

	*ret_given = false;
	for (unsigned slot = 0; slot < WHO_KEYS && r != -ENOMEM; slot++) {
		if (!f->keys[slot])
			continue;
		*ret_given = true;
		r = zt_also(r, read_key(l, w, slot, f->keys[slot]->value));
	}
	w->any = !w->uid.n && !w->gid.n && !w->n_cgroups && !w->n_needs;
	return r;
}

/* ---- identities ---- */
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

static int who_copy(struct zt_load *l, struct zt_who *dst, const struct zt_who *src, const struct zt_node *at)
{
	int r = who_and(l, dst, src, at);

	if (!r && src->label)
		r = add_label(dst, src->label);
	return r;
}

static int add_who(struct zt_endpoint *ep, struct zt_who *w)
{
	struct zt_who *bigger = zt_realloc(ep->whos, (ep->n_whos + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	ep->whos = bigger;
	ep->whos[ep->n_whos++] = *w;
	*w = (struct zt_who){0};
	return 0;
}

static int add_alternative(struct zt_load *l, const struct zt_node *v, const struct zt_who *base,
			   struct zt_endpoint *ep)
{
	const struct zt_identity *id = identity_find(l, v);
	ZT_CLEANUP(zt_who_done) struct zt_who w = {0};
	ZT_FREE char *label = id ? zt_asprintf("@%s", id->key->text) : NULL;
	int r;

	if (!id || id->bad)
		return -EINVAL;
	r = who_copy(l, &w, base, v);
	if (!r)
		r = who_and(l, &w, &id->who, v);
	if (!r)
		r = label ? add_label(&w, label) : -ENOMEM;
	w.any = !w.uid.n && !w.gid.n && !w.n_cgroups && !w.n_needs;
	return r ? r : zt_count_ranges(l, v, w.uid.n + w.gid.n + w.n_cgroups) ?: add_who(ep, &w);
}

int zt_whos_read(struct zt_load *l, const struct zt_fields *f, bool has_identity, struct zt_endpoint *ep)
{
	const struct zt_node *names = has_identity ? zt_value_of(f->keys[IDENTITY]) : NULL;
	ZT_CLEANUP(zt_who_done) struct zt_who w = {0};
	bool given;
	int r = read_inline(l, f, &w, &given);

	for (const struct zt_node *i = zt_first(names); i && r != -ENOMEM; i = zt_next(names, i))
		r = zt_also(r, add_alternative(l, i, &w, ep));
	return r || names || !given ? r : add_who(ep, &w);
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

static int identity_fill(struct zt_load *l, struct zt_identity *id)
{
	struct zt_fields f;
	bool given;
	int r = zt_fields_read(l->doc, ZT_MAP_IDENTITY, id->key->value, false, &f, l->d);

	r = zt_also(r, read_inline(l, &f, &id->who, &given));
	if (!r && !given) {
		r = zt_complain(l, 1216, id->key, "the identity \"%s\" says nothing", zt_shown(id->key));
		zt_diag_hint(l->d, "for example %s: {user: web-user, service: nginx.service}", zt_shown(id->key));
	}
	id->bad = r != 0;
	return r;
}

int zt_identities_read(struct zt_load *l, const struct zt_node *node)
{
	int r = 0;

	for (const struct zt_node *key = node->first; key && r != -ENOMEM; key = key->next) {
		int e = zt_name_check(l, key, "an identity");

		e = zt_also(e, identity_add(l, key));
		if (!e)
			e = identity_fill(l, zt_strmap_get(&l->identities, key->text));
		r = zt_also(r, e);
	}
	return r;
}

void zt_identities_done(struct zt_load *l)
{
	for (size_t i = 0; i < l->identities.cap; i++) {
		struct zt_identity *id = l->identities.v[i].value;

		if (id) {
			zt_who_done(&id->who);
			free(id);
		}
	}
	zt_strmap_done(&l->identities);
}
