/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "apply/apply.h"
#include "base/file.h"
#include "base/mem.h"

#define INCLUDE_DEPTH 16
#define SOCKETS_MAX 4096

/* ---- sshd_config(5): Port, ListenAddress with a port, Include; keywords ignore case, the first Match ends the global part ---- */
static int add_port(const char *text, struct zt_u32_ranges *ret)
{
	uint64_t port;

	return zt_parse_u64(text, 65535, &port) < 0 || !port ? 0
							     : zt_u32_ranges_add(ret, (uint32_t)port, (uint32_t)port);
}

static int listen_address(const char *text, struct zt_u32_ranges *ret)
{
	const char *colon = strrchr(text, ':');

	/* "host:port" or "[v6]:port"; a bare IPv6 address has more colons and no bracket */
	if (!colon || (text[0] != '[' && strchr(text, ':') != colon) || (text[0] == '[' && colon[-1] != ']'))
		return 0;
	return add_port(colon + 1, ret);
}

static int read_config(const char *root, const char *path, unsigned depth, struct zt_u32_ranges *ret);

static int include(const char *root, const char *pattern, unsigned depth, struct zt_u32_ranges *ret)
{
	ZT_FREE char *full = pattern[0] == '/' ? zt_asprintf("%s%s", root, pattern)
					       : zt_asprintf("%s/etc/ssh/%s", root, pattern);
	glob_t found = {0};
	int r = full ? 0 : -ENOMEM;

	if (!r && glob(full, 0, NULL, &found) == 0)
		for (size_t i = 0; !r && i < found.gl_pathc; i++)
			r = read_config(root, found.gl_pathv[i], depth + 1, ret);
	globfree(&found);
	return r;
}

static int config_line(const char *root, char *line, unsigned depth, struct zt_u32_ranges *ret, bool *ret_match)
{
	char *save = NULL, *key = strtok_r(line, " \t\r=", &save), *value;
	int r = 0;

	if (!key || *key == '#')
		return 0;
	*ret_match = !strcasecmp(key, "Match");
	for (; !r && (value = strtok_r(NULL, " \t\r\"=", &save));)
		if (!strcasecmp(key, "Port"))
			r = add_port(value, ret);
		else if (!strcasecmp(key, "ListenAddress"))
			r = listen_address(value, ret);
		else if (!strcasecmp(key, "Include"))
			r = include(root, value, depth, ret);
	return r;
}

static int read_config(const char *root, const char *path, unsigned depth, struct zt_u32_ranges *ret)
{
	ZT_FREE char *text = NULL;
	size_t len = 0;
	bool match = false;
	int r = 0;

	if (depth > INCLUDE_DEPTH || zt_file_read(path, (size_t)1 << 20, &text, &len) < 0)
		return 0;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); !r && !match && line;
	     line = strtok_r(NULL, "\n", &save))
		r = config_line(root, line, depth, ret, &match);
	return r;
}

/* ---- systemd socket activation: ListenStream= of ssh.socket and what overrides it ---- */
static int read_unit(const char *path, struct zt_u32_ranges *ret)
{
	ZT_FREE char *text = NULL;
	size_t len = 0;
	int r = 0;

	if (zt_file_read(path, (size_t)1 << 20, &text, &len) < 0)
		return 0;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); !r && line; line = strtok_r(NULL, "\n", &save)) {
		const char *value = strncmp(line, "ListenStream=", 13) ? NULL : line + 13,
			   *colon = value ? strrchr(value, ':') : NULL;

		if (value)
			r = add_port(colon ? colon + 1 : value, ret);
	}
	return r;
}

static int socket_units(const char *root, struct zt_u32_ranges *ret)
{
	static const char *const units[] = {"/etc/systemd/system/ssh.socket", "/etc/systemd/system/ssh.socket.d/*.conf",
					    "/etc/systemd/system/sshd.socket"};
	int r = 0;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(units); i++) {
		ZT_FREE char *pattern = zt_asprintf("%s%s", root, units[i]);
		glob_t found = {0};

		if (pattern && glob(pattern, 0, NULL, &found) == 0)
			for (size_t k = 0; !r && k < found.gl_pathc; k++)
				r = read_unit(found.gl_pathv[k], ret);
		globfree(&found);
	}
	return r;
}

/* ---- listening sockets that a process named sshd holds ---- */
struct listener {
	unsigned long inode;
	unsigned port;
};
struct listeners {
	struct listener *v;
	size_t n, cap;
};

static void read_listeners(const char *path, struct listeners *l)
{
	FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f) && l->n < SOCKETS_MAX) {
		unsigned port, state;
		unsigned long inode;

		if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*u %*u %lu", &port, &state, &inode) == 3 &&
		    state == 10 && zt_grow(l->v, l->cap, l->n) == 0)
			l->v[l->n++] = (struct listener){inode, port};
	}
	if (f)
		(void)fclose(f); /* only read */
}

static bool is_sshd(const char *pid)
{
	ZT_FREE char *path = zt_asprintf("/proc/%s/comm", pid), *text = NULL;
	size_t len = 0;

	return path && zt_file_read(path, 64, &text, &len) == 0 &&
	       (!strcmp(text, "sshd\n") || !strcmp(text, "dropbear\n"));
}

static int sockets_of(const char *pid, const struct listeners *l, struct zt_u32_ranges *ret)
{
	ZT_FREE char *path = zt_asprintf("/proc/%s/fd", pid);
	DIR *dir = path ? opendir(path) : NULL;
	const struct dirent *e;
	int r = 0;

	while (dir && !r && (e = readdir(dir))) {
		ZT_FREE char *link = zt_path_join(path, e->d_name);
		char target[64];
		ssize_t n = link ? readlink(link, target, sizeof(target) - 1) : -1;
		unsigned long inode;

		if (n <= 0)
			continue;
		target[n] = '\0';
		for (size_t i = 0; sscanf(target, "socket:[%lu]", &inode) == 1 && !r && i < l->n; i++)
			if (l->v[i].inode == inode)
				r = zt_u32_ranges_add(ret, l->v[i].port, l->v[i].port);
	}
	if (dir)
		(void)closedir(dir); /* only read */
	return r;
}

static int listening(struct zt_u32_ranges *ret)
{
	struct listeners l = {0};
	DIR *proc = opendir("/proc");
	const struct dirent *e;
	int r = 0;

	read_listeners("/proc/thread-self/net/tcp", &l);
	read_listeners("/proc/thread-self/net/tcp6", &l);
	while (proc && l.n && !r && (e = readdir(proc)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_sshd(e->d_name))
			r = sockets_of(e->d_name, &l, ret);
	if (proc)
		(void)closedir(proc); /* only read */
	free(l.v);
	return r;
}

int zt_ssh_ports(const char *root, struct zt_u32_ranges *ret)
{
	struct zt_u32_ranges ports = {0};
	ZT_FREE char *config = zt_asprintf("%s/etc/ssh/sshd_config", root ? root : "");
	int r = config ? read_config(root ? root : "", config, 0, &ports) : -ENOMEM;

	r = r ?: socket_units(root ? root : "", &ports);
	if (!r && !root)
		r = listening(&ports);
	if (!r && !ports.n)
		r = zt_u32_ranges_add(&ports, 22, 22);
	if (r < 0) {
		zt_u32_ranges_done(&ports);
		return r;
	}
	zt_u32_ranges_normalise(&ports);
	zt_u32_ranges_done(ret);
	*ret = ports;
	return 0;
}
