/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "learn/parts.h"

enum { RULES_MAX = 4000, FILE_MAX = 4 << 20 };

void zt_learned_done(struct zt_learned *l)
{
	for (size_t i = 0; i < l->n_rules; i++)
		free(l->rules[i].name);
	free(l->rules);
	zt_strbuf_done(&l->yaml);
	*l = (struct zt_learned){0};
}

static int list_rules(const struct zt_learning *x)
{
	struct zt_learned *l = x->out;

	l->rules = zt_new(struct zt_learned_rule, x->n_drafts + 1);
	for (size_t i = 0; l->rules && i < x->n_drafts; i++) {
		const struct zt_draft *d = &x->drafts[i];

		l->rules[i] = (struct zt_learned_rule){.name = zt_strdup(d->name),
						       .count = d->seen.count,
						       .bytes = d->seen.bytes,
						       .first = d->seen.first,
						       .last = d->seen.last,
						       .score = d->score,
						       .any_program = d->any_program};
		if (!l->rules[i].name)
			return -ENOMEM;
		l->n_rules++;
	}
	return l->rules ? 0 : -ENOMEM;
}

/* More rules than anybody reads, and than fit into a file. */
static int few_enough(const struct zt_learning *x, size_t bytes)
{
	if (x->n_drafts <= RULES_MAX && bytes <= FILE_MAX)
		return 0;
	(void)zt_diag(x->d, ZT_ERROR, 4602, NULL, "what was seen takes %zu rules: more than a policy file holds",
		      x->n_drafts);
	zt_diag_hint(x->d, "--for user makes fewer rules; --since looks back less far");
	return -E2BIG;
}

static int write_all(struct zt_learning *x)
{
	ZT_STRBUF struct zt_strbuf raw = {0};
	int r = zt_write_policy(x, &raw) ?: zt_write_tests(x, &raw);

	r = r ?: zt_policy_format("the learned policy", raw.buf, raw.len, &x->out->yaml, x->d);
	return r ?: few_enough(x, x->out->yaml.len);
}

int zt_learn(const struct zt_seen_list *l, const struct zt_learn_options *o, struct zt_learned *ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_learned_done) struct zt_learned out = {0};
	ZT_CLEANUP(zt_learning_done) struct zt_learning x = {.l = l, .o = *o, .out = &out, .d = d};
	int r;

	x.o.by = o->by ? o->by : ZT_BY_ALL;
	r = zt_names_make(&x) ?: zt_cells_make(&x);
	if (!r && !x.n_cells) { /* what was left out, and why, is an answer */
		*ret = out;
		out = (struct zt_learned){0};
		return -ENODATA;
	}
	r = r ?: zt_drafts_make(&x) ?: few_enough(&x, 0) ?: zt_drafts_name(&x);
	if (r < 0)
		return r;
	zt_drafts_sets(&x);
	r = list_rules(&x) ?: write_all(&x);
	if (r < 0)
		return r;
	*ret = out;
	out = (struct zt_learned){0};
	return 0;
}
