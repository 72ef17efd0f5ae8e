/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only a security module sees, for kernels that let programs be one (BPF LSM; 6.1 and later). Loaded beside core.bpf.c, with its maps;
 * nothing else depends on it.
 *
 *   socket_create         families that no other hook looks at
 *   socket_listen         stamps who listens: the only call of a listener that was never bound
 *   socket_bind           stamps who takes datagrams on a Unix socket
 *   unix_stream_connect   who connects to a Unix socket, stream or sequenced packets
 *   unix_may_send         who sends a datagram to one
 *   file_receive          open sockets that arrive from another process
 *   ptrace_access_check   a process that rules name, and a debugger that they do not
 *   inode_*, sb_umount    our pins
 *   bpf                   our links and maps
 *
 * These hooks are those of the whole machine: all but the last two ask first whether the process is below the control group that is enforced.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define ZT_ITERATOR /* any process is asked for, not only the current one */
#define ZT_LSM
#define ZT_SEEN
#include "live.bpf.h"
#include "record.bpf.h"

#define EPERM 1
#define EACCES 13
#define ECONNREFUSED 111
#define AF_UNIX 1
#define BPFFS_MAGIC 0xcafe4a11
#define PID_NS_INITIAL 0xeffffffcu

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zt_bpf_ward);
} ward SEC(".maps");

/* ---- of the kernel, for this file ---- */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ns_common {
	unsigned int inum;
};
struct pid_namespace {
	struct ns_common ns;
};
struct nsproxy {
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
struct task_struct___lsm {
	struct nsproxy *nsproxy;
	struct files_struct *files;
};
struct super_block___lsm {
	unsigned int s_dev;
	unsigned long s_magic;
	struct {
		int counter;
	} s_active;
};
struct qstr {
	union {
		struct {
			__u32 hash, len;
		};
		__u64 hash_len;
	};
	const unsigned char *name;
};
struct dentry {
	struct dentry *d_parent;
	struct inode *d_inode;
	struct qstr d_name;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file___lsm {
	struct path f_path;
	void *private_data;
};
struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
struct unix_sock___lsm {
	struct path path;
};
struct bpf_link {
	__u32 id;
};
struct bpf_map {
	__u32 id;
};
#pragma clang attribute pop

static __always_inline void count(__u32 reason)
{
	count_reason(reason, 0);
}

static __always_inline struct zt_bpf_ward *ward_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ward, &zero);
}

/* Does the policy speak of the current process at all? */
static __always_inline int concerned(struct live *l)
{
	struct zt_bpf_ward *w = ward_get();

	return w && w->cgroup && bpf_get_current_ancestor_cgroup_id(w->level) == w->cgroup && live_get(l) == 0;
}

static __always_inline int enter(struct live *l)
{
	return concerned(l) && l->cfg->flags & ZT_BPF_ENFORCE;
}

static __always_inline __u64 netns_of_task(struct task_struct *t)
{
	struct task_struct___lsm *x = (void *)t;

	return BPF_CORE_READ(x, nsproxy, net_ns, net_cookie);
}

static __always_inline int is_ip(__u16 family)
{
	return family == 2 || family == 10;
}

/* ---- who a process is, as far as the policy tells processes apart ---- */
struct principal {
	__u32 label, cgroup, uid, gid;
};

/* A frame of its own, as uid_class(). */
static __noinline int principal_numbers(__u32 slot, __u32 uid, __u32 gid, struct principal *p)
{
	if (!p)
		return -1;
	p->uid = number_class(slot, ZT_BPF_ONE_UID, uid);
	p->gid = number_class(slot, ZT_BPF_ONE_GID, gid);
	return 0;
}

static __noinline int principal_of(struct task_struct *t, __u32 slot, struct principal *p)
{
	struct who_ctx w = {.task = t, .slot = slot & 1};
	const struct zt_bpf_config *cfg = config_of(slot);
	const struct cred *cred = t ? t->cred : 0;

	if (!cfg || !cred || !p)
		return -1;
	p->label = cfg->flags & ZT_BPF_HAS_SUBJECTS ? subject_label(&w, cfg, cred->fsuid.val) : 1;
	p->cgroup = cfg->flags & ZT_BPF_HAS_CGROUPS ? cgroup_label(&w, cfg) : 0;
	return principal_numbers(slot & 1, cred->fsuid.val, cred->fsgid.val, p);
}

