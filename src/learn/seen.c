/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "identity/identity.h"
#include "learn/learn.h"

void zt_seen_list_done(struct zt_seen_list *l)
{
	for (size_t i = 0; i < l->n_whos; i++)
		free(l->whos[i]);
	free(l->whos);
	free(l->v);
	free(l->slots);
	zt_strings_free(l->strings);
	*l = (struct zt_seen_list){0};
}

/* ---- processes, each once ---- */
struct who_key { /* texts are unique: their addresses are compared. No padding */
	const char *user, *exe, *digest, *service, *container;
	uint32_t uid, gid, has_uid, has_gid;
};

static struct who_key key_of(const struct zt_seen_who *w)
{
	return (struct who_key){w->user, w->exe, w->digest,  w->service, w->container,
				w->uid,	 w->gid, w->has_uid, w->has_gid};
}

static uint32_t *who_slot(uint32_t *slots, size_t n_slots, struct zt_seen_who **whos, const struct who_key *k)
{
	size_t i = zt_keyed_hash(k, sizeof(*k)) & (n_slots - 1);

	for (; slots[i]; i = (i + 1) & (n_slots - 1)) {
		struct who_key other = key_of(whos[slots[i] - 1]);

		if (!memcmp(&other, k, sizeof(other)))
			break;
	}
	return &slots[i];
}

static int enlarge(struct zt_seen_list *l)
{
	size_t n = l->n_slots ? l->n_slots * 2 : 64;
	uint32_t *slots = zt_new(uint32_t, n);

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < l->n_whos; i++) {
		struct who_key k = key_of(l->whos[i]);

		*who_slot(slots, n, l->whos, &k) = (uint32_t)i + 1;
	}
	free(l->slots);
	l->slots = slots;
	l->n_slots = n;
	return 0;
}

static const struct zt_seen_who *who(struct zt_seen_list *l, const struct zt_seen_who *w)
{
	struct who_key k = key_of(w);
	uint32_t *slot;

	if (!w->user || !w->exe || !w->digest || !w->service || !w->container)
		return NULL;
	if (l->n_whos * 2 >= l->n_slots && enlarge(l) < 0)
		return NULL;
	slot = who_slot(l->slots, l->n_slots, l->whos, &k);
	if (*slot)
		return l->whos[*slot - 1];
	if (zt_grow(l->whos, l->cap_whos, l->n_whos) < 0 || !(l->whos[l->n_whos] = zt_new(struct zt_seen_who, 1)))
		return NULL;
	*l->whos[l->n_whos] = *w;
	l->whos[l->n_whos]->index = (uint32_t)l->n_whos;
	*slot = (uint32_t)++l->n_whos;
	return l->whos[l->n_whos - 1];
}

/* The one copy of a text field, "" where it is not set. */
#define TEXT(l, a, f) zt_strings_get(&(l)->strings, zt_activity_has(a, ZT_FIELD_##f) ? (a)->f : "")

static const struct zt_seen_who *own_process(struct zt_seen_list *l, const struct zt_activity *a)
{
	struct zt_seen_who w = {
		.has_uid = zt_activity_has(a, ZT_FIELD_uid),
		.has_gid = zt_activity_has(a, ZT_FIELD_gid),
		.user = TEXT(l, a, user),
		.exe = TEXT(l, a, exe),
		.digest = TEXT(l, a, digest),
		.service = TEXT(l, a, service),
		.container = TEXT(l, a, container),
	};

	w.uid = w.has_uid ? a->uid : 0;
	w.gid = w.has_gid ? a->gid : 0;
	return who(l, &w);
}

static const struct zt_seen_who *peer_process(struct zt_seen_list *l, const struct zt_activity *a)
{
	struct zt_seen_who w = {
		.has_uid = true,
		.uid = a->peer_uid,
		.user = TEXT(l, a, peer_user),
		.exe = TEXT(l, a, peer_exe),
		.digest = zt_strings_get(&l->strings, ""), /* nor what follows */
	};

	w.service = w.container = w.digest;
	return who(l, &w);
}

