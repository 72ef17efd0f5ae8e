/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <sys/epoll.h>

#include "base/mem.h"
#include "base/proc.h"
#include "event/opens.h"
#include "event/source.h"
#include "event/sources.h"
#include "trace_abi.h"

enum {
	BUSY_MSEC = 50,
	QUIET_ROUNDS = 20,
	RUNG_MSEC = 5000, /* a record that was made anew rings for nobody */
	END_ROUNDS = 1024,
	RECORD_MSEC = 250,
	LOOK_MSEC = 60000,
	DENIES_AT_ONCE = 256
};
#define SWEEP_EVERY (5 * ZT_USEC_PER_SEC)
#define FLOW_IDLE (30 * ZT_USEC_PER_SEC)
#define BIT(kind) (1u << ZT_ACTIVITY_##kind)
#define TRACED                                                                                                  \
	(BIT(EXEC) | BIT(EXIT) | BIT(CONNECT) | BIT(ACCEPT) | BIT(LISTEN) | BIT(CLOSE) | BIT(FLOW) | BIT(DNS) | \
	 BIT(PRIVILEGE) | BIT(MODULE) | BIT(PTRACE) | BIT(BIND))

/* A record of the netlink log knows of a process no more than its user. Who had the ends is looked up when it is taken, and again after
 * everything that was told before has been read: an end that was gone already is there then. */
struct denied {
	struct zt_event event;
	struct zt_trace_process own, peer; /* pid 0: not known */
};
struct zt_sources {
	struct zt_procs *procs;
	struct zt_trace *trace;
	struct zt_opens *opens;
	struct zt_event_source *denies;
	struct denied *held; /* DENIES_AT_ONCE */
	size_t n_held;
	uint64_t netns; /* that blocked traffic is of; 0: the initial one */
	uint32_t kinds;
	int both; /* an epoll of all */
	unsigned quiet;
	bool armed;
	zt_usec swept;
	uint64_t told, denies_lost; /* of sources that were replaced */
};

void zt_sources_close(struct zt_sources *s)
{
	if (!s)
		return;
	zt_trace_close(s->trace);
	zt_opens_close(s->opens);
	zt_event_close(s->denies);
	zt_procs_free(s->procs);
	free(s->held);
	zt_closep(&s->both);
	free(s);
}

void zt_sources_closep(struct zt_sources **s)
{
	zt_sources_close(*s);
	*s = NULL;
}

static void take_over(struct zt_sources *s, struct zt_event_source *denies)
{
	s->denies = denies;
	if (denies)
		denies->no_search = s->trace; /* a walk through /proc for each */
}

static int watch(struct zt_sources *s, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return fd < 0 || epoll_ctl(s->both, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -errno;
}

void zt_sources_set_denies(struct zt_sources *s, struct zt_event_source *denies)
{
	if (s->denies)
		s->denies_lost += zt_event_lost(s->denies);
	zt_event_close(s->denies); /* its descriptor leaves the epoll with it */
	take_over(s, denies);
	if (denies)
		(void)watch(s, zt_event_fd(denies)); /* else it is looked at every time */
}

void zt_sources_set_prefix(struct zt_sources *s, const char *blocked_prefix)
{
	if (s->denies)
		zt_event_set_prefix(s->denies, blocked_prefix);
}

void zt_sources_set_files(struct zt_sources *s, const char *const *files)
{
	if (s->opens)
		zt_opens_set_files(s->opens, files);
	if (s->trace)
		zt_trace_set_files(s->trace, files);
}

static int open_all(struct zt_sources *s, const struct zt_sources_options *o, struct zt_diags *d)
{
	struct zt_procs_options procs = {.digests = o->digests};
	struct zt_trace_options trace = {
		.kinds = s->kinds, .cgroup = o->cgroup, .netns = o->netns, .plain_opens = o->plain_opens};
	int r = zt_procs_new(&procs, &s->procs);

	s->both = epoll_create1(EPOLL_CLOEXEC);
	if (r || s->both < 0)
		return r ? r : -errno;
	if (s->kinds & (TRACED | BIT(OPEN)) && !o->bare)
		r = zt_trace_open(&trace, s->procs, &s->trace, d) ?: watch(s, zt_trace_fd(s->trace));
	if (r || !(s->kinds & BIT(OPEN)))
		return r;
	if (s->trace)
		zt_trace_set_files(s->trace, o->files);
	r = zt_opens_open(o->files, s->procs, s->trace, &s->opens, d) ?: watch(s, zt_opens_fd(s->opens));
	if (r < 0 && s->trace && !s->opens) /* said; the rest is seen */
		return 0;
	return r;
}

int zt_sources_open(const struct zt_sources_options *o, struct zt_sources **ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_sources_closep) struct zt_sources *s = zt_new(struct zt_sources, 1);
	int r;

	if (!s) {
		zt_event_close(o->denies);
		return -ENOMEM;
	}
	s->both = -1;
	s->kinds = o->kinds ? o->kinds : ~0u;
	s->netns = zt_netns_is_initial() ? 0 : zt_netns_cookie();
	s->denies = o->denies;
	s->held = zt_new(struct denied, DENIES_AT_ONCE);
	if (!s->held)
		return -ENOMEM;
	s->swept = zt_now_monotonic();
	r = open_all(s, o, d);
	take_over(s, s->denies);
	if (!r && s->denies)
		r = watch(s, zt_event_fd(s->denies));
	if (r < 0)
		return r;
	*ret = ZT_TAKE(s);
	return 0;
}

