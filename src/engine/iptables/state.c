/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/iptables/iptables.h"

/* ---- tables of lines ---- */
static void lines_done(struct ipt_lines *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].chain);
		free(l->v[i].args);
		free(l->v[i].normal);
		free(l->v[i].comment);
	}
	free(l->v);
}

void ipt_table_done(struct ipt_table *t)
{
	for (size_t i = 0; i < t->n_chains; i++)
		free(t->chains[i]);
	free(t->chains);
	lines_done(&t->lines);
	lines_done(&t->links);
	*t = (struct ipt_table){0};
}

bool ipt_table_has_chain(const struct ipt_table *t, const char *chain)
{
	for (size_t i = 0; i < t->n_chains; i++)
		if (!strcmp(t->chains[i], chain))
			return true;
	return false;
}

bool ipt_table_empty(const struct ipt_table *t)
{
	return !t->n_chains && !t->lines.n && !t->links.n;
}

/* "ZT-" and a name without "-", then "-instance" unless it is the default one. */
bool ipt_chain_is_ours(const char *instance, const char *chain)
{
	char suffix[20];
	const char *rest;

	if (strncmp(chain, "ZT-", 3) != 0)
		return false;
	rest = chain + 3 + strcspn(chain + 3, "-");
	return rest != chain + 3 && !strcmp(rest, ipt_suffix(instance, suffix));
}

/* ---- parsing ---- */
static int add_line(struct ipt_lines *l, const char *chain, const char *args, const struct zt_count *c,
		    char **ret_target)
{
	struct ipt_line line = {.packets = c->packets, .bytes = c->bytes};
	int r = zt_grow(l->v, l->cap, l->n);

	if (!r)
		r = ipt_normal(args, &line.normal, &line.comment, ret_target);
	if (r < 0)
		return r;
	line.chain = zt_strdup(chain);
	line.args = zt_strdup(args);
	l->v[l->n++] = line;
	return line.chain && line.args ? 0 : -ENOMEM;
}

static void drop_last(struct ipt_lines *l)
{
	struct ipt_lines last = {.v = &l->v[l->n - 1], .n = 1};
	struct ipt_line line = *last.v;

	free(line.chain);
	free(line.args);
	free(line.normal);
	free(line.comment);
	l->n--;
}

static int builtin_of(const char *chain)
{
	for (int i = 0; i < 3; i++)
		if (!strcmp(chain, ipt_builtin[i]))
			return i;
	return -1;
}

/* A line in a chain of others: kept when it leads to us. */
static int foreign_line(const char *instance, const char *chain, const char *args, struct ipt_table *t)
{
	ZT_FREE char *target = NULL;
	char entry[64], suffix[20];
	int builtin = builtin_of(chain), r = add_line(&t->links, chain, args, &(struct zt_count){0}, &target);
	bool leads, plain = false;

	if (r < 0)
		return r;
	leads = target && ipt_chain_is_ours(instance, target);
	if (builtin >= 0) {
		(void)snprintf(entry, sizeof(entry), "-j ZT-%s%s", ipt_entry[builtin], ipt_suffix(instance, suffix));
		plain = !strcmp(args, entry);
		if (plain)
			t->linked[builtin] = !t->first_seen[builtin];
		t->first_seen[builtin] = true;
		t->links.v[t->links.n - 1].plain = plain;
	}
	if (!leads) {
		t->others = true;
		drop_last(&t->links);
	}
	return 0;
}

/* "[12:3456] -A CHAIN args", "-A CHAIN args", "-I CHAIN 1 args" */
static int rule_line(const char *instance, char *s, struct ipt_table *t)
{
	struct zt_count c = {0};
	unsigned long long packets, bytes;
	int used = 0;
	bool insert;
	char *chain, *args;

	if (sscanf(s, "[%llu:%llu] %n", &packets, &bytes, &used) == 2 && used) {
		c = (struct zt_count){.packets = packets, .bytes = bytes};
		s += used;
	}
	insert = !strncmp(s, "-I ", 3);
	if (!insert && strncmp(s, "-A ", 3) != 0)
		return -EBADMSG;
	chain = s + 3;
	args = strchr(chain, ' ');
	if (!args)
		args = chain + strlen(chain);
	else
		*args++ = '\0';
	if (insert && !strncmp(args, "1 ", 2))
		args += 2;
	return ipt_chain_is_ours(instance, chain) ? add_line(&t->lines, chain, args, &c, NULL)
						  : foreign_line(instance, chain, args, t);
}

