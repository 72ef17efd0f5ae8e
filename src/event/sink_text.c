/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines: for people, for syslog (RFC 5424), for journald. */
#include <ctype.h>
#include <string.h>

#include "event/sink.h"

static const char *const names[ZT_FORMATS] = {
	[ZT_FORMAT_JSON] = "json",     [ZT_FORMAT_ECS] = "ecs",		  [ZT_FORMAT_OCSF] = "ocsf",
	[ZT_FORMAT_SYSLOG] = "syslog", [ZT_FORMAT_JOURNALD] = "journald",
};

const char *zt_sink_format_name(enum zt_sink_format f)
{
	return names[f];
}

int zt_sink_format_find(const char *name)
{
	for (int i = 0; i < ZT_FORMATS; i++)
		if (!strcmp(names[i], name))
			return i;
	return -ENOENT;
}

int zt_sink_text(enum zt_sink_format f, const struct zt_activity *a, const char *host, uint64_t id,
		 struct zt_strbuf *out)
{
	switch (f) {
	case ZT_FORMAT_JSON:
		zt_activity_json(a, out);
		break;
	case ZT_FORMAT_ECS:
		return zt_activity_ecs(a, host, id, out);
	case ZT_FORMAT_OCSF:
		return zt_activity_ocsf(a, host, id, out);
	case ZT_FORMAT_SYSLOG:
		zt_activity_syslog(a, host, out);
		break;
	case ZT_FORMAT_JOURNALD:
		zt_activity_journald(a, out);
		break;
	case ZT_FORMATS:
		return -EINVAL;
	}
	return zt_strbuf_error(out);
}

/* ---- for people ---- */
static bool has(const struct zt_activity *a, enum zt_field f)
{
	return zt_activity_has(a, f);
}

static void put_who(const struct zt_activity *a, struct zt_strbuf *out)
{
	if (has(a, ZT_FIELD_exe) || has(a, ZT_FIELD_comm))
		zt_strbuf_printf(out, " %s", has(a, ZT_FIELD_exe) ? a->exe : a->comm);
	else if (has(a, ZT_FIELD_pid))
		zt_strbuf_str(out, " process ");
	if (has(a, ZT_FIELD_pid))
		zt_strbuf_printf(out, "[%u]", a->pid);
	if (has(a, ZT_FIELD_user))
		zt_strbuf_printf(out, " of %s", a->user);
	else if (has(a, ZT_FIELD_uid))
		zt_strbuf_printf(out, " of uid %u", a->uid);
}

static void put_end(const struct zt_activity *a, enum zt_field addr, enum zt_field port, struct zt_strbuf *out)
{
	bool six = (addr == ZT_FIELD_src ? a->src.family : a->dst.family) == 6 && has(a, port);

	zt_strbuf_str(out, six ? "[" : "");
	zt_activity_value(a, addr, out);
	zt_strbuf_str(out, six ? "]" : "");
	if (has(a, port)) {
		zt_strbuf_char(out, ':');
		zt_activity_value(a, port, out);
	}
	if (has(a, ZT_FIELD_protocol)) {
		zt_strbuf_char(out, '/');
		zt_activity_value(a, ZT_FIELD_protocol, out);
	}
}

static void put_where(const struct zt_activity *a, struct zt_strbuf *out)
{
	bool in = has(a, ZT_FIELD_direction) && !strcmp(a->direction, "ingress");

	if (in && has(a, ZT_FIELD_src)) {
		zt_strbuf_str(out, " from ");
		put_end(a, ZT_FIELD_src, ZT_FIELD_sport, out);
	}
	if (has(a, ZT_FIELD_dst)) {
		zt_strbuf_str(out, in ? " at " : " to ");
		put_end(a, ZT_FIELD_dst, ZT_FIELD_dport, out);
	}
}

/* "PTRACE_ATTACH of /usr/bin/ssh-agent[812]" */
static void put_target(const struct zt_activity *a, enum zt_field after, struct zt_strbuf *out)
{
	if (after == ZT_FIELD_request && has(a, ZT_FIELD_peer_pid))
		zt_strbuf_printf(out, " of %s[%u]", has(a, ZT_FIELD_peer_exe) ? a->peer_exe : "process", a->peer_pid);
}

