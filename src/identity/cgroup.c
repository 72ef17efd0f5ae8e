/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "identity/identity.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define SEARCH_DEPTH 6

int zt_cgroup_mount(char **ret_path)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *found = NULL;
	size_t size = 0;

	if (!f)
		return -errno;
	while (!found && getline(&line, &size, f) > 0) {
		char point[PATH_MAX];
		const char *type = strstr(line, " - ");

		if (type && !strncmp(type, " - cgroup2 ", 11) && sscanf(line, "%*s %*s %*s %*s %4095s", point) == 1)
			found = zt_strdup(point);
	}
	free(line);
	(void)fclose(f); /* only read */
	if (!found)
		return -ENOENT;
	*ret_path = found;
	return 0;
}

int zt_cgroup_nft_prefix(char **ret_prefix)
{
	ZT_FREE char *mount = NULL;
	int r = zt_cgroup_mount(&mount);
	const char *below;

	if (r < 0)
		return r;
	if (strncmp(mount, CGROUP_ROOT, strlen(CGROUP_ROOT)) != 0)
		return -ENOENT;
	below = mount + strlen(CGROUP_ROOT);
	*ret_prefix = *below == '/' ? zt_asprintf("%s/", below + 1) : zt_strdup("");
	return *ret_prefix ? 0 : -ENOMEM;
}

static unsigned level_of(const char *path)
{
	unsigned n = 0;

	for (bool in_name = false; *path; path++) {
		if (*path != '/' && !in_name)
			n++;
		in_name = *path != '/';
	}
	return n;
}

int zt_cgroup_lookup(const char *root, const char *path, uint64_t *ret_id, unsigned *ret_level)
{
	ZT_FREE char *mount = NULL, *inside = NULL, *full = NULL;
	struct stat st;
	int r = zt_cgroup_mount(&mount);

	if (r < 0)
		return r;
	inside = root && *root ? zt_path_join(root, path) : zt_strdup(path);
	full = inside ? zt_path_join(mount, inside) : NULL;
	if (!full)
		return -ENOMEM;
	if (stat(full, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOENT;
	*ret_id = st.st_ino;
	*ret_level = level_of(inside);
	return 0;
}

int zt_cgroup_path(uint64_t id, char **ret_path)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + sizeof(uint64_t)];
	} u = {.h = {.handle_bytes = sizeof(uint64_t), .handle_type = 0xfe /* FILEID_KERNFS */}};
	ZT_FREE char *mount = NULL;
	ZT_CLOSE int mount_fd = -1, fd = -1;
	char link[64], path[PATH_MAX];
	int r = zt_cgroup_mount(&mount);
	ssize_t n;
	size_t skip;

	if (r < 0)
		return r;
	memcpy(u.h.f_handle, &id, sizeof(id));
	mount_fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = mount_fd < 0 ? -1 : open_by_handle_at(mount_fd, &u.h, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	skip = strlen(mount);
	if (strncmp(path, mount, skip) != 0)
		return -ENOENT;
	*ret_path = zt_strdup(path + skip + (path[skip] == '/'));
	return *ret_path ? 0 : -ENOMEM;
}

/* ---- services ---- */
static int search(const char *dir, const char *inside, const char *unit, unsigned left, char **ret)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	int r = -ENOENT;

	while (d && r == -ENOENT && (e = readdir(d))) {
		ZT_FREE char *sub = NULL, *sub_inside = NULL;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		sub = zt_path_join(dir, e->d_name);
		sub_inside = *inside ? zt_path_join(inside, e->d_name) : zt_strdup(e->d_name);
		if (!sub || !sub_inside)
			r = -ENOMEM;
		else if (!strcmp(e->d_name, unit)) {
			*ret = ZT_TAKE(sub_inside);
			r = 0;
		} else if (left) {
			r = search(sub, sub_inside, unit, left - 1, ret);
		}
	}
	if (d)
		(void)closedir(d); /* only read */
	return r;
}

/* systemd escapes "-" inside a template's slice name as \x2d. */
static int expected_path(const char *unit, char **ret)
{
	const char *at = strchr(unit, '@');
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_strbuf_str(&b, "system.slice/");
	if (at && at[1] != '.') {
		zt_strbuf_str(&b, "system-");
		for (const char *p = unit; p < at; p++)
			if (*p == '-')
				zt_strbuf_str(&b, "\\x2d");
			else
				zt_strbuf_char(&b, *p);
		zt_strbuf_str(&b, ".slice/");
	}
	zt_strbuf_str(&b, unit);
	*ret = zt_strbuf_steal(&b);
	return *ret ? 0 : -ENOMEM;
}

int zt_service_cgroup(const char *unit, char **ret_path)
{
	ZT_FREE char *name = strchr(unit, '.') ? zt_strdup(unit) : zt_asprintf("%s.service", unit);
	ZT_FREE char *mount = NULL, *expected = NULL, *found = NULL;
	uint64_t id;
	unsigned level;
	int r = name ? expected_path(name, &expected) : -ENOMEM;

	if (r < 0)
		return r;
	r = zt_cgroup_lookup(NULL, expected, &id, &level);
	if (r == -ENOENT && zt_cgroup_mount(&mount) == 0)
		r = search(mount, "", name, SEARCH_DEPTH, &found);
	if (r != 0 && r != -ENOENT)
		return r;
	*ret_path = found ? ZT_TAKE(found) : ZT_TAKE(expected);
	return r;
}
