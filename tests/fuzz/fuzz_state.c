/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state folder: current, pending, meta.json of a generation, the audit log with its head. One file's bytes stand for all. */
#include "bytes.h"

#include "apply/audit.c"

static const char *const names[] = {"current",
				    "pending",
				    "audit.jsonl",
				    "audit.head",
				    "generations/1/image",
				    "generations/1/meta.json",
				    "generations/1/ruleset.json",
				    "generations/1/policy.yaml"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *path;
	const char *now = file_of(0, data, size);
	struct zt_apply_ctx c = {.engine = &zt_engine_memory, .instance = "default", .state_dir = fuzz_folder};
	struct zt_ruleset *rs = NULL;
	struct zt_pending p = {0};
	struct zt_diags d = {0};
	ZT_CLOSE int fd = open(now, O_RDONLY | O_CLOEXEC);
	uint64_t n = 0;
	size_t entries = 0;
	bool flag = false;
	char hash[65];

	if (!path)
		folder_of_links(names, ZT_ARRAY_SIZE(names), path = now);
	(void)zt_state_current(&c, &n, &flag); /* whatever they say, they come back */
	(void)zt_pending_read(&c, &p);
	(void)last_line(fd, &n, hash, &flag);
	must_explain(zt_generation_check(&c, 1, &d), &d);
	must_explain(zt_generation_load(&c, 1, &rs, NULL, NULL, &d), &d);
	(void)zt_audit_verify(&c, &entries, &d);
	zt_diags_done(&d);
	zt_ruleset_free(rs);
	return 0;
}
