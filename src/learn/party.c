/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "identity/identity.h"
#include "learn/parts.h"

enum { RESOLVE_USEC = 20000000, UNKNOWN = -2 };

/* ---- what the language makes of a word: it is asked ---- */
/* 1: it takes it, *ret is a policy with a rule that says so; 0: it does not; -ENOMEM. */
static int takes(const struct zt_learning *x, const char *side, const char *key, const char *value,
		 struct zt_policy **ret)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	struct zt_policy_options o = {.root = x->o.root, .allow_unsafe_file = true};
	struct zt_diags d = {0};
	int r;

	if (!*value || !zt_utf8_valid(value, strlen(value)))
		return 0;
	zt_strbuf_printf(&b, "version: \"1.0\"\nrules: [{name: x, direction: egress, %s: {%s: ", side, key);
	zt_strbuf_json(&b, value);
	zt_strbuf_str(&b, "}, action: allow}]\n");
	r = zt_strbuf_error(&b) ?: zt_policy_parse("learned", b.buf, b.len, &o, ret, &d);
	zt_diags_done(&d);
	return !r ? 1 : r == -ENOMEM ? r : 0;
}

static int user_is(const struct zt_learning *x, const char *name, uint32_t uid)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	const struct zt_who *w;
	int r = isdigit((unsigned char)*name) ? 0 : takes(x, "from", "user", name, &p);

	if (r <= 0)
		return r;
	w = &p->rules[0].from.whos[0];
	return w->uid.n == 1 && w->uid.v[0].lo == uid && w->uid.v[0].hi == uid;
}

/* A path that was cut off, or that holds bytes which are only told as \xNN, is not the program's. */
static int program_usable(const struct zt_learning *x, const struct zt_seen_who *w)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	struct zt_exe_seen seen;
	int r;

	if (*w->container || w->nameless || strchr(w->exe, '\\') ||
	    strlen(w->exe) >= sizeof(((struct zt_activity *)0)->exe) - 1 || strstr(w->exe, "@sha256:"))
		return 0;
	r = takes(x, "from", "exe", w->exe, &p);
	if (r <= 0)
		return r;
	r = zt_exe_lookup(x->o.root, w->exe, false, &seen);
	return r == -ENOMEM ? r : !r || r == -ENOENT || r == -ENOTDIR;
}

static int group_usable(const struct zt_learning *x, const struct zt_seen_who *w, const char *key, const char *value)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	int r = *value && w->cgroup ? takes(x, "from", key, value, &p) : 0;

	if (r <= 0)
		return r;
	return p->rules[0].from.whos[0].n_cgroups == 1 && !strcmp(p->rules[0].from.whos[0].cgroups[0].path, w->cgroup);
}

static int usable(const struct zt_learning *x, const struct zt_seen_who *w, unsigned *ret)
{
	int exe = program_usable(x, w), service = *w->container ? 0 : group_usable(x, w, "service", w->service),
	    container = group_usable(x, w, "container", w->container);

	if (exe < 0 || service < 0 || container < 0)
		return -ENOMEM;
	*ret = (w->has_uid && w->uid != UINT32_MAX ? ZT_BY_USER : 0) | (exe ? ZT_BY_EXE : 0) |
	       (service ? ZT_BY_SERVICE : 0) | (container ? ZT_BY_CONTAINER : 0);
	return 0;
}

/* ---- parties ---- */
static bool same(unsigned parts, unsigned part, bool eq)
{
	return !(parts & part) || eq;
}

static bool party_is(const struct zt_party *p, const struct zt_seen_who *w, unsigned parts)
{
	return p->parts == parts && same(parts, ZT_BY_USER, p->who->uid == w->uid) &&
	       same(parts, ZT_BY_EXE, p->who->exe == w->exe) &&
	       same(parts, ZT_BY_SERVICE, p->who->service == w->service) &&
	       same(parts, ZT_BY_CONTAINER, p->who->container == w->container);
}

