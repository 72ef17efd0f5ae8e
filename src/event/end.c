/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "event/source.h"
#include "identity/identity.h"

enum { REMEMBERED = 256 };

struct remembered {
	uint64_t start, ino, cgroup, generation;
	int pid;
	struct zt_event_end end;
};
struct zt_record_names {
	struct remembered v[REMEMBERED]; /* oldest replaced first */
	size_t n;
};

struct zt_record_names *zt_record_names_new(void)
{
	return zt_new(struct zt_record_names, 1);
}

void zt_record_names_free(struct zt_record_names *n)
{
	free(n);
}

/* ---- the program ---- */
static bool same_file(const struct zt_file_id *a, const struct zt_file_id *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->ctime_sec == b->ctime_sec && a->ctime_nsec == b->ctime_nsec;
}

static void put_path(struct zt_event_end *e, const char *path, enum zt_event_how how)
{
	size_t n = strlen(path), room = sizeof(e->program) - 1;

	if (n > room)
		snprintf(e->program, sizeof(e->program), "...%s", path + n - (room - 3));
	else
		memcpy(e->program, path, n + 1);
	e->how = how;
}

/* The process still lives, and runs the same program. */
static bool by_process(const struct zt_record_end *from, struct zt_event_end *e)
{
	ZT_CLEANUP(zt_process_done) struct zt_process p = {0};
	uint64_t tick = UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK);
	struct zt_file_id now;

	if (zt_process_read(from->pid, &p) < 0 || p.start_time != from->start / tick || !p.exe)
		return false;
	now = (struct zt_file_id){p.exe_dev, p.exe_ino, p.exe_ctime_sec, p.exe_ctime_nsec};
	if (now.ino != from->exe.ino || now.dev != from->exe.dev)
		return false;
	put_path(e, p.exe, ZT_HOW_PROCESS);
	return true;
}

/* Replaced since the policy was applied, and run after that. */
static bool is_now(const char *path, const struct zt_file_id *want)
{
	struct zt_exe_seen seen;

	return zt_exe_lookup(NULL, path, false, &seen) == 0 &&
	       same_file(&(struct zt_file_id){seen.dev, seen.ino, seen.ctime_sec, seen.ctime_nsec}, want);
}

static bool by_policy(const struct zt_record_end *from, const struct zt_ruleset *rs, struct zt_event_end *e)
{
	for (size_t i = 0; rs && i < rs->n_subjects; i++) {
		const struct zt_subject *s = rs->subjects[i];

		for (size_t k = 0; k < s->n_exes + s->n_parents; k++) {
			const struct zt_exe *x = k < s->n_exes ? &s->exes[k] : &s->parents[k - s->n_exes];

			if (same_file(&x->id, &from->exe) || is_now(x->path, &from->exe)) {
				put_path(e, x->path, ZT_HOW_POLICY);
				return true;
			}
		}
	}
	return false;
}

static bool in_folder(const char *folder, const struct zt_file_id *want, char **ret)
{
	ZT_FREE char *found = NULL;
	const struct dirent *e;
	DIR *d = opendir(folder);

	while (d && !found && (e = readdir(d)))
		if (e->d_ino == want->ino && e->d_type == DT_REG)
			found = zt_path_join(folder, e->d_name);
	if (d)
		(void)closedir(d); /* only read */
	if (!found || !is_now(found, want))
		return false;
	*ret = ZT_TAKE(found);
	return true;
}

/* Most programs end at once when they are refused: their files are still there. */
static bool by_folder(const struct zt_record_end *from, struct zt_event_end *e)
{
	static const char *const folders[] = {
		"/usr/bin",	"/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/lib/apt/methods",
		"/usr/libexec", "/bin",	     "/sbin"};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(folders); i++) {
		ZT_FREE char *path = NULL;

		if (in_folder(folders[i], &from->exe, &path)) {
			put_path(e, path, ZT_HOW_FOLDER);
			return true;
		}
	}
	return false;
}

static void find_program(const struct zt_record_end *from, const struct zt_ruleset *rs, struct zt_event_end *e)
{
	if (from->exe.ino && (by_process(from, e) || by_policy(from, rs, e) || by_folder(from, e)))
		return;
	if (*from->comm) { /* as ps shows what has no name of its own */
		snprintf(e->program, sizeof(e->program), "[%s]", from->comm);
		e->how = ZT_HOW_NAME;
	}
}

/* ---- group, service, subjects ---- */
static void find_cgroup(uint64_t id, struct zt_event_end *e)
{
	ZT_FREE char *path = NULL;
	const char *unit;
	size_t n;

	if (!id || zt_cgroup_path(id, &path) < 0)
		return;
	snprintf(e->cgroup, sizeof(e->cgroup), "%s", path);
	unit = strstr(path, ".service");
	if (!unit)
		return;
	unit += strlen(".service");
	if (*unit && *unit != '/')
		return;
	for (n = 0; unit - n > path && unit[-(ssize_t)n - 1] != '/';)
		n++;
	snprintf(e->service, sizeof(e->service), "%.*s", (int)n, unit - n);
}

