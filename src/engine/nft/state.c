/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <stdio.h>

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "base/file.h"
#include "engine/nft/nft.h"

/* Rule names repeat on every element of a rule: each is kept once. Open addressing, never shrinks. */
struct nft_strings {
	char **slot;
	size_t cap, n;
};

static size_t string_slot(const struct nft_strings *s, const char *str, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)str[i]) * 16777619u;
	for (size_t at = h & (s->cap - 1);; at = (at + 1) & (s->cap - 1))
		if (!s->slot[at] || (!strncmp(s->slot[at], str, len) && !s->slot[at][len]))
			return at;
}

static int strings_grow(struct nft_strings *s)
{
	struct nft_strings bigger = {.cap = s->cap ? s->cap * 2 : 1024, .n = s->n};

	bigger.slot = zt_new(char *, bigger.cap);
	if (!bigger.slot)
		return -ENOMEM;
	for (size_t i = 0; i < s->cap; i++)
		if (s->slot[i])
			bigger.slot[string_slot(&bigger, s->slot[i], strlen(s->slot[i]))] = s->slot[i];
	free(s->slot);
	*s = bigger;
	return 0;
}

static char *intern(struct nft_strings *s, const char *str, size_t len)
{
	size_t at;

	if (s->n * 2 >= s->cap && strings_grow(s) < 0)
		return NULL;
	at = string_slot(s, str, len);
	if (!s->slot[at]) {
		s->slot[at] = zt_strndup(str, len);
		s->n += s->slot[at] != NULL;
	}
	return s->slot[at];
}

int nft_state_strings(struct nft_state *s)
{
	s->strings = zt_new(struct nft_strings, 1);
	return s->strings ? 0 : -ENOMEM;
}

char *nft_state_intern(const struct nft_state *s, const char *str, size_t len)
{
	return intern(s->strings, str, len);
}

static void strings_free(struct nft_strings *s)
{
	for (size_t i = 0; s && i < s->cap; i++)
		free(s->slot[i]);
	if (s)
		free(s->slot);
	free(s);
}

void nft_state_done(struct nft_state *s)
{
	free(s->maps);
	free(s->elems);
	for (size_t i = 0; i < s->n_chains; i++)
		free(s->chains[i]);
	free(s->chains);
	for (size_t i = 0; i < s->n_strangers; i++)
		free(s->strangers[i]);
	free(s->strangers);
	for (size_t i = 0; i < s->n_torn; i++)
		free(s->torn[i]);
	free(s->torn);
	nft_meta_done(&s->meta);
	strings_free(s->strings);
	*s = (struct nft_state){0};
}

static const char *find_str(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == type && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			return mnl_attr_get_str(attr);
	}
	return "";
}

static const struct nlattr *find_attr(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

static const struct nlattr *find_nested(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	if (!nest)
		return NULL;
	mnl_attr_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

/* 0 where there is no such attribute, or a shorter one. */
static uint32_t be32_of(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) >= 4 ? ntohl(mnl_attr_get_u32(attr)) : 0;
}

static uint64_t be64_of(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) >= 8 ? be64toh(mnl_attr_get_u64(attr)) : 0;
}

static int push(char ***list, size_t *cap, size_t *n, const char *s)
{
	int r = zt_grow_((void **)list, cap, *n, sizeof(**list));

	if (r < 0)
		return r;
	(*list)[*n] = zt_strdup(s);
	if (!(*list)[*n])
		return -ENOMEM;
	(*n)++;
	return 0;
}

static int table_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
	struct nft_state *s = arg;

	if (strcmp(find_str(nlh, NFTA_TABLE_NAME), s->table) != 0)
		return 0;
	s->present = s->present || g->nfgen_family == NFPROTO_INET;
	if (be32_of(find_attr(nlh, NFTA_TABLE_FLAGS)) & NFT_TABLE_F_DORMANT) {
		s->dormant = true;
		s->base_chains += NFT_BASE_CHAINS + 1; /* as bad as none */
	}
	return 0;
}

