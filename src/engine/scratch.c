/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "engine/engine.h"

/* The child's work: load into an empty network namespace, read back, write the ruleset (or the first message) to fd. */
static int load_and_raise(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_strbuf *out,
			  struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *back = NULL;
	struct zt_image *img = NULL;
	bool changed;
	int r = unshare(CLONE_NEWNET) < 0 ? -errno : e->lower(rs, &img, d);

	r = r ?: e->commit(img, &changed, d) ?: e->raise(rs->instance, &back, d) ?: zt_ruleset_json_text(back, out);
	if (img)
		e->image_free(img);
	return r;
}

static _Noreturn void child(const struct zt_engine *e, const struct zt_ruleset *rs, int fd)
{
	ZT_STRBUF struct zt_strbuf out = {0};
	struct zt_diags d = {0};
	int r = load_and_raise(e, rs, &out, &d);

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
	json_t *j;
	int r;

	if (!text->len || text->buf[0] == '!') {
		(void)zt_diag(d, ZT_ERROR, 3102, NULL,
			      "the %s engine cannot load the policy in a scratch network namespace: %.200s", e->name,
			      text->len ? text->buf + 1 : "the process ended");
		return -EIO;
	}
	j = json_loadb(text->buf, text->len, 0, NULL);
	r = zt_ruleset_from_json(j, ret, d);
	json_decref(j);
	return r;
}

int zt_engine_scratch(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_ruleset **ret,
		      struct zt_diags *d)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	int fds[2], status, r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return zt_diag_errno(d, 3104, -errno, "cannot make a pipe");
	pid = fork();
	if (!pid)
		child(e, rs, fds[1]);
	r = pid < 0 ? -errno : 0;
	(void)close(fds[1]);
	if (!r)
		r = read_all(fds[0], &text);
	(void)close(fds[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return r < 0 ? zt_diag_errno(d, 3104, r, "cannot start a process for the scratch namespace")
		     : answer(e, &text, ret, d);
}
