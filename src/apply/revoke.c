/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "apply/flows.h"
#include "apply/revoke.h"
#include "apply/state.h"
#include "base/mem.h"
#include "base/time.h"
#include "engine/ct.h"
#include "identity/identity.h"
#include "ruleset/label.h"

struct revoke {
	const struct zt_ruleset *rs;
	const struct zt_revoke_filter *f;
	struct zt_sockets s;
	struct nfct_handle *ct; /* NULL: no connection tracking here */
	bool processes;		/* do rules or the filter need to know more than the user? */
	bool receivers;		/* do rules ask who receives? */
	struct zt_revoke_report *out;
};

struct side { /* one end as the oracle wants it */
	struct zt_process p, parent;
	char *cgroup; /* the socket's: that of its maker, wherever the process is now */
	struct zt_actor a;
	bool unheld; /* nobody holds the socket, or the holder is not to be found: who it is cannot be told */
};

static void side_done(struct side *s)
{
	zt_process_done(&s->p);
	zt_process_done(&s->parent);
	free(s->cgroup);
}

void zt_revoke_report_done(struct zt_revoke_report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].program);
		free(r->v[i].rule);
	}
	free(r->v);
	*r = (struct zt_revoke_report){0};
}

/* ---- finding ends: sockets are sorted by both ports ---- */
static int compare_ports(const void *a, const void *b)
{
	const struct zt_socket *x = a, *y = b;

	if (x->lport != y->lport)
		return x->lport < y->lport ? -1 : 1;
	return x->rport < y->rport ? -1 : x->rport > y->rport;
}

/* The first of those with these ports. */
static const struct zt_socket *first_of(const struct revoke *v, uint16_t lport, uint16_t rport)
{
	const struct zt_socket want = {.lport = lport, .rport = rport};
	const struct zt_socket *s = v->s.n ? bsearch(&want, v->s.v, v->s.n, sizeof(*s), compare_ports) : NULL;

	while (s && s > v->s.v && !compare_ports(s - 1, &want))
		s--;
	return s;
}

static bool is_last(const struct revoke *v, const struct zt_socket *s)
{
	return s + 1 >= v->s.v + v->s.n || compare_ports(s, s + 1) != 0;
}

/* The other end of a flow between two sockets of this namespace. */
static const struct zt_socket *mirror(const struct revoke *v, const struct zt_socket *s)
{
	for (const struct zt_socket *o = first_of(v, s->rport, s->lport); o; o = is_last(v, o) ? NULL : o + 1)
		if (o != s && o->proto == s->proto && !o->listening && !zt_addr_cmp(&o->local, &s->remote) &&
		    !zt_addr_cmp(&o->remote, &s->local))
			return o;
	return NULL;
}

static bool any_address(const struct zt_addr *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->b, zero, sizeof(zero));
}

static const struct zt_socket *listener(const struct revoke *v, uint8_t proto, const struct zt_addr *addr,
					uint16_t port)
{
	for (const struct zt_socket *o = first_of(v, port, 0); o; o = is_last(v, o) ? NULL : o + 1)
		if (o->listening && o->proto == proto && (any_address(&o->local) || !zt_addr_cmp(&o->local, addr)))
			return o;
	return NULL;
}

/* ---- direction: who began ---- */
static struct nf_conntrack *tuple(const struct zt_socket *s, bool outward)
{
	const struct zt_addr *src = outward ? &s->local : &s->remote, *dst = outward ? &s->remote : &s->local;
	struct nf_conntrack *ct = nfct_new();

	if (!ct)
		return NULL;
	zt_ct_set_ends(ct, src, dst, s->proto, outward ? s->lport : s->rport, outward ? s->rport : s->lport);
	return ct;
}

struct found {
	const struct zt_socket *s;
	bool seen, outward;
};

/* The entry has both directions; its original one says who began. */
static int note_origin(enum nf_conntrack_msg_type type, struct nf_conntrack *ct, void *arg)
{
	struct found *f = arg;

	(void)type;
	f->seen = true;
	f->outward = ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_SRC)) == f->s->lport &&
		     ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST)) == f->s->rport;
	return NFCT_CB_CONTINUE; /* the acknowledgement follows, and must not stay for the next question */
}

static bool ask_conntrack(const struct revoke *v, const struct zt_socket *s, bool *ret_outward)
{
	struct found f = {.s = s};
	struct nf_conntrack *ct = v->ct && s->lport != s->rport ? tuple(s, true) : NULL;

	if (!ct)
		return false;
	(void)nfct_callback_register(v->ct, NFCT_T_ALL, note_origin, &f);
	(void)nfct_query(v->ct, NFCT_Q_GET, ct); /* nothing found: seen stays false */
	nfct_callback_unregister(v->ct);
	nfct_destroy(ct);
	*ret_outward = f.outward;
	return f.seen;
}

