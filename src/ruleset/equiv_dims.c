/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ruleset/equiv_dims.h"
#include "ruleset/equiv.h"

#include <string.h>

#include "base/mem.h"
#include "base/time.h"

const char zt_equiv_other[] = "/other";
#define nowhere zt_equiv_other

struct equiv_point equiv_start(void)
{
	return (struct equiv_point){.family = 4,
				    .proto = 6,
				    .port = 1,
				    .p = {{.cgroup = nowhere, .exe = nowhere, .parent = nowhere},
					  {.cgroup = nowhere, .exe = nowhere, .parent = nowhere}}};
}

struct zt_rule equiv_ssh_rule(const struct zt_ruleset *rs)
{
	static struct zt_u32_range tcp = {6, 6};

	return (struct zt_rule){
		.dir = ZT_DIR_INGRESS,
		.match = {.families = ZT_FAMILY_4 | ZT_FAMILY_6, .proto = {.v = &tcp, .n = 1}, .port = rs->ssh_ports}};
}

static bool blocks(const struct zt_rule *r)
{
	return r->verdict == ZT_DROP || r->verdict == ZT_REJECT;
}

/* Which of the two processes a dimension is about, and the dimension as if it were the sender's. */
static int side(int *dim)
{
	if (*dim < EQUIV_TO_KNOWN || *dim > EQUIV_TO_PARENT)
		return 0;
	*dim += EQUIV_KNOWN - EQUIV_TO_KNOWN;
	return 1;
}

/* ---- what a rule asks of one process ---- */
struct demand {
	const struct zt_subject *s;
	const struct zt_u32_ranges *uid, *primary, *gid;
	const struct zt_cgroup *cgroups;
	size_t n_cgroups;
};

static struct demand demand_of(const struct zt_rule *r, int of)
{
	static const struct zt_u32_ranges none;
	const struct zt_subject *s = of ? r->match.to : r->match.from;
	struct demand d = {.s = s, .uid = &none, .primary = &none, .gid = &none};

	if (s) {
		d.uid = &s->uid;
		d.gid = &s->gid;
		d.cgroups = s->cgroups;
		d.n_cgroups = s->n_cgroups;
	} else if (!of) {
		d.uid = &r->match.uid;
		d.cgroups = r->match.cgroups;
		d.n_cgroups = r->match.n_cgroups;
	}
	if (!of)
		d.primary = &r->match.gid;
	return d;
}

static bool asks_process(const struct zt_rule *r, int of, int dim)
{
	struct demand d = demand_of(r, of);

	switch (dim) {
	case EQUIV_KNOWN:
		return d.s || d.uid->n || d.primary->n || d.n_cgroups;
	case EQUIV_UID:
		return d.uid->n;
	case EQUIV_GROUP:
		return d.gid->n || d.primary->n;
	case EQUIV_CGROUP:
		return d.n_cgroups;
	case EQUIV_EXE:
		return d.s && d.s->n_exes;
	default:
		return d.s && d.s->n_parents;
	}
}

static bool within(const char *outer, const char *inner)
{
	size_t n = strlen(outer);

	return !strncmp(outer, inner, n) && (!inner[n] || inner[n] == '/' || !n);
}

static bool in_cgroups(const struct demand *d, const char *path)
{
	for (size_t i = 0; i < d->n_cgroups; i++)
		if (within(d->cgroups[i].path, path))
			return true;
	return !d->n_cgroups;
}

static bool is_exe(const struct zt_exe *v, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].path, path))
			return true;
	return !n;
}

static bool in_groups(const struct demand *d, const struct equiv_process *p)
{
	bool in = !d->gid->n || zt_u32_ranges_has(d->gid, p->gid);

	for (size_t i = 0; !in && i < p->n_groups; i++)
		in = zt_u32_ranges_has(d->gid, p->group[i]);
	return in && (!d->primary->n || zt_u32_ranges_has(d->primary, p->gid));
}

