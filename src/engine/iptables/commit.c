/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/fault.h"
#include "engine/iptables/iptables.h"

void ipt_state_done(struct ipt_state *s)
{
	ipt_table_done(&s->t[IPT_4]);
	ipt_table_done(&s->t[IPT_6]);
}

int ipt_state_read(const char *instance, struct ipt_state *ret)
{
	ZT_CLEANUP(ipt_state_done) struct ipt_state s = {0};
	int r = 0;

	for (int f = 0; !r && f < IPT_FAMILIES; f++) {
		ZT_FREE char *text = NULL;

		r = ipt_save(f, false, &text);
		if (!r)
			r = ipt_table_parse(instance, text, &s.t[f]) ?: ipt_dormant(f, text, &s.t[f].dormant);
	}
	if (r < 0)
		return r;
	*ret = s;
	s = (struct ipt_state){0};
	return 0;
}

/* From a parsed text to the state it stands for. */
static int wanted(const char *instance, char *const text[IPT_FAMILIES], struct ipt_state *ret)
{
	ZT_CLEANUP(ipt_state_done) struct ipt_state s = {0};
	int r = ipt_table_parse(instance, text[IPT_4], &s.t[IPT_4]);

	if (!r)
		r = ipt_table_parse(instance, text[IPT_6], &s.t[IPT_6]);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct ipt_state){0};
	return 0;
}

static int swap(const char *instance, int family, const struct ipt_table *from, const struct ipt_table *to,
		struct zt_diags *d)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	int r = ipt_swap_text(instance, from, to, &text);

	r = r ? r : ipt_restore(family, text.buf, text.len, false, d);
	if (!r && from && from->dormant && (r = ipt_wake(family)) < 0)
		(void)zt_diag_errno(d, 3202, r, "cannot take the flag dormant off the table filter");
	return r;
}

static bool same(const struct ipt_table *live, const struct ipt_table *want)
{
	struct ipt_difference at;

	return !live->dormant && live->linked[0] && live->linked[1] && live->linked[2] &&
	       ipt_table_compare(live, want, &at) == 0;
}

static int swap_second(const char *instance, const struct ipt_state *live, const struct ipt_state *want,
		       struct zt_diags *d)
{
	int r = zt_fault_step("iptables: between the families");

	return r ? r : swap(instance, IPT_6, &live->t[IPT_6], &want->t[IPT_6], d);
}

/* Each family is one atomic restore; when the second fails, the first gets back what it had. */
static int swap_both(const char *instance, const struct ipt_state *live, const struct ipt_state *want,
		     struct zt_diags *d)
{
	const struct ipt_table *old = &live->t[IPT_4];
	bool same4 = same(old, &want->t[IPT_4]), same6 = same(&live->t[IPT_6], &want->t[IPT_6]);
	int r = zt_fault_step("iptables: before the swap");

	if (!r && !same4)
		r = swap(instance, IPT_4, old, &want->t[IPT_4], d);
	if (r < 0 || same6)
		return r;
	r = swap_second(instance, live, want, d);
	if (r < 0 && !same4 && swap(instance, IPT_4, &want->t[IPT_4], old->n_chains ? old : NULL, NULL) < 0)
		(void)zt_diag(d, ZT_ERROR, 3206, NULL,
			      "IPv4 has the new rules and IPv6 the old ones: putting IPv4 back failed too");
	return r;
}

int ipt_check(const struct zt_image *img, struct zt_diags *d)
{
	int r = 0;

	for (int f = 0; !r && f < IPT_FAMILIES; f++)
		r = ipt_restore(f, img->text[f], strlen(img->text[f]), true, d);
	return r;
}

static int read_or_explain(const char *instance, struct ipt_state *ret, struct zt_diags *d)
{
	int r = ipt_state_read(instance, ret);

	return r < 0 ? zt_diag_errno(d, 3205, r, "cannot read the iptables rules") : 0;
}

/* No hook of iptables sees what packet sockets write: said at every apply, because a policy looks whole without it. */
static void warn_frames(struct zt_diags *d)
{
	(void)zt_diag(d, ZT_WARNING, 3106, NULL,
		      "raw frames (AF_PACKET) are not fenced: iptables has no hook for them; --engine nft has");
}

int ipt_commit(const struct zt_image *img, bool *ret_changed, struct zt_diags *d)
{
	ZT_CLEANUP(ipt_state_done) struct ipt_state live = {0}, want = {0};
	int r = read_or_explain(img->instance, &live, d);

	if (!r)
		r = wanted(img->instance, img->text, &want);
	if (!r && same(&live.t[IPT_4], &want.t[IPT_4]) && same(&live.t[IPT_6], &want.t[IPT_6])) {
		*ret_changed = false;
		return 0;
	}
	for (int f = 0; !r && f < IPT_FAMILIES; f++)
		r = ipt_table_carry(&want.t[f], &live.t[f]);
	if (!r)
		r = swap_both(img->instance, &live, &want, d);
	if (!r) {
		*ret_changed = true;
		warn_frames(d);
	}
	return r;
}

/* ---- bytes of a backup or a generation ---- */
int ipt_load_text(const char *instance, const char *text, size_t len, struct zt_diags *d)
{
	ZT_CLEANUP(ipt_state_done) struct ipt_state live = {0}, want = {0};
	ZT_FREE char *copy = zt_strndup(text, len);
	char *second = copy ? strstr(copy, IPT_MARK_6) : NULL;
	int r = copy ? 0 : -ENOMEM;

	if (!r && (!second || strncmp(copy, IPT_MARK_4, strlen(IPT_MARK_4)) != 0))
		return zt_diag(d, ZT_ERROR, 3207, NULL, "this text was not made by the iptables engine");
	if (!r) {
		char *const texts[IPT_FAMILIES] = {copy, second + strlen(IPT_MARK_6)};

		*second = '\0';
		r = wanted(instance, texts, &want);
	}
	if (!r && (!want.t[IPT_4].n_chains || !want.t[IPT_6].n_chains))
		return zt_diag(d, ZT_ERROR, 3207, NULL, "this text holds no rules of instance %s",
			       instance ? instance : "default");
	if (r == -EBADMSG)
		return zt_diag(d, ZT_ERROR, 3207, NULL, "this text is damaged");
	if (!r)
		r = read_or_explain(instance, &live, d);
	return r ? r : swap_both(instance, &live, &want, d);
}

int ipt_flush(const char *instance, struct zt_diags *d)
{
	int result = 0;

	for (int f = 0; f < IPT_FAMILIES; f++) {
		ZT_CLEANUP(ipt_table_done) struct ipt_table live = {0};
		ZT_FREE char *text = NULL;
		int r = ipt_save(f, false, &text);

		if (!r)
			r = ipt_table_parse(instance, text, &live);
		if (r < 0)
			(void)zt_diag_errno(d, 3205, r,
					    "cannot read the iptables rules"); /* the other family is still tried */
		else if (!ipt_table_empty(&live))
			r = swap(instance, f, &live, NULL, d);
		if (r < 0)
			result = r;
	}
	return result;
}
