/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/file.h"
#include "engine/nft/nft.h"

#define TEXT_DELTA_MAX 2000u

/* ---- loading elements ---- */
static int load_elements(const struct zt_image *img)
{
	ZT_CLEANUP(nft_batch_done) struct nft_batch b = {0};
	ZT_FREE const struct nft_elem **list = zt_new(const struct nft_elem *, img->n_elems + 1);
	struct nft_nl nl = {0};
	char table[64];
	int r = list ? nft_nl_open(&nl) : -ENOMEM;

	nft_table_name(img->rs->instance, table);
	if (!r)
		r = nft_batch_begin(&b, &nl, table, 0);
	for (size_t i = 0; i < img->n_elems && !r;) {
		uint32_t s = img->elems[i].stratum;
		size_t n = 0;

		for (; i < img->n_elems && img->elems[i].stratum == s; i++)
			list[n++] = &img->elems[i];
		r = nft_batch_elems(&b, img, table, true, list, n, img->strata[s].name, &img->strata[s].shape);
	}
	if (!r && img->n_elems)
		r = nft_batch_commit(&b, &nl);
	nft_nl_close(&nl);
	return r;
}

/* ---- scratch load: in a child in an empty network namespace; answers with the digest or the first message ---- */
struct scratch_answer {
	int r;
	char digest[65];
	char message[512];
};

static void scratch_child(const struct zt_image *img, int fd)
{
	struct scratch_answer a = {0};
	struct zt_diags d = {0};
	struct nft_state s = {0};
	ZT_STRBUF struct zt_strbuf text = {0};
	unsigned added = 0;
	char table[64];

	a.r = unshare(CLONE_NEWNET) < 0 ? -errno : nft_text_full(img, false, &text);
	if (!a.r)
		a.r = nft_run_text(text.buf, text.len, false, &d);
	if (!a.r)
		a.r = load_elements(img);
	nft_table_name(img->rs->instance, table);
	if (!a.r)
		(void)nft_fence_devices(table, &added, NULL); /* commit warns where the kernel has no egress hook */
	if (!a.r)
		a.r = nft_state_read(img->rs->instance, NFT_READ_RULES, &s);
	memcpy(a.digest, s.digest, sizeof(a.digest));
	if (d.n)
		(void)snprintf(a.message, sizeof(a.message), "%s", d.items[0].message); /* a cut message is still a message */
	_exit(zt_write_all(fd, &a, sizeof(a)) < 0);
}

