/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests for the learned policy: for each rule a flow that was seen, and the nearest one that was not and must fail. Candidates are run against the
 * policy as `test` runs them; what does not hold is not written. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "learn/parts.h"

enum { OTHERS = 6, NOBODY = 65534 };

struct candidate {
	size_t draft;
	enum zt_action expect;
	char *text; /* "{name: …}" */
	bool holds;
};
struct candidates {
	struct candidate *v;
	size_t n, cap;
};

static void candidates_done(struct candidates *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->v[i].text);
	free(c->v);
}

/* ---- one flow ---- */
struct variant { /* of a rule's example */
	const char *suffix;
	const struct zt_party *who; /* another process at the end that is told apart; NULL: the example's */
	bool nobody;		    /* a user that has nothing */
	uint16_t port;		    /* 0: the example's */
	enum zt_action expect;
};

static const struct zt_party *party(const struct zt_learning *x, const struct zt_seen_who *w)
{
	int32_t i = w ? x->party_of[w->index] : ZT_NO_PARTY;

	return i == ZT_NO_PARTY ? NULL : &x->parties[i];
}

static void process(const struct zt_learning *x, const struct zt_seen_who *w, struct zt_strbuf *out)
{
	const struct zt_party *p = party(x, w);

	zt_write_parts(w, x->usable[w->index], p && p->user_named, out);
}

static void changed(const struct zt_learning *x, const struct zt_seen_who *w, const struct variant *v, bool here,
		    struct zt_strbuf *out)
{
	if (here && v->nobody)
		zt_strbuf_printf(out, "uid: %d", NOBODY);
	else
		process(x, here && v->who ? v->who->who : w, out);
}

static void address(const struct zt_learning *x, const struct zt_seen *s, struct zt_strbuf *out)
{
	const struct zt_name *name = s->dir == ZT_DIR_EGRESS && !s->loopback ? zt_names_find(x, s->name) : NULL;
	char text[64];

	zt_addr_format(&s->remote, text);
	zt_strbuf_str(out, "host: ");
	zt_strbuf_json(out, name ? name->text : text);
}

static void port_and_protocol(const struct zt_seen *s, const struct variant *v, struct zt_strbuf *out)
{
	if (s->port)
		zt_strbuf_printf(out, "port: %u, ", v->port ? v->port : s->port);
	zt_strbuf_str(out, "protocol: ");
	zt_write_protocol(s->proto, out);
}

static void outgoing(const struct zt_learning *x, const struct zt_draft *d, const struct variant *v,
		     struct zt_strbuf *out)
{
	const struct zt_seen *s = d->seen.example;

	zt_strbuf_str(out, "from: {");
	changed(x, s->who, v, true, out);
	zt_strbuf_str(out, "}, to: {");
	if (d->receiver != ZT_NO_PARTY) {
		process(x, s->peer, out);
		zt_strbuf_str(out, ", ");
	}
	address(x, s, out);
	zt_strbuf_str(out, ", ");
	port_and_protocol(s, v, out);
	zt_strbuf_char(out, '}');
}

static void incoming(const struct zt_learning *x, const struct zt_draft *d, const struct variant *v,
		     struct zt_strbuf *out)
{
	const struct zt_seen *s = d->seen.example;

	zt_strbuf_str(out, "from: {");
	address(x, s, out);
	zt_strbuf_str(out, "}, to: {");
	if (d->receiver != ZT_NO_PARTY) {
		changed(x, s->who, v, true, out);
		zt_strbuf_str(out, ", ");
	}
	port_and_protocol(s, v, out);
	zt_strbuf_char(out, '}');
}

static int add(const struct zt_learning *x, size_t i, const struct variant *v, struct candidates *c)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	const struct zt_draft *d = &x->drafts[i];

	zt_strbuf_printf(&b, "{name: \"%s: %s", d->name, v->suffix);
	if (v->who)
		zt_strbuf_printf(&b, " %s", v->who->name);
	if (v->port)
		zt_strbuf_printf(&b, " %u", v->port);
	zt_strbuf_str(&b, "\", ");
	if (d->dir == ZT_DIR_INGRESS)
		incoming(x, d, v, &b);
	else
		outgoing(x, d, v, &b);
	zt_strbuf_printf(&b, ", expect: %s}", zt_action_name(v->expect));
	if (zt_grow(c->v, c->cap, c->n) < 0)
		return -ENOMEM;
	c->v[c->n] = (struct candidate){.draft = i, .expect = v->expect, .text = zt_strbuf_steal(&b)};
	return c->v[c->n].text ? (c->n++, 0) : -ENOMEM;
}

