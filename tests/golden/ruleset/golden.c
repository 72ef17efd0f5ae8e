/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * golden FOLDER: the warnings about each NAME.yaml, loaded and judged with FOLDER/root as the host, are exactly NAME.expected.
 * ZT_GOLDEN_UPDATE=1 writes what is expected.
 */
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "ruleset/ruleset.h"

static unsigned count, failures;

static void compare(const char *path, const char *text, size_t len)
{
	ZT_FREE char *name = zt_asprintf("%.*s.expected", (int)(strlen(path) - strlen(".yaml")), path), *want = NULL;
	size_t want_len = 0;

	count++;
	if (getenv("ZT_GOLDEN_UPDATE")) {
		failures += zt_file_write_atomic(name, text, len, 0644) < 0;
		return;
	}
	if (zt_file_read(name, 1 << 20, &want, &want_len) == 0 && want_len == len && !memcmp(want, text, len))
		return;
	failures++;
	printf("not ok - %s\n--- expected\n%s--- got\n%.*s", path, want ? want : "(no such file)\n", (int)len, text);
}

static void check(const char *path)
{
	struct zt_policy_options o = {.root = "root", .allow_unsafe_file = true};
	struct zt_compile_options co = {.offline = true};
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};
	ZT_FREE char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	if (zt_policy_load(path, &o, &p, &d) < 0 || zt_ruleset_compile(p, &co, &rs, &d) < 0 ||
	    zt_ruleset_lint(rs, "root", &d) < 0)
		failures++;
	zt_diags_print(&d, f, false);
	(void)fclose(f);
	compare(path, text, len);
	zt_diags_done(&d);
}

int main(int argc, char **argv)
{
	glob_t g = {0};

	if (argc != 2 || chdir(argv[1]) < 0 || setenv("TZ", "UTC", 1) < 0)
		return 2;
	if (glob("*.yaml", 0, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++)
			check(g.gl_pathv[i]);
	globfree(&g);
	printf("%u policies, %u failures\n", count, failures);
	return count < 20 || failures;
}
