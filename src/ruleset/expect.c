/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A test of a policy as flows for the oracle. */
#include "ruleset/ruleset.h"

static void make_actor(const struct zt_test_process *p, struct zt_actor *a)
{
	*a = (struct zt_actor){.known = true,
			       .uid = p->has_uid ? p->uid : UINT32_MAX,
			       .gid = p->has_gid ? p->gid : UINT32_MAX,
			       .cgroup_path = p->cgroup,
			       .exe_path = p->exe,
			       .parent_path = p->parent};
}

static void make_flow(struct zt_expectation *e, struct zt_flow *f)
{
	const struct zt_policy_test *t = e->test;

	make_actor(&t->from, &e->sender);
	make_actor(&t->to, &e->receiver);
	*f = (struct zt_flow){.dir = t->dir,
			      .owned = t->from.given,
			      .uid = t->from.has_uid ? t->from.uid : UINT32_MAX,
			      .gid = t->from.has_gid ? t->from.gid : UINT32_MAX,
			      .cgroup_path = t->from.cgroup,
			      .src = t->src,
			      .dst = t->dst,
			      .proto = t->proto,
			      .port = t->port,
			      .unix_name = t->unix_name,
			      .at = t->at ? t->at : zt_now(),
			      .sender = &e->sender,
			      .receiver = t->to.given ? &e->receiver : NULL};
	f->loopback = f->dir == ZT_DIR_EGRESS ? f->dst.family && zt_addr_is_loopback(&f->dst)
					      : f->src.family && zt_addr_is_loopback(&f->src);
}

void zt_expectation_init(struct zt_expectation *e, const struct zt_policy_test *t)
{
	e->test = t;
	make_flow(e, &e->flow[0]);
	e->n_flows = 1;
	if (t->dst.family || t->src.family || t->dir == ZT_DIR_UNIX)
		return;
	e->flow[1] = e->flow[0];
	e->n_flows = 2;
	for (unsigned i = 0; i < 2; i++) {
		struct zt_addr *a = t->dir == ZT_DIR_INGRESS ? &e->flow[i].src : &e->flow[i].dst;

		(void)zt_addr_parse(i ? "2001:db8::1" : "192.0.2.1", a); /* constants */
	}
}

bool zt_action_expects(enum zt_action expect, enum zt_verdict v)
{
	switch (expect) {
	case ZT_ACTION_ALLOW:
		return v == ZT_ALLOW || v == ZT_OBSERVE;
	case ZT_ACTION_DENY:
		return v == ZT_DROP || v == ZT_REJECT;
	case ZT_ACTION_REJECT:
		return v == ZT_REJECT;
	case ZT_ACTION_OBSERVE:
		return v == ZT_OBSERVE;
	}
	return false;
}
