/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says of its tables: a sequence of netlink messages (kind, 16-bit length, attributes), then the ruleset raised from it. */
#include "bytes.h"
#include "engine/nft/raise.c"
#include "engine/nft/state.c"

static int (*const callbacks[])(const struct nlmsghdr *, void *) = {table_cb, chain_cb, set_cb,
								    meta_cb,  elem_cb,	object_cb};

static void message(unsigned kind, void *arg, const uint8_t *data, size_t size)
{
	size_t head = MNL_ALIGN(sizeof(struct nlmsghdr)) + MNL_ALIGN(sizeof(struct nfgenmsg));
	struct nlmsghdr *nlh = calloc(1, head + MNL_ALIGN(size)); /* of just its size, padded as the kernel does */

	if (!nlh)
		abort();
	nlh->nlmsg_len = (uint32_t)(head + size);
	memcpy((char *)nlh + head, data, size);
	(void)callbacks[kind](nlh, arg); /* whatever it says, it comes back */
	free(nlh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nft_state s = {.table = "zt_segment", .strings = zt_new(struct nft_strings, 1)};
	struct counters_ctx c = {.table = "zt_segment", .ret = &(struct zt_counters){0}};
	struct zt_ruleset *rs = NULL;
	struct meta_ctx m = {0};
	struct zt_diags d = {0};

	for (size_t len; size > 3; data += 3 + len, size -= 3 + len) {
		struct elem_ctx e = {.s = &s, .map = s.n_maps ? data[0] / 6 % (uint32_t)s.n_maps : 0};
		void *args[] = {&s, &s, &s, &m, &e, &c};

		len = ZT_MIN((size_t)(data[1] << 8 | data[2]), size - 3);
		if (data[0] % 6 != 4 || s.n_maps)
			message(data[0] % 6, args[data[0] % 6], data + 3, len);
	}
	s.meta.lines = zt_new(char *, m.n + 1);
	for (size_t i = 0; i < m.n; i++)
		s.meta.lines[s.meta.n++] = m.v[i].text;
	free(m.v);
	if (!s.strings || zt_ruleset_new(&rs) < 0)
		abort();
	must_explain(raise_state(&s, rs, &d), &d);
	zt_ruleset_free(rs);
	nft_state_done(&s);
	return 0;
}