static __noinline int principal_of_socket(const struct zt_bpf_sock *s, __u32 epoch, struct principal *p)
{
	const struct zt_bpf_config *cfg = config_of(epoch);
	__u32 slot = epoch & 1;
	int fresh;

	if (!cfg || !s || !p || !(s->flags & ZT_BPF_STAMPED))
		return -1;
	fresh = s->epoch[slot] == epoch;
	p->label = !(cfg->flags & ZT_BPF_HAS_SUBJECTS) ? 1 : fresh ? s->who[slot].label : 0;
	p->cgroup = !(cfg->flags & ZT_BPF_HAS_CGROUPS) || !fresh ? 0 : s->who[slot].cgroup;
	return principal_numbers(slot, s->uid, s->gid, p);
}

/* Unknown is nobody's equal. */
static __always_inline int same(const struct principal *a, const struct principal *b)
{
	return a->label && a->label == b->label && a->cgroup == b->cgroup && a->uid == b->uid && a->gid == b->gid;
}

/* ---- families ---- */
/* Clients ask for an address through packet sockets, before there is one: who may send the question over UDP may open them. */
static __noinline int may_ask_for_address(const struct live *l)
{
	struct zt_bpf_flow f = {.proto = 17, .sport = 68, .port = 67, .to = 1, .owned = 1, .src_known = 1};
	struct task_struct *t = bpf_get_current_task_btf();
	const struct cred *cred = t->cred;
	struct zt_bpf_decision d = {};
	struct principal p = {};

	if (!l || principal_of(t, l->epoch, &p) < 0)
		return 0;
	f.uid = cred->fsuid.val;
	f.gid = cred->fsgid.val;
	f.from = p.label;
	f.cgroup = p.cgroup;
	f.dst[0] = f.dst[1] = f.dst[2] = f.dst[3] = 255;
	decide(&f, &d, l->epoch);
	return d.verdict == ZT_BPF_ALLOW || d.verdict == ZT_BPF_OBSERVE;
}

/* Those that the other hooks look at, and those that carry nothing away: Unix (rules of their own), PF_KEY and netlink (to the kernel), AF_ALG
 * (a calculator). */
static __always_inline int harmless(int family)
{
	return is_ip(family) || family == 1 || family == 15 || family == 16 || family == 38;
}

static __always_inline int may_have(const struct live *l, int family, __u64 netns)
{
	if (l->cfg->def[ZT_BPF_EGRESS] == ZT_BPF_ALLOW || harmless(family))
		return 1;
	if (family != 40 && netns != l->cfg->netns) /* vsock knows no network namespaces */
		return 1;
	return family == 17 && may_ask_for_address(l);
}

SEC("lsm/socket_create")
int BPF_PROG(zt_lsm_create, int family, int type, int protocol, int kern)
{
	struct live l;

	if (kern || harmless(family) || !enter(&l))
		return 0;
	if (may_have(&l, family, netns_of_task(bpf_get_current_task_btf())))
		return 0;
	count(ZT_BPF_R_FAMILY);
	return -EPERM;
}

/* ---- Unix sockets ---- */
static __noinline int stamp_unix(struct sock *sk)
{
	struct zt_bpf_sock *s;
	struct live l;

	if (!sk || !concerned(&l) || !unix_matters())
		return 0;
	s = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s || stamp(s) < 0)
		count(ZT_BPF_R_NO_STORAGE); /* not closed by who it is */
	return 0;
}

/* A stream is stamped when it listens, everything else when it is bound. */
SEC("lsm/socket_bind")
int BPF_PROG(zt_lsm_bind, struct socket *sock, struct sockaddr *address, int addrlen)
{
	struct sock *sk = sock->sk;

	if (sk && sk->__sk_common.skc_family == AF_UNIX)
		stamp_unix(sk);
	return 0;
}

/* Both hooks that judge hold the lock of a socket: nobody else comes to this processor meanwhile. */
struct unix_room {
	struct zt_bpf_name name;
	char slack[128 - ZT_BPF_NAME]; /* what the verifier believes may be written */
	char path[256];		       /* of the file, from its end: at most the first half, too */
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct unix_room);
} unix_rooms SEC(".maps");

