/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/ends.h"

#include <errno.h>
#include <string.h>

#include "base/lru.h"
#include "base/mem.h"
#include "identity/identity.h"
#include "trace_abi.h"

struct end_key {
	uint64_t netns; /* 0: the whole machine */
	uint8_t local[16], remote[16];
	uint16_t local_port, remote_port;
	uint8_t family, proto, pad[2];
};
struct listener_key {
	uint64_t netns;
	uint8_t local[16];
	uint16_t port;
	uint8_t family, pad[5];
};
struct listener {
	struct zt_process_id process;
	bool several; /* processes: which one gets a connection is not known */
};
struct zt_ends {
	struct zt_lru *ends, *listeners; /* struct end_key: zt_process_id */
};

int zt_ends_new(struct zt_ends **ret)
{
	struct zt_ends *e = zt_new(struct zt_ends, 1);
	int r = e ? zt_lru_new(ZT_ENDS_MAX, sizeof(struct end_key), sizeof(struct zt_process_id), NULL, &e->ends)
		  : -ENOMEM;

	r = r
		    ?: zt_lru_new(ZT_ENDS_LISTENERS, sizeof(struct listener_key), sizeof(struct listener), NULL,
				  &e->listeners);
	if (r < 0) {
		zt_ends_free(e);
		return r;
	}
	*ret = e;
	return 0;
}

void zt_ends_free(struct zt_ends *e)
{
	if (!e)
		return;
	zt_lru_free(e->ends);
	zt_lru_free(e->listeners);
	free(e);
}

size_t zt_ends_limits(const struct zt_ends *e, struct zt_limit *ret, size_t max)
{
	const struct zt_limit all[] = {
		{.name = "ends of connections",
		 .used = zt_lru_count(e->ends),
		 .max = ZT_ENDS_MAX,
		 .evicted = zt_lru_evicted(e->ends)},
		{.name = "listening ports",
		 .used = zt_lru_count(e->listeners),
		 .max = ZT_ENDS_LISTENERS,
		 .evicted = zt_lru_evicted(e->listeners)},
	};
	size_t n = ZT_MIN(max, ZT_ARRAY_SIZE(all));

	memcpy(ret, all, n * sizeof(*all));
	return n;
}

/* ---- places ---- */
static bool is_loopback(const uint8_t *a, uint8_t family)
{
	static const uint8_t one[16] = {[15] = 1};

	return family == 4 ? a[0] == 127 : !memcmp(a, one, sizeof(one));
}

/* Addresses of private networks are those that containers and virtual machines have. */
static bool is_private(const uint8_t *a, uint8_t family)
{
	if (family != 4)
		return (a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
	return a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0) == 16) || (a[0] == 192 && a[1] == 168) ||
	       (a[0] == 169 && a[1] == 254) || (a[0] == 100 && (a[1] & 0xc0) == 64);
}

static bool is_own(const struct zt_trace_flow *f)
{
	return is_loopback(f->remote, f->family) || !memcmp(f->local, f->remote, sizeof(f->local));
}

/* Can the other end be on this machine? What goes far away is not remembered. */
static bool may_be_here(const struct zt_trace_flow *f)
{
	return is_own(f) || is_private(f->remote, f->family);
}

static struct end_key end_of(const struct zt_trace_flow *f, bool other)
{
	struct end_key k = {.family = f->family, .proto = f->proto};

	k.netns = is_loopback(f->remote, f->family) ? f->netns : 0;
	memcpy(k.local, other ? f->remote : f->local, 16);
	memcpy(k.remote, other ? f->local : f->remote, 16);
	k.local_port = other ? f->remote_port : f->local_port;
	k.remote_port = other ? f->local_port : f->remote_port;
	return k;
}

/* ---- who listens ---- */
static struct listener_key place(uint64_t netns, uint8_t family, const uint8_t *local, uint16_t port)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct listener_key k = {.netns = netns, .port = port, .family = family};

	if (family == 6 && local && !memcmp(local, mapped, sizeof(mapped))) {
		k.family = 4;
		memcpy(k.local, local + 12, 4);
	} else if (local) {
		memcpy(k.local, local, family == 4 ? 4 : 16);
	}
	return k;
}

static bool lives(const struct zt_process_id *p)
{
	ZT_CLEANUP(zt_process_done) struct zt_process now = {0};

	return zt_process_read((int)p->pid, &now) == 0 && now.start_time == p->start;
}

static void add_listener(struct zt_ends *e, const struct zt_trace_flow *f, const struct zt_process_id *who)
{
	struct listener_key k = place(f->netns, f->family, f->local, f->local_port);
	struct listener *l = zt_lru_put(e->listeners, &k);

	l->several = l->process.pid && memcmp(&l->process, who, sizeof(*who)) != 0 && lives(&l->process);
	l->process = *who;
}

/* At the address, else at any; a socket of IPv6 at any address takes IPv4 as well. */
static const struct listener *find_listener(struct zt_ends *e, const struct zt_trace_flow *f)
{
	const struct listener_key tries[] = {place(f->netns, f->family, f->remote, f->remote_port),
					     place(f->netns, f->family, NULL, f->remote_port),
					     place(f->netns, 6, NULL, f->remote_port)};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(tries); i++) {
		const struct listener *l = zt_lru_get(e->listeners, &tries[i]);

		if (l)
			return l;
	}
	return NULL;
}

/* ---- the doors ---- */
void zt_ends_add(struct zt_ends *e, const struct zt_trace_flow *f)
{
	struct zt_process_id who = zt_process_id_of(&f->process);
	struct end_key k;

	if (!who.pid)
		return;
	if (f->head.kind == ZT_TRACE_LISTEN) {
		add_listener(e, f, &who);
		return;
	}
	if (!may_be_here(f) && !f->error) /* what failed is asked for by whoever blocked it */
		return;
	k = end_of(f, false);
	*(struct zt_process_id *)zt_lru_put(e->ends, &k) = who;
}

static int find(struct zt_ends *e, const struct end_key *k, struct zt_process_id *ret)
{
	const struct zt_process_id *p = zt_lru_get(e->ends, k);

	if (!p)
		return -ENOENT;
	*ret = *p;
	return 0;
}

int zt_ends_peer(struct zt_ends *e, const struct zt_trace_flow *f, struct zt_process_id *ret)
{
	const struct listener *l = NULL;
	struct end_key k;

	if (f->error || f->head.kind == ZT_TRACE_LISTEN || !may_be_here(f))
		return -ENOENT;
	if (f->head.kind != ZT_TRACE_CONNECT) { /* what is known under the two ends of a new one is of an older one */
		k = end_of(f, true);
		return find(e, &k, ret);
	}
	if (is_own(f))
		l = find_listener(e, f);
	if (!l || l->several)
		return l ? -EEXIST : -ENOENT;
	*ret = l->process;
	return 0;
}

int zt_ends_find(struct zt_ends *e, const struct zt_trace_flow *f, struct zt_process_id *ret)
{
	struct end_key k = end_of(f, false);

	return find(e, &k, ret);
}
