/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Who a process is: evidence, labels, the stamp on a socket. A process in a cgroup hook is the current one; in an iterator it is the
 * iterator's. */
#include "kernel.h"
#include "maps.bpf.h"

/*
 * A process, to be walked from. For each pointer that is read through one it trusts, the verifier of Linux 6.2 and later goes through all types of
 * the kernel by name, four times; nothing here is given to the kernel, so no trust is needed. The cast is no instruction. Since Linux 6.2.
 */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

static __always_inline struct task_struct *walk_from(struct task_struct *t)
{
	return bpf_rdonly_cast ? bpf_rdonly_cast(t, bpf_core_type_id_kernel(struct task_struct)) : t;
}

static __always_inline struct task_struct *current_task(void)
{
	return walk_from(bpf_get_current_task_btf());
}

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
static __always_inline void change_time(struct inode *i, __u64 *sec, __u64 *nsec)
{
	if (bpf_core_field_exists(i->i_ctime_sec)) {
		*sec = i->i_ctime_sec;
		*nsec = i->i_ctime_nsec &
			0x7fffffff; /* bit 31 says that somebody has looked (multigrain time stamps, 6.13) */
	} else if (bpf_core_field_exists(((struct inode___6_6 *)0)->__i_ctime)) {
		struct inode___6_6 *n = (void *)i;

		*sec = n->__i_ctime.tv_sec;
		*nsec = n->__i_ctime.tv_nsec;
	} else {
		struct inode___old *o = (void *)i;

		*sec = o->i_ctime.tv_sec;
		*nsec = o->i_ctime.tv_nsec;
	}
}

#define FMODE_EXEC 0x20 /* fs.h: opened by exec; no open() of a program has it */

/* Of a program whose file is still there. A process may name another file as its program (PR_SET_MM), for which it takes no more than a user
 * namespace of its own: what exec has not opened is nobody's. */
static __always_inline int is_program(const struct file *f, const struct inode *i)
{
	return f->f_flags & FMODE_EXEC && i->i_nlink;
}

#define FUSE_MAGIC 0x65735546
/* Devices without a disk get their numbers anew: that of a file system that was taken away is the next one's, and a file system of a user says of its
 * files what he likes, number and time of change too (FUSE, or another one over it). It is another device, as user space has it. */
static __always_inline __u32 device_shown(const struct super_block *sb)
{
	return sb->s_magic == FUSE_MAGIC ? sb->s_dev | ZT_BPF_DEV_FUSE : sb->s_dev;
}

/* What was mounted in a user namespace cannot be named by a policy at all. */
static __always_inline __u32 device_of(const struct super_block *sb)
{
	struct user_namespace *ns = sb->s_user_ns;

	return !ns || ns->level ? device_shown(sb) | ZT_BPF_DEV_USERS : device_shown(sb);
}

/* 0: a program whose file is still there. */
static __always_inline int program_of(struct task_struct *t, __u64 kind, struct zt_bpf_evidence *k)
{
	struct mm_struct *mm = t ? t->mm : 0;
	struct file *f = mm ? mm->exe_file : 0;
	struct inode *i = f ? f->f_inode : 0;
	struct super_block *sb = i ? i->i_sb : 0;

	*k = (struct zt_bpf_evidence){.kind = kind};
	if (!i || !sb || !is_program(f, i))
		return -1;
	k->a = i->i_ino;
	k->b = device_of(sb);
	change_time(i, &k->c, &k->d);
	return 0;
}

/* What is called in many places is global here and below: the verifier goes through it once, not once for each way that leads to it. */
__noinline int and_evidence(struct zt_bpf_set *set, __u32 slot, const struct zt_bpf_evidence *key,
			    const struct zt_bpf_set *other)
{
	struct zt_bpf_evidence k;
	struct zt_bpf_set *s;

	if (!set || !key || !other)
		return 0;
	k = *key; /* 6.1 looks nothing up by an argument */
	s = evidence_of(slot, &k);
	if (s)
		set_and(set, s);
	else
		set_and(set, other);
	return 0;
}

/* ---- control groups ---- */
static __always_inline int put_cgroup(struct zt_bpf_set *set, __u32 slot, __u64 kind, __u64 id)
{
	struct zt_bpf_evidence k = {.kind = kind, .a = id};
	struct zt_bpf_set *s = id ? evidence_of(slot, &k) : 0;

	if (s && set)
		set_or(set, s);
	return 0;
}

