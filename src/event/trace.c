/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/trace.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <string.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/ring.h"
#include "event/calls.h"
#include "event/dns.h"
#include "event/dnsstream.h"
#include "event/ends.h"
#include "event/tracekinds.h"
#include "event/tries.h"
#include "identity/identity.h"
#include "trace_abi.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "trace.skel.h"
#pragma GCC diagnostic pop

enum { SWEEP_BATCH = 1024, HELD = 16 };
struct zt_trace {
	struct trace_bpf *obj;
	struct ring_buffer *ring;
	struct bpf_link *links[16];
	size_t n_links;
	struct zt_procs *procs;
	struct zt_ends *ends;
	struct zt_calls *calls;
	struct zt_tries *tries;
	uint64_t initial, here; /* network namespaces: the initial one, 0 if it cannot be told; that of this process */
	uint32_t kinds;
	zt_trace_got *got;
	void *arg;
	int stopped;  /* what got returned */
	zt_usec boot; /* realtime of time zero of the records */
	uint64_t told;
	bool flows;	       /* there may be some that are open */
	struct zt_ring places; /* of reader and writer in the ring */
	uint64_t ring_peak;
	struct zt_dns dns;
	struct zt_dns_streams *streams;
	struct held {
		struct zt_activity a;
		struct zt_trace_process target;
	} held[HELD];
	size_t n_held;
};

/* ---- times ---- */
static zt_usec boot_time(void)
{
	return zt_now() - zt_now_boottime();
}

/* ---- records ---- */
static struct zt_addr address(const uint8_t *a, uint8_t family)
{
	struct zt_addr r = {.family = family};

	memcpy(r.b, a, family == 4 ? 4 : 16);
	return r;
}

/* Of a port that several processes wait at, the kernel knows who got the connection, as long as that is open. */
static void ask_peer(struct zt_trace *t, const struct zt_trace_flow *f, struct zt_activity *a)
{
	struct zt_trace_end e = {.proto = f->proto,
				 .local = address(f->remote, f->family),
				 .remote = address(f->local, f->family),
				 .local_port = f->remote_port,
				 .remote_port = f->local_port};
	struct zt_trace_process p;

	if (f->netns == t->here && zt_trace_who(t, &e, &p) == 0)
		zt_procs_fill_peer(t->procs, &p, a);
}

static void fill_peer(struct zt_trace *t, const struct zt_trace_flow *f, struct zt_activity *a)
{
	struct zt_process_id peer;
	int r = zt_ends_peer(t->ends, f, &peer);

	if (r == 0)
		zt_procs_peer(t->procs, &peer, a);
	else if (r == -EEXIST)
		ask_peer(t, f, a);
}

/* src is who began. */
static void fill_flow(struct zt_trace *t, const struct zt_trace_flow *f, struct zt_activity *a)
{
	bool waits = f->head.kind == ZT_TRACE_LISTEN || f->head.kind == ZT_TRACE_BIND;
	bool in = f->flags & ZT_TRACE_INCOMING, ports = zt_proto_has_ports(f->proto);
	struct zt_addr local = address(f->local, f->family), remote = address(f->remote, f->family);
	const char *name;

	zt_procs_fill(t->procs, &f->process, a);
	zt_activity_text(a, direction, in ? "ingress" : "egress", 16);
	zt_activity_set(a, protocol, f->proto);
	zt_activity_addr(a, in ? ZT_FIELD_dst : ZT_FIELD_src, &local);
	if (!waits)
		zt_activity_addr(a, in ? ZT_FIELD_src : ZT_FIELD_dst, &remote);
	if (ports) {
		uint16_t from = in ? f->remote_port : f->local_port, to = in ? f->local_port : f->remote_port;

		if (!waits)
			zt_activity_set(a, sport, from);
		zt_activity_set(a, dport, to);
	}
	name = in ? NULL : zt_procs_name_of(t->procs, f->process.uid, &remote);
	if (name)
		zt_activity_text(a, name, name, 256);
	if (f->error)
		zt_calls_error(f->error, a);
	if (f->netns && f->netns != t->initial)
		zt_activity_set(a, netns, f->netns);
	if (f->head.kind == ZT_TRACE_BIND)
		return;
	zt_ends_add(t->ends, f);
	fill_peer(t, f, a);
}

