/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "identity/identity.h"
#include "ruleset/compile.h"

bool zt_who_needs_subject(const struct zt_who *w, bool labels)
{
	return w->n_exes || w->n_parents || (labels && w->gid.n);
}

void zt_compile_done(struct compile *c)
{
	for (size_t i = 0; i < c->n_programs; i++)
		free(c->programs[i].path);
	free(c->programs);
	c->programs = NULL;
	c->n_programs = c->cap_programs = 0;
}

/* ---- looking a program up ---- */
static int not_there(struct compile *c, const struct zt_policy_rule *pr, const struct zt_exe_ref *ref)
{
	(void)zt_diag(c->d, ZT_WARNING, 2102, &ref->span, "rule \"%s\": there is no program \"%s\" now", pr->name,
		      ref->path);
	zt_diag_hint(c->d, "the rule matches nothing until it is installed; `zt-segment refresh` looks again");
	return 0;
}

/* docs/architecture.md, "Scripts", says why it is so. */
static int refuse_script(struct compile *c, const struct zt_policy_rule *pr, const struct zt_exe_ref *ref,
			 const char *interpreter)
{
	ZT_FREE char *unit = NULL;

	(void)zt_diag(
		c->d, ZT_ERROR, 2103, &ref->span,
		"rule \"%s\": \"%s\" is a script: the process that runs it is %s, which reads whatever file it is given",
		pr->name, ref->path, interpreter);
	if (zt_service_running(c->o->root, ref->path, &unit) == 0)
		zt_diag_hint(c->d, "service: %s, which starts it, is told apart; or give it a user of its own", unit);
	else
		zt_diag_hint(c->d, "run it as a service and name that, or as a user of its own");
	return -EINVAL;
}

static int refuse(struct compile *c, const struct zt_policy_rule *pr, const struct zt_exe_ref *ref, int error,
		  const struct zt_exe_seen *seen)
{
	if (error == -ENOEXEC && seen->interpreter[0])
		return refuse_script(c, pr, ref, seen->interpreter);
	if (error == -ENOMEM)
		return error;
	if (error == -EACCES && geteuid() != 0) {
		(void)zt_diag(c->d, ZT_WARNING, 2135, &ref->span, "rule \"%s\": you may not look at the program \"%s\"",
			      pr->name, ref->path);
		zt_diag_hint(c->d, "as root, check says whether it can be enforced");
		return 0;
	}
	(void)zt_diag(c->d, ZT_ERROR, 2104, &ref->span, "rule \"%s\": \"%s\" cannot be read as a program: %s", pr->name,
		      ref->path,
		      error == -EBUSY	  ? "it is being written to"
		      : error == -ENOEXEC ? "it is neither ELF nor a script that names its interpreter"
					  : strerror(-error));
	zt_diag_hint(c->d, "exe: takes the path of a regular executable file");
	return -EINVAL;
}

static int look_up(struct compile *c, const struct zt_policy_rule *pr, const struct zt_exe_ref *ref, struct zt_exe *e)
{
	struct zt_exe_seen seen = {0};
	int r = zt_exe_lookup(c->o->root, ref->path, true, &seen);

	if (r == -ENOENT || r == -ENOTDIR)
		return not_there(c, pr, ref);
	if (r < 0)
		return refuse(c, pr, ref, r, &seen);
	e->id = (struct zt_file_id){
		.dev = seen.dev, .ino = seen.ino, .ctime_sec = seen.ctime_sec, .ctime_nsec = seen.ctime_nsec};
	memcpy(e->digest, seen.digest, sizeof(e->digest));
	return 0;
}

static int program(struct compile *c, const struct zt_policy_rule *pr, const struct zt_exe_ref *ref,
		   const struct zt_exe **ret)
{
	struct zt_exe *e;
	int r;

	for (size_t i = 0; i < c->n_programs; i++)
		if (!strcmp(c->programs[i].path, ref->path)) {
			*ret = &c->programs[i];
			return 0;
		}
	if (zt_grow(c->programs, c->cap_programs, c->n_programs) < 0)
		return -ENOMEM;
	e = &c->programs[c->n_programs];
	*e = (struct zt_exe){.path = zt_strdup(ref->path)};
	r = e->path ? 0 : -ENOMEM;
	r = r ? r : c->o->offline ? 0 : look_up(c, pr, ref, e);
	if (r < 0) {
		free(e->path);
		return r;
	}
	c->n_programs++;
	*ret = e;
	return 0;
}

