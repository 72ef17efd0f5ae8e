/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Documents: ECS and OCSF. Names come from schema.def, their dots are objects; what these standards want otherwise than we have it is here. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "event/sink.h"

/* What happened, in the words of the standards. ECS: event.type, up to two. OCSF: activity_id, severity_id. */
static const struct {
	const char *type[2];
	unsigned activity, severity;
} words[ZT_ACTIVITY_KINDS] = {
	[ZT_ACTIVITY_EXEC] = {{"start"}, 1, 1},			 /* Launch */
	[ZT_ACTIVITY_EXIT] = {{"end"}, 2, 1},			 /* Terminate */
	[ZT_ACTIVITY_CONNECT] = {{"connection", "start"}, 1, 1}, /* Open */
	[ZT_ACTIVITY_ACCEPT] = {{"connection", "start"}, 1, 1},
	[ZT_ACTIVITY_LISTEN] = {{"info"}, 7, 1},	       /* Listen */
	[ZT_ACTIVITY_CLOSE] = {{"connection", "end"}, 2, 1},   /* Close */
	[ZT_ACTIVITY_FLOW] = {{"connection", "start"}, 6, 1},  /* Traffic */
	[ZT_ACTIVITY_DNS] = {{"protocol"}, 1, 1},	       /* Query; Response is 2 */
	[ZT_ACTIVITY_OPEN] = {{"access"}, 14, 2},	       /* Open */
	[ZT_ACTIVITY_DENY] = {{"connection", "denied"}, 5, 3}, /* Refuse */
	[ZT_ACTIVITY_ALLOW] = {{"connection", "allowed"}, 6, 1},
	[ZT_ACTIVITY_PRIVILEGE] = {{"user", "change"}, 5, 2}, /* Set User ID */
	[ZT_ACTIVITY_MODULE] = {{"start"}, 1, 2},	      /* Load */
	[ZT_ACTIVITY_PTRACE] = {{"access"}, 3, 3},	      /* Open */
	[ZT_ACTIVITY_STATE] = {{"change"}, 1, 2},	      /* Log */
	[ZT_ACTIVITY_LOST] = {{"info"}, 99, 3},		      /* Other */
	[ZT_ACTIVITY_BIND] = {{"info"}, 99, 1},
};
#define OCSF_VERSION "1.5.0"
enum { OCSF_PROCESS = 1007, OCSF_NETWORK = 4001 };

static bool has(const struct zt_activity *a, enum zt_field f)
{
	return zt_activity_has(a, f);
}

/* Puts v (taken over) at a dotted name below o. What cannot be put makes *failed. */
static void put(json_t *o, const char *name, json_t *v, bool *failed)
{
	const char *dot;

	while ((dot = strchr(name, '.'))) {
		json_t *inner = json_object_getn(o, name, (size_t)(dot - name));

		if (!inner) {
			inner = json_object();
			*failed |= json_object_setn_new(o, name, (size_t)(dot - name), inner) < 0;
		}
		o = inner;
		name = dot + 1;
	}
	*failed |= json_object_set_new(o, name, v) < 0;
}

/* What has no name there, under one of ours. */
static void put_own(json_t *doc, const char *under, enum zt_field f, json_t *v, bool *failed)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s.%s", under, zt_field_info(f)->name);
	put(doc, name, v, failed);
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)ZT_MIN(v, (uint64_t)INT64_MAX));
}

static json_t *value(const struct zt_activity *a, enum zt_field f)
{
	const struct zt_field_info *info = zt_field_info(f);
	ZT_STRBUF struct zt_strbuf b = {0};
	uint64_t v = 0;

	if (info->type == ZT_TYPE_U64 || info->type == ZT_TYPE_U32 || info->type == ZT_TYPE_U16) {
		memcpy(&v, (const char *)a + info->offset, info->size);
		return number(v);
	}
	zt_activity_value(a, f, &b);
	return zt_strbuf_error(&b) ? NULL : json_string(zt_strbuf_cstr(&b));
}

