/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <string.h>

#include "engine/nft/nft.h"
#include "base/proc.h"

/*
 * Raw frames (AF_PACKET) never pass the inet hooks. A netdev egress chain a device sees them: a packet that came through the IP stack
 * has a route attached (`meta rtclassid` loads, whatever its value), a frame written by a packet socket has none but has an owner.
 * What has neither was made by the kernel (ARP, bridged frames). Of owned frames only ARP, 802.1X and what the policy
 * allows of DHCP (clients use packet sockets before they have an address) may leave.
 */
#define DHCP_RULES 64

/* In the order in which nft can read them: who is gone to comes first. */
static const char *const common_chains[] = {"raw_blocked", "raw_dhcp", "raw_owned", "fence"};
/* What the chain of every device holds. The chain `fence` holds it as well, unused: what the others are compared to. */
#define DEVICE_RULES "\t\tmeta rtclassid & 0 == 0 accept\n\t\tmeta skuid 0-4294967295 goto raw_owned\n\t\taccept\n"

/* Does the rule decide UDP to the broadcast address, port 67? */
static bool decides_dhcp(const struct zt_rule *r)
{
	const struct zt_match *m = &r->match;
	struct zt_addr any = {.family = 4}, all = {.family = 4, .b = {255, 255, 255, 255}};

	return r->dir == ZT_DIR_EGRESS && !r->n_windows && !r->expires && !m->n_cgroups &&
	       (m->families & ZT_FAMILY_4) && (!m->proto.n || zt_u32_ranges_has(&m->proto, 17)) &&
	       (!m->port.n || zt_u32_ranges_has(&m->port, 67)) && (!m->dst4.n || zt_addr_ranges_has(&m->dst4, &all)) &&
	       (!m->src4.n || zt_addr_ranges_has(&m->src4, &any));
}

static void numbers(const char *key, const struct zt_u32_ranges *l, struct zt_strbuf *out)
{
	if (!l->n)
		return;
	zt_strbuf_printf(out, "%s { ", key);
	for (size_t i = 0; i < l->n; i++)
		zt_strbuf_printf(out, "%s%u-%u", i ? ", " : "", l->v[i].lo, l->v[i].hi);
	zt_strbuf_str(out, " } ");
}

static void dhcp_chain(const struct zt_image *img, struct zt_strbuf *out)
{
	bool open = img->rs->settings.def[ZT_DIR_EGRESS] == ZT_DEFAULT_ALLOW ||
		    img->rs->settings.mode == ZT_MODE_OBSERVE;
	unsigned n = 0;

	zt_strbuf_str(out, "\tchain raw_dhcp {\n");
	for (size_t i = 0; i < img->rs->n_rules && n < DHCP_RULES; i++) {
		const struct zt_rule *r = &img->rs->rules[i];

		if (!decides_dhcp(r))
			continue;
		n++;
		zt_strbuf_str(out, "\t\t");
		numbers("meta skuid", &r->match.uid, out);
		numbers("meta skgid", &r->match.gid, out);
		zt_strbuf_str(out,
			      r->verdict == ZT_ALLOW || r->verdict == ZT_OBSERVE ? "accept\n" : "goto raw_blocked\n");
	}
	zt_strbuf_printf(out, "\t\t%s\n\t}\n", open ? "accept" : "goto raw_blocked");
}

void nft_fence_text(const struct zt_image *img, struct zt_strbuf *out)
{
	const struct zt_settings *s = &img->rs->settings;
	bool open = s->def[ZT_DIR_EGRESS] == ZT_DEFAULT_ALLOW || s->mode == ZT_MODE_OBSERVE;
	char table[64];

	nft_table_name(img->rs->instance, table);
	zt_strbuf_printf(out, "table netdev %s {\n\tcounter raw_frames {\n\t}\n", table);
	zt_strbuf_str(out, "\tchain raw_blocked {\n\t\tcounter name raw_frames\n");
	if (s->log_blocked)
		zt_strbuf_printf(out,
				 "\t\tlimit rate %u/second burst 5 packets log prefix \"%sraw-frame \" level warn\n",
				 ZT_MIN(s->log_limit, 10u), s->log_prefix);
	zt_strbuf_printf(out, "\t\t%s\n\t}\n", s->mode == ZT_MODE_OBSERVE ? "accept" : "drop");
	dhcp_chain(img, out);
	zt_strbuf_printf(out,
			 "\tchain raw_owned {\n\t\tether type { arp, 0x888e } accept\n"
			 "\t\tudp sport 68 udp dport 67 goto raw_dhcp\n\t\tudp sport 546 udp dport 547 goto raw_dhcp\n"
			 "\t\t%s\n\t}\n\tchain fence {\n" DEVICE_RULES "\t}\n}\n",
			 open ? "accept" : "goto raw_blocked");
}