/* A subject needs to know the process; what the packet filter itself sees only needs an owner. */
static bool known_ok(const struct zt_rule *r, const struct demand *d, int of, enum equiv_known known)
{
	if (d->s && known != EQUIV_PROCESS)
		return (known == EQUIV_UNKNOWN || !of) && blocks(r);
	return d->s || known != EQUIV_NOBODY || (!d->uid->n && !d->primary->n && !d->n_cgroups);
}

static bool matches_process(const struct zt_rule *r, int of, int dim, const struct equiv_process *p)
{
	struct demand d = demand_of(r, of);

	if (dim == EQUIV_KNOWN)
		return known_ok(r, &d, of, p->known);
	if (d.s && p->known != EQUIV_PROCESS) /* decided by EQUIV_KNOWN */
		return true;
	switch (dim) {
	case EQUIV_UID:
		return !d.uid->n || zt_u32_ranges_has(d.uid, p->uid);
	case EQUIV_GROUP:
		return in_groups(&d, p);
	case EQUIV_CGROUP:
		return in_cgroups(&d, p->cgroup);
	case EQUIV_EXE:
		return !d.s || is_exe(d.s->exes, d.s->n_exes, p->exe);
	default:
		return !d.s || is_exe(d.s->parents, d.s->n_parents, p->parent);
	}
}

/* ---- rules and points ---- */
static const struct zt_addr_ranges *addrs(const struct zt_match *m, bool src, uint8_t family)
{
	return family == 4 ? (src ? &m->src4 : &m->dst4) : (src ? &m->src6 : &m->dst6);
}

bool equiv_asks(const struct zt_rule *r, int dim)
{
	const struct zt_match *m = &r->match;
	int d = dim, of = side(&d);

	if (d >= EQUIV_KNOWN && d <= EQUIV_PARENT)
		return asks_process(r, of, d);
	switch (d) {
	case EQUIV_KIND:
		return true;
	case EQUIV_FAMILY: /* each has its own addresses */
		return m->families != (ZT_FAMILY_4 | ZT_FAMILY_6) || m->src4.n || m->src6.n || m->dst4.n || m->dst6.n;
	case EQUIV_SRC:
		return m->src4.n || m->src6.n;
	case EQUIV_DST:
		return m->dst4.n || m->dst6.n;
	case EQUIV_PROTO:
		return m->proto.n || m->port.n;
	case EQUIV_PORT:
		return m->port.n;
	case EQUIV_NAME:
		return m->unix_names.n;
	case EQUIV_WEEK:
		return r->n_windows;
	default:
		return r->expires;
	}
}

static bool week_ok(const struct zt_rule *r, uint32_t week)
{
	for (size_t i = 0; i < r->n_windows; i++)
		if (r->windows[i].start <= week && week < r->windows[i].end)
			return true;
	return !r->n_windows;
}

bool equiv_matches(const struct zt_rule *r, int dim, const struct equiv_point *at)
{
	const struct zt_match *m = &r->match;
	int d = dim, of = side(&d);

	if (d >= EQUIV_KNOWN && d <= EQUIV_PARENT)
		return matches_process(r, of, d, &at->p[of]);
	switch (d) {
	case EQUIV_KIND:
		return r->dir == at->dir;
	case EQUIV_FAMILY:
		return m->families & (at->family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6);
	case EQUIV_SRC:
		return !addrs(m, true, at->family)->n || zt_addr_ranges_has(addrs(m, true, at->family), &at->src);
	case EQUIV_DST:
		return !addrs(m, false, at->family)->n || zt_addr_ranges_has(addrs(m, false, at->family), &at->dst);
	case EQUIV_PROTO:
		return (!m->proto.n || zt_u32_ranges_has(&m->proto, at->proto)) &&
		       (!m->port.n || zt_proto_has_ports(at->proto));
	case EQUIV_PORT:
		return !m->port.n || zt_u32_ranges_has(&m->port, at->port);
	case EQUIV_NAME:
		return zt_unix_names_has(&m->unix_names, at->name);
	case EQUIV_WEEK:
		return week_ok(r, at->week);
	default:
		return !r->expires || at->time < r->expires;
	}
}

