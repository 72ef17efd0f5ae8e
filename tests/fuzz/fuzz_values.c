/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of the policy's keys, a line each, in the places where they belong: depth that bytes of YAML seldom reach. */
#include "bytes.h"

#include "policy/policy.h"
#include "ruleset/ruleset.h"

static const char *const keys[][2] = {
	{"rules: [{name: r, action: allow, from: {user: \"*\"}, to: {host: \"", "\"}}]"},
	{"rules: [{name: r, action: allow, from: {user: \"*\"}, to: {port: \"", "\"}}]"},
	{"rules: [{name: r, action: allow, from: {uid: \"", "\"}, to: {protocol: udp}}]"},
	{"rules: [{name: r, action: allow, from: {user: \"*\"}, to: {protocol: \"", "\"}}]"},
	{"rules: [{name: r, action: allow, from: {user: \"*\"}, schedule: {days: \"", "\"}}]"},
	{"rules: [{name: r, action: allow, from: {user: \"*\"}, schedule: {days: [sun, mon], hours: \"",
	 "\", timezone: utc}}]"},
	{"rules: [{name: r, action: allow, from: {user: \"*\"}, expires: \"", "\"}]"},
	{"rules: [{name: r, action: allow, from: {cgroup: \"", "\"}}]"},
	{"rules: [{name: \"", "\", action: allow, from: {user: \"*\"}, priority: 3}]"},
	{"settings: {log_prefix: \"", "\"}"},
	{"settings: {log_limit: \"", "\"}"},
	{"sets: {s: {addresses: [10.0.0.1, \"", "\"]}}"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *value = text_of(size ? data + 1 : data, size ? size - 1 : 0);
	struct zt_policy_options o = {.root = "/nonexistent", .allow_unsafe_file = true};
	struct zt_compile_options co = {.offline = true};
	struct zt_strbuf text = {0}, quoted = {0};
	struct zt_ruleset *rs = NULL;
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};
	size_t which = (size ? data[0] : 0) % ZT_ARRAY_SIZE(keys);
	int r;

	zt_strbuf_escaped(&quoted, value, strlen(value)); /* is what double quotes of YAML hold */
	zt_strbuf_str(&text, "version: \"1.0\"\n");
	zt_strbuf_printf(&text, "%s%s%s", keys[which][0], zt_strbuf_cstr(&quoted), keys[which][1]);
	r = zt_policy_parse("fuzz", text.buf, text.len, &o, &p, &d);
	must_explain(r < 0 ? r : zt_ruleset_compile(p, &co, &rs, &d), &d);
	zt_ruleset_free(rs);
	zt_policy_free(p);
	zt_strbuf_done(&text);
	zt_strbuf_done(&quoted);
	free(value);
	return 0;
}
