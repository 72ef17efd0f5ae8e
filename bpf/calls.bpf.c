/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What processes do to the kernel and to each other: programs that only look, beside those of trace.bpf.c, whose ring they share. Not every kernel
 * takes each of them; user space tries (event/calls.c).
 *
 *   module_load                    a kernel module is in
 *   security_ptrace_access_check   ptrace, process_vm_readv and _writev, /proc/PID/mem, pidfd_getfd: all ask there
 *   security_ptrace_traceme        a process gives itself to its parent
 *   security_task_fix_setuid, _setgid, security_capset   a process gives itself other rights, or gives some away
 *   signal_generate                where the kernel lets nobody look at its functions: an attach at least stops its target
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "trace_kernel.h"
#include "trace_abi.h"
#include "trace.bpf.h"

enum { MODE_ATTACH = 2, SIGNAL_STOP = 19, BY_THE_KERNEL = 1, TS_COMPAT = 2 };

/* The system call that the current process is in. On x86 a program of 64 bits can make those of 32 bits as well (int 0x80), which have other numbers. */
static __always_inline void call_of(struct zt_trace_call *e)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(t);

	if (bpf_core_field_exists(regs->orig_ax)) {
		e->call = BPF_CORE_READ(regs, orig_ax);
		e->argument = BPF_CORE_READ(regs, di);
		if (bpf_core_field_exists(t->thread_info.status) && t->thread_info.status & TS_COMPAT) {
			e->call |= ZT_TRACE_32;
			e->argument = (__u32)BPF_CORE_READ(regs, bx);
		}
	} else {
		struct pt_regs___arm *arm = (void *)regs;

		e->call = BPF_CORE_READ(arm, syscallno);
		e->argument = BPF_CORE_READ(arm, orig_x0);
	}
}

static __always_inline int tell(struct task_struct *who, struct task_struct *target, int error, int is_attach)
{
	struct zt_trace_call *e;

	if (!wanted(ZT_TRACE_PTRACE) || !ours() || !who || !target)
		return 0;
	e = reserve(ZT_TRACE_PTRACE, sizeof(*e));
	if (!e)
		return 0;
	process_of(who, &e->process);
	process_of(target, &e->target);
	e->error = -error;
	e->had_fsuid = e->fsuid = 0;
	__builtin_memset(e->name, 0, sizeof(e->name));
	if (is_attach) {
		e->call = ZT_TRACE_ATTACH;
		e->argument = 0;
	} else {
		call_of(e);
	}
	submit(e);
	return 0;
}

SEC("fexit/security_ptrace_access_check")
int zt_access(__u64 *ctx)
{
	struct task_struct *target = (struct task_struct *)ctx[0];

	return ctx[1] & MODE_ATTACH ? tell(bpf_get_current_task_btf(), target, (int)ctx[2], 0) : 0;
}

SEC("fexit/security_ptrace_traceme")
int zt_traceme(__u64 *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx[0];

	return tell(parent, bpf_get_current_task_btf(), (int)ctx[1], 0);
}

/* No process can send a signal in the name of the kernel: the stop that an attach begins with is the only one of its kind. */
SEC("tp_btf/signal_generate")
int zt_stop(__u64 *ctx)
{
	struct task_struct *target = (struct task_struct *)ctx[2];

	if ((int)ctx[0] != SIGNAL_STOP || ctx[1] != BY_THE_KERNEL)
		return 0;
	return tell(bpf_get_current_task_btf(), target, 0, 1);
}

/* cred is still the old one. A change that leaves everything as it was is none. */
static __always_inline int tell_rights(const struct cred *new, const struct cred *old, int error)
{
	struct zt_trace_call *e;
	__u64 caps = 0, had = 0;
	__u32 other;

	bpf_core_read(&caps, sizeof(caps), &new->cap_effective);
	bpf_core_read(&had, sizeof(had), &old->cap_effective);
	if (error || !wanted(ZT_TRACE_RIGHTS) || !ours())
		return 0;
	other = (new->uid.val ^ old->uid.val) | (new->euid.val ^ old->euid.val) | (new->suid.val ^ old->suid.val) |
		(new->fsuid.val ^ old->fsuid.val) | (new->fsgid.val ^ old->fsgid.val);
	if (!other && !(caps & ~had))
		return 0;
	e = reserve(ZT_TRACE_RIGHTS, sizeof(*e));
	if (!e)
		return 0;
	process_of(bpf_get_current_task_btf(), &e->process);
	__builtin_memset(&e->target, 0, sizeof(e->target));
	e->target.uid = new->uid.val;
	e->target.euid = new->euid.val;
	e->target.gid = new->fsgid.val;
	e->had_fsuid = old->fsuid.val;
	e->fsuid = new->fsuid.val;
	e->error = 0;
	__builtin_memset(e->name, 0, sizeof(e->name));
	call_of(e);
	e->argument = caps & ~had;
	submit(e);
	return 0;
}

SEC("fexit/security_task_fix_setuid")
int zt_setuid(__u64 *ctx)
{
	return tell_rights((const struct cred *)ctx[0], (const struct cred *)ctx[1], (int)ctx[3]);
}

SEC("fexit/security_task_fix_setgid")
int zt_setgid(__u64 *ctx)
{
	return tell_rights((const struct cred *)ctx[0], (const struct cred *)ctx[1], (int)ctx[3]);
}

SEC("fexit/security_capset")
int zt_capset(__u64 *ctx)
{
	return tell_rights((const struct cred *)ctx[0], (const struct cred *)ctx[1], (int)ctx[5]);
}

SEC("tp_btf/module_load")
int zt_module(__u64 *ctx)
{
	struct module *m = (struct module *)ctx[0];
	struct zt_trace_call *e;

	if (!wanted(ZT_TRACE_MODULE) || !ours())
		return 0;
	e = reserve(ZT_TRACE_MODULE, sizeof(*e));
	if (!e)
		return 0;
	process_of(bpf_get_current_task_btf(), &e->process);
	__builtin_memset(&e->target, 0, sizeof(e->target));
	e->error = e->had_fsuid = e->fsuid = 0;
	call_of(e);
	__builtin_memset(e->name, 0, sizeof(e->name));
	bpf_probe_read_kernel_str(e->name, sizeof(e->name), m->name);
	submit(e);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
