/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "cli/cli.h"

/* Takes the condition that failed out of a borrowed copy of the rule, so that the next one shows. */
static void relax(struct zt_rule *r, enum zt_miss m, const struct zt_flow *f)
{
	switch (m) {
	case ZT_MISS_NONE:
		break;
	case ZT_MISS_DIRECTION:
		r->dir = f->dir;
		break;
	case ZT_MISS_UID:
		r->match.uid.n = 0;
		break;
	case ZT_MISS_GID:
		r->match.gid.n = 0;
		break;
	case ZT_MISS_CGROUP:
		r->match.n_cgroups = 0;
		break;
	case ZT_MISS_FAMILY:
		r->match.families = ZT_FAMILY_4 | ZT_FAMILY_6;
		break;
	case ZT_MISS_SRC:
		r->match.src4.n = r->match.src6.n = 0;
		break;
	case ZT_MISS_DST:
		r->match.dst4.n = r->match.dst6.n = 0;
		break;
	case ZT_MISS_PROTO:
		r->match.proto.n = 0;
		break;
	case ZT_MISS_PORT:
		r->match.port.n = 0;
		break;
	case ZT_MISS_SCHEDULE:
		r->n_windows = 0;
		break;
	case ZT_MISS_EXPIRED:
		r->expires = 0;
		break;
	case ZT_MISS_SENDER:
		r->match.from = 0;
		break;
	case ZT_MISS_RECEIVER:
		r->match.to = 0;
		break;
	case ZT_MISS_UNIX_NAME:
		r->match.unix_names.n = 0;
		break;
	}
}

void zt_near_miss(const struct zt_rule *r, const struct zt_flow *f, struct zt_near *ret)
{
	struct zt_near n = {.rule = r};
	struct zt_rule copy = *r;
	enum zt_miss m, last = ZT_MISS_NONE;

	while ((m = zt_oracle_match(&copy, f)) != ZT_MISS_NONE && m != last && n.n_misses < ZT_ARRAY_SIZE(n.misses)) {
		n.misses[n.n_misses++] = last = m;
		relax(&copy, m, f);
	}
	*ret = n;
}

static int by_nearness(const void *a, const void *b)
{
	const struct zt_near *x = a, *y = b;

	if (x->n_misses != y->n_misses)
		return x->n_misses < y->n_misses ? -1 : 1;
	return (x->rule->seq > y->rule->seq) - (x->rule->seq < y->rule->seq);
}

int zt_near_list(const struct zt_ruleset *rs, const struct zt_flow *f, const struct zt_rule *until,
		 struct zt_near **ret, size_t *ret_n)
{
	size_t n = until ? (size_t)(until - rs->rules) : rs->n_rules;
	struct zt_near *list = zt_new(struct zt_near, n + 1);

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		zt_near_miss(&rs->rules[i], f, &list[i]);
	qsort(list, n, sizeof(*list), by_nearness);
	*ret = list;
	*ret_n = n;
	return 0;
}

static void protocol_text(const struct zt_u32_ranges *l, struct zt_strbuf *out)
{
	if (l->n == 1 && l->v[0].lo == l->v[0].hi && zt_proto_name((uint8_t)l->v[0].lo))
		zt_strbuf_str(out, zt_proto_name((uint8_t)l->v[0].lo));
	else
		zt_u32_ranges_text(l, out);
}

static void miss_text(const struct zt_rule *r, enum zt_miss m, const struct zt_flow *f, struct zt_strbuf *out)
{
	ZT_STRBUF struct zt_strbuf part = {0};
	char when[32] = "";

	switch (m) {
	case ZT_MISS_NONE:
		return;
	case ZT_MISS_DIRECTION:
		zt_strbuf_printf(out, "it is for %s traffic", zt_direction_name(r->dir));
		return;
	case ZT_MISS_UID:
	case ZT_MISS_GID:
	case ZT_MISS_CGROUP:
		zt_rule_from_long(r, &part);
		zt_strbuf_printf(out, "%s is not %s", zt_miss_name(m), zt_strbuf_cstr(&part));
		return;
	case ZT_MISS_FAMILY:
		zt_strbuf_printf(out, "it is for %s only", r->match.families == ZT_FAMILY_4 ? "IPv4" : "IPv6");
		return;
	case ZT_MISS_SRC:
	case ZT_MISS_DST:
		zt_rule_hosts(r, m == ZT_MISS_SRC, &part);
		zt_strbuf_printf(out, "%s is not %s", zt_miss_name(m), zt_strbuf_cstr(&part));
		return;
	case ZT_MISS_PROTO:
		protocol_text(&r->match.proto, &part);
		zt_strbuf_printf(out, "protocol is not %s", zt_strbuf_cstr(&part));
		return;
	case ZT_MISS_PORT:
		zt_u32_ranges_text(&r->match.port, &part);
		if (zt_proto_has_ports(f->proto))
			zt_strbuf_printf(out, "port %u is not %s", f->port, zt_strbuf_cstr(&part));
		else
			zt_strbuf_printf(out, "it is for port %s", zt_strbuf_cstr(&part));
		return;
	case ZT_MISS_SCHEDULE:
		zt_strbuf_str(out, "outside of its schedule");
		return;
	case ZT_MISS_EXPIRED:
		zt_time_format(r->expires, when);
		zt_strbuf_printf(out, "it expired at %s", when);
		return;
	case ZT_MISS_SENDER:
		zt_strbuf_printf(out, "the sending process is not %s", r->from_text ? r->from_text : "the rule's");
		return;
	case ZT_MISS_RECEIVER:
		zt_strbuf_printf(out, "the receiving process is not %s", r->to_text ? r->to_text : "the rule's");
		return;
	case ZT_MISS_UNIX_NAME:
		zt_unix_names_text(&r->match.unix_names, &part);
		zt_strbuf_printf(out, "%s is not %s", zt_miss_name(m), zt_strbuf_cstr(&part));
		return;
	}
}

void zt_near_text(const struct zt_near *n, const struct zt_flow *f, struct zt_strbuf *out)
{
	for (unsigned i = 0; i < n->n_misses; i++) {
		zt_strbuf_str(out, i ? "; " : "");
		miss_text(n->rule, n->misses[i], f, out);
	}
}