int nft_check(const struct zt_image *img, struct zt_diags *d)
{
	struct scratch_answer a = {.r = -EIO};
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return zt_diag_errno(d, 3104, -errno, "cannot make a pipe");
	pid = fork();
	if (pid < 0) {
		(void)close(fds[0]);
		(void)close(fds[1]);
		return zt_diag_errno(d, 3104, -errno, "cannot start a process for the scratch namespace");
	}
	if (!pid)
		scratch_child(img, fds[1]);
	(void)close(fds[1]);
	n = read(fds[0], &a, sizeof(a));
	(void)close(fds[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(a))
		a.r = -EIO;
	if (a.r < 0) {
		(void)zt_diag(d, ZT_ERROR, 3102, NULL, "the ruleset does not load in a scratch network namespace: %s",
			      a.message[0] ? a.message : strerror(-a.r));
		return a.r;
	}
	memcpy(img->work->digest, a.digest, sizeof(a.digest));
	return 0;
}

/* ---- a small change: one batch through netlink ---- */
static int commit_batch(const struct zt_image *img, const struct nft_state *live, const struct nft_delta *delta)
{
	ZT_CLEANUP(nft_batch_done) struct nft_batch b = {0};
	ZT_CLEANUP(nft_meta_done) struct nft_meta meta = {0};
	ZT_FREE const struct nft_elem **list = zt_new(const struct nft_elem *, ZT_MAX(delta->n_del, delta->n_add) + 1);
	struct nft_nl nl = {0};
	int r = list ? nft_meta_make(img, &meta) : -ENOMEM;

	if (!r)
		r = nft_nl_open(&nl);
	if (!r)
		r = nft_batch_begin(&b, &nl, live->table, live->genid);
	for (int add = 0; add < 2; add++)
		for (uint32_t s = 0; s < img->n_strata && !r; s++) {
			size_t n = 0, total = add ? delta->n_add : delta->n_del;

			for (size_t i = 0; i < total; i++) {
				const struct nft_elem *e = add ? delta->add[i] : &delta->del[i];

				if (e->stratum == s)
					list[n++] = e;
			}
			if (n)
				r = nft_batch_elems(&b, img, live->table, add, list, n, img->strata[s].name,
						    &img->strata[s].shape);
		}
	if (!r)
		r = nft_batch_meta(&b, live->table, &meta);
	if (!r)
		r = nft_batch_commit(&b, &nl);
	nft_nl_close(&nl);
	return r;
}

/* ---- chains change: one text ---- */
static bool is_base(const char *chain)
{
	return !strcmp(chain, "input") || !strcmp(chain, "output") || !strcmp(chain, "forward") || !strcmp(chain, "prerouting");
}

/* Fixed chains and log chains, flushed and written anew; base chains stay, so that their drop policy never rests. */
static int chains_text(const struct zt_image *img, const struct nft_state *live, struct zt_strbuf *out)
{
	ZT_CLEANUP(nft_meta_done) struct nft_meta meta = {0};
	int r = nft_meta_make(img, &meta);

	if (r < 0)
		return r;
	for (size_t i = 0; i < live->n_chains; i++)
		zt_strbuf_printf(out, "flush chain inet %s %s\n", live->table, live->chains[i]);
	zt_strbuf_printf(out, "table inet %s {\n", live->table);
	nft_text_counters(img, out);
	nft_text_helper_names(img, out);
	nft_text_helpers(img, out);
	nft_text_base(img, out);
	zt_strbuf_printf(out, "}\nflush set inet %s zt_meta\n", live->table);
	nft_meta_text(&meta, live->table, out);
	zt_strbuf_printf(out, "table netdev %s {\n\tchain raw_blocked {\n\t}\n\tchain raw_dhcp {\n\t}\n\tchain raw_owned {\n\t}\n}\n",
			 live->table);
	for (int i = 0; i < 3; i++)
		zt_strbuf_printf(out, "flush chain netdev %s %s\n", live->table,
				 i == 0 ? "raw_blocked" : i == 1 ? "raw_dhcp" : "raw_owned");
	nft_fence_text(img, out);
	return zt_strbuf_error(out);
}

/* Chains that nothing uses any more go in a transaction of their own: they do no harm while they are there. */
static void drop_stale_chains(const struct zt_image *img, const struct nft_state *live)
{
	ZT_STRBUF struct zt_strbuf text = {0}, now = {0}, line = {0};

	nft_text_helper_names(img, &now);
	nft_text_helpers(img, &now);
	nft_text_base(img, &now);
	for (size_t i = 0; i < live->n_chains; i++) {
		zt_strbuf_clear(&line);
		zt_strbuf_printf(&line, "\tchain %s {", live->chains[i]);
		if (!is_base(live->chains[i]) && !strstr(zt_strbuf_cstr(&now), zt_strbuf_cstr(&line)))
			zt_strbuf_printf(&text, "delete chain inet %s %s\n", live->table, live->chains[i]);
	}
	if (text.len)
		(void)nft_run_text(text.buf, text.len, false, NULL); /* left-over empty chains are harmless */
}

static int elem_line(const struct zt_image *img, const struct nft_elem *e, bool add, struct zt_strbuf *out)
{
	const struct nft_stratum *s = &img->strata[e->stratum];
	char table[64], verdict[64], comment[NFT_COMMENT_MAX + 1];
	ZT_STRBUF struct zt_strbuf key = {0};

	if (s->shape.dims & (1u << DIM_CGROUP) || !nft_shape_elem_text(img, &s->shape, e, "", &key))
		return -EOPNOTSUPP;
	nft_table_name(img->rs->instance, table);
	zt_strbuf_printf(out, "%s element inet %s %s { %s", add ? "add" : "delete", table, s->name, zt_strbuf_cstr(&key));
	if (add) {
		nft_verdict_text(&img->rs->rules[e->rule], verdict);
		nft_comment(img, e->rule, comment);
		zt_strbuf_printf(out, " counter packets %llu bytes %llu comment \"%s\" : %s", (unsigned long long)e->packets,
				 (unsigned long long)e->bytes, comment, verdict);
	}
	zt_strbuf_str(out, " }\n");
	return zt_strbuf_error(out);
}

/* Elements first go, then chains and elements come: one transaction. -EOPNOTSUPP: some element has no text form. */
static int commit_text(const struct zt_image *img, const struct nft_state *live, const struct nft_delta *delta, struct zt_diags *d)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	int r = delta->n_del + delta->n_add > TEXT_DELTA_MAX ? -EOPNOTSUPP : 0;

	for (size_t i = 0; !r && i < delta->n_del; i++)
		r = elem_line(img, &delta->del[i], false, &text);
	if (!r)
		r = chains_text(img, live, &text);
	for (size_t i = 0; !r && i < delta->n_add; i++)
		r = elem_line(img, delta->add[i], true, &text);
	if (!r)
		r = nft_run_text(text.buf, text.len, false, d);
	if (!r)
		drop_stale_chains(img, live);
	return r;
}