static void find_subjects(uint32_t label, const struct zt_ruleset *rs, const struct zt_labels *labels,
			  struct zt_event_end *e)
{
	size_t len = 0;

	for (uint32_t i = 0; rs && label && label <= labels->n && i < rs->n_subjects; i++) {
		const char *text = rs->subjects[i]->text;

		if (!zt_labels_has(labels, label, i) || !text || len + strlen(text) + 3 > sizeof(e->subjects))
			continue;
		len += (size_t)snprintf(e->subjects + len, sizeof(e->subjects) - len, "%s%s", len ? ", " : "", text);
	}
}

/* ---- all of it ---- */
static struct remembered *place(struct zt_record_names *n, const struct zt_record_end *from, uint64_t generation)
{
	for (size_t i = 0; i < ZT_MIN(n->n, (size_t)REMEMBERED); i++) {
		struct remembered *r = &n->v[i];

		if (r->pid == from->pid && r->start == from->start && r->ino == from->exe.ino &&
		    r->cgroup == from->cgroup && r->generation == generation && r->end.label == from->label &&
		    !strcmp(r->end.comm, from->comm))
			return r;
	}
	return NULL;
}

static void look_up(const struct zt_record_end *from, const struct zt_ruleset *rs, const struct zt_labels *labels,
		    struct zt_event_end *e)
{
	*e = (struct zt_event_end){.known = from->known,
				   .pid = from->pid,
				   .start = from->start,
				   .uid = from->uid,
				   .gid = from->gid,
				   .exe = from->exe,
				   .deleted = from->deleted,
				   .label = from->label};
	memcpy(e->comm, from->comm, sizeof(e->comm));
	find_subjects(from->label, rs, labels, e);
	if (!from->known)
		return;
	find_program(from, rs, e);
	find_cgroup(from->cgroup, e);
}

void zt_record_end_names(struct zt_record_names *n, const struct zt_record_end *from, const struct zt_ruleset *rs,
			 const struct zt_labels *labels, struct zt_event_end *ret)
{
	uint64_t generation = rs ? rs->generation : 0;
	struct remembered *r = from->known ? place(n, from, generation) : NULL;

	if (r) {
		*ret = r->end;
		return;
	}
	look_up(from, rs, labels, ret);
	if (!from->known)
		return;
	r = &n->v[n->n++ % REMEMBERED];
	*r = (struct remembered){.start = from->start,
				 .ino = from->exe.ino,
				 .cgroup = from->cgroup,
				 .generation = generation,
				 .pid = from->pid,
				 .end = *ret};
}

/* ---- words ---- */
const char *zt_event_how_name(enum zt_event_how h)
{
	switch (h) {
	case ZT_HOW_UNKNOWN:
		return "unknown";
	case ZT_HOW_GUESS:
		return "guess";
	case ZT_HOW_NAME:
		return "name";
	case ZT_HOW_FOLDER:
		return "file";
	case ZT_HOW_POLICY:
		return "policy";
	case ZT_HOW_PROCESS:
		return "process";
	}
	return "";
}

const char *zt_event_reason_name(enum zt_record_reason r)
{
	switch (r) {
	case ZT_RECORD_RULE:
		return "rule";
	case ZT_RECORD_DEFAULT:
		return "default";
	case ZT_RECORD_UNKNOWN:
		return "unknown sender";
	case ZT_RECORD_REVOKED:
		return "revoked";
	case ZT_RECORD_FENCED:
		return "packet socket";
	}
	return "";
}

static const char *why_unknown(const struct zt_event_end *e)
{
	if (e->deleted)
		return "its program was deleted, is in memory only, or is not what exec started";
	if (e->known && !e->exe.ino)
		return "it has no program";
	return e->known ? "it is in too many groups, or older than the policy" : "nothing is known of it";
}

void zt_event_reason_text(const struct zt_event *e, struct zt_strbuf *out)
{
	if (!e->number || e->kind != ZT_EVENT_BLOCKED)
		return;
	switch (e->reason) {
	case ZT_RECORD_RULE:
		return;
	case ZT_RECORD_DEFAULT:
		zt_strbuf_str(out, "no rule allows it");
		return;
	case ZT_RECORD_UNKNOWN:
		zt_strbuf_printf(out, "the sender cannot be identified: %s", why_unknown(&e->sender));
		return;
	case ZT_RECORD_REVOKED:
		zt_strbuf_str(out, "an established connection that the policy does not allow any more");
		return;
	case ZT_RECORD_FENCED:
		zt_strbuf_str(out, "a frame of a packet socket");
		return;
	}
}