int zt_sources_fd(const struct zt_sources *s)
{
	return s->both;
}

/* ---- blocked traffic ---- */
static const char *record_hook(const struct zt_event *e)
{
	if (e->reason == ZT_RECORD_FENCED)
		return "device";
	if (e->forwarded)
		return "forward";
	return e->inbound ? "control group, receiving" : "control group, sending";
}

static void fill_record(const struct zt_event *e, struct zt_procs *procs, struct zt_activity *a)
{
	const struct zt_event_end *own = e->inbound ? &e->receiver : &e->sender;
	const struct zt_event_end *peer = e->inbound ? &e->sender : &e->receiver;
	ZT_STRBUF struct zt_strbuf reason = {0};

	zt_activity_set(a, generation, e->generation);
	zt_activity_text(a, hook, record_hook(e), 64);
	zt_event_reason_text(e, &reason);
	zt_activity_text(a, reason, zt_strbuf_cstr(&reason), reason.len);
	zt_activity_text(a, label, own->subjects, sizeof(own->subjects));
	zt_activity_text(a, peer_label, peer->subjects, sizeof(peer->subjects));
	if (peer->known) {
		zt_activity_set(a, peer_pid, (uint32_t)peer->pid);
		zt_activity_set(a, peer_uid, peer->uid);
		if (procs)
			zt_activity_text(a, peer_user, zt_procs_user(procs, peer->uid), 64);
		zt_activity_text(a, peer_exe, peer->program, sizeof(peer->program));
		zt_activity_set(a, peer_start, zt_process_start(peer->start));
		zt_activity_set(a, peer_gid, peer->gid);
		zt_procs_peer_group(peer->cgroup, a);
	}
	if (!own->known)
		return;
	if (!zt_activity_has(a, ZT_FIELD_pid) && own->pid > 0)
		zt_activity_set(a, pid, (uint32_t)own->pid);
	zt_activity_set(a, start, zt_process_start(own->start));
	zt_activity_text(a, comm, own->comm, sizeof(own->comm));
	zt_activity_text(a, exe, own->program, sizeof(own->program));
	zt_activity_text(a, cgroup, own->cgroup, sizeof(own->cgroup));
	zt_activity_text(a, service, own->service, sizeof(own->service));
}

static const char *verdict_of(const struct zt_event *e)
{
	return e->kind == ZT_EVENT_BLOCKED ? "drop" : e->kind == ZT_EVENT_OBSERVED ? "observe" : "allow";
}

static bool is_inbound(const struct zt_event *e)
{
	return e->inbound || (!e->number && e->in[0] && strcmp(e->in, "lo") != 0);
}

enum zt_direction zt_event_direction(const struct zt_event *e)
{
	if (e->is_unix)
		return ZT_DIR_UNIX;
	if (e->forwarded ||
	    (!e->number && e->in[0] && e->out[0])) /* of a packet filter's log: from one device to another */
		return ZT_DIR_FORWARD;
	return is_inbound(e) ? ZT_DIR_INGRESS : ZT_DIR_EGRESS;
}

/* What the rules go by: the socket's. */
static void fill_user(const struct zt_event *e, struct zt_procs *procs, struct zt_activity *a)
{
	if (!e->has_uid || is_inbound(e))
		return;
	zt_activity_set(a, uid, e->uid);
	zt_activity_set(a, gid, e->gid);
	if (procs)
		zt_activity_text(a, user, zt_procs_user(procs, e->uid), 64);
}

static void fill_process(const struct zt_event *e, struct zt_procs *procs, struct zt_activity *a)
{
	const struct zt_event_end *own = is_inbound(e) ? &e->receiver : &e->sender;

	if (own->known && own->pid > 0 && procs)
		(void)zt_procs_fill_pid(procs, (uint32_t)own->pid,
					a); /* it may have ended: what the record says remains */
	fill_user(e, procs, a);
}

