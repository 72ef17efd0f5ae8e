/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What became of calls that open a file: of sensitive files alone, and beside fanotify, which tells that one was opened, but neither as which descriptor nor
 * that somebody was refused. Shares the ring of trace.bpf.c; user space tries one way after the other (event/tries.c):
 *
 *   do_sys_openat2            where the kernel lets programs look at its functions
 *   sys_exit_openat, …        elsewhere
 *
 * A call that succeeded is of interest if somebody watches the file for opens: a bit in its inode. One that failed has no file, only a name: that is made
 * absolute and clean here (the process may be gone before anybody could ask where it stood), and compared with the patterns. Most are decided by their first bytes.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "trace_kernel.h"
#include "trace_abi.h"
#include "trace.bpf.h"

enum { CWD = -100, FS_OPEN = 0x20, RESTARTED = 512, RAW = 1024, UP = 32, DEPTH = 64, STEPS = 1 << 15 };

/* Filled by user space. */
struct zt_tries_patterns patterns;
__u64 here; /* the root folder of the reader: names of processes with another one are not the names that the patterns mean */

struct scratch {
	__u8 raw[RAW];	/* as it was asked for, with the folder in front */
	__u8 path[RAW]; /* clean */
	__u64 up[UP];	/* the folders above, the nearest first */
	__u32 starts[DEPTH];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* ---- where the process stands ---- */
struct climb {
	struct scratch *s;
	struct dentry *at, *root;
	struct vfsmount *mount, *root_mount;
	__u32 n, bad;
};

static long climb_one(__u32 i, struct climb *c)
{
	struct vfsmount *mount = c->mount;
	struct dentry *at = c->at, *top = BPF_CORE_READ(mount, mnt_root), *parent = BPF_CORE_READ(at, d_parent);
	struct mount *m, *above;

	if (at == c->root && mount == c->root_mount)
		return 1;
	if (at != top && at != parent) {
		if (c->n >= UP) {
			c->bad = 1;
			return 1;
		}
		c->s->up[c->n & (UP - 1)] = (__u64)at;
		c->n++;
		c->at = parent;
		return 0;
	}
	m = (void *)mount - bpf_core_field_offset(struct mount, mnt);
	above = BPF_CORE_READ(m, mnt_parent);
	if (!above || above == m)
		return 1;
	c->at = BPF_CORE_READ(m, mnt_mountpoint);
	c->mount = (void *)above + bpf_core_field_offset(struct mount, mnt);
	return 0;
}

struct lay {
	struct scratch *s;
	__u32 left, at;
};

static long lay_one(__u32 i, struct lay *l)
{
	struct dentry *d;
	__u32 at = l->at;
	long n;

	if (!l->left || at >= ZT_TRACE_NAME)
		return 1;
	l->left--;
	d = (struct dentry *)l->s->up[l->left & (UP - 1)];
	l->s->raw[at] = '/';
	n = bpf_probe_read_kernel_str(&l->s->raw[at + 1], ZT_TRACE_NAME, BPF_CORE_READ(d, d_name.name));
	l->at = n > 0 ? at + n : RAW;
	return 0;
}

static __always_inline struct file *file_of(struct task_struct *t, __u32 fd)
{
	struct files_struct *files = t->files;
	struct file **all = files ? files->fdt->fd : 0, *f = 0;

	bpf_probe_read_kernel(&f, sizeof(f), all + fd);
	return f;
}

/* The folder that a name is relative to, in raw; its length, or more than fits. */
static __noinline __u32 folder(struct scratch *s, int dfd)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct climb c = {
		.s = s, .root = BPF_CORE_READ(t, fs, root.dentry), .root_mount = BPF_CORE_READ(t, fs, root.mnt)};
	struct lay l = {.s = s};

