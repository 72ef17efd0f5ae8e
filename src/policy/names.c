/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "identity/identity.h"
#include "policy/load.h"

static struct zt_account *account_new(struct zt_names *n, struct zt_strmap *map, const char *name)
{
	struct zt_account *a = zt_grow(n->all, n->cap, n->n) < 0 ? NULL : zt_new(struct zt_account, 1);

	if (!a)
		return NULL;
	n->all[n->n++] = a;
	a->name = zt_strdup(name);
	return a->name && zt_strmap_put(map, a->name, a) == 0 ? a : NULL;
}

/* A file that is not there is an empty one: *ret is NULL. */
static int open_below(const char *root, const char *file, FILE **ret)
{
	ZT_FREE char *path = zt_path_join(root, file);

	*ret = path ? fopen(path, "re") : NULL;
	return path ? 0 : -ENOMEM;
}

static int load_users(struct zt_names *n, const char *root)
{
	struct passwd *pw;
	FILE *f;
	int r = open_below(root, "etc/passwd", &f);

	while (f && !r && (pw = fgetpwent(f))) {
		struct zt_account *a = zt_strmap_get(&n->users, pw->pw_name) ? NULL
									     : account_new(n, &n->users, pw->pw_name);

		if (a)
			*a = (struct zt_account){.name = a->name, .id = pw->pw_uid, .gid = pw->pw_gid, .known = true};
		else if (!zt_strmap_get(&n->users, pw->pw_name))
			r = -ENOMEM;
	}
	if (f)
		(void)fclose(f);
	return r;
}

static bool has_members(const struct zt_names *n, const struct group *g)
{
	for (char **m = g->gr_mem; m && *m; m++) {
		const struct zt_account *user = zt_strmap_get(&n->users, *m);

		if (!user || user->gid != g->gr_gid)
			return true;
	}
	return false;
}

static int load_groups(struct zt_names *n, const char *root)
{
	struct group *g;
	FILE *f;
	int r = open_below(root, "etc/group", &f);

	while (f && !r && (g = fgetgrent(f))) {
		struct zt_account *a = zt_strmap_get(&n->groups, g->gr_name) ? NULL
									     : account_new(n, &n->groups, g->gr_name);

		if (a)
			*a = (struct zt_account){
				.name = a->name, .id = g->gr_gid, .known = true, .members = has_members(n, g)};
		else if (!zt_strmap_get(&n->groups, g->gr_name))
			r = -ENOMEM;
	}
	if (f)
		(void)fclose(f);
	return r;
}

static int load_files(struct zt_load *l)
{
	int r;

	if (!l->o->root || l->names.loaded)
		return 0;
	l->names.loaded = true;
	r = load_users(&l->names, l->o->root);
	return r ? r : load_groups(&l->names, l->o->root);
}

static int ask_host(struct zt_account *a, bool group)
{
	const struct passwd *pw = NULL;
	int r = group ? zt_group_lookup(a->name, &a->id) : zt_user_lookup(a->name, &a->id);

	a->known = r == 0;
	if (!r && !group)
		pw = getpwnam(a->name);
	if (pw)
		a->gid = pw->pw_gid;
	return r == -ENOMEM ? r : 0;
}

static int lookup(struct zt_load *l, const char *name, bool group, const struct zt_account **ret)
{
	struct zt_strmap *map = group ? &l->names.groups : &l->names.users;
	struct zt_account *a;
	int r = load_files(l);

	if (r < 0)
		return r;
	a = zt_strmap_get(map, name);
	if (!a) {
		a = account_new(&l->names, map, name);
		if (!a)
			return -ENOMEM;
		r = l->names.loaded ? 0 : ask_host(a, group);
	}
	if (!r && !a->known)
		return -ENOENT;
	if (!r)
		*ret = a;
	return r;
}

int zt_names_user(struct zt_load *l, const char *name, const struct zt_account **ret)
{
	return lookup(l, name, false, ret);
}

int zt_names_group(struct zt_load *l, const char *name, const struct zt_account **ret)
{
	return lookup(l, name, true, ret);
}

int zt_names_used(struct zt_load *l, const char *name, bool group)
{
	struct zt_account *a = zt_strmap_get(group ? &l->names.groups : &l->names.users, name);
	struct zt_policy *p = l->p;

	if (!a || a->used)
		return 0;
	if (zt_grow(p->accounts, p->cap_accounts, p->n_accounts) < 0)
		return -ENOMEM;
	p->accounts[p->n_accounts] = (struct zt_account_name){zt_strdup(name), a->id, group};
	if (!p->accounts[p->n_accounts].name)
		return -ENOMEM;
	p->n_accounts++;
	a->used = true;
	return 0;
}

int zt_names_uid(struct zt_load *l, uint32_t uid, uint32_t *ret_gid)
{
	const struct passwd *pw;
	int r = load_files(l);

	if (r < 0)
		return r;
	for (size_t i = 0; i < l->names.users.cap && l->names.loaded; i++) {
		const struct zt_account *a = l->names.users.v[i].value;

		if (a && a->known && a->id == uid) {
			*ret_gid = a->gid;
			return 0;
		}
	}
	pw = l->names.loaded ? NULL : getpwuid(uid);
	if (!pw)
		return -ENOENT;
	*ret_gid = pw->pw_gid;
	return 0;
}

bool zt_names_group_has_members(struct zt_load *l, uint32_t gid)
{
	if (load_files(l) < 0 || !l->names.loaded)
		return zt_group_has_supplementary_members(gid);
	for (size_t i = 0; i < l->names.groups.cap; i++) {
		const struct zt_account *a = l->names.groups.v[i].value;

		if (a && a->known && a->id == gid && a->members)
			return true;
	}
	return false;
}

char *zt_names_nearest(struct zt_load *l, const char *name, bool group)
{
	const struct zt_strmap *map = group ? &l->names.groups : &l->names.users;
	ZT_FREE const char **names = NULL;
	const char *near;
	size_t n = 0;

	if (!l->names.loaded)
		return group ? zt_group_nearest(name) : zt_user_nearest(name);
	names = zt_new(const char *, map->n + 1);
	for (size_t i = 0; names && i < map->cap; i++)
		if (map->v[i].key && ((const struct zt_account *)map->v[i].value)->known)
			names[n++] = map->v[i].key;
	near = names ? zt_str_nearest(name, names, n) : NULL;
	return near ? zt_strdup(near) : NULL;
}

void zt_names_done(struct zt_names *n)
{
	for (size_t i = 0; i < n->n; i++) {
		free(n->all[i]->name);
		free(n->all[i]);
	}
	free(n->all);
	zt_strmap_done(&n->users);
	zt_strmap_done(&n->groups);
	*n = (struct zt_names){0};
}
