/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What the objects that tell share: the ring, its counters, who is told of, and who a process is. After trace_kernel.h and trace_abi.h. */
#define WAKE_BYTES (1 << 19) /* of 4 MiB; below that the reader comes by itself */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} trace SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ZT_TRACE_KINDS);
	__type(key, __u32);
	__type(value, struct zt_trace_count);
} counts SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sleeping SEC(".maps"); /* ZT_TRACE_BUSY … */

const volatile __u32 own_pid;	 /* of the reader: what it does itself is not told */
const volatile __u64 own_cgroup; /* id; 0: all processes, else those in this group and below */
const volatile __u32 own_level;	 /* its depth */
const volatile __u32 want = ~0u; /* kinds, a bit each */

/* ---- records ---- */
static __always_inline int wanted(__u32 kind)
{
	return want >> kind & 1;
}

static __always_inline void *reserve(__u32 kind, __u32 size)
{
	struct zt_trace_count *c = bpf_map_lookup_elem(&counts, &kind);
	struct zt_trace_head *h = 0;

	if (size == sizeof(struct zt_trace_exec))
		h = bpf_ringbuf_reserve(&trace, sizeof(struct zt_trace_exec), 0);
	else if (size == sizeof(struct zt_trace_packet))
		h = bpf_ringbuf_reserve(&trace, sizeof(struct zt_trace_packet), 0);
	else if (size == sizeof(struct zt_trace_pair))
		h = bpf_ringbuf_reserve(&trace, sizeof(struct zt_trace_pair), 0);
	else if (size == sizeof(struct zt_trace_call))
		h = bpf_ringbuf_reserve(&trace, sizeof(struct zt_trace_call), 0);
	else if (size == sizeof(struct zt_trace_open))
		h = bpf_ringbuf_reserve(&trace, sizeof(struct zt_trace_open), 0);
	else if (size == sizeof(struct zt_trace_flow))
		h = bpf_ringbuf_reserve(&trace, sizeof(struct zt_trace_flow), 0);
	else
		h = bpf_ringbuf_reserve(&trace, sizeof(struct zt_trace_exit), 0);
	if (!h) {
		if (c)
			__sync_fetch_and_add(&c->lost, 1); /* a packet may come in between */
		return 0;
	}
	if (c)
		__sync_fetch_and_add(&c->told, 1);
	h->time = bpf_ktime_get_boot_ns();
	h->kind = kind;
	h->size = size;
	return h;
}

static __always_inline void submit(void *record)
{
	__u32 zero = 0, *reader = bpf_map_lookup_elem(&sleeping, &zero);
	__u64 flags = BPF_RB_NO_WAKEUP;

	/* Once: a wakeup is an interrupt of this processor, and dear. */
	if (reader && (*reader == ZT_TRACE_ASLEEP ||
		       (*reader == ZT_TRACE_BUSY && bpf_ringbuf_query(&trace, BPF_RB_AVAIL_DATA) >= WAKE_BYTES))) {
		*reader = ZT_TRACE_WOKEN;
		flags = BPF_RB_FORCE_WAKEUP;
	}
	bpf_ringbuf_submit(record, flags);
}

/* ---- processes ---- */
static __always_inline void process_of(struct task_struct *t, struct zt_trace_process *p)
{
	struct task_struct *leader = t->group_leader, *parent = t->real_parent;
	struct mm_struct *mm = t->mm;
	struct file *exe = mm ? mm->exe_file : 0;
	struct inode *i = exe ? exe->f_inode : 0;
	const struct cred *cred = t->cred;
	struct css_set *css = t->cgroups;

	p->pid = t->tgid;
	p->start = leader ? leader->start_boottime : t->start_boottime;
	p->ppid = parent ? parent->tgid : 0;
	p->parent_start = parent ? parent->start_boottime : 0;
	p->cgroup = css && css->dfl_cgrp && css->dfl_cgrp->kn ? css->dfl_cgrp->kn->id : 0;
	p->exe_ino = i ? i->i_ino : 0;
	p->exe_dev = i && i->i_sb ? i->i_sb->s_dev : 0;
	p->uid = cred ? cred->uid.val : 0;
	p->euid = cred ? cred->euid.val : 0;
	p->gid = cred ? cred->fsgid.val : 0;
	bpf_probe_read_kernel(p->comm, sizeof(p->comm), leader ? leader->comm : t->comm);
}

/* What a user has by the program and not by himself, who has none (as the kernel decides whether a program is to mistrust its environment). In a user
 * namespace of his own he has all, and they count nothing here. */
static __always_inline void rights_of(const struct cred *cred, struct zt_trace_exec *e)
{
	const struct user_namespace *ns = cred ? cred->user_ns : 0;
	__u64 permitted = 0, ambient = 0;

	e->gained = 0;
	e->real_gid = cred ? cred->gid.val : 0;
	e->pad = 0;
	if (!ns || ns->level || !e->process.uid || !e->process.euid)
		return;
	bpf_core_read(&permitted, sizeof(permitted), &cred->cap_permitted);
	bpf_core_read(&ambient, sizeof(ambient), &cred->cap_ambient);
	e->gained = permitted & ~ambient;
}

/* Is the current process one that is told of? */
static __always_inline int ours(void)
{
	if (own_pid && bpf_get_current_pid_tgid() >> 32 == own_pid)
		return 0;
	return !own_cgroup || bpf_get_current_ancestor_cgroup_id(own_level) == own_cgroup;
}