/* ---- classes of one dimension ---- */
void equiv_classes_done(struct equiv_classes *c)
{
	free(c->v);
	*c = (struct equiv_classes){0};
}

static int add(struct equiv_classes *c, struct equiv_value v)
{
	int r = zt_grow(c->v, c->cap, c->n);

	if (!r)
		c->v[c->n++] = v;
	return r;
}

static int add_number(struct equiv_classes *c, uint64_t n, uint64_t max)
{
	return n > max ? 0 : add(c, (struct equiv_value){.number = n});
}

static int add_ranges(struct equiv_classes *c, const struct zt_u32_ranges *l, uint64_t max)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++)
		r = add_number(c, l->v[i].lo, max) ?: add_number(c, (uint64_t)l->v[i].hi + 1, max);
	return r;
}

static int add_addrs(struct equiv_classes *c, const struct zt_addr_ranges *l)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++) {
		struct zt_addr next = l->v[i].hi;
		int k = next.family == 4 ? 3 : 15;

		r = add(c, (struct equiv_value){.addr = l->v[i].lo});
		while (k >= 0 && ++next.b[k] == 0)
			k--;
		if (!r && k >= 0)
			r = add(c, (struct equiv_value){.addr = next});
	}
	return r;
}

static int add_texts(struct equiv_classes *c, const struct zt_exe *v, size_t n)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = add(c, (struct equiv_value){.text = v[i].path});
	return r;
}

static int add_process(struct equiv_classes *c, const struct zt_rule *r, int of, int dim)
{
	struct demand d = demand_of(r, of);
	int e = 0;

	switch (dim) {
	case EQUIV_KNOWN:
		return 0; /* all three are there */
	case EQUIV_UID:
		return add_ranges(c, d.uid, UINT32_MAX - 1);
	case EQUIV_GROUP:
		return add_ranges(c, d.gid, UINT32_MAX - 1) ?: add_ranges(c, d.primary, UINT32_MAX - 1);
	case EQUIV_CGROUP:
		for (size_t i = 0; !e && i < d.n_cgroups; i++)
			e = add(c, (struct equiv_value){.text = d.cgroups[i].path});
		return e;
	case EQUIV_EXE:
		return d.s ? add_texts(c, d.s->exes, d.s->n_exes) : 0;
	default:
		return d.s ? add_texts(c, d.s->parents, d.s->n_parents) : 0;
	}
}

static int add_rule(struct equiv_classes *c, const struct zt_rule *r, int dim, const struct equiv_point *at)
{
	int d = dim, of = side(&d), e = 0;

	if (d >= EQUIV_KNOWN && d <= EQUIV_PARENT)
		return add_process(c, r, of, d);
	switch (d) {
	case EQUIV_SRC:
	case EQUIV_DST:
		return add_addrs(c, addrs(&r->match, d == EQUIV_SRC, at->family));
	case EQUIV_PROTO:
		return add_ranges(c, &r->match.proto, 255);
	case EQUIV_PORT:
		return add_ranges(c, &r->match.port, 65535);
	case EQUIV_NAME:
		for (size_t i = 0; !e && i < r->match.unix_names.n; i++)
			e = add(c, (struct equiv_value){.text = r->match.unix_names.v[i]});
		return e;
	case EQUIV_WEEK:
		for (size_t i = 0; !e && i < r->n_windows; i++)
			e = add_number(c, r->windows[i].start, 604799) ?: add_number(c, r->windows[i].end, 604799);
		return e;
	case EQUIV_EXPIRY:
		return r->expires ? add_number(c, r->expires, UINT64_MAX) : 0;
	default:
		return 0;
	}
}

static int compare(const void *a, const void *b)
{
	const struct equiv_value *x = a, *y = b;
	int k = zt_addr_cmp(&x->addr, &y->addr);

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return k ? k : strcmp(x->text ? x->text : "", y->text ? y->text : "");
}