static int chain_cb(const struct nlmsghdr *nlh, void *arg)
{
	struct nft_state *s = arg;
	const struct nlattr *policy;
	bool open;

	if (strcmp(find_str(nlh, NFTA_CHAIN_TABLE), s->table) != 0)
		return 0;
	policy = find_attr(nlh, NFTA_CHAIN_POLICY);
	open = policy && ntohl(mnl_attr_get_u32(policy)) != NF_DROP &&
	       strcmp(find_str(nlh, NFTA_CHAIN_NAME), "prerouting") != 0;
	if (find_attr(nlh, NFTA_CHAIN_HOOK))
		s->base_chains += open ? NFT_BASE_CHAINS + 1
				       : 1; /* one that is open by itself is as bad as one too many */
	return push(&s->chains, &s->cap_chains, &s->n_chains, find_str(nlh, NFTA_CHAIN_NAME));
}

/* "out0_uid_d4_proto_port_x_g0_v3" */
int nft_map_name_parse(const char *name, struct nft_live_map *m)
{
	const char *rest = name;
	unsigned pos, guard, version;
	int used = 0, dir;

	for (dir = 0; dir < 3; dir++) {
		size_t len = strlen(nft_dir_name((enum zt_direction)dir));

		if (!strncmp(name, nft_dir_name((enum zt_direction)dir), len) &&
		    sscanf(name + len, "%u_%n", &pos, &used) == 1 && used) {
			rest = name + len + used;
			break;
		}
	}
	if (dir == 3 || strlen(name) >= sizeof(m->name) || nft_shape_parse(rest, &m->shape, &rest) < 0 ||
	    sscanf(rest, "_g%u_v%u%n", &guard, &version, &used) != 2 || rest[used])
		return -EINVAL;
	m->dir = (enum zt_direction)dir;
	m->pos = pos;
	m->guard = guard;
	m->version = version;
	(void)snprintf(m->name, sizeof(m->name), "%s", name); /* length checked above */
	return 0;
}

static int set_cb(const struct nlmsghdr *nlh, void *arg)
{
	struct nft_state *s = arg;
	const char *name = find_str(nlh, NFTA_SET_NAME);
	const struct nlattr *flags = find_attr(nlh, NFTA_SET_FLAGS);
	struct nft_live_map m = {0};
	int r;

	if (strcmp(find_str(nlh, NFTA_SET_TABLE), s->table) != 0)
		return 0;
	s->same = s->same || !strcmp(name, "zt_same");
	if (!strcmp(name, "zt_meta") || !strcmp(name, "zt_same") || (be32_of(flags) & NFT_SET_ANONYMOUS))
		return 0;
	if (nft_map_name_parse(name, &m) < 0) {
		bool map = be32_of(flags) & NFT_SET_MAP;
		ZT_FREE char *text = zt_asprintf("%s inet %s %s", map ? "map" : "set", s->table, name);

		return text ? push(&s->strangers, &s->cap_strangers, &s->n_strangers, text) : -ENOMEM;
	}
	r = zt_grow(s->maps, s->cap_maps, s->n_maps);
	if (r < 0)
		return r;
	s->maps[s->n_maps++] = m;
	return 0;
}

