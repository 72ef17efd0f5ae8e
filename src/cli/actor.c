/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "cli/actor.h"

enum { GROUPS_SHOWN = 8 };

/* ---- reading ---- */
static void read_parents(struct zt_person *p)
{
	int pid = p->process.ppid;

	while (pid > 0 && p->n_parents < ZT_PARENTS_MAX && zt_process_read(pid, &p->parents[p->n_parents]) == 0)
		pid = p->parents[p->n_parents++].ppid;
}

static void read_digest(struct zt_person *p)
{
	struct zt_exe_seen seen = {0};
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", p->process.pid);
	if (p->process.exe_ino && zt_exe_lookup(NULL, path, true, &seen) == 0)
		memcpy(p->digest, seen.digest, sizeof(p->digest));
}

static bool below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return !strncmp(path, folder, n) && (!path[n] || path[n] == '/' || !n);
}

static int read_container(struct zt_person *p)
{
	struct zt_container *c = NULL;
	size_t n = 0;
	int r = zt_containers_list(NULL, &c, &n);

	for (size_t i = 0; r == 0 && i < n && !p->container; i++)
		if (below(p->process.cgroup, c[i].cgroup)) {
			p->container = zt_new(struct zt_container, 1);
			r = p->container ? 0 : -ENOMEM;
			if (p->container) {
				*p->container = c[i];
				c[i] = (struct zt_container){0};
			}
		}
	zt_containers_free(c, n);
	return r == -ENOMEM ? r : 0; /* a host without cgroup2 has none */
}

/* Ids of all the cgroups above, from level 1 down. */
static void read_cgroups(struct zt_person *p)
{
	ZT_FREE char *path = zt_strdup(p->process.cgroup);
	size_t n = 0;

	for (char *end = path; end && *path && n < ZT_ARRAY_SIZE(p->actor.cgroup) - 1;) {
		unsigned level;
		char *slash = strchr(end, '/');

		if (slash)
			*slash = '\0';
		if (zt_cgroup_lookup(NULL, path, &p->actor.cgroup[n], &level) < 0)
			break;
		n++;
		end = slash ? slash + 1 : NULL;
		if (slash)
			*slash = '/';
	}
}

static void make_actor(struct zt_person *p, const struct zt_ruleset *rs)
{
	p->actor = zt_actor_of(&p->process, p->n_parents ? &p->parents[0] : NULL, rs);
	read_cgroups(p);
}

void zt_person_judge(struct zt_person *p, const struct zt_ruleset *rs)
{
	p->actor.known = p->process.pid && zt_actor_told(&p->actor, rs);
}

int zt_person_read(int pid, const struct zt_ruleset *rs, struct zt_person *ret)
{
	int r;

	*ret = (struct zt_person){0};
	r = zt_process_read(pid, &ret->process);
	if (r < 0)
		return r;
	read_parents(ret);
	make_actor(ret, rs);
	return 0;
}

static bool is_same(const struct zt_process *p, const struct zt_event_end *e)
{
	uint64_t tick = UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK);

	return p->start_time == e->start / tick && p->exe_ino == e->exe.ino && p->exe_dev == e->exe.dev;
}

static int recorded(const struct zt_event_end *e, struct zt_person *ret)
{
	struct zt_process *p = &ret->process;
	struct zt_exe_seen seen = {0};
	bool named = e->how > ZT_HOW_NAME;

	*p = (struct zt_process){.pid = e->pid,
				 .uid = e->uid,
				 .gid = e->gid,
				 .exe = named ? zt_strdup(e->program) : NULL,
				 .exe_deleted = e->deleted,
				 .exe_dev = e->exe.dev,
				 .exe_ino = e->exe.ino,
				 .exe_ctime_sec = e->exe.ctime_sec,
				 .exe_ctime_nsec = e->exe.ctime_nsec,
				 .cgroup = zt_strdup(e->cgroup)};
	memcpy(p->comm, e->comm, sizeof(p->comm));
	if (!p->cgroup || (named && !p->exe))
		return -ENOMEM;
	if (named && zt_exe_lookup(NULL, e->program, true, &seen) == 0 && seen.ino == e->exe.ino &&
	    seen.dev == e->exe.dev && seen.ctime_sec == e->exe.ctime_sec && seen.ctime_nsec == e->exe.ctime_nsec)
		memcpy(ret->digest, seen.digest, sizeof(ret->digest));
	make_actor(ret, NULL);
	return read_container(ret);
}