#ifdef ZT_LSM /* on its stack there is no room for a frame more */
#define or_cgroup put_cgroup
#else
__noinline int or_cgroup(struct zt_bpf_set *set, __u32 slot, __u64 kind, __u64 id)
{
	return put_cgroup(set, slot, kind, id);
}
#endif

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
		or_cgroup(set, w->slot, kind, id);
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
		or_cgroup(set, w->slot, kind, id);
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
static __always_inline void or_group(struct zt_bpf_set *set, __u32 slot, __u32 gid)
{
	__u32 class = number_class(slot, ZT_BPF_GID_SET, gid);
	struct zt_bpf_evidence k = {.kind = ZT_BPF_E_GROUP, .a = class};
	struct zt_bpf_set *s = class ? evidence_of(slot, &k) : 0;

	if (s)
		set_or(set, s);
}

/* A frame of its own, see uid_class(). */
__noinline int or_own_group(struct zt_bpf_set *set, __u32 slot, __u32 gid)
{
	if (set)
		or_group(set, slot, gid);
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
	or_group(&g->set, g->slot, gid);
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
	or_own_group(&g.set, w->slot, cred->fsgid.val);
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
		and_evidence(&w->key.set, w->slot, &k, &cfg->exe_other);
	if (cfg->flags & ZT_BPF_E_PARENTS_USED) {
		struct task_struct *parent = w->task ? w->task->real_parent : 0;

		if (program_of(parent, ZT_BPF_E_PARENT, &k) < 0)
			k.a = 0;
		and_evidence(&w->key.set, w->slot, &k, &cfg->parent_other);
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

/* ---- for people ---- */
static __always_inline void note_maker(struct zt_bpf_maker *m, struct task_struct *t, const struct cred *cred)
{
	struct css_set *css = t->cgroups;
	struct cgroup *group = css ? css->dfl_cgrp : 0;
	struct kernfs_node *kn = group ? group->kn : 0;
	struct task_struct *leader = t->group_leader;
	struct mm_struct *mm = t->mm;
	struct file *f = mm ? mm->exe_file : 0;
	struct inode *i = f ? f->f_inode : 0;
	struct super_block *sb = i ? i->i_sb : 0;
	__u64 sec = 0, nsec = 0;

	m->pid = t->tgid;
	m->uid = cred->fsuid.val;
	m->gid = cred->fsgid.val;
	m->start = leader ? leader->start_boottime : 0;
	m->cgroup = kn ? kn->id : 0;
	m->flags = !i ? ZT_BPF_M_NO_PROGRAM : !is_program(f, i) ? ZT_BPF_M_DELETED : 0;
	if (i)
		change_time(i, &sec, &nsec);
	m->ino = i ? i->i_ino : 0;
	m->dev = sb ? device_shown(sb) : 0;
	m->ctime_sec = sec;
	m->ctime_nsec = nsec;
	bpf_probe_read_kernel(m->comm, sizeof(m->comm), t->comm);
}

/* Do rules of either slot speak of Unix sockets? */
static __always_inline int unix_matters(void)
{
	__u32 found = 0;

	for (__u32 slot = 0; slot < SLOTS; slot++) {
		__u32 key = slot;
		struct zt_bpf_config *cfg = bpf_map_lookup_elem(&config, &key);

		if (cfg && cfg->epoch)
			found |= cfg->flags & ZT_BPF_HAS_UNIX;
	}
	return found;
}

#ifdef ZT_SEEN
/* ---- what was found out before ---- */
struct found { /* in each slot */
	__u32 epoch[SLOTS];
	struct zt_bpf_who who[SLOTS];
};

/* 0: not a process that may be noted. The current one's. */
__noinline __u64 seen_key(struct zt_bpf_seen_key *k)
{
	struct task_struct *t = current_task();
	const struct cred *cred = t->cred;
	struct css_set *css = t->cgroups;
	struct cgroup *group = css ? css->dfl_cgrp : 0;
	struct kernfs_node *kn = group ? group->kn : 0;
	struct mm_struct *mm = t->mm;
	struct file *f = mm ? mm->exe_file : 0;
	struct inode *i = f ? f->f_inode : 0;
	struct super_block *sb = i ? i->i_sb : 0;
	__u64 sec = 0, nsec = 0;

	if (!k || !sb || !is_program(f, i) || !kn || !cred)
		return 0;
	change_time(i, &sec, &nsec);
	*k = (struct zt_bpf_seen_key){.ino = i->i_ino,
				      .dev = device_of(sb),
				      .ctime_sec = sec,
				      .ctime_nsec = nsec,
				      .cgroup = kn->id,
				      .uid = cred->fsuid.val,
				      .gid = cred->fsgid.val};
	return (k->ino ^ k->ctime_sec << 40 ^ (__u64)k->ctime_nsec << 20 ^ k->cgroup << 8 ^ (__u64)k->uid << 32 ^
		k->gid) *
		       0x9e3779b97f4a7c15ull |
	       1;
}

static __always_inline struct zt_bpf_seen *seen_place(__u64 hash)
{
	__u32 at = hash >> 56 & (ZT_BPF_SEEN - 1);

	return bpf_map_lookup_elem(&seen, &at);
}

static __always_inline int same_key(const struct zt_bpf_seen_key *a, const struct zt_bpf_seen_key *b)
{
	return a->ino == b->ino && a->ctime_sec == b->ctime_sec && a->dev == b->dev && a->ctime_nsec == b->ctime_nsec &&
	       a->cgroup == b->cgroup && a->uid == b->uid && a->gid == b->gid;
}

static __always_inline __u32 filled(__u32 slot)
{
	struct zt_bpf_config *cfg = bpf_map_lookup_elem(&config, &slot);

	return cfg ? cfg->epoch : 0;
}

static __always_inline void put_who(struct zt_bpf_sock *s, __u32 slot, struct zt_bpf_who who, __u32 of)
{
	if (s->epoch[slot] == of && s->who[slot].label == who.label && s->who[slot].cgroup == who.cgroup)
		return;
	s->who[slot] = who;
	s->epoch[slot] = of;
}

/* Global functions are verified by themselves, once. */
__noinline int note_current(struct zt_bpf_maker *m)
{
	struct task_struct *t = current_task();

	if (m)
		note_maker(m, t, t->cred);
	return 0;
}

static __always_inline void put_maker(struct zt_bpf_maker *m, const struct zt_bpf_seen_key *k)
{
	struct task_struct *t = current_task(), *leader = t->group_leader;

	if (!leader || m->pid != t->tgid || m->start != leader->start_boottime || m->flags || m->ino != k->ino ||
	    m->cgroup != k->cgroup || m->uid != k->uid || m->gid != k->gid)
		note_current(m);
}

/* 0: stamped with what was found before. Else what to give to seen_note(). The place is this cpu's, so that only order matters. */
static __noinline __u64 stamp_seen(struct zt_bpf_sock *s)
{
	struct zt_bpf_seen_key k = {};
	struct zt_bpf_who a, b;
	struct zt_bpf_seen *e;
	__u32 seq, first, second;
	__u64 hash;

	if (!s)
		return 1;
	hash = seen_key(&k);
	e = hash ? seen_place(hash) : 0;
	if (!e)
		return 1;
	seq = *(volatile __u32 *)&e->seq;
	first = *(volatile __u32 *)&e->epoch[0];
	second = *(volatile __u32 *)&e->epoch[1];
	if (seq & 1 || !same_key(&e->key, &k) || first != filled(0) || second != filled(1))
		return hash;
	a = e->who[0];
	b = e->who[1];
	barrier();
	if (*(volatile __u32 *)&e->seq != seq)
		return hash;
	put_maker(&s->maker, &k);
	s->uid = k.uid;
	s->gid = k.gid;
	put_who(s, 0, a, first);
	put_who(s, 1, b, second);
	s->flags |= ZT_BPF_STAMPED;
	return 0;
}

/* hash: of stamp_seen(), before the labels were looked for. Who was moved or became another meanwhile is not noted. */
static __noinline int seen_note(__u64 hash, const struct found *found)
{
	struct zt_bpf_seen_key k = {};
	struct zt_bpf_seen *e;
	__u32 seq;

	if (!found || hash == 1 || seen_key(&k) != hash)
		return 0;
	e = seen_place(hash);
	seq = e ? *(volatile __u32 *)&e->seq : 1;
	if (!e || seq & 1 || __sync_val_compare_and_swap(&e->seq, seq, seq + 1) != seq)
		return 0;
	e->epoch[0] = found->epoch[0];
	e->epoch[1] = found->epoch[1];
	e->who[0] = found->who[0];
	e->who[1] = found->who[1];
	e->key = k;
	__sync_fetch_and_add(&e->seq, 1);
	return 0;
}
#endif

#ifdef ZT_PLAIN
static __noinline int plain_label(struct who_ctx *w, const struct zt_bpf_config *cfg, __u32 uid);
#endif

static __always_inline struct zt_bpf_who who_in(struct who_ctx *w, const struct zt_bpf_config *cfg, __u32 uid)
{
	struct zt_bpf_who who = {};

	who.label = cfg->flags & ZT_BPF_HAS_SUBJECTS ? subject_label(w, cfg, uid) : 1;
#ifdef ZT_PLAIN
	if (!who.label)
		who.label = plain_label(w, cfg, uid);
#endif
	who.cgroup = cfg->flags & ZT_BPF_HAS_CGROUPS ? cgroup_label(w, cfg) : 0;
	return who;
}

#ifdef ZT_SEEN
/* The current process, in one slot. found is only added to. */
__noinline int stamp_slot(struct zt_bpf_sock *s, struct found *found, __u32 slot)
{
	struct who_ctx w = {.task = current_task(), .slot = slot & 1};
	struct zt_bpf_config *cfg = bpf_map_lookup_elem(&config, &w.slot);
	const struct cred *cred = w.task->cred;
	struct zt_bpf_who who;

	if (!s || !found || !cred)
		return -1;
	if (!cfg || !cfg->epoch)
		return 0;
	who = who_in(&w, cfg, cred->fsuid.val);
	/* Other threads may be sending on this socket: the old label holds until the new one is there. */
	if (slot & 1) {
		s->who[1] = found->who[1] = who;
		s->epoch[1] = found->epoch[1] = cfg->epoch;
	} else {
		s->who[0] = found->who[0] = who;
		s->epoch[0] = found->epoch[0] = cfg->epoch;
	}
	return cfg->flags & (ZT_BPF_E_GROUPS_USED | ZT_BPF_E_PARENTS_USED) ? 1 : 0;
}

/* Both slots, where they are filled: sockets that appear between the pass over the old ones and the switch are known in the new slot. */
static __always_inline int stamp(struct zt_bpf_sock *s)
{
	const struct cred *cred = current_task()->cred;
	struct found found = {};
	__u64 hash = stamp_seen(s);
	int even, odd;

	if (!hash)
		return 0;
	if (!s || !cred)
		return -1;
	s->uid = cred->fsuid.val;
	s->gid = cred->fsgid.val;
	note_current(&s->maker);
	even = stamp_slot(s, &found, 0);
	odd = stamp_slot(s, &found, 1);
	if (even < 0 || odd < 0)
		return -1;
	if (!even && !odd)
		seen_note(hash, &found);
	s->flags |= ZT_BPF_STAMPED;
	return 0;
}
#else
/* A socket of a process that may be another's than the current one: what is there stays. */
static __always_inline int stamp(struct zt_bpf_sock *s, struct task_struct *t)
{
	const struct cred *cred;
	struct who_ctx w = {};

	if (!s || !t)
		return -1;
	w.task = t = walk_from(t);
	cred = t->cred;
	if (!cred)
		return -1;
	if (!(s->flags & ZT_BPF_STAMPED)) {
		s->uid = cred->fsuid.val;
		s->gid = cred->fsgid.val;
		note_maker(&s->maker, t, cred);
	}
	for (__u32 slot = 0; slot < SLOTS; slot++) {
		__u32 key = slot;
		struct zt_bpf_config *cfg = bpf_map_lookup_elem(&config, &key);

		if (!cfg || !cfg->epoch || s->epoch[slot] == cfg->epoch)
			continue;
		w.slot = slot;
		s->who[slot] = who_in(&w, cfg, s->uid);
		s->epoch[slot] = cfg->epoch;
	}
	s->flags |= ZT_BPF_STAMPED;
	return 0;
}
#endif
