/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "base/fault.h"
#include "base/proc.h"
#include "engine/nft/nft.h"

static int try_text(const char *text)
{
	return nft_run_text(text, strlen(text), true, NULL);
}

bool nft_fence_supported(void)
{
	static const char fence[] =
		"table netdev t {\n\tchain c {\n\t\ttype filter hook egress device \"lo\" priority 0; policy drop;\n"
		"\t\tmeta rtclassid 0-4294967295 accept\n\t\tmeta skuid 0-4294967295 drop\n\t}\n}\n";

	return try_text(fence) == 0;
}

/* Without the programs that mark sockets, policies that need no labels are enforced all the same. Those that are loaded need not be tried. */
static int probe_labels(const char *instance, struct zt_caps *ret)
{
	ZT_FREE char *why = NULL;
	int r = nft_stamp_identify(instance) == 0 ? 0 : nft_stamp_probe(&why);

	if (r || why)
		return r ?: zt_caps_gap(ret, "executables, groups, containers, receivers", why);
	return zt_caps_gap(ret, "who listens, where that is not who made the socket and it was never bound",
			   "the receiver is who made the socket")
		       ?: zt_caps_gap(ret, "a UDP port that several sockets share (multicast, SO_REUSEADDR, SO_REUSEPORT with a program)",
				      "the receiver is the one that is found")
		       ?: zt_caps_gap(ret, "answers over UDP by and for whoever has the port later",
				      "connection tracking knows ports, not processes")
		       ?: zt_caps_gap(ret, "debuggers that attach to an allowed program of the same user",
				      "what it says is then what the debugger says")
		       ?: zt_caps_gap(ret, "our pins, links and maps, against other programs of root",
				      "\"zt-segment drift\" sees it afterwards");
}

static int try_core(void)
{
	static const char core[] =
		"table inet t {\n\tmap m {\n\t\ttypeof meta skuid . ip daddr . meta l4proto . th dport : verdict\n"
		"\t\tflags interval\n\t\tcounter\n\t}\n\tchain c {\n\t\ttype filter hook output priority 0; policy drop;\n"
		"\t\tct state established accept\n\t\tmeta skuid . ip daddr . meta l4proto . th dport vmap @m\n\t}\n}\n";

	return try_text(core);
}

static bool usable(void)
{
	return try_core() == 0;
}

static int probe(const char *instance, struct zt_caps *ret)
{
	int r = try_core();

	ret->usable = r == 0;
	if (r < 0) {
		ret->why_not = zt_strdup(r == -ENOENT ? "the nft program is missing (package nftables)"
						      : "the kernel or this process cannot load nftables verdict maps");
		return 0;
	}
	r = 0;
	if (!nft_fence_supported())
		r = zt_caps_gap(ret, "raw frames (AF_PACKET)", "no netdev egress hook in this kernel");
	if (!r)
		r = probe_labels(instance, ret);
	if (!r)
		r = zt_caps_gap(ret, "sockets handed over to others", "a socket keeps the user it was made by");
	if (!r)
		r = zt_caps_gap(ret, "Unix sockets, vsock, AF_XDP, Bluetooth, CAN", "no netfilter hook sees them");
	return r;
}

static int image_text(const struct zt_image *img, struct zt_strbuf *out)
{
	ZT_FREE char *marks = NULL;
	int r;

	/* The digest of the rules belongs to the text, and only loading tells it; without the right to load, the text is only for reading. */
	if (!img->work->digest[0])
		(void)nft_check(img, NULL);
	r = nft_text_full(img, true, out) ?: img->marks ? nft_marks_text(img->marks, &marks) : 0;
	if (!r && marks)
		nft_text_stamp(marks, out);
	return r ?: zt_strbuf_error(out);
}

static int identify(const char *instance, uint64_t *ret_generation, char ret_hash[static 65])
{
	ZT_CLEANUP(nft_state_done) struct nft_state s = {0};
	const char *generation, *hash;
	int r = nft_state_read(instance, NFT_READ_META, &s);

	if (r < 0)
		return r;
	if (!s.present)
		return -ENOENT;
	generation = nft_meta_get(&s.meta, "generation");
	hash = nft_meta_get(&s.meta, "hash");
	if (!generation || !hash || strlen(hash) != 64)
		return -EUCLEAN;
	if (nft_meta_get(&s.meta, "marks") && nft_stamp_identify(instance) < 0)
		return -EUCLEAN;
	memcpy(ret_hash, hash, 65);
	return zt_parse_u64(generation, UINT64_MAX, ret_generation);
}

