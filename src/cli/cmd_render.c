/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli.h"

static int render(struct zt_cli *c, const struct zt_ruleset *rs, struct zt_strbuf *out)
{
	struct zt_image *img = NULL;
	int r = c->engine->lower(rs, &img, &c->diags);

	if (r >= 0)
		r = c->engine->image_text(img, out);
	if (r >= 0)
		r = zt_strbuf_error(out);
	if (img)
		c->engine->image_free(img);
	return r;
}

int zt_cmd_render(struct zt_cli *c)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_STRBUF struct zt_strbuf text = {0};
	int r, code = zt_cli_engine_or_nft(c) ?: zt_cli_load(c, &p);

	if (!code)
		code = zt_cli_compile(c, p, false, &rs);
	if (code)
		return code;
	r = render(c, rs, &text);
	if (r < 0)
		return zt_cli_fail_policy(c, r);
	fwrite(zt_strbuf_cstr(&text), 1, text.len, c->out);
	if (text.len && text.buf[text.len - 1] != '\n')
		fputc('\n', c->out);
	return 0;
}