static bool ephemeral(uint16_t port)
{
	static unsigned lo, hi;
	FILE *f = hi ? NULL : fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

	if (!hi && (!f || fscanf(f, "%u %u", &lo, &hi) != 2)) {
		lo = 32768;
		hi = 60999;
	}
	if (f)
		(void)fclose(f); /* only read */
	return lo <= port && port <= hi;
}

enum began { HERE, THERE, NOBODY_KNOWS };

static enum began who_began(const struct revoke *v, const struct zt_socket *s)
{
	bool outward, ours = listener(v, s->proto, &s->local, s->lport),
		      theirs = listener(v, s->proto, &s->remote, s->rport);

	if (ask_conntrack(v, s, &outward))
		return outward ? HERE : THERE;
	if (s->proto == IPPROTO_UDP || (ours != theirs && theirs))
		return HERE;
	if (ours && !theirs)
		return THERE;
	return !ours && ephemeral(s->lport) && !ephemeral(s->rport) ? HERE : NOBODY_KNOWS;
}

/* ---- what the policy says ---- */
static void make_side(const struct revoke *v, const struct zt_socket *s, struct side *ret)
{
	struct zt_actor *a = &ret->a;
	bool parent;

	*ret = (struct side){0};
	if (!s)
		return;
	a->uid = s->uid;
	a->gid = UINT32_MAX;
	ret->unheld = !s->inode || (v->processes && !s->pid);
	if (!v->processes || !s->pid)
		return;
	if (zt_process_read(s->pid, &ret->p) < 0) {
		ret->unheld = true; /* it ended meanwhile */
		return;
	}
	parent = ret->p.ppid && zt_process_read(ret->p.ppid, &ret->parent) == 0;
	*a = zt_actor_of(&ret->p, parent ? &ret->parent : NULL, v->rs);
	a->uid = s->uid; /* the maker's, as the rules count it */
	a->cgroup_path = s->cgroup && zt_cgroup_path(s->cgroup, &ret->cgroup) == 0 ? ret->cgroup : ret->p.cgroup;
	a->cgroup[0] = s->cgroup;
}

static void decide(const struct revoke *v, const struct zt_socket *s, const struct zt_socket *peer, enum began began,
		   struct side ends[2], struct zt_decision *ret)
{
	bool out = began == HERE;
	struct zt_flow f = {.dir = out ? ZT_DIR_EGRESS : ZT_DIR_INGRESS,
			    .owned = out,
			    .loopback = out && (peer || zt_addr_is_loopback(&s->remote)),
			    .src = out ? s->local : s->remote,
			    .dst = out ? s->remote : s->local,
			    .proto = s->proto,
			    .port = out ? s->rport : s->lport,
			    .at = zt_now()};

	make_side(v, out ? s : NULL, &ends[0]);
	make_side(v, out ? peer : s, &ends[1]);
	f.uid = ends[0].a.uid;
	f.gid = ends[0].a.gid;
	f.cgroup_path = ends[0].a.cgroup_path;
	memcpy(f.cgroup, ends[0].a.cgroup, sizeof(f.cgroup));
	f.sender = out ? &ends[0].a : NULL;
	f.receiver = out && !peer ? NULL : &ends[1].a;
	zt_oracle_decide(v->rs, &f, ret);
}

static bool is_subject(const struct revoke *v, const char *name, const struct side ends[2])
{
	for (size_t i = 0; i < v->rs->n_subjects; i++)
		if (!strcmp(v->rs->subjects[i]->text, name) ||
		    (name[0] != '@' && !strcmp(v->rs->subjects[i]->text + 1, name)))
			if (zt_subject_match(v->rs->subjects[i], &ends[0].a) ||
			    zt_subject_match(v->rs->subjects[i], &ends[1].a))
				return true;
	return false;
}

static bool wanted(const struct revoke *v, const struct zt_socket *s, const struct zt_socket *peer,
		   const struct side ends[2], const struct zt_decision *d)
{
	const struct zt_revoke_filter *f = v->f;
	bool denied = d->verdict == ZT_DROP || d->verdict == ZT_REJECT;

	if (d->by == ZT_BY_SSH) /* whoever is logged in stays */
		return false;
	if (f && f->has_uid && s->uid != f->uid && !(peer && peer->uid == f->uid))
		return false;
	if (f && f->subject && !is_subject(v, f->subject, ends))
		return false;
	if (f && f->rule && !(d->rule && !strcmp(d->rule->id, f->rule)))
		return false;
	return denied || (f && (f->allowed || f->rule));
}

