/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "policy/load.h"
#include "policy/release.h"

struct reading { /* one rule on its way */
	struct zt_policy_rule rule;
	const struct zt_node *node;
	struct zt_fields f, from, to;
};

/* ---- name ---- */
static bool name_ok(const struct zt_node *v)
{
	if (!v->n || v->n > 64 || v->text[0] == ' ' || v->text[v->n - 1] == ' ')
		return false;
	for (uint32_t i = 0; i < v->n; i++)
		if (v->text[i] < ' ' || v->text[i] > '~' || strchr("\"\\;", v->text[i]))
			return false;
	return true;
}

static int name_twice(struct zt_load *l, const struct zt_node *v, size_t before)
{
	const struct zt_span *first = &l->p->rules[before].span;

	(void)zt_complain(l, 1202, v, "there is a rule \"%s\" already", zt_shown(v)); /* the result follows */
	zt_diag_hint(l->d, "%s, line %u; names are unique, because logs and counters go by them", first->file,
		     first->line);
	return -EINVAL;
}

static int name_reserved(struct zt_load *l, const struct zt_node *v)
{
	(void)zt_complain(l, 1262, v, "\"%s\" is what rules about Unix sockets are called that follow from others",
			  zt_shown(v)); /* the result follows */
	zt_diag_hint(l->d, "give the rule another name");
	return -EINVAL;
}

static int read_name(struct zt_load *l, struct reading *r)
{
	const struct zt_node *v = zt_field(&r->f, RULE, NAME);
	uintptr_t before = v ? (uintptr_t)zt_strmap_get(&l->rule_names, v->text) : 0;

	if (!v)
		return -EINVAL;
	if (!name_ok(v)) {
		(void)zt_complain(l, 1201, v, "\"%s\" is not a name for a rule", zt_shown(v)); /* the result follows */
		zt_diag_hint(l->d, "1 to 64 printable ASCII characters without \" \\ ; and without blanks at the ends");
		return -EINVAL;
	}
	if (before)
		return name_twice(l, v, before - 1);
	if (!strcmp(v->text, ZT_RULE_UNIX_OTHERS) || !strcmp(v->text, ZT_RULE_UNIX_SYSTEM))
		return name_reserved(l, v);
	r->rule.name = zt_strndup(v->text, v->n);
	if (!r->rule.name)
		return -ENOMEM;
	return zt_strmap_put(&l->rule_names, v->text, (void *)(uintptr_t)(l->p->n_rules + 1));
}

/* ---- from and to ---- */
static int read_host(struct zt_load *l, const struct zt_node *v, struct zt_endpoint *ep)
{
	if (!v)
		return 0;
	ep->host_given = true;
	ep->host_text = zt_as_written(v);
	return ep->host_text ? zt_hosts_read(l, v, &ep->hosts) : -ENOMEM;
}

static int empty_endpoint(struct zt_load *l, const struct zt_node *node, const char *key, const char *instead)
{
	(void)zt_complain(l, 1230, node, "\"%s\" names nothing", key); /* the result follows */
	zt_diag_hint(l->d, "%s", instead);
	return -EINVAL;
}

static int read_from(struct zt_load *l, struct reading *r)
{
	const struct zt_node *node = zt_field(&r->f, RULE, FROM);
	int e;

	if (!node)
		return 0;
	if (!node->n)
		return empty_endpoint(l, node, "from",
				      "user: \"*\" is everybody on this host, host: any is everywhere");
	r->rule.from.given = true;
	e = zt_fields_read(l->doc, ZT_MAP_FROM, node, false, &r->from, l->d);
	e = zt_also(e, zt_whos_read(l, &r->from, zt_field(&r->from, FROM, IDENTITY), false, &r->rule.from));
	return zt_also(e, read_host(l, zt_field(&r->from, FROM, HOST), &r->rule.from));
}

static int read_protocol(struct zt_load *l, struct reading *r)
{
	const struct zt_node *proto = zt_field(&r->to, TO, PROTOCOL), *port = zt_field_key(&r->to, TO, PORT);
	struct zt_u32_ranges *list = &r->rule.proto;
	bool ports = true;
	int e;

	if (!proto)
		return port ? zt_u32_ranges_add(list, 6, 6) : 0;
	e = zt_protocols_read(l, proto, list);
	for (size_t i = 0; i < list->n; i++)
		for (uint32_t p = list->v[i].lo; p <= list->v[i].hi; p++)
			ports = ports && zt_proto_has_ports((uint8_t)p);
	if (e || !port || (ports && list->n))
		return e;
	(void)zt_complain(l, 1206, port, "\"%s\" has no ports", zt_shown(zt_first(proto))); /* the result follows */
	zt_diag_hint(l->d,
		     list->n ? "leave port: out, or name tcp, udp, both or sctp" : "protocol: both is tcp and udp");
	return -EINVAL;
}

