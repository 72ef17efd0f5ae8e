/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What the programs read of the kernel's own structures, and nothing more. Offsets come from the running kernel (CO-RE), so that no header of
 * a kernel is needed to build. ___name variants are what differs between kernels, each with the version that retires it.
 */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	unsigned int val;
} kuid_t, kgid_t;
struct user_namespace {
	int level; /* 0: that of the machine */
};
struct super_block {
	unsigned int s_dev;
	unsigned long s_magic;
	struct user_namespace *s_user_ns;
};
struct timespec64 {
	long long tv_sec;
	long tv_nsec;
};
struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	long long i_ctime_sec; /* since 6.11 */
	unsigned int i_ctime_nsec;
};
struct inode___6_6 { /* 6.6 to 6.10 */
	struct timespec64 __i_ctime;
};
struct inode___old { /* before 6.6 */
	struct timespec64 i_ctime;
};
struct file {
	struct inode *f_inode;
	unsigned int f_flags;
};
struct mm_struct {
	struct file *exe_file;
};
struct group_info {
	int ngroups;
	kgid_t gid[0];
};
struct cred {
	kuid_t fsuid;
	kgid_t fsgid;
	struct group_info *group_info;
};
struct kernfs_node {
	__u64 id;
};
struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};
struct cgroup_root {
	int hierarchy_id;
};
struct cgroup {
	struct cgroup_subsys_state self; /* the first member: a parent's is its group */
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};
struct css_set {
	struct cgroup *dfl_cgrp;
};
struct upid {
	int nr;
	struct pid_namespace *ns;
};
struct pid {
	unsigned int level;
	struct upid numbers[1]; /* one for each namespace of processes that it is in, the outermost first */
};
struct task_struct {
	struct mm_struct *mm;
	const struct cred *cred;
	struct task_struct *real_parent;
	struct css_set *cgroups;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	__u64 start_boottime;
	int tgid;
	char comm[16];
};
struct net {
	__u64 net_cookie;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct sock_common {
	unsigned short skc_family;
	possible_net_t skc_net;
};
struct sock {
	struct sock_common __sk_common;
	__u32 sk_mark;
	void *sk_reuseport_cb;
};
struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};
struct unix_address {
	int len; /* of name, its family included */
	struct sockaddr_un name[0];
};
struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};
struct socket {
	struct sock *sk;
};
struct sk_buff {
	unsigned int len;
};
struct nf_hook_state;
struct bpf_nf_ctx { /* since 6.4 */
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	unsigned int fd;
	struct file *file;
};

#pragma clang attribute pop