/* The same as text: both standards have ids as strings. */
static json_t *text(const struct zt_activity *a, enum zt_field f)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_activity_value(a, f, &b);
	return zt_strbuf_error(&b) ? NULL : json_string(zt_strbuf_cstr(&b));
}

/* The words of a text; addresses only, where asked. */
static json_t *list(const char *s, bool addresses, json_t *(*make)(const char *word))
{
	json_t *l = json_array();
	char word[512];

	while (*s) {
		size_t n = strcspn(s, " ");
		struct zt_addr addr;
		bool ok;

		memcpy(word, s, ZT_MIN(n, sizeof(word) - 1));
		word[ZT_MIN(n, sizeof(word) - 1)] = '\0';
		ok = *word && (!addresses || zt_addr_parse(word, &addr) == 0);
		if (ok && json_array_append_new(l, make(word)) < 0) {
			json_decref(l);
			return NULL;
		}
		s += n + (s[n] == ' ');
	}
	return l;
}

static json_t *rdata(const char *word)
{
	return json_pack("{s:s}", "rdata", word);
}

/* Source and destination are who began and who was reached; sent and received are the process's. */
static bool incoming(const struct zt_activity *a)
{
	return has(a, ZT_FIELD_direction) && !strcmp(a->direction, "ingress");
}

static enum zt_field swapped(const struct zt_activity *a, enum zt_field f)
{
	if (incoming(a) && f == ZT_FIELD_bytes_sent)
		return ZT_FIELD_bytes_received;
	if (incoming(a) && f == ZT_FIELD_bytes_received)
		return ZT_FIELD_bytes_sent;
	return f;
}

static bool blocked(const struct zt_activity *a)
{
	return has(a, ZT_FIELD_verdict) && (!strcmp(a->verdict, "drop") || !strcmp(a->verdict, "reject"));
}

static int dump(json_t *doc, bool failed, struct zt_strbuf *out)
{
	ZT_FREE char *s = failed || !doc ? NULL : json_dumps(doc, JSON_COMPACT);

	json_decref(doc);
	if (!s)
		return -ENOMEM;
	zt_strbuf_str(out, s);
	return zt_strbuf_error(out);
}

/* ---- ECS ---- */
static json_t *ecs_value(const struct zt_activity *a, enum zt_field f)
{
	if (f == ZT_FIELD_uid || f == ZT_FIELD_euid || f == ZT_FIELD_gid || f == ZT_FIELD_error_number)
		return text(a, f);
	if (f == ZT_FIELD_args)
		return list(a->args, false, json_string);
	if (f == ZT_FIELD_answers)
		return list(a->answers, true, json_string);
	if (f == ZT_FIELD_duration)
		return number(a->duration > UINT64_MAX / 1000 ? UINT64_MAX : a->duration * 1000); /* nanoseconds */
	if (f == ZT_FIELD_verdict)
		return json_string(blocked(a) ? "failure" : "success");
	return value(a, f);
}

/* Where the field goes; "": under our own name. A Unix socket has no direction in their sense. */
static const char *ecs_name(const struct zt_activity *a, enum zt_field f)
{
	return f == ZT_FIELD_direction && !strcmp(a->direction, "unix") ? "" : zt_field_info(swapped(a, f))->ecs;
}

static const char *ecs_type(const struct zt_activity *a, unsigned i)
{
	const char *type = words[a->kind].type[i];

	return a->kind == ZT_ACTIVITY_DENY && i && !blocked(a) ? "allowed" : type; /* observed: it passed */
}

static void ecs_event(const struct zt_activity *a, uint64_t id, json_t *doc, bool *failed)
{
	json_t *types = json_array();

	for (unsigned i = 0; i < 2; i++)
		if (ecs_type(a, i))
			*failed |= json_array_append_new(types, json_string(ecs_type(a, i))) < 0;
	put(doc, "event.type", types, failed);
	put(doc, "event.category", json_pack("[s]", zt_activity_info(a->kind)->category), failed);
	put(doc, "event.kind", json_string("event"), failed);
	if (a->kind == ZT_ACTIVITY_DNS)
		put(doc, "dns.type", json_string(has(a, ZT_FIELD_rcode) ? "answer" : "query"), failed);
	put(doc, "event.module", json_string("zt-segment"), failed);
	put(doc, "event.dataset", json_string("zt-segment.activity"), failed);
	if (id)
		put(doc, "event.sequence", number(id), failed);
	if (has(a, ZT_FIELD_error) && !has(a, ZT_FIELD_verdict))
		put(doc, "event.outcome", json_string("failure"), failed);
	if (has(a, ZT_FIELD_verdict)) /* the word itself, for what event.outcome cannot say */
		put(doc, "zt.verdict", json_string(a->verdict), failed);
}