static void fill_pair(struct zt_trace *t, const struct zt_trace_pair *p, struct zt_activity *a)
{
	fill_flow(t, &p->flow, a);
	zt_procs_fill_peer(t->procs, &p->peer, a);
}

static void fill_call(struct zt_trace *t, const struct zt_trace_call *e, struct zt_activity *a)
{
	zt_procs_fill(t->procs, &e->process, a);
	zt_procs_fill_peer(t->procs, &e->target, a);
	zt_calls_fill(e, a);
}

/* A program that is being started can be attached to before the kernel tells of it as started. If it has ended by now, what says which one it was stands
 * further down in the ring: it cannot end before it was told of. */
static bool hold_back(struct zt_trace *t, const struct zt_trace_call *e, const struct zt_activity *a)
{
	if (!e->target.exe_ino || zt_activity_has(a, ZT_FIELD_peer_exe) || t->n_held == HELD)
		return false;
	t->held[t->n_held++] = (struct held){*a, e->target};
	return true;
}

/* A packet that is none of DNS on port 53 is told without what it says. */
static void fill_dns(struct zt_trace *t, const struct zt_trace_packet *e, const uint8_t *p, size_t len,
		     struct zt_activity *a)
{
	ZT_STRBUF struct zt_strbuf answers = {0};
	struct zt_dns *d = &t->dns;
	char b[64];

	if (zt_dns_parse(p, len, e->flow.proto == 6, d) < 0) {
		zt_activity_text(a, detail, "not a message of DNS", 32);
		return;
	}
	zt_activity_text(a, query, d->name, ZT_DNS_NAME);
	zt_activity_text(a, query_type, zt_dns_type_name(d->type, b), 16);
	if (!d->response)
		return;
	zt_activity_text(a, rcode, zt_dns_rcode_name(d->rcode, b), 16);
	for (size_t i = 0; i < d->n_answers; i++) {
		const struct zt_dns_answer *r = &d->answers[i];

		zt_strbuf_str(&answers, i ? " " : "");
		if (r->addr.family) {
			zt_addr_format(&r->addr, b);
			zt_strbuf_str(&answers, b);
			zt_procs_name(t->procs, e->flow.process.uid, &r->addr, d->name, r->ttl);
		} else {
			zt_strbuf_str(&answers, r->name);
		}
	}
	zt_activity_text(a, answers, zt_strbuf_cstr(&answers), answers.len);
}

static void hand_over(struct zt_trace *t, struct zt_activity *a)
{
	t->told++;
	if (!t->stopped && t->kinds >> a->kind & 1)
		t->stopped = t->got(t->arg, a);
}

struct dns_packet {
	struct zt_trace *t;
	const struct zt_trace_packet *e;
};

static void tell_dns(void *arg, const uint8_t *p, size_t len)
{
	const struct dns_packet *x = arg;
	struct zt_activity a;

	zt_activity_init(&a, ZT_ACTIVITY_DNS, x->t->boot + x->e->flow.head.time / 1000);
	fill_flow(x->t, &x->e->flow, &a);
	fill_dns(x->t, x->e, p, len, &a);
	hand_over(x->t, &a);
}

/* A packet of TCP has any number of messages and parts of them. */
static void tell_dns_packet(struct zt_trace *t, const struct zt_trace_packet *e)
{
	struct dns_packet x = {t, e};
	struct zt_dns_piece p = {.socket = e->flow.cookie,
				 .out = !(e->flow.flags & ZT_TRACE_INCOMING),
				 .seq = e->flow.seq,
				 .data = e->payload,
				 .len = ZT_MIN(e->len, (uint32_t)ZT_TRACE_PAYLOAD),
				 .all = ZT_MAX(e->all, e->len)};

	if (e->flow.proto == 6)
		zt_dns_streams_add(t->streams, p, tell_dns, &x);
	else
		tell_dns(&x, p.data, p.len);
	t->told++;
}

