/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "identity/internal.h"

#define FILE_MAX ((size_t)4 << 20)
#define STATES_MAX 65536
#define HOMES_MAX 256

bool zt_container_name_ok(const char *s)
{
	size_t n = strlen(s);

	for (const char *p = s; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return n && n < 256 && zt_utf8_valid(s, n);
}

static bool id_ok(const char *s)
{
	return zt_container_name_ok(s) && !strchr(s, '/') && s[0] != '.';
}

/* Without the slashes around, as the kernel would accept it below the mount; NULL: not so. */
static const char *cgroup_ok(const char *path)
{
	path += strspn(path, "/");
	for (const char *p = path; *p; p += strcspn(p, "/"), p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");

		if (!n || n > 255 || (n == 1 && *p == '.') || (n == 2 && !strncmp(p, "..", 2)))
			return NULL;
	}
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < 0x20)
			return NULL;
	return *path && strlen(path) < 4096 && zt_utf8_valid(path, strlen(path)) ? path : NULL;
}

static void state_done(struct zt_container_state *s)
{
	free(s->id);
	free(s->name);
	free(s->cgroup);
	*s = (struct zt_container_state){0};
}

void zt_container_states_done(struct zt_container_states *l)
{
	for (size_t i = 0; i < l->n; i++)
		state_done(&l->v[i]);
	free(l->v);
	*l = (struct zt_container_states){0};
}

/* Copies; a name or cgroup that is not fit is left out, an id that is not makes the whole entry be. */
static int add(struct zt_container_states *l, enum zt_container_file file, uint32_t owner, const char *id,
	       const char *name, const char *cgroup)
{
	struct zt_container_state s = {.file = file, .owner = owner};

	if (!id || !id_ok(id) || l->n == STATES_MAX)
		return 0;
	cgroup = cgroup ? cgroup_ok(cgroup) : NULL;
	name = name && zt_container_name_ok(name) ? name : NULL;
	s.id = zt_strdup(id);
	s.name = name ? zt_strdup(name) : NULL;
	s.cgroup = cgroup ? zt_strdup(cgroup) : NULL;
	for (size_t n = s.cgroup ? strlen(s.cgroup) : 0; n && s.cgroup[n - 1] == '/'; n--)
		s.cgroup[n - 1] = '\0';
	if (!s.id || (name && !s.name) || (cgroup && !s.cgroup) || zt_grow(l->v, l->cap, l->n) < 0) {
		state_done(&s);
		return -ENOMEM;
	}
	l->v[l->n++] = s;
	return 0;
}

