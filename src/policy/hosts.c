/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/mem.h"
#include "policy/load.h"

int zt_count_ranges(struct zt_load *l, const struct zt_node *v, size_t n)
{
	bool over = l->n_ranges > ZT_RANGES_MAX;

	l->n_ranges += n;
	if (over || l->n_ranges <= ZT_RANGES_MAX)
		return over ? -EINVAL : 0;
	(void)zt_complain(l, 1310, v,
			  "the sets in all rules add up to more than 4,000,000 entries"); /* the result follows */
	zt_diag_hint(l->d, "use networks and ranges in place of single addresses");
	return -EINVAL;
}

/* ---- numbers ---- */
int zt_range_read(struct zt_load *l, const struct zt_node *v, uint32_t lo, uint32_t hi, struct zt_u32_range *ret)
{
	const char *dash = strchr(v->text, '-');
	char first[16];
	uint64_t a, b;

	(void)l;
	if (dash && (size_t)(dash - v->text) >= sizeof(first))
		return -EINVAL;
	(void)snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - v->text) : 15, v->text);
	if (v->n > 31 || zt_parse_u64(dash ? first : v->text, hi, &a) < 0 || a < lo)
		return -EINVAL;
	b = a;
	if (dash && (zt_parse_u64(dash + 1, hi, &b) < 0 || b < a))
		return -EINVAL;
	*ret = (struct zt_u32_range){(uint32_t)a, (uint32_t)b};
	return 0;
}

/* ---- sets ---- */
static void set_free(struct zt_set *s)
{
	zt_addr_ranges_done(&s->addresses);
	zt_u32_ranges_done(&s->ports);
	free(s);
}

void zt_sets_done(struct zt_load *l)
{
	for (size_t i = 0; i < l->sets.cap; i++)
		if (l->sets.v[i].key)
			set_free(l->sets.v[i].value);
	zt_strmap_done(&l->sets);
}

static struct zt_set *set_find(struct zt_load *l, const struct zt_node *v)
{
	struct zt_set *s = zt_strmap_get(&l->sets, v->text + 1);
	const char *near;
	ZT_FREE const char **names = NULL;
	size_t n = 0;

	if (s && s->open) {
		(void)zt_complain(l, 1214, v, "the set \"%s\" names itself", zt_shown(v)); /* NULL says it */
		return NULL;
	}
	if (s) {
		s->used = true;
		return s;
	}
	(void)zt_complain(l, 1214, v, "there is no set \"%s\"", zt_shown(v)); /* NULL says it */
	names = zt_new(const char *, l->sets.n + 1);
	for (size_t i = 0; names && i < l->sets.cap; i++)
		if (l->sets.v[i].key)
			names[n++] = l->sets.v[i].key;
	near = names ? zt_str_nearest(v->text + 1, names, n) : NULL;
	if (near)
		zt_diag_hint(l->d, "did you mean \"@%s\"?", near);
	else
		zt_diag_hint(l->d, "sets are named under sets:");
	return NULL;
}

