/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Generation files; a ruleset that was read must survive the way out and back in with the same canonical bytes. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ruleset/ruleset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct zt_ruleset *rs)
{
	struct zt_strbuf a = {0}, b = {0};
	struct zt_ruleset *back = NULL;
	struct zt_diags d = {0};
	json_t *j = NULL;
	char *tree;

	if (zt_ruleset_to_json(rs, &j) < 0 || zt_ruleset_from_json(j, &back, &d) < 0 ||
	    zt_ruleset_canonical(rs, &a) < 0 || zt_ruleset_canonical(back, &b) < 0 || a.len != b.len ||
	    memcmp(a.buf, b.buf, a.len) != 0)
		abort();
	/* The short cut writes the very bytes of the tree. */
	tree = json_dumps(j, JSON_COMPACT);
	zt_strbuf_clear(&b);
	if (!tree || zt_ruleset_json_text(rs, &b) < 0 || strcmp(tree, zt_strbuf_cstr(&b)) != 0)
		abort();
	free(tree);
	json_decref(j);
	zt_ruleset_free(back);
	zt_strbuf_done(&a);
	zt_strbuf_done(&b);
	zt_diags_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *j = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct zt_ruleset *rs = NULL, *parts = NULL;
	struct zt_diags d = {0};

	if (j && zt_ruleset_from_json(j, &rs, &d) == 0)
		round_trip(rs);
	/* A rule at a time, the same comes of it. */
	(void)zt_ruleset_from_text((const char *)data, size, &parts, &d);
	if (!rs != !parts || (rs && strcmp(rs->hash, parts->hash) != 0))
		abort();
	zt_ruleset_free(rs);
	zt_ruleset_free(parts);
	json_decref(j);
	zt_diags_done(&d);
	return 0;
}