/* The name of a socket, its len 0 where no policy can say it; NULL: it has none, which is one end of a pair, or a client. */
static __noinline struct unix_room *name_of(struct sock *sk)
{
	struct unix_sock *u = (void *)sk;
	struct unix_address *a = u ? BPF_CORE_READ(u, addr) : 0;
	int len = a ? BPF_CORE_READ(a, len) - 2 : 0;
	const char *path = (const char *)a + bpf_core_field_offset(struct unix_address, name) + 2;
	__u32 zero = 0, n = len - 1;
	struct unix_room *r = bpf_map_lookup_elem(&unix_rooms, &zero);

	if (!r || len <= 0)
		return 0;
	__builtin_memset(r, 0, sizeof(*r));
	if (len > ZT_BPF_NAME)
		return r;
	asm volatile("%0 &= 127" : "+r"(n));
	if (bpf_probe_read_kernel(r->name.text, n + 1, path))
		return r;
	if (!r->name.text[0]) {
		r->name.text[0] = '@';
		r->name.len = len;
	} else if (r->name.text[0] == '/') {
		r->name.len = len - 1; /* without the NUL */
	}
	return r;
}

/* ---- where the file of a socket is, whatever it was called when it was bound ---- */
enum { PATH_END = ZT_BPF_NAME - 1, PATH_STEPS = 64 };
struct unix_walk {
	__u64 dentry, mount;
	__u32 at, whole;
};

static long walk_step(__u32 i, struct unix_walk *w)
{
	struct dentry *d = (void *)w->dentry, *up;
	struct mount *m = (void *)w->mount, *below;
	__u32 zero = 0, len, at = w->at;
	struct unix_room *r = bpf_map_lookup_elem(&unix_rooms, &zero);

	if (!r)
		return 1;
	if (d == BPF_CORE_READ(m, mnt.mnt_root)) {
		below = BPF_CORE_READ(m, mnt_parent);
		w->dentry = (__u64)BPF_CORE_READ(m, mnt_mountpoint);
		w->mount = (__u64)below;
		if (below != m)
			return 0;
		w->whole = 1;
		return 1;
	}
	up = BPF_CORE_READ(d, d_parent);
	len = BPF_CORE_READ(d, d_name.len);
	if (up == d || len >= at)
		return 1; /* of a tree that nobody sees, or longer than any name */
	at -= len;
	asm volatile("%0 &= 127" : "+r"(at));
	asm volatile("%0 &= 127" : "+r"(len));
	if (bpf_probe_read_kernel(r->path + at, len, BPF_CORE_READ(d, d_name.name)) || !at)
		return 1;
	at--;
	asm volatile("%0 &= 127" : "+r"(at));
	r->path[at] = '/';
	w->at = at;
	w->dentry = (__u64)up;
	return 0;
}

/* Gives the room that name; it stays as it is where there is no such path. */
static __noinline int file_name_of(struct sock *sk)
{
	struct unix_sock___lsm *u = (void *)sk;
	struct unix_walk w = {.at = PATH_END};
	__u64 mnt = u ? (__u64)BPF_CORE_READ(u, path.mnt) : 0;
	__u32 zero = 0, at, n;
	struct unix_room *r = bpf_map_lookup_elem(&unix_rooms, &zero);

	if (!r || !mnt)
		return 0;
	w.dentry = (__u64)BPF_CORE_READ(u, path.dentry);
	w.mount = mnt - bpf_core_field_offset(struct mount, mnt);
	bpf_loop(PATH_STEPS, walk_step, &w, 0);
	if (!w.whole || w.at >= PATH_END)
		return 0;
	at = w.at;
	n = PATH_END - at;
	asm volatile("%0 &= 127" : "+r"(at));
	asm volatile("%0 &= 127" : "+r"(n));
	__builtin_memset(&r->name, 0, sizeof(r->name));
	r->name.len = n;
	bpf_probe_read_kernel(r->name.text, n, r->path + at);
	return 0;
}

static __always_inline __u32 number_of_name(__u32 slot, const struct zt_bpf_name *n)
{
	void *inner = bpf_map_lookup_elem(&names, &slot);
	__u32 *v = inner && n->len ? bpf_map_lookup_elem(inner, n) : 0;

	return v ? *v : 0;
}