	if (dfd == CWD) {
		c.at = BPF_CORE_READ(t, fs, pwd.dentry);
		c.mount = BPF_CORE_READ(t, fs, pwd.mnt);
	} else {
		struct file *f = file_of(t, dfd);

		c.at = BPF_CORE_READ(f, f_path.dentry);
		c.mount = BPF_CORE_READ(f, f_path.mnt);
	}
	if (!c.at || !c.mount)
		return RAW;
	bpf_loop(4 * UP, climb_one, &c, 0);
	if (c.bad)
		return RAW;
	l.left = c.n;
	bpf_loop(UP, lay_one, &l, 0);
	return l.left ? RAW : l.at;
}

/* ---- names ---- */
struct cleaning {
	struct scratch *s;
	__u32 out, start, depth, bad; /* start: of the last '/' in path */
};

static __always_inline void up(struct cleaning *c)
{
	if (c->depth) {
		c->depth--;
		c->start = c->s->starts[c->depth & (DEPTH - 1)];
	}
	c->out = c->start + 1;
}

static long clean_one(__u32 i, struct cleaning *c)
{
	__u8 *path = c->s->path, b = c->s->raw[i & (RAW - 1)];
	__u32 start = c->start & (RAW - 1), out = c->out & (RAW - 1), len = out - start - 1;

	if (!i) { /* always '/' */
		path[0] = '/';
		c->out = 1;
		return 0;
	}
	if (b && b != '/') {
		path[out] = b;
		c->out = out + 1;
		c->bad = c->out >= ZT_TRACE_NAME;
		return c->bad;
	}
	if (len == 1 && path[(start + 1) & (RAW - 1)] == '.') {
		c->out = start + 1;
	} else if (len == 2 && path[(start + 1) & (RAW - 1)] == '.' && path[(start + 2) & (RAW - 1)] == '.') {
		up(c);
	} else if (len && b) {
		c->bad = c->depth >= DEPTH;
		c->s->starts[c->depth & (DEPTH - 1)] = start;
		c->depth++;
		path[out] = '/';
		c->start = out;
		c->out = out + 1;
	}
	if (!b) {
		if (c->out == c->start + 1 && c->out > 1)
			c->out--;
		path[c->out & (RAW - 1)] = 0;
	}
	return !b || c->bad;
}

struct matching {
	struct scratch *s;
	__u32 k, p, q, star_p, star_q,
		hit; /* pattern, places in it and in the path, after the last star; star_p 0: none */
};

/* A star is anything but a '/'. The last one is enough to come back to: what stands before it ends at a '/', or has matched. */
static long match_one(__u32 i, struct matching *m)
{
	__u8 want, is;

	if (m->k >= patterns.n)
		return 1;
	want = patterns.text[m->k & (ZT_TRIES_PATTERNS - 1)][m->p & (ZT_TRIES_TEXT - 1)];
	is = m->s->path[m->q & (RAW - 1)];
	if (want == ZT_TRIES_REST || (!want && !is)) {
		m->hit = 1;
		return 1;
	}
	if (want == '*') {
		m->star_p = ++m->p;
		m->star_q = m->q;
	} else if (is && (want == is || (want == '?' && is != '/'))) {
		m->p++;
		m->q++;
	} else if (m->star_p && m->s->path[m->star_q & (RAW - 1)] != '/' && m->s->path[m->star_q & (RAW - 1)]) {
		m->q = ++m->star_q;
		m->p = m->star_p;
	} else {
		m->k++;
		m->p = m->q = m->star_p = 0;
	}
	return 0;
}

static __always_inline int begins(const struct scratch *s)
{
	__u64 head = *(const __u64 *)s->raw;

	for (__u32 k = 0; k < ZT_TRIES_PATTERNS; k++) {
		if (k >= patterns.n)
			return 0;
		if ((head & patterns.mask[k]) == patterns.head[k])
			return 1;
	}
	return 0;
}

