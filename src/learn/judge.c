/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "learn/learn.h"

struct zt_judge {
	const struct zt_ruleset *rs;
	struct zt_actor *actors; /* by index of the process */
	/* Rules that can match, in their order: of the two processes of the last flow, and of those the ones for its protocol and port. */
	uint32_t *by_who, *by_port;
	size_t n_by_who, n_by_port;
	const struct zt_seen_who *who, *peer;
	enum zt_direction dir;
	uint8_t proto;
	uint16_t port;
	bool loopback, any;
};

void zt_judge_free(struct zt_judge *j)
{
	if (!j)
		return;
	free(j->actors);
	free(j->by_who);
	free(j->by_port);
	free(j);
}

void zt_judge_freep(struct zt_judge **j)
{
	zt_judge_free(*j);
	*j = NULL;
}

bool zt_verdict_passes(enum zt_verdict v)
{
	return v == ZT_ALLOW || v == ZT_OBSERVE;
}

/* ---- processes ---- */
static bool pinned_otherwise(const struct zt_ruleset *rs, const struct zt_seen_who *w)
{
	for (size_t i = 0; *w->digest && i < rs->n_subjects; i++)
		for (size_t k = 0; k < rs->subjects[i]->n_exes; k++) {
			const struct zt_exe *e = &rs->subjects[i]->exes[k];

			if (e->pinned && !strcmp(e->path, w->exe) && strcmp(e->digest, w->digest) != 0)
				return true;
		}
	return false;
}

static struct zt_actor actor_of(const struct zt_ruleset *rs, const struct zt_seen_who *w)
{
	bool here = *w->exe && !w->nameless && !*w->container && !pinned_otherwise(rs, w);

	return (struct zt_actor){.known = w->has_uid && ((*w->exe && !w->nameless) || *w->container),
				 .uid = w->uid,
				 .gid = w->has_gid ? w->gid : UINT32_MAX,
				 .cgroup_path = w->cgroup,
				 .exe_path = here ? w->exe : NULL};
}

int zt_judge_new(const struct zt_ruleset *rs, const struct zt_seen_list *l, struct zt_judge **ret)
{
	ZT_CLEANUP(zt_judge_freep) struct zt_judge *j = zt_new(struct zt_judge, 1);

	if (!j)
		return -ENOMEM;
	j->rs = rs;
	j->actors = zt_new(struct zt_actor, l->n_whos + 1);
	j->by_who = zt_new(uint32_t, rs->n_rules + 1);
	j->by_port = zt_new(uint32_t, rs->n_rules + 1);
	if (!j->actors || !j->by_who || !j->by_port)
		return -ENOMEM;
	for (size_t i = 0; i < l->n_whos; i++)
		j->actors[i] = actor_of(rs, l->whos[i]);
	*ret = ZT_TAKE(j);
	return 0;
}

/* ---- flows ---- */
void zt_judge_flow(const struct zt_judge *j, const struct zt_seen *s, struct zt_flow *ret)
{
	const struct zt_actor *who = &j->actors[s->who->index];

	*ret = (struct zt_flow){
		.dir = s->dir, .proto = s->proto, .port = s->port, .at = s->last, .loopback = s->loopback};
	if (s->dir == ZT_DIR_INGRESS) {
		ret->src = s->remote;
		ret->receiver = s->who->has_uid ? who : NULL;
		return;
	}
	ret->dst = s->remote;
	ret->owned = s->who->has_uid;
	ret->uid = who->uid;
	ret->gid = who->gid;
	ret->cgroup_path = s->who->cgroup;
	ret->sender = who;
	ret->receiver = s->peer ? &j->actors[s->peer->index] : NULL;
}

static bool who_can(const struct zt_rule *r, const struct zt_flow *f)
{
	switch (zt_oracle_match(r, f)) {
	case ZT_MISS_DIRECTION:
	case ZT_MISS_UID:
	case ZT_MISS_GID:
	case ZT_MISS_CGROUP:
	case ZT_MISS_SENDER:
	case ZT_MISS_RECEIVER:
		return false;
	case ZT_MISS_NONE:
	case ZT_MISS_FAMILY:
	case ZT_MISS_SRC:
	case ZT_MISS_DST:
	case ZT_MISS_PROTO:
	case ZT_MISS_PORT:
	case ZT_MISS_UNIX_NAME:
	case ZT_MISS_SCHEDULE:
	case ZT_MISS_EXPIRED:
		break;
	}
	return true;
}

static void pick_by_who(struct zt_judge *j, const struct zt_seen *s, const struct zt_flow *f)
{
	j->n_by_who = 0;
	for (size_t i = 0; i < j->rs->n_rules; i++)
		if (who_can(&j->rs->rules[i], f))
			j->by_who[j->n_by_who++] = (uint32_t)i;
	j->who = s->who;
	j->peer = s->peer;
	j->dir = s->dir;
	j->loopback = s->loopback;
}

static void pick_by_port(struct zt_judge *j, const struct zt_seen *s)
{
	j->n_by_port = 0;
	for (size_t i = 0; i < j->n_by_who; i++) {
		const struct zt_match *m = &j->rs->rules[j->by_who[i]].match;

		if ((!m->proto.n || zt_u32_ranges_has(&m->proto, s->proto)) &&
		    (!m->port.n || zt_u32_ranges_has(&m->port, s->port)))
			j->by_port[j->n_by_port++] = j->by_who[i];
	}
	j->proto = s->proto;
	j->port = s->port;
}

void zt_judge_decide(struct zt_judge *j, const struct zt_seen *s, struct zt_decision *ret)
{
	bool same = j->any && j->who == s->who && j->peer == s->peer && j->dir == s->dir && j->loopback == s->loopback;
	struct zt_flow f;

	zt_judge_flow(j, s, &f);
	if (!same)
		pick_by_who(j, s, &f);
	if (!same || j->proto != s->proto || j->port != s->port)
		pick_by_port(j, s);
	j->any = true;
	zt_oracle_decide_among(j->rs, &f, j->by_port, j->n_by_port, ret);
}