void nft_fence_reset(const struct nft_state *live, struct zt_strbuf *out)
{
	zt_strbuf_printf(out, "table netdev %s {\n", live->table);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(common_chains); i++)
		zt_strbuf_printf(out, "\tchain %s {\n\t}\n", common_chains[i]);
	zt_strbuf_str(out, "}\n");
	for (size_t i = 0; i < ZT_ARRAY_SIZE(common_chains); i++)
		zt_strbuf_printf(out, "flush chain netdev %s %s\n", live->table, common_chains[i]);
	for (size_t i = 0; i < live->n_torn; i++)
		zt_strbuf_printf(out, "flush chain netdev %s %s\n", live->table, live->torn[i]);
	for (size_t i = 0; i < live->n_torn; i++)
		zt_strbuf_printf(out, "delete chain netdev %s %s\n", live->table, live->torn[i]);
}

/* ---- is it as it was made? ---- */
static void rules_of(const struct nft_rule_line *v, size_t n, const char *chain, struct zt_strbuf *out)
{
	zt_strbuf_clear(out);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].chain, chain))
			zt_strbuf_printf(out, "%s\n", v[i].text);
}

static bool is_common(const char *chain)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(common_chains); i++)
		if (!strcmp(chain, common_chains[i]))
			return true;
	return false;
}

struct judge {
	struct nft_state *s;
	const struct nft_rule_line *v;
	size_t n;
	struct zt_strbuf want, have; /* rules of the pattern, of the chain at hand */
};

/* On a device, open for nothing by itself, and with the rules of the pattern. */
static int judge_chain(const struct nlmsghdr *nlh, void *arg)
{
	struct judge *j = arg;
	const struct nlattr *attr;
	const char *table = "", *name = "";
	bool hooked = false, drops = false;
	int r;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_CHAIN_TABLE)
			table = mnl_attr_get_str(attr);
		if (mnl_attr_get_type(attr) == NFTA_CHAIN_NAME)
			name = mnl_attr_get_str(attr);
		if (mnl_attr_get_type(attr) == NFTA_CHAIN_HOOK)
			hooked = true;
		if (mnl_attr_get_type(attr) == NFTA_CHAIN_POLICY)
			drops = ntohl(mnl_attr_get_u32(attr)) == NF_DROP;
	}
	if (strcmp(table, j->s->table) != 0 || is_common(name))
		return 0;
	rules_of(j->v, j->n, name, &j->have);
	j->s->n_fences++;
	if (!strncmp(name, "fence_", 6) && hooked && drops &&
	    !strcmp(zt_strbuf_cstr(&j->want), zt_strbuf_cstr(&j->have)))
		return 0;
	r = zt_grow(j->s->torn, j->s->cap_torn, j->s->n_torn);
	if (!r && !(j->s->torn[j->s->n_torn] = zt_strdup(name)))
		r = -ENOMEM;
	j->s->n_torn += r == 0;
	return r;
}

int nft_fence_judge(struct nft_nl *nl, struct nft_state *s, const struct nft_rule_line *v, size_t n,
		    struct zt_strbuf *text)
{
	struct judge j = {.s = s, .v = v, .n = n};
	int r;

	rules_of(v, n, "fence", &j.want);
	r = nft_nl_dump(nl, NFT_MSG_GETCHAIN, NFPROTO_NETDEV, 0, NULL, 0, NULL, judge_chain, &j);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(common_chains); i++) {
		rules_of(v, n, common_chains[i], &j.have);
		zt_strbuf_printf(text, "netdev %s: %s\n", common_chains[i], zt_strbuf_cstr(&j.have));
	}
	for (size_t i = 0; i < s->n_torn; i++)
		zt_strbuf_printf(text, "netdev: torn %s\n", s->torn[i]);
	if (!r)
		r = zt_strbuf_error(&j.want) ?: zt_strbuf_error(&j.have);
	zt_strbuf_done(&j.want);
	zt_strbuf_done(&j.have);
	return r;
}