/* pid 0: all. */
static void let_go(struct zt_trace *t, uint32_t pid)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_held; i++) {
		struct held *h = &t->held[i];

		if (pid && h->target.pid != pid) {
			t->held[n++] = *h;
			continue;
		}
		zt_procs_fill_peer(t->procs, &h->target, &h->a);
		hand_over(t, &h->a);
	}
	t->n_held = n;
}

/* A program that runs with other rights than those of who started it. */
static void tell_privilege(struct zt_trace *t, const struct zt_trace_exec *e, const struct zt_activity *exec)
{
	struct zt_trace_process before = e->process;
	struct zt_activity a = *exec;

	before.euid = before.uid;
	before.gid = e->real_gid;
	if ((e->process.euid == before.euid && e->process.gid == before.gid && !e->gained) ||
	    !(t->kinds >> ZT_ACTIVITY_PRIVILEGE & 1))
		return;
	zt_activity_set(&a, kind, ZT_ACTIVITY_PRIVILEGE);
	zt_calls_rights(&before, &e->process, e->gained, &a);
	hand_over(t, &a);
}

/* Where the kernel does not tell of it: another user than when the process was seen last. A program that is started with others is told by itself. */
static void tell_changed(struct zt_trace *t, const struct zt_trace_head *h)
{
	const struct zt_trace_process *now = &((const struct zt_trace_flow *)(const void *)h)->process;
	struct zt_trace_process before;
	struct zt_activity a;

	if (!(t->kinds >> ZT_ACTIVITY_PRIVILEGE & 1) || !t->calls || zt_calls_works(t->calls, ZT_ACTIVITY_PRIVILEGE) ||
	    !now->pid || (h->kind == ZT_TRACE_EXEC && now->euid != now->uid) ||
	    !zt_procs_before(t->procs, now, &before))
		return;
	zt_activity_init(&a, ZT_ACTIVITY_PRIVILEGE, t->boot + h->time / 1000);
	zt_procs_fill(t->procs, now, &a);
	zt_activity_text(&a, user, zt_procs_user(t->procs, before.uid), 64);
	zt_calls_rights(&before, now, 0, &a);
	hand_over(t, &a);
}

static bool is_asked(const struct zt_trace *t, enum zt_activity_kind kind)
{
	return t->kinds >> kind & 1 || (kind == ZT_ACTIVITY_EXEC && t->kinds >> ZT_ACTIVITY_PRIVILEGE & 1);
}

/* What is only needed to understand others. */
static void note(struct zt_trace *t, const struct zt_trace_head *h)
{
	const struct zt_trace_exec *e = (const void *)h;
	const struct zt_trace_flow *f = (const void *)h; /* its process stands where that of every record stands */

	zt_procs_note(t->procs, &f->process, h->kind == ZT_TRACE_EXEC ? (const char *)e->filename : NULL);
	if (h->kind >= ZT_TRACE_CONNECT && h->kind <= ZT_TRACE_FLOW)
		zt_ends_add(t->ends, f);
	t->told++;
}

