/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "apply/state.h"
#include "base/file.h"
#include "base/mem.h"
#include "identity/identity.h"

#define ANCESTORS_MAX 32

static bool in_environ(int pid, char buf[static 128])
{
	static const char key[] = "SSH_CONNECTION=";
	ZT_FREE char *path = zt_asprintf("/proc/%d/environ", pid), *text = NULL;
	size_t len = 0;

	if (!path || zt_file_read(path, (size_t)4 << 20, &text, &len) < 0)
		return false;
	for (const char *p = text; p < text + len; p += strlen(p) + 1)
		if (!strncmp(p, key, strlen(key)) && strlen(p) < 120) {
			(void)snprintf(buf, 128, "%s", p + strlen(key)); /* fits */
			return true;
		}
	return false;
}

static int parent_of(int pid)
{
	ZT_FREE char *path = zt_asprintf("/proc/%d/stat", pid), *text = NULL;
	size_t len = 0;
	const char *after;
	int parent = 0;

	if (!path || zt_file_read(path, 4096, &text, &len) < 0)
		return 0;
	after = strrchr(text, ')'); /* the name before it may contain anything */
	return after && sscanf(after + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

bool zt_session(char buf[static 128])
{
	const char *own = getenv("SSH_CONNECTION");
	int pid = (int)getpid();

	if (own && strlen(own) < 120) {
		(void)snprintf(buf, 128, "%s", own); /* fits */
		return true;
	}
	for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++, pid = parent_of(pid))
		if (in_environ(pid, buf))
			return true;
	buf[0] = '\0';
	return false;
}

char *zt_who_am_i(void)
{
	ZT_FREE char *text = NULL, *name = NULL, *now = zt_user_name(geteuid());
	size_t len = 0;
	uint64_t uid;

	if (zt_file_read("/proc/self/loginuid", 32, &text, &len) == 0)
		text[strcspn(text, "\n")] = '\0';
	if (text && zt_parse_u64(text, UINT32_MAX - 1, &uid) == 0 && uid != geteuid())
		name = zt_user_name((uint32_t)uid);
	else if (getenv("SUDO_USER"))
		name = zt_strdup(getenv("SUDO_USER"));
	if (!name)
		return ZT_TAKE(now);
	return zt_asprintf("%s via %s", name, getenv("SUDO_USER") ? "sudo" : now ? now : "root");
}

char *zt_where_from(void)
{
	char session[128];
	const char *tty = ttyname(STDIN_FILENO);

	if (zt_session(session))
		return zt_asprintf("%.*s (ssh)", (int)strcspn(session, " "), session);
	return zt_strdup(tty ? tty : "no terminal");
}