int zt_name_check(struct zt_load *l, const struct zt_node *key, const char *what)
{
	size_t n = strspn(key->text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	if (key->n && n == key->n && key->n <= 64 && key->text[0] != '-')
		return 0;
	(void)zt_complain(l, 1235, key, "\"%s\" is not a name for %s", zt_shown(key), what); /* the result follows */
	zt_diag_hint(l->d, "1 to 64 of a-z, A-Z, 0-9, \"_\", \".\" and \"-\"");
	return -EINVAL;
}

static int set_add(struct zt_load *l, const struct zt_node *key)
{
	const struct zt_set *before = zt_strmap_get(&l->sets, key->text);
	struct zt_set *s;

	if (before) {
		(void)zt_complain(l, 1234, key, "there is a set \"%s\" already",
				  zt_shown(key)); /* the result follows */
		zt_diag_hint(l->d, "%s, line %u", before->doc->name, before->key->line + 1);
		return -EINVAL;
	}
	s = zt_new(struct zt_set, 1);
	if (!s || zt_strmap_put(&l->sets, key->text, s) < 0) {
		free(s);
		return -ENOMEM;
	}
	*s = (struct zt_set){.doc = l->doc, .key = key};
	return 0;
}

static int set_fill(struct zt_load *l, struct zt_set *s)
{
	const struct zt_node *addresses, *ports;
	struct zt_fields f;
	int r = zt_fields_read(l->doc, ZT_MAP_SET, s->key->value, false, &f, l->d);

	addresses = zt_field(&f, SET, ADDRESSES);
	ports = zt_field(&f, SET, PORTS);
	s->open = true;
	s->has_addresses = addresses != NULL;
	s->has_ports = ports != NULL;
	if (addresses)
		r = zt_also(r, zt_hosts_read(l, addresses, &s->addresses));
	if (ports)
		r = zt_also(r, zt_ports_read(l, ports, &s->ports));
	if (!r && !addresses && !ports)
		r = zt_complain(l, 1215, s->key, "the set \"%s\" has neither addresses nor ports", zt_shown(s->key));
	s->open = false;
	s->bad = r != 0;
	return r;
}

int zt_sets_read(struct zt_load *l, const struct zt_node *node)
{
	int r = 0;

	for (const struct zt_node *key = node->first; key && r != -ENOMEM; key = key->next) {
		int e = zt_name_check(l, key, "a set");

		e = zt_also(e, set_add(l, key));
		if (!e)
			e = set_fill(l, zt_strmap_get(&l->sets, key->text));
		r = zt_also(r, e);
	}
	return r;
}

/* ---- host names ---- */
static int add_sockaddr(const struct sockaddr *sa, struct zt_addr_ranges *ret)
{
	struct zt_addr_range r = {0};
	char text[64];

	if (getnameinfo(sa, sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6), text,
			sizeof(text), NULL, 0, NI_NUMERICHOST) ||
	    zt_addr_parse(text, &r.lo) < 0)
		return 0; /* a scoped address names no destination a rule could match */
	r.hi = r.lo;
	return zt_addr_ranges_add(ret, &r);
}

static int ask_resolver(struct zt_load *l, const struct zt_node *v, struct zt_addr_ranges *ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	int e = getaddrinfo(v->text, NULL, &hints, &list), r = 0;

	if (e) {
		(void)zt_complain(l, 1210, v, "the host name \"%s\" does not resolve: %s", zt_shown(v),
				  gai_strerror(e)); /* the result follows */
		zt_diag_hint(
			l->d,
			"a policy names hosts by what they resolve to when it is applied; an address always works");
		return -EINVAL;
	}
	for (const struct addrinfo *a = list; a && !r; a = a->ai_next)
		if (a->ai_family == AF_INET || a->ai_family == AF_INET6)
			r = add_sockaddr(a->ai_addr, ret);
	freeaddrinfo(list);
	return r;
}

static int scan_hosts_file(const char *root, const char *name, struct zt_addr_ranges *ret)
{
	ZT_FREE char *path = zt_path_join(root, "etc/hosts"), *line = NULL;
	FILE *f = path ? fopen(path, "re") : NULL;
	size_t cap = 0;
	int r = path ? 0 : -ENOMEM;

	while (f && !r && getline(&line, &cap, f) >= 0) {
		char *save = NULL, *word;
		struct zt_addr_range range;

		line[strcspn(line, "#\n")] = '\0';
		word = strtok_r(line, " \t", &save);
		if (!word || zt_addr_parse(word, &range.lo) < 0)
			continue;
		range.hi = range.lo;
		while (!r && (word = strtok_r(NULL, " \t", &save)))
			if (!strcasecmp(word, name))
				r = zt_addr_ranges_add(ret, &range);
	}
	if (f)
		(void)fclose(f);
	return r;
}