static int on_record(void *arg, void *data, size_t len)
{
	const struct zt_trace_head *h = data;
	struct zt_trace *t = arg;
	struct zt_activity a;

	if (len < sizeof(*h) || h->kind == 0 || h->kind >= ZT_TRACE_KINDS || h->size > len)
		return 0; /* not ours; cannot happen */
	t->flows = t->flows || h->kind == ZT_TRACE_FLOW;
	tell_changed(t, h);
	if (!is_asked(t, zt_trace_kind(h->kind))) {
		note(t, h);
		if (h->kind == ZT_TRACE_EXEC)
			let_go(t, ((const struct zt_trace_exec *)data)->process.pid);
		return 0;
	}
	zt_activity_init(&a, zt_trace_kind(h->kind), t->boot + h->time / 1000);
	switch ((enum zt_trace_kind)h->kind) {
	case ZT_TRACE_EXEC:
		zt_procs_exec(t->procs, data, &a);
		tell_privilege(t, data, &a);
		break;
	case ZT_TRACE_EXIT:
		zt_procs_fill(t->procs, &((struct zt_trace_exit *)data)->process, &a);
		zt_trace_fill_exit(data, &a);
		break;
	case ZT_TRACE_CLOSE:
		zt_trace_fill_end(data, h->time, &a);
		fill_flow(t, data, &a);
		break;
	case ZT_TRACE_CONNECT:
		if (((struct zt_trace_flow *)data)->began)
			zt_activity_set(&a, duration, (h->time - ((struct zt_trace_flow *)data)->began) / 1000);
		fill_flow(t, data, &a);
		break;
	case ZT_TRACE_ACCEPT:
	case ZT_TRACE_LISTEN:
	case ZT_TRACE_BIND:
		fill_flow(t, data, &a);
		break;
	case ZT_TRACE_FLOW:
		fill_pair(t, data, &a);
		break;
	case ZT_TRACE_DNS:
		tell_dns_packet(t, data);
		return 0;
	case ZT_TRACE_MODULE:
	case ZT_TRACE_PTRACE:
	case ZT_TRACE_RIGHTS:
		fill_call(t, data, &a);
		if (hold_back(t, data, &a))
			return 0;
		break;
	case ZT_TRACE_OPENED:
		zt_tries_note(t->tries, data);
		t->told++;
		return 0;
	case ZT_TRACE_REFUSED:
		if (!zt_tries_is_sensitive(t->tries, data))
			return 0;
		zt_procs_fill(t->procs, &((struct zt_trace_open *)data)->process, &a);
		zt_tries_fill(data, &a);
		break;
	case ZT_TRACE_KINDS:
		return 0;
	}
	hand_over(t, &a);
	if (h->kind == ZT_TRACE_EXEC)
		let_go(t, a.pid);
	return 0; /* libbpf would leave the rest in the ring */
}

static void set_reader(struct zt_trace *t, uint32_t state)
{
	uint32_t zero = 0;

	(void)bpf_map_update_elem(bpf_map__fd(t->obj->maps.sleeping), &zero, &state, BPF_ANY); /* of an array: always */
}

/* Not where it is to be woken by the next record: what is read before that may be nothing. */
static void has_come(struct zt_trace *t)
{
	uint32_t zero = 0, state = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(t->obj->maps.sleeping), &zero, &state) == 0 && state == ZT_TRACE_WOKEN)
		set_reader(t, ZT_TRACE_BUSY);
}

int zt_trace_read(struct zt_trace *t, zt_trace_got *got, void *arg)
{
	uint64_t before = t->told;
	int r;

	t->got = got;
	t->arg = arg;
	t->stopped = 0;
	t->boot = boot_time(); /* the clock may have been set */
	has_come(t);
	t->ring_peak = ZT_MAX(t->ring_peak, zt_ring_used(&t->places));
	r = ring_buffer__consume(t->ring);
	let_go(t, 0);
	return r < 0 ? r : t->stopped ? t->stopped : (int)(t->told - before);
}

int zt_trace_fd(const struct zt_trace *t)
{
	return ring_buffer__epoll_fd(t->ring);
}

void zt_trace_arm(struct zt_trace *t)
{
	set_reader(t, ZT_TRACE_ASLEEP);
}

/* ---- flows without an end of their own ---- */
bool zt_trace_sweeps(const struct zt_trace *t)
{
	return t->flows;
}

