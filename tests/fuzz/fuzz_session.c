/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SSH_CONNECTION, as any parent process may have set it, before the check that nobody locks himself out. */
#include "bytes.h"

#include "apply/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zt_apply_ctx c = {.engine = &zt_engine_memory,
				 .instance = "default",
				 .state_dir = "/nonexistent",
				 .netns = "zt-fuzz-none"};
	char *text = text_of(data, size), *from;
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};
	char session[128];

	if (setenv("SSH_CONNECTION", text, 1) < 0 || zt_ruleset_new(&rs) < 0)
		abort();
	if (!zt_session(session) && strlen(text) < 100)
		abort();
	from = zt_where_from();
	must_explain(zt_safety_check(&c, rs, &d), &d);
	free(from);
	free(text);
	zt_ruleset_free(rs);
	return 0;
}
