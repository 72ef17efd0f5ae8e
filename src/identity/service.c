/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the processes of systemd's units are. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "identity/identity.h"

enum { SEARCH_DEPTH = 6, LINES_MAX = 1 << 16 };

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.\\@-";

static bool ends(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

bool zt_service_template(const char *unit)
{
	const char *at = strchr(unit, '@');

	return at && (!at[1] || !strcmp(at + 1, ".service"));
}

/* ---- the tree as it is now ---- */
struct search {
	const char *unit, *suffix; /* "nginx.service", NULL; "getty@", ".service" */
	const char *but;	   /* not below this path */
	uid_t owner; /* of the tree; groups of others are delegated: what is in them has whatever name they like */
	struct zt_strbuf *out; /* a line for each */
};

static bool is_wanted(const struct search *s, const char *name)
{
	size_t n = strlen(s->unit);

	if (!s->suffix)
		return !strcmp(name, s->unit);
	return !strncmp(name, s->unit, n) && strlen(name) > n + strlen(s->suffix) && ends(name, s->suffix);
}

/* Into what belongs to the service manager: units are in slices, and what is in another group is called as its payload likes. */
static bool is_entered(const struct search *s, int fd, const char *name)
{
	struct stat st;

	return ends(name, ".slice") && fstat(fd, &st) == 0 && st.st_uid == s->owner;
}

static void search(const struct search *s, int fd, const char *inside, unsigned left);

static void search_one(const struct search *s, int dir, const char *inside, const char *name, unsigned left)
{
	ZT_FREE char *path = *inside ? zt_path_join(inside, name) : zt_strdup(name);
	ZT_CLOSE int fd = -1;

	if (!path) {
		s->out->failed = true;
		return;
	}
	if (s->but && !strcmp(path, s->but))
		return;
	if (is_wanted(s, name)) {
		zt_strbuf_printf(s->out, "%s\n", path);
		return;
	}
	fd = left ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (fd >= 0 && is_entered(s, fd, name))
		search(s, ZT_TAKE_FD(fd), path, left - 1);
}

/* Closes fd. */
static void search(const struct search *s, int fd, const char *inside, unsigned left)
{
	DIR *d = fdopendir(fd);
	const struct dirent *e;

	if (!d)
		(void)close(fd);
	while (d && !s->out->failed && s->out->len < LINES_MAX && (s->suffix || !s->out->len) && (e = readdir(d)))
		if (e->d_type == DT_DIR && e->d_name[0] != '.' && !e->d_name[strspn(e->d_name, letters)])
			search_one(s, dirfd(d), inside, e->d_name, left);
	if (d)
		(void)closedir(d); /* only read */
}

static void search_tree(struct search *s, const char *root)
{
	ZT_FREE char *mount = NULL, *top = NULL;
	struct stat st;
	int fd;

	if (zt_cgroup_mount(&mount) < 0)
		return;
	top = root && *root ? zt_path_join(mount, root) : zt_strdup(mount);
	fd = top ? open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	s->owner = fstat(fd, &st) == 0 ? st.st_uid : 0;
	search(s, fd, "", SEARCH_DEPTH);
}

/* ---- where systemd puts them ---- */
/* Of "getty@tty1.service" and "getty@.service"; what is not allowed in a slice's name is escaped there, as unit_name_escape() does. */
static void slice_of(const char *unit, size_t n, struct zt_strbuf *out)
{
	zt_strbuf_str(out, "system.slice/system-");
	for (size_t i = 0; i < n; i++)
		if (unit[i] == '-' || unit[i] == '\\' || (!i && unit[i] == '.'))
			zt_strbuf_printf(out, "\\x%02x", (unsigned char)unit[i]);
		else
			zt_strbuf_char(out, unit[i]);
	zt_strbuf_str(out, ".slice");
}

static int expected_path(const char *unit, char **ret)
{
	const char *at = strchr(unit, '@');
	ZT_STRBUF struct zt_strbuf b = {0};

	if (at)
		slice_of(unit, (size_t)(at - unit), &b);
	else
		zt_strbuf_str(&b, "system.slice");
	if (!zt_service_template(unit))
		zt_strbuf_printf(&b, "/%s", unit);
	*ret = zt_strbuf_steal(&b);
	return *ret ? 0 : -ENOMEM;
}

int zt_service_cgroup(const char *root, const char *unit, char **ret_path)
{
	ZT_FREE char *name = strchr(unit, '.') ? zt_strdup(unit) : zt_asprintf("%s.service", unit);
	ZT_STRBUF struct zt_strbuf found = {0};
	ZT_FREE char *expected = NULL;
	uint64_t id;
	unsigned level;
	int r = name ? expected_path(name, &expected) : -ENOMEM;

	if (r < 0)
		return r;
	r = zt_cgroup_lookup(root, expected, &id, &level);
	if (r == -ENOENT && !zt_service_template(name)) {
		search_tree(&(struct search){.unit = name, .out = &found}, root);
		if (found.failed)
			return -ENOMEM;
		if (found.len) {
			found.buf[strcspn(found.buf, "\n")] = '\0';
			*ret_path = zt_strdup(found.buf);
			return *ret_path ? 0 : -ENOMEM;
		}
	}
	if (r == 0 || r == -ENOENT)
		*ret_path = ZT_TAKE(expected);
	return r;
}

int zt_service_cgroups(const char *root, const char *unit, char **ret_paths)
{
	ZT_STRBUF struct zt_strbuf out = {0};
	ZT_FREE char *first = NULL, *prefix = NULL;
	int r = zt_service_cgroup(root, unit, &first);

	if (!first)
		return r;
	zt_strbuf_printf(&out, "%s\n", first);
	if (zt_service_template(unit)) {
		prefix = zt_strndup(unit, strcspn(unit, "@") + 1);
		if (!prefix)
			return -ENOMEM;
		search_tree(&(struct search){.unit = prefix, .suffix = ".service", .but = first, .out = &out}, root);
	}
	if (out.len >= LINES_MAX)
		return -E2BIG;
	*ret_paths = zt_strbuf_steal(&out);
	return *ret_paths ? 0 : -ENOMEM;
}

/* ---- unit files ---- */
#define UNIT_MAX ((size_t)1 << 20)
static const char *const unit_folders[] = {"/etc/systemd/system", "/run/systemd/system",
					   "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
					   "/lib/systemd/system"};

/* "ExecStart=-/usr/bin/backup --all": signs in front say how, see systemd.service(5). */
static bool starts(const char *line, const char *path)
{
	size_t n = strlen(path);

	if (strncmp(line, "ExecStart=", 10) != 0)
		return false;
	line += 10;
	line += strspn(line, " \t\"@-:+!");
	return !strncmp(line, path, n) && (!line[n] || strchr(" \t\"\r", line[n]));
}

static bool unit_starts(const char *file, const char *path)
{
	ZT_FREE char *text = NULL;
	char *save = NULL;
	size_t len;

	if (zt_file_read(file, UNIT_MAX, &text, &len) < 0)
		return false;
	for (const char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		if (starts(l + strspn(l, " \t"), path))
			return true;
	return false;
}

static int unit_in(const char *folder, const char *path, char **ret)
{
	DIR *d = opendir(folder);
	const struct dirent *e;
	int r = -ENOENT;

	while (d && r == -ENOENT && (e = readdir(d))) {
		ZT_FREE char *file = NULL;

		if (!ends(e->d_name, ".service") || e->d_name[strspn(e->d_name, letters)])
			continue;
		file = zt_path_join(folder, e->d_name);
		if (!file)
			r = -ENOMEM;
		else if (unit_starts(file, path))
			r = (*ret = zt_strdup(e->d_name)) ? 0 : -ENOMEM;
	}
	if (d)
		(void)closedir(d); /* only read */
	return r;
}

int zt_service_running(const char *root, const char *path, char **ret_unit)
{
	int r = -ENOENT;

	for (size_t i = 0; r == -ENOENT && i < ZT_ARRAY_SIZE(unit_folders); i++) {
		ZT_FREE char *folder = zt_path_join(root ? root : "", unit_folders[i]);

		r = folder ? unit_in(folder, path, ret_unit) : -ENOMEM;
	}
	return r;
}
