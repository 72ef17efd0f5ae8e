/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <seccomp.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#include "daemon/daemon.h"

/* Of the loop. The hand keeps what the unit grants it. */
const struct zt_right zt_rights_kept[] = {
	{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH",
	 "folders of programs and containers that root may not enter as their owner are watched; control groups by id"},
	{CAP_SYS_PTRACE, "CAP_SYS_PTRACE",
	 "which program a process of another user runs: /proc/PID/exe of who changed the rules"},
};
const size_t zt_n_rights_kept = ZT_ARRAY_SIZE(zt_rights_kept);

static int keep_caps(void)
{
	cap_t c = cap_init();
	int r = c ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < zt_n_rights_kept; i++) {
		cap_flag_value_t has = CAP_CLEAR;
		cap_t now = cap_get_proc();
		cap_value_t v = (cap_value_t)zt_rights_kept[i].cap;

		if (now && cap_get_flag(now, v, CAP_PERMITTED, &has) == 0 && has == CAP_SET &&
		    (cap_set_flag(c, CAP_PERMITTED, 1, &v, CAP_SET) < 0 ||
		     cap_set_flag(c, CAP_EFFECTIVE, 1, &v, CAP_SET) < 0))
			r = -errno;
		(void)cap_free(now);
	}
	for (cap_value_t v = 0; !r && v < cap_max_bits(); v++) {
		cap_flag_value_t keep = CAP_CLEAR;

		(void)cap_get_flag(c, v, CAP_PERMITTED, &keep); /* of ours: cannot fail */
		if (keep == CAP_CLEAR && cap_get_bound(v) > 0 && cap_drop_bound(v) < 0 && errno != EPERM)
			r = -errno;
	}
	if (!r && cap_set_proc(c) < 0)
		r = -errno;
	if (c)
		(void)cap_free(c);
	return r;
}

/* The loop starts no program, enters no namespace, mounts nothing, loads nothing. bpf() stays: without its capability it only reads maps that
 * sources of events hold open. */
static int forbid(void)
{
	static const char *const calls[] = {
		"execve",	  "execveat",	     "ptrace",	      "process_vm_readv", "process_vm_writev",
		"mount",	  "umount2",	     "pivot_root",    "chroot",		  "move_mount",
		"open_tree",	  "fsopen",	     "fsmount",	      "fsconfig",	  "mount_setattr",
		"setns",	  "unshare",	     "init_module",   "finit_module",	  "delete_module",
		"kexec_load",	  "kexec_file_load", "reboot",	      "swapon",		  "swapoff",
		"sethostname",	  "setdomainname",   "settimeofday",  "clock_settime",	  "adjtimex",
		"clock_adjtime",  "add_key",	     "request_key",   "keyctl",		  "userfaultfd",
		"io_uring_setup", "personality",     "acct",	      "quotactl",	  "iopl",
		"ioperm",	  "perf_event_open", "mknod",	      "mknodat",	  "setuid",
		"setgid",	  "setreuid",	     "setregid",      "setresuid",	  "setresgid",
		"setgroups",	  "vhangup",	     "lookup_dcookie"};
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int r = f ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(calls); i++) {
		int nr = seccomp_syscall_resolve_name(calls[i]);

		if (nr != __NR_SCMP_ERROR)
			r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), nr, 0);
	}
	if (!r)
		r = seccomp_load(f);
	if (f)
		seccomp_release(f);
	return r;
}

int zt_rights_drop(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	(void)prctl(PR_SET_DUMPABLE, 0); /* what it read of others is in its memory */
	return forbid() ?: keep_caps();
}