/* ---- devices ---- */
static void fence_name(const char *dev, char buf[static 64])
{
	size_t n = (size_t)snprintf(buf, 64, "fence_");

	for (; *dev && n < 63; dev++)
		buf[n++] = (*dev >= '0' && *dev <= '9') || (*dev >= 'a' && *dev <= 'z') || (*dev >= 'A' && *dev <= 'Z')
				   ? *dev
				   : '_';
	buf[n] = '\0';
}

struct names {
	char **v;
	size_t n, cap;
};

/* Chains of the table that are on a device: "fence_<dev>". */
static int collect_chain(const struct nlmsghdr *nlh, void *arg)
{
	struct names *names = arg;
	const struct nlattr *attr;
	const char *table = NULL, *name = NULL;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_CHAIN_TABLE)
			table = mnl_attr_get_str(attr);
		if (mnl_attr_get_type(attr) == NFTA_CHAIN_NAME)
			name = mnl_attr_get_str(attr);
	}
	if (!table || !name || strcmp(table, names->v[0]) != 0 || strncmp(name, "fence_", 6) != 0)
		return 0;
	if (zt_grow(names->v, names->cap, names->n) < 0 || !(names->v[names->n] = zt_strdup(name)))
		return -ENOMEM;
	names->n++;
	return 0;
}

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
}

static bool has_name(const struct names *names, const char *name)
{
	for (size_t i = 1; i < names->n; i++)
		if (!strcmp(names->v[i], name))
			return true;
	return false;
}

static int add_name(struct names *names, const char *name)
{
	int r = zt_grow(names->v, names->cap, names->n);

	if (r < 0)
		return r;
	names->v[names->n] = zt_strdup(name);
	return names->v[names->n] ? (int)(names->n++, 0) : -ENOMEM;
}

int nft_fence_missing(const char *table, char ***ret_names, size_t *ret_n)
{
	ZT_CLEANUP(names_done) struct names there = {0};
	struct names missing = {0};
	struct if_nameindex *devs = if_nameindex();
	struct nft_nl nl = {0};
	int r = devs ? add_name(&there, table) : -errno;

	if (!r)
		r = nft_nl_open(&nl);
	if (!r)
		r = nft_nl_dump(&nl, NFT_MSG_GETCHAIN, NFPROTO_NETDEV, 0, NULL, 0, NULL, collect_chain, &there);
	for (struct if_nameindex *i = devs; !r && i && i->if_index; i++) {
		char chain[64];

		if (i->if_index == 1) /* lo: see prerouting in text.c */
			continue;
		fence_name(i->if_name, chain);
		if (!has_name(&there, chain))
			r = add_name(&missing, i->if_name);
	}
	if (devs)
		if_freenameindex(devs);
	nft_nl_close(&nl);
	if (r < 0) {
		names_done(&missing);
		return r;
	}
	*ret_names = missing.v;
	*ret_n = missing.n;
	return 0;
}

int nft_fence_devices(const char *table, unsigned *ret_added, struct zt_diags *d)
{
	struct names missing = {0};
	ZT_STRBUF struct zt_strbuf text = {0};
	int r = nft_fence_missing(table, &missing.v, &missing.n);

	for (size_t i = 0; !r && i < missing.n; i++) {
		char chain[64];

		if (strchr(missing.v[i], '"'))
			continue; /* cannot be written in nft; the kernel allows such names, nobody uses them */
		fence_name(missing.v[i], chain);
		zt_strbuf_printf(
			&text,
			"table netdev %s {\n\tchain %s {\n\t\ttype filter hook egress device \"%s\" priority filter; "
			"policy drop;\n" DEVICE_RULES "\t}\n}\n",
			table, chain, missing.v[i]);
	}
	if (!r)
		r = zt_strbuf_error(&text);
	if (!r && text.len)
		r = nft_run_text(text.buf, text.len, false, d);
	if (!r)
		*ret_added = (unsigned)missing.n;
	names_done(&missing);
	return r;
}
