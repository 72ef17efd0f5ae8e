/* SPDX-License-Identifier: GPL-2.0-or-later */
/* etc/passwd, etc/group and etc/hosts of a tree (--root): the same bytes as each of them. */
#include "bytes.h"

#include "policy/policy.h"

static const char *const names[] = {"etc/passwd", "etc/group", "etc/hosts"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char text[] =
		"version: \"1.0\"\nrules:\n- {name: a, from: {user: root, group: [adm, staff]}, to: {host: db.example, port: 1}, action: allow}\n"
		"- {name: b, from: {user: nobody}, action: allow}\ntests: [{name: t, from: {uid: 5}, to: {host: 10.0.0.1, port: 1}, expect: deny}]\n";
	static const char *path;
	const char *now = file_of(0, data, size);
	struct zt_policy_options o = {.root = fuzz_folder, .allow_unsafe_file = true};
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};

	if (!path)
		folder_of_links(names, ZT_ARRAY_SIZE(names), path = now);
	must_explain(zt_policy_parse("fuzz", text, sizeof(text) - 1, &o, &p, &d), &d);
	zt_policy_free(p);
	return 0;
}
