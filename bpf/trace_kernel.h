/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What trace.bpf.c reads of the kernel's own structures; offsets come from the running kernel (CO-RE). */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	unsigned int val;
} kuid_t, kgid_t;
struct super_block {
	unsigned int s_dev;
};
struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink, i_fsnotify_mask;
};
struct qstr {
	const unsigned char *name;
};
struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};
struct vfsmount {
	struct dentry *mnt_root;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file {
	struct inode *f_inode;
	struct path f_path;
};
struct fdtable {
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
struct fs_struct {
	struct path root, pwd;
};
struct mm_struct {
	struct file *exe_file;
	unsigned long arg_start, arg_end;
};
typedef struct {
	__u64 val;
} kernel_cap_t; /* before 6.3 two numbers: the same bits */
struct user_namespace {
	int level; /* 0: the first one */
};
struct cred {
	kernel_cap_t cap_permitted, cap_effective, cap_ambient;
	kuid_t uid, euid, suid, fsuid;
	kgid_t gid, fsgid;
	struct user_namespace *user_ns;
};
struct kernfs_node {
	__u64 id;
};
struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};
struct cgroup {
	struct cgroup_subsys_state self; /* the first member: a parent's is its group */
	struct kernfs_node *kn;
};
struct css_set {
	struct cgroup *dfl_cgrp;
};
struct net {
	__u64 net_cookie;
};
struct nsproxy {
	struct net *net_ns;
};
typedef struct {
	int counter;
} atomic_t;
struct signal_struct {
	atomic_t live; /* threads that have not begun to end */
	unsigned int flags;
	int group_exit_code;
};
struct thread_info {
	unsigned int status; /* x86 */
};
struct task_struct {
	struct thread_info thread_info;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	const struct cred *cred;
	struct task_struct *real_parent, *group_leader;
	struct css_set *cgroups;
	int pid, tgid, exit_code;
	__u64 start_boottime;
	char comm[16];
};
struct linux_binprm {
	const char *filename;
};
struct module {
	char name[56];
};
struct pt_regs {
	unsigned long orig_ax, bx, di, si;
};
struct pt_regs___arm {
	unsigned long orig_x0, regs[31];
	int syscallno;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct in6_addr {
	unsigned char bytes[16];
};
struct sock_common {
	unsigned int skc_daddr, skc_rcv_saddr;
	unsigned short skc_dport, skc_num; /* network, host order */
	unsigned short skc_family;
	unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
	unsigned long skc_flags; /* sk_flags */
};
struct sock {
	struct sock_common __sk_common;
	unsigned short sk_protocol;
	int sk_err;
};
struct inet_sock {
	unsigned short inet_sport; /* network order; stays when the port is given back */
};
struct socket {
	struct sock *sk;
};
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct file *file;
};
struct tcp_sock {
	__u64 bytes_sent, bytes_retrans, bytes_received;
};

#pragma clang attribute pop
