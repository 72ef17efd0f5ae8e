/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "apply/apply.h"
#include "apply/flows.h"
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

struct ssh_config {
	const char *root;
	struct zt_u32_ranges ports;
	bool port, bare; /* Port was said; an address without one */
};

/* "host:port" or "[v6]:port"; a bare IPv6 address has more colons and no bracket. Without a port it listens on those of Port. */
static int listen_address(const char *text, struct ssh_config *c)
{
	const char *colon = strrchr(text, ':');
	bool with_port = colon && (text[0] == '[' ? colon[-1] == ']' : strchr(text, ':') == colon);

	c->bare = c->bare || !with_port;
	return with_port ? add_port(colon + 1, &c->ports) : 0;
}

static int read_config(struct ssh_config *c, const char *path, unsigned depth);

static int include(struct ssh_config *c, const char *pattern, unsigned depth)
{
	ZT_FREE char *full = zt_asprintf("%s%s%s", c->root, pattern[0] == '/' ? "" : "/etc/ssh/", pattern);
	glob_t found = {0};
	int r = full ? 0 : -ENOMEM;

	if (!r && glob(full, 0, NULL, &found) == 0)
		for (size_t i = 0; !r && i < found.gl_pathc; i++)
			r = read_config(c, found.gl_pathv[i], depth + 1);
	globfree(&found);
	return r;
}

static int config_line(struct ssh_config *c, char *line, unsigned depth, bool *ret_match)
{
	char *save = NULL, *key = strtok_r(line, " \t\r=", &save), *value;
	int r = 0;

	if (!key || *key == '#')
		return 0;
	*ret_match = !strcasecmp(key, "Match");
	c->port = c->port || !strcasecmp(key, "Port");
	for (; !r && (value = strtok_r(NULL, " \t\r\"=", &save));)
		if (!strcasecmp(key, "Port"))
			r = add_port(value, &c->ports);
		else if (!strcasecmp(key, "ListenAddress"))
			r = listen_address(value, c);
		else if (!strcasecmp(key, "Include"))
			r = include(c, value, depth);
	return r;
}

static int read_config(struct ssh_config *c, const char *path, unsigned depth)
{
	ZT_FREE char *text = NULL;
	size_t len = 0;
	bool match = false;
	int r = 0;

	if (depth > INCLUDE_DEPTH || zt_file_read(path, (size_t)1 << 20, &text, &len) < 0)
		return 0;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); !r && !match && line;
	     line = strtok_r(NULL, "\n", &save))
		r = config_line(c, line, depth, &match);
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

static int units_like(const char *root, const char *unit, struct zt_u32_ranges *ret)
{
	ZT_FREE char *pattern = zt_asprintf("%s%s", root, unit);
	glob_t found = {0};
	int r = pattern ? 0 : -ENOMEM;

	if (!r && glob(pattern, 0, NULL, &found) == 0)
		for (size_t k = 0; !r && k < found.gl_pathc; k++)
			r = read_unit(found.gl_pathv[k], ret);
	globfree(&found);
	return r;
}

static bool is_enabled(const char *root, const char *unit)
{
	ZT_FREE char *link = zt_asprintf("%s/etc/systemd/system/sockets.target.wants/%s", root, unit);
	struct stat st;

	return link && lstat(link, &st) == 0; /* below another root the link leads nowhere */
}

static int socket_units(const char *root, struct zt_u32_ranges *ret)
{
	static const char *const own[] = {"/etc/systemd/system/ssh.socket", "/etc/systemd/system/ssh.socket.d/*.conf",
					  "/etc/systemd/system/sshd.socket",
					  "/etc/systemd/system/sshd.socket.d/*.conf"};
	static const char *const names[] = {"ssh.socket", "sshd.socket"}, *const shipped[] = {"/usr/lib", "/lib"};
	int r = 0;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(own); i++)
		r = units_like(root, own[i], ret);
	/* As the package ships it, where it is switched on: more ports rather than too few. */
	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(names); i++)
		for (size_t k = 0; !r && is_enabled(root, names[i]) && k < ZT_ARRAY_SIZE(shipped); k++) {
			ZT_FREE char *unit = zt_asprintf("%s/systemd/system/%s", shipped[k], names[i]);

			r = unit ? units_like(root, unit, ret) : -ENOMEM;
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

static int ask_listeners(struct listeners *l)
{
	ZT_CLEANUP(zt_sockets_done) struct zt_sockets s = {0};
	int r = zt_sockets_read_listening(&s);

	for (size_t i = 0; !r && i < s.n && l->n < SOCKETS_MAX && zt_grow(l->v, l->cap, l->n) == 0; i++)
		l->v[l->n++] = (struct listener){s.v[i].inode, s.v[i].lport};
	return r;
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

	if (ask_listeners(&l) < 0) {
		read_listeners("/proc/thread-self/net/tcp", &l);
		read_listeners("/proc/thread-self/net/tcp6", &l);
	}
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
	struct ssh_config c = {.root = root ? root : ""};
	ZT_FREE char *config = zt_asprintf("%s/etc/ssh/sshd_config", c.root);
	int r = config ? read_config(&c, config, 0) : -ENOMEM;

	if (!r && c.bare && !c.port)
		r = zt_u32_ranges_add(&c.ports, 22, 22);
	r = r ?: socket_units(c.root, &c.ports);
	if (!r && !root)
		r = listening(&c.ports);
	if (!r && !c.ports.n)
		r = zt_u32_ranges_add(&c.ports, 22, 22);
	if (r < 0) {
		zt_u32_ranges_done(&c.ports);
		return r;
	}
	zt_u32_ranges_normalise(&c.ports);
	zt_u32_ranges_done(ret);
	*ret = c.ports;
	return 0;
}