static int chain_line(const char *instance, char *s, struct ipt_table *t)
{
	int r;

	s[strcspn(s, " ")] = '\0';
	if (!ipt_chain_is_ours(instance, s)) {
		t->others = t->others || builtin_of(s) < 0;
		return 0;
	}
	r = zt_grow(t->chains, t->cap_chains, t->n_chains);
	if (r < 0)
		return r;
	t->chains[t->n_chains] = zt_strdup(s);
	return t->chains[t->n_chains++] ? 0 : -ENOMEM;
}

static int compare_chains(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int table_line(const char *instance, char *s, bool *in_filter, struct ipt_table *t)
{
	if (*s == '*')
		*in_filter = !strcmp(s, "*filter");
	else if (!strcmp(s, "COMMIT"))
		*in_filter = false;
	else if (*s == ':' && *in_filter)
		return chain_line(instance, s + 1, t);
	else if ((*s == '-' || *s == '[') && *in_filter)
		return rule_line(instance, s, t);
	else if (*s && *s != '#' && *s != '-' && *s != '[' && *s != ':')
		return -EBADMSG;
	return 0;
}

int ipt_table_parse(const char *instance, const char *text, struct ipt_table *ret)
{
	ZT_CLEANUP(ipt_table_done) struct ipt_table t = {0};
	ZT_FREE char *copy = zt_strdup(text);
	bool in_filter = false;
	int r = copy ? 0 : -ENOMEM;

	for (char *p = copy, *next; !r && p && *p; p = next) {
		next = strchr(p, '\n');
		if (next)
			*next++ = '\0';
		r = table_line(instance, p, &in_filter, &t);
	}
	if (r < 0 || in_filter) /* cut off before COMMIT */
		return r ? r : -EBADMSG;
	if (t.n_chains)
		qsort(t.chains, t.n_chains, sizeof(*t.chains), compare_chains);
	*ret = t;
	t = (struct ipt_table){0};
	return 0;
}

/* ---- comparing: lines by chain, in their order within it ---- */
struct at {
	const struct ipt_line *line;
	size_t index;
};

static int compare_place(const void *a, const void *b)
{
	const struct at *x = a, *y = b;
	int c = strcmp(x->line->chain, y->line->chain);

	return c ? c : x->index < y->index ? -1 : x->index > y->index;
}

static int compare_content(const void *a, const void *b)
{
	const struct at *x = a, *y = b;
	int c = strcmp(x->line->chain, y->line->chain);

	c = c ? c : strcmp(x->line->normal, y->line->normal);
	return c ? c : x->index < y->index ? -1 : x->index > y->index;
}

static struct at *sorted(const struct ipt_lines *l, int (*compare)(const void *, const void *))
{
	struct at *at = zt_new(struct at, l->n + 1);

	for (size_t i = 0; at && i < l->n; i++)
		at[i] = (struct at){.line = &l->v[i], .index = i};
	if (at)
		qsort(at, l->n, sizeof(*at), compare);
	return at;
}

static const char *chain_difference(const struct ipt_table *a, const struct ipt_table *b)
{
	for (size_t i = 0; i < a->n_chains || i < b->n_chains; i++) {
		const char *x = i < a->n_chains ? a->chains[i] : NULL, *y = i < b->n_chains ? b->chains[i] : NULL;

		if (!x || !y)
			return x ? x : y;
		if (strcmp(x, y) != 0)
			return strcmp(x, y) < 0 ? x : y;
	}
	return NULL;
}

int ipt_table_compare(const struct ipt_table *a, const struct ipt_table *b, struct ipt_difference *ret)
{
	ZT_FREE struct at *x = sorted(&a->lines, compare_place), *y = sorted(&b->lines, compare_place);
	const char *chain = chain_difference(a, b);

	if (!x || !y)
		return -ENOMEM;
	*ret = (struct ipt_difference){.chain = chain};
	if (chain)
		return 1;
	for (size_t i = 0; i < a->lines.n || i < b->lines.n; i++) {
		const struct ipt_line *l = i < a->lines.n ? x[i].line : NULL, *m = i < b->lines.n ? y[i].line : NULL;
		int c = !l ? 1 : !m ? -1 : strcmp(l->chain, m->chain);

		if (!c && !strcmp(l->normal, m->normal))
			continue;
		*ret = (struct ipt_difference){.a = c <= 0 ? l : NULL, .b = c >= 0 ? m : NULL};
		ret->chain = ret->a ? ret->a->chain : ret->b ? ret->b->chain : NULL;
		return 1;
	}
	return 0;
}

int ipt_table_carry(struct ipt_table *to, const struct ipt_table *from)
{
	ZT_FREE struct at *x = sorted(&to->lines, compare_content), *y = sorted(&from->lines, compare_content);
	size_t k = 0;

	if (!x || !y)
		return -ENOMEM;
	for (size_t i = 0; i < to->lines.n; i++) {
		struct ipt_line *line = &to->lines.v[x[i].index];
		int c = -1;

		while (k < from->lines.n) {
			c = strcmp(y[k].line->chain, line->chain) ?: strcmp(y[k].line->normal, line->normal);
			if (c >= 0)
				break;
			k++;
		}
		if (k == from->lines.n)
			break;
		if (c > 0)
			continue;
		line->packets = y[k].line->packets;
		line->bytes = y[k].line->bytes;
		k++;
	}
	return 0;
}

char *ipt_table_meta(const struct ipt_table *t)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	for (size_t i = 0; i < t->lines.n; i++) {
		const struct ipt_line *l = &t->lines.v[i];
		bool meta = !strncmp(l->chain, "ZT-META", 7) && (!l->chain[7] || l->chain[7] == '-');

		if (meta && l->comment && l->comment[0] == ':')
			zt_strbuf_str(&b, l->comment + 1);
	}
	return zt_strbuf_steal(&b);
}

