/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "ruleset/label.h"

static const char *const verdict_names[] = {
	[ZT_ALLOW] = "allow", [ZT_DROP] = "drop", [ZT_REJECT] = "reject", [ZT_OBSERVE] = "observe"};

const char *zt_verdict_name(enum zt_verdict v)
{
	return verdict_names[v];
}

const char *zt_miss_name(enum zt_miss m)
{
	static const char *const names[] = {
		[ZT_MISS_NONE] = "nothing",
		[ZT_MISS_DIRECTION] = "direction",
		[ZT_MISS_UID] = "user",
		[ZT_MISS_GID] = "group",
		[ZT_MISS_CGROUP] = "cgroup or service",
		[ZT_MISS_FAMILY] = "IP version",
		[ZT_MISS_SRC] = "source address",
		[ZT_MISS_DST] = "destination address",
		[ZT_MISS_PROTO] = "protocol",
		[ZT_MISS_PORT] = "destination port",
		[ZT_MISS_SCHEDULE] = "schedule",
		[ZT_MISS_EXPIRED] = "expired",
		[ZT_MISS_SENDER] = "sending process",
		[ZT_MISS_RECEIVER] = "receiving process",
		[ZT_MISS_UNIX_NAME] = "name of the Unix socket",
	};
	_Static_assert(ZT_ARRAY_SIZE(names) == ZT_MISS_UNIX_NAME + 1, "one name a reason");

	return names[m];
}

static bool number_ok(const struct zt_u32_ranges *l, bool known, uint32_t v)
{
	return !l->n || (known && zt_u32_ranges_has(l, v));
}

static bool in_cgroup(const struct zt_cgroup *c, const struct zt_flow *f)
{
	size_t len = strlen(c->path);

	if (f->cgroup_path && !strncmp(f->cgroup_path, c->path, len) &&
	    (!f->cgroup_path[len] || f->cgroup_path[len] == '/'))
		return true;
	for (size_t i = 0; c->id && i < ZT_ARRAY_SIZE(f->cgroup) && f->cgroup[i]; i++)
		if (f->cgroup[i] == c->id)
			return true;
	return false;
}

static bool cgroup_ok(const struct zt_match *m, const struct zt_flow *f)
{
	for (size_t i = 0; f->owned && i < m->n_cgroups; i++)
		if (in_cgroup(&m->cgroups[i], f))
			return true;
	return !m->n_cgroups;
}

static bool addr_ok(const struct zt_addr_ranges *l4, const struct zt_addr_ranges *l6, uint8_t family,
		    const struct zt_addr *a)
{
	const struct zt_addr_ranges *l = family == 4 ? l4 : l6;

	return !l->n || (a->family && zt_addr_ranges_has(l, a));
}

static bool schedule_ok(const struct zt_rule *r, zt_usec at)
{
	/* 1970-01-01 was a Thursday. */
	uint32_t second = (uint32_t)((at / ZT_USEC_PER_SEC + 3 * 86400) % 604800);

	for (size_t i = 0; i < r->n_windows; i++)
		if (r->windows[i].start <= second && second < r->windows[i].end)
			return true;
	return !r->n_windows;
}

/* What is known of the sender without its program. */
static const struct zt_actor *sender_of(const struct zt_flow *f, struct zt_actor *buf)
{
	if (f->sender)
		return f->sender;
	*buf = (struct zt_actor){.known = false};
	return buf;
}

/* An unknown process is each subject of a rule that blocks, and none of one that allows. */
static bool subject_ok(const struct zt_rule *r, const struct zt_subject *s, const struct zt_actor *a)
{
	if (!a->known)
		return r->verdict == ZT_DROP || r->verdict == ZT_REJECT;
	return zt_subject_match(s, a);
}

static enum zt_miss subjects_miss(const struct zt_rule *r, const struct zt_flow *f)
{
	struct zt_actor buf;

	if (r->match.from && !subject_ok(r, r->match.from, sender_of(f, &buf)))
		return ZT_MISS_SENDER;
	return r->match.to && !(f->receiver && subject_ok(r, r->match.to, f->receiver)) ? ZT_MISS_RECEIVER
											: ZT_MISS_NONE;
}

enum zt_miss zt_oracle_match(const struct zt_rule *r, const struct zt_flow *f)
{
	const struct zt_match *m = &r->match;
	uint8_t family = f->dst.family ? f->dst.family : f->src.family;
	enum zt_miss miss;

