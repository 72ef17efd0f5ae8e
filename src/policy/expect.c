/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests: each is one concrete flow. */
#include <string.h>

#include "base/mem.h"
#include "policy/load.h"
#include "policy/release.h"

struct reading {
	struct zt_policy_test test;
	struct zt_fields f, from, to;
	struct zt_endpoint who, receiver; /* as a rule would see them */
	bool from_host;
};

static int not_one(struct zt_load *l, const struct zt_node *v)
{
	(void)zt_complain(l, 1231, v, "a test is about one flow: \"%s\" stands for several",
			  zt_shown(zt_first(v))); /* the result follows */
	zt_diag_hint(l->d, "name one of them; write another test for the next");
	return -EINVAL;
}

/* unix: the key whose "@" does not mean a set, or NULL. */
static int check_single(struct zt_load *l, const struct zt_fields *f, const struct zt_node *unix_key)
{
	int r = 0;

	for (size_t i = 0; i < ZT_FIELDS_MAX; i++) {
		const struct zt_node *v = zt_value_of(f->keys[i]);

		if (v && (v->kind != ZT_NODE_SCALAR || !strcmp(v->text, "*") || !strcmp(v->text, "any") ||
			  !strcmp(v->text, "both") || (v->text[0] == '@' && f->keys[i] != unix_key)))
			r = not_one(l, v);
	}
	return r;
}

static int read_address(struct zt_load *l, const struct zt_node *v, struct zt_addr *ret)
{
	ZT_CLEANUP(zt_addr_ranges_done) struct zt_addr_ranges list = {0};
	struct zt_addr_range range;
	int r;

	if (!v || !v->n)
		return 0;
	if (!strcmp(v->text, "localhost"))
		return zt_addr_parse("127.0.0.1", ret);
	if (zt_addr_parse(v->text, ret) == 0)
		return 0;
	r = zt_hosts_read(l, v, &list);
	if (r)
		return r;
	if (zt_addr_range_parse(v->text, &range, NULL) == 0) /* a name stands for its first address */
		return not_one(l, v);
	*ret = list.v[0].lo;
	return 0;
}

static int one_id(struct zt_load *l, const struct zt_u32_ranges *ids, const struct zt_node *at, bool *ret_has,
		  uint32_t *ret)
{
	if (!ids->n)
		return 0;
	if (ids->n > 1 || ids->v[0].lo != ids->v[0].hi)
		return not_one(l, at);
	*ret_has = true;
	*ret = ids->v[0].lo;
	return 0;
}

static int one_program(struct zt_load *l, const struct zt_exe_ref *refs, size_t n, char **ret)
{
	(void)l;
	if (n && !(*ret = zt_strdup(refs[0].path)))
		return -ENOMEM;
	return 0;
}

/* Who it is, and with which group when only the user is named: the primary one. The keys of who stand first in f. */
static int read_process(struct zt_load *l, const struct zt_fields *f, struct zt_endpoint *ep, struct zt_test_process *t)
{
	const struct zt_node *user = zt_field(f, TEST_FROM, USER), *group = zt_field(f, TEST_FROM, GROUP);
	const struct zt_who *w;
	int e = zt_whos_read(l, f, NULL, true, ep);

	if (e || !ep->n_whos)
		return e;
	w = &ep->whos[0];
	t->given = true;
	e = one_id(l, &w->uid, user ? user : zt_field(f, TEST_FROM, UID), &t->has_uid, &t->uid);
	e = zt_also(e, one_id(l, &w->gid, group ? group : zt_field(f, TEST_FROM, GID), &t->has_gid, &t->gid));
	if (!e && w->n_cgroups && !(t->cgroup = zt_strdup(w->cgroups[0].path)))
		return -ENOMEM;
	e = e ?: one_program(l, w->exes, w->n_exes, &t->exe) ?: one_program(l, w->parents, w->n_parents, &t->parent);
	if (!e && t->has_uid && !t->has_gid && !l->o->no_resolve)
		t->has_gid = zt_names_uid(l, t->uid, &t->gid) == 0;
	return e;
}

static int read_from(struct zt_load *l, struct reading *r)
{
	const struct zt_node *node = zt_field(&r->f, TEST, FROM), *host;
	int e;

	if (!node)
		return -EINVAL;
	e = zt_fields_read(l->doc, ZT_MAP_TEST_FROM, node, false, &r->from, l->d);
	host = zt_field(&r->from, TEST_FROM, HOST);
	r->from_host = host != NULL;
	e = zt_also(e, check_single(l, &r->from, NULL));
	if (e)
		return e;
	e = read_address(l, host, &r->test.src);
	return zt_also(e, read_process(l, &r->from, &r->who, &r->test.from));
}

static int read_protocol(struct zt_load *l, struct reading *r)
{
	const struct zt_node *port = zt_field(&r->to, TEST_TO, PORT), *proto = zt_field(&r->to, TEST_TO, PROTOCOL);
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges protos = {0}, ports = {0};
	struct zt_policy_test *t = &r->test;
	int e = proto ? zt_protocols_read(l, proto, &protos) : 0;

	if (port)
		e = zt_also(e, zt_ports_read(l, port, &ports));
	if (e)
		return e;
	if (ports.n && ports.v[0].lo != ports.v[0].hi)
		return not_one(l, port);
	t->proto = protos.n ? (uint8_t)protos.v[0].lo : 6;
	t->port_given = ports.n != 0;
	t->port = ports.n ? (uint16_t)ports.v[0].lo : 0;
	if (port && !zt_proto_has_ports(t->proto))
		return zt_complain(l, 1206, port, "\"%s\" has no ports", zt_shown(proto));
	if (!port && zt_proto_has_ports(t->proto)) {
		e = zt_complain(l, 1233, zt_field_key(&r->f, TEST, TO),
				"a test needs a port, or a protocol that has none");
		zt_diag_hint(l->d, "for example to: {host: 127.0.0.1, port: 6379, protocol: tcp}");
	}
	return e;
}