static int ask_root(struct zt_load *l, const struct zt_node *v, struct zt_addr_ranges *ret)
{
	int r = scan_hosts_file(l->o->root, v->text, ret);

	if (r || ret->n)
		return r;
	(void)zt_complain(l, 1210, v, "the host name \"%s\" is not in etc/hosts of --root",
			  zt_shown(v)); /* the result follows */
	zt_diag_hint(l->d, "offline nothing is asked of DNS; an address always works");
	return -EINVAL;
}

static int resolve_host(struct zt_load *l, const struct zt_node *v, struct zt_addr_ranges *ret)
{
	struct zt_addr_ranges *known = zt_strmap_get(&l->hosts, v->text);
	int r = 0;

	if (!known) {
		known = zt_new(struct zt_addr_ranges, 1);
		if (!known || zt_strmap_put(&l->hosts, v->text, known) < 0) {
			free(known);
			return -ENOMEM;
		}
		if (l->o->no_resolve) /* matches nothing, and is never compiled */
			r = zt_addr_ranges_add(known, &(struct zt_addr_range){{.family = 4}, {.family = 4}});
		else
			r = l->o->root ? ask_root(l, v, known) : ask_resolver(l, v, known);
	} else if (!known->n) {
		return -EINVAL; /* complained about before */
	}
	for (size_t i = 0; !r && i < known->n; i++)
		r = zt_addr_ranges_add(ret, &known->v[i]);
	return r;
}

/* ---- hosts ---- */
static int add_text(struct zt_addr_ranges *ret, const char *text)
{
	struct zt_addr_range r = {0};

	(void)zt_addr_range_parse(text, &r, NULL); /* constants of ours */
	return zt_addr_ranges_add(ret, &r);
}

static bool looks_like_name(const struct zt_node *v)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	const char *last = strrchr(v->text, '.');

	last = last && last[1] ? last + 1 : v->text;
	return v->n <= 253 && v->text[0] != '-' && v->text[0] != '.' && !v->text[strspn(v->text, allowed)] &&
	       last[strspn(last, "0123456789-")] && !strstr(v->text, "..");
}

static int bad_host(struct zt_load *l, const struct zt_node *v, int why)
{
	bool prefix = strchr(v->text, '/') != NULL;

	(void)zt_complain(l, 1209, v, "\"%s\" is not an address, network, range or host name",
			  zt_shown(v)); /* the result follows */
	if (why == -ERANGE && prefix)
		zt_diag_hint(l->d, "the prefix length goes to 32 (IPv4) or 128 (IPv6)");
	else if (why == -ERANGE)
		zt_diag_hint(l->d, "a range goes from a smaller to a larger address of the same kind");
	else
		zt_diag_hint(
			l->d,
			"for example 10.0.0.7, 10.0.0.0/8, 10.0.0.1-10.0.0.9, fd00::/8, \"@set\", example.org, localhost, any");
	return -EINVAL;
}

static int add_range(struct zt_load *l, const struct zt_node *v, struct zt_addr_ranges *ret)
{
	struct zt_addr_range range;
	char text[128];
	bool masked;
	int r = zt_addr_range_parse(v->text, &range, &masked);

	if (r < 0 && looks_like_name(v))
		return resolve_host(l, v, ret);
	if (r < 0)
		return bad_host(l, v, r);
	if (masked) {
		zt_addr_range_format(&range, text);
		zt_warn(l, 1225, v, "\"%s\" has host bits set: it means %s", zt_shown(v), text);
		zt_diag_hint(l->d, "write %s for the network, or the address without /%s", text,
			     strchr(v->text, '/') + 1);
	}
	return zt_addr_ranges_add(ret, &range);
}

static int add_set(struct zt_load *l, const struct zt_node *v, struct zt_addr_ranges *ret)
{
	const struct zt_set *s = set_find(l, v);
	int r;

	if (!s || s->bad)
		return -EINVAL;
	if (!s->has_addresses)
		return zt_complain(l, 1215, v, "the set \"%s\" has ports, not addresses", zt_shown(v));
	r = zt_count_ranges(l, v, s->addresses.n);
	for (size_t i = 0; !r && i < s->addresses.n; i++)
		r = zt_addr_ranges_add(ret, &s->addresses.v[i]);
	return r;
}

