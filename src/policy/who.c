/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "identity/identity.h"
#include "policy/load.h"

/* Places of the keys of who in every mapping that has them. */
enum { USER, UID, GROUP, GID, CGROUP, SERVICE, EXE, PARENT, CONTAINER, APP, WHO_KEYS, TEST_KEYS = APP };
#define SAME_PLACES(M)                                                                                          \
	static_assert(ZT_K_##M##_USER - ZT_K_##M##_FIRST == USER && ZT_K_##M##_GID - ZT_K_##M##_FIRST == GID && \
			      ZT_K_##M##_SERVICE - ZT_K_##M##_FIRST == SERVICE,                                 \
		      "keys of who come first")
SAME_PLACES(FROM);
SAME_PLACES(TO);
SAME_PLACES(IDENTITY);
SAME_PLACES(TEST_FROM);
SAME_PLACES(TEST_TO);
#define SAME_PROGRAMS(M)                                                                                            \
	static_assert(ZT_K_##M##_EXE - ZT_K_##M##_FIRST == EXE && ZT_K_##M##_PARENT - ZT_K_##M##_FIRST == PARENT && \
			      ZT_K_##M##_CONTAINER - ZT_K_##M##_FIRST == CONTAINER,                                 \
		      "then programs")
SAME_PROGRAMS(FROM);
SAME_PROGRAMS(TO);
SAME_PROGRAMS(IDENTITY);
SAME_PROGRAMS(TEST_FROM);
SAME_PROGRAMS(TEST_TO);
static_assert(ZT_K_FROM_APP - ZT_K_FROM_FIRST == APP && ZT_K_TO_APP - ZT_K_TO_FIRST == APP &&
		      ZT_K_IDENTITY_APP - ZT_K_IDENTITY_FIRST == APP,
	      "then the later ones");

enum { ID_MAX = 4294967294u, NOBODY = UINT32_MAX };

void zt_who_done(struct zt_who *w)
{
	zt_u32_ranges_done(&w->uid);
	zt_u32_ranges_done(&w->gid);
	for (size_t i = 0; i < w->n_cgroups; i++) {
		free(w->cgroups[i].path);
		free(w->cgroups[i].service);
	}
	zt_exe_refs_done(&w->exes, &w->n_exes);
	zt_exe_refs_done(&w->parents, &w->n_parents);
	free(w->cgroups);
	free(w->label);
	*w = (struct zt_who){0};
}