static int first_values(struct equiv_classes *c, int dim, const struct equiv_point *at)
{
	int d = dim, of = side(&d), r = 0;

	switch (d) {
	case EQUIV_KIND: /* out to elsewhere, out to a local process, in from elsewhere, forwarded, to a Unix socket */
		for (uint64_t i = 0; !r && i < 5; i++)
			r = add_number(c, i, 4);
		return r;
	case EQUIV_FAMILY:
		return add_number(c, 4, 6) ?: add_number(c, 6, 6);
	case EQUIV_KNOWN: /* a sender when it leaves; a receiver here when it stays, or when it arrives */
		if (of ? at->dir == ZT_DIR_FORWARD || (at->dir == ZT_DIR_EGRESS && !at->loopback)
		       : at->dir != ZT_DIR_EGRESS && at->dir != ZT_DIR_UNIX)
			return add_number(c, EQUIV_NOBODY, 2);
		if (!of && at->dir == ZT_DIR_UNIX) /* it is always some process that connects */
			return add_number(c, EQUIV_UNKNOWN, 2) ?: add_number(c, EQUIV_PROCESS, 2);
		return add_number(c, EQUIV_NOBODY, 2) ?: add_number(c, EQUIV_UNKNOWN, 2) ?: add_number(c, EQUIV_PROCESS, 2);
	case EQUIV_CGROUP:
	case EQUIV_EXE:
	case EQUIV_PARENT:
		return add(c, (struct equiv_value){.text = nowhere});
	case EQUIV_SRC:
	case EQUIV_DST:
		return add(c, (struct equiv_value){.addr = {.family = at->family}});
	case EQUIV_PROTO: /* with and without ports */
		return add_number(c, 0, 255) ?: add_number(c, 6, 255) ?: add_number(c, 7, 255) ?: add_number(c, 17, 255) ?:
		       add_number(c, 18, 255) ?: add_number(c, 33, 255) ?: add_number(c, 34, 255) ?: add_number(c, 132, 255) ?:
		       add_number(c, 133, 255) ?: add_number(c, 136, 255) ?: add_number(c, 137, 255);
	default:
		return add_number(c, 0, UINT64_MAX);
	}
}

int equiv_classes_make(const struct zt_rule *const *a, size_t n, const struct zt_rule *const *b, size_t m, int dim,
		       const struct equiv_point *at, struct equiv_classes *ret)
{
	int r = first_values(ret, dim, at);
	size_t kept = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = add_rule(ret, a[i], dim, at);
	for (size_t i = 0; !r && i < m; i++)
		r = add_rule(ret, b[i], dim, at);
	if (r)
		return r;
	qsort(ret->v, ret->n, sizeof(*ret->v), compare);
	for (size_t i = 0; i < ret->n; i++)
		if (!kept || compare(&ret->v[kept - 1], &ret->v[i]) != 0)
			ret->v[kept++] = ret->v[i];
	ret->n = kept;
	if (dim == EQUIV_GROUP || dim == EQUIV_TO_GROUP) /* as primary group, as supplementary one, and all at once */
		for (size_t i = 0; !r && i <= kept; i++)
			r = i && kept < 2 ? 0
					  : add(ret, (struct equiv_value){.number = i < kept ? ret->v[i].number : 0,
									  .text = i < kept ? "member" : "all"});
	return r;
}

/* ---- from a class to a flow ---- */
static void set_group(const struct equiv_classes *c, size_t i, struct equiv_process *p)
{
	const char *text = c->v[i].text;

	p->n_groups = 0;
	p->gid = text ? UINT32_MAX - 1 : (uint32_t)c->v[i].number;
	if (!text)
		return;
	for (size_t k = 0; k < c->n && !c->v[k].text && p->n_groups < ZT_ARRAY_SIZE(p->group); k++)
		if (text[0] == 'a' || c->v[k].number == c->v[i].number)
			p->group[p->n_groups++] = (uint32_t)c->v[k].number;
}

static void set_kind(uint64_t kind, struct equiv_point *at)
{
	at->loopback = kind == 1;
	at->dir = kind <= 1 ? ZT_DIR_EGRESS : kind == 2 ? ZT_DIR_INGRESS : kind == 3 ? ZT_DIR_FORWARD : ZT_DIR_UNIX;
}