static int add_host(struct zt_load *l, const struct zt_node *v, struct zt_addr_ranges *ret)
{
	int r;

	if (!strcmp(v->text, "*") || !strcmp(v->text, "any")) {
		r = add_text(ret, "0.0.0.0/0");
		return r ? r : add_text(ret, "::/0");
	}
	if (!strcmp(v->text, "localhost")) {
		r = add_text(ret, "127.0.0.0/8");
		return r ? r : add_text(ret, "::1");
	}
	return v->text[0] == '@' ? add_set(l, v, ret) : add_range(l, v, ret);
}

int zt_hosts_read(struct zt_load *l, const struct zt_node *v, struct zt_addr_ranges *ret)
{
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i))
		r = zt_also(r, add_host(l, i, ret));
	zt_addr_ranges_normalise(ret);
	return r ? r : zt_count_ranges(l, v, ret->n);
}

/* ---- ports ---- */
static int add_port_set(struct zt_load *l, const struct zt_node *v, struct zt_u32_ranges *ret)
{
	const struct zt_set *s = set_find(l, v);
	int r;

	if (!s || s->bad)
		return -EINVAL;
	if (!s->has_ports)
		return zt_complain(l, 1215, v, "the set \"%s\" has addresses, not ports", zt_shown(v));
	r = zt_count_ranges(l, v, s->ports.n);
	for (size_t i = 0; !r && i < s->ports.n; i++)
		r = zt_u32_ranges_add(ret, s->ports.v[i].lo, s->ports.v[i].hi);
	return r;
}

static int add_port(struct zt_load *l, const struct zt_node *v, struct zt_u32_ranges *ret)
{
	struct zt_u32_range range;

	if (v->text[0] == '@')
		return add_port_set(l, v, ret);
	if (zt_range_read(l, v, 1, 65535, &range) == 0)
		return zt_u32_ranges_add(ret, range.lo, range.hi);
	(void)zt_complain(l, 1207, v, "\"%s\" is not a port", zt_shown(v)); /* the result follows */
	zt_diag_hint(l->d, "a number from 1 to 65535, a range such as 993-995, or \"@set\"");
	return -EINVAL;
}

int zt_ports_read(struct zt_load *l, const struct zt_node *v, struct zt_u32_ranges *ret)
{
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i))
		r = zt_also(r, add_port(l, i, ret));
	zt_u32_ranges_normalise(ret);
	return r;
}

/* ---- protocols ---- */
static int bad_protocol(struct zt_load *l, const struct zt_node *v)
{
	static const char *const names[] = {"tcp",     "udp",  "both", "icmp", "icmpv6", "sctp", "any",
					    "udplite", "dccp", "gre",  "esp",  "ah",	 "igmp"};
	const char *near = zt_str_nearest(v->text, names, ZT_ARRAY_SIZE(names));

	(void)zt_complain(l, 1208, v, "\"%s\" is not a protocol", zt_shown(v)); /* the result follows */
	if (near)
		zt_diag_hint(l->d, "did you mean \"%s\"?", near);
	else
		zt_diag_hint(l->d, "tcp, udp, both, icmp, icmpv6, sctp, any, or a number from 0 to 255");
	return -EINVAL;
}

int zt_protocols_read(struct zt_load *l, const struct zt_node *v, struct zt_u32_ranges *ret)
{
	bool any = false;
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i)) {
		uint8_t proto;

		if (!strcmp(i->text, "any"))
			any = true;
		else if (!strcmp(i->text, "both"))
			r = zt_also(r, zt_u32_ranges_add(ret, 6, 6) ?: zt_u32_ranges_add(ret, 17, 17));
		else if (zt_proto_parse(i->text, &proto) == 0)
			r = zt_also(r, zt_u32_ranges_add(ret, proto, proto));
		else
			r = zt_also(r, bad_protocol(l, i));
	}
	if (any)
		ret->n = 0;
	zt_u32_ranges_normalise(ret);
	return r;
}
