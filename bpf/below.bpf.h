/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* For iterators, where the current process is another one than that which is looked at. After abi.h and kernel.h or trace_kernel.h. */
/* Is the process in that control group or one below? cgroup: id, 0 = the root. */
static __always_inline int is_below(struct task_struct *task, __u64 cgroup)
{
	struct css_set *css = task->cgroups;
	struct cgroup *at = css ? css->dfl_cgrp : 0;

	for (int i = 0; cgroup && i < ZT_BPF_LEVELS + 4; i++) {
		struct cgroup_subsys_state *parent = 0;
		struct kernfs_node *kn = 0;
		__u64 id = 0;

		if (!at)
			return 0;
		bpf_core_read(&kn, sizeof(kn), &at->kn);
		bpf_core_read(&id, sizeof(id), &kn->id);
		if (id == cgroup)
			return 1;
		bpf_core_read(&parent, sizeof(parent), &at->self.parent);
		at = (struct cgroup *)parent;
	}
	return !cgroup;
}