int zt_activity_ecs(const struct zt_activity *a, const char *host, uint64_t id, struct zt_strbuf *out)
{
	json_t *doc = json_object();
	bool failed = !doc;

	put(doc, "@timestamp", value(a, ZT_FIELD_time), &failed);
	put(doc, "ecs.version", json_string("8.11.0"), &failed);
	ecs_event(a, id, doc, &failed);
	if (*host)
		put(doc, "host.name", json_string(host), &failed);
	for (enum zt_field f = ZT_FIELD_kind; f < ZT_FIELDS; f++) {
		const char *name = ecs_name(a, f);

		if (has(a, f) && *name)
			put(doc, name, ecs_value(a, f), &failed);
		else if (has(a, f))
			put_own(doc, "zt", f, value(a, f), &failed);
	}
	return dump(doc, failed, out);
}

/* ---- OCSF ---- */
/* direction_id and rcode_id with their captions. */
static const char *const directions[] = {"Unknown", "Inbound", "Outbound", "Local"};
static const struct {
	const char *ours, *caption;
	unsigned id;
} rcodes[] = {{"", "Other", 99},	   {"NOERROR", "NoError", 0},
	      {"FORMERR", "FormError", 1}, {"SERVFAIL", "ServError", 2},
	      {"NXDOMAIN", "NXDomain", 3}, {"NOTIMP", "NotImp", 4},
	      {"REFUSED", "Refused", 5}};

static size_t direction_of(const struct zt_activity *a)
{
	if (!has(a, ZT_FIELD_direction))
		return 0;
	return !strcmp(a->direction, "ingress") ? 1 : !strcmp(a->direction, "egress") ? 2 : 3;
}

static size_t rcode_of(const struct zt_activity *a)
{
	for (size_t i = 1; i < ZT_ARRAY_SIZE(rcodes); i++)
		if (!strcmp(a->rcode, rcodes[i].ours))
			return i;
	return 0;
}

static json_t *ocsf_value(const struct zt_activity *a, enum zt_field f)
{
	if (f == ZT_FIELD_uid || f == ZT_FIELD_error_number)
		return text(a, f);
	if (f == ZT_FIELD_time)
		return number(a->time / 1000); /* milliseconds */
	if (f == ZT_FIELD_duration)
		return number(a->duration / 1000);
	if (f == ZT_FIELD_digest)
		return json_pack("[{s:i, s:s, s:s}]", "algorithm_id", 3, "algorithm", "SHA-256", "value", a->digest);
	if (f == ZT_FIELD_answers)
		return list(a->answers, false, rdata);
	if (f == ZT_FIELD_verdict)
		return json_string(blocked(a) ? "Blocked" : !strcmp(a->verdict, "observe") ? "Logged" : "Allowed");
	if (f == ZT_FIELD_direction)
		return json_string(directions[direction_of(a)]);
	if (f == ZT_FIELD_rcode)
		return json_string(rcodes[rcode_of(a)].caption);
	return value(a, f);
}