static int number(const char *instance, const struct zt_actor *a, uint32_t *ret)
{
	ZT_CLEANUP(nft_marks_freep) struct nft_marks *m = NULL;
	int r = nft_stamp_read(instance, &m, NULL);

	if (m)
		*ret = nft_marks_number(m, a);
	return m ? 0 : r;
}

static int flush(const char *instance, struct zt_diags *d)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	char table[64];
	int r;

	/* Naming a table before deleting it makes "delete" hold whether it was there or not. */
	nft_table_name(instance, table);
	zt_strbuf_printf(&text, "table inet %s {\n}\ndelete table inet %s\n", table, table);
	if (nft_run_text(text.buf, text.len, false, d) < 0 || zt_fault_step("nft: one table is gone") < 0)
		return -EIO;
	zt_strbuf_clear(&text);
	zt_strbuf_printf(&text, "table netdev %s {\n}\ndelete table netdev %s\n", table, table);
	if (nft_run_text(text.buf, text.len, false, d) < 0)
		return -EIO;
	r = nft_stamp_remove(instance);
	return r < 0 ? zt_diag_errno(d, 3110, r, "cannot remove the programs of the labels") : 0;
}

/* ---- tables of others ---- */
struct foreign_ctx {
	char table[64];
	struct zt_foreign *v;
	size_t n, cap;
};

static const char *family_name(uint8_t family)
{
	switch (family) {
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_ARP:
		return "arp";
	case NFPROTO_BRIDGE:
		return "bridge";
	case NFPROTO_NETDEV:
		return "netdev";
	default:
		return "unknown";
	}
}

static int foreign_cb(const struct nlmsghdr *nlh, void *arg)
{
	struct foreign_ctx *c = arg;
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	const char *name = "";
	int r;

	mnl_attr_for_each(attr, nlh, sizeof(*nfg))
	{
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			name = mnl_attr_get_str(attr);
	}
	if (!strcmp(name, c->table))
		return 0;
	r = zt_grow(c->v, c->cap, c->n);
	if (r < 0)
		return r;
	c->v[c->n] = (struct zt_foreign){.family = zt_strdup(family_name(nfg->nfgen_family)), .name = zt_strdup(name)};
	c->n++;
	return c->v[c->n - 1].family && c->v[c->n - 1].name ? 0 : -ENOMEM;
}

static int foreign(const char *instance, struct zt_foreign **ret, size_t *ret_n)
{
	struct foreign_ctx c = {0};
	struct nft_nl nl = {0};
	int r = nft_nl_open(&nl);

	nft_table_name(instance, c.table);
	if (!r)
		r = nft_nl_dump(&nl, NFT_MSG_GETTABLE, NFPROTO_UNSPEC, 0, NULL, 0, NULL, foreign_cb, &c);
	nft_nl_close(&nl);
	if (r < 0) {
		zt_foreign_free(c.v, c.n);
		return r;
	}
	*ret = c.v;
	*ret_n = c.n;
	return 0;
}

static enum zt_follows follows(const char *instance)
{
	return nft_stamp_follows(instance) ? ZT_FOLLOWS_SUBJECTS : ZT_FOLLOWS_NONE;
}

const struct zt_engine zt_engine_nft = {
	.name = "nft",
	.labels = true,
	.finds_all = true,
	.probe = probe,
	.usable = usable,
	.lower = nft_lower,
	.image_free = nft_image_free,
	.image_text = image_text,
	.check = nft_check,
	.commit = nft_commit,
	.load_text = nft_load_text,
	.raise = nft_raise,
	.identify = identify,
	.counters = nft_counters,
	.flush = flush,
	.foreign = foreign,
	.number = number,
	.bells = nft_stamp_bells,
	.use_memo = nft_use_memo,
	.raise_memo = nft_raise_memo,
	.follows = follows,
};