/* ---- one flow ---- */
static enum zt_seen_verdict verdict_of(const char *s)
{
	if (!strcmp(s, "observe"))
		return ZT_SEEN_OBSERVED;
	return !strcmp(s, "reject") || !strcmp(s, "drop") ? ZT_SEEN_DENIED : ZT_SEEN_PASSED;
}

static const char *text_of(const struct zt_activity *a, enum zt_field f, const char *text)
{
	return zt_activity_has(a, f) ? text : "";
}

static bool complete(const struct zt_activity *a, bool egress)
{
	bool direction = egress || !strcmp(text_of(a, ZT_FIELD_direction, a->direction), "ingress");

	const struct zt_addr *remote = egress ? &a->dst : &a->src;
	bool impossible = (a->protocol == IPPROTO_ICMP && remote->family == 6) ||
			  (a->protocol == IPPROTO_ICMPV6 && remote->family == 4);

	return direction && !impossible && zt_activity_has(a, egress ? ZT_FIELD_dst : ZT_FIELD_src) &&
	       zt_activity_has(a, ZT_FIELD_protocol) && (!zt_proto_has_ports(a->protocol) || a->dport);
}

static int leave_out(struct zt_seen_list *l, enum zt_left_out why, uint64_t count)
{
	l->left_out[why] += count;
	return 0;
}

int zt_seen_add(struct zt_seen_list *l, const struct zt_activity *a, uint64_t count, uint64_t bytes, zt_usec first,
		zt_usec last)
{
	bool egress = !strcmp(text_of(a, ZT_FIELD_direction, a->direction), "egress");
	struct zt_seen s = {.dir = egress ? ZT_DIR_EGRESS : ZT_DIR_INGRESS,
			    .verdict = verdict_of(text_of(a, ZT_FIELD_verdict, a->verdict)),
			    .proto = a->protocol,
			    .port = zt_proto_has_ports(a->protocol) ? a->dport : 0,
			    .remote = egress ? a->dst : a->src,
			    .count = count,
			    .bytes = bytes,
			    .first = first,
			    .last = last};

	if (zt_activity_has(a, ZT_FIELD_netns) && a->netns != l->netns)
		return leave_out(l, ZT_LEFT_NETNS, count);
	if (!complete(a, egress))
		return leave_out(l, ZT_LEFT_INCOMPLETE, count);
	s.name = TEXT(l, a, name);
	s.rule = TEXT(l, a, rule);
	s.who = own_process(l, a);
	if (!s.name || !s.rule || !s.who)
		return -ENOMEM;
	if (egress && zt_activity_has(a, ZT_FIELD_peer_uid) && !(s.peer = peer_process(l, a)))
		return -ENOMEM;
	s.loopback = zt_addr_is_loopback(&s.remote) ||
		     (l->own ? zt_addr_ranges_has(l->own, &s.remote) : s.peer != NULL);
	if (!s.loopback) /* in a container: no rule of this host sees it as a receiver */
		s.peer = NULL;
	if (zt_grow(l->v, l->cap, l->n) < 0)
		return -ENOMEM;
	l->v[l->n++] = s;
	return 0;
}

/* ---- when all are there ---- */
/* "/usr/sbin/nginx (deleted)": as the kernel tells of a file that was replaced or removed while it ran. */
static int set_program(struct zt_seen_list *l, struct zt_seen_who *w, const char *root)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(w->exe), cut = sizeof(deleted) - 1;
	struct zt_exe_seen seen;
	ZT_FREE char *path = NULL;
	int r;

	if (*w->container || n <= cut || strcmp(w->exe + n - cut, deleted) != 0)
		return 0;
	path = zt_strndup(w->exe, n - cut);
	r = path ? zt_exe_lookup(root, path, false, &seen) : -ENOMEM;
	w->nameless = r == -ENOENT || r == -ENOTDIR;
	if (r == -ENOMEM || w->nameless)
		return r == -ENOMEM ? r : 0;
	w->exe = zt_strings_get(&l->strings, path);
	w->digest = zt_strings_get(&l->strings, ""); /* of the file that was */
	return w->exe && w->digest ? 0 : -ENOMEM;
}