static __noinline int tell_unix(const struct zt_bpf_flow *f, const struct zt_bpf_decision *d, struct unix_room *r,
				const struct zt_bpf_sock *receiver)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct zt_bpf_event *e;
	struct live l;
	__u64 seq = 0;

	if (!f || !d || !r || live_get(&l) < 0)
		return 0;
	e = event_begin(l.cfg, &seq);
	if (!e)
		return 0;
	event_flow(e, f, d);
	note_maker(&e->sender, t, t->cred);
	if (receiver)
		e->receiver = receiver->maker;
	e->flags |= ZT_BPF_EV_RECEIVED;
	e->name = r->name;
	e->family = AF_UNIX;
	event_end(e, seq);
	return 0;
}

/* Who the current process and the owner of `to` are. */
static __noinline int ends_of(struct zt_bpf_flow *f, const struct zt_bpf_sock *s, __u32 epoch)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct principal p = {};

	if (!f)
		return 0;
	f->uid = t->cred->fsuid.val;
	f->gid = t->cred->fsgid.val;
	if (principal_of(t, epoch, &p) == 0) {
		f->from = p.label;
		f->cgroup = p.cgroup;
	}
	f->to = 1; /* made where nothing is enforced: nobody that rules name */
	if (s)
		f->to = principal_of_socket(s, epoch, &p) < 0 ? 0 : p.label;
	return 0;
}

/* The current process to the socket `to`: 0, or the error that it gets. */
static __noinline int judge_unix(struct sock *to)
{
	struct zt_bpf_flow f = {.dir = ZT_BPF_UNIX, .owned = 1};
	struct zt_bpf_decision d = {};
	struct zt_bpf_sock *s;
	struct unix_room *r;
	struct live l;
	__u32 number;

	if (!to || !concerned(&l) || !(l.cfg->flags & ZT_BPF_HAS_UNIX))
		return 0;
	r = name_of(to);
	if (!r)
		return 0;
	s = bpf_sk_storage_get(&socks, to, 0, 0);
	ends_of(&f, s, l.epoch);
	number = number_of_name(l.slot, &r->name);
	if (!number && r->name.text[0] != '@') {
		file_name_of(to); /* bound by another path, "./redis.sock", or moved */
		number = number_of_name(l.slot, &r->name);
	}
	__builtin_memcpy(f.dst, &number, sizeof(number));
	decide(&f, &d, l.epoch);
	if (account(&f, &d, l.epoch, 0))
		tell_unix(&f, &d, r, s);
	if (!blocks(&d))
		return 0;
	return d.verdict == ZT_BPF_REJECT ? -ECONNREFUSED : -EACCES;
}

SEC("lsm/unix_stream_connect")
int BPF_PROG(zt_lsm_connect, struct sock *sock, struct sock *other, struct sock *newsk)
{
	return judge_unix(other);
}

/* A datagram to who is connected to this very socket answers it. */
SEC("lsm/unix_may_send")
int BPF_PROG(zt_lsm_send, struct socket *sock, struct socket *other)
{
	struct sock *own = sock->sk, *to = other->sk;
	struct unix_sock *u = (void *)to;

	if (!own || !to || BPF_CORE_READ(u, peer) == own)
		return 0;
	return judge_unix(to);
}

/* ---- who listens ---- */
SEC("lsm/socket_listen")
int BPF_PROG(zt_lsm_listen, struct socket *sock)
{
	struct sock *sk = sock->sk;
	struct zt_bpf_sock *s;
	struct live l;

	if (!sk)
		return 0;
	if (sk->__sk_common.skc_family == AF_UNIX) {
		stamp_unix(sk);
		return 0;
	}
	if (!is_ip(sk->__sk_common.skc_family) || !enter(&l))
		return 0;
	if (BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie) != l.cfg->netns)
		return 0;
	s = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s || stamp(s) < 0)
		count(ZT_BPF_R_NO_STORAGE); /* unknown: no rule that allows by receiver matches it */
	return 0;
}

/* ---- open sockets from elsewhere ---- */
/* Those without a stamp were made where nothing is enforced. */
static __always_inline int may_take(const struct live *l, struct sock *sk)
{
	struct principal own = {}, its = {};
	struct zt_bpf_sock *s = bpf_sk_storage_get(&socks, sk, 0, 0);

	return s && principal_of_socket(s, l->epoch, &its) == 0 &&
	       principal_of(bpf_get_current_task_btf(), l->epoch, &own) == 0 && same(&own, &its);
}