/* Without ".", ".." and doubled slashes, of which names below hidden folders are suspected as well. */
static __always_inline int is_clean(const struct scratch *s)
{
	__u8 before = 0;

	for (__u32 i = 0; i < ZT_TRACE_NAME; i++) {
		__u8 b = s->raw[i];

		if (!b)
			return 1;
		if (before == '/' && (b == '/' || b == '.'))
			return 0;
		before = b;
	}
	return 0;
}

static __noinline int is_sensitive(struct scratch *s, int dfd, const char *name)
{
	struct cleaning c = {.s = s};
	struct matching m = {.s = s};
	__u32 at = 0;

	if (s->raw[0] != '/') {
		at = folder(s, dfd);
		if (at >= ZT_TRACE_NAME)
			return 0;
		s->raw[at] = '/';
		if (bpf_probe_read_user_str(&s->raw[at + 1], ZT_TRACE_NAME, name) <= 0)
			return 0;
	}
	bpf_loop(2 * ZT_TRACE_NAME + 1, clean_one, &c, 0);
	if (c.bad)
		return 0;
	bpf_loop(STEPS, match_one, &m, 0);
	return m.hit;
}

/* ---- what is told ---- */
static __always_inline void tell(__u32 kind, __u64 ino, __u32 fd, __u32 error, const struct scratch *s)
{
	struct zt_trace_open *e = reserve(kind, sizeof(*e));

	if (!e)
		return;
	process_of(bpf_get_current_task_btf(), &e->process);
	e->ino = ino;
	e->fd = fd;
	e->error = error;
	e->path[0] = 0;
	if (s)
		bpf_probe_read_kernel(e->path, sizeof(e->path), s->path);
	submit(e);
}

static __always_inline int opened(__u32 fd)
{
	struct file *f = file_of(bpf_get_current_task_btf(), fd);
	struct inode *i = BPF_CORE_READ(f, f_inode);

	if (!(BPF_CORE_READ(i, i_fsnotify_mask) & FS_OPEN) || !ours())
		return 0;
	tell(ZT_TRACE_OPENED, BPF_CORE_READ(i, i_ino), fd, 0, 0);
	return 0;
}

static __always_inline int ended(int dfd, const char *name, long result)
{
	struct task_struct *t = bpf_get_current_task_btf();
	__u32 zero = 0;
	struct scratch *s;

	if (result >= 0)
		return opened(result);
	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s || result <= -RESTARTED || bpf_probe_read_user_str(s->raw, ZT_TRACE_NAME, name) <= 1)
		return 0;
	if (s->raw[0] == '/' && is_clean(s) && !begins(s))
		return 0;
	if (!ours() || (__u64)BPF_CORE_READ(t, fs, root.dentry) != here || !is_sensitive(s, dfd, name))
		return 0;
	tell(ZT_TRACE_REFUSED, 0, 0, -result, s);
	return 0;
}

SEC("fexit/do_sys_openat2")
int zt_opened(__u64 *ctx)
{
	return ended((int)ctx[0], (const char *)ctx[1], (long)ctx[3]);
}

struct left { /* what a tracepoint of the end of a system call says */
	__u64 common;
	int nr, pad;
	long result;
};

SEC("tracepoint/syscalls/sys_exit_openat")
int zt_left(struct left *ctx)
{
	enum { X86_OPEN = 2, X86_CREAT = 85 };
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	__u64 first, second;

	if (bpf_core_field_exists(regs->orig_ax)) {
		first = BPF_CORE_READ(regs, di);
		second = BPF_CORE_READ(regs, si);
		if (ctx->nr == X86_OPEN || ctx->nr == X86_CREAT) {
			second = first;
			first = CWD;
		}
	} else {
		struct pt_regs___arm *arm = (void *)regs;

		first = BPF_CORE_READ(arm, orig_x0);
		second = BPF_CORE_READ(arm, regs[1]);
	}
	return ended((int)first, (const char *)second, ctx->result);
}

SEC("syscall")
int zt_here(void *ctx)
{
	struct task_struct *t = bpf_get_current_task_btf();

	here = (__u64)BPF_CORE_READ(t, fs, root.dentry);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