static void set_process(const struct equiv_classes *c, size_t i, int dim, struct equiv_process *p)
{
	const struct equiv_value *v = &c->v[i];

	switch (dim) {
	case EQUIV_KNOWN:
		p->known = (enum equiv_known)v->number;
		break;
	case EQUIV_UID:
		p->uid = (uint32_t)v->number;
		break;
	case EQUIV_GROUP:
		set_group(c, i, p);
		break;
	case EQUIV_CGROUP:
		p->cgroup = v->text;
		break;
	case EQUIV_EXE:
		p->exe = v->text;
		break;
	default:
		p->parent = v->text;
		break;
	}
}

void equiv_set(const struct equiv_classes *c, size_t i, int dim, struct equiv_point *at)
{
	const struct equiv_value *v = &c->v[i];
	int d = dim, of = side(&d);

	if (d >= EQUIV_KNOWN && d <= EQUIV_PARENT) {
		set_process(c, i, d, &at->p[of]);
		return;
	}
	switch (d) {
	case EQUIV_KIND:
		set_kind(v->number, at);
		break;
	case EQUIV_FAMILY:
		at->family = (uint8_t)v->number;
		at->src = at->dst = (struct zt_addr){.family = at->family};
		break;
	case EQUIV_SRC:
		at->src = v->addr;
		break;
	case EQUIV_DST:
		at->dst = v->addr;
		break;
	case EQUIV_PROTO:
		at->proto = (uint8_t)v->number;
		break;
	case EQUIV_PORT:
		at->port = (uint16_t)v->number;
		break;
	case EQUIV_NAME:
		at->name = v->text;
		break;
	case EQUIV_WEEK:
		at->week = (uint32_t)v->number;
		break;
	default:
		at->time = v->number;
		break;
	}
}

static void actor(const struct equiv_process *p, struct zt_actor *a)
{
	*a = (struct zt_actor){.known = p->known == EQUIV_PROCESS,
			       .uid = p->uid,
			       .gid = p->gid,
			       .groups = p->group,
			       .n_groups = p->n_groups,
			       .cgroup_path = p->cgroup,
			       .exe_path = p->exe,
			       .parent_path = p->parent};
}

/* The first time of the week's class that is not before the time of the expiry's class. 1970-01-05 was a Monday. */
static zt_usec moment(const struct equiv_point *at)
{
	zt_usec week = 604800 * ZT_USEC_PER_SEC, monday = 4 * 86400 * ZT_USEC_PER_SEC;
	zt_usec t = monday + at->week * ZT_USEC_PER_SEC;

	while (t < at->time)
		t += week;
	return t;
}

void equiv_flow(const struct equiv_point *at, struct zt_flow *f, struct zt_actor *sender, struct zt_actor *receiver)
{
	bool here = at->dir == ZT_DIR_EGRESS || at->dir == ZT_DIR_UNIX;

	actor(&at->p[0], sender);
	actor(&at->p[1], receiver);
	*f = (struct zt_flow){.dir = at->dir,
			      .owned = here && at->p[0].known != EQUIV_NOBODY,
			      .uid = at->p[0].uid,
			      .gid = at->p[0].gid,
			      .cgroup_path = at->p[0].cgroup,
			      .loopback = at->loopback,
			      .src = at->src,
			      .dst = at->dst,
			      .proto = at->proto,
			      .port = at->port,
			      .unix_name = at->dir == ZT_DIR_UNIX ? at->name : NULL,
			      .at = moment(at),
			      .sender = sender,
			      .receiver = at->p[1].known == EQUIV_NOBODY ? NULL : receiver};
	if (at->dir == ZT_DIR_UNIX) {
		f->proto = 0;
		f->port = 0;
		f->src = f->dst = (struct zt_addr){0};
		return;
	}
	if (!f->src.family)
		f->src.family = at->family;
	if (!f->dst.family)
		f->dst.family = at->family;
}
