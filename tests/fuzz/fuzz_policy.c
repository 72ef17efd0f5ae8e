/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy language: parse, and where that succeeds, format; what was formatted must parse and format to itself. */
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *text, size_t len)
{
	struct zt_policy_options o = {.root = "/nonexistent", .allow_unsafe_file = true, .no_resolve = true};
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};

	if (zt_policy_parse("fuzz", text, len, &o, &p, &d) < 0 && d.errors == 0)
		abort(); /* refused without a reason */
	zt_policy_free(p);
	zt_diags_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zt_strbuf once = {0}, twice = {0};
	struct zt_diags d = {0};

	parse((const char *)data, size);
	if (zt_policy_format("fuzz", (const char *)data, size, &once, &d) == 0) {
		if (zt_policy_format("fuzz", once.buf, once.len, &twice, &d) < 0 || once.len != twice.len ||
		    memcmp(once.buf, twice.buf, once.len) != 0)
			abort(); /* not stable under itself */
	}
	zt_strbuf_done(&once);
	zt_strbuf_done(&twice);
	zt_diags_done(&d);
	return 0;
}
