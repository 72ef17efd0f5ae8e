/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of the zt_meta set as text, and names of maps. */
#include "bytes.h"

#include "engine/nft/nft.h"

static void shape(const char *name)
{
	struct zt_strbuf b = {0};
	struct nft_shape s, again;
	const char *rest;

	if (nft_shape_parse(name, &s, &rest) == 0) {
		nft_shape_name(&s, &b);
		if (nft_shape_keylen(&s) > NFT_KEY_MAX || nft_shape_parse(zt_strbuf_cstr(&b), &again, &rest) < 0 ||
		    *rest || !nft_shape_eq(&s, &again))
			abort();
	}
	zt_strbuf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size), *save = NULL;
	struct zt_ruleset *rs = NULL;
	struct zt_strbuf b = {0};
	struct nft_meta m = {0};

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		shape(line);
		if (zt_grow(m.lines, m.cap, m.n) < 0 || !(m.lines[m.n] = zt_strdup(line)))
			abort();
		m.n++;
	}
	if (zt_ruleset_new(&rs) < 0)
		abort();
	if (nft_meta_apply(&m, rs) == 0 && zt_ruleset_canonical(rs, &b) < 0)
		abort();
	zt_strbuf_done(&b);
	zt_ruleset_free(rs);
	nft_meta_done(&m);
	free(text);
	return 0;
}
