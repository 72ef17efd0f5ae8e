/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ruleset in comments of ZT-META: what was read survives the way out and back in. */
#include "bytes.h"

#include "engine/iptables/iptables.h"

static void round_trip(const struct zt_ruleset *rs)
{
	struct zt_strbuf out = {0}, a = {0}, b = {0};
	struct zt_ruleset *back = NULL;

	if (zt_ruleset_new(&back) < 0 || ipt_meta_make(rs, true, &out) < 0 ||
	    ipt_meta_parse(zt_strbuf_cstr(&out), back) < 0 || zt_ruleset_canonical(rs, &a) < 0 ||
	    zt_ruleset_canonical(back, &b) < 0 || strcmp(zt_strbuf_cstr(&a), zt_strbuf_cstr(&b)) != 0)
		abort();
	zt_ruleset_free(back);
	zt_strbuf_done(&out);
	zt_strbuf_done(&a);
	zt_strbuf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);
	struct zt_ruleset *rs = NULL;
	struct zt_image *img = NULL;
	struct zt_diags d = {0};

	if (zt_ruleset_new(&rs) < 0)
		abort();
	if (ipt_meta_parse(text, rs) == 0) {
		round_trip(rs);
		must_explain(ipt_lower(rs, &img, &d), &d); /* as raise does to compare */
	}
	ipt_image_free(img);
	zt_ruleset_free(rs);
	free(text);
	return 0;
}
