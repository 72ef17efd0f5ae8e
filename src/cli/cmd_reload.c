/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's side of the command line: reload, and what status says of it. */
#include <jansson.h>
#include <string.h>

#include "apply/control.h"
#include "cli/cli.h"

int zt_cli_daemon(struct zt_cli *c, const char *request, zt_usec timeout, struct json_t **ret)
{
	ZT_FREE char *line = NULL, *text = NULL;
	json_t *j = json_pack("{s:s}", "request", request);
	int r;

	line = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	r = line ? zt_control_call(zt_opt(c, NETNS), c->instance, line, timeout, &text) : -ENOMEM;
	if (r < 0)
		return r;
	*ret = json_loads(text, 0, NULL);
	return *ret ? 0 : -EBADMSG;
}

static int unreachable(struct zt_cli *c, int r)
{
	if (r == -ENOENT || r == -ECONNREFUSED)
		return zt_cli_error(c, ZT_EXIT_INACTIVE, 5090,
				    "\"systemctl start zt-segmentd\" starts it; \"zt-segment apply\" works without it",
				    "no zt-segmentd runs for instance \"%s\"", c->instance);
	if (r == -EACCES || r == -EPERM)
		return zt_cli_error(c, ZT_EXIT_PERMISSION, 5003, "run it as root, with sudo for example",
				    "\"%s\" changes what is in force, which only root may", c->args.verb->name);
	return zt_cli_error(c, ZT_EXIT_FAILED, 5091, "\"systemctl status zt-segmentd\" and its log tell more",
			    "zt-segmentd does not answer: %s", strerror(-r));
}

static const char *text_of(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key)) ?: "";
}

static int code_of(const json_t *j)
{
	if (json_is_true(json_object_get(j, "ok")))
		return ZT_EXIT_OK;
	if (*text_of(j, "error"))
		return ZT_EXIT_PERMISSION;
	return !strcmp(text_of(j, "outcome"), "refused") ? ZT_EXIT_POLICY : ZT_EXIT_FAILED;
}

static void report(struct zt_cli *c, const json_t *j)
{
	unsigned long long generation =
		(unsigned long long)json_integer_value(json_object_get(json_object_get(j, "in_force"), "generation"));
	const char *error = text_of(j, "error"), *outcome = text_of(j, "outcome");

	fputs(text_of(j, "text"), c->err); /* as `check` prints it: escaped where it was made */
	if (*error)
		fprintf(c->err, "zt-segment: error: %s [ZT5003]\n", error);
	else if (!strcmp(outcome, "applied"))
		zt_cli_info(c, "Reloaded: generation %llu is in force", generation);
	else if (!strcmp(outcome, "unchanged"))
		zt_cli_info(c, "No changes: generation %llu enforces this policy already", generation);
	else
		fprintf(c->err, "Not reloaded; generation %llu stays in force\n", generation);
}

int zt_cmd_reload(struct zt_cli *c)
{
	json_t *j = NULL;
	int code, r = zt_cli_daemon(c, "reload", 180 * ZT_USEC_PER_SEC, &j);

	if (r < 0)
		return unreachable(c, r);
	code = code_of(j);
	if (c->json)
		return zt_cli_json(c, j) ?: code;
	report(c, j);
	json_decref(j);
	return code;
}

/* ---- for status ---- */
static size_t age_text(const json_t *when, char buf[static 16])
{
	zt_usec t = 0;

	if (!json_is_string(when) || zt_time_parse(json_string_value(when), &t) < 0)
		return 0;
	zt_age_format(zt_now() > t ? zt_now() - t : 0, buf);
	return strlen(buf);
}

void zt_daemon_measure(struct zt_cli *c, struct json_t *status)
{
	zt_usec start = zt_now_monotonic();
	json_t *j = NULL;

	if (zt_cli_daemon(c, "ping", ZT_USEC_PER_SEC, &j) == 0)
		(void)json_object_set_new(status, "answers_usec",
					  json_integer((json_int_t)(zt_now_monotonic() - start))); /* left out */
	json_decref(j);
}

