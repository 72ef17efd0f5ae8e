/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/engine.h"

#include <string.h>
#include <unistd.h>

#include "base/mem.h"

const char *const zt_lsm_kinds[ZT_LSM_KINDS] = {[ZT_LSM_FAMILY] = "socket_family",
						[ZT_LSM_PASSED] = "socket_passed",
						[ZT_LSM_TRACED] = "traced",
						[ZT_LSM_TAMPER] = "tampered"};

void zt_counters_done(struct zt_counters *c)
{
	free(c->rule);
	*c = (struct zt_counters){0};
}

void zt_caps_done(struct zt_caps *c)
{
	for (size_t i = 0; i < c->n_gaps; i++) {
		free(c->gaps[i].what);
		free(c->gaps[i].why);
	}
	free(c->gaps);
	free(c->why_not);
	*c = (struct zt_caps){0};
}

int zt_caps_gap(struct zt_caps *c, const char *what, const char *why)
{
	struct zt_gap g = {.what = zt_strdup(what), .why = zt_strdup(why)};
	struct zt_gap *grown = g.what && g.why ? zt_realloc(c->gaps, (c->n_gaps + 1) * sizeof(*grown)) : NULL;

	if (!grown) {
		free(g.what);
		free(g.why);
		return -ENOMEM;
	}
	c->gaps = grown;
	c->gaps[c->n_gaps++] = g;
	return 0;
}

void zt_foreign_free(struct zt_foreign *f, size_t n)
{
	for (size_t i = 0; f && i < n; i++) {
		free(f[i].family);
		free(f[i].name);
	}
	free(f);
}

static int refuse_subject(const struct zt_engine *e, const struct zt_ruleset *rs, const struct zt_rule *rule,
			  const struct zt_subject *s, const char *who, struct zt_diags *d)
{
	struct zt_span at = {
		.file = rule->file < rs->n_files ? rs->files[rule->file] : NULL, .line = rule->line, .col = 1};

	if (!s)
		return 0;
	(void)zt_diag(d, ZT_ERROR, 3001, &at, "rule \"%s\": the %s engine cannot match the %s process \"%s\"", rule->id,
		      e->name, who, s->text); /* the result follows */
	zt_diag_hint(d, "it sees users, groups and control groups of senders only; --engine bpf and nft see both ends");
	return -ENOTSUP;
}

int zt_engine_refuse_subjects(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_diags *d)
{
	int r = 0;

	for (size_t i = 0; i < rs->n_rules && rs->n_subjects; i++) {
		int from = refuse_subject(e, rs, &rs->rules[i], rs->rules[i].match.from, "sending", d);
		int to = refuse_subject(e, rs, &rs->rules[i], rs->rules[i].match.to, "receiving", d);

		r = from ?: to ?: r;
	}
	return r;
}

bool zt_engine_sees_unix(const struct zt_engine *e, const char *instance, const struct zt_policy *p)
{
	const char *why;

	return !zt_policy_needs_unix(p) || (e->unix_sockets && e->unix_sockets(instance, &why) == 0);
}

const struct zt_engine *zt_engine_suiting(const struct zt_engine *e, const char *instance, const struct zt_policy *p)
{
	const struct zt_engine *bpf = zt_engine_by_name("bpf");
	struct zt_caps caps = {0};

	if (!bpf || e == bpf || !(zt_policy_needs_labels(p) || zt_policy_needs_unix(p)) ||
	    zt_engine_active(instance, NULL))
		return e;
	if (geteuid() != 0 || /* only lowered where the caller is not root */
	    (bpf->probe(instance, &caps) == 0 && caps.usable))
		e = bpf;
	zt_caps_done(&caps);
	return e;
}

int zt_engine_refuse_unix(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_diags *d)
{
	int r = 0;

	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct zt_rule *rule = &rs->rules[i];
		struct zt_span at = {
			.file = rule->file < rs->n_files ? rs->files[rule->file] : NULL, .line = rule->line, .col = 1};

		if (rule->dir != ZT_DIR_UNIX || zt_rule_follows(rule))
			continue;
		(void)zt_diag(d, ZT_ERROR, 4920, &at, "rule \"%s\": the %s engine does not see Unix sockets", rule->id,
			      e->name); /* the result follows */
		zt_diag_hint(
			d,
			"--engine bpf does, in a kernel with BPF LSM; settings: {unix: where-possible} leaves these rules out");
		r = -ENOTSUP;
	}
	return r;
}

void zt_records_done(struct zt_records *r)
{
	free(r->v);
	*r = (struct zt_records){0};
}