/* Process 1 of the machine gives back what services store with it, and nothing else. */
static __always_inline int is_init(void)
{
	return bpf_get_current_pid_tgid() >> 32 == 1;
}

SEC("lsm/file_receive")
int BPF_PROG(zt_lsm_receive, struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk = socket ? socket->sk : 0;
	__u64 netns;
	__u16 family;
	struct live l;

	if (!sk || !enter(&l) || is_init())
		return 0;
	family = sk->__sk_common.skc_family;
	netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
	if (is_ip(family) ? netns != l.cfg->netns || l.cfg->flags & ZT_BPF_PASS_SOCKETS || may_take(&l, sk)
			  : may_have(&l, family, netns))
		return 0;
	count(ZT_BPF_R_PASSED);
	return -EACCES;
}

/* ---- debuggers ---- */
#define TRACE_ATTACH 2 /* PTRACE_MODE_ATTACH of the kernel: also /proc/PID/mem, process_vm_writev, pidfd_getfd */
#define LABEL_NONE 1

/* Has the process a right that the other lacks? Only what rules name gives one. */
static __always_inline int worth_more(const struct principal *its, const struct principal *own)
{
	return (its->label > LABEL_NONE && its->label != own->label) ||
	       (its->cgroup > LABEL_NONE && its->cgroup != own->cgroup);
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(zt_lsm_ptrace, struct task_struct *child, unsigned int mode)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct principal own = {}, its = {};
	const struct cred *cred = t->cred;
	struct live l;

	if (!(mode & TRACE_ATTACH) || !enter(&l) || !cred->fsuid.val)
		return 0;
	if (principal_of(child, l.epoch, &its) < 0 || principal_of(t, l.epoch, &own) < 0 || !worth_more(&its, &own))
		return 0;
	count(ZT_BPF_R_TRACED);
	return -EPERM;
}

/* ---- ourselves ---- */
static __always_inline int same_text(const char *a, const char *b)
{
	for (int i = 0; i < ZT_BPF_PROGRAM_NAME; i++) {
		if (a[i] != b[i])
			return 0;
		if (!a[i])
			return 1;
	}
	return 1;
}

/* A program of our name, as it was applied with or as it is installed, of any version and from any place; not one inside a container. Who can
 * fake that on the host can as well run `zt-segment flush`. */
static __noinline int is_ours(struct zt_bpf_ward *w)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct task_struct___lsm *x = (void *)t;
	unsigned int ns = BPF_CORE_READ(x, nsproxy, pid_ns_for_children, ns.inum);
	struct mm_struct *mm = t->mm;
	struct file___lsm *exe = mm ? (void *)mm->exe_file : 0;
	const unsigned char *at = exe ? BPF_CORE_READ(exe, f_path.dentry, d_name.name) : 0;
	char name[ZT_BPF_PROGRAM_NAME] = {};

	if (!w || !at || (ns != PID_NS_INITIAL && ns != w->pid_ns))
		return 0;
	bpf_probe_read_kernel_str(name, sizeof(name), at);
	return same_text(name, w->program) || same_text(name, "zt-segment\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

static __always_inline int refuse(struct zt_bpf_ward *w)
{
	if (is_ours(w))
		return 0;
	count(ZT_BPF_R_TAMPER);
	return -EPERM;
}

/* Number of an inode of the file system with our pins, else 0. */
static __always_inline __u64 pinned(const struct zt_bpf_ward *w, struct inode *i)
{
	struct super_block___lsm *sb = i ? (void *)i->i_sb : 0;

	return sb && sb->s_magic == BPFFS_MAGIC && sb->s_dev == w->dev ? i->i_ino : 0;
}

static __always_inline int is_folder(const struct zt_bpf_ward *w, __u64 ino)
{
	return ino && (ino == w->folder || ino == w->parent);
}

SEC("lsm/inode_unlink")
int BPF_PROG(zt_lsm_unlink, struct inode *dir, struct dentry *dentry)
{
	struct zt_bpf_ward *w = ward_get();

	if (!w || !w->folder || pinned(w, dir) != w->folder)
		return 0;
	return refuse(w);
}

SEC("lsm/inode_rmdir")
int BPF_PROG(zt_lsm_rmdir, struct inode *dir, struct dentry *dentry)
{
	struct zt_bpf_ward *w = ward_get();

	if (!w || !is_folder(w, pinned(w, dentry->d_inode)))
		return 0;
	return refuse(w);
}

SEC("lsm/inode_rename")
int BPF_PROG(zt_lsm_rename, struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
	     struct dentry *new_dentry)
{
	struct zt_bpf_ward *w = ward_get();

	if (!w || !w->folder ||
	    (pinned(w, old_dir) != w->folder && pinned(w, new_dir) != w->folder &&
	     !is_folder(w, pinned(w, old_dentry->d_inode))))
		return 0;
	return refuse(w);
}

/* The last mount of the file system: with it the pins would go. */
SEC("lsm/sb_umount")
int BPF_PROG(zt_lsm_umount, struct vfsmount *mnt, int flags)
{
	struct super_block___lsm *sb = (void *)mnt->mnt_sb;
	struct zt_bpf_ward *w = ward_get();

	if (!w || !w->folder || sb->s_magic != BPFFS_MAGIC || sb->s_dev != w->dev || sb->s_active.counter > 1)
		return 0;
	return refuse(w);
}

/* What descriptor fd of the current process is. */
static __always_inline void *object_of(__u32 fd)
{
	struct task_struct___lsm *t = (void *)bpf_get_current_task_btf();
	struct fdtable *table = BPF_CORE_READ(t, files, fdt);
	struct file **list = BPF_CORE_READ(table, fd);
	struct file___lsm *file = 0;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), list + fd);
	return file ? BPF_CORE_READ(file, private_data) : 0;
}

