/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Inside the room: compile.c (rules), programs.c (subjects: programs are looked up and hashed, each path once). */
#include "ruleset/ruleset.h"

struct compile {
	const struct zt_policy *p;
	const struct zt_compile_options *o;
	struct zt_ruleset *rs;
	struct zt_diags *d;
	struct zt_exe *programs; /* by path, looked up before */
	size_t n_programs, cap_programs;
	/* of unix.c: */
	size_t n_own;	   /* rules in front of those that close receivers */
	uint32_t n_closed; /* rules unix-others so far */
	bool system_open, told_unix;
};

/* Can only a label say who this is? labels: as in the options. */
bool zt_who_needs_subject(const struct zt_who *w, bool labels);
/* The subject of who in the ruleset; m has its cgroups. Programs that are missing are a warning, scripts and other digests errors. */
int zt_compile_subject(struct compile *c, const struct zt_policy_rule *pr, const struct zt_who *who,
		       const struct zt_match *m, const struct zt_subject **ret);
int zt_compile_receiver(struct compile *c, const struct zt_policy_rule *pr, const struct zt_who *who,
			struct zt_rule *rule); /* rule->match.to */
uint32_t zt_compile_file(const struct compile *c, const struct zt_policy_rule *pr);
void zt_compile_done(struct compile *c);

/* ---- unix.c: what follows from the rule, of direction ZT_DIR_UNIX. First names of all rules, then receivers ---- */
char *zt_unix_text(const struct zt_unix_names *l); /* "unix:/run/x.sock", "unix:*" */
int zt_compile_unix_names(struct compile *c, const struct zt_policy_rule *pr);
int zt_compile_unix_receivers(struct compile *c, const struct zt_policy_rule *pr);