/* Attributes of other classes, and of a process whose number is not known: OCSF has no place for them. */
static const char *ocsf_name(const struct zt_activity *a, enum zt_field f)
{
	const char *name = zt_field_info(swapped(a, f))->ocsf;
	unsigned class = zt_activity_info(a->kind)->ocsf_class;
	static const struct {
		const char *prefix;
		unsigned first, last; /* classes that have it */
	} only[] = {{"exit_code", OCSF_PROCESS, OCSF_PROCESS},
		    {"file.", 1001, 1001},
		    {"connection_info.", OCSF_NETWORK, 4003},
		    {"src_endpoint.", OCSF_NETWORK, 4003},
		    {"dst_endpoint.", OCSF_NETWORK, 4003},
		    {"traffic.", OCSF_NETWORK, 4003},
		    {"query.", 4003, 4003},
		    {"rcode", 4003, 4003},
		    {"answers", 4003, 4003}};

	if (f == ZT_FIELD_path && class == OCSF_NETWORK)
		return "dst_endpoint.name"; /* of a Unix socket */
	if (!strncmp(name, "actor.process.", 14) && !has(a, ZT_FIELD_pid))
		return "";
	if (!strncmp(name, "query.", 6) && !has(a, ZT_FIELD_query)) /* it needs a name */
		return "";
	if ((f == ZT_FIELD_sport && !has(a, ZT_FIELD_src)) || (f == ZT_FIELD_dport && !has(a, ZT_FIELD_dst)))
		return ""; /* an endpoint needs more than a port */
	for (size_t i = 0; i < ZT_ARRAY_SIZE(only); i++)
		if (!strncmp(name, only[i].prefix, strlen(only[i].prefix)) &&
		    (class < only[i].first || class > only[i].last))
			return "";
	return name;
}

static unsigned activity_of(const struct zt_activity *a)
{
	if (a->kind == ZT_ACTIVITY_CONNECT && has(a, ZT_FIELD_error))
		return 4; /* Fail */
	if (a->kind == ZT_ACTIVITY_DNS && has(a, ZT_FIELD_rcode))
		return 2;
	if (a->kind == ZT_ACTIVITY_DENY && !blocked(a))
		return 6; /* observed: it passed */
	if (a->kind == ZT_ACTIVITY_PTRACE && has(a, ZT_FIELD_request) && !strcmp(a->request, "process_vm_writev"))
		return 4; /* Inject */
	return words[a->kind].activity;
}

static void ocsf_head(const struct zt_activity *a, const char *host, uint64_t id, json_t *doc, bool *failed)
{
	unsigned class = zt_activity_info(a->kind)->ocsf_class, activity = activity_of(a);

	put(doc, "time", ocsf_value(a, ZT_FIELD_time), failed);
	put(doc, "class_uid", number(class), failed);
	put(doc, "category_uid", number(class / 1000), failed);
	put(doc, "activity_id", number(activity), failed);
	put(doc, "type_uid", number(class * UINT64_C(100) + activity), failed);
	put(doc, "severity_id", number(words[a->kind].severity), failed);
	put(doc, "metadata",
	    json_pack("{s:s, s:{s:s, s:s, s:s}, s:[s, s*, s*]}", "version", OCSF_VERSION, "product", "name",
		      "zt-segment", "vendor_name", "zt-segment", "version", ZT_VERSION, "profiles", "host",
		      has(a, ZT_FIELD_verdict) || has(a, ZT_FIELD_rule) ? "security_control" : NULL,
		      has(a, ZT_FIELD_container) && has(a, ZT_FIELD_pid) ? "container" : NULL),
	    failed);
	if (id)
		put(doc, "metadata.sequence", number(id), failed);
	put(doc, "device", json_pack("{s:i, s:s}", "type_id", 0, "hostname", *host ? host : "unknown"), failed);
	put(doc, "status_id", number(blocked(a) || has(a, ZT_FIELD_error) ? 2 : 1), failed);
}

static void put_file(const char *path, unsigned type, const char *under, json_t *doc, bool *failed)
{
	const char *slash = strrchr(path, '/');
	char name[64];

	(void)snprintf(name, sizeof(name), "%s.name", under);
	put(doc, name, json_string(slash && slash[1] ? slash + 1 : path), failed);
	(void)snprintf(name, sizeof(name), "%s.type_id", under);
	put(doc, name, number(type), failed);
	(void)snprintf(name, sizeof(name), "%s.path", under);
	put(doc, name, json_string(path), failed);
}

