/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Who a process is: evidence, labels, the stamp on a socket. A process in a cgroup hook is the current one; in an iterator it is the
 * iterator's. */
#include "kernel.h"
#include "maps.bpf.h"

struct who_ctx {
	struct task_struct *task;
	struct zt_bpf_label_key key; /* its set is what the evidence so far leaves possible */
	__u32 slot;
};

static __always_inline void set_and(struct zt_bpf_set *a, const struct zt_bpf_set *b)
{
	for (int i = 0; i < ZT_BPF_SET_WORDS; i++)
		a->w[i] &= b->w[i];
}

static __always_inline void set_or(struct zt_bpf_set *a, const struct zt_bpf_set *b)
{
	for (int i = 0; i < ZT_BPF_SET_WORDS; i++)
		a->w[i] |= b->w[i];
}

static __always_inline struct zt_bpf_set *evidence_of(__u32 slot, const struct zt_bpf_evidence *k)
{
	void *inner = bpf_map_lookup_elem(&evidence, &slot);

	return inner ? bpf_map_lookup_elem(inner, k) : 0;
}

static __always_inline __u32 lpm_of(__u32 slot, const struct zt_bpf_lpm *k)
{
	void *inner = bpf_map_lookup_elem(&classes, &slot);
	__u32 *v = inner ? bpf_map_lookup_elem(inner, k) : 0;

	return v ? *v : 0;
}

static __always_inline __u32 label_of(__u32 slot, const struct zt_bpf_label_key *k)
{
	void *inner = bpf_map_lookup_elem(&labels, &slot);
	__u32 *v = inner ? bpf_map_lookup_elem(inner, k) : 0;

	return v ? *v : 0;
}

/* The class of a uid or gid among the subjects'. */
static __always_inline __u32 number_class(__u32 slot, __u32 kind, __u32 v)
{
	struct zt_bpf_lpm k = {.prefix = ZT_BPF_LPM_BITS(32), .kind = __builtin_bswap32(kind)};

	k.data[0] = v >> 24;
	k.data[1] = v >> 16;
	k.data[2] = v >> 8;
	k.data[3] = v;
	return lpm_of(slot, &k);
}

/* ---- files ---- */
static __always_inline void change_time(struct inode *i, struct zt_bpf_evidence *k)
{
	if (bpf_core_field_exists(i->i_ctime_sec)) {
		k->c = i->i_ctime_sec;
		k->d = i->i_ctime_nsec & 0x7fffffff; /* bit 31 says that somebody has looked (multigrain time stamps, 6.13) */
	} else if (bpf_core_field_exists(((struct inode___6_6 *)0)->__i_ctime)) {
		struct inode___6_6 *n = (void *)i;

		k->c = n->__i_ctime.tv_sec;
		k->d = n->__i_ctime.tv_nsec;
	} else {
		struct inode___old *o = (void *)i;

		k->c = o->i_ctime.tv_sec;
		k->d = o->i_ctime.tv_nsec;
	}
}

/* 0: a program whose file is still there. */
static __always_inline int program_of(struct task_struct *t, __u64 kind, struct zt_bpf_evidence *k)
{
	struct mm_struct *mm = t ? t->mm : 0;
	struct file *f = mm ? mm->exe_file : 0;
	struct inode *i = f ? f->f_inode : 0;
	struct super_block *sb = i ? i->i_sb : 0;

	*k = (struct zt_bpf_evidence){.kind = kind};
	if (!i || !sb || !i->i_nlink)
		return -1;
	k->a = i->i_ino;
	k->b = sb->s_dev;
	change_time(i, k);
	return 0;
}

static __always_inline void and_evidence(struct who_ctx *w, const struct zt_bpf_evidence *k,
					 const struct zt_bpf_set *other)
{
	struct zt_bpf_set *s = evidence_of(w->slot, k);

	if (s)
		set_and(&w->key.set, s);
	else
		set_and(&w->key.set, other);
}

