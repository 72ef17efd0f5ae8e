/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/lru.h"
#include "base/mem.h"
#include "event/procs.h"
#include "identity/identity.h"
#include "trace_abi.h"

enum { PROCESSES = 65536, PROGRAMS = 4096, GROUPS = 4096, USERS = 1024, NAMES = 16384, DEPTH = 16, CHAINS = 256 };
#define THREADS 64	  /* of a process that are asked what it runs */
#define TICK_NS 10000000u /* USER_HZ is 100 on all that we run on */
#define DIGESTING (2 * ZT_USEC_PER_SEC)
#define DIGEST_MOST ZT_USEC_PER_SEC /* for one: 256 MiB */
#define USER_AGE (60 * ZT_USEC_PER_SEC)
#define NAME_MIN (60 * ZT_USEC_PER_SEC)
#define LOOK_EVERY (ZT_USEC_PER_SEC / 10)
#define NAME_MAX_AGE (86400 * ZT_USEC_PER_SEC)

struct program_key {
	uint64_t dev, ino;
};
struct process {
	struct zt_process_id parent;
	struct program_key program; /* 0: none, or not known */
	uint64_t cgroup;
	uint32_t uid, euid, gid;
	bool exact; /* as the kernel told it; /proc rounds the start, and knows one user only */
	char comm[16];
};
struct program {
	char *path, digest[65];
	bool digested; /* it was tried */
	dev_t device;  /* as stat() has it, which is not always what the kernel calls it */
	struct timespec ctime;
	zt_usec looked; /* that it is still what it was */
};
struct group {
	char *path;
};
struct user {
	char *name;
	zt_usec when;
};
struct name_key {
	uint64_t uid, family;
	uint8_t addr[16];
};
struct name {
	char *text;
	zt_usec until;
};

struct chain { /* the processes above one, as text */
	struct zt_process_id from;
	uint64_t names; /* names_changed when it was written */
	char text[512];
};

struct zt_procs {
	struct zt_procs_options o;
	struct zt_lru *processes, *pids, *programs, *groups, *users,
		*names; /* pids: the start of the last that had it */
	uint64_t names_changed, no_digest;
	zt_usec digesting,
		digested; /* time that went into them, less a tenth of what has passed since; when that was */
	struct chain chains[CHAINS]; /* by pid */
};

static void program_done(void *v)
{
	free(((struct program *)v)->path);
}

static void group_done(void *v)
{
	free(((struct group *)v)->path);
}

static void user_done(void *v)
{
	free(((struct user *)v)->name);
}

static void name_done(void *v)
{
	free(((struct name *)v)->text);
}

void zt_procs_free(struct zt_procs *p)
{
	if (!p)
		return;
	zt_lru_free(p->processes);
	zt_lru_free(p->pids);
	zt_lru_free(p->programs);
	zt_lru_free(p->groups);
	zt_lru_free(p->users);
	zt_lru_free(p->names);
	free(p);
}

/* ---- programs ---- */
static bool is_inode(const char *path, const struct program_key *k, struct stat *ret)
{
	return stat(path, ret) == 0 && ret->st_ino == k->ino;
}

/* Does path name the very file that runs? The number of its inode anybody can have, on a file system of his own. */
static bool is_file(const char *path, const struct program_key *k, struct stat *ret)
{
	return is_inode(path, k, ret) &&
	       (k->dev == ((uint64_t)major(ret->st_dev) << 20 | minor(ret->st_dev)) || zt_exe_is(path, k->dev, k->ino));
}

static bool is_unchanged(const struct program *g, const struct program_key *k)
{
	struct stat st;

	return is_inode(g->path, k, &st) && st.st_dev == g->device &&
	       !memcmp(&st.st_ctim, &g->ctime, sizeof(st.st_ctim));
}

/* Of a process whose first thread has ended only the others tell it. */
static ssize_t read_link(uint32_t pid, char link[static 64], char *text, size_t size)
{
	int len = snprintf(link, 64, "/proc/%u/exe", pid);
	ssize_t n = readlink(link, text, size);
	const struct dirent *de;
	DIR *dir = NULL;

	if (n < 0 && errno == ENOENT) {
		(void)snprintf(link + len - 3, 64 - (size_t)len, "task");
		dir = opendir(link);
	}
	for (int i = 0; dir && n < 0 && i < THREADS && (de = readdir(dir)); i++) {
		(void)snprintf(link, 64, "/proc/%u/task/%.10s/exe", pid, de->d_name);
		n = readlink(link, text, size);
	}
	if (dir)
		(void)closedir(dir); /* only read */
	return n;
}