/* ---- one value ---- */
static int unknown_account(struct zt_load *l, const struct zt_node *v, unsigned slot)
{
	bool group = slot != USER;
	ZT_FREE char *near = NULL;

	if (l->o->no_resolve)
		return 0;
	near = zt_names_nearest(l, v->text, group);
	(void)zt_complain(l, group ? 1212 : 1211, v, "there is no %s \"%s\"", group ? "group" : "user",
			  zt_shown(v)); /* the result follows */
	if (near)
		zt_diag_hint(l->d, "did you mean \"%s\"?", near);
	else if (slot == APP)
		zt_diag_hint(
			l->d,
			"an application group is the Linux group that a program is started with: groupadd -r %s, then sg, a setgid launcher or Group= of its unit",
			zt_shown(v));
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

/* Names go to numbers, but for uid: and gid:. */
static int add_account(struct zt_load *l, const struct zt_node *v, unsigned slot, struct zt_u32_ranges *ret)
{
	bool group = slot != USER && slot != UID, names = slot != UID && slot != GID;
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
		return unknown_account(l, v, slot) ?: zt_u32_ranges_add(ret, NOBODY, NOBODY);
	return r ?: zt_names_used(l, v->text, group) ?: zt_u32_ranges_add(ret, a->id, a->id);
}

int zt_who_add_cgroup(struct zt_load *l, struct zt_who *w, const struct zt_node *v, char *path, char *service)
{
	struct zt_cgroup_ref *bigger = path ? zt_realloc(w->cgroups, (w->n_cgroups + 1) * sizeof(*bigger)) : NULL;

	if (!bigger) {
		free(path);
		free(service);
		return -ENOMEM;
	}
	w->cgroups = bigger;
	w->cgroups[w->n_cgroups++] =
		(struct zt_cgroup_ref){.path = path, .service = service, .span = zt_doc_span(l->doc, v)};
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
		return zt_who_add_cgroup(l, w, v, zt_strndup(v->text + skip, n - skip), NULL);
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

static int no_service(struct zt_load *l, const struct zt_node *v, int r)
{
	if (r == -ENOMEM)
		return r;
	if (r != -E2BIG)
		return zt_complain(l, 1217, v, "the service \"%s\" is not understood", zt_shown(v));
	(void)zt_complain(l, 1263, v, "too many instances of \"%s\" run outside of the slice of their own",
			  zt_shown(v));
	zt_diag_hint(l->d, "name the slices they are in with cgroup:");
	return -EINVAL;
}

/* A path a line. They stay with the load, under the text of the document, which does so as well. */
static int service_paths(struct zt_load *l, const char *unit, const struct zt_node *v, const char **ret)
{
	char *paths = NULL;
	int r = 0;

	*ret = zt_strmap_get(&l->services, v->text);
	if (*ret)
		return 0;
	r = zt_service_cgroups(l->o->cgroup_root, unit, &paths);
	if (!paths)
		return no_service(l, v, r);
	if (zt_strmap_put(&l->services, v->text, paths) < 0) {
		free(paths);
		return -ENOMEM;
	}
	*ret = paths;
	return 0;
}

static int add_service(struct zt_load *l, struct zt_who *w, const struct zt_node *v, const char *unit,
		       const char *paths)
{
	bool among = strchr(paths, '\n')[1] != '\0';
	int r = 0;

	for (size_t n; !r && (n = strcspn(paths, "\n")) > 0; paths += n + 1) {
		char *service = zt_strdup(unit), *path = service ? zt_strndup(paths, n) : NULL;

		r = zt_who_add_cgroup(l, w, v, path, service);
		if (!r)
			w->cgroups[w->n_cgroups - 1].among = among;
	}
	return r;
}

static int read_service(struct zt_load *l, struct zt_who *w, const struct zt_node *v)
{
	ZT_FREE char *unit = NULL;
	const char *paths, *dot = strrchr(v->text, '.');

	if (!unit_ok(v->text)) {
		(void)zt_complain(l, 1217, v, "\"%s\" is not the name of a service",
				  zt_shown(v)); /* the result follows */
		zt_diag_hint(l->d, "for example nginx.service; slices and scopes are named by cgroup:");
		return -EINVAL;
	}
	unit = dot && !strcmp(dot, ".service") ? zt_strdup(v->text) : zt_asprintf("%s.service", v->text);
	if (!unit)
		return -ENOMEM;
	return service_paths(l, unit, v, &paths) ?: add_service(l, w, v, unit, paths);
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

int zt_who_label(struct zt_who *w, const char *text)
{
	char *joined = w->label ? zt_asprintf("%s %s", w->label, text) : zt_strdup(text);

	if (!joined)
		return -ENOMEM;
	free(w->label);
	w->label = joined;
	return 0;
}

int zt_who_and(struct zt_load *l, struct zt_who *w, const struct zt_who *b, const struct zt_node *at)
{
	bool no_uid = false, no_gid = false, no_cgroup = false, no_exe = false, no_parent = false;
	int r = intersect_ids(&w->uid, &b->uid, &no_uid);

	r = r ?: intersect_ids(&w->gid, &b->gid, &no_gid);
	r = r ?: intersect_cgroups(w, b, &no_cgroup);
	r = r ?: zt_exe_refs_and(&w->exes, &w->n_exes, b->exes, b->n_exes, &no_exe);
	r = r ?: zt_exe_refs_and(&w->parents, &w->n_parents, b->parents, b->n_parents, &no_parent);
	if (r)
		return r;
	if (no_uid || no_gid || no_cgroup || no_exe || no_parent)
		return never(l, at,
			     no_uid	 ? "the users exclude each other"
			     : no_gid	 ? "the groups exclude each other"
			     : no_cgroup ? "the control groups exclude each other"
			     : no_exe	 ? "the programs exclude each other"
					 : "the parents' programs exclude each other");
	return 0;
}

void zt_who_settle(struct zt_who *w)
{
	w->any = !w->uid.n && !w->gid.n && !w->n_cgroups && !w->n_exes && !w->n_parents;
}

/* ---- the keys ---- */
static int read_ids(struct zt_load *l, struct zt_who *w, unsigned slot, const struct zt_node *v)
{
	bool any = false;
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges ids = {0};
	struct zt_who b = {0};
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i)) {
		if (slot == USER && !strcmp(i->text, "*"))
			any = true;
		else
			r = zt_also(r, add_account(l, i, slot, &ids));
	}
	zt_u32_ranges_normalise(&ids);
	if (r || any)
		return r;
	*(slot == USER || slot == UID ? &b.uid : &b.gid) = ids; /* borrowed */
	return zt_who_and(l, w, &b, v);
}

static int read_cgroups(struct zt_load *l, struct zt_who *w, unsigned slot, const struct zt_node *v)
{
	ZT_CLEANUP(zt_who_done) struct zt_who b = {0};
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i))
		r = zt_also(r, slot == SERVICE	   ? read_service(l, &b, i)
			       : slot == CONTAINER ? zt_container_read(l, &b, i)
						   : read_cgroup(l, &b, i));
	return r ? r : zt_who_and(l, w, &b, v);
}