/* ---- neighbours: first those that tell most ---- */
static bool sends(const struct zt_draft *d, int32_t party)
{
	for (size_t i = 0; i < d->n_senders; i++)
		if (d->senders[i] == party)
			return true;
	return false;
}

static int other_parties(const struct zt_learning *x, size_t i, struct candidates *c)
{
	const struct zt_draft *d = &x->drafts[i];
	unsigned n = 0;
	int r = 0;

	for (size_t k = 0; !r && k < x->n_parties && n < OTHERS; k++) {
		struct variant v = {.suffix = "not", .who = &x->parties[k], .expect = ZT_ACTION_DENY};

		if (d->dir == ZT_DIR_INGRESS ? d->receiver == (int32_t)k : sends(d, (int32_t)k))
			continue;
		r = add(x, i, &v, c);
		n++;
	}
	return r;
}

static int neighbours(const struct zt_learning *x, size_t i, struct candidates *c)
{
	const struct zt_draft *d = &x->drafts[i];
	bool told_apart = d->dir == ZT_DIR_EGRESS || d->receiver != ZT_NO_PARTY;
	struct variant nobody = {.suffix = "not a user without rules", .nobody = true, .expect = ZT_ACTION_DENY};
	struct variant next = {.suffix = "not port", .expect = ZT_ACTION_DENY};
	int r = told_apart ? other_parties(x, i, c) ?: add(x, i, &nobody, c) : 0;

	for (uint32_t port = d->seen.example->port; !r && port && port < 65535; port++)
		if (!zt_u32_ranges_has(&d->port, port + 1)) {
			next.port = (uint16_t)(port + 1);
			return add(x, i, &next, c);
		}
	return r;
}

static int propose(const struct zt_learning *x, struct candidates *c)
{
	int r = 0;

	for (size_t i = 0; !r && i < x->n_drafts; i++)
		r = add(x, i, &(struct variant){.suffix = "as seen", .expect = ZT_ACTION_ALLOW}, c)
			    ?: neighbours(x, i, c);
	return r;
}

/* ---- running and writing ---- */
static void write_list(const struct candidates *c, bool all, struct zt_strbuf *out)
{
	bool any = false;

	for (size_t i = 0; i < c->n; i++)
		if (all || c->v[i].holds) {
			zt_strbuf_printf(out, "%s  - %s\n", any ? "" : "tests:\n", c->v[i].text);
			any = true;
		}
}

static void run(const struct zt_ruleset *rs, const struct zt_policy *p, struct candidates *c)
{
	for (size_t i = 0; i < c->n && i < p->n_tests; i++) {
		struct zt_expectation e;
		struct zt_decision d;

		zt_expectation_init(&e, &p->tests[i]);
		zt_oracle_decide(rs, &e.flow[0], &d);
		c->v[i].holds = zt_action_expects(c->v[i].expect, d.verdict);
	}
}

/* Of each rule one that is allowed and one that is not. */
static size_t choose(struct candidates *c)
{
	size_t n = 0;

	for (size_t i = 0, denied = SIZE_MAX; i < c->n; i++) {
		bool deny = c->v[i].expect == ZT_ACTION_DENY;

		if (deny && denied == c->v[i].draft)
			c->v[i].holds = false;
		if (!c->v[i].holds)
			continue;
		if (deny)
			denied = c->v[i].draft;
		n++;
	}
	return n;
}

int zt_learn_parse(const struct zt_learning *x, const char *text, size_t len, struct zt_policy **ret,
		   struct zt_diags *d)
{
	struct zt_policy_options o = {.root = x->o.root, .allow_unsafe_file = true};

	return zt_policy_parse("the learned policy", text, len, &o, ret, d);
}

int zt_write_tests(struct zt_learning *x, struct zt_strbuf *policy)
{
	ZT_CLEANUP(candidates_done) struct candidates c = {0};
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_STRBUF struct zt_strbuf trial = {0};
	struct zt_compile_options o = {.offline = true, .labels = true, .root = x->o.root};
	int r = propose(x, &c);

	zt_strbuf_str(&trial, zt_strbuf_cstr(policy));
	write_list(&c, true, &trial);
	r = r ?: zt_strbuf_error(&trial) ?: zt_learn_parse(x, trial.buf, trial.len, &p, x->d);
	r = r ?: zt_ruleset_compile(p, &o, &rs, x->d);
	if (r < 0)
		return r;
	run(rs, p, &c);
	x->out->n_tests = choose(&c);
	write_list(&c, false, policy);
	return zt_strbuf_error(policy);
}
