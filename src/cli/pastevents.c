/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal of events for the verbs that look back. */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "identity/identity.h"

char *zt_cli_journal_path(const struct zt_cli *c)
{
	return zt_path_join(c->state_dir, ZT_JOURNAL_FILE);
}

int zt_cli_no_journal(struct zt_cli *c)
{
	return zt_cli_error(c, ZT_EXIT_FAILED, 5026, "systemctl enable --now zt-segmentd.service begins one",
			    "there is no journal of events in %s", c->state_dir);
}

int zt_cli_no_event(struct zt_cli *c, uint64_t id)
{
	return zt_cli_error(c, ZT_EXIT_FAILED, 5023, "\"zt-segment events\" shows the numbers",
			    "there is no event %llu in the journal", (unsigned long long)id);
}

int zt_cli_journal(struct zt_cli *c, struct zt_journal **ret)
{
	ZT_FREE char *path = zt_cli_journal_path(c);
	int r = path ? zt_journal_open_readonly(path, ret, &c->diags) : -ENOMEM;

	if (r == -ENOENT)
		return zt_cli_no_journal(c);
	if (r == -EACCES && geteuid()) {
		zt_diags_done(&c->diags); /* one message, with the remedy */
		c->diags = (struct zt_diags){0};
		return zt_cli_error(c, ZT_EXIT_PERMISSION, 5003,
				    "members of the group zt-segment have \"status\", \"events\", \"why\", \"drift\", "
				    "\"blocked\", \"report\" and \"stats\"",
				    "\"%s\" reads the whole journal, which only root may", c->args.verb->name);
	}
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

/* ---- what the sums lack ---- */
struct lacking {
	uint32_t kinds;
	uint64_t n;
};

static int add_loss(void *arg, uint64_t id, const struct zt_activity *a)
{
	struct lacking *l = arg;
	uint64_t n;
	int kind = zt_activity_loss(a, &n);

	(void)id;
	if (kind < 0 || l->kinds >> kind & 1)
		l->n += n;
	return 0;
}

int zt_cli_say_lacking(struct zt_cli *c, struct zt_journal *j, zt_usec since, uint32_t kinds)
{
	ZT_CLEANUP(zt_journal_iter_freep) struct zt_journal_iter *it = NULL;
	struct zt_journal_query q = {.since = since, .kinds = 1u << ZT_ACTIVITY_LOST};
	struct lacking l = {.kinds = kinds};
	struct zt_activity a;
	char n[32];
	int r = 0;

	if (!j) {
		int code = zt_cli_member_events(c, &q, add_loss, &l);

		if (code)
			return code;
	} else {
		r = zt_journal_query(j, &q, &it);
	}
	while (it && (r = zt_journal_next(it, &a, NULL)) > 0)
		(void)add_loss(&l, 0, &a);
	if (r < 0)
		return zt_cli_fail(c, r);
	zt_format_thousands(l.n, n);
	if (l.n && !c->quiet)
		fprintf(c->err,
			"zt-segment: %s events of connections were lost in that time and are missing in this: "
			"\"events --kind lost\" says when\n",
			n);
	return 0;
}

int zt_cli_time(struct zt_cli *c, enum zt_opt opt, const char *otherwise, zt_usec *ret)
{
	const char *text = c->args.value[opt] ? c->args.value[opt] : otherwise;
	zt_usec age;

	*ret = 0;
	if (!text || zt_time_parse(text, ret) == 0)
		return 0;
	if (zt_duration_parse(text, &age) < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5013, "such as 10m, 2h, 7d or 2026-12-31",
				    "--%s wants a time, not \"%s\"", zt_options[opt].name, text);
	*ret = zt_now() - ZT_MIN(age, zt_now());
	return 0;
}

int zt_cli_since(struct zt_cli *c, const char *otherwise, zt_usec *ret)
{
	return zt_cli_time(c, ZT_OPT_SINCE, otherwise, ret);
}

int zt_cli_kinds(struct zt_cli *c, uint32_t *ret)
{
	ZT_FREE char *list = zt_opt(c, KIND) ? zt_strdup(zt_opt(c, KIND)) : NULL;
	char *rest = list, *word;
	uint32_t kinds = 0;

	if (!list)
		return zt_opt(c, KIND) ? zt_cli_fail(c, -ENOMEM) : 0;
	while ((word = strsep(&rest, ","))) {
		ZT_FREE char *hint = zt_asprintf("\"zt-segment %s --help\" lists them", c->args.verb->name);
		int k = zt_activity_find(word);

		if (k < 0)
			return zt_cli_error(c, ZT_EXIT_USAGE, 5025, hint, "\"%s\" is no kind of event", word);
		kinds |= 1u << k;
	}
	*ret = kinds;
	return 0;
}

int zt_cli_event_user(struct zt_cli *c, bool *ret_has, uint32_t *ret)
{
	const char *user = zt_opt(c, USER);
	uint64_t n = 0;

	*ret_has = user;
	if (!user)
		return 0;
	if (zt_parse_u64(user, UINT32_MAX, &n) == 0)
		*ret = (uint32_t)n;
	else if (zt_user_lookup(user, ret) < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5011, "a user without a name is a number, such as 1001",
				    "there is no user \"%s\"", user);
	return 0;
}