static int compare_maps(const void *a, const void *b)
{
	const struct nft_live_map *x = a, *y = b;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

/* ---- elements ---- */
static const char *comment_of(const struct nlattr *elem, size_t *ret_len)
{
	const struct nlattr *ud = find_nested(elem, NFTA_SET_ELEM_USERDATA);
	const uint8_t *p = ud ? mnl_attr_get_payload(ud) : NULL;
	size_t len = ud ? mnl_attr_get_payload_len(ud) : 0;

	while (len >= 2 && p[1] <= len - 2) {
		if (p[0] == 0 && p[1] && p[1 + p[1]] == '\0') {
			*ret_len = p[1] - 1u;
			return (const char *)p + 2;
		}
		len -= p[1] + 2u;
		p += p[1] + 2u;
	}
	return NULL;
}

struct elem_ctx {
	struct nft_state *s;
	uint32_t map;
};

static size_t copy_value(const struct nlattr *elem, uint16_t type, uint8_t *out)
{
	const struct nlattr *v = find_nested(find_nested(elem, type), NFTA_DATA_VALUE);
	size_t len = v ? mnl_attr_get_payload_len(v) : 0;

	if (!v || len > NFT_KEY_MAX)
		return 0;
	memcpy(out, mnl_attr_get_payload(v), len);
	return len;
}

static void read_counter(const struct nlattr *elem, struct nft_live_elem *e)
{
	const struct nlattr *expr = find_nested(elem, NFTA_SET_ELEM_EXPR), *data, *v;

	if (!expr)
		expr = find_nested(find_nested(elem, NFTA_SET_ELEM_EXPRESSIONS), NFTA_LIST_ELEM);
	data = find_nested(expr, NFTA_EXPR_DATA);
	v = find_nested(data, NFTA_COUNTER_PACKETS);
	e->packets = be64_of(v);
	v = find_nested(data, NFTA_COUNTER_BYTES);
	e->bytes = be64_of(v);
}

static bool read_verdict(const struct nlattr *elem, struct nft_live_elem *e)
{
	const struct nlattr *verdict = find_nested(find_nested(elem, NFTA_SET_ELEM_DATA), NFTA_DATA_VERDICT);
	const struct nlattr *code = find_nested(verdict, NFTA_VERDICT_CODE),
			    *chain = find_nested(verdict, NFTA_VERDICT_CHAIN);

	if (!code)
		return false;
	e->accept = be32_of(code) == NF_ACCEPT;
	if (chain && mnl_attr_validate(chain, MNL_TYPE_NUL_STRING) < 0)
		return false;
	if (chain)
		(void)snprintf(e->chain, sizeof(e->chain), "%s", mnl_attr_get_str(chain)); /* ours are shorter */
	return e->accept || (chain && (int)be32_of(code) == NFT_GOTO);
}

/* "<id> #<order key>[.<part>][ <sender>><receiver>]" */
static bool read_comment(const struct nlattr *elem, struct nft_strings *strings, struct nft_live_elem *e)
{
	size_t len = 0;
	const char *c = comment_of(elem, &len), *hash;
	char *end;

	for (hash = c ? c + len : NULL; hash && hash > c && *hash != '#'; hash--)
		;
	if (!hash || hash <= c + 1 || hash[-1] != ' ')
		return false;
	e->okey = strtoull(hash + 1, &end, 10);
	if (*end == '.')
		e->part = (uint32_t)strtoul(end + 1, &end, 10);
	if (*end == ' ') {
		e->refs.from = (uint32_t)strtoul(end + 1, &end, 10);
		e->refs.to = *end == '>' ? (uint32_t)strtoul(end + 1, &end, 10) : 0;
	}
	e->id = intern(strings, c, (size_t)(hash - 1 - c));
	return *end == '\0' && e->id;
}

static int elem_one(struct elem_ctx *c, const struct nlattr *attr)
{
	struct nft_state *s = c->s;
	struct nft_live_elem *e;
	size_t want = nft_shape_keylen(&s->maps[c->map].shape);
	int r = zt_grow(s->elems, s->cap_elems, s->n_elems);

	if (r < 0)
		return r;
	e = &s->elems[s->n_elems++];
	*e = (struct nft_live_elem){.map = c->map};
	if (copy_value(attr, NFTA_SET_ELEM_KEY, e->key) != want)
		e->flat = true;
	if (!copy_value(attr, NFTA_SET_ELEM_KEY_END, e->end))
		memcpy(e->end, e->key, sizeof(e->end));
	read_counter(attr, e);
	if (!read_verdict(attr, e) || !read_comment(attr, s->strings, e))
		e->flat = true;
	return 0;
}

static int elem_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *list = find_attr(nlh, NFTA_SET_ELEM_LIST_ELEMENTS), *attr;
	int r = 0;

	if (!list)
		return 0;
	mnl_attr_for_each_nested(attr, list)
	{
		if (!r)
			r = elem_one(arg, attr);
	}
	return r;
}

/* ---- zt_meta ---- */
struct meta_line {
	uint32_t key;
	char *text;
};
struct meta_ctx {
	struct meta_line *v;
	size_t n, cap;
};

static int meta_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *list = find_attr(nlh, NFTA_SET_ELEM_LIST_ELEMENTS), *attr;
	struct meta_ctx *c = arg;

	if (!list)
		return 0;
	mnl_attr_for_each_nested(attr, list)
	{
		struct meta_line l = {0};
		size_t len = 0;
		const char *text = comment_of(attr, &len);
		uint8_t key[NFT_KEY_MAX];

		if (copy_value(attr, NFTA_SET_ELEM_KEY, key) != 4 || !text)
			continue;
		memcpy(&l.key, key, 4);
		if (zt_grow(c->v, c->cap, c->n) < 0 || !(l.text = zt_strndup(text, len)))
			return -ENOMEM;
		c->v[c->n++] = l;
	}
	return 0;
}