static void tell_end(struct zt_trace *t, const struct zt_trace_flow_key *k, const struct zt_trace_flow_value *v)
{
	struct zt_trace_flow f = {.head = {.kind = ZT_TRACE_CLOSE},
				  .process = v->process,
				  .netns = v->netns,
				  .began = v->began,
				  .sent = v->sent,
				  .received = v->received,
				  .local_port = k->local_port,
				  .remote_port = k->remote_port,
				  .family = k->family,
				  .proto = k->proto,
				  .flags = v->flags};
	struct zt_activity a;

	memcpy(f.local, v->local, sizeof(f.local));
	memcpy(f.remote, k->remote, sizeof(f.remote));
	zt_activity_init(&a, ZT_ACTIVITY_CLOSE, t->boot + v->last / 1000);
	zt_trace_fill_end(&f, v->last, &a);
	fill_flow(t, &f, &a);
	hand_over(t, &a);
}

int zt_trace_sweep(struct zt_trace *t, zt_usec idle, zt_trace_got *got, void *arg)
{
	int map = bpf_map__fd(t->obj->maps.open_flows);
	struct zt_trace_flow_key gone[SWEEP_BATCH], k, *last = NULL;
	uint64_t now = zt_now_boottime() * 1000, before = t->told;
	bool left = false;
	size_t n = 0;

	t->got = got;
	t->arg = arg;
	t->stopped = 0;
	t->boot = boot_time();
	while (n < SWEEP_BATCH && bpf_map_get_next_key(map, last, &k) == 0) {
		struct zt_trace_flow_value v;

		if (bpf_map_lookup_elem(map, &k, &v) == 0 && v.last + idle * 1000 <= now)
			gone[n++] = k;
		else
			left = true;
		last = &k;
	}
	t->flows = left || n == SWEEP_BATCH;
	for (size_t i = 0; i < n && !t->stopped; i++) {
		struct zt_trace_flow_value v;

		if (bpf_map_lookup_and_delete_elem(map, &gone[i], &v) ==
		    0) /* the last word: bytes that came meanwhile too */
			tell_end(t, &gone[i], &v);
	}
	return t->stopped ? t->stopped : (int)(t->told - before);
}

void zt_trace_flows(const struct zt_trace *t, void (*fn)(void *arg, uint32_t pid, uint64_t sent, uint64_t received),
		    void *arg)
{
	struct zt_trace_flow_key k, *last = NULL;
	int map = bpf_map__fd(t->obj->maps.open_flows);

	for (size_t i = 0; i < ZT_TRACE_FLOWS && bpf_map_get_next_key(map, last, &k) == 0; i++) {
		struct zt_trace_flow_value v;

		if (bpf_map_lookup_elem(map, &k, &v) == 0)
			fn(arg, v.process.pid, v.sent, v.received);
		last = &k;
	}
}

/* ---- who has an end ---- */
static void put_address(uint8_t to[static 16], const struct zt_addr *a)
{
	memcpy(to, a->b, a->family == 4 ? 4 : 16);
}

int zt_trace_who(struct zt_trace *t, const struct zt_trace_end *e, struct zt_trace_process *ret)
{
	struct zt_trace_question q = {.local_port = e->local_port,
				      .remote_port = e->remote_port,
				      .family = e->local.family,
				      .proto = e->proto};
	uint8_t packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = packet, .data_size_in = sizeof(packet));
	int r;

	if ((e->proto != 6 && e->proto != 17) || e->local.family != e->remote.family)
		return -ESRCH;
	put_address(q.local, &e->local);
	put_address(q.remote, &e->remote);
	t->obj->bss->question = q;
	r = bpf_prog_test_run_opts(bpf_program__fd(t->obj->progs.zt_who), &o);
	if (r < 0)
		return r;
	*ret = t->obj->bss->answer;
	return ret->pid ? 0 : -ESRCH;
}

int zt_trace_whose(struct zt_trace *t, const struct zt_trace_end *e, uint32_t uid, struct zt_process_id *ret)
{
	struct zt_trace_flow f = {.netns = t->here,
				  .family = e->local.family,
				  .proto = e->proto,
				  .local_port = e->local_port,
				  .remote_port = e->remote_port};
	struct zt_trace_port port = {.netns = t->here, .port = e->local_port, .proto = e->proto};
	struct zt_trace_process p;

	put_address(f.local, &e->local);
	put_address(f.remote, &e->remote);
	if (zt_ends_find(t->ends, &f, ret) == 0)
		return 0;
	if (bpf_map_lookup_elem(bpf_map__fd(t->obj->maps.released), &port, &p) < 0 || (p.uid != uid && p.euid != uid))
		return -ESRCH;
	*ret = zt_process_id_of(&p);
	return 0;
}

