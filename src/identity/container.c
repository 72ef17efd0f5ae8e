/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "identity/internal.h"

#define DEPTH_MAX 24
#define CONTAINERS_MAX 65536
#define ID_DIGITS 64
#define PREFIX_MIN 8

/* ---- what the name of a cgroup says ---- */
enum id_kind { ID_HEX, ID_ANY };
static const struct shape {
	const char *before, *after, *runtime;
	enum id_kind kind;
} shapes[] = {
	{"docker-", ".scope", "docker", ID_HEX},
	{"libpod-", ".scope", "podman", ID_HEX},
	{"libpod-", "", "podman", ID_HEX},
	{"cri-containerd-", ".scope", "containerd", ID_HEX},
	{"nerdctl-", ".scope", "containerd", ID_HEX},
	{"crio-", ".scope", "cri-o", ID_HEX},
	{"crio-", "", "cri-o", ID_HEX},
	{"crun-", ".scope", "crun", ID_ANY},
	{"runc-", ".scope", "runc", ID_ANY},
};
static const char *const file_runtimes[ZT_CONTAINER_FILES] = {
	[ZT_FILE_DOCKER] = "docker", [ZT_FILE_PODMAN] = "podman",  [ZT_FILE_CRUN] = "crun",
	[ZT_FILE_RUNC] = "runc",     [ZT_FILE_OCI] = "containerd",
};

static bool is_hex_id(const char *s, size_t n)
{
	return n == ID_DIGITS && strspn(s, "0123456789abcdef") >= n;
}

static bool fits(const struct shape *s, const char *name, const char **ret_id, size_t *ret_len)
{
	size_t n = strlen(name), before = strlen(s->before), after = strlen(s->after);

	if (n <= before + after || strncmp(name, s->before, before) != 0 || strcmp(name + n - after, s->after) != 0)
		return false;
	*ret_id = name + before;
	*ret_len = n - before - after;
	return s->kind == ID_ANY || is_hex_id(*ret_id, *ret_len);
}

static const struct zt_container_state *state_of_id(const struct zt_container_states *l, const char *id)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].owner == 0 && !strcmp(l->v[i].id, id) &&
		    (l->v[i].file == ZT_FILE_DOCKER || l->v[i].file == ZT_FILE_OCI))
			return &l->v[i];
	return NULL;
}

/* An id alone ("docker/ID", "kubepods/…/ID", "…:cri-containerd:ID") tells its runtime by where it lies, or by the runtime's files. */
static const char *runtime_of_bare_id(const char *path, const char *id, const struct zt_container_states *l)
{
	const struct zt_container_state *s = state_of_id(l, id);
	size_t above = strlen(path) - strlen(id);

	if (s)
		return file_runtimes[s->file];
	if (above >= 7 && !strncmp(path + above - 7, "docker/", 7) && (above == 7 || path[above - 8] == '/'))
		return "docker";
	return !strncmp(path, "kubepods", 8) || strstr(path, "/kubepods") || strchr(path, ':') ? "containerd" : NULL;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* malloc'ed id, NULL when the path is not that of a container (or no memory: *ret_runtime is set then). */
static char *recognise(const char *path, const struct zt_container_states *l, const char **ret_runtime)
{
	const char *name = last_part(path), *colon = strrchr(name, ':'), *id;
	size_t n;

	*ret_runtime = NULL;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(shapes); i++)
		if (fits(&shapes[i], name, &id, &n)) {
			*ret_runtime = shapes[i].runtime;
			return zt_strndup(id, n);
		}
	id = colon ? colon + 1 : name;
	if (is_hex_id(id, strlen(id)))
		*ret_runtime = runtime_of_bare_id(path, id, l);
	return *ret_runtime ? zt_strdup(id) : NULL;
}

/* ---- the tree of cgroups ---- */
struct found {
	struct zt_container *v;
	size_t n, cap;
};

struct search {
	const struct zt_container_states *states;
	struct found *out;
};

static void found_done(struct found *f)
{
	zt_containers_free(f->v, f->n);
}

