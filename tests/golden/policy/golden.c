/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * golden FOLDER: each NAME.yaml is loaded with the accounts of FOLDER/root and must give exactly the text of NAME.expected; each
 * fmt/NAME.yaml is formatted to fmt/NAME.expected, which formats to itself. ZT_GOLDEN_UPDATE=1 writes what is expected.
 */
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "policy/policy.h"

static unsigned count, failures;

static void compare(const char *path, const char *text, size_t len)
{
	ZT_FREE char *name = zt_asprintf("%.*s.expected", (int)(strlen(path) - strlen(".yaml")), path), *want = NULL;
	size_t want_len = 0;
	int r;

	count++;
	if (getenv("ZT_GOLDEN_UPDATE")) {
		failures += zt_file_write_atomic(name, text, len, 0644) < 0;
		return;
	}
	r = zt_file_read(name, 1 << 20, &want, &want_len);
	if (r == 0 && want_len == len && !memcmp(want, text, len))
		return;
	failures++;
	printf("not ok - %s\n--- expected\n%s--- got\n%.*s", path, want ? want : "(no such file)\n", (int)len, text);
}

static void list(const struct zt_policy *p, FILE *f)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct zt_policy_rule *r = &p->rules[i];

		fprintf(f, "rule %s: %s %s from %s to %s port %s\n", r->name, zt_action_name(r->action),
			zt_direction_name(r->dir),
			r->from.n_whos && r->from.whos[0].label ? r->from.whos[0].label
			: r->from.host_text			? r->from.host_text
								: "-",
			r->to.host_text ? r->to.host_text : "-", r->port_text ? r->port_text : "-");
	}
}

static void check_load(const char *path)
{
	struct zt_policy_options o = {.root = "root", .allow_unsafe_file = true};
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	struct zt_diags d = {0};
	ZT_FREE char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int r = zt_policy_load(path, &o, &p, &d);

	if (!f)
		abort();
	zt_diags_print(&d, f, false);
	if (r == 0)
		list(p, f);
	if ((r < 0) != (d.errors > 0) || (r == 0) != (p != NULL)) {
		failures++;
		printf("not ok - %s: result %d with %zu errors\n", path, r, d.errors);
	}
	(void)fclose(f);
	compare(path, text, len);
	zt_diags_done(&d);
}

static void check_format(const char *path)
{
	ZT_STRBUF struct zt_strbuf once = {0}, twice = {0};
	ZT_FREE char *text = NULL;
	struct zt_diags d = {0};
	size_t len = 0;
	int r = zt_file_read(path, 1 << 20, &text, &len);

	if (r == 0)
		r = zt_policy_format(path, text, len, &once, &d);
	if (r == 0)
		r = zt_policy_format(path, once.buf, once.len, &twice, &d);
	zt_diags_print(&d, stdout, false);
	zt_diags_done(&d);
	if (r < 0 || once.len != twice.len || memcmp(once.buf, twice.buf, once.len) != 0) {
		failures++;
		printf("not ok - %s: result %d, not stable:\n%s--- again\n%s", path, r, zt_strbuf_cstr(&once),
		       zt_strbuf_cstr(&twice));
	}
	compare(path, zt_strbuf_cstr(&once), once.len);
}

static void each(const char *pattern, void (*check)(const char *))
{
	glob_t g = {0};

	if (glob(pattern, 0, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++)
			check(g.gl_pathv[i]);
	globfree(&g);
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) < 0 || setenv("TZ", "UTC", 1) < 0)
		return 2;
	each("*.yaml", check_load);
	each("fmt/*.yaml", check_format);
	printf("%u policies, %u failures\n", count, failures);
	return count < 60 || failures;
}