static char *program_path(uint32_t pid, const struct program_key *k, const char *filename, struct stat *st)
{
	char link[64], text[1024];
	ssize_t n;

	n = read_link(pid, link, text, sizeof(text) - 1);
	if (n > 0 && is_inode(link, k, st)) {
		text[n] = '\0';
		return zt_strdup(text);
	}
	/* It has ended already. The name it was started by, symbolic links followed, as the kernel would have shown it. */
	return filename && filename[0] == '/' && is_file(filename, k, st) ? realpath(filename, NULL) : NULL;
}

/* A user can start large files, each for the first time, as often as he likes: no more than a tenth of the time goes into reading them. */
static zt_usec time_for_digest(struct zt_procs *p)
{
	zt_usec now = zt_now_monotonic();

	p->digesting -= ZT_MIN(p->digesting, (now - p->digested) / 10);
	p->digested = now;
	return p->digesting < DIGESTING ? ZT_MIN((zt_usec)DIGEST_MOST, DIGESTING - p->digesting) : 0;
}

/* By the process, whose path may be one of another mount namespace; by its path where it has ended. */
static int digest_file(uint32_t pid, const struct program_key *k, zt_usec most, struct program *g)
{
	char link[64], mountinfo[64];
	int r;

	(void)snprintf(link, sizeof(link), "/proc/%u/exe", pid);
	(void)snprintf(mountinfo, sizeof(mountinfo), "/proc/%u/mountinfo", pid);
	r = zt_exe_digest(link, mountinfo, k->dev, k->ino, most, g->digest);
	return !r || r == -ETIME ? r : zt_exe_digest(g->path, NULL, k->dev, k->ino, most, g->digest);
}

static const char *program_digest(struct zt_procs *p, uint32_t pid, const struct program_key *k, struct program *g)
{
	zt_usec most, began;
	int r;

	if (g->digested || !p->o.digests)
		return g->digest;
	most = time_for_digest(p);
	began = zt_now_monotonic();
	r = digest_file(pid, k, most, g);
	p->digesting += zt_now_monotonic() - began;
	g->digested = r != -ETIME || most == DIGEST_MOST; /* else with the next that it does */
	p->no_digest += r == -ETIME;
	return g->digest;
}

/* What is known of the file of inode k, looked at again when it was changed. While a program runs its file stays, so what a process does besides
 * starting it needs no look each time. */
static struct program *program_of(struct zt_procs *p, const struct zt_trace_process *t, const char *filename)
{
	struct program_key k = {t->exe_dev, t->exe_ino};
	struct program *g = t->exe_ino ? zt_lru_get(p->programs, &k) : NULL;
	zt_usec now = zt_now_monotonic();
	struct stat st;

	if (g && !filename && now - g->looked < LOOK_EVERY)
		return g;
	if (g && is_unchanged(g, &k)) {
		g->looked = now;
		g->digested = g->digested && (*g->digest || !filename); /* this process may show it */
		return g;
	}
	if (t->exe_ino) {
		char *path = program_path(t->pid, &k, filename, &st);

		if (!path)
			return g; /* ended, or its file is gone: what it was called when it was seen */
		g = zt_lru_put(p->programs, &k);
		free(g->path);
		*g = (struct program){.path = path, .device = st.st_dev, .ctime = st.st_ctim, .looked = now};
	}
	return g;
}

/* ---- control groups ---- */
static const char *group_path(struct zt_procs *p, uint64_t id)
{
	struct group *g = id ? zt_lru_get(p->groups, &id) : NULL;
	char *path = NULL;

	if (g)
		return g->path;
	if (!id || zt_cgroup_path(id, &path) < 0)
		return NULL;
	g = zt_lru_put(p->groups, &id);
	g->path = path;
	return path;
}

/* "…/docker-ID.scope", "…/ID": the 64 digits; the runtimes agree on them. */
static const char *container_of(const char *path)
{
	size_t n = 0;

	for (; *path; path++) {
		n = isxdigit((unsigned char)*path) ? n + 1 : 0;
		if (n == 64 && !isxdigit((unsigned char)path[1]))
			return path - 63;
	}
	return NULL;
}

