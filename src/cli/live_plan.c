/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "cli/live.h"
#include "ruleset/equiv.h"

enum { DRAWS = 100, PICKY = 12000, FIRST_PORT = 20000, PROBES_MAX = 20000, ANYWHERE = 6, BESIDE = 3, AGAIN = 4 };

const char *const zt_live_skip_text[ZT_LIVE_N_SKIPS] = {
	[ZT_LIVE_SKIP_PROGRAM] = "programs that are not on this host, or under two names",
	[ZT_LIVE_SKIP_PROTOCOL] = "protocols other than TCP, UDP and ICMP",
	[ZT_LIVE_SKIP_ADDRESS] = "addresses and ports that no packet can have",
};

struct planner {
	const struct zt_ruleset *rs;
	const char *top;
	uint64_t seed, turn;
	bool sources[2]; /* does a rule of egress look at the source, by family is 6 */
	const char *self;
	struct zt_live_programs programs;
	uint64_t *cells; /* that have a probe; open addressing, 0 is free */
	size_t size, anywhere, beside, again;
};

static unsigned coin(struct planner *p, unsigned n)
{
	p->seed = p->seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(p->seed >> 33) % n;
}

/* ---- what can be sent ---- */
/* This one, or what has no name in the policy; ret: the one that is stood in for, else NULL. */
static bool program(const struct planner *p, const char *path, const char **ret)
{
	*ret = NULL;
	if (!strcmp(path, zt_equiv_other) || !strcmp(path, p->self))
		return true;
	*ret = path;
	return zt_live_program_usable(&p->programs, path);
}

static bool programs(const struct planner *p, struct zt_live_probe *probe, const struct zt_sample *s)
{
	bool sender = program(p, s->sender.exe_path, &probe->program[0]) &&
		      program(p, s->sender.parent_path, &probe->parent[0]);
	bool receiver = program(p, s->receiver.exe_path, &probe->program[1]) &&
			program(p, s->receiver.parent_path, &probe->parent[1]);

	return (sender || probe->kind >= ZT_LIVE_IN) && (receiver || !s->flow.receiver);
}

static bool port_ok(const struct zt_flow *f)
{
	return !zt_proto_has_ports(f->proto) || f->port;
}

static int unsendable(const struct planner *p, const struct zt_sample *s, struct zt_live_probe *probe)
{
	const struct zt_flow *f = &s->flow;
	bool local = probe->kind == ZT_LIVE_LOCAL;

	if (!programs(p, probe, s))
		return ZT_LIVE_SKIP_PROGRAM;
	if (f->proto != 6 && f->proto != 17 && f->proto != (f->dst.family == 4 ? 1 : 58))
		return ZT_LIVE_SKIP_PROTOCOL;
	if (!zt_live_addr_usable(&f->dst, local) || !port_ok(f))
		return ZT_LIVE_SKIP_ADDRESS;
	if (probe->kind >= ZT_LIVE_IN && (!zt_live_addr_usable(&f->src, false) || !zt_addr_cmp(&f->src, &f->dst)))
		return ZT_LIVE_SKIP_ADDRESS;
	return -1;
}

/* ---- from a class to a packet ---- */
/* What routing takes where nobody chooses. */
static void natural_source(struct zt_live_probe *p)
{
	struct zt_flow *f = &p->flow;
	bool six = f->dst.family == 6;

	f->src = f->dst;
	if (p->kind == ZT_LIVE_OUT)
		(void)zt_addr_parse(six ? "64:ff9b:1::1" : "192.0.0.1", &f->src); /* constants */
	else if (!six && f->dst.b[0] == 127)
		(void)zt_addr_parse("127.0.0.1", &f->src);
}

static void source(struct planner *p, struct zt_live_probe *probe)
{
	struct zt_flow *f = &probe->flow;

	if (probe->kind >= ZT_LIVE_IN)
		return;
	probe->bind_source = p->sources[f->dst.family == 6] && coin(p, 4) &&
			     zt_live_addr_usable(&f->src, probe->kind == ZT_LIVE_LOCAL);
	if (!probe->bind_source)
		natural_source(probe);
}

/* The group of the class, or one below it; where no rule names it, one of our own. */
static void place(struct planner *p, const struct zt_actor *a, char path[static 224])
{
	bool other = !a->cgroup_path || !strcmp(a->cgroup_path, zt_equiv_other);

	if (other)
		(void)snprintf(path, 224, "%s/other", p->top);
	else
		(void)snprintf(path, 224, "%s%s", a->cgroup_path, coin(p, 3) ? "" : "/below");
}

static void person(struct planner *p, struct zt_live_probe *probe, int side, const struct zt_sample *s)
{
	struct zt_actor *a = side ? &probe->receiver : &probe->sender;

	*a = side ? s->receiver : s->sender;
	memcpy(probe->groups[side], s->groups[side], sizeof(probe->groups[side]));
	a->groups = probe->groups[side];
	a->known = true;
	place(p, a, probe->cgroup[side]);
	a->cgroup_path = probe->cgroup[side];
	a->exe_path = probe->program[side] ? probe->program[side] : p->self;
	a->parent_path = probe->parent[side] ? probe->parent[side] : p->self;
}

static void point_at_itself(struct zt_live_probe *p)
{
	p->sender.groups = p->groups[0];
	p->receiver.groups = p->groups[1];
	p->sender.cgroup_path = p->cgroup[0];
	p->receiver.cgroup_path = p->cgroup[1];
	p->flow.sender = p->kind >= ZT_LIVE_IN ? NULL : &p->sender;
	p->flow.cgroup_path = p->kind >= ZT_LIVE_IN ? NULL : p->cgroup[0];
	p->flow.receiver = p->listens ? &p->receiver : NULL;
}

