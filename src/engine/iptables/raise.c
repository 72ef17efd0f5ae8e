/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/iptables/iptables.h"

static const char *const family_names[IPT_FAMILIES] = {[IPT_4] = "IPv4", [IPT_6] = "IPv6"};

ZT_PRINTF(3, 4) static int damage(struct zt_diags *d, int family, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	(void)zt_diag(d, ZT_ERROR, 3204, NULL, "%s, table filter: %s", family_names[family], zt_strbuf_cstr(&b));
	return -EUCLEAN;
}

static int compare_family(int family, const struct ipt_table *live, const struct ipt_table *want, struct zt_diags *d)
{
	struct ipt_difference at;
	int r = live->dormant ? damage(d, family, "the table decides nothing: somebody gave it the flag dormant") : 0,
	    c;

	for (int i = 0; i < 3; i++)
		if (!live->linked[i])
			r = damage(d, family, "the first rule of %s, and that one alone, must jump to ZT-%s",
				   ipt_builtin[i], ipt_entry[i]);
	for (size_t i = 0; i < live->links.n; i++)
		if (!live->links.v[i].plain)
			r = damage(d, family, "a rule of %s leads into our chains: %s", live->links.v[i].chain,
				   live->links.v[i].args);
	c = ipt_table_compare(live, want, &at);
	if (c < 0)
		return c;
	if (c && !at.a && !at.b)
		return damage(d, family, "chain %s is %s", at.chain,
			      ipt_table_has_chain(live, at.chain) ? "not of the policy" : "missing");
	if (c)
		return damage(d, family, "chain %s: \"%s\" instead of \"%s\"", at.chain, at.a ? at.a->args : "",
			      at.b ? at.b->args : "");
	return r;
}

/* What the ruleset would be lowered to must be what is there, line by line. */
static int verify(const struct ipt_state *s, const struct zt_ruleset *rs, struct zt_diags *d)
{
	ZT_CLEANUP(ipt_image_freep) struct zt_image *img = NULL;
	int r = ipt_lower(rs, &img, d);

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return damage(d, IPT_4, "the ruleset in ZT-META cannot be");
	for (int f = 0; f < IPT_FAMILIES; f++) {
		ZT_CLEANUP(ipt_table_done) struct ipt_table want = {0};
		int e = ipt_table_parse(rs->instance, img->text[f], &want);

		if (!e)
			e = compare_family(f, &s->t[f], &want, d);
		if (e < 0 && e != -EUCLEAN)
			return e;
		r = e ? e : r;
	}
	return r;
}

static int hash_holds(struct zt_ruleset *rs, struct zt_diags *d)
{
	char recorded[65];
	int r;

	memcpy(recorded, rs->hash, sizeof(recorded));
	r = zt_ruleset_rehash(rs);
	if (!r && strcmp(recorded, rs->hash) != 0)
		r = damage(d, IPT_4, "the hash in ZT-META is not that of its ruleset");
	return r;
}

int ipt_raise(const char *instance, struct zt_ruleset **ret, struct zt_diags *d)
{
	ZT_CLEANUP(ipt_state_done) struct ipt_state s = {0};
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_FREE char *meta = NULL;
	int r = ipt_state_read(instance, &s);

	if (r < 0)
		return zt_diag_errno(d, 3205, r, "cannot read the iptables rules");
	if (ipt_table_empty(&s.t[IPT_4]) && ipt_table_empty(&s.t[IPT_6]))
		return -ENOENT;
	meta = ipt_table_meta(&s.t[IPT_4]);
	r = meta ? zt_ruleset_new(&rs) : -ENOMEM;
	if (!r)
		r = ipt_meta_parse(meta, rs);
	if (r == -EUCLEAN || (!r && strcmp(rs->instance, instance ? instance : "default") != 0))
		return damage(d, IPT_4, "chain ZT-META cannot be read");
	if (!r)
		r = verify(&s, rs, d);
	if (!r)
		r = hash_holds(rs, d);
	if (!r)
		*ret = ZT_TAKE(rs);
	return r;
}