/* The process that something is done to: itself, or the one that is taken control of. */
static void ocsf_process(const struct zt_activity *a, json_t *doc, bool *failed)
{
	json_t *own = json_object_get(json_object_get(doc, "actor"), "process");

	if (a->kind != ZT_ACTIVITY_PTRACE) {
		put(doc, "process", own ? json_deep_copy(own) : json_pack("{s:i}", "pid", 0), failed);
		return;
	}
	put(doc, "process.pid", number(has(a, ZT_FIELD_peer_pid) ? a->peer_pid : 0), failed);
	if (has(a, ZT_FIELD_peer_exe))
		put_file(a->peer_exe, 1, "process.file", doc, failed);
}

static void ocsf_network(const struct zt_activity *a, json_t *doc, bool *failed)
{
	static const unsigned ids[] = {0, 1, 2, 99}; /* of directions[] */

	put(doc, "connection_info.direction_id", number(ids[direction_of(a)]), failed);
	if (has(a, ZT_FIELD_protocol))
		put(doc, "connection_info.protocol_num", number(a->protocol), failed);
	if (has(a, ZT_FIELD_rcode) && a->kind == ZT_ACTIVITY_DNS)
		put(doc, "rcode_id", number(rcodes[rcode_of(a)].id), failed);
	if (!json_object_get(doc, "src_endpoint") && !json_object_get(doc, "dst_endpoint"))
		put(doc, "src_endpoint.hostname",
		    json_incref(json_object_get(json_object_get(doc, "device"), "hostname")), failed);
}

/* What the classes and objects of OCSF need besides what we have of them. */
static void ocsf_complete(const struct zt_activity *a, json_t *doc, bool *failed)
{
	unsigned class = zt_activity_info(a->kind)->ocsf_class;

	if (has(a, ZT_FIELD_exe) && has(a, ZT_FIELD_pid))
		put_file(a->exe, 1, "actor.process.file", doc, failed);
	else if (has(a, ZT_FIELD_pid) && has(a, ZT_FIELD_digest)) /* of a file that is not known */
		put_file("unknown", 1, "actor.process.file", doc, failed);
	if (!json_object_get(doc, "actor"))
		put(doc, "actor.app_name", json_string("unknown"), failed);
	if (class == 1001)
		put_file(has(a, ZT_FIELD_path) ? a->path : "unknown", 1, "file", doc, failed);
	if (class / 1000 == 4)
		ocsf_network(a, doc, failed);
	if (class == OCSF_PROCESS)
		ocsf_process(a, doc, failed);
	if (a->kind == ZT_ACTIVITY_MODULE)
		put_file(has(a, ZT_FIELD_path)	   ? a->path
			 : has(a, ZT_FIELD_module) ? a->module
						   : "unknown",
			 1, "driver.file", doc, failed);
	if (words[a->kind].activity == 99) /* Other: it needs a name */
		put(doc, "activity_name", json_string(a->kind == ZT_ACTIVITY_LOST ? "Lose" : "Bind"), failed);
	if (a->kind == ZT_ACTIVITY_LOST)
		put(doc, "log_name", json_string("zt-segment"), failed);
	if (has(a, ZT_FIELD_verdict)) {
		put(doc, "disposition_id", number(blocked(a) ? 2 : !strcmp(a->verdict, "observe") ? 17 : 1), failed);
		put(doc, "action_id", number(blocked(a) ? 2 : !strcmp(a->verdict, "observe") ? 3 : 1), failed);
		put(doc, "unmapped.verdict", json_string(a->verdict), failed);
	}
}

int zt_activity_ocsf(const struct zt_activity *a, const char *host, uint64_t id, struct zt_strbuf *out)
{
	json_t *doc = json_object();
	bool failed = !doc;

	ocsf_head(a, host, id, doc, &failed);
	for (enum zt_field f = ZT_FIELD_kind; f < ZT_FIELDS; f++) {
		const char *name = ocsf_name(a, f);

		if (has(a, f) && *name)
			put(doc, name, ocsf_value(a, f), &failed);
		if (has(a, f) &&
		    (!*name || f == ZT_FIELD_direction || f == ZT_FIELD_rcode)) /* whose words they change */
			put_own(doc, "unmapped", f, value(a, f), &failed);
	}
	ocsf_complete(a, doc, &failed);
	return dump(doc, failed, out);
}