/* ---- one probe for each cell before a second one for any ---- */
static uint64_t *cell_of(const struct planner *p, uint64_t cell)
{
	size_t i = (size_t)(cell % p->size);

	while (p->cells[i] && p->cells[i] != cell)
		i = (i + 1) % p->size;
	return &p->cells[i];
}

static bool welcome(const struct planner *p, const struct zt_sample *s, size_t n, size_t tries)
{
	size_t picky = 3 * n > PICKY ? 3 * n : PICKY;

	if (tries >= picky || tries >= n * DRAWS / 2)
		return true;
	if (!s->cell)
		return p->anywhere < n / ANYWHERE;
	return !*cell_of(p, s->cell) && (!s->beside || p->beside < n / BESIDE || tries >= picky / 2);
}

static void take(struct planner *p, const struct zt_sample *s)
{
	if (s->cell)
		*cell_of(p, s->cell) = s->cell;
	p->anywhere += !s->cell;
	p->beside += s->beside;
}

enum { NOT_WELCOME = 1 + ZT_LIVE_N_SKIPS };

/* 0, 1 + enum zt_live_skip, or NOT_WELCOME. */
static int draw(struct planner *p, size_t n, size_t tries, struct zt_live_probe *probe)
{
	struct zt_sample s;
	uint64_t turn = p->turn;
	int r = zt_ruleset_sample(p->rs, &p->turn, &p->seed, &s), skip;

	if (r < 0)
		return r;
	if (!welcome(p, &s, n, tries))
		return NOT_WELCOME;
	*probe = (struct zt_live_probe){
		.flow = s.flow, .connected = coin(p, 2), .mapped = s.flow.dst.family == 4 && !coin(p, 6)};
	probe->kind = s.flow.dir == ZT_DIR_FORWARD   ? ZT_LIVE_FORWARD
		      : s.flow.dir == ZT_DIR_INGRESS ? ZT_LIVE_IN
		      : s.flow.loopback		     ? ZT_LIVE_LOCAL
						     : ZT_LIVE_OUT;
	skip = unsendable(p, &s, probe);
	if (skip == ZT_LIVE_SKIP_ADDRESS && p->again++ < AGAIN) {
		p->turn = turn; /* another value of the same class may do */
		return NOT_WELCOME;
	}
	p->again = 0;
	if (skip >= 0)
		return 1 + skip;
	person(p, probe, 0, &s);
	person(p, probe, 1, &s);
	if (s.flow.proto == 1 || s.flow.proto == 58) {
		probe->flow.port = 0; /* the kernel answers */
		probe->mapped = false;
	} else {
		probe->listens = probe->kind == ZT_LIVE_IN || (probe->kind == ZT_LIVE_LOCAL && s.flow.receiver);
	}
	source(p, probe);
	probe->flow.at = zt_now();
	take(p, &s);
	return 0;
}

/* A source port of its own that is not the one it goes to. */
static void number(struct zt_live_plan *plan)
{
	struct zt_live_probe *p = &plan->probes[plan->n];

	p->sport = (uint16_t)(FIRST_PORT + plan->n++);
	if (p->sport == p->flow.port)
		p->sport = FIRST_PORT + PROBES_MAX;
}

static int by_kind(const void *a, const void *b)
{
	const struct zt_live_probe *x = a, *y = b;

	return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : (x->sport > y->sport) - (x->sport < y->sport);
}

static void look_at_sources(struct planner *p)
{
	for (size_t i = 0; i < p->rs->n_rules; i++) {
		const struct zt_rule *r = &p->rs->rules[i];

		p->sources[0] = p->sources[0] || (r->dir == ZT_DIR_EGRESS && r->match.src4.n);
		p->sources[1] = p->sources[1] || (r->dir == ZT_DIR_EGRESS && r->match.src6.n);
	}
}

static char *own_path(void)
{
	char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[len < 0 ? 0 : len] = '\0';
	return zt_strdup(path);
}

int zt_live_plan(const struct zt_ruleset *rs, const char *top, size_t n, uint64_t seed, struct zt_live_plan *ret)
{
	struct planner p = {.rs = rs, .top = top, .seed = seed, .size = 2 * n + 1};
	int r = 0;

	*ret = (struct zt_live_plan){.probes = zt_new(struct zt_live_probe, n), .self = own_path()};
	p.self = ret->self;
	p.cells = zt_new(uint64_t, p.size);
	if (!ret->probes || !p.self || !p.cells) {
		free(p.cells);
		return -ENOMEM;
	}
	look_at_sources(&p);
	zt_live_programs(rs, &p.programs);
	for (size_t tries = 0; r >= 0 && ret->n < n && tries < n * DRAWS; tries++) {
		r = draw(&p, n, tries, &ret->probes[ret->n]);
		if (r > 0 && r != NOT_WELCOME)
			ret->skipped[r - 1]++;
		else if (!r)
			number(ret);
	}
	free(p.cells);
	qsort(ret->probes, ret->n, sizeof(*ret->probes), by_kind);
	for (size_t i = 0; i < ret->n; i++)
		point_at_itself(&ret->probes[i]);
	return r < 0 ? r : 0;
}

void zt_live_plan_done(struct zt_live_plan *p)
{
	free(p->probes);
	free(p->self);
	*p = (struct zt_live_plan){0};
}