/* A test of a Unix socket has nothing but who is at its ends. */
static int read_unix(struct zt_load *l, struct reading *r, const struct zt_node *v)
{
	const struct zt_node *others[] = {zt_field_key(&r->f, TEST, DIRECTION), zt_field_key(&r->from, TEST_FROM, HOST),
					  zt_field_key(&r->to, TEST_TO, HOST), zt_field_key(&r->to, TEST_TO, PORT),
					  zt_field_key(&r->to, TEST_TO, PROTOCOL)};
	ZT_CLEANUP(zt_unix_names_done) struct zt_unix_names names = {0};
	int e = zt_unix_alone(l, others, ZT_ARRAY_SIZE(others)) ?: zt_unix_read(l, v, &names);

	r->test.dir = ZT_DIR_UNIX;
	if (!e && !(r->test.unix_name = zt_strdup(names.v[0])))
		return -ENOMEM;
	return e;
}

static int read_to(struct zt_load *l, struct reading *r)
{
	const struct zt_node *node = zt_field(&r->f, TEST, TO);
	int e;

	if (!node)
		return -EINVAL;
	e = zt_fields_read(l->doc, ZT_MAP_TEST_TO, node, false, &r->to, l->d);
	e = zt_also(e, check_single(l, &r->to, zt_field_key(&r->to, TEST_TO, UNIX)));
	if (e)
		return e;
	e = read_address(l, zt_field(&r->to, TEST_TO, HOST), &r->test.dst);
	e = zt_also(e, read_process(l, &r->to, &r->receiver, &r->test.to));
	if (zt_field(&r->to, TEST_TO, UNIX))
		return zt_also(e, read_unix(l, r, zt_field(&r->to, TEST_TO, UNIX)));
	e = zt_also(e, read_protocol(l, r));
	if (!e && r->test.src.family && r->test.dst.family && r->test.src.family != r->test.dst.family)
		e = zt_complain(l, 1231, node, "one end is IPv4, the other IPv6");
	return e;
}

static int read_direction(struct zt_load *l, struct reading *r)
{
	const struct zt_node *v = zt_field(&r->f, TEST, DIRECTION), *from = zt_field_key(&r->f, TEST, FROM);
	bool local = r->who.n_whos != 0;

	if (r->test.dir == ZT_DIR_UNIX && local)
		return 0;
	r->test.dir = local ? ZT_DIR_EGRESS : ZT_DIR_INGRESS;
	if (v)
		r->test.dir = (enum zt_direction)zt_word_index("egress|ingress|forward", v->text);
	if (r->test.dir == ZT_DIR_EGRESS && !local) {
		(void)zt_complain(l, 1232, from, "a test of what leaves needs a sender"); /* the result follows */
		zt_diag_hint(l->d, "for example from: {user: web-user}");
		return -EINVAL;
	}
	if (r->test.dir != ZT_DIR_EGRESS && local)
		return zt_complain(l, 1205, from, "what arrives or is passed on has no local sender");
	if (!local && !r->from_host)
		return zt_complain(l, 1230, from, "\"from\" names nothing");
	return 0;
}

static int read_test(struct zt_load *l, const struct zt_node *node, struct reading *r)
{
	struct zt_policy_test *t = &r->test;
	const struct zt_node *v;
	int e = zt_fields_read(l->doc, ZT_MAP_TEST, node, false, &r->f, l->d), from;

	if (node->kind != ZT_NODE_MAP)
		return e;
	t->span = zt_doc_span(l->doc, node->first ? node->first : node);
	from = read_from(l, r);
	e = zt_also(e, from);
	e = zt_also(e, read_to(l, r));
	if (!from)
		e = zt_also(e, read_direction(l, r));
	if ((v = zt_field(&r->f, TEST, EXPECT)))
		t->expect = (enum zt_action)zt_word_index("allow|deny|reject|observe", v->text);
	if ((v = zt_field(&r->f, TEST, AT)))
		e = zt_also(e, zt_when_read(l, v, &t->at));
	if ((v = zt_field(&r->f, TEST, NAME)) && !(t->name = zt_strdup(v->text)))
		return -ENOMEM;
	return e;
}

int zt_tests_read(struct zt_load *l, const struct zt_node *list)
{
	struct zt_policy *p = l->p;
	int e = 0;

	for (const struct zt_node *node = list->first; node && e != -ENOMEM; node = node->next) {
		struct reading r = {0};
		int one = read_test(l, node, &r);

		zt_endpoint_done(&r.who);
		zt_endpoint_done(&r.receiver);
		if (!one)
			one = zt_grow(p->tests, l->cap_tests, p->n_tests);
		if (!one)
			p->tests[p->n_tests++] = r.test;
		else
			zt_policy_test_done(&r.test);
		e = zt_also(e, one);
	}
	return e;
}
