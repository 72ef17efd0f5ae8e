/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/engine.h"

#include <string.h>

#include "base/mem.h"

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
	zt_diag_hint(d, "it sees users, groups and control groups of senders only; --engine bpf sees both ends");
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

int zt_engine_refuse_needs(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_diags *d)
{
	int r = 0;

	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct zt_rule *rule = &rs->rules[i];

		for (size_t k = 0; k < rule->n_needs; k++) {
			const struct zt_need *need = &rule->needs[k];

			(void)zt_diag(d, ZT_ERROR, 3001, &need->span, /* collected; the result is one -ENOTSUP */
				      "rule \"%s\": the %s engine cannot match %s \"%s\"", rule->id, e->name, need->key,
				      need->value);
			zt_diag_hint(
				d,
				"this kernel interface sees users, groups and cgroups only; name a user or a service, "
				"or remove the rule");
			r = -ENOTSUP;
		}
	}
	return r;
}