int zt_person_of_event(const struct zt_event_end *e, struct zt_person *ret)
{
	int r;

	*ret = (struct zt_person){0};
	if (!e->known)
		return 0;
	if (zt_person_read(e->pid, NULL, ret) == 0 && is_same(&ret->process, e))
		return zt_person_details(ret);
	zt_person_done(ret);
	r = recorded(e, ret);
	if (r < 0)
		zt_person_done(ret);
	return r;
}

int zt_person_details(struct zt_person *p)
{
	read_digest(p);
	return read_container(p);
}

void zt_person_done(struct zt_person *p)
{
	zt_process_done(&p->process);
	for (size_t i = 0; i < p->n_parents; i++)
		zt_process_done(&p->parents[i]);
	zt_containers_free(p->container, p->container ? 1 : 0);
	*p = (struct zt_person){0};
}

char *zt_person_service(const struct zt_person *p)
{
	const char *path = p->process.cgroup, *found = NULL;
	size_t len = 0;

	while (path && *path) {
		size_t n = strcspn(path, "/");

		if (n > 8 && !strncmp(path + n - 8, ".service", 8)) {
			found = path;
			len = n;
		}
		path += n + (path[n] == '/');
	}
	return found ? zt_strndup(found, len) : NULL;
}

/* ---- why it is not a subject ---- */
static void uid_miss(const struct zt_subject *s, const struct zt_person *p, struct zt_strbuf *out)
{
	zt_strbuf_str(out, "user: ");
	zt_uid_text(p->actor.uid, out);
	zt_strbuf_str(out, " is not ");
	if (s->uid.n == 1 && s->uid.v[0].lo == s->uid.v[0].hi) {
		zt_uid_text(s->uid.v[0].lo, out);
		return;
	}
	zt_strbuf_str(out, "in ");
	zt_u32_ranges_text(&s->uid, out);
}

static void gid_miss(const struct zt_subject *s, const struct zt_person *p, struct zt_strbuf *out)
{
	size_t shown = 0;

	zt_strbuf_printf(out, "group: %u", p->actor.gid);
	for (size_t i = 0; i < p->actor.n_groups && shown < GROUPS_SHOWN; i++)
		if (p->actor.groups[i] != p->actor.gid && ++shown)
			zt_strbuf_printf(out, ", %u", p->actor.groups[i]);
	zt_strbuf_printf(out, "%s%s not in ", p->actor.n_groups > GROUPS_SHOWN ? " ..." : "", shown ? " are" : " is");
	zt_u32_ranges_text(&s->gid, out);
}

static void cgroup_miss(const struct zt_subject *s, const struct zt_person *p, struct zt_strbuf *out)
{
	zt_strbuf_str(out, "cgroup: ");
	for (size_t i = 0; i < s->n_cgroups; i++)
		if (below(p->process.cgroup, s->cgroups[i].path)) {
			zt_strbuf_escaped(out, s->cgroups[i].path, strlen(s->cgroups[i].path));
			zt_strbuf_str(out, s->cgroups[i].id ? " was recreated" : " is new");
			zt_strbuf_str(out, " since the policy was resolved; run `zt-segment refresh`");
			return;
		}
	zt_strbuf_char(out, '/');
	zt_strbuf_escaped(out, p->process.cgroup, strlen(p->process.cgroup));
	zt_strbuf_str(out, " is not below ");
	for (size_t i = 0; i < s->n_cgroups; i++) {
		zt_strbuf_str(out, i ? ", /" : "/");
		zt_strbuf_escaped(out, s->cgroups[i].path, strlen(s->cgroups[i].path));
	}
}