/* ---- control groups ---- */
static __always_inline void or_cgroup(__u32 slot, __u64 kind, struct zt_bpf_set *set, __u64 id)
{
	struct zt_bpf_evidence k = {.kind = kind, .a = id};
	struct zt_bpf_set *s = id ? evidence_of(slot, &k) : 0;

	if (s)
		set_or(set, s);
}

#ifdef ZT_ITERATOR
static __noinline int cgroup_set(struct who_ctx *w, __u64 kind, struct zt_bpf_set *set, __u32 depth)
{
	struct css_set *css = w && w->task ? w->task->cgroups : 0;
	struct cgroup *at = css ? css->dfl_cgrp : 0;

	for (int i = 0; i < ZT_BPF_LEVELS + 4; i++) {
		struct cgroup_subsys_state *parent = 0;
		struct kernfs_node *kn = 0;
		__u64 id = 0;

		if (!at || !set)
			break;
		bpf_core_read(&kn, sizeof(kn), &at->kn);
		bpf_core_read(&id, sizeof(id), &kn->id);
		or_cgroup(w->slot, kind, set, id);
		bpf_core_read(&parent, sizeof(parent), &at->self.parent);
		at = (struct cgroup *)parent;
	}
	return 0;
}
#else
static __noinline int cgroup_set(struct who_ctx *w, __u64 kind, struct zt_bpf_set *set, __u32 depth)
{
	for (__u32 level = 1; level <= ZT_BPF_LEVELS; level++) {
		__u64 id;

		if (level > depth || !w || !set)
			break;
		id = bpf_get_current_ancestor_cgroup_id(level);
		if (!id)
			break;
		or_cgroup(w->slot, kind, set, id);
	}
	return 0;
}
#endif

static __noinline int and_cgroups(struct who_ctx *w, const struct zt_bpf_config *cfg)
{
	struct zt_bpf_set set;

	if (!w || !cfg)
		return 0;
	set = cfg->cgroup_other;
	cgroup_set(w, ZT_BPF_E_CGROUP, &set, cfg->cgroup_depth);
	set_and(&w->key.set, &set);
	return 0;
}

/* ---- groups ---- */
static __always_inline void or_group(__u32 slot, struct zt_bpf_set *set, __u32 gid)
{
	__u32 class = number_class(slot, ZT_BPF_GID_SET, gid);
	struct zt_bpf_evidence k = {.kind = ZT_BPF_E_GROUP, .a = class};
	struct zt_bpf_set *s = class ? evidence_of(slot, &k) : 0;

	if (s)
		set_or(set, s);
}

/* A frame of its own, see uid_class(). */
static __noinline int or_own_group(__u32 slot, struct zt_bpf_set *set, __u32 gid)
{
	if (!set)
		return 0;
	or_group(slot, set, gid);
	return 0;
}

struct group_ctx {
	struct zt_bpf_set set;
	const kgid_t *list; /* a number to the verifier: read with bpf_probe_read_kernel */
	__u32 slot, n;
};

static long group_step(__u32 i, void *arg)
{
	struct group_ctx *g = arg;
	__u32 gid = 0;

	if (i >= g->n)
		return 1;
	if (bpf_probe_read_kernel(&gid, sizeof(gid), g->list + i)) {
		g->n = ZT_BPF_GROUPS + 1;
		return 1;
	}
	or_group(g->slot, &g->set, gid);
	return 0;
}

/* -1: more groups than are looked at, or they cannot be read. */
static __noinline int and_groups(struct who_ctx *w, const struct zt_bpf_config *cfg)
{
	const struct cred *cred = w && w->task ? w->task->cred : 0;
	struct group_info *info;
	struct group_ctx g = {};

	if (!cred || !cfg)
		return -1;
	g.set = cfg->group_other;
	g.slot = w->slot;
	or_own_group(w->slot, &g.set, cred->fsgid.val);
	info = cred->group_info;
	if (info) {
		__u64 base = 0;

		g.n = info->ngroups;
		if (g.n > ZT_BPF_GROUPS)
			return -1;
		bpf_probe_read_kernel(&base, sizeof(base), &info); /* the pointer as a number */
		g.list = (const kgid_t *)(base + bpf_core_field_offset(struct group_info, gid));
		bpf_loop(ZT_BPF_GROUPS, group_step, &g, 0);
		if (g.n > ZT_BPF_GROUPS)
			return -1;
	}
	set_and(&w->key.set, &g.set);
	return 0;
}