static int add_party(struct zt_learning *x, const struct zt_seen_who *w, unsigned parts)
{
	int named = parts & ZT_BY_USER ? user_is(x, w->user, w->uid) : 0;

	if (named < 0 || zt_grow(x->parties, x->cap_parties, x->n_parties) < 0)
		return -ENOMEM;
	x->parties[x->n_parties++] = (struct zt_party){.who = w, .parts = parts, .user_named = named};
	x->party_of[w->index] = (int32_t)x->n_parties - 1;
	if (x->n_parties <= ZT_SUBJECTS_MAX)
		return 0;
	(void)zt_diag(x->d, ZT_ERROR, 4601, NULL,
		      "more than %d different processes were seen: a policy cannot tell so many apart",
		      ZT_SUBJECTS_MAX);
	zt_diag_hint(x->d, "--for user,service makes identities of fewer parts, so that there are fewer of them");
	return -E2BIG;
}

static int find_party(struct zt_learning *x, const struct zt_seen_who *w)
{
	unsigned parts = x->usable[w->index] & x->o.by;

	parts = parts ? parts : x->usable[w->index] & ZT_BY_USER;
	x->party_of[w->index] = ZT_NO_PARTY;
	for (size_t i = 0; parts && i < x->n_parties; i++)
		if (party_is(&x->parties[i], w, parts)) {
			x->party_of[w->index] = (int32_t)i;
			return 0;
		}
	return parts ? add_party(x, w, parts) : 0;
}

int zt_party(struct zt_learning *x, const struct zt_seen_who *w, int32_t *ret)
{
	size_t n = x->l->n_whos;
	int r = 0;

	if (!x->usable) {
		x->usable = zt_new(unsigned, n + 1);
		x->party_of = zt_new(int32_t, n + 1);
		if (!x->usable || !x->party_of)
			return -ENOMEM;
		for (size_t i = 0; i < n; i++)
			x->party_of[i] = UNKNOWN;
	}
	if (x->party_of[w->index] == UNKNOWN) {
		r = usable(x, w, &x->usable[w->index]) ?: find_party(x, w);
	}
	*ret = x->party_of[w->index];
	return r;
}

/* ---- their names ---- */
static void word(const char *s, size_t n, char *ret, size_t size)
{
	size_t k = 0;

	for (size_t i = 0; i < n && k + 1 < size; i++)
		if (isalnum((unsigned char)s[i]) || (k && strchr("._-", s[i])))
			ret[k++] = s[i];
		else if (k && ret[k - 1] != '-')
			ret[k++] = '-';
	while (k && ret[k - 1] == '-')
		k--;
	ret[k] = '\0';
}

static void base_name(const struct zt_party *p, char ret[static 56])
{
	const struct zt_seen_who *w = p->who;
	const char *slash = strrchr(w->exe, '/'), *s = w->exe;

	if (p->parts & ZT_BY_CONTAINER)
		word(w->container, 12, ret, 56);
	else if (p->parts & ZT_BY_SERVICE)
		word(w->service, strlen(w->service) - 8, ret, 56);
	else if (p->parts & ZT_BY_EXE)
		word(slash ? slash + 1 : s, strlen(slash ? slash + 1 : s), ret, 56);
	else
		word(w->user, p->user_named ? strlen(w->user) : 0, ret, 56);
	if (!*ret)
		(void)snprintf(ret, 56, "uid-%u", w->uid);
}

static int compare_parties(const void *a, const void *b)
{
	const struct zt_party *x = *(const struct zt_party *const *)a, *y = *(const struct zt_party *const *)b;
	int c = strcmp(x->who->service, y->who->service);

	c = c ? c : strcmp(x->who->exe, y->who->exe);
	c = c ? c : strcmp(x->who->container, y->who->container);
	if (c || x->who->uid != y->who->uid)
		return c ? c : x->who->uid < y->who->uid ? -1 : 1;
	return x->parts < y->parts ? -1 : x->parts > y->parts;
}

static bool taken(struct zt_party *const *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i]->name, name))
			return true;
	return false;
}