static __always_inline int listed(const __u32 *ids, __u32 n, __u32 id)
{
	int found = 0;

	for (__u32 i = 0; i < ZT_BPF_WARDED; i++)
		if (i < n && ids[i] == id)
			found = 1;
	return found;
}

/* The maps of a slot come and go with each change of the policy. */
#define IS_INNER(outer)                                                      \
	for (__u32 slot = 0; slot < SLOTS; slot++) {                         \
		__u32 key = slot;                                            \
		struct bpf_map *inner = bpf_map_lookup_elem(&(outer), &key); \
                                                                             \
		if (inner && inner->id == id)                                \
			return 1;                                            \
	}

static __noinline int is_inner(__u32 id)
{
	IS_INNER(entries)
	IS_INNER(classes)
	IS_INNER(ports)
	IS_INNER(evidence)
	IS_INNER(labels)
	IS_INNER(names)
	IS_INNER(paths)
	IS_INNER(counts)
	IS_INNER(meta)
	return 0;
}

static __noinline int is_our_link(struct zt_bpf_ward *w, __u32 fd)
{
	struct bpf_link *link = object_of(fd);

	return w && link && listed(w->links, w->n_links, BPF_CORE_READ(link, id));
}

static __noinline int is_our_map(struct zt_bpf_ward *w, __u32 fd)
{
	struct bpf_map *map = object_of(fd);
	__u32 id = map ? BPF_CORE_READ(map, id) : 0;

	return w && id && (listed(w->maps, w->n_maps, id) || is_inner(id));
}

SEC("lsm/bpf")
int BPF_PROG(zt_lsm_bpf, int cmd, union bpf_attr *attr)
{
	struct zt_bpf_ward *w = ward_get();
	__u32 fd = 0;

	if (!w)
		return 0;
	switch (cmd) {
	case BPF_LINK_DETACH:
	case BPF_LINK_UPDATE:
		bpf_probe_read_kernel(&fd, sizeof(fd), &attr->link_detach.link_fd);
		return is_our_link(w, fd) ? refuse(w) : 0;
	case BPF_MAP_UPDATE_BATCH:
	case BPF_MAP_DELETE_BATCH:
	case BPF_MAP_LOOKUP_AND_DELETE_BATCH:
		bpf_probe_read_kernel(&fd, sizeof(fd), &attr->batch.map_fd);
		return is_our_map(w, fd) ? refuse(w) : 0;
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_DELETE_ELEM:
	case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
	case BPF_MAP_FREEZE:
		bpf_probe_read_kernel(&fd, sizeof(fd), &attr->map_fd);
		return is_our_map(w, fd) ? refuse(w) : 0;
	case BPF_MAP_LOOKUP_ELEM:
		w->alive = 1;
		return 0;
	default:
		return 0;
	}
}

char LICENSE[] SEC("license") = "GPL";