/* ---- everything: new maps beside the old ones, then one text that turns the chains over ---- */
static unsigned next_version(const struct nft_state *live)
{
	unsigned v = 0;

	for (size_t i = 0; i < live->n_maps; i++)
		v = ZT_MAX(v, live->maps[i].version);
	return v + 1;
}

static int load_new_maps(const struct zt_image *img, struct zt_diags *d)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	char table[64];
	int r;

	nft_table_name(img->rs->instance, table);
	zt_strbuf_printf(&text, "table inet %s {\n", table);
	nft_text_counters(img, &text);
	nft_text_helper_names(img, &text);
	nft_text_maps(img, &text);
	zt_strbuf_str(&text, "}\n");
	r = zt_strbuf_error(&text);
	if (!r)
		r = nft_run_text(text.buf, text.len, false, d);
	if (!r)
		r = load_elements(img);
	return r;
}

static void delete_maps(const struct nft_state *live, struct zt_strbuf *out)
{
	for (size_t i = 0; i < live->n_maps; i++)
		zt_strbuf_printf(out, "delete map inet %s %s\n", live->table, live->maps[i].name);
	for (size_t i = 0; i < live->n_strangers; i++)
		zt_strbuf_printf(out, "delete %s\n", live->strangers[i]);
}

static void undo_new_maps(const struct zt_image *img, const struct nft_state *live)
{
	ZT_STRBUF struct zt_strbuf text = {0};

	if (!live->present)
		zt_strbuf_printf(&text, "delete table inet %s\n", live->table);
	for (size_t i = 0; live->present && i < img->n_strata; i++)
		zt_strbuf_printf(&text, "delete map inet %s %s\n", live->table, img->strata[i].name);
	if (text.len)
		(void)nft_run_text(text.buf, text.len, false, NULL); /* maps that nothing looks at are harmless */
}

static int commit_all(const struct zt_image *img, struct nft_state *live, struct zt_diags *d)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	int r;

	nft_image_set_version(img, next_version(live));
	for (size_t i = 0; i < img->rs->n_rules; i++)
		img->okey[i] = (uint64_t)(i + 1) << 12;
	nft_carry_counters(img, live);
	r = load_new_maps(img, d);
	if (!r)
		r = zt_fault_step("nft: new maps are loaded");
	if (!r)
		r = chains_text(img, live, &text);
	if (!r) {
		delete_maps(live, &text);
		r = zt_strbuf_error(&text);
	}
	if (!r && live->base_chains != NFT_BASE_CHAINS)
		(void)nft_seed_conntrack(); /* without it old flows are picked up by their next packet from the client */
	if (!r)
		r = nft_run_text(text.buf, text.len, false, d);
	if (r < 0)
		undo_new_maps(img, live);
	else
		drop_stale_chains(img, live);
	return r;
}