/* ---- files ---- */
void zt_trace_set_files(struct zt_trace *t, const char *const *patterns)
{
	zt_tries_set_files(t->tries, patterns);
}

bool zt_trace_has_descriptors(const struct zt_trace *t)
{
	return t->tries && zt_tries_works(t->tries);
}

int zt_trace_descriptor(struct zt_trace *t, uint32_t pid, uint64_t ino, uint32_t *ret)
{
	return zt_tries_take(t->tries, pid, ino, ret);
}

/* ---- counts ---- */
void zt_trace_losses(const struct zt_trace *t, uint64_t *ret_told, uint64_t ret_lost[static ZT_ACTIVITY_KINDS])
{
	int n = libbpf_num_possible_cpus();
	ZT_FREE struct zt_trace_count *v = n > 0 ? zt_new(struct zt_trace_count, (size_t)n) : NULL;

	memset(ret_lost, 0, ZT_ACTIVITY_KINDS * sizeof(*ret_lost));
	*ret_told = 0;
	for (uint32_t kind = 1; v && kind < ZT_TRACE_KINDS; kind++) {
		if (bpf_map_lookup_elem(bpf_map__fd(t->obj->maps.counts), &kind, v) < 0)
			continue;
		for (int cpu = 0; cpu < n; cpu++) {
			*ret_told += v[cpu].told;
			if (kind != ZT_TRACE_OPENED) /* a descriptor that is not known is no event that is lost */
				ret_lost[zt_trace_kind(kind)] += v[cpu].lost;
		}
	}
	ret_lost[ZT_ACTIVITY_MODULE] += zt_calls_missed(t->calls, ZT_ACTIVITY_MODULE);
	ret_lost[ZT_ACTIVITY_PTRACE] += zt_calls_missed(t->calls, ZT_ACTIVITY_PTRACE);
	ret_lost[ZT_ACTIVITY_PRIVILEGE] += zt_calls_missed(t->calls, ZT_ACTIVITY_PRIVILEGE);
}

const char *zt_trace_lack(const struct zt_trace *t, enum zt_activity_kind kind, bool *ret_some)
{
	if (!(t->kinds >> kind & 1))
		return NULL;
	if (kind != ZT_ACTIVITY_OPEN)
		return zt_calls_lack(t->calls, kind, ret_some);
	*ret_some = true; /* those that succeed are told by others */
	return t->tries ? zt_tries_lack(t->tries)
			: "failed opens are not looked for: the settings say \"failed_opens: no\"";
}

size_t zt_trace_limits(const struct zt_trace *t, struct zt_limit *ret, size_t max)
{
	struct zt_trace_flow_key k, *last = NULL;
	uint64_t flows = 0, told, lost[ZT_ACTIVITY_KINDS], all = 0;

	if (max < 3)
		return 0;
	zt_trace_losses(t, &told, lost);
	for (size_t i = 0; i < ZT_ACTIVITY_KINDS; i++)
		all += lost[i];
	while (flows < ZT_TRACE_FLOWS && bpf_map_get_next_key(bpf_map__fd(t->obj->maps.open_flows), last, &k) == 0) {
		flows++;
		last = &k;
	}
	ret[0] = (struct zt_limit){.name = "open flows", .used = flows, .max = ZT_TRACE_FLOWS};
	ret[1] = (struct zt_limit){.name = "ring of events",
				   .unit = "bytes",
				   .used = zt_ring_used(&t->places),
				   .peak = t->ring_peak,
				   .max = bpf_map__max_entries(t->obj->maps.trace),
				   .evicted = all};
	ret[2] = (struct zt_limit){.name = "connections of DNS", .max = ZT_DNS_STREAMS};
	ret[2].used = zt_dns_streams_count(t->streams, &ret[2].evicted);
	return 3 + zt_ends_limits(t->ends, ret + 3, max - 3);
}