void zt_daemon_line(const struct json_t *j, struct zt_strbuf *out)
{
	const json_t *drift = json_object_get(j, "drift");
	long long healed = json_integer_value(json_object_get(drift, "healed"));
	char age[16];

	zt_strbuf_printf(out, "Daemon: pid %lld", (long long)json_integer_value(json_object_get(j, "pid")));
	zt_age_format((zt_usec)json_integer_value(json_object_get(j, "uptime")) * ZT_USEC_PER_SEC, age);
	zt_strbuf_printf(out, ", up %s", age);
	if (json_object_get(j, "answers_usec"))
		zt_strbuf_printf(out, ", answers in %.1f ms",
				 (double)json_integer_value(json_object_get(j, "answers_usec")) / 1000);
	if (json_is_true(json_object_get(drift, "backoff")))
		zt_strbuf_str(out, ", drift: NOT REPAIRED (somebody else manages our rules too)");
	else if (json_is_true(json_object_get(drift, "drifted")))
		zt_strbuf_str(out, ", drift: NOT REPAIRED");
	else if (healed)
		zt_strbuf_printf(out, ", drift repaired %lld time%s", healed, healed == 1 ? "" : "s");
}

bool zt_daemon_reload_line(const struct json_t *j, struct zt_strbuf *out)
{
	const json_t *reload = json_object_get(j, "last_reload");
	bool ok = json_is_true(json_object_get(reload, "ok"));
	char age[16];

	if (!age_text(json_object_get(reload, "when"), age))
		return false;
	zt_strbuf_printf(out, "Last Reload: %s %s ago%s",
			 ok						  ? text_of(reload, "outcome")
			 : !strcmp(text_of(reload, "outcome"), "refused") ? "REFUSED, the policy is wrong,"
									  : "FAILED",
			 age, ok ? "" : "; see --verbose");
	return true;
}

static const char *number_of(const json_t *j, const char *key, char buf[static 32])
{
	zt_format_thousands((uint64_t)json_integer_value(json_object_get(j, key)), buf);
	return buf;
}

static void print_limit(struct zt_cli *c, const json_t *g)
{
	char used[32], max[32], lost[32], peak[32];

	fprintf(c->out, "  %-20s  %s of %s%s%s", text_of(g, "name"), number_of(g, "used", used),
		number_of(g, "max", max), *text_of(g, "unit") ? " " : "", text_of(g, "unit"));
	if (json_object_get(g, "peak"))
		fprintf(c->out, ", at most %s so far", number_of(g, "peak", peak));
	fprintf(c->out, ", lost %s\n", number_of(g, "lost", lost));
}

static void print_kinds(struct zt_cli *c, json_t *events)
{
	const char *kind;
	json_t *of;

	if (json_object_size(events))
		fprintf(c->out, "Events told since it started:\n");
	json_object_foreach (events, kind, of) {
		char told[32], lost[32];

		fprintf(c->out, "  %-20s  %s, lost %s\n", kind, number_of(of, "told", told),
			number_of(of, "lost", lost));
	}
}

/* What the daemon told and lost, its limits, its last troubles: for --verbose. */
void zt_daemon_details(struct zt_cli *c, const struct json_t *j)
{
	const json_t *g, *reload = json_object_get(j, "last_reload"), *gap = json_object_get(j, "gap");
	size_t i;

	if (!json_is_true(json_object_get(reload, "ok")) && *text_of(reload, "text"))
		fprintf(c->out, "Last reload (%s):\n%s", text_of(reload, "reason"), text_of(reload, "text"));
	if (json_is_object(gap))
		fprintf(c->out, "No daemon from %s to %s (%s).\n", text_of(gap, "from"), text_of(gap, "to"),
			text_of(gap, "why"));
	json_array_foreach (json_object_get(j, "events_not_seen"), i, g) {
		ZT_STRBUF struct zt_strbuf b = {0};

		if (i == 0)
			fprintf(c->out, "Events that it cannot see here:\n");
		zt_strbuf_printf(&b, "%s: %s", text_of(g, "kind"), text_of(g, "why"));
		zt_cli_bullet(c->out, zt_strbuf_cstr(&b), c->width - 1);
	}
	print_kinds(c, json_object_get(j, "events"));
	fprintf(c->out, "Limits of the daemon:\n");
	json_array_foreach (json_object_get(j, "limits"), i, g)
		print_limit(c, g);
}