static void package_text(const char *path, struct zt_strbuf *out)
{
	ZT_FREE char *package = NULL, *upgraded = NULL;

	if (zt_exe_package(path, &package, &upgraded) == 0)
		zt_strbuf_printf(out, "package %s was upgraded at %s; ", package, upgraded);
}

/* It runs the path that is meant, but not the file that was there when the policy was resolved. */
static void replaced_text(const struct zt_exe *e, const struct zt_process *of, const char *digest,
			  struct zt_strbuf *out)
{
	zt_strbuf_escaped(out, e->path, strlen(e->path));
	if (of->exe_deleted) {
		zt_strbuf_str(out, " was replaced or deleted since the process started; ");
		package_text(e->path, out);
		zt_strbuf_str(out, "restart it and run `zt-segment refresh`");
		return;
	}
	zt_strbuf_str(out, !e->id.ino ? " did not exist when the policy was resolved; " : " was replaced: ");
	if (e->id.ino && *digest && *e->digest)
		zt_strbuf_str(out, strcmp(digest, e->digest) != 0 ? "digest differs from the one in the policy: "
								  : "another file of the same content; ");
	package_text(e->path, out);
	if (e->pinned && *digest && strcmp(digest, e->digest) != 0)
		zt_strbuf_printf(out, "the policy pins sha256:%.12s..., this is sha256:%.12s...", e->digest, digest);
	else
		zt_strbuf_str(out, "run `zt-segment refresh`");
}

static void exe_miss(const char *word, const struct zt_exe *v, size_t n, const struct zt_process *of,
		     const char *digest, struct zt_strbuf *out)
{
	zt_strbuf_printf(out, "%s: ", word);
	for (size_t i = 0; of && of->exe && i < n; i++)
		if (!strcmp(of->exe, v[i].path)) {
			replaced_text(&v[i], of, digest, out);
			return;
		}
	if (of && of->exe)
		zt_strbuf_escaped(out, of->exe, strlen(of->exe));
	else
		zt_strbuf_str(out, of ? "none that can be read" : "none");
	if (of && of->exe_deleted)
		zt_strbuf_str(out, " (deleted)");
	zt_strbuf_str(out, " is not ");
	for (size_t i = 0; i < n; i++) {
		zt_strbuf_str(out, i ? ", " : "");
		zt_strbuf_escaped(out, v[i].path, strlen(v[i].path));
	}
}

/* A deleted program is unknown whatever the subject asks; most useful is the subject's own program. */
static void unknown_text(const struct zt_subject *s, const struct zt_person *p, struct zt_strbuf *out)
{
	for (size_t i = 0; p->process.exe && i < s->n_exes; i++)
		if (!strcmp(p->process.exe, s->exes[i].path)) {
			zt_strbuf_str(out, "program: ");
			replaced_text(&s->exes[i], &p->process, p->digest, out);
			return;
		}
	if (p->process.exe) {
		zt_strbuf_str(out, "program: ");
		zt_strbuf_escaped(out, p->process.exe, strlen(p->process.exe));
		zt_strbuf_str(out, " has no name any more: unknown, whatever it is");
	} else {
		zt_strbuf_str(out, p->process.exe_deleted
					   ? "program: deleted, or in memory only: unknown, whatever it is"
					   : "program: cannot be told");
	}
}

void zt_subject_miss_text(const struct zt_subject *s, const struct zt_person *p, enum zt_subject_miss miss,
			  struct zt_strbuf *out)
{
	switch (miss) {
	case ZT_SUBJECT_MATCH:
		break;
	case ZT_SUBJECT_UNKNOWN:
		unknown_text(s, p, out);
		break;
	case ZT_SUBJECT_UID:
		uid_miss(s, p, out);
		break;
	case ZT_SUBJECT_GID:
		gid_miss(s, p, out);
		break;
	case ZT_SUBJECT_CGROUP:
		cgroup_miss(s, p, out);
		break;
	case ZT_SUBJECT_EXE:
		exe_miss("program", s->exes, s->n_exes, &p->process, p->digest, out);
		break;
	case ZT_SUBJECT_PARENT:
		exe_miss("parent program", s->parents, s->n_parents, p->n_parents ? &p->parents[0] : NULL, "", out);
		break;
	}
}