static const char *service_of(const char *path, size_t *ret_len)
{
	const char *found = NULL, *end;

	for (; path; path = *end ? end + 1 : NULL) {
		end = strchrnul(path, '/');
		if (end - path > 8 && !strncmp(end - 8, ".service", 8)) {
			found = path;
			*ret_len = (size_t)(end - path);
		}
	}
	return found;
}

struct group_fields {
	enum zt_field cgroup, service, container;
};
static const struct group_fields own_group = {ZT_FIELD_cgroup, ZT_FIELD_service, ZT_FIELD_container};
static const struct group_fields peer_group = {ZT_FIELD_peer_cgroup, ZT_FIELD_peer_service, ZT_FIELD_peer_container};

static void fill_parts(const char *path, const struct group_fields *f, struct zt_activity *a)
{
	const char *part;
	size_t len = 0;

	zt_activity_text_(a, f->cgroup, *path ? path : "/", 256);
	part = service_of(path, &len);
	if (part)
		zt_activity_text_(a, f->service, part, len);
	part = container_of(path);
	if (part)
		zt_activity_text_(a, f->container, part, 64);
}

static void fill_group(struct zt_procs *p, uint64_t id, const struct group_fields *f, struct zt_activity *a)
{
	const char *path = group_path(p, id);

	if (path)
		fill_parts(path, f, a);
}

void zt_procs_peer_group(const char *path, struct zt_activity *a)
{
	if (*path)
		fill_parts(path, &peer_group, a);
}

/* ---- users ---- */
static const char *user_name(struct zt_procs *p, uint32_t uid)
{
	uint64_t key = uid;
	struct user *u = zt_lru_put(p->users, &key);
	zt_usec now = zt_now_monotonic();

	if (!u->name || now - u->when > USER_AGE) {
		free(u->name);
		u->name = zt_user_name(uid);
		u->when = now;
	}
	return u->name && !isdigit((unsigned char)u->name[0]) ? u->name : ""; /* a number stands for "none" */
}

const char *zt_procs_user(struct zt_procs *p, uint32_t uid)
{
	return user_name(p, uid);
}

/* ---- processes ---- */
static void remember(struct zt_procs *p, const struct zt_process_id *k, const struct zt_process_id *parent,
		     const struct zt_trace_process *t)
{
	const struct process *up = parent->pid ? zt_lru_get(p->processes, parent) : NULL;
	struct program_key inherited = {0};
	struct process *v;
	uint64_t *start;

	/* One that never started a program runs that of its parent, by whose name it goes. */
	if (up && !memcmp(up->comm, t->comm, sizeof(up->comm)))
		inherited = up->program;
	v = zt_lru_put(p->processes, k);
	if (memcmp(v->comm, t->comm, sizeof(v->comm)) != 0 ||
	    (parent->pid && memcmp(&v->parent, parent, sizeof(*parent)) != 0))
		p->names_changed++;
	start = zt_lru_put(p->pids, &k->pid);
	*start = ZT_MAX(*start, k->start);
	if (parent->pid)
		v->parent = *parent;
	if (!v->program.ino)
		v->program = inherited;
	if (t->exe_ino) /* it has none any more while it ends */
		v->program = (struct program_key){t->exe_dev, t->exe_ino};
	if (t->cgroup)
		v->cgroup = t->cgroup;
	if (t->start % TICK_NS || !v->exact) {
		v->exact = t->start % TICK_NS;
		v->uid = t->uid;
		v->euid = t->euid;
		v->gid = t->gid;
	}
	memcpy(v->comm, t->comm, sizeof(v->comm));
}

/* A process of /proc as the kernel's records have it. */
static struct zt_trace_process as_traced(const struct zt_process *now)
{
	unsigned level;
	struct zt_trace_process t = {.pid = (uint32_t)now->pid,
				     .start = now->start_time * TICK_NS,
				     .ppid = (uint32_t)now->ppid,
				     .uid = now->real_uid,
				     .euid = now->uid,
				     .gid = now->gid,
				     .exe_dev = (uint32_t)now->exe_dev,
				     .exe_ino = now->exe_ino};