static int set_cgroup(struct zt_seen_list *l, struct zt_seen_who *w, const char *root)
{
	ZT_FREE char *path = NULL;
	int r = -ENOENT;

	if (*w->container)
		r = zt_container_cgroup(root, w->container, &path);
	else if (*w->service)
		r = zt_service_cgroup(NULL, w->service, &path);
	if (r == -ENOMEM)
		return r;
	if (!path && *w->container) /* as the language has it: program.c of the policy */
		path = zt_asprintf("container-not-running/%s", w->container);
	if (!path)
		return *w->container ? -ENOMEM : 0;
	w->cgroup = zt_strings_get(&l->strings, path);
	return w->cgroup ? 0 : -ENOMEM;
}

static int compare_listeners(const void *a, const void *b)
{
	const struct zt_seen *x = *(const struct zt_seen *const *)a, *y = *(const struct zt_seen *const *)b;

	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	return x->port < y->port ? -1 : x->port > y->port;
}

/* Who accepted there: the recorded receiver, or, where none is recorded, the only one who did. */
static const struct zt_seen_who *listener(const struct zt_seen **v, size_t n, const struct zt_seen *s)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare_listeners(&v[mid], &s) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!s->peer)
		return lo < n && compare_listeners(&v[lo], &s) == 0 &&
				       (lo + 1 == n || compare_listeners(&v[lo + 1], &s) != 0)
			       ? v[lo]->who
			       : NULL;
	for (; lo < n && compare_listeners(&v[lo], &s) == 0; lo++)
		if (v[lo]->who->uid == s->peer->uid && v[lo]->who->exe == s->peer->exe)
			return v[lo]->who;
	return NULL;
}

static int by_listener(const void *a, const void *b)
{
	int c = compare_listeners(a, b);
	uint32_t x = (*(const struct zt_seen *const *)a)->who->index,
		 y = (*(const struct zt_seen *const *)b)->who->index;

	return c ? c : x < y ? -1 : x > y;
}

/* What is recorded of a receiver is at most its user and program; it said more when it accepted. */
static int complete_peers(struct zt_seen_list *l)
{
	ZT_FREE const struct zt_seen **v = zt_new(const struct zt_seen *, l->n + 1);
	size_t n = 0, unique = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].dir == ZT_DIR_INGRESS && l->v[i].who->has_uid)
			v[n++] = &l->v[i];
	if (n)
		qsort(v, n, sizeof(*v), by_listener);
	for (size_t i = 0; i < n; i++) /* thousands of clients of one listener are one */
		if (!unique || compare_listeners(&v[unique - 1], &v[i]) != 0 || v[unique - 1]->who != v[i]->who)
			v[unique++] = v[i];
	for (size_t i = 0; i < l->n; i++) {
		bool local = l->v[i].dir == ZT_DIR_EGRESS && l->v[i].loopback;
		const struct zt_seen_who *w = local ? listener(v, unique, &l->v[i]) : NULL;

		if (w)
			l->v[i].peer = w;
	}
	return 0;
}

static uint64_t class_of(const struct zt_seen *s)
{
	return (uint64_t)s->dir << 40 | (uint64_t)s->loopback << 32 | (uint64_t)s->proto << 16 | s->port;
}

static int compare_seen(const void *a, const void *b)
{
	const struct zt_seen *x = a, *y = b;
	uint32_t px = x->peer ? x->peer->index + 1 : 0, py = y->peer ? y->peer->index + 1 : 0;

	if (x->who != y->who)
		return x->who->index < y->who->index ? -1 : 1;
	if (px != py)
		return px < py ? -1 : 1;
	if (class_of(x) != class_of(y))
		return class_of(x) < class_of(y) ? -1 : 1;
	return zt_addr_cmp(&x->remote, &y->remote);
}

int zt_seen_ready(struct zt_seen_list *l, const char *root)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n_whos; i++)
		r = set_cgroup(l, l->whos[i], root) ?: set_program(l, l->whos[i], root);
	r = r ?: complete_peers(l) ?: zt_seen_fold(l);
	if (!r && l->n)
		qsort(l->v, l->n, sizeof(*l->v), compare_seen);
	return r;
}