static int read_programs(struct zt_load *l, struct zt_who *w, unsigned slot, const struct zt_node *v)
{
	ZT_CLEANUP(zt_who_done) struct zt_who b = {0};
	int r = slot == EXE ? zt_exe_refs_read(l, v, &b.exes, &b.n_exes)
			    : zt_exe_refs_read(l, v, &b.parents, &b.n_parents);

	return r ? r : zt_who_and(l, w, &b, v);
}

static int label_key(struct zt_who *w, unsigned slot, const struct zt_node *v)
{
	static const char *const words[] = {
		[USER] = "",	[UID] = "uid ", [GROUP] = "group ",   [GID] = "gid ", [CGROUP] = "cgroup ",
		[SERVICE] = "", [EXE] = "",	[PARENT] = "parent ", [APP] = "app ", [CONTAINER] = "container "};
	ZT_FREE char *text = zt_as_written(v), *label = NULL;
	char *pin = text ? strstr(text, "@sha256:") : NULL;

	if (pin && (slot == EXE || slot == PARENT))
		*pin = 0;
	label = text ? zt_asprintf("%s%s", words[slot], text) : NULL;
	return label ? zt_who_label(w, label) : -ENOMEM;
}

static int read_key(struct zt_load *l, struct zt_who *w, unsigned slot, const struct zt_node *v)
{
	int r = label_key(w, slot, v);

	if (r)
		return r;
	if (slot <= GID || slot == APP)
		return read_ids(l, w, slot, v);
	if (slot <= SERVICE || slot == CONTAINER)
		return read_cgroups(l, w, slot, v);
	return read_programs(l, w, slot, v);
}

int zt_who_inline(struct zt_load *l, const struct zt_fields *f, bool test, struct zt_who *w, bool *ret_given)
{
	unsigned n = test ? TEST_KEYS : WHO_KEYS;
	int r = 0;

	*ret_given = false;
	for (unsigned slot = 0; slot < n && r != -ENOMEM; slot++) {
		if (!f->keys[slot])
			continue;
		*ret_given = true;
		r = zt_also(r, read_key(l, w, slot, f->keys[slot]->value));
	}
	zt_who_settle(w);
	return r;
}
