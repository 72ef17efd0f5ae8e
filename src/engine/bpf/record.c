/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/time.h"
#include "engine/bpf/load.h"

enum { TRIES = 3 };

/* What is to be added to a time since boot. */
static int64_t boot_to_realtime(void)
{
	struct timespec boot = {0}, real = {0};

	(void)clock_gettime(CLOCK_BOOTTIME, &boot); /* cannot fail with these clocks */
	(void)clock_gettime(CLOCK_REALTIME, &real);
	return (real.tv_sec - boot.tv_sec) * INT64_C(1000000) + (real.tv_nsec - boot.tv_nsec) / 1000;
}

static void end_of(const struct zt_bpf_maker *m, uint32_t label, struct zt_record_end *ret)
{
	*ret = (struct zt_record_end){.known = m->start, .label = label};
	if (!ret->known)
		return;
	ret->pid = (int)m->pid;
	ret->start = m->start;
	ret->uid = m->uid;
	ret->gid = m->gid;
	ret->cgroup = m->cgroup;
	ret->exe = (struct zt_file_id){
		.dev = m->dev, .ino = m->ino, .ctime_sec = (int64_t)m->ctime_sec, .ctime_nsec = m->ctime_nsec};
	ret->deleted = m->flags & ZT_BPF_M_DELETED;
	memcpy(ret->comm, m->comm, sizeof(ret->comm));
	ret->comm[sizeof(ret->comm) - 1] = '\0';
}

static enum zt_record_reason reason_of(const struct zt_bpf_event *e)
{
	if (e->reason == ZT_BPF_R_REVOKED)
		return ZT_RECORD_REVOKED;
	if (e->reason == ZT_BPF_R_FENCED)
		return ZT_RECORD_FENCED;
	if (e->rule != ZT_BPF_NO_RULE)
		return ZT_RECORD_RULE;
	return e->flags & ZT_BPF_EV_OWNED && e->from == ZT_LABEL_UNKNOWN ? ZT_RECORD_UNKNOWN : ZT_RECORD_DEFAULT;
}

static void record_of(const struct zt_bpf_event *e, int64_t offset, struct zt_record *ret)
{
	*ret = (struct zt_record){.number = e->seq,
				  .when = (zt_usec)((int64_t)(e->time / 1000) + offset),
				  .generation = e->generation,
				  .rule = e->rule,
				  .reason = reason_of(e),
				  .verdict = (enum zt_verdict)e->verdict,
				  .dir = (enum zt_direction)e->dir,
				  .owned = e->flags & ZT_BPF_EV_OWNED,
				  .loopback = e->flags & ZT_BPF_EV_LO,
				  .received = e->flags & ZT_BPF_EV_RECEIVED,
				  .uid = e->uid,
				  .gid = e->gid,
				  .src = {.family = e->family},
				  .dst = {.family = e->family},
				  .proto = e->proto,
				  .sport = e->sport,
				  .dport = e->port,
				  .suppressed = e->suppressed};
	if (ret->dir == ZT_DIR_UNIX) {
		ret->src.family = ret->dst.family = 0;
		memcpy(ret->unix_name, e->name.text, sizeof(e->name.text)); /* shorter */
	}
	memcpy(ret->src.b, e->src, e->family == 6 ? 16 : 4);
	memcpy(ret->dst.b, e->dst, e->family == 6 ? 16 : 4);
	end_of(&e->sender, e->from, &ret->sender);
	end_of(&e->receiver, e->to, &ret->receiver);
}

/* Whole: two looks see the same, and nobody writes. */
static bool read_place(int map, uint32_t at, struct zt_bpf_event *ret)
{
	struct zt_bpf_event again;

	for (int i = 0; i < TRIES; i++) {
		if (bpf_map_lookup_elem(map, &at, ret) < 0 || bpf_map_lookup_elem(map, &at, &again) < 0)
			return false;
		if (!(ret->seq & ZT_BPF_WRITING) && !memcmp(ret, &again, sizeof(again)))
			return ret->seq;
	}
	return false;
}

static int read_all(const struct bpf_live *l, uint64_t after, struct zt_records *ret)
{
	int64_t offset = boot_to_realtime();
	struct zt_bpf_limit limit;
	struct zt_bpf_event e;
	struct zt_count held_back = {0};
	uint32_t zero = 0;
	int r = bpf_read_reason(l, ZT_BPF_R_SUPPRESSED, &held_back);

	if (r < 0)
		return r;
	if (bpf_map_lookup_elem(l->map[MAP_LIMIT], &zero, &limit) < 0)
		return -errno;
	ret->told = limit.told;
	ret->suppressed = limit.suppressed;
	ret->held_back = held_back.packets;
	after = limit.told < after ? 0 : after; /* other programs since: they count from the beginning */
	if (limit.told == after)
		return 0;
	ret->v = zt_new(struct zt_record, ZT_BPF_RECORDED);
	if (!ret->v)
		return -ENOMEM;
	for (uint64_t n = limit.told - ZT_MIN(limit.told - after, (uint64_t)ZT_BPF_RECORDED); n < limit.told; n++)
		if (read_place(l->map[MAP_RECORD], (uint32_t)(n % ZT_BPF_RECORDED), &e) && e.seq == n + 1)
			record_of(&e, offset, &ret->v[ret->n++]);
	ret->overwritten = limit.told - after - ret->n;
	return 0;
}

int bpf_records(const char *instance, uint64_t after, struct zt_records *ret)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	ZT_FREE struct zt_bpf_config *cfg = NULL;
	struct zt_records records = {0};
	int r = bpf_live_open(instance, &l);

	r = r ?: bpf_read_config(&l, l.epoch & 1, &cfg); /* of our layout */
	if (!r && (l.map[MAP_RECORD] < 0 || l.map[MAP_LIMIT] < 0))
		r = -EUCLEAN;
	r = r ?: read_all(&l, after, &records);
	if (r < 0) {
		zt_records_done(&records);
		return r;
	}
	*ret = records;
	return 0;
}