static const char *text_of(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static int add_docker(const json_t *j, uint32_t owner, struct zt_container_states *l)
{
	const char *name = text_of(j, "Name");

	return add(l, ZT_FILE_DOCKER, owner, text_of(j, "ID"), name && *name == '/' ? name + 1 : name, NULL);
}

static int add_podman(const json_t *list, uint32_t owner, struct zt_container_states *l)
{
	int r = 0;

	for (size_t i = 0; !r && i < json_array_size(list); i++) {
		const json_t *j = json_array_get(list, i);

		r = add(l, ZT_FILE_PODMAN, owner, text_of(j, "id"),
			json_string_value(json_array_get(json_object_get(j, "names"), 0)), NULL);
	}
	return r;
}

/* "" is the place in cgroup2; as the host sees it, mount point in front. */
static int add_runc(const json_t *j, uint32_t owner, const char *folder, struct zt_container_states *l)
{
	static const char *const mounts[] = {"/sys/fs/cgroup/unified/", "/sys/fs/cgroup/"};
	const char *id = text_of(j, "id"), *path = text_of(json_object_get(j, "cgroup_paths"), "");

	for (size_t i = 0; path && i < ZT_ARRAY_SIZE(mounts); i++) {
		size_t n = strlen(mounts[i]);

		if (!strncmp(path, mounts[i], n))
			return add(l, ZT_FILE_RUNC, owner, id ? id : folder, NULL, path + n);
	}
	path = text_of(json_object_get(json_object_get(j, "config"), "cgroups"), "path");
	return add(l, ZT_FILE_RUNC, owner, id ? id : folder, NULL, path);
}

static int add_oci(const json_t *j, uint32_t owner, const char *folder, struct zt_container_states *l)
{
	const json_t *notes = json_object_get(j, "annotations");
	const char *pod = text_of(notes, "io.kubernetes.cri.sandbox-name"), *path;
	const char *inner = text_of(notes, "io.kubernetes.cri.container-name");
	ZT_FREE char *name = NULL;

	if (pod && inner)
		name = zt_asprintf("%s/%s", pod, inner);
	else if (text_of(notes, "nerdctl/name"))
		name = zt_strdup(text_of(notes, "nerdctl/name"));
	if (!name && ((pod && inner) || text_of(notes, "nerdctl/name")))
		return -ENOMEM;
	path = text_of(json_object_get(j, "linux"),
		       "cgroupsPath"); /* or "slice:prefix:id" of the systemd driver: known by its shape */
	return add(l, ZT_FILE_OCI, owner, folder, name, path && !strchr(path, ':') ? path : NULL);
}

int zt_container_state_parse(enum zt_container_file file, uint32_t owner, const char *folder, const char *text,
			     size_t len, struct zt_container_states *l)
{
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	int r = 0;

	switch (file) {
	case ZT_FILE_DOCKER:
		r = add_docker(j, owner, l);
		break;
	case ZT_FILE_PODMAN:
		r = add_podman(j, owner, l);
		break;
	case ZT_FILE_CRUN:
		r = json_is_object(j) ? add(l, file, owner, folder, NULL, text_of(j, "cgroup-path")) : 0;
		break;
	case ZT_FILE_RUNC:
		r = json_is_object(j) ? add_runc(j, owner, folder, l) : 0;
		break;
	case ZT_FILE_OCI:
		r = json_is_object(j) ? add_oci(j, owner, folder, l) : 0;
		break;
	}
	json_decref(j);
	return r;
}

/* ---- where they lie ---- */
struct place {
	enum zt_container_file file;
	const char *pattern; /* "*" stands for any folder; the last "*" is what is passed on as `folder` */
};
static const struct place system_places[] = {
	{ZT_FILE_DOCKER, "var/lib/docker/containers/*/config.v2.json"},
	{ZT_FILE_PODMAN, "var/lib/containers/storage/*/containers.json"},
	{ZT_FILE_PODMAN, "run/containers/storage/*/containers.json"},
	{ZT_FILE_CRUN, "run/crun/*/status"},
	{ZT_FILE_RUNC, "run/runc/*/state.json"},
	{ZT_FILE_OCI, "run/containerd/io.containerd.runtime.v2.task/*/*/config.json"},
};
static const struct place user_places[] = {
	/* below /run/user/UID */
	{ZT_FILE_PODMAN, "containers/*/containers.json"},
	{ZT_FILE_CRUN, "crun/*/status"},
	{ZT_FILE_RUNC, "runc/*/state.json"},
};
static const struct place home_places[] = {
	{ZT_FILE_PODMAN, ".local/share/containers/storage/*/containers.json"},
};

static int read_one(const char *path, enum zt_container_file file, uint32_t owner, const char *folder,
		    struct zt_container_states *l)
{
	ZT_FREE char *text = NULL;
	size_t len;
	int r = zt_file_read(path, FILE_MAX, &text, &len);

	if (r < 0)
		return r == -ENOMEM ? r : 0; /* not there, not readable, too large */
	return zt_container_state_parse(file, owner, folder, text, len, l);
}

static int walk(const char *base, const char *pattern, enum zt_container_file file, uint32_t owner, const char *folder,
		struct zt_container_states *l)
{
	const char *star = strchr(pattern, '*');
	ZT_FREE char *head = star ? zt_strndup(pattern, (size_t)(star - pattern)) : zt_strdup(pattern);
	ZT_FREE char *path = head ? zt_path_join(base, head) : NULL;
	const struct dirent *e;
	DIR *d;
	int r = 0;

	if (!path)
		return -ENOMEM;
	if (!star)
		return read_one(path, file, owner, folder, l);
	d = opendir(path);
	while (d && !r && (e = readdir(d))) {
		ZT_FREE char *sub = e->d_name[0] == '.' ? NULL : zt_path_join(path, e->d_name);

		if (e->d_name[0] != '.')
			r = sub ? walk(sub, star + 1, file, owner, e->d_name, l) : -ENOMEM;
	}
	if (d)
		(void)closedir(d); /* only read */
	return r;
}

static int walk_places(const char *base, const struct place *p, size_t n, uint32_t owner, struct zt_container_states *l)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = walk(base, p[i].pattern, p[i].file, owner, "", l);
	return r;
}

static int walk_home(const char *root, uint32_t uid, struct zt_container_states *l)
{
	ZT_FREE char *passwd = zt_path_join(root, "etc/passwd");
	FILE *f = passwd ? fopen(passwd, "re") : NULL;
	const struct passwd *pw;
	int r = passwd ? 0 : -ENOMEM;

	while (f && !r && (pw = fgetpwent(f))) {
		ZT_FREE char *home = pw->pw_uid == uid ? zt_path_join(root, pw->pw_dir) : NULL;

		if (pw->pw_uid == uid)
			r = home ? walk_places(home, home_places, ZT_ARRAY_SIZE(home_places), uid, l) : -ENOMEM;
	}
	if (f)
		(void)fclose(f); /* only read */
	return r;
}

/* Users who run containers of their own have a folder in /run/user. */
static int walk_users(const char *root, struct zt_container_states *l)
{
	ZT_FREE char *users = zt_path_join(root, "run/user");
	DIR *d = users ? opendir(users) : NULL;
	const struct dirent *e;
	int r = users ? 0 : -ENOMEM, n = 0;

	while (d && !r && n < HOMES_MAX && (e = readdir(d))) {
		ZT_FREE char *base = zt_path_join(users, e->d_name);
		uint64_t uid;

		if (zt_parse_u64(e->d_name, UINT32_MAX, &uid) < 0)
			continue;
		n++;
		r = base ? walk_places(base, user_places, ZT_ARRAY_SIZE(user_places), (uint32_t)uid, l) : -ENOMEM;
		if (!r && uid)
			r = walk_home(root, (uint32_t)uid, l);
	}
	if (d)
		(void)closedir(d); /* only read */
	return r;
}

int zt_container_states_read(const char *root, struct zt_container_states *l)
{
	const char *base = root ? root : "/";
	int r = walk_places(base, system_places, ZT_ARRAY_SIZE(system_places), 0, l);

	return r < 0 ? r : walk_users(base, l);
}
