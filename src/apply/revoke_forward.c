/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flows through this host, of which no socket is here: what keeps them in mind, the engine or connection tracking, forgets those that are denied. */
#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <netinet/in.h>
#include <string.h>

#include "apply/revoke.h"
#include "base/mem.h"
#include "base/time.h"

struct passing {
	struct zt_forwarded flow;
	struct nf_conntrack *ct; /* its entry; NULL: the engine has it */
};
struct list {
	struct passing *v;
	size_t n, cap;
	struct zt_addr_ranges own;
	int r;
};

static void list_done(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].ct)
			nfct_destroy(l->v[i].ct);
	free(l->v);
	zt_addr_ranges_done(&l->own);
}

/* ---- connection tracking ---- */
static void take_addr(const struct nf_conntrack *ct, bool six, enum nf_conntrack_attr attr4,
		      enum nf_conntrack_attr attr6, struct zt_addr *ret)
{
	const void *a = nfct_get_attr(ct, six ? attr6 : attr4);

	*ret = (struct zt_addr){.family = six ? 6 : 4};
	if (a)
		memcpy(ret->b, a, six ? 16 : 4);
}

/* As the hook sees it: after the destination was rewritten, before the source is. */
static struct zt_forwarded flow_of(const struct nf_conntrack *ct)
{
	bool six = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO) == AF_INET6;
	struct zt_forwarded f = {.proto = nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO)};

	take_addr(ct, six, ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV6_SRC, &f.src);
	take_addr(ct, six, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC, &f.dst);
	if (zt_proto_has_ports(f.proto)) {
		f.sport = ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_SRC));
		f.dport = ntohs(nfct_get_attr_u16(ct, ATTR_REPL_PORT_SRC));
	} else if (nfct_attr_is_set(ct, ATTR_ICMP_ID) > 0) {
		f.sport = ntohs(nfct_get_attr_u16(ct, ATTR_ICMP_ID));
	}
	return f;
}

static bool is_here(const struct list *l, const struct zt_addr *a)
{
	return zt_addr_is_loopback(a) || zt_addr_ranges_has(&l->own, a);
}

static bool multicast(const struct zt_addr *a)
{
	return a->family == 4 ? a->b[0] >= 224 : a->b[0] == 0xff;
}

static int take_entry(enum nf_conntrack_msg_type type, struct nf_conntrack *ct, void *arg)
{
	struct list *l = arg;
	struct zt_forwarded f = flow_of(ct);
	struct nf_conntrack *copy;

	(void)type;
	if (is_here(l, &f.src) || is_here(l, &f.dst) || multicast(&f.dst))
		return NFCT_CB_CONTINUE;
	copy = zt_grow(l->v, l->cap, l->n) < 0 ? NULL : nfct_clone(ct);
	if (!copy) {
		l->r = -ENOMEM;
		return NFCT_CB_STOP;
	}
	l->v[l->n++] = (struct passing){.flow = f, .ct = copy};
	return NFCT_CB_CONTINUE;
}

static int list_entries(struct nfct_handle *h, struct list *l)
{
	static const uint32_t families[] = {AF_INET, AF_INET6};
	int r = h ? zt_own_addresses(&l->own) : 0;

	if (!h || r < 0)
		return r;
	(void)nfct_callback_register(h, NFCT_T_ALL, take_entry, l);
	for (size_t i = 0; !l->r && i < ZT_ARRAY_SIZE(families); i++)
		(void)nfct_query(h, NFCT_Q_DUMP,
				 &families[i]); /* a kernel without connection tracking has none to show */
	nfct_callback_unregister(h);
	return l->r;
}

/* ---- the engine's own ---- */
static int list_known(const struct zt_engine *e, const char *instance, struct list *l)
{
	struct zt_forwarded *v = NULL;
	size_t n = 0;
	int r = e->forwarded(instance, &v, &n);

	for (size_t i = 0; !r && i < n; i++) {
		r = zt_grow(l->v, l->cap, l->n);
		if (!r)
			l->v[l->n++] = (struct passing){.flow = v[i]};
	}
	free(v);
	return r == -ENOENT ? 0 : r;
}

/* ---- which, and ending them ---- */
static bool wanted(const struct zt_ruleset *rs, const struct zt_revoke_filter *f, const struct zt_forwarded *w,
		   struct zt_decision *ret)
{
	struct zt_flow flow = {.dir = ZT_DIR_FORWARD,
			       .src = w->src,
			       .dst = w->dst,
			       .proto = w->proto,
			       .port = w->dport,
			       .at = zt_now()};

	zt_oracle_decide(rs, &flow, ret);
	if (f && f->rule && !(ret->rule && !strcmp(ret->rule->id, f->rule)))
		return false;
	return ret->verdict == ZT_DROP ||
	       ret->verdict == ZT_REJECT; /* one that is allowed would begin again with its next packet */
}

static int note(const struct zt_forwarded *w, const struct zt_decision *d, struct zt_revoke_report *out)
{
	struct zt_revoked *e;

	if (zt_grow(out->v, out->cap, out->n) < 0)
		return -ENOMEM;
	e = &out->v[out->n++];
	*e = (struct zt_revoked){.dir = ZT_DIR_FORWARD,
				 .proto = w->proto,
				 .src = w->src,
				 .dst = w->dst,
				 .sport = w->sport,
				 .dport = w->dport,
				 .rule = d->rule ? zt_strdup(d->rule->id) : NULL};
	return d->rule && !e->rule ? -ENOMEM : 0;
}

static int forget(const struct zt_engine *e, const char *instance, struct nfct_handle *h, const struct passing *p)
{
	int r = p->ct ? nfct_query(h, NFCT_Q_DESTROY, p->ct) < 0 ? -errno : 0 : e->forget_forwarded(instance, &p->flow);

	return r == -ENOENT ? 0 : r; /* it ended by itself */
}

int zt_revoke_forwarded(const struct zt_ruleset *rs, const struct zt_revoke_filter *f, struct zt_revoke_report *out)
{
	const struct zt_engine *e = zt_engine_active(rs->instance, NULL);
	struct nfct_handle *h = e && !e->forwarded ? nfct_open(CONNTRACK, 0) : NULL;
	ZT_CLEANUP(list_done) struct list l = {0};
	int r = 0;

	if (e && !(f && (f->has_uid || f->subject))) /* nobody here sends or receives */
		r = e->forwarded ? list_known(e, rs->instance, &l) : list_entries(h, &l);
	for (size_t i = 0; !r && i < l.n; i++) {
		struct zt_decision d;

		out->looked_at++;
		if (!wanted(rs, f, &l.v[i].flow, &d))
			continue;
		r = note(&l.v[i].flow, &d, out);
		if (!r && !(f && f->dry_run) && forget(e, rs->instance, h, &l.v[i]) < 0)
			out->v[out->n - 1].failed = true;
	}
	if (h)
		(void)nfct_close(h);
	return r;
}
