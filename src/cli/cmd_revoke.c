/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/table.h"
#include "cli/cli.h"
#include "identity/identity.h"

/* ---- showing ---- */
static void end_text(const struct zt_addr *a, uint16_t port, struct zt_strbuf *out)
{
	char buf[64];

	zt_addr_format(a, buf);
	zt_strbuf_printf(out, a->family == 6 ? "[%s]:%u" : "%s:%u", buf, port);
}

static json_t *one_json(const struct zt_revoked *e)
{
	ZT_STRBUF struct zt_strbuf src = {0}, dst = {0};

	end_text(&e->src, e->sport, &src);
	end_text(&e->dst, e->dport, &dst);
	return json_pack("{s:s, s:i, s:s, s:s, s:o, s:I, s:o, s:o, s:b}", "direction", zt_direction_name(e->dir),
			 "protocol", (int)e->proto, "source", zt_strbuf_cstr(&src), "destination", zt_strbuf_cstr(&dst),
			 "uid", e->dir == ZT_DIR_FORWARD ? json_null() : json_integer(e->uid), "pid",
			 (json_int_t)e->pid, "program", zt_json_text(e->program), "rule", zt_json_text(e->rule),
			 "ended", (int)!e->failed);
}

json_t *zt_revoked_json(const struct zt_revoke_report *r, bool dry_run)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n; i++)
		(void)json_array_append_new(list, one_json(&r->v[i])); /* one that fails is left out */
	return json_pack("{s:b, s:I, s:I, s:I, s:o}", "dry_run", (int)dry_run, "flows", (json_int_t)r->looked_at,
			 "unclear", (json_int_t)r->unclear, "usec", (json_int_t)r->took, "revoked", list);
}

static int row(struct zt_table *t, const struct zt_revoked *e)
{
	ZT_STRBUF struct zt_strbuf who = {0}, src = {0}, dst = {0};
	const char *slash = e->program ? strrchr(e->program, '/') : NULL, *proto = zt_proto_name(e->proto);

	if (e->dir == ZT_DIR_FORWARD)
		zt_strbuf_str(&who, "(forwarded)");
	else
		zt_uid_text(e->uid, &who);
	if (slash)
		zt_strbuf_printf(&who, " %s", slash + 1);
	end_text(&e->src, e->sport, &src);
	end_text(&e->dst, e->dport, &dst);
	zt_strbuf_printf(&dst, "/%s", proto ? proto : "?");
	return zt_table_row(t, (const char *[]){zt_strbuf_cstr(&who), zt_strbuf_cstr(&src), zt_strbuf_cstr(&dst),
						e->failed ? "NOT ENDED"
						: e->rule ? e->rule
							  : "default-deny"});
}

static int table(struct zt_cli *c, const struct zt_revoke_report *r)
{
	static const struct zt_table_column columns[] = {
		{.title = "User"}, {.title = "From"}, {.title = "To"}, {.title = "Decided by"}};
	ZT_CLEANUP(zt_table_freep) struct zt_table *t = zt_table_new(columns, ZT_ARRAY_SIZE(columns));
	size_t shown = c->verbose ? r->n : ZT_MIN(r->n, (size_t)50);
	int e = t ? 0 : -ENOMEM;

	for (size_t i = 0; !e && i < shown; i++)
		e = row(t, &r->v[i]);
	e = e ?: zt_table_print(t, c->out, NULL, NULL, 0, c->columns, c->colour);
	if (shown < r->n)
		fprintf(c->out, "... and %zu more (-v shows all)\n", r->n - shown);
	return e;
}