static int commit_once(const struct zt_image *img, bool *ret_changed, struct zt_diags *d)
{
	ZT_CLEANUP(nft_state_done) struct nft_state live = {0};
	ZT_CLEANUP(nft_delta_done) struct nft_delta delta = {0};
	const char *recorded, *hash;
	bool sound;
	int r = nft_state_read(img->rs->instance, NFT_READ_ALL, &live);

	if (r < 0)
		return r;
	recorded = nft_meta_get(&live.meta, "rules");
	hash = nft_meta_get(&live.meta, "hash");
	sound = live.present && live.base_chains == NFT_BASE_CHAINS && recorded && !strcmp(recorded, live.digest);
	if (!live.present || live.base_chains != NFT_BASE_CHAINS || !live.n_maps || !nft_same_maps(img, &live))
		return commit_all(img, &live, d);
	nft_image_set_version(img, live.maps[0].version);
	r = nft_delta_make(img, &live, &delta);
	if (r < 0)
		return r;
	if (sound && !strcmp(live.digest, img->work->digest)) {
		const char *generation = nft_meta_get(&live.meta, "generation");
		uint64_t number = 0;

		if (!delta.n_add && !delta.n_del && hash && !strcmp(hash, img->rs->hash) && generation &&
		    !zt_parse_u64(generation, UINT64_MAX, &number) && number == img->rs->generation) {
			*ret_changed = false;
			return 0;
		}
		return commit_batch(img, &live, &delta);
	}
	r = commit_text(img, &live, &delta, d);
	return r == -EOPNOTSUPP ? commit_all(img, &live, d) : r;
}

int nft_commit(const struct zt_image *img, bool *ret_changed, struct zt_diags *d)
{
	char table[64];
	unsigned added = 0;
	int r = img->work->digest[0] ? 0 : nft_check(img, d);

	*ret_changed = true;
	if (!r)
		r = -ERESTART;
	/* Another program changed some table between reading and writing: read again. */
	for (int i = 0; r == -ERESTART && i < 10; i++)
		r = commit_once(img, ret_changed, d);
	if (r < 0)
		return d && d->errors ? r : zt_diag_errno(d, 3105, r, "cannot change the nftables ruleset");
	nft_table_name(img->rs->instance, table);
	r = nft_fence_devices(table, &added, NULL);
	if (r < 0)
		(void)zt_diag(d, ZT_WARNING, 3106, NULL, "raw frames are not fenced: the kernel refuses netdev egress chains");
	*ret_changed = *ret_changed || added;
	return 0;
}

/* ---- bytes of a backup or a generation ---- */
int nft_load_text(const char *instance, const char *text, size_t len, struct zt_diags *d)
{
	ZT_CLEANUP(nft_state_done) struct nft_state live = {0};
	ZT_STRBUF struct zt_strbuf out = {0};
	unsigned added = 0;
	int r = nft_state_read(instance, NFT_READ_RULES, &live);

	if (!r && live.present) {
		/* Base chains stay; everything in them and all maps come anew, in one transaction. */
		zt_strbuf_printf(&out, "flush table inet %s\n", live.table);
		delete_maps(&live, &out);
		zt_strbuf_printf(&out, "table inet %s {\n\tset zt_meta {\n\t\ttype mark\n\t}\n}\nflush set inet %s zt_meta\n", live.table,
				 live.table);
		zt_strbuf_printf(&out, "table netdev %s {\n}\ndelete table netdev %s\n", live.table, live.table);
	}
	zt_strbuf_add(&out, text, len);
	if (!r)
		r = zt_strbuf_error(&out);
	if (!r)
		r = nft_run_text(out.buf, out.len, false, d);
	if (!r && nft_fence_devices(live.table, &added, NULL) < 0)
		(void)zt_diag(d, ZT_WARNING, 3106, NULL, "raw frames are not fenced: the kernel refuses netdev egress chains");
	return r;
}