	memcpy(t.comm, now->comm, sizeof(t.comm));
	if (!now->cgroup || zt_cgroup_lookup(NULL, now->cgroup, &t.cgroup, &level) < 0)
		t.cgroup = 0;
	return t;
}

/* From /proc: of a parent that was there before us. */
static struct process *look_up(struct zt_procs *p, const struct zt_process_id *k)
{
	struct zt_process now = {0}, up = {0};
	struct zt_process_id parent = {0};

	if (zt_process_read((int)k->pid, &now) < 0)
		return NULL;
	if (now.start_time == k->start) {
		if (now.ppid > 0 && zt_process_read(now.ppid, &up) == 0) {
			parent = (struct zt_process_id){up.start_time, (uint64_t)now.ppid};
			zt_process_done(&up);
		}
		struct zt_trace_process t = as_traced(&now);

		remember(p, k, &parent, &t);
		(void)program_of(p, &t, NULL); /* while it can be told */
	}
	zt_process_done(&now);
	return zt_lru_get(p->processes, k);
}

static struct process *process_get(struct zt_procs *p, const struct zt_process_id *k)
{
	struct process *v = zt_lru_get(p->processes, k);

	return v ? v : look_up(p, k);
}

/* "sshd[811] systemd[1]", nearest first. */
static void chain_text(struct zt_procs *p, struct zt_process_id k, struct zt_strbuf *out)
{
	for (unsigned i = 0; i < DEPTH && k.pid; i++) {
		const struct process *v = process_get(p, &k);

		zt_strbuf_printf(out, "%s%.16s[%llu]", i ? " " : "", v ? v->comm : "?", (unsigned long long)k.pid);
		if (!v)
			break;
		k = v->parent;
	}
}

/* The same for all that a process does, until some process gets another name or parent. */
static void fill_parents(struct zt_procs *p, const struct zt_process_id *k, struct zt_activity *a)
{
	struct chain *c = &p->chains[k->pid % CHAINS];
	ZT_STRBUF struct zt_strbuf b = {0};

	if (!k->pid)
		return;
	if (c->names != p->names_changed || memcmp(&c->from, k, sizeof(*k)) != 0) {
		chain_text(p, *k, &b);
		if (zt_strbuf_error(&b))
			return;
		(void)snprintf(c->text, sizeof(c->text), "%s", zt_strbuf_cstr(&b)); /* a long one is cut */
		c->from = *k;
		c->names = p->names_changed; /* after what was looked up for it */
	}
	zt_activity_text(a, parents, c->text, sizeof(c->text));
}

uint64_t zt_process_start(uint64_t ns)
{
	return ns / TICK_NS;
}

static struct zt_process_id key_of(uint32_t pid, uint64_t start_ns)
{
	return (struct zt_process_id){zt_process_start(start_ns), pid};
}

struct zt_process_id zt_process_id_of(const struct zt_trace_process *t)
{
	return key_of(t->pid, t->start);
}

void zt_procs_note(struct zt_procs *p, const struct zt_trace_process *t, const char *filename)
{
	struct zt_process_id own = zt_process_id_of(t), parent = key_of(t->ppid, t->parent_start);

	if (!t->pid)
		return;
	remember(p, &own, &parent, t);
	(void)program_of(p, t, filename); /* its name can be told now */
}

/* A process as it was when it was seen last, with its program. */
static struct zt_trace_process as_remembered(const struct zt_process_id *k, const struct process *v)
{
	struct zt_trace_process t = {.pid = (uint32_t)k->pid,
				     .start = k->start * TICK_NS,
				     .ppid = (uint32_t)v->parent.pid,
				     .parent_start = v->parent.start * TICK_NS,
				     .cgroup = v->cgroup,
				     .exe_dev = (uint32_t)v->program.dev,
				     .exe_ino = v->program.ino,
				     .uid = v->uid,
				     .euid = v->euid,
				     .gid = v->gid};

	memcpy(t.comm, v->comm, sizeof(t.comm));
	return t;
}

bool zt_procs_before(struct zt_procs *p, const struct zt_trace_process *now, struct zt_trace_process *ret)
{
	struct zt_process_id k = zt_process_id_of(now);
	const struct process *v = zt_lru_get(p->processes, &k);

	if (!v || !v->exact || (v->uid == now->uid && v->euid == now->euid))
		return false;
	*ret = as_remembered(&k, v);
	return true;
}

