/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "apply/state.h"
#include "base/mem.h"
#include "identity/identity.h"

void zt_plan_done(struct zt_plan *p)
{
	zt_diff_done(&p->diff);
	zt_ruleset_free(p->before);
	*p = (struct zt_plan){0};
}

int zt_plan(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, struct zt_plan *ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_plan_done) struct zt_plan p = {0};
	int r = c->engine->raise(c->instance, &p.before, d);

	if (r < 0 && r != -ENOENT)
		return r;
	r = zt_ruleset_diff(p.before, rs, &p.diff);
	if (r < 0)
		return r;
	*ret = p;
	p = (struct zt_plan){0};
	return 0;
}

void zt_drift_done(struct zt_drift *d)
{
	zt_diff_done(&d->diff);
	zt_ruleset_free(d->expected);
	zt_ruleset_free(d->actual);
	for (size_t i = 0; i < d->n_notes; i++)
		free(d->notes[i]);
	free(d->notes);
	free(d->culprit);
	*d = (struct zt_drift){0};
}

static int note(struct zt_drift *d, char *text)
{
	char **grown = text ? zt_realloc(d->notes, (d->n_notes + 1) * sizeof(*grown)) : NULL;

	if (!grown) {
		free(text);
		return -ENOMEM;
	}
	d->notes = grown;
	d->notes[d->n_notes++] = text;
	return 0;
}

static int note_cgroups(struct zt_drift *d)
{
	int r = 0;

	for (size_t i = 0; d->actual && !r && i < d->actual->n_rules; i++)
		for (size_t k = 0; !r && k < d->actual->rules[i].match.n_cgroups; k++) {
			const struct zt_cgroup *cg = &d->actual->rules[i].match.cgroups[k];
			uint64_t id = 0;
			unsigned level;

			(void)zt_cgroup_lookup(NULL, cg->path, &id, &level); /* gone: 0 */
			if (id != cg->id)
				r = note(d,
					 zt_asprintf("cgroup %s %s: rule %s does not match it; run zt-segment refresh",
						     cg->path, id ? "was made anew" : "is gone",
						     d->actual->rules[i].id));
		}
	return r;
}

/* ---- names that mean another number by now, or none ---- */
static bool means(const struct zt_rule *r, const struct zt_account_name *a)
{
	const struct zt_match *m = &r->match;
	const struct zt_u32_ranges *own = a->group ? &m->gid : &m->uid;
	const struct zt_subject *ends[] = {m->from, m->to};
	bool found = zt_u32_ranges_has(own, a->id);

	for (size_t i = 0; i < ZT_ARRAY_SIZE(ends); i++)
		found = found || (ends[i] && zt_u32_ranges_has(a->group ? &ends[i]->gid : &ends[i]->uid, a->id));
	return found;
}

/* "rule a still means", "rules a, b and 3 more still mean"; "" none. */
static void rules_that_mean(const struct zt_ruleset *rs, const struct zt_account_name *a, struct zt_strbuf *out)
{
	enum { SHOWN = 3 };
	ZT_STRBUF struct zt_strbuf list = {0};
	const char *last = NULL;
	size_t n = 0;

	for (size_t i = 0; i < rs->n_rules; i++) {
		const char *id = rs->rules[i].id;

		if (!means(&rs->rules[i], a) || (last && !strcmp(last, id))) /* another part of one rule */
			continue;
		last = id;
		if (n++ < SHOWN)
			zt_strbuf_printf(&list, "%s%s", n > 1 ? ", " : "", id);
	}
	if (n > SHOWN)
		zt_strbuf_printf(&list, " and %zu more", n - SHOWN);
	if (n)
		zt_strbuf_printf(out, n > 1 ? "rules %s still mean" : "rule %s still means", zt_strbuf_cstr(&list));
	out->failed = out->failed || list.failed;
}

static int note_account(struct zt_drift *d, const struct zt_account_name *a)
{
	const char *kind = a->group ? "group" : "user", *id = a->group ? "gid" : "uid";
	ZT_STRBUF struct zt_strbuf rules = {0};
	uint32_t now = 0;
	int found = a->group ? zt_group_lookup(a->name, &now) : zt_user_lookup(a->name, &now);

	if ((found && found != -ENOENT) || (!found && now == a->id))
		return 0;
	rules_that_mean(d->expected, a, &rules);
	if (zt_strbuf_error(&rules) < 0)
		return -ENOMEM;
	if (!rules.len)
		return 0;
	return note(d, zt_asprintf("%s %s %s: %s %s %u, whoever has it; %s", kind, a->name,
				   found ? "is gone" : "has another number", zt_strbuf_cstr(&rules), id, a->id,
				   found ? "change the policy" : "run zt-segment refresh"));
}

static int note_accounts(struct zt_drift *d)
{
	int r = 0;

	for (size_t i = 0; d->expected && !r && i < d->expected->n_accounts; i++)
		r = note_account(d, &d->expected->accounts[i]);
	return r;
}

static int raise_now(const struct zt_apply_ctx *c, struct zt_drift *d)
{
	struct zt_diags findings = {0};
	int r = c->engine->raise(c->instance, &d->actual, &findings);

	d->active = r == 0 || r == -EUCLEAN;
	d->drifted = findings.n > 0; /* a device without its fence as well */
	for (size_t i = 0; i < findings.n; i++)
		(void)note(d, zt_strdup(findings.items[i].message)); /* one note less when memory is out */
	if (r == -EUCLEAN) {
		d->drifted = true;
		r = 0;
	}
	zt_diags_done(&findings);
	return r == -ENOENT ? 0 : r;
}

int zt_drift_check(const struct zt_apply_ctx *c, struct zt_drift *ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_drift_done) struct zt_drift x = {0};
	struct zt_pending pending;
	uint64_t current = 0;
	bool flushed = false, expect;
	int r = raise_now(c, &x);

	if (r < 0)
		return zt_diag_errno(d, 4015, r, "cannot read what is active now");
	expect = zt_state_current(c, &current, &flushed) == 0 && !flushed;
	if (zt_pending_read(c, &pending) == 0) {
		current = pending.generation;
		expect = true;
	}
	if (expect)
		r = zt_generation_load(c, current, &x.expected, NULL, NULL, d);
	if (r == -ENOENT) /* lost: what should be active is known by its number only */
		r = note(&x, zt_asprintf("generation %llu is not in the state folder any more",
					 (unsigned long long)current));
	if (r < 0)
		return r;
	if (expect && !x.active) {
		x.drifted = true;
		r = note(&x, zt_asprintf("generation %llu should be active, but nothing of zt-segment is in the kernel",
					 (unsigned long long)current));
	} else if (x.active && !x.expected) {
		x.drifted = true;
		r = note(&x,
			 zt_strdup("rules of zt-segment are active that no generation in the state folder explains"));
	}
	if (!r && x.actual && x.expected) {
		r = zt_ruleset_diff(x.expected, x.actual, &x.diff);
		x.drifted = x.drifted || !zt_diff_empty(&x.diff);
	}
	r = r ?: note_cgroups(&x) ?: note_accounts(&x);
	if (x.drifted)
		x.culprit = zt_culprit_read(c);
	if (r < 0)
		return r;
	*ret = x;
	x = (struct zt_drift){0};
	return 0;
}