/* ---- the label of a process in a slot ---- */
static __noinline int and_programs(struct who_ctx *w, const struct zt_bpf_config *cfg)
{
	struct zt_bpf_evidence k;
	int known;

	if (!w || !cfg)
		return -1;
	known = program_of(w->task, ZT_BPF_E_EXE, &k);
	if (known < 0)
		return -1;
	if (cfg->flags & ZT_BPF_E_EXES_USED)
		and_evidence(w, &k, &cfg->exe_other);
	if (cfg->flags & ZT_BPF_E_PARENTS_USED) {
		struct task_struct *parent = w->task ? w->task->real_parent : 0;

		if (program_of(parent, ZT_BPF_E_PARENT, &k) < 0)
			k.a = 0;
		and_evidence(w, &k, &cfg->parent_other);
	}
	return 0;
}

/* A frame of its own: with the groups below it subject_label() would not fit the stack of 6.1. */
static __noinline __u32 uid_class(__u32 slot, __u32 uid)
{
	return number_class(slot, ZT_BPF_UID_SET, uid);
}

static __noinline int subject_label(struct who_ctx *w, const struct zt_bpf_config *cfg, __u32 uid)
{
	struct zt_bpf_evidence k = {.kind = ZT_BPF_E_UID};
	struct zt_bpf_set *s;

	if (!w || !cfg)
		return 0;
	k.a = uid_class(w->slot, uid);
	s = evidence_of(w->slot, &k);
	if (!s)
		return 0; /* every uid has a class: the maps are damaged */
	w->key.space = ZT_BPF_L_SUBJECTS;
	w->key.set = *s;
	if (cfg->flags & ZT_BPF_E_GROUPS_USED && and_groups(w, cfg) < 0)
		return 0;
	if (cfg->flags & ZT_BPF_E_CGROUPS_USED)
		and_cgroups(w, cfg);
	if (cfg->flags & (ZT_BPF_E_EXES_USED | ZT_BPF_E_PARENTS_USED) && and_programs(w, cfg) < 0)
		return 0;
	return label_of(w->slot, &w->key);
}

static __noinline int cgroup_label(struct who_ctx *w, const struct zt_bpf_config *cfg)
{
	if (!w || !cfg)
		return 0;
	__builtin_memset(&w->key, 0, sizeof(w->key));
	w->key.space = ZT_BPF_L_CGROUPS;
	cgroup_set(w, ZT_BPF_E_RULE_CGROUP, &w->key.set, cfg->cgroup_depth);
	return label_of(w->slot, &w->key);
}

/* Both slots, where they are filled: sockets that appear between the pass over the old ones and the switch are known in the new slot. */
static __always_inline int stamp(struct zt_bpf_sock *s, struct task_struct *t, int only_new)
{
	struct who_ctx w = {.task = t};
	const struct cred *cred = t ? t->cred : 0;

	if (!s || !cred)
		return -1;
	if (!only_new || !(s->flags & ZT_BPF_STAMPED)) {
		s->uid = cred->fsuid.val;
		s->gid = cred->fsgid.val;
	}
	for (__u32 slot = 0; slot < SLOTS; slot++) {
		__u32 key = slot;
		struct zt_bpf_config *cfg = bpf_map_lookup_elem(&config, &key);

		if (!cfg || !cfg->epoch || (only_new && s->epoch[slot] == cfg->epoch))
			continue;
		w.slot = slot;
		/* Other threads may be sending on this socket: the old label holds until the new one is there. */
		s->who[slot].label = cfg->flags & ZT_BPF_HAS_SUBJECTS ? subject_label(&w, cfg, s->uid) : 1;
		s->who[slot].cgroup = cfg->flags & ZT_BPF_HAS_CGROUPS ? cgroup_label(&w, cfg) : 0;
		s->epoch[slot] = cfg->epoch;
	}
	s->flags |= ZT_BPF_STAMPED;
	return 0;
}