static struct program *last_program(struct zt_procs *p, const struct zt_process_id *k, struct program_key *ret)
{
	const struct process *v = zt_lru_get(p->processes, k);
	struct zt_trace_process t;

	if (!v)
		return NULL;
	t = as_remembered(k, v);
	*ret = v->program;
	return program_of(p, &t, NULL);
}

static void fill(struct zt_procs *p, const struct zt_trace_process *t, const char *filename, struct zt_activity *a)
{
	struct zt_process_id own = key_of(t->pid, t->start), parent = key_of(t->ppid, t->parent_start);
	struct program_key program = {t->exe_dev, t->exe_ino};
	struct program *g = program_of(p, t, filename);

	if (!t->exe_ino) /* it ends */
		g = last_program(p, &own, &program);
	zt_activity_set(a, pid, t->pid);
	zt_activity_set(a, start, own.start);
	zt_activity_set(a, ppid, t->ppid);
	zt_activity_set(a, uid, t->uid);
	zt_activity_set(a, gid, t->gid);
	if (t->euid != t->uid)
		zt_activity_set(a, euid, t->euid);
	zt_activity_text(a, user, user_name(p, t->uid), 64);
	zt_activity_text(a, comm, (const char *)t->comm, sizeof(t->comm));
	if (g) {
		zt_activity_text(a, exe, g->path, 1024);
		zt_activity_text(a, digest, program_digest(p, t->pid, &program, g), 64);
	}
	fill_group(p, t->cgroup, &own_group, a);
	remember(p, &own, &parent, t);
	fill_parents(p, &parent, a);
}

void zt_procs_fill(struct zt_procs *p, const struct zt_trace_process *t, struct zt_activity *a)
{
	if (t->pid)
		fill(p, t, NULL, a);
}

/* Arguments end in NUL each; a blank stands between them. */
static void fill_arguments(const struct zt_trace_exec *e, struct zt_activity *a)
{
	char text[ZT_TRACE_ARGS + 1];
	size_t n = ZT_MIN(e->args_len, (uint32_t)ZT_TRACE_ARGS - 1);

	while (n && !e->args[n - 1])
		n--;
	for (size_t i = 0; i < n; i++)
		text[i] = e->args[i] ? (char)e->args[i] : ' ';
	if (e->args_len >= ZT_TRACE_ARGS)
		text[n++] = ' '; /* one too many: it is marked as cut */
	zt_activity_text(a, args, text, n);
}

void zt_procs_exec(struct zt_procs *p, const struct zt_trace_exec *e, struct zt_activity *a)
{
	/* The chain as the kernel saw it: parents that lived too short to be seen by anybody else. */
	for (uint32_t i = ZT_MIN(e->n_ancestors, (uint32_t)ZT_TRACE_ANCESTORS); i-- > 1;) {
		struct zt_process_id k = key_of(e->ancestors[i - 1].pid, e->ancestors[i - 1].start);
		struct zt_process_id up = key_of(e->ancestors[i].pid, e->ancestors[i].start);
		struct process *v = process_get(p, &k);

		if (v && !v->parent.pid) {
			v->parent = up;
			p->names_changed++;
		}
	}
	fill(p, &e->process, (const char *)e->filename, a);
	zt_activity_text(a, filename, (const char *)e->filename, sizeof(e->filename));
	fill_arguments(e, a);
}

int zt_procs_fill_pid(struct zt_procs *p, uint32_t pid, struct zt_activity *a)
{
	struct zt_process now = {0}, up = {0};
	struct zt_trace_process t;
	int r = zt_process_read((int)pid, &now);

	if (r < 0)
		return r;
	if (!now.exe_ino) {
		zt_process_done(&now);
		return -ESRCH;
	}
	t = as_traced(&now);
	if (now.ppid > 0 && zt_process_read(now.ppid, &up) == 0)
		t.parent_start = up.start_time * TICK_NS;
	fill(p, &t, NULL, a);
	if (now.cgroup && now.cgroup[0])
		fill_parts(now.cgroup, &own_group, a);
	zt_process_done(&up);
	zt_process_done(&now);
	return 0;
}

