/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "engine/bpf/load.h"
#include "engine/engine.h"
#include "identity/identity.h"

/* A control group in which nobody is, for programs that are attached to one. It is in the group of --cgroup and has the name by which
 * prove finds what a killed one left. */
struct group {
	char *path, *inside; /* in the file system, inside cgroup2 */
};

static int group_make(struct group *g)
{
	ZT_FREE char *mount = NULL;
	int r = zt_cgroup_mount(&mount);

	if (r < 0)
		return r == -ENOMEM ? r : 0; /* without cgroup2 nothing can be attached */
	g->inside = zt_asprintf("%s%szt-segment-prove-%d-loaded", bpf_cgroup ? bpf_cgroup : "", bpf_cgroup ? "/" : "",
				(int)getpid());
	g->path = g->inside ? zt_path_join(mount, g->inside) : NULL;
	if (!g->path)
		return -ENOMEM;
	return mkdir(g->path, 0755) < 0 ? -errno : 0;
}

static void group_remove(struct group *g)
{
	if (g->path)
		(void)rmdir(g->path); /* one that stays is swept by the next prove */
	free(g->path);
	free(g->inside);
}

/* The child's work: load into an empty network namespace, read back, write the ruleset (or the first message) to fd. */
static int load_and_raise(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_strbuf *out,
			  struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *back = NULL;
	struct zt_image *img = NULL;
	bool changed;
	int r = unshare(CLONE_NEWNET) < 0 ? -errno : e->lower(rs, &img, d);

	r = r ?: e->commit(img, &changed, d) ?: e->raise(rs->instance, &back, d) ?: zt_ruleset_json_text(back, out);
	(void)e->flush(rs->instance, NULL); /* what is pinned outlives the namespace */
	if (img)
		e->image_free(img);
	return r;
}

static _Noreturn void child(const struct zt_engine *e, const struct zt_ruleset *rs, const struct group *g, int fd)
{
	ZT_STRBUF struct zt_strbuf out = {0};
	struct zt_diags d = {0};
	int r;

	if (g->inside)
		zt_engine_cgroup(g->inside);
	r = load_and_raise(e, rs, &out, &d);

	if (r < 0) {
		zt_strbuf_done(&out);
		zt_strbuf_printf(&out, "!%s", d.n ? d.items[0].message : strerror(-r));
	}
	_exit(zt_strbuf_error(&out) || zt_write_all(fd, out.buf, out.len) < 0);
}

static int read_all(int fd, struct zt_strbuf *out)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		zt_strbuf_add(out, buf, (size_t)n);
	}
	return zt_strbuf_error(out);
}

static int answer(const struct zt_engine *e, const struct zt_strbuf *text, struct zt_ruleset **ret, struct zt_diags *d)
{
	if (!text->len || text->buf[0] == '!') {
		(void)zt_diag(d, ZT_ERROR, 3102, NULL,
			      "the %s engine cannot load the policy in a scratch network namespace: %.200s", e->name,
			      text->len ? text->buf + 1 : "the process ended");
		return -EIO;
	}
	return zt_ruleset_from_text(text->buf, text->len, ret, d);
}

int zt_engine_scratch(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_ruleset **ret,
		      struct zt_diags *d)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	struct group g = {0};
	int fds[2], status, r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return zt_diag_errno(d, 3104, -errno, "cannot make a pipe");
	r = group_make(&g);
	if (r < 0) {
		group_remove(&g);
		(void)close(fds[0]);
		(void)close(fds[1]);
		return zt_diag_errno(d, 3104, r, "cannot make a scratch control group");
	}
	pid = fork();
	if (!pid)
		child(e, rs, &g, fds[1]);
	r = pid < 0 ? -errno : 0;
	(void)close(fds[1]);
	if (!r)
		r = read_all(fds[0], &text);
	(void)close(fds[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	group_remove(&g);
	return r < 0 ? zt_diag_errno(d, 3104, r, "cannot start a process for the scratch namespace")
		     : answer(e, &text, ret, d);
}