int zt_revoked_print(struct zt_cli *c, const struct zt_revoke_report *r, bool dry_run)
{
	size_t failed = 0;
	int e = r->n ? table(c, r) : 0;

	for (size_t i = 0; i < r->n; i++)
		failed += r->v[i].failed;
	if (dry_run)
		fprintf(c->out, "%zu of %zu flows would be ended.\n", r->n, r->looked_at);
	else
		fprintf(c->out, "%zu of %zu flows ended in %llu ms; the others were not touched.\n", r->n - failed,
			r->looked_at, (unsigned long long)(r->took / 1000));
	if (failed)
		fprintf(c->out, "%s%zu could not be ended%s: this kernel lacks INET_DIAG_DESTROY for them.\n",
			zt_colour(c, ZT_RED), failed, zt_colour(c, ZT_PLAIN));
	if (r->unclear)
		fprintf(c->out, "%zu were left alone: nothing tells which end began them, or who holds them.\n",
			r->unclear);
	return e < 0 ? zt_cli_fail(c, e) : failed ? ZT_EXIT_FAILED : ZT_EXIT_OK;
}

int zt_revoke_denied(struct zt_cli *c, const struct zt_ruleset *rs, struct json_t *into)
{
	ZT_CLEANUP(zt_revoke_report_done) struct zt_revoke_report report = {0};
	int r = zt_revoke(rs, NULL, &report, &c->diags);

	if (r < 0)
		return zt_cli_fail(c, r);
	if (!into)
		return c->quiet ? 0 : zt_revoked_print(c, &report, false);
	(void)json_object_set_new(into, "revoke", zt_revoked_json(&report, false)); /* a failed set leaves a key out */
	return 0;
}

/* ---- the verb ---- */
static int user_of(struct zt_cli *c, struct zt_revoke_filter *f)
{
	const char *user = zt_opt(c, USER);
	uint64_t n;

	if (!user)
		return 0;
	f->has_uid = true;
	if (zt_parse_u64(user, UINT32_MAX - 1, &n) == 0) {
		f->uid = (uint32_t)n;
		return 0;
	}
	if (zt_user_lookup(user, &f->uid) == 0)
		return 0;
	return zt_cli_error(c, ZT_EXIT_USAGE, 5011, "a name of this host, or a number", "there is no user \"%s\"",
			    user);
}

static int known(struct zt_cli *c, const struct zt_ruleset *rs, const struct zt_revoke_filter *f)
{
	bool rule = !f->rule, subject = !f->subject;

	for (size_t i = 0; !rule && i < rs->n_rules; i++)
		rule = !strcmp(rs->rules[i].id, f->rule);
	for (size_t i = 0; !subject && i < rs->n_subjects; i++)
		subject = !strcmp(rs->subjects[i]->text, f->subject) || !strcmp(rs->subjects[i]->text + 1, f->subject);
	if (!rule)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5021, "\"zt-segment status\" lists the rules in force",
				    "there is no rule \"%s\"", f->rule);
	if (!subject)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5021,
				    "labels are identities with programs or receivers, as the policy names them",
				    "no rule in force has the label \"%s\"", f->subject);
	return 0;
}

int zt_cmd_revoke(struct zt_cli *c)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_CLEANUP(zt_revoke_report_done) struct zt_revoke_report report = {0};
	struct zt_revoke_filter f = {.rule = zt_opt(c, RULE),
				     .subject = zt_opt(c, LABEL),
				     .allowed = zt_opt(c, ALLOWED),
				     .dry_run = zt_opt(c, DRY_RUN)};
	int r, code = user_of(c, &f);

	code = code ?: zt_cli_raise(c, &rs);
	if (code == ZT_EXIT_INACTIVE)
		return zt_cli_error(c, code, 5016, "\"zt-segment apply FILE\" enforces a policy",
				    "nothing is enforced: no flow is denied");
	code = code ?: known(c, rs, &f);
	if (code)
		return code;
	r = zt_revoke(rs, &f, &report, &c->diags);
	if (r < 0)
		return zt_cli_fail(c, r);
	zt_cli_flush_diags(c);
	return c->json ? zt_cli_json(c, zt_revoked_json(&report, f.dry_run)) : zt_revoked_print(c, &report, f.dry_run);
}