/* A decision about nobody: not accepted yet, or closed and still sending. Who receives counts where rules ask for it. */
static bool untold(const struct revoke *v, const struct side ends[2])
{
	return ends[0].unheld || (v->receivers && ends[1].unheld);
}

/* ---- ending ---- */
static void forget(const struct revoke *v, const struct zt_socket *s)
{
	struct nf_conntrack *ct = v->ct ? tuple(s, true) : NULL;

	if (ct)
		(void)nfct_query(v->ct, NFCT_Q_DESTROY, ct); /* gone with its sockets, or here now */
	nfct_destroy(ct);
}

static int note(struct revoke *v, const struct zt_socket *s, enum began began, const struct side *holder,
		const struct zt_decision *d)
{
	struct zt_revoke_report *out = v->out;
	struct zt_revoked *e;
	bool here = began == HERE;

	if (zt_grow(out->v, out->cap, out->n) < 0)
		return -ENOMEM;
	e = &out->v[out->n++];
	*e = (struct zt_revoked){.dir = here ? ZT_DIR_EGRESS : ZT_DIR_INGRESS,
				 .proto = s->proto,
				 .src = here ? s->local : s->remote,
				 .dst = here ? s->remote : s->local,
				 .sport = here ? s->lport : s->rport,
				 .dport = here ? s->rport : s->lport,
				 .uid = s->uid,
				 .pid = s->pid};
	e->program = holder->p.exe ? zt_strdup(holder->p.exe) : NULL;
	e->rule = d->rule ? zt_strdup(d->rule->id) : NULL;
	return (holder->p.exe && !e->program) || (d->rule && !e->rule) ? -ENOMEM : 0;
}

static int end_flow(struct revoke *v, const struct zt_socket *s, const struct zt_socket *peer)
{
	int r = zt_socket_destroy(s), q = peer ? zt_socket_destroy(peer) : 0;

	forget(v, s);
	return r && r != -ENOENT ? r : q && q != -ENOENT ? q : 0;
}

/* A flow inside this host is judged once, from the end that began it. */
static int one(struct revoke *v, const struct zt_socket *s)
{
	const struct zt_socket *peer = mirror(v, s);
	enum began began = who_began(v, s);
	struct side ends[2] = {0};
	struct zt_decision d;
	int r = 0;

	if (began == THERE && (peer || zt_addr_is_loopback(&s->remote)))
		return 0;
	v->out->looked_at++;
	if (began == NOBODY_KNOWS) {
		v->out->unclear++;
		return 0;
	}
	decide(v, s, peer, began, ends, &d);
	if (wanted(v, s, peer, ends, &d) && untold(v, ends)) {
		v->out->unclear++;
	} else if (wanted(v, s, peer, ends, &d)) {
		r = note(v, s, began, &ends[began == HERE ? 0 : 1], &d);
		if (!r && !(v->f && v->f->dry_run) && end_flow(v, s, peer) < 0)
			v->out->v[v->out->n - 1].failed = true;
	}
	side_done(&ends[0]);
	side_done(&ends[1]);
	return r;
}

static bool needs_processes(const struct zt_ruleset *rs)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].match.gid.n || rs->rules[i].match.n_cgroups || rs->rules[i].match.from ||
		    rs->rules[i].match.to)
			return true;
	return false;
}

static bool needs_receivers(const struct zt_ruleset *rs)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].match.to)
			return true;
	return false;
}

int zt_revoke(const struct zt_ruleset *rs, const struct zt_revoke_filter *f, struct zt_revoke_report *ret,
	      struct zt_diags *d)
{
	ZT_CLEANUP(zt_revoke_report_done) struct zt_revoke_report out = {0};
	struct revoke v = {.rs = rs, .f = f, .out = &out};
	zt_usec began = zt_now_boottime();
	int r = zt_apply_guard(d) ?: zt_sockets_read(&v.s);

	if (r == -EPERM)
		return r;
	if (r < 0)
		return zt_diag_errno(d, 4040, r, "cannot list the sockets of this host");
	v.receivers = needs_receivers(rs);
	v.processes = needs_processes(rs) || (f && f->subject);
	if (v.processes)
		r = zt_sockets_find_processes(&v.s);
	if (v.s.n)
		qsort(v.s.v, v.s.n, sizeof(*v.s.v), compare_ports);
	v.ct = nfct_open(CONNTRACK, 0);
	for (size_t i = 0; !r && i < v.s.n; i++)
		if (!v.s.v[i].listening)
			r = one(&v, &v.s.v[i]);
	if (v.ct)
		(void)nfct_close(v.ct);
	zt_sockets_done(&v.s);
	r = r ?: zt_revoke_forwarded(rs, f, &out);
	if (r < 0)
		return r;
	out.took = zt_now_boottime() - began;
	*ret = out;
	out = (struct zt_revoke_report){0};
	return 0;
}
