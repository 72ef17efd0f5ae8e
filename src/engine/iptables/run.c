/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/proc.h"
#include "engine/iptables/iptables.h"

static const char *const tools[IPT_FAMILIES] = {[IPT_4] = "iptables", [IPT_6] = "ip6tables"};

/* "iptables-restore", or "iptables-legacy-restore" when a variant is chosen. */
static void tool(int family, const char *what, char buf[static 64])
{
	const char *variant = getenv("ZT_IPTABLES_VARIANT");
	bool chosen = variant && (!strcmp(variant, "legacy") || !strcmp(variant, "nft"));

	(void)snprintf(buf, 64, "%s%s%s%s", tools[family], chosen ? "-" : "", chosen ? variant : "", what);
}

static int failure(const struct zt_run *r)
{
	return strstr(r->err, "ermission denied") || strstr(r->err, "must be root") ? -EPERM : -EIO;
}

int ipt_save(int family, bool all_tables, char **ret)
{
	char name[64];
	const char *const argv[] = {name, "-c", all_tables ? NULL : "-t", "filter", NULL};
	ZT_CLEANUP(zt_run_done) struct zt_run r = {.argv = argv};
	int e;

	tool(family, "-save", name);
	e = zt_run(&r);
	if (!e && r.status)
		e = failure(&r);
	if (!e)
		*ret = ZT_TAKE(r.out);
	return e;
}

static void first_line(char *text)
{
	text[strcspn(text, "\n")] = '\0';
}

int ipt_restore(int family, const char *text, size_t len, bool scratch, struct zt_diags *d)
{
	char name[64];
	const char *const argv[] = {name, "-w", "20", "--noflush", "--counters", NULL};
	ZT_CLEANUP(zt_run_done) struct zt_run r = {.argv = argv, .input = text, .input_len = len, .new_netns = scratch};
	int e;

	tool(family, "-restore", name);
	e = zt_run(&r);
	if (e == -ENOENT)
		(void)zt_diag(d, ZT_ERROR, 3203, NULL, "%s cannot be found (package iptables)", name);
	else if (e < 0)
		(void)zt_diag(d, ZT_ERROR, 3203, NULL, "%s cannot be run: %s", name, strerror(-e));
	if (e < 0 || !r.status)
		return e;
	e = failure(&r);
	first_line(r.err);
	(void)zt_diag(d, ZT_ERROR, 3202, NULL, "%s refused the rules: %s", name, r.err);
	return e;
}

int ipt_version(char **ret)
{
	char name[64];
	const char *const argv[] = {name, "--version", NULL};
	ZT_CLEANUP(zt_run_done) struct zt_run r = {.argv = argv};
	int e;

	tool(IPT_4, "", name);
	e = zt_run(&r);
	if (e < 0 || r.status)
		return e < 0 ? e : -EIO;
	first_line(r.out);
	*ret = ZT_TAKE(r.out);
	return 0;
}