void zt_event_activity(const struct zt_event *e, struct zt_procs *procs, struct zt_activity *ret)
{
	enum zt_direction dir = zt_event_direction(e);

	zt_activity_init(ret, e->kind == ZT_EVENT_ALLOWED ? ZT_ACTIVITY_ALLOW : ZT_ACTIVITY_DENY,
			 e->when ? e->when : zt_now());
	fill_process(e, procs, ret);
	zt_activity_text(ret, direction, zt_direction_name(dir), 16);
	zt_activity_text(ret, verdict, verdict_of(e), 16);
	zt_activity_text(ret, rule, e->rule, sizeof(e->rule));
	if (e->is_unix) {
		zt_activity_text(ret, path, e->unix_name, sizeof(e->unix_name));
	} else {
		zt_activity_set(ret, protocol, e->proto);
		zt_activity_addr(ret, ZT_FIELD_src, &e->src);
		zt_activity_addr(ret, ZT_FIELD_dst, &e->dst);
	}
	if (e->has_ports) {
		zt_activity_set(ret, sport, e->sport);
		zt_activity_set(ret, dport, e->dport);
	}
	if (e->hook)
		zt_activity_text(ret, hook, e->hook, 64);
	if (e->number)
		fill_record(e, procs, ret);
	else if (!zt_activity_has(ret, ZT_FIELD_exe) && e->program[0])
		zt_activity_text(ret, comm, e->program, sizeof(e->program));
	if (procs && dir == ZT_DIR_EGRESS && zt_procs_name_of(procs, e->uid, &e->dst))
		zt_activity_text(ret, name, zt_procs_name_of(procs, e->uid, &e->dst), 256);
}

/* ---- who was blocked, where the record does not say ---- */
/* own: the end that the record is told of, else the other one. */
static struct zt_trace_end end_of(const struct zt_event *e, bool own)
{
	bool source = is_inbound(e) != own;

	return (struct zt_trace_end){.proto = e->proto,
				     .local = source ? e->src : e->dst,
				     .remote = source ? e->dst : e->src,
				     .local_port = source ? e->sport : e->dport,
				     .remote_port = source ? e->dport : e->sport};
}

static bool has_peer(const struct zt_event *e)
{
	return !strcmp(e->out, "lo") || !strcmp(e->in, "lo");
}

static void look_at_ends(struct zt_sources *s, struct denied *d)
{
	const struct zt_event *e = &d->event;
	struct zt_trace_end own = end_of(e, true), peer = end_of(e, false);

	d->own.pid = d->peer.pid = 0;
	if (!s->trace || e->number || !e->has_ports)
		return;
	if (zt_trace_who(s->trace, &own, &d->own) < 0)
		d->own.pid = 0;
	if (has_peer(e) && zt_trace_who(s->trace, &peer, &d->peer) < 0)
		d->peer.pid = 0;
}

static void fill_own(struct zt_sources *s, struct denied *d, struct zt_activity *a)
{
	struct zt_trace_end own = end_of(&d->event, true);
	struct zt_process_id id;

	if (d->own.pid) {
		zt_procs_fill(s->procs, &d->own, a);
	} else if (d->event.has_ports && s->trace && zt_trace_whose(s->trace, &own, d->event.uid, &id) == 0) {
		zt_procs_fill_id(s->procs, &id, a);
	} else {
		zt_event_find_program(&d->event);
		zt_activity_text(a, comm, d->event.program, sizeof(d->event.program));
	}
}

static void fill_denied(struct zt_sources *s, struct denied *d, struct zt_activity *a)
{
	const struct zt_event *e = &d->event;

	zt_event_activity(e, s->procs, a);
	if (s->netns)
		zt_activity_set(a, netns, s->netns);
	if (e->number)
		return;
	fill_own(s, d, a);
	fill_user(e, s->procs, a);
	if (d->peer.pid)
		zt_procs_fill_peer(s->procs, &d->peer, a);
}

static int take_denies(struct zt_sources *s)
{
	int r = 1;

	s->n_held = 0;
	while (s->denies && s->n_held < DENIES_AT_ONCE &&
	       (r = zt_event_next(s->denies, 0, &s->held[s->n_held].event)) > 0)
		look_at_ends(s, &s->held[s->n_held++]);
	return r < 0 ? r : 0;
}

static int tell_denies(struct zt_sources *s, zt_trace_got *got, void *arg)
{
	struct zt_activity a;
	int n = 0, r = 0;

	for (size_t i = 0; !r && i < s->n_held; i++, n++) {
		fill_denied(s, &s->held[i], &a);
		if (!(s->kinds >> a.kind & 1))
			continue;
		s->told++;
		r = got(arg, &a);
	}
	return r ? r : n;
}

