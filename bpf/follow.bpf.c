/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control groups that the policy names by path and that are made while it is in force: a service that is started again has a group of another
 * id. The kernel tells of a group before anybody can enter it, so that its id is evidence before its first process is. An object of its own:
 * where it does not load, ids are what they were at the commit, until refresh.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#include "kernel.h"
#include "maps.bpf.h"

#define DEFAULT_HIERARCHY 0 /* cgroup2; the others have paths of the same look */

static __always_inline void add(void *known, __u64 kind, __u64 id, const struct zt_bpf_set *set)
{
	struct zt_bpf_evidence k = {.kind = kind, .a = id};

	bpf_map_update_elem(known, &k, set, BPF_ANY); /* there is room for every path; without it the group is nobody's */
}

static __always_inline void follow(__u32 slot, const struct zt_bpf_path_key *path, __u64 id)
{
	void *names = bpf_map_lookup_elem(&paths, &slot);
	void *known = bpf_map_lookup_elem(&evidence, &slot);
	struct zt_bpf_path *p = names && known ? bpf_map_lookup_elem(names, path) : 0;

	if (!p)
		return;
	if (p->kinds & 1 << ZT_BPF_E_CGROUP)
		add(known, ZT_BPF_E_CGROUP, id, &p->subjects);
	if (p->kinds & 1 << ZT_BPF_E_RULE_CGROUP)
		add(known, ZT_BPF_E_RULE_CGROUP, id, &p->rules);
}

static __always_inline void forget(__u32 slot, __u64 kind, __u64 id)
{
	struct zt_bpf_evidence k = {.kind = kind, .a = id};
	void *known = bpf_map_lookup_elem(&evidence, &slot);

	if (known)
		bpf_map_delete_elem(known, &k);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(zt_mkdir, struct cgroup *made, const char *path)
{
	struct zt_bpf_path_key key = {};
	long n = bpf_probe_read_kernel_str(key.path, sizeof(key.path), path);

	if (n <= 0 || n >= ZT_BPF_PATH || made->root->hierarchy_id != DEFAULT_HIERARCHY)
		return 0;
	for (__u32 slot = 0; slot < SLOTS; slot++)
		follow(slot, &key, made->kn->id);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(zt_rmdir, struct cgroup *gone, const char *path)
{
	if (gone->root->hierarchy_id != DEFAULT_HIERARCHY)
		return 0;
	for (__u32 slot = 0; slot < SLOTS; slot++) {
		forget(slot, ZT_BPF_E_CGROUP, gone->kn->id);
		forget(slot, ZT_BPF_E_RULE_CGROUP, gone->kn->id);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