static int read_to(struct zt_load *l, struct reading *r)
{
	const struct zt_node *node = zt_field(&r->f, RULE, TO), *port;
	int e;

	if (!node)
		return 0;
	if (!node->n)
		return empty_endpoint(l, node, "to", "leave it out for everywhere, or write host: any");
	r->rule.to.given = true;
	e = zt_fields_read(l->doc, ZT_MAP_TO, node, false, &r->to, l->d);
	e = zt_also(e, zt_whos_read(l, &r->to, zt_field(&r->to, TO, IDENTITY), false, &r->rule.to));
	e = zt_also(e, read_host(l, zt_field(&r->to, TO, HOST), &r->rule.to));
	if (zt_field(&r->to, TO, UNIX))
		e = zt_also(e, zt_unix_read(l, zt_field(&r->to, TO, UNIX), &r->rule.unix_names));
	port = zt_field(&r->to, TO, PORT);
	if (port) {
		e = zt_also(e, zt_ports_read(l, port, &r->rule.port));
		r->rule.port_text = zt_as_written(port);
		e = r->rule.port_text ? e : -ENOMEM;
	}
	return zt_also(e, read_protocol(l, r));
}

/* ---- direction ---- */
static int contradiction(struct zt_load *l, const struct zt_node *at, const char *what, const char *hint)
{
	(void)zt_complain(l, 1205, at, "%s", what); /* the result follows */
	zt_diag_hint(l->d, "%s", hint);
	return -EINVAL;
}

static int check_direction(struct zt_load *l, const struct reading *r)
{
	const struct zt_endpoint *from = &r->rule.from, *to = &r->rule.to;
	const struct zt_node *key = zt_field_key(&r->f, RULE, FROM);

	switch (r->rule.dir) {
	case ZT_DIR_EGRESS:
	case ZT_DIR_UNIX:
		return 0;
	case ZT_DIR_INGRESS:
		if (!from->n_whos)
			return 0;
		return contradiction(
			l, key, "what arrives from elsewhere has no local sender",
			"name the sender by host:, or leave direction: out for traffic between processes of this host");
	case ZT_DIR_FORWARD:
		if (!from->n_whos && !to->n_whos)
			return 0;
		return contradiction(l, from->n_whos ? key : zt_field_key(&r->f, RULE, TO),
				     "forwarded traffic has no local process", "name both ends by host:");
	}
	return 0;
}

static int read_direction(struct zt_load *l, struct reading *r)
{
	const struct zt_node *v = zt_field(&r->f, RULE, DIRECTION);
	const struct zt_endpoint *from = &r->rule.from, *to = &r->rule.to;

	if (v)
		r->rule.dir = (enum zt_direction)zt_word_index("egress|ingress|forward", v->text);
	else if (from->n_whos)
		r->rule.dir = ZT_DIR_EGRESS;
	else if (from->host_given || to->n_whos)
		r->rule.dir = ZT_DIR_INGRESS;
	else {
		(void)zt_complain(l, 1204, zt_field_key(&r->f, RULE, NAME), /* the result follows */
				  "it is not clear whether this is about what leaves or what arrives");
		zt_diag_hint(
			l->d,
			"add from: (user: \"*\" for what leaves, host: any for what arrives), or direction: egress, ingress or forward");
		return -EINVAL;
	}
	return v ? check_direction(l, r) : 0;
}

static int read_unix(struct zt_load *l, struct reading *r)
{
	const struct zt_node *others[] = {zt_field_key(&r->f, RULE, DIRECTION), zt_field_key(&r->from, FROM, HOST),
					  zt_field_key(&r->to, TO, HOST), zt_field_key(&r->to, TO, PORT),
					  zt_field_key(&r->to, TO, PROTOCOL)};

	r->rule.dir = ZT_DIR_UNIX;
	return zt_unix_alone(l, others, ZT_ARRAY_SIZE(others));
}

/* ---- the rest ---- */
static int read_priority(struct reading *r)
{
	const struct zt_node *v = zt_field(&r->f, RULE, PRIORITY);
	uint64_t n;

	r->rule.priority = 100;
	if (v && zt_parse_u64(v->text, INT32_MAX, &n) == 0)
		r->rule.priority = (int32_t)n;
	return 0;
}

static int read_times(struct zt_load *l, struct reading *r)
{
	const struct zt_node *schedule = zt_field(&r->f, RULE, SCHEDULE), *expires = zt_field(&r->f, RULE, EXPIRES);
	int e = schedule ? zt_schedule_read(l, schedule, &r->rule) : 0;

	if (!expires)
		return e;
	e = zt_also(e, zt_when_read(l, expires, &r->rule.expires));
	if (!e && r->rule.expires <= l->now)
		zt_warn(l, 1223, expires, "the rule has expired already: it does nothing");
	return e;
}