void zt_procs_fill_id(struct zt_procs *p, const struct zt_process_id *id, struct zt_activity *a)
{
	const struct process *v = process_get(p, id);
	struct zt_trace_process t;

	zt_activity_set(a, pid, (uint32_t)id->pid);
	zt_activity_set(a, start, id->start);
	if (!v)
		return;
	t = as_remembered(id, v);
	fill(p, &t, NULL, a);
}

/* What a lacks and `known` has. */
static void add_missing(const struct zt_activity *known, struct zt_activity *a)
{
	for (enum zt_field f = 0; f < ZT_FIELDS; f++) {
		const struct zt_field_info *i = zt_field_info(f);

		if (!zt_activity_has(known, f) || zt_activity_has(a, f))
			continue;
		memcpy((char *)a + i->offset, (const char *)known + i->offset, i->size);
		a->has |= UINT64_C(1) << f;
	}
}

static void complete_peer(struct zt_procs *p, struct zt_activity *a)
{
	struct zt_process_id id = {.start = a->peer_start, .pid = a->peer_pid};
	struct zt_activity known;

	zt_activity_init(&known, a->kind, a->time);
	zt_procs_peer(p, &id, &known);
	if (zt_activity_has(a, ZT_FIELD_peer_exe) && zt_activity_has(&known, ZT_FIELD_peer_exe) &&
	    strcmp(a->peer_exe, known.peer_exe) != 0)
		known.has &= ~(UINT64_C(1) << ZT_FIELD_peer_digest); /* as below */
	add_missing(&known, a);
}

void zt_procs_complete(struct zt_procs *p, struct zt_activity *a)
{
	struct zt_process_id id;
	struct zt_activity known;

	if (zt_activity_has(a, ZT_FIELD_peer_uid) && !zt_activity_has(a, ZT_FIELD_peer_user))
		zt_activity_text(a, peer_user, user_name(p, a->peer_uid), 64);
	if (zt_activity_has(a, ZT_FIELD_peer_pid) && zt_activity_has(a, ZT_FIELD_peer_start) &&
	    !zt_activity_has(a, ZT_FIELD_peer_digest))
		complete_peer(p, a);
	if (!zt_activity_has(a, ZT_FIELD_pid) || !zt_activity_has(a, ZT_FIELD_start))
		return;
	id = (struct zt_process_id){.start = a->start, .pid = a->pid};
	zt_activity_init(&known, a->kind, a->time);
	zt_procs_fill_id(p, &id, &known);
	if (zt_activity_has(a, ZT_FIELD_exe) && zt_activity_has(&known, ZT_FIELD_exe) && strcmp(a->exe, known.exe) != 0)
		known.has &= ~(UINT64_C(1) << ZT_FIELD_digest); /* it has started another program since */
	add_missing(&known, a);
}

int zt_procs_fill_last(struct zt_procs *p, uint32_t pid, struct zt_activity *a)
{
	uint64_t key = pid;
	const uint64_t *start = zt_lru_get(p->pids, &key);
	struct zt_process_id id = {.start = start ? *start : 0, .pid = pid};

	if (!start || !zt_lru_get(p->processes, &id))
		return -ESRCH;
	zt_procs_fill_id(p, &id, a);
	return 0;
}

/* ---- the other end ---- */
void zt_procs_peer(struct zt_procs *p, const struct zt_process_id *peer, struct zt_activity *a)
{
	const struct process *v = process_get(p, peer);
	struct program_key program;
	struct program *g = v ? last_program(p, peer, &program) : NULL;

	zt_activity_set(a, peer_pid, (uint32_t)peer->pid);
	zt_activity_set(a, peer_start, peer->start);
	if (!v)
		return;
	zt_activity_set(a, peer_uid, v->uid);
	zt_activity_set(a, peer_gid, v->gid);
	zt_activity_text(a, peer_user, user_name(p, v->uid), 64);
	if (g)
		zt_activity_text(a, peer_exe, g->path, 1024);
	if (g)
		zt_activity_text(a, peer_digest, program_digest(p, (uint32_t)peer->pid, &program, g), 64);
	fill_group(p, v->cgroup, &peer_group, a);
}

void zt_procs_fill_peer(struct zt_procs *p, const struct zt_trace_process *t, struct zt_activity *a)
{
	struct zt_process_id own = zt_process_id_of(t), parent = key_of(t->ppid, t->parent_start);

	if (!t->pid)
		return;
	remember(p, &own, &parent, t);
	zt_procs_peer(p, &own, a);
}