int ipt_identify(const char *instance, uint64_t *ret_generation, char ret_hash[static 65])
{
	ZT_CLEANUP(ipt_state_done) struct ipt_state s = {0};
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_FREE char *meta = NULL;
	char *end;
	int r = ipt_state_read(instance, &s);

	if (r < 0)
		return r;
	if (ipt_table_empty(&s.t[IPT_4]) && ipt_table_empty(&s.t[IPT_6]))
		return -ENOENT;
	meta = ipt_table_meta(&s.t[IPT_4]);
	r = meta ? zt_ruleset_new(&rs) : -ENOMEM;
	end = meta ? strchr(meta, '|') : NULL;
	if (end)
		end[1] = '\0';
	if (!r)
		r = ipt_meta_parse(meta, rs);
	if (r < 0)
		return r;
	*ret_generation = rs->generation;
	memcpy(ret_hash, rs->hash, 65);
	return 0;
}

/* ---- counters: by the comments of the lines ---- */
struct rule_at {
	char *comment;
	size_t index;
};

static int compare_rules(const void *a, const void *b)
{
	return strcmp(((const struct rule_at *)a)->comment, ((const struct rule_at *)b)->comment);
}

static struct zt_count *fixed_count(struct zt_counters *c, const char *name)
{
	const struct {
		const char *name;
		struct zt_count *count;
	} fixed[] = {{"established", &c->established},
		     {"related", &c->related},
		     {"essential", &c->essential},
		     {"loopback", &c->loopback},
		     {"ssh", &c->ssh},
		     {"invalid", &c->invalid},
		     {"default_out", &c->dropped[0]},
		     {"default_in", &c->dropped[1]},
		     {"default_fwd", &c->dropped[2]},
		     {"logged", &c->logged},
		     {"suppressed", &c->suppressed}};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(fixed); i++)
		if (!strcmp(fixed[i].name, name))
			return fixed[i].count;
	return NULL;
}

static void sum(const struct ipt_table *t, const struct rule_at *at, size_t n, struct zt_counters *c)
{
	for (size_t i = 0; i < t->lines.n; i++) {
		const struct ipt_line *l = &t->lines.v[i];
		struct rule_at want = {.comment = l->comment};
		struct zt_count *count = NULL;
		const struct rule_at *found;

		if (!l->comment)
			continue;
		if (!strncmp(l->comment, "zt:", 3))
			count = fixed_count(c, l->comment + 3);
		found = count ? NULL : bsearch(&want, at, n, sizeof(*at), compare_rules);
		if (found)
			count = &c->rule[found->index];
		if (!count)
			continue;
		count->packets += l->packets;
		count->bytes += l->bytes;
	}
}

static void free_rules(struct rule_at *at, size_t n)
{
	for (size_t i = 0; at && i < n; i++)
		free(at[i].comment);
	free(at);
}

static int index_rules(const struct zt_ruleset *rs, struct rule_at **ret)
{
	struct rule_at *at = zt_new(struct rule_at, rs->n_rules + 1);
	int r = at ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < rs->n_rules; i++) {
		at[i] = (struct rule_at){.comment = zt_asprintf("rule %s #%u", rs->rules[i].id, rs->rules[i].part),
					 .index = i};
		r = at[i].comment ? 0 : -ENOMEM;
	}
	if (r < 0) {
		free_rules(at, rs->n_rules);
		return r;
	}
	qsort(at, rs->n_rules, sizeof(*at), compare_rules);
	*ret = at;
	return 0;
}

int ipt_counters(const struct zt_ruleset *rs, struct zt_counters *ret)
{
	ZT_CLEANUP(ipt_state_done) struct ipt_state s = {0};
	ZT_CLEANUP(zt_counters_done)
	struct zt_counters c = {.rule = zt_new(struct zt_count, rs->n_rules + 1), .n_rules = rs->n_rules};
	struct rule_at *at = NULL;
	int r = c.rule ? ipt_state_read(rs->instance, &s) : -ENOMEM;

	if (!r && ipt_table_empty(&s.t[IPT_4]) && ipt_table_empty(&s.t[IPT_6]))
		r = -ENOENT;
	if (!r)
		r = index_rules(rs, &at);
	if (r < 0)
		return r;
	sum(&s.t[IPT_4], at, rs->n_rules, &c);
	sum(&s.t[IPT_6], at, rs->n_rules, &c);
	free_rules(at, rs->n_rules);
	*ret = c;
	c.rule = NULL;
	return 0;
}