/* The digest the policy gives must be the file's: a program that is another one now must not get the old one's rights. */
static int check_pin(struct compile *c, const struct zt_policy_rule *pr, const struct zt_exe_ref *ref, struct zt_exe *e)
{
	if (!ref->digest[0])
		return 0;
	e->pinned = true;
	if (!e->digest[0] || !strcmp(e->digest, ref->digest)) {
		memcpy(e->digest, ref->digest, sizeof(e->digest));
		return 0;
	}
	(void)zt_diag(c->d, ZT_ERROR, 2105, &ref->span,
		      "rule \"%s\": \"%s\" is not the program of the policy: its digest differs", pr->name, ref->path);
	zt_diag_hint(c->d, "it is sha256:%s now; was a package upgraded?", e->digest);
	return -EINVAL;
}

static int exes(struct compile *c, const struct zt_policy_rule *pr, const struct zt_exe_ref *refs, size_t n,
		struct zt_exe **ret, size_t *ret_n)
{
	int r = 0;

	if (n && !(*ret = zt_new(struct zt_exe, n)))
		return -ENOMEM;
	for (size_t i = 0; i < n && (!r || r == -EINVAL); i++) {
		const struct zt_exe *known = NULL;
		struct zt_exe *e = &(*ret)[*ret_n];
		int one = program(c, pr, &refs[i], &known);

		if (!one) {
			*e = *known;
			e->path = zt_strdup(known->path);
			++*ret_n;
			one = e->path ? check_pin(c, pr, &refs[i], e) : -ENOMEM;
		}
		r = one ?: r;
	}
	return r;
}

static int compare_exes(const void *a, const void *b)
{
	return strcmp(((const struct zt_exe *)a)->path, ((const struct zt_exe *)b)->path);
}

static int borrowed_cgroups(struct zt_subject *s, const struct zt_match *m)
{
	s->cgroups = m->cgroups; /* taken back before it is freed: the ruleset keeps a copy */
	s->n_cgroups = m->n_cgroups;
	return 0;
}

int zt_compile_subject(struct compile *c, const struct zt_policy_rule *pr, const struct zt_who *who,
		       const struct zt_match *m, const struct zt_subject **ret)
{
	ZT_CLEANUP(zt_subject_done) struct zt_subject s = {.text = zt_strdup(who->label ? who->label : "*")};
	int r = s.text ? zt_u32_ranges_copy(&s.uid, &who->uid) : -ENOMEM;

	r = r ?: zt_u32_ranges_copy(&s.gid, &who->gid);
	zt_u32_ranges_normalise(&s.uid);
	zt_u32_ranges_normalise(&s.gid);
	r = r ?: exes(c, pr, who->exes, who->n_exes, &s.exes, &s.n_exes) ?: exes(c, pr, who->parents, who->n_parents, &s.parents, &s.n_parents);
	if (s.n_exes)
		qsort(s.exes, s.n_exes, sizeof(*s.exes), compare_exes);
	if (s.n_parents)
		qsort(s.parents, s.n_parents, sizeof(*s.parents), compare_exes);
	r = r ?: borrowed_cgroups(&s, m) ?: zt_ruleset_subject(c->rs, &s, ret);
	s.cgroups = NULL;
	s.n_cgroups = 0;
	if (r == -E2BIG) {
		(void)zt_diag(c->d, ZT_ERROR, 2106, &pr->span,
			      "rule \"%s\": the policy names more than %d different processes", pr->name,
			      ZT_SUBJECTS_MAX);
		zt_diag_hint(c->d, "programs and receivers are limited; users, groups and services of senders are not");
		return -EINVAL;
	}
	return r;
}
