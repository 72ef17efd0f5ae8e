/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cli/cli.h"

enum { POLICY_MAX = 4 << 20 };

static int write_back(struct zt_cli *c, const char *path, const struct zt_strbuf *text)
{
	struct stat st;
	int r = stat(path, &st) < 0 ? -errno : 0;

	if (r >= 0)
		r = zt_file_write_atomic(path, text->buf, text->len, st.st_mode & 07777);
	if (r >= 0)
		r = chown(path, st.st_uid, st.st_gid) < 0 && geteuid() == 0 ? -errno : 0;
	if (r < 0)
		return zt_cli_error(c, r == -EACCES || r == -EPERM ? ZT_EXIT_PERMISSION : ZT_EXIT_FAILED, 5018,
				    "the old content is untouched", "cannot write %s: %s", path, strerror(-r));
	return 0;
}

static int check_only(struct zt_cli *c, const char *path, bool same)
{
	if (!same && !c->quiet)
		fprintf(c->err, "%s: not in canonical form; \"zt-segment fmt --write\" brings it there\n", path);
	return same ? ZT_EXIT_OK : ZT_EXIT_FAILED;
}

int zt_cmd_fmt(struct zt_cli *c)
{
	const char *path = zt_cli_policy_path(c);
	ZT_STRBUF struct zt_strbuf out = {0};
	ZT_FREE char *text = NULL;
	size_t len = 0;
	bool same;
	int r = zt_file_read(path, POLICY_MAX, &text, &len);

	if (zt_opt(c, WRITE) && (zt_opt(c, CHECK) || !strcmp(path, "-")))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5001, NULL, "--write goes with a file, and not with --check");
	if (r < 0)
		return zt_cli_error(c,
				    r == -EFBIG	   ? ZT_EXIT_POLICY
				    : r == -EACCES ? ZT_EXIT_PERMISSION
						   : ZT_EXIT_FAILED,
				    5018, NULL, "cannot read %s: %s", path, strerror(-r));
	r = zt_policy_format(path, text, len, &out, &c->diags);
	if (r >= 0)
		r = zt_strbuf_error(&out);
	if (r < 0)
		return zt_cli_fail_policy(c, r);
	same = out.len == len && (!len || !memcmp(out.buf, text, len));
	if (zt_opt(c, CHECK))
		return check_only(c, path, same);
	if (zt_opt(c, WRITE))
		return same ? 0 : write_back(c, path, &out);
	fwrite(zt_strbuf_cstr(&out), 1, out.len, c->out);
	return 0;
}