/* ---- begin and end ---- */
void zt_trace_close(struct zt_trace *t)
{
	if (!t)
		return;
	zt_ring_close(&t->places);
	ring_buffer__free(t->ring);
	for (size_t i = 0; i < t->n_links; i++)
		(void)bpf_link__destroy(t->links[i]); /* closing it is all there is to do */
	zt_calls_close(t->calls);
	zt_tries_close(t->tries);
	trace_bpf__destroy(t->obj);
	zt_ends_free(t->ends);
	zt_dns_streams_free(t->streams);
	free(t);
}

void zt_trace_closep(struct zt_trace **t)
{
	zt_trace_close(*t);
	*t = NULL;
}

static int set_bounds(struct zt_trace *t, const struct zt_trace_options *o)
{
	uint64_t id = 0;
	unsigned level = 0;
	int r = o->cgroup && *o->cgroup ? zt_cgroup_lookup(NULL, o->cgroup, &id, &level) : 0;

	t->obj->rodata->own_cgroup = id;
	t->obj->rodata->own_level = level;
	t->obj->rodata->own_netns = o->netns;
	t->obj->rodata->own_pid = o->own ? 0 : (uint32_t)getpid();
	t->obj->rodata->want = zt_trace_records(o->kinds);
	if (o->plain_opens)
		t->obj->rodata->want &= ~OPEN_RECORDS;
	return r;
}

static int hold(struct zt_trace *t, struct bpf_link *link)
{
	if (!link)
		return -errno;
	t->links[t->n_links++] = link;
	return 0;
}

static int attach_group(struct zt_trace *t, const char *cgroup)
{
	struct bpf_program *all[] = {t->obj->progs.zt_create,	    t->obj->progs.zt_use_connect4,
				     t->obj->progs.zt_use_connect6, t->obj->progs.zt_use_sendmsg4,
				     t->obj->progs.zt_use_sendmsg6, t->obj->progs.zt_look_out,
				     t->obj->progs.zt_look_in,	    t->obj->progs.zt_bound4,
				     t->obj->progs.zt_bound6,	    t->obj->progs.zt_release};
	size_t n = ZT_ARRAY_SIZE(all) -
		   !(t->kinds >> ZT_ACTIVITY_DENY & 1); /* those that are gone are of blocked traffic */
	ZT_FREE char *mount = NULL, *path = NULL;
	ZT_CLOSE int fd = -1;
	int r = zt_cgroup_mount(&mount);

	if (r < 0)
		return r;
	path = zt_asprintf("%s/%s", mount, cgroup ? cgroup : "");
	fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0)
		return path ? -errno : -ENOMEM;
	for (size_t i = 0; !r && i < n; i++)
		r = hold(t, bpf_program__attach_cgroup(all[i], fd));
	return r;
}

/* The sockets that there are: who has them is noted in the kernel, and their ends here. */
static int find_sockets(struct zt_trace *t, bool listeners)
{
	struct bpf_link *link;
	struct zt_trace_flow found[16];
	ssize_t n = 0;
	int fd;

	t->obj->bss->listeners = listeners;
	link = bpf_program__attach_iter(t->obj->progs.zt_found, NULL);
	fd = link ? bpf_iter_create(bpf_link__fd(link)) : -1;
	if (fd < 0)
		n = -errno;
	while (fd >= 0 && ((n = read(fd, found, sizeof(found))) > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))))
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(*found); i++)
			zt_ends_add(t->ends, &found[i]);
	n = n < 0 && fd >= 0 ? -errno : n;
	zt_closep(&fd);
	(void)bpf_link__destroy(link);
	return (int)n;
}