void zt_activity_message(const struct zt_activity *a, struct zt_strbuf *out)
{
	static const struct {
		enum zt_field field;
		const char *before;
	} rest[] = {
		{ZT_FIELD_path, " "},		{ZT_FIELD_query, " "},
		{ZT_FIELD_module, " "},		{ZT_FIELD_request, " "},
		{ZT_FIELD_name, ", name "},	{ZT_FIELD_args, ": "},
		{ZT_FIELD_rule, ", rule "},	{ZT_FIELD_reason, ", "},
		{ZT_FIELD_error, ", "},		{ZT_FIELD_exit_code, ", status "},
		{ZT_FIELD_signal, ", signal "}, {ZT_FIELD_detail, ": "},
		{ZT_FIELD_count, ", times "},
	};
	size_t before;

	zt_strbuf_str(out, zt_activity_info(a->kind)->name);
	before = out->len;
	zt_strbuf_char(out, ':');
	put_who(a, out);
	put_where(a, out);
	if (out->len == before + 1 && !out->failed) { /* nobody: the rest brings its own colon */
		out->len = before;
		out->buf[before] = '\0';
	}
	for (size_t i = 0; i < ZT_ARRAY_SIZE(rest); i++)
		if (has(a, rest[i].field)) {
			zt_strbuf_str(out, rest[i].before);
			zt_activity_value(a, rest[i].field, out);
			put_target(a, rest[i].field, out);
		}
}

unsigned zt_activity_priority(const struct zt_activity *a)
{
	switch (a->kind) {
	case ZT_ACTIVITY_DENY:
	case ZT_ACTIVITY_LOST:
		return 4;
	case ZT_ACTIVITY_PRIVILEGE:
	case ZT_ACTIVITY_MODULE:
	case ZT_ACTIVITY_PTRACE:
	case ZT_ACTIVITY_STATE:
		return 5;
	case ZT_ACTIVITY_EXEC:
	case ZT_ACTIVITY_EXIT:
	case ZT_ACTIVITY_CONNECT:
	case ZT_ACTIVITY_ACCEPT:
	case ZT_ACTIVITY_LISTEN:
	case ZT_ACTIVITY_BIND:
	case ZT_ACTIVITY_CLOSE:
	case ZT_ACTIVITY_FLOW:
	case ZT_ACTIVITY_DNS:
	case ZT_ACTIVITY_OPEN:
	case ZT_ACTIVITY_ALLOW:
	case ZT_ACTIVITY_KINDS:
		break;
	}
	return 6;
}

/* ---- syslog ---- */
/* HOSTNAME: printable ASCII without blanks, at most 255; "-" otherwise. */
static void put_host(const char *host, struct zt_strbuf *out)
{
	size_t n = strlen(host);

	for (size_t i = 0; i < n; i++)
		if (host[i] < 33 || host[i] > 126)
			n = 0;
	zt_strbuf_str(out, n && n <= 255 ? host : "-");
}

static void put_param(const char *value, struct zt_strbuf *out)
{
	for (; *value; value++) {
		if (strchr("\"\\]", *value))
			zt_strbuf_char(out, '\\');
		zt_strbuf_char(out, *value);
	}
}

static bool ascii(const char *s)
{
	while (*s && !(*s & 0x80))
		s++;
	return !*s;
}

void zt_activity_syslog(const struct zt_activity *a, const char *host, struct zt_strbuf *out)
{
	enum { AUTHPRIV = 10 };
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_strbuf_printf(out, "<%u>1 ", AUTHPRIV * 8 + zt_activity_priority(a));
	zt_activity_value(a, ZT_FIELD_time, out);
	zt_strbuf_char(out, ' ');
	put_host(host, out);
	zt_strbuf_printf(out, " zt-segment - %s [zt@32473", zt_activity_info(a->kind)->name);
	for (enum zt_field f = ZT_FIELD_kind + 1; f < ZT_FIELDS; f++) {
		if (!has(a, f))
			continue;
		zt_strbuf_clear(&b);
		zt_activity_value(a, f, &b);
		out->failed |= b.failed;
		zt_strbuf_printf(out, " %s=\"", zt_field_info(f)->name);
		put_param(zt_strbuf_cstr(&b), out);
		zt_strbuf_char(out, '"');
	}
	zt_strbuf_str(out, "] ");
	zt_strbuf_clear(&b);
	zt_activity_message(a, &b);
	zt_strbuf_str(out, ascii(zt_strbuf_cstr(&b)) ? "" : "\xef\xbb\xbf"); /* what is UTF-8 begins with its mark */
	zt_strbuf_str(out, zt_strbuf_cstr(&b));
	out->failed |= b.failed;
}

/* ---- journald ---- */
void zt_activity_journald(const struct zt_activity *a, struct zt_strbuf *out)
{
	zt_strbuf_str(out, "MESSAGE=");
	zt_activity_message(a, out);
	zt_strbuf_printf(out, "\nPRIORITY=%u\nSYSLOG_IDENTIFIER=zt-segment\n", zt_activity_priority(a));
	for (enum zt_field f = 0; f < ZT_FIELDS; f++) {
		if (!has(a, f))
			continue;
		zt_strbuf_str(out, "ZT_");
		for (const char *s = zt_field_info(f)->name; *s; s++)
			zt_strbuf_char(out, (char)toupper((unsigned char)*s));
		zt_strbuf_char(out, '=');
		zt_activity_value(a, f, out);
		zt_strbuf_char(out, '\n');
	}
}
