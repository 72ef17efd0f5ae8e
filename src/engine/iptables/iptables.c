/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/iptables/iptables.h"

#include <string.h>

static int try_text(int family, const char *text)
{
	return ipt_restore(family, text, strlen(text), true, NULL);
}

static const char core[] =
	"*filter\n:ZT-PROBE - [0:0]\n-A ZT-PROBE -m owner --uid-owner 0-10 -m conntrack --ctstate NEW --ctdir ORIGINAL "
	"-p 6 -m multiport --dports 1,2:3 -m comment --comment \"x\" -j REJECT --reject-with tcp-reset\n"
	"-A ZT-PROBE -m limit --limit 1/sec -j NFLOG --nflog-group 9044\n-A OUTPUT -j ZT-PROBE\nCOMMIT\n";
static const char *const routes[IPT_FAMILIES] = {
	[IPT_4] = "*filter\n-A OUTPUT -m u32 --u32 0x0>>0x18&0xf=0x7:0xf -j DROP\nCOMMIT\n",
	[IPT_6] = "*filter\n-A OUTPUT -m rt ! --rt-type 255 -j DROP\nCOMMIT\n"};
static const char cgroups[] = "*filter\n-A OUTPUT -m cgroup --path \"\" -j ACCEPT\nCOMMIT\n";
static const char times[] =
	"*filter\n-A OUTPUT -m time --timestart 01:00:00 --timestop 02:00:00 --weekdays Mon -j ACCEPT\nCOMMIT\n";
static const char logs[] = "*filter\n-A OUTPUT -j LOG --log-prefix \"x\" --log-uid\nCOMMIT\n";

static int optional(struct zt_caps *c, const char *text, const char *what, const char *why)
{
	return try_text(IPT_4, text) < 0 ? zt_caps_gap(c, what, why) : 0;
}

static int gaps(struct zt_caps *c, const char *version)
{
	ZT_FREE char *why = zt_asprintf("%s has one list for all: what is allowed here is final", version);
	int r = why ? zt_caps_gap(c, "other programs' filter rules", why) : -ENOMEM;

	if (!r)
		r = zt_caps_gap(c, "raw frames (AF_PACKET)",
				"iptables has no egress hook of devices; use --engine nft");
	if (!r)
		r = zt_caps_gap(c, "executables, containers, receivers", "this engine sees users, groups and cgroups");
	if (!r)
		r = zt_caps_gap(c, "sockets handed over to others", "a socket keeps the user it was made by");
	if (!r)
		r = zt_caps_gap(c, "supplementary groups", "the primary group is matched");
	if (!r)
		r = zt_caps_gap(c, "Unix sockets, vsock, AF_XDP, Bluetooth, CAN", "no netfilter hook sees them");
	if (!r)
		r = zt_caps_gap(c, "one step for IPv4 and IPv6", "two commands: IPv6 follows within milliseconds");
	if (!r)
		r = optional(c, cgroups, "cgroup and service rules", "no xt_cgroup with paths in this kernel");
	if (!r)
		r = optional(c, times, "schedule and expires", "no xt_time in this kernel");
	return r ? r : optional(c, logs, "the kernel log", "no LOG target in this kernel");
}

static int probe(const char *instance, struct zt_caps *ret)
{
	ZT_FREE char *version = NULL;
	int r = ipt_version(&version);

	(void)instance;
	if (r < 0) {
		ret->why_not = zt_strdup("the iptables programs are missing (package iptables)");
		return ret->why_not ? 0 : -ENOMEM;
	}
	for (int f = 0; !r && f < IPT_FAMILIES; f++)
		r = try_text(f, core) ?: try_text(f, routes[f]);
	ret->usable = r == 0;
	if (r < 0) {
		ret->why_not = zt_asprintf(
			"%s: this kernel or process cannot load owner, conntrack, multiport, comment, limit, u32, rt, NFLOG",
			version);
		return ret->why_not ? 0 : -ENOMEM;
	}
	return gaps(ret, version);
}

static int image_text(const struct zt_image *img, struct zt_strbuf *out)
{
	zt_strbuf_printf(out, "%s%s%s%s", IPT_MARK_4, img->text[IPT_4], IPT_MARK_6, img->text[IPT_6]);
	return zt_strbuf_error(out);
}

/* ---- tables of others ---- */
struct list {
	struct zt_foreign *v;
	size_t n, cap;
};

static int add_foreign(struct list *l, const char *family, const char *name)
{
	int r = zt_grow(l->v, l->cap, l->n);

	if (r < 0)
		return r;
	l->v[l->n++] = (struct zt_foreign){.family = zt_strdup(family), .name = zt_strdup(name)};
	return l->v[l->n - 1].family && l->v[l->n - 1].name ? 0 : -ENOMEM;
}

/* Tables other than filter that hold a rule or a chain of their own. */
static int other_tables(char *text, const char *family, struct list *l)
{
	char name[64] = "filter";
	int r = 0;

	for (char *p = text, *next; !r && p && *p; p = next) {
		bool content;

		next = strchr(p, '\n');
		if (next)
			*next++ = '\0';
		if (*p == '*')
			(void)snprintf(name, sizeof(name), "%s", p + 1);
		content = *p == '[' || (*p == ':' && strstr(p, " - ["));
		if (!content || !strcmp(name, "filter"))
			continue;
		r = add_foreign(l, family, name);
		(void)snprintf(name, sizeof(name), "filter"); /* once is enough */
	}
	return r;
}

static int foreign_family(const char *instance, int family, const char *label, struct list *l)
{
	ZT_CLEANUP(ipt_table_done) struct ipt_table t = {0};
	ZT_FREE char *text = NULL;
	int r = ipt_save(family, true, &text);

	if (!r)
		r = ipt_table_parse(instance, text, &t);
	if (!r && t.others)
		r = add_foreign(l, label, "filter");
	return r ? r : other_tables(text, label, l);
}

static int foreign(const char *instance, struct zt_foreign **ret, size_t *ret_n)
{
	struct list l = {0};
	int r = foreign_family(instance, IPT_4, "ip", &l);

	if (!r)
		r = foreign_family(instance, IPT_6, "ip6", &l);
	if (r < 0) {
		zt_foreign_free(l.v, l.n);
		return r;
	}
	*ret = l.v;
	*ret_n = l.n;
	return 0;
}

const struct zt_engine zt_engine_iptables = {
	.name = "iptables",
	.probe = probe,
	.lower = ipt_lower,
	.image_free = ipt_image_free,
	.image_text = image_text,
	.check = ipt_check,
	.commit = ipt_commit,
	.load_text = ipt_load_text,
	.raise = ipt_raise,
	.identify = ipt_identify,
	.counters = ipt_counters,
	.flush = ipt_flush,
	.foreign = foreign,
};