static int compare_lines(const void *a, const void *b)
{
	const struct meta_line *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

static int read_meta(struct nft_nl *nl, struct nft_state *s)
{
	struct meta_ctx c = {0};
	int r = nft_nl_dump(nl, NFT_MSG_GETSETELEM, NFPROTO_INET, NFTA_SET_ELEM_LIST_TABLE, s->table,
			    NFTA_SET_ELEM_LIST_SET, "zt_meta", meta_cb, &c);

	if (c.n)
		qsort(c.v, c.n, sizeof(*c.v), compare_lines);
	s->meta.lines = zt_new(char *, c.n + 1);
	for (size_t i = 0; i < c.n; i++) {
		if (s->meta.lines)
			s->meta.lines[s->meta.n++] = c.v[i].text;
		else
			free(c.v[i].text);
	}
	free(c.v);
	return r == -ENOENT ? 0 : s->meta.lines ? r : -ENOMEM;
}

/* ---- digest of the rules ---- */
struct rule_lines {
	struct nft_rule_line *v;
	size_t n, cap;
};

/* Numbers that the kernel or a swap gives do not count: anonymous sets "__set12", map versions "_v3". */
static size_t number_after(const char *p)
{
	size_t skip = !strncmp(p, "__map", 5) || !strncmp(p, "__set", 5) ? 5 : !strncmp(p, "_v", 2) ? 2 : 0;

	return skip && p[skip] >= '0' && p[skip] <= '9' ? skip : 0;
}

static char *neutral_text(const char *text)
{
	ZT_STRBUF struct zt_strbuf out = {0};

	for (const char *p = text; *p; p++) {
		size_t skip = number_after(p);

		zt_strbuf_add(&out, p, skip ? skip : 1);
		if (!skip)
			continue;
		for (p += skip - 1; p[1] >= '0' && p[1] <= '9'; p++)
			;
	}
	return zt_strbuf_steal(&out);
}

static int rule_cb(const struct nlmsghdr *nlh, void *arg)
{
	struct rule_lines *lines = arg;
	struct nftnl_rule *rule = nftnl_rule_alloc();
	ZT_FREE char *buf = zt_malloc(16384);
	struct nft_rule_line l = {.index = lines->n};
	int r = rule && buf && nftnl_rule_nlmsg_parse(nlh, rule) >= 0 ? zt_grow(lines->v, lines->cap, lines->n)
								      : -ENOMEM;

	if (!r) {
		l.chain = zt_strdup(nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
		nftnl_rule_unset(rule, NFTNL_RULE_CHAIN); /* rules of two chains are compared */
		nftnl_rule_unset(rule, NFTNL_RULE_HANDLE);
		nftnl_rule_unset(rule, NFTNL_RULE_POSITION);
		if (nftnl_rule_snprintf(buf, 16384, rule, NFTNL_OUTPUT_DEFAULT, 0) < 0)
			buf[0] = '\0';
		l.text = neutral_text(buf);
		lines->v[lines->n++] = l;
	}
	nftnl_rule_free(rule);
	return r ? r : l.chain && l.text ? 0 : -ENOMEM;
}

static int compare_rule_lines(const void *a, const void *b)
{
	const struct nft_rule_line *x = a, *y = b;
	int c = strcmp(x->chain, y->chain);

	return c ? c : x->index < y->index ? -1 : x->index > y->index;
}

static void rule_lines_done(struct rule_lines *lines)
{
	for (size_t i = 0; i < lines->n; i++) {
		free(lines->v[i].chain);
		free(lines->v[i].text);
	}
	free(lines->v);
}

/* Chains in the order of their names, rules in their own order. */
static int read_rules(struct nft_nl *nl, const struct nft_state *s, uint8_t family, struct rule_lines *lines)
{
	int r = nft_nl_dump(nl, NFT_MSG_GETRULE, family, NFTA_RULE_TABLE, s->table, 0, NULL, rule_cb, lines);

	if (!r && lines->n)
		qsort(lines->v, lines->n, sizeof(*lines->v), compare_rule_lines);
	return r == -ENOENT ? 0 : r;
}

/* ---- zt_same ---- */
struct same_ctx {
	uint64_t *v;
	size_t n, cap;
};

static int same_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *list = find_attr(nlh, NFTA_SET_ELEM_LIST_ELEMENTS), *attr;
	struct same_ctx *c = arg;

	if (!list)
		return 0;
	mnl_attr_for_each_nested(attr, list)
	{
		uint8_t key[NFT_KEY_MAX] = {0};

		if (copy_value(attr, NFTA_SET_ELEM_KEY, key) != 8 || zt_grow(c->v, c->cap, c->n) < 0)
			return -ENOMEM;
		memcpy(&c->v[c->n++], key, 8);
	}
	return 0;
}

static int compare_same(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int read_same(struct nft_nl *nl, const struct nft_state *s, struct zt_strbuf *text)
{
	struct same_ctx c = {0};
	int r = s->same ? nft_nl_dump(nl, NFT_MSG_GETSETELEM, NFPROTO_INET, NFTA_SET_ELEM_LIST_TABLE, s->table,
				      NFTA_SET_ELEM_LIST_SET, "zt_same", same_cb, &c)
			: 0;

	if (c.n)
		qsort(c.v, c.n, sizeof(*c.v), compare_same);
	for (size_t i = 0; i < c.n; i++)
		zt_strbuf_printf(text, "same %016llx\n", (unsigned long long)c.v[i]);
	free(c.v);
	return r;
}

static int read_digest(struct nft_nl *nl, struct nft_state *s)
{
	ZT_CLEANUP(rule_lines_done) struct rule_lines lines = {0}, fence = {0};
	ZT_STRBUF struct zt_strbuf text = {0};
	int r = read_rules(nl, s, NFPROTO_INET, &lines);

	for (size_t i = 0; !r && i < lines.n; i++)
		zt_strbuf_printf(&text, "%s: %s\n", lines.v[i].chain, lines.v[i].text);
	r = r ?: read_rules(nl, s, NFPROTO_NETDEV, &fence);
	r = r ?: read_same(nl, s, &text);
	r = r ?: nft_fence_judge(nl, s, fence.v, fence.n, &text);
	r = r ?: zt_strbuf_error(&text);
	if (!r)
		zt_sha256_hex(zt_strbuf_cstr(&text), text.len, s->digest);
	return r;
}

static int read_elems(struct nft_nl *nl, struct nft_state *s)
{
	int r = nft_state_strings(s);

	for (uint32_t i = 0; !r && i < s->n_maps; i++) {
		struct elem_ctx c = {.s = s, .map = i};

		r = nft_nl_dump(nl, NFT_MSG_GETSETELEM, NFPROTO_INET, NFTA_SET_ELEM_LIST_TABLE, s->table,
				NFTA_SET_ELEM_LIST_SET, s->maps[i].name, elem_cb, &c);
	}
	return r;
}

static int read_once(const char *instance, unsigned parts, struct nft_state *s)
{
	struct nft_nl nl = {0};
	uint32_t after = 0;
	int r = nft_nl_open(&nl);

	nft_table_name(instance, s->table);
	if (!r)
		r = nft_nl_genid(&nl, &s->genid);
	if (!r)
		r = nft_nl_dump(&nl, NFT_MSG_GETTABLE, NFPROTO_INET, 0, NULL, 0, NULL, table_cb, s);
	if (!r && s->present)
		r = nft_nl_dump(&nl, NFT_MSG_GETTABLE, NFPROTO_NETDEV, 0, NULL, 0, NULL, table_cb, s);
	if (!r && s->present)
		r = read_meta(&nl, s);
	if (!r && s->present && parts & (NFT_READ_RULES | NFT_READ_ELEMS))
		r = nft_nl_dump(&nl, NFT_MSG_GETCHAIN, NFPROTO_INET, 0, NULL, 0, NULL, chain_cb, s);
	if (!r && s->present && parts & (NFT_READ_RULES | NFT_READ_ELEMS))
		r = nft_nl_dump(&nl, NFT_MSG_GETSET, NFPROTO_INET, NFTA_SET_TABLE, s->table, 0, NULL, set_cb, s);
	if (s->n_maps)
		qsort(s->maps, s->n_maps, sizeof(*s->maps), compare_maps);
	if (!r && s->present && parts & NFT_READ_RULES)
		r = read_digest(&nl, s);
	if (!r && s->present && parts & NFT_READ_ELEMS)
		r = read_elems(&nl, s);
	if (!r)
		r = nft_nl_genid(&nl, &after);
	nft_nl_close(&nl);
	return r ? r : after != s->genid ? -EINTR : 0;
}

int nft_state_read(const char *instance, unsigned parts, struct nft_state *ret)
{
	int r = -EINTR;

	/* Somebody else changed the tables while they were read: read again, a few times. */
	for (int i = 0; r == -EINTR && i < 20; i++) {
		nft_state_done(ret);
		r = read_once(instance, parts, ret);
	}
	if (r < 0)
		nft_state_done(ret);
	return r;
}

/* ---- single elements ---- */
int nft_state_elem(struct nft_nl *nl, const char *table, const char *set, const struct nft_shape *shape,
		   struct nft_live_elem *e)
{
	struct nft_live_map map = {.shape = *shape};
	struct nft_state s = {.maps = &map, .n_maps = 1};
	struct elem_ctx c = {.s = &s};
	int r = nft_state_strings(&s);

	if (!r)
		r = nft_nl_elem(nl, table, set, shape, e->key, e->end, elem_cb, &c);
	if (!r && (s.n_elems != 1 || s.elems[0].flat || memcmp(s.elems[0].key, e->key, sizeof(e->key)) != 0 ||
		   memcmp(s.elems[0].end, e->end, sizeof(e->end)) != 0))
		r = -ENOENT;
	if (!r) {
		*e = s.elems[0];
		e->id = NULL; /* goes with the strings */
	}
	free(s.elems);
	strings_free(s.strings);
	return r;
}

/* ---- named counters ---- */
struct counters_ctx {
	char table[64];
	struct zt_counters *ret;
};

static struct zt_count *count_by_name(struct zt_counters *c, const char *name)
{
	const struct {
		const char *name;
		struct zt_count *count;
	} table[] = {
		{"established", &c->established},
		{"related", &c->related},
		{"essential", &c->essential},
		{"loopback", &c->loopback},
		{"ssh", &c->ssh},
		{"invalid", &c->invalid},
		{"default_out", &c->dropped[ZT_DIR_EGRESS]},
		{"default_in", &c->dropped[ZT_DIR_INGRESS]},
		{"default_fwd", &c->dropped[ZT_DIR_FORWARD]},
		{"logged", &c->logged},
		{"suppressed", &c->suppressed},
		{"raw_frames", &c->raw_frames},
	};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(table); i++)
		if (!strcmp(table[i].name, name))
			return table[i].count;
	return NULL;
}

static int object_cb(const struct nlmsghdr *nlh, void *arg)
{
	struct counters_ctx *c = arg;
	struct zt_count *count = count_by_name(c->ret, find_str(nlh, NFTA_OBJ_NAME));
	const struct nlattr *data = find_attr(nlh, NFTA_OBJ_DATA), *v;

	if (!count || strcmp(find_str(nlh, NFTA_OBJ_TABLE), c->table) != 0)
		return 0;
	v = find_nested(data, NFTA_COUNTER_PACKETS);
	count->packets += be64_of(v);
	v = find_nested(data, NFTA_COUNTER_BYTES);
	count->bytes += be64_of(v);
	return 0;
}

int nft_state_counters(const char *instance, struct zt_counters *ret)
{
	struct counters_ctx c = {.ret = ret};
	struct nft_nl nl = {0};
	int r = nft_nl_open(&nl);

	nft_table_name(instance, c.table);
	if (!r)
		r = nft_nl_dump(&nl, NFT_MSG_GETOBJ, NFPROTO_INET, 0, NULL, 0, NULL, object_cb, &c);
	if (!r)
		r = nft_nl_dump(&nl, NFT_MSG_GETOBJ, NFPROTO_NETDEV, 0, NULL, 0, NULL, object_cb, &c);
	nft_nl_close(&nl);
	return r;
}