static int attach(struct zt_trace *t, const struct zt_trace_options *o)
{
	uint32_t want = t->obj->rodata->want;
	int r = 0;

	if (want & 1u << ZT_TRACE_EXEC)
		r = hold(t, bpf_program__attach(t->obj->progs.zt_exec));
	if (!r && want & 1u << ZT_TRACE_EXIT)
		r = hold(t, bpf_program__attach(t->obj->progs.zt_exit));
	if (!r && want & SOCKET_RECORDS)
		r = hold(t, bpf_program__attach(t->obj->progs.zt_tcp))
			    ?: hold(t, bpf_program__attach(t->obj->progs.zt_tcp_again)); /* in this order */
	if (!r && want & GROUP_RECORDS)
		r = attach_group(t, o->cgroup);
	if (!r && want & SOCKET_RECORDS)
		r = find_sockets(t, true) ?: find_sockets(t, false);
	return r;
}

static int attach_calls(struct zt_trace *t)
{
	const struct zt_calls_options o = {.kinds = t->kinds,
					   .own_pid = t->obj->rodata->own_pid,
					   .level = t->obj->rodata->own_level,
					   .cgroup = t->obj->rodata->own_cgroup,
					   .records = t->obj->rodata->want,
					   .trace = bpf_map__fd(t->obj->maps.trace),
					   .counts = bpf_map__fd(t->obj->maps.counts),
					   .sleeping = bpf_map__fd(t->obj->maps.sleeping)};

	return zt_calls_open(&o, &t->calls) ?: o.records & OPEN_RECORDS ? zt_tries_open(&o, &t->tries) : 0;
}

#pragma GCC diagnostic push
#ifndef __clang__ /* GCC 12 does not see that t keeps it */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
static int open_object(struct zt_trace *t)
{
	struct trace_bpf *obj = NULL;

	obj = trace_bpf__open();
	t->obj = obj;
	return obj ? 0 : -errno;
}
#pragma GCC diagnostic pop

static int watch_ring(struct zt_trace *t)
{
	return zt_ring_open(fcntl(bpf_map__fd(t->obj->maps.trace), F_DUPFD_CLOEXEC, 0), &t->places);
}

int zt_trace_open(const struct zt_trace_options *o, struct zt_procs *procs, struct zt_trace **ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_trace_closep) struct zt_trace *t = zt_new(struct zt_trace, 1);
	int r;

	if (!t)
		return -ENOMEM;
	t->places.fd = -1;
	t->procs = procs;
	t->kinds = o->kinds;
	t->flows = true;
	t->here = zt_netns_cookie();
	t->initial = zt_netns_is_initial() ? t->here : 0;
	r = zt_ends_new(&t->ends) ?: zt_dns_streams_new(&t->streams);
	if (r < 0)
		return r;
	r = open_object(t);
	if (r < 0)
		return zt_diag_errno(d, 4507, r, "cannot watch processes");
	r = set_bounds(t, o);
	if (!r && getenv("ZT_TEST") && !(o->cgroup && *o->cgroup) && t->obj->rodata->want & GROUP_RECORDS) {
		(void)zt_diag(d, ZT_ERROR, 4507, NULL,
			      "with ZT_TEST set nothing is attached to the root control group");
		zt_diag_hint(d, "--cgroup names another one");
		return -EPERM;
	}
	if (r < 0)
		return zt_diag_errno(d, 4507, r, "cannot watch the control group %s", o->cgroup);
	r = trace_bpf__load(t->obj);
	t->ring = r ? NULL : ring_buffer__new(bpf_map__fd(t->obj->maps.trace), on_record, t, NULL);
	r = r ? r : t->ring ? watch_ring(t) ?: attach(t, o) ?: attach_calls(t) : -errno;
	if (r < 0) {
		(void)zt_diag_errno(d, 4507, r, "cannot watch processes");
		zt_diag_hint(d, r == -EPERM || r == -EACCES ? "this needs root"
							    : "this needs Linux 6.1 or later with BTF");
		return r;
	}
	*ret = ZT_TAKE(t);
	return 0;
}
