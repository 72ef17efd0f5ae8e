/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "identity/identity.h"

#define DB_MAX ((size_t)1 << 20)

/* getpwnam_r and friends want a buffer and say ERANGE until it is large enough. */
struct scratch {
	char *buf;
	size_t size;
};

static void scratch_done(struct scratch *s)
{
	free(s->buf);
}

static int scratch_grow(struct scratch *s)
{
	char *grown;

	s->size = s->size ? s->size * 4 : 4096;
	if (s->size > DB_MAX)
		return -ERANGE;
	grown = zt_realloc(s->buf, s->size);
	if (!grown)
		return -ENOMEM;
	s->buf = grown;
	return 0;
}

/* Database errors that only mean "no such entry" (getpwnam(3)). */
static int database_error(int e)
{
	return e == 0 || e == ENOENT || e == ESRCH || e == EBADF || e == EPERM ? -ENOENT : -e;
}

int zt_user_lookup(const char *name, uint32_t *ret_uid)
{
	ZT_CLEANUP(scratch_done) struct scratch s = {0};
	struct passwd pw, *found = NULL;
	int r = scratch_grow(&s), e = ERANGE;

	while (!r && (e = getpwnam_r(name, &pw, s.buf, s.size, &found)) == ERANGE)
		r = scratch_grow(&s);
	if (r < 0)
		return r;
	if (!found)
		return database_error(e);
	*ret_uid = pw.pw_uid;
	return 0;
}

int zt_group_lookup(const char *name, uint32_t *ret_gid)
{
	ZT_CLEANUP(scratch_done) struct scratch s = {0};
	struct group gr, *found = NULL;
	int r = scratch_grow(&s), e = ERANGE;

	while (!r && (e = getgrnam_r(name, &gr, s.buf, s.size, &found)) == ERANGE)
		r = scratch_grow(&s);
	if (r < 0)
		return r;
	if (!found)
		return database_error(e);
	*ret_gid = gr.gr_gid;
	return 0;
}

static char *number_text(uint32_t v)
{
	return zt_asprintf("%u", v);
}

char *zt_user_name(uint32_t uid)
{
	ZT_CLEANUP(scratch_done) struct scratch s = {0};
	struct passwd pw, *found = NULL;
	int r = scratch_grow(&s);

	while (!r && getpwuid_r(uid, &pw, s.buf, s.size, &found) == ERANGE)
		r = scratch_grow(&s);
	return found ? zt_strdup(pw.pw_name) : number_text(uid);
}

char *zt_group_name(uint32_t gid)
{
	ZT_CLEANUP(scratch_done) struct scratch s = {0};
	struct group gr, *found = NULL;
	int r = scratch_grow(&s);

	while (!r && getgrgid_r(gid, &gr, s.buf, s.size, &found) == ERANGE)
		r = scratch_grow(&s);
	return found ? zt_strdup(gr.gr_name) : number_text(gid);
}

/* Keeps the nearer of best and name. */
static void nearer(const char *word, const char *name, unsigned *best, char **ret)
{
	unsigned distance = zt_str_distance(word, name, *best);
	char *copy;

	if (distance >= *best)
		return;
	copy = zt_strdup(name);
	if (!copy)
		return;
	free(*ret);
	*ret = copy;
	*best = distance;
}

char *zt_user_nearest(const char *name)
{
	unsigned best = 2 + (unsigned)strlen(name) / 4;
	const struct passwd *pw;
	char *found = NULL;

	setpwent();
	while ((pw = getpwent()))
		nearer(name, pw->pw_name, &best, &found);
	endpwent();
	return found;
}

char *zt_group_nearest(const char *name)
{
	unsigned best = 2 + (unsigned)strlen(name) / 4;
	const struct group *gr;
	char *found = NULL;

	setgrent();
	while ((gr = getgrent()))
		nearer(name, gr->gr_name, &best, &found);
	endgrent();
	return found;
}

bool zt_group_has_supplementary_members(uint32_t gid)
{
	const struct group *gr;
	bool found = false;

	setgrent();
	while (!found && (gr = getgrent()))
		found = gr->gr_gid == gid && gr->gr_mem && gr->gr_mem[0];
	endgrent();
	return found;
}