static int found_add(struct found *f, char *id, const char *runtime, const char *path)
{
	struct zt_container c = {.id = id, .runtime = zt_strdup(runtime), .cgroup = zt_strdup(path)};

	if (!c.id || !c.runtime || !c.cgroup || zt_grow(f->v, f->cap, f->n) < 0) {
		free(c.id);
		free(c.runtime);
		free(c.cgroup);
		return -ENOMEM;
	}
	f->v[f->n++] = c;
	return 0;
}

static int search_tree(const struct search *s, const char *dir, const char *path, unsigned depth);

/* What lies inside a container is the container's own business: it could pretend to be another. */
static int visit(const struct search *s, const char *dir, const char *path, unsigned depth)
{
	const char *runtime;
	char *id = recognise(path, s->states, &runtime);

	if (runtime && id && !zt_container_name_ok(id)) {
		free(id);
		return 0;
	}
	if (runtime)
		return found_add(s->out, id, runtime, path);
	return depth < DEPTH_MAX ? search_tree(s, dir, path, depth + 1) : 0;
}

static int search_tree(const struct search *s, const char *dir, const char *path, unsigned depth)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	int r = 0;

	while (d && !r && s->out->n < CONTAINERS_MAX && (e = readdir(d))) {
		ZT_FREE char *sub = NULL, *sub_path = NULL;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		sub = zt_path_join(dir, e->d_name);
		sub_path = *path ? zt_path_join(path, e->d_name) : zt_strdup(e->d_name);
		r = sub && sub_path ? visit(s, sub, sub_path, depth) : -ENOMEM;
	}
	if (d)
		(void)closedir(d); /* only read */
	return r;
}

static int tree_of(const char *root, char **ret)
{
	ZT_FREE char *hybrid = NULL;

	if (!root)
		return zt_cgroup_mount(ret);
	hybrid = zt_path_join(root, "sys/fs/cgroup/unified");
	if (!hybrid)
		return -ENOMEM;
	*ret = zt_path_exists(hybrid) ? ZT_TAKE(hybrid) : zt_path_join(root, "sys/fs/cgroup");
	return *ret ? 0 : -ENOMEM;
}

/* ---- what the state files add ---- */
static bool below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return !strncmp(path, folder, n) && path[n] == '/';
}

/* A user's files are believed about that user's cgroups. */
static bool may_speak(const struct zt_container_state *s, const char *cgroup)
{
	char slice[64];

	if (!s->owner)
		return true;
	(void)snprintf(slice, sizeof(slice), "user.slice/user-%u.slice", s->owner);
	return below(cgroup, slice);
}

/* Ids of crun and runc are words of a person's choice: two runtimes may have the same one. */
static bool same_container(const struct zt_container *c, const struct zt_container_state *s)
{
	return !strcmp(c->id, s->id) && may_speak(s, c->cgroup) &&
	       (!s->cgroup || !strcmp(s->cgroup, c->cgroup) || below(s->cgroup, c->cgroup));
}

static struct zt_container *find(struct found *f, const struct zt_container_state *s)
{
	for (size_t i = 0; i < f->n; i++)
		if (same_container(&f->v[i], s))
			return &f->v[i];
	return NULL;
}