int zt_parties_name(struct zt_learning *x)
{
	ZT_FREE struct zt_party **v = zt_new(struct zt_party *, x->n_parties + 1);

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < x->n_parties; i++)
		v[i] = &x->parties[i];
	if (x->n_parties)
		qsort(v, x->n_parties, sizeof(*v), compare_parties);
	for (size_t i = 0; i < x->n_parties; i++) {
		char base[56], user[56];

		base_name(v[i], base);
		word(v[i]->who->user, strlen(v[i]->who->user), user, sizeof(user));
		(void)snprintf(v[i]->name, sizeof(v[i]->name), "%s", base);
		if (taken(v, i, v[i]->name) && *user)
			(void)snprintf(v[i]->name, sizeof(v[i]->name), "%.30s-%.30s", user, base);
		for (unsigned k = 2; taken(v, i, v[i]->name); k++)
			(void)snprintf(v[i]->name, sizeof(v[i]->name), "%.50s-%u", base, k);
	}
	return 0;
}

/* ---- host names ---- */
static int by_text(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct zt_name *)a)->text, y = (uintptr_t)((const struct zt_name *)b)->text;

	return x < y ? -1 : x > y;
}

static int heaviest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct zt_name *)a)->count, y = ((const struct zt_name *)b)->count;

	return x > y ? -1 : x < y ? 1 : strcmp(((const struct zt_name *)a)->text, ((const struct zt_name *)b)->text);
}

static bool name_only(const char *s)
{
	struct zt_addr_range range;

	return strcmp(s, "any") != 0 && strcmp(s, "localhost") != 0 && !strpbrk(s, "@*/") &&
	       zt_addr_range_parse(s, &range, NULL) < 0;
}

static int resolve(struct zt_learning *x, struct zt_name *n)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	int r = name_only(n->text) ? takes(x, "to", "host", n->text, &p) : 0;

	if (r < 0)
		return r;
	n->usable = r;
	x->out->names_unresolved += !n->usable;
	return r ? zt_addr_ranges_copy(&n->addrs, &p->rules[0].to.hosts) : 0;
}

static int collect(struct zt_learning *x)
{
	for (size_t i = 0; i < x->l->n; i++) {
		const struct zt_seen *s = &x->l->v[i];

		if (!*s->name || s->dir != ZT_DIR_EGRESS || s->loopback)
			continue;
		if (zt_grow(x->names, x->cap_names, x->n_names) < 0)
			return -ENOMEM;
		x->names[x->n_names++] = (struct zt_name){.text = s->name, .count = s->count};
	}
	return 0;
}

static void join_same(struct zt_learning *x)
{
	size_t n = 0;

	if (x->n_names)
		qsort(x->names, x->n_names, sizeof(*x->names), by_text);
	for (size_t i = 0; i < x->n_names; i++)
		if (n && x->names[n - 1].text == x->names[i].text)
			x->names[n - 1].count += x->names[i].count;
		else
			x->names[n++] = x->names[i];
	x->n_names = n;
}

/* Those that matter most first: a resolver that does not answer must not make this endless. */
int zt_names_make(struct zt_learning *x)
{
	zt_usec end = zt_now_monotonic() + RESOLVE_USEC;
	int r = collect(x);

	join_same(x);
	if (!r && x->n_names)
		qsort(x->names, x->n_names, sizeof(*x->names), heaviest_first);
	for (size_t i = 0; !r && i < x->n_names; i++)
		if (zt_now_monotonic() < end)
			r = resolve(x, &x->names[i]);
		else
			x->out->names_unresolved++;
	if (x->n_names)
		qsort(x->names, x->n_names, sizeof(*x->names), by_text);
	return r;
}

const struct zt_name *zt_names_find(const struct zt_learning *x, const char *text)
{
	struct zt_name key = {.text = text};
	const struct zt_name *n = x->n_names ? bsearch(&key, x->names, x->n_names, sizeof(key), by_text) : NULL;

	return n && n->usable ? n : NULL;
}

void zt_learning_done(struct zt_learning *x)
{
	for (size_t i = 0; i < x->n_names; i++)
		zt_addr_ranges_done(&x->names[i].addrs);
	for (size_t i = 0; i < x->n_drafts; i++) {
		free(x->drafts[i].senders);
		free(x->drafts[i].hosts);
		zt_u32_ranges_done(&x->drafts[i].proto);
		zt_u32_ranges_done(&x->drafts[i].port);
	}
	free(x->usable);
	free(x->party_of);
	free(x->parties);
	free(x->names);
	free(x->cells);
	free(x->drafts);
	zt_addr_ranges_done(&x->internet);
}