	if (r->dir != f->dir)
		return ZT_MISS_DIRECTION;
	if (!m->from && !number_ok(&m->uid, f->owned, f->uid)) /* a subject says it again */
		return ZT_MISS_UID;
	if (!number_ok(&m->gid, f->owned, f->gid))
		return ZT_MISS_GID;
	if (!m->from && !cgroup_ok(m, f))
		return ZT_MISS_CGROUP;
	miss = subjects_miss(r, f);
	if (miss)
		return miss;
	if (!zt_unix_names_has(&m->unix_names, f->unix_name))
		return ZT_MISS_UNIX_NAME;
	if (!(m->families & (family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6)))
		return ZT_MISS_FAMILY;
	if (!addr_ok(&m->src4, &m->src6, family, &f->src))
		return ZT_MISS_SRC;
	if (!addr_ok(&m->dst4, &m->dst6, family, &f->dst))
		return ZT_MISS_DST;
	if (!number_ok(&m->proto, true, f->proto))
		return ZT_MISS_PROTO;
	if (!number_ok(&m->port, zt_proto_has_ports(f->proto), f->port))
		return ZT_MISS_PORT;
	if (!schedule_ok(r, f->at))
		return ZT_MISS_SCHEDULE;
	return r->expires && f->at >= r->expires ? ZT_MISS_EXPIRED : ZT_MISS_NONE;
}

static enum zt_verdict soften(const struct zt_ruleset *rs, const struct zt_flow *f, enum zt_verdict v)
{
	bool blocks = v == ZT_DROP || v == ZT_REJECT;

	return blocks && f->dir == ZT_DIR_EGRESS && f->loopback && rs->settings.loopback == ZT_LOOPBACK_OBSERVE
		       ? ZT_OBSERVE
		       : v;
}

static enum zt_verdict default_verdict(const struct zt_ruleset *rs, const struct zt_flow *f)
{
	if (f->dir == ZT_DIR_UNIX || rs->settings.def[f->dir] == ZT_DEFAULT_ALLOW)
		return ZT_ALLOW;
	if (rs->settings.mode == ZT_MODE_OBSERVE)
		return ZT_OBSERVE;
	return rs->settings.block == ZT_BLOCK_DROP ? ZT_DROP : ZT_REJECT;
}

/* What needs no rule. */
static bool decided_before(const struct zt_ruleset *rs, const struct zt_flow *f, struct zt_decision *ret)
{
	*ret = (struct zt_decision){.verdict = ZT_ALLOW, .by = ZT_BY_LOOPBACK};
	if (f->loopback &&
	    (f->dir == ZT_DIR_INGRESS || (f->dir == ZT_DIR_EGRESS && rs->settings.loopback == ZT_LOOPBACK_ALLOW)))
		return true;
	ret->by = ZT_BY_SSH;
	return f->dir == ZT_DIR_INGRESS && f->proto == 6 && zt_u32_ranges_has(&rs->ssh_ports, f->port);
}

/* rule NULL: none matches. */
static void decided_by(const struct zt_ruleset *rs, const struct zt_flow *f, const struct zt_rule *rule,
		       struct zt_decision *ret)
{
	*ret = (struct zt_decision){.verdict = soften(rs, f, rule ? rule->verdict : default_verdict(rs, f)),
				    .by = rule ? ZT_BY_RULE : ZT_BY_DEFAULT,
				    .rule = rule};
}

void zt_oracle_decide(const struct zt_ruleset *rs, const struct zt_flow *f, struct zt_decision *ret)
{
	if (decided_before(rs, f, ret))
		return;
	for (size_t i = 0; i < rs->n_rules; i++)
		if (zt_oracle_match(&rs->rules[i], f) == ZT_MISS_NONE) {
			decided_by(rs, f, &rs->rules[i], ret);
			return;
		}
	decided_by(rs, f, NULL, ret);
}

void zt_oracle_decide_among(const struct zt_ruleset *rs, const struct zt_flow *f, const uint32_t *rules, size_t n,
			    struct zt_decision *ret)
{
	if (decided_before(rs, f, ret))
		return;
	for (size_t i = 0; i < n; i++)
		if (zt_oracle_match(&rs->rules[rules[i]], f) == ZT_MISS_NONE) {
			decided_by(rs, f, &rs->rules[rules[i]], ret);
			return;
		}
	decided_by(rs, f, NULL, ret);
}