/* ---- names ---- */
static struct name_key name_key(uint32_t uid, const struct zt_addr *addr)
{
	struct name_key k = {.uid = uid, .family = addr->family};

	memcpy(k.addr, addr->b, addr->family == 4 ? 4 : 16);
	return k;
}

void zt_procs_name(struct zt_procs *p, uint32_t uid, const struct zt_addr *addr, const char *name, uint32_t ttl)
{
	struct name_key k = name_key(uid, addr);
	struct name *v = zt_lru_put(p->names, &k);
	zt_usec age = ZT_MIN(ZT_MAX(ttl * ZT_USEC_PER_SEC, NAME_MIN), NAME_MAX_AGE);

	if (!v->text || strcmp(v->text, name) != 0) {
		free(v->text);
		v->text = zt_strdup(name);
	}
	v->until = zt_now_monotonic() + age;
}

const char *zt_procs_name_of(struct zt_procs *p, uint32_t uid, const struct zt_addr *addr)
{
	struct name_key k = name_key(uid, addr);
	const struct name *v = zt_lru_get(p->names, &k);

	return v && v->until >= zt_now_monotonic() ? v->text : NULL;
}

/* ---- begin ---- */
static void snapshot(struct zt_procs *p)
{
	DIR *d = opendir("/proc");
	const struct dirent *e;
	uint64_t pid;

	while (d && (e = readdir(d))) {
		struct zt_process now;

		if (zt_parse_u64(e->d_name, INT32_MAX, &pid) < 0 || zt_process_read((int)pid, &now) < 0)
			continue;
		struct zt_process_id k = {now.start_time, pid};

		(void)look_up(p, &k); /* what is gone meanwhile is not needed */
		zt_process_done(&now);
	}
	if (d)
		(void)closedir(d); /* only read */
}

int zt_procs_new(const struct zt_procs_options *o, struct zt_procs **ret)
{
	struct zt_procs *p = zt_new(struct zt_procs, 1);
	int r = p ? 0 : -ENOMEM;

	if (r)
		return r;
	p->o = *o;
	r = zt_lru_new(PROCESSES, sizeof(struct zt_process_id), sizeof(struct process), NULL, &p->processes)
		    ?: zt_lru_new(PROCESSES, sizeof(uint64_t), sizeof(uint64_t), NULL, &p->pids)
		    ?: zt_lru_new(PROGRAMS, sizeof(struct program_key), sizeof(struct program), program_done, &p->programs)
		    ?: zt_lru_new(GROUPS, sizeof(uint64_t), sizeof(struct group), group_done, &p->groups)
		    ?: zt_lru_new(USERS, sizeof(uint64_t), sizeof(struct user), user_done, &p->users)
		    ?: zt_lru_new(NAMES, sizeof(struct name_key), sizeof(struct name), name_done, &p->names);
	if (r) {
		zt_procs_free(p);
		return r;
	}
	snapshot(p);
	*ret = p;
	return 0;
}

size_t zt_procs_limits(const struct zt_procs *p, struct zt_limit *ret, size_t max)
{
	const struct zt_limit all[] = {
		{.name = "processes",
		 .used = zt_lru_count(p->processes),
		 .max = PROCESSES,
		 .evicted = zt_lru_evicted(p->processes)},
		{.name = "programs",
		 .used = zt_lru_count(p->programs),
		 .max = PROGRAMS,
		 .evicted = zt_lru_evicted(p->programs)},
		{.name = "digests",
		 .unit = "ms",
		 .used = p->digesting / 1000,
		 .max = DIGESTING / 1000,
		 .evicted = p->no_digest},
		{.name = "control groups",
		 .used = zt_lru_count(p->groups),
		 .max = GROUPS,
		 .evicted = zt_lru_evicted(p->groups)},
		{.name = "users", .used = zt_lru_count(p->users), .max = USERS, .evicted = zt_lru_evicted(p->users)},
		{.name = "names", .used = zt_lru_count(p->names), .max = NAMES, .evicted = zt_lru_evicted(p->names)},
	};
	size_t n = ZT_MIN(max, ZT_ARRAY_SIZE(all));

	memcpy(ret, all, n * sizeof(*all));
	return n;
}