static void warn_members(struct zt_load *l, const struct zt_node *v)
{
	for (const struct zt_node *i = zt_first(v); i; i = zt_next(v, i)) {
		const struct zt_account *a = NULL;
		struct zt_u32_range range;
		bool number = zt_range_read(l, i, 0, UINT32_MAX, &range) == 0;
		uint32_t gid = range.lo;

		if (number && range.lo != range.hi)
			continue;
		if (!number && zt_names_group(l, i->text, &a) == 0)
			gid = a->id;
		else if (!number)
			continue;
		if (!zt_names_group_has_members(l, gid))
			continue;
		zt_warn(l, 1224, i,
			"the group \"%s\" has members of whom it is not the primary group: the iptables engine does not stop them",
			zt_shown(i));
		zt_diag_hint(l->d,
			     "--engine bpf and nft look at supplementary groups; or deny users, or allow only who may");
	}
}

static void warn_one_family(struct zt_load *l, const struct reading *r)
{
	static const struct zt_addr last = {4, {255, 255, 255, 255}};
	const struct zt_addr_ranges *h = &r->rule.to.hosts;

	if (r->rule.dir == ZT_DIR_UNIX || h->n != 1 || h->v[0].lo.family != 4 ||
	    zt_addr_cmp(&h->v[0].lo, &(struct zt_addr){.family = 4}) != 0 || zt_addr_cmp(&h->v[0].hi, &last) != 0 ||
	    l->p->settings.def[r->rule.dir] != ZT_DEFAULT_ALLOW)
		return;
	zt_warn(l, 1229, zt_field(&r->to, TO, HOST), "this denies IPv4 only, and IPv6 is allowed by default");
	zt_diag_hint(l->d, "host: any covers both");
}

static int read_action(struct zt_load *l, struct reading *r)
{
	const struct zt_node *action = zt_field(&r->f, RULE, ACTION), *log = zt_field(&r->f, RULE, LOG);
	const struct zt_node *text = zt_field(&r->f, RULE, DESCRIPTION);

	if (log)
		r->rule.log = !strcmp(log->text, "true");
	if (text && !(r->rule.description = zt_strdup(text->text)))
		return -ENOMEM;
	if (!action)
		return -EINVAL;
	r->rule.action = (enum zt_action)zt_word_index("allow|deny|reject|observe", action->text);
	if (r->rule.action != ZT_ACTION_DENY && r->rule.action != ZT_ACTION_REJECT)
		return 0;
	if (!l->o->no_resolve) {
		warn_members(l, zt_field(&r->from, FROM, GROUP));
		warn_members(l, zt_field(&r->from, FROM, GID));
		warn_members(l, zt_field(&r->from, FROM, APP));
	}
	warn_one_family(l, r);
	return 0;
}

static int read_rule(struct zt_load *l, struct reading *r)
{
	int e = zt_fields_read(l->doc, ZT_MAP_RULE, r->node, false, &r->f, l->d), sides, name;

	if (r->node->kind != ZT_NODE_MAP)
		return e;
	r->rule.span = zt_doc_span(l->doc, r->node->first ? r->node->first : r->node);
	name = read_name(l, r);
	sides = read_from(l, r);
	sides = zt_also(sides, read_to(l, r));
	if (!sides && !e) /* with an unknown key it would be a guess */
		sides = zt_field(&r->to, TO, UNIX) ? read_unix(l, r) : read_direction(l, r);
	e = zt_also(zt_also(e, name), sides);
	e = zt_also(e, read_priority(r));
	e = zt_also(e, read_times(l, r));
	e = zt_also(e, read_action(l, r));
	return e;
}

static int keep(struct zt_load *l, struct zt_policy_rule *rule)
{
	struct zt_policy *p = l->p;

	if (zt_grow(p->rules, l->cap_rules, p->n_rules) < 0)
		return -ENOMEM;
	p->rules[p->n_rules++] = *rule;
	*rule = (struct zt_policy_rule){0};
	return 0;
}

int zt_rules_read(struct zt_load *l, const struct zt_node *list)
{
	int e = 0;

	for (const struct zt_node *node = list->first; node && e != -ENOMEM; node = node->next) {
		struct reading r = {.node = node};

		if (l->p->n_rules == ZT_RULES_MAX)
			return zt_complain(l, 1203, node, "more than 100,000 rules");
		e = zt_also(e, read_rule(l, &r));
		if (e != -ENOMEM)
			e = zt_also(e, keep(l, &r.rule)); /* also what is wrong: later names are compared with it */
		zt_policy_rule_done(&r.rule);
	}
	return e;
}
