/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "identity/identity.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define MOUNTINFO_MAX ((size_t)16 << 20)

/* Blanks and the like are written as "\040" in mountinfo. */
static void decode_octal(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/* "36 35 98:0 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw"; NULL when it is none of cgroup2. Cuts line. */
static char *mount_point(char *line)
{
	char *type = strstr(line, " - "), *save = NULL, *word = NULL;

	if (!type || strncmp(type, " - cgroup2 ", 11) != 0)
		return NULL;
	*type = '\0';
	for (unsigned i = 0; i < 5; i++)
		word = strtok_r(i ? NULL : line, " ", &save);
	if (word)
		decode_octal(word);
	return word && *word == '/' ? word : NULL;
}

static bool below_root(const char *path)
{
	size_t len = strlen(CGROUP_ROOT);

	return !strncmp(path, CGROUP_ROOT, len) && (!path[len] || path[len] == '/');
}

int zt_cgroup_mount_find(char *mountinfo, char **ret_path)
{
	const char *found = NULL;
	char *save = NULL;

	for (char *line = strtok_r(mountinfo, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *point = mount_point(line);

		if (point && (!found || (below_root(point) && !below_root(found))))
			found = point;
	}
	if (!found)
		return -ENOENT;
	*ret_path = zt_strdup(found);
	return *ret_path ? 0 : -ENOMEM;
}

int zt_cgroup_mount(char **ret_path)
{
	ZT_FREE char *text = NULL;
	size_t len = 0;
	int r = zt_file_read("/proc/self/mountinfo", MOUNTINFO_MAX, &text, &len);

	return r ? r : zt_cgroup_mount_find(text, ret_path);
}

int zt_cgroup_nft_prefix(char **ret_prefix)
{
	ZT_FREE char *mount = NULL;
	int r = zt_cgroup_mount(&mount);
	const char *below;

	if (r < 0)
		return r;
	if (!below_root(mount))
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

	if (r)
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