/* ---- reading ---- */
int zt_sources_read(struct zt_sources *s, zt_trace_got *got, void *arg)
{
	int n = 0, r = take_denies(s);

	if (s->opens)
		zt_opens_take(s->opens);
	if (r >= 0 && s->trace) {
		r = zt_trace_read(s->trace, got, arg);
		n += r > 0 ? r : 0;
	}
	if (r >= 0 && s->opens) {
		r = zt_opens_tell(s->opens, got, arg);
		n += r > 0 ? r : 0;
	}
	s->told += (uint64_t)n;
	if (r >= 0) {
		r = tell_denies(s, got, arg);
		n += r > 0 ? r : 0;
	}
	if (r >= 0 && s->trace && zt_now_monotonic() - s->swept > SWEEP_EVERY) {
		s->swept = zt_now_monotonic();
		r = zt_trace_sweep(s->trace, FLOW_IDLE, got, arg);
		s->told += r > 0 ? (uint64_t)r : 0;
		n += r > 0 ? r : 0;
	}
	s->quiet = n || (s->opens && zt_opens_wait(s->opens)) ? 0 : s->quiet + 1;
	return r < 0 ? r : n;
}

int zt_sources_end(struct zt_sources *s, zt_trace_got *got, void *arg)
{
	int r = zt_sources_read(s, got, arg);

	for (int n = 1, i = 0; r >= 0 && n > 0 && s->trace && i < END_ROUNDS; i++) {
		n = zt_trace_sweep(s->trace, 0, got, arg);
		s->told += n > 0 ? (uint64_t)n : 0;
		r = n < 0 ? n : r;
	}
	return r < 0 ? r : 0;
}

int zt_sources_wait(struct zt_sources *s)
{
	bool polled = s->denies && zt_event_fd(s->denies) < 0; /* the record is looked at, it does not wake */
	int wait = -1;

	if (s->quiet < QUIET_ROUNDS)
		return BUSY_MSEC;
	if (s->trace &&
	    !s->armed) { /* one more look between asking to be woken and sleeping: what came just before wakes nobody */
		zt_trace_arm(s->trace);
		s->armed = true;
		return 0;
	}
	if (polled)
		wait = RECORD_MSEC;
	else if (s->denies && s->denies->reader)
		wait = RUNG_MSEC;
	if (s->trace && zt_trace_sweeps(s->trace))
		wait = wait < 0 ? (int)(SWEEP_EVERY / 1000) : ZT_MIN(wait, (int)(SWEEP_EVERY / 1000));
	if (s->opens && zt_opens_looks(s->opens))
		wait = wait < 0 ? LOOK_MSEC : ZT_MIN(wait, (int)LOOK_MSEC);
	s->armed = false;
	return wait;
}

/* ---- counts ---- */
void zt_sources_losses(const struct zt_sources *s, uint64_t ret_lost[static ZT_ACTIVITY_KINDS])
{
	uint64_t told;

	memset(ret_lost, 0, ZT_ACTIVITY_KINDS * sizeof(*ret_lost));
	if (s->trace)
		zt_trace_losses(s->trace, &told, ret_lost);
	if (s->opens)
		ret_lost[ZT_ACTIVITY_OPEN] += zt_opens_lost(s->opens);
	ret_lost[ZT_ACTIVITY_DENY] = s->denies_lost + (s->denies ? zt_event_lost(s->denies) : 0);
}

const char *zt_sources_lack(const struct zt_sources *s, enum zt_activity_kind kind, bool *ret_some)
{
	*ret_some = false;
	if (!(s->kinds >> kind & 1))
		return NULL;
	if (kind == ZT_ACTIVITY_OPEN && !s->opens)
		return "sensitive files cannot be watched";
	if (kind == ZT_ACTIVITY_OPEN && zt_opens_lack(s->opens)) {
		*ret_some = true;
		return zt_opens_lack(s->opens);
	}
	if (s->trace)
		return zt_trace_lack(s->trace, kind, ret_some);
	return TRACED >> kind & 1 ? "programs in the kernel are not used" : NULL;
}

const struct zt_trace *zt_sources_trace(const struct zt_sources *s)
{
	return s->trace;
}

struct zt_procs *zt_sources_procs(const struct zt_sources *s)
{
	return s->procs;
}

uint64_t zt_sources_told(const struct zt_sources *s)
{
	return s->told;
}

size_t zt_sources_limits(const struct zt_sources *s, struct zt_limit *ret, size_t max)
{
	size_t n = zt_procs_limits(s->procs, ret, max);

	n += s->trace ? zt_trace_limits(s->trace, ret + n, max - n) : 0;
	if (s->opens && n < max)
		ret[n++] = zt_opens_limit(s->opens);
	if (s->denies && s->denies->max_queue && n < max)
		ret[n++] = (struct zt_limit){.name = "queue of denies",
					     .used = s->denies->n_queue - s->denies->next,
					     .peak = s->denies->peak_queue,
					     .max = s->denies->max_queue,
					     .evicted = zt_event_lost(s->denies)};
	return n;
}