/* ---- swap ---- */
static bool chain_stays(const struct ipt_table *to, const char *chain)
{
	return to && bsearch(&chain, to->chains, to->n_chains, sizeof(*to->chains), compare_chains);
}

static void links_text(const char *instance, const struct ipt_table *from, const struct ipt_table *to,
		       struct zt_strbuf *out)
{
	char suffix[20];

	(void)ipt_suffix(instance, suffix);
	for (size_t i = 0; i < from->links.n; i++) {
		const struct ipt_line *l = &from->links.v[i];
		int builtin = builtin_of(l->chain);

		if (!to || !l->plain || !from->linked[builtin])
			zt_strbuf_printf(out, "-D %s %s\n", l->chain, l->args);
	}
	for (int i = 0; to && i < 3; i++)
		if (!from->linked[i])
			zt_strbuf_printf(out, "-I %s 1 -j ZT-%s%s\n", ipt_builtin[i], ipt_entry[i], suffix);
}

int ipt_swap_text(const char *instance, const struct ipt_table *from, const struct ipt_table *to, struct zt_strbuf *out)
{
	zt_strbuf_str(out, "*filter\n");
	for (size_t i = 0; to && i < to->n_chains; i++)
		zt_strbuf_printf(out, ":%s - [0:0]\n", to->chains[i]);
	for (size_t i = 0; i < from->n_chains; i++)
		if (!chain_stays(to, from->chains[i]))
			zt_strbuf_printf(out, ":%s - [0:0]\n", from->chains[i]);
	for (size_t i = 0; to && i < to->lines.n; i++) {
		const struct ipt_line *l = &to->lines.v[i];

		zt_strbuf_printf(out, "[%llu:%llu] -A %s %s\n", (unsigned long long)l->packets,
				 (unsigned long long)l->bytes, l->chain, l->args);
	}
	links_text(instance, from, to, out);
	for (size_t i = 0; i < from->n_chains; i++)
		if (!chain_stays(to, from->chains[i]))
			zt_strbuf_printf(out, "-X %s\n", from->chains[i]);
	zt_strbuf_str(out, "COMMIT\n");
	return zt_strbuf_error(out);
}