static bool is_live(const char *tree, const char *cgroup)
{
	ZT_FREE char *path = zt_path_join(tree, cgroup);
	struct stat st;

	return path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* crun's and runc's containers are called by their id; a higher runtime's (podman uses crun too) have a name of its own. */
static bool id_is_name(const struct zt_container_state *s)
{
	return s->file == ZT_FILE_CRUN || s->file == ZT_FILE_RUNC;
}

static int set_name(struct zt_container *c, const char *name)
{
	if (c->name || !name)
		return 0;
	c->name = zt_strdup(name);
	return c->name ? 0 : -ENOMEM;
}

static int add_state(struct found *f, const char *tree, const struct zt_container_state *s)
{
	struct zt_container *c = find(f, s);
	int r;

	if (!c) {
		if (!s->cgroup || !may_speak(s, s->cgroup) || !is_live(tree, s->cgroup) || f->n >= CONTAINERS_MAX)
			return 0;
		r = found_add(f, zt_strdup(s->id), file_runtimes[s->file], s->cgroup);
		if (r < 0)
			return r;
		c = &f->v[f->n - 1];
	}
	if (!id_is_name(s))
		return set_name(c, s->name);
	return !strcmp(c->runtime, file_runtimes[s->file]) ? set_name(c, s->id) : 0;
}

static int by_cgroup(const void *a, const void *b)
{
	return strcmp(((const struct zt_container *)a)->cgroup, ((const struct zt_container *)b)->cgroup);
}

int zt_containers_list(const char *root, struct zt_container **ret, size_t *ret_n)
{
	ZT_CLEANUP(zt_container_states_done) struct zt_container_states states = {0};
	ZT_CLEANUP(found_done) struct found f = {0};
	struct search s = {.states = &states, .out = &f};
	ZT_FREE char *tree = NULL;
	int r = tree_of(root, &tree);

	if (!r)
		r = zt_container_states_read(root, &states);
	if (!r)
		r = search_tree(&s, tree, "", 0);
	for (size_t i = 0; !r && i < states.n; i++)
		r = add_state(&f, tree, &states.v[i]);
	if (r < 0)
		return r;
	if (f.n)
		qsort(f.v, f.n, sizeof(f.v[0]), by_cgroup);
	*ret = ZT_TAKE(f.v);
	*ret_n = f.n;
	f.n = 0;
	return 0;
}

void zt_containers_free(struct zt_container *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(c[i].id);
		free(c[i].name);
		free(c[i].runtime);
		free(c[i].cgroup);
	}
	free(c);
}

/* ---- look-up ---- */
static bool is_id(const struct zt_container *c, const char *word)
{
	return !strcmp(c->id, word);
}

static bool is_name(const struct zt_container *c, const char *word)
{
	return zt_str_eq(c->name, word);
}

static bool is_prefix(const struct zt_container *c, const char *word)
{
	size_t n = strlen(word);

	return n >= PREFIX_MIN && strspn(word, "0123456789abcdef") == n && !strncmp(c->id, word, n);
}

static bool is_others(const char *folder)
{
	struct stat st;

	return stat(folder, &st) == 0 && st.st_uid != 0 && st.st_uid != geteuid();
}

/* Whoever may make cgroups of their own can give them the name of any container: those of the system come first. */
static bool is_of_user(const char *tree, const struct zt_container *c)
{
	ZT_FREE char *path = zt_path_join(tree, c->cgroup);
	bool others = !path || below(c->cgroup, "user.slice");

	while (!others && strlen(path) > strlen(tree)) {
		*strrchr(path, '/') = '\0';
		others = strlen(path) > strlen(tree) && is_others(path);
	}
	return others;
}

typedef bool is_called(const struct zt_container *c, const char *word);

static int pick(const char *tree, const struct zt_container *c, size_t n, is_called *is, const char *word, bool of_user,
		const char **ret)
{
	*ret = NULL;
	for (size_t i = 0; i < n; i++) {
		if (!is(&c[i], word) || is_of_user(tree, &c[i]) != of_user)
			continue;
		if (*ret)
			return -EEXIST;
		*ret = c[i].cgroup;
	}
	return *ret ? 0 : -ENOENT;
}

int zt_container_cgroup(const char *root, const char *name, char **ret_path)
{
	static is_called *const ways[] = {is_id, is_name, is_prefix};
	struct zt_container *c = NULL;
	const char *path = NULL;
	ZT_FREE char *tree = NULL;
	size_t n = 0;
	int r = tree_of(root, &tree);

	if (!r)
		r = zt_containers_list(root, &c, &n);

	if (r < 0)
		return r;
	r = -ENOENT;
	for (int of_user = 0; r == -ENOENT && of_user < 2; of_user++)
		for (size_t i = 0; r == -ENOENT && i < ZT_ARRAY_SIZE(ways); i++)
			r = pick(tree, c, n, ways[i], name, of_user, &path);
	if (!r) {
		*ret_path = zt_strdup(path);
		r = *ret_path ? 0 : -ENOMEM;
	}
	zt_containers_free(c, n);
	return r;
}
