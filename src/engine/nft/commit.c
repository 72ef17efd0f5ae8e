/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/file.h"
#include "engine/nft/nft.h"

#define TEXT_DELTA_MAX 2000u

struct nft_plan { /* a small change on top of what a memo proves */
	struct nft_state known;
	struct nft_delta delta;
};

static void plan_free(struct nft_plan *p)
{
	if (!p)
		return;
	nft_state_done(&p->known);
	nft_delta_done(&p->delta);
	free(p);
}

void nft_work_free(struct nft_work *w)
{
	if (!w)
		return;
	plan_free(w->plan);
	free(w->memo);
	free(w);
}

/* ---- elements into a batch, map by map ---- */
static int batch_elems(struct nft_batch *b, const struct zt_image *img, const char *table, bool add,
		       const struct nft_elem *const *elems, size_t n)
{
	ZT_FREE const struct nft_elem **list = zt_new(const struct nft_elem *, n + 1);
	int r = list ? 0 : -ENOMEM;

	for (uint32_t s = 0; s < img->n_strata && !r; s++) {
		size_t k = 0;

		for (size_t i = 0; i < n; i++)
			if (elems[i]->stratum == s)
				list[k++] = elems[i];
		if (k)
			r = nft_batch_elems(b, img, table, add, list, k, img->strata[s].name, &img->strata[s].shape);
	}
	return r;
}

/* Elements are sorted by stratum: no search is needed. */
static int batch_all(struct nft_batch *b, const struct zt_image *img, const char *table)
{
	ZT_FREE const struct nft_elem **list = zt_new(const struct nft_elem *, img->n_elems + 1);
	int r = list ? 0 : -ENOMEM;

	for (size_t i = 0; i < img->n_elems && !r;) {
		uint32_t s = img->elems[i].stratum;
		size_t n = 0;

		for (; i < img->n_elems && img->elems[i].stratum == s; i++)
			list[n++] = &img->elems[i];
		r = nft_batch_elems(b, img, table, true, list, n, img->strata[s].name, &img->strata[s].shape);
	}
	return r;
}

/* Into empty maps: all, or only those that a plan adds. */
static int load_elements(const struct zt_image *img, const struct nft_delta *only)
{
	ZT_CLEANUP(nft_batch_done) struct nft_batch b = {0};
	struct nft_nl nl = {0};
	char table[64];
	int r = nft_nl_open(&nl);

	nft_table_name(img->rs->instance, table);
	if (!r)
		r = nft_batch_begin(&b, &nl, table, 0);
	if (!r)
		r = only ? batch_elems(&b, img, table, true, only->add, only->n_add) : batch_all(&b, img, table);
	if (!r && (only ? only->n_add : img->n_elems))
		r = nft_batch_commit(&b, &nl);
	nft_nl_close(&nl);
	return r;
}

/* ---- a plan ---- */
static bool is_sound(const struct nft_state *live)
{
	const char *recorded = nft_meta_get(&live->meta, "rules");

	return live->present && live->base_chains == NFT_BASE_CHAINS && recorded && !strcmp(recorded, live->digest);
}

/* NULL in work->plan where there is no valid memo or the change is not a small one. */
static int make_plan(const struct zt_image *img)
{
	struct nft_plan *p = img->work->memo ? zt_new(struct nft_plan, 1) : NULL;
	bool small = false;
	int r;

	if (!p)
		return img->work->memo ? -ENOMEM : 0;
	r = nft_memo_read(img->work->memo, img->rs->instance, &p->known);
	if (!r && is_sound(&p->known) && p->known.n_maps && nft_same_maps(img, &p->known)) {
		nft_image_set_version(img, p->known.maps[0].version);
		r = nft_delta_make(img, &p->known, &p->delta);
		small = !r && p->delta.n_add + p->delta.n_del <= TEXT_DELTA_MAX;
	}
	if (small)
		img->work->plan = ZT_TAKE(p);
	plan_free(p);
	return r == -ENOMEM ? r : 0;
}

static void drop_plan(const struct zt_image *img)
{
	plan_free(img->work->plan);
	img->work->plan = NULL;
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
		a.r = load_elements(img, img->work->plan ? &img->work->plan->delta : NULL);
	nft_table_name(img->rs->instance, table);
	if (!a.r)
		(void)nft_fence_devices(table, &added, NULL); /* commit warns where the kernel has no egress hook */
	if (!a.r)
		a.r = nft_state_read(img->rs->instance, NFT_READ_RULES, &s);
	memcpy(a.digest, s.digest, sizeof(a.digest));
	if (d.n)
		(void)snprintf(a.message, sizeof(a.message), "%s",
			       d.items[0].message); /* a cut message is still a message */
	_exit(zt_write_all(fd, &a, sizeof(a)) < 0);
}

int nft_check(const struct zt_image *img, struct zt_diags *d)
{
	struct scratch_answer a = {.r = -EIO};
	int fds[2], status, r;
	ssize_t n;
	pid_t pid;

	r = nft_image_number(img, d);
	if (!r && img->marks)
		r = nft_stamp_check(img->marks, d);
	if (r < 0) {
		if (img->marks && r != -ENOMEM)
			(void)zt_engine_refuse_subjects(&zt_engine_nft, img->rs,
							d); /* these are the rules that need them */
		return r;
	}
	drop_plan(img);
	/* Elements that the kernel holds already, in maps of the same form, need no further proof that it takes them. */
	if (make_plan(img) < 0)
		return -ENOMEM;
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
	ZT_FREE const struct nft_elem **del = zt_new(const struct nft_elem *, delta->n_del + 1);
	struct nft_nl nl = {0};
	int r = del ? nft_meta_make(img, &meta) : -ENOMEM;

	for (size_t i = 0; del && i < delta->n_del; i++)
		del[i] = &delta->del[i];
	if (!r)
		r = nft_nl_open(&nl);
	if (!r)
		r = nft_batch_begin(&b, &nl, live->table, live->genid);
	if (!r)
		r = batch_elems(&b, img, live->table, false, del, delta->n_del);
	if (!r)
		r = batch_elems(&b, img, live->table, true, delta->add, delta->n_add);
	if (!r)
		r = nft_batch_meta(&b, live->table, &meta);
	if (!r)
		r = nft_batch_commit(&b, &nl);
	nft_nl_close(&nl);
	return r;
}

/* ---- a planned change ---- */
static struct nft_live_elem key_of(const struct nft_elem *e)
{
	struct nft_live_elem l = {0};

	memcpy(l.key, e->key, sizeof(l.key));
	memcpy(l.end, e->end, sizeof(l.end));
	return l;
}

/* A memo knows no counters: those that go on under a changed element are asked for one by one. -ENOENT: the memo was wrong. */
static int fetch_counters(const struct zt_image *img, struct nft_nl *nl, const struct nft_plan *p)
{
	int r = 0;

	for (size_t i = 0; !r && i < p->delta.n_add; i++) {
		struct nft_elem *e = &img->elems[p->delta.add[i] - img->elems];
		struct nft_live_elem l = key_of(e);

		if (e->packets != NFT_UNREAD)
			continue;
		r = nft_state_elem(nl, p->known.table, img->strata[e->stratum].name, &img->strata[e->stratum].shape,
				   &l);
		e->packets = l.packets;
		e->bytes = l.bytes;
	}
	return r;
}

static bool comes_back(const struct nft_delta *d, const struct nft_elem *del)
{
	for (size_t i = 0; i < d->n_add; i++)
		if (d->add[i]->stratum == del->stratum && !memcmp(d->add[i]->key, del->key, sizeof(del->key)))
			return true;
	return false;
}

/* What was added is there, as it was meant, and what was taken away is not. */
static int verify_plan(const struct zt_image *img, struct nft_nl *nl, const struct nft_plan *p)
{
	int r = 0;

	for (size_t i = 0; !r && i < p->delta.n_add; i++) {
		const struct nft_elem *e = p->delta.add[i];
		struct nft_live_elem l = key_of(e);
		char verdict[64];

		nft_verdict_text(&img->rs->rules[e->rule], verdict);
		r = nft_state_elem(nl, p->known.table, img->strata[e->stratum].name, &img->strata[e->stratum].shape,
				   &l);
		if (!r && (l.okey != img->okey[e->rule] ||
			   strcmp(l.accept ? "" : l.chain, strcmp(verdict, "accept") ? verdict + 5 : "") != 0))
			r = -EUCLEAN;
	}
	for (size_t i = 0; !r && i < p->delta.n_del; i++) {
		const struct nft_elem *e = &p->delta.del[i];
		struct nft_live_elem l = key_of(e);

		if (comes_back(&p->delta, e))
			continue;
		r = nft_state_elem(nl, p->known.table, img->strata[e->stratum].name, &img->strata[e->stratum].shape,
				   &l);
		r = r == -ENOENT ? 0 : r ? r : -EUCLEAN;
	}
	return r == -ENOENT ? -EUCLEAN : r;
}

static bool is_done(const struct zt_image *img, const struct nft_state *live, const struct nft_delta *delta)
{
	const char *generation = nft_meta_get(&live->meta, "generation"), *hash = nft_meta_get(&live->meta, "hash");
	uint64_t number = 0;

	return !delta->n_add && !delta->n_del && hash && !strcmp(hash, img->rs->hash) && generation &&
	       !zt_parse_u64(generation, UINT64_MAX, &number) && number == img->rs->generation;
}

/* -ERESTART: the plan does not hold, nothing was done. */
static int commit_plan(const struct zt_image *img, bool *ret_changed)
{
	const struct nft_plan *p = img->work->plan;
	uint32_t next = p->known.genid + 1 ? p->known.genid + 1 : 1;
	struct nft_nl nl = {0};
	int r = strcmp(p->known.digest, img->work->digest) != 0 ? -ERESTART : nft_nl_open(&nl);

	if (r < 0)
		return r;
	r = fetch_counters(img, &nl, p) < 0 ? -ERESTART : 0;
	*ret_changed = r || !is_done(img, &p->known, &p->delta);
	if (!r && *ret_changed)
		r = commit_batch(img, &p->known, &p->delta);
	if (!r && *ret_changed) {
		r = verify_plan(img, &nl, p);
		if (!r && nft_memo_write(img->work->memo, img, p->known.chains, p->known.n_chains, next) < 0)
			(void)unlink(
				img->work
					->memo); /* an old one proves nothing either: its generation number has passed */
	}
	nft_nl_close(&nl);
	return r;
}

/* After a change that no plan covers: the whole listing must be the image; then it becomes the memo. */
static int verify_all(const struct zt_image *img)
{
	ZT_CLEANUP(nft_state_done) struct nft_state live = {0};
	ZT_CLEANUP(nft_delta_done) struct nft_delta delta = {0};
	int r;

	if (!img->work->memo || img->n_elems < NFT_MEMO_MIN)
		return 0;
	r = nft_state_read(img->rs->instance, NFT_READ_ALL, &live);
	if (!r && (!is_sound(&live) || strcmp(live.digest, img->work->digest) != 0 || !nft_same_maps(img, &live)))
		r = -EUCLEAN;
	r = r ? r : nft_delta_make(img, &live, &delta);
	if (!r && !is_done(img, &live, &delta))
		r = -EUCLEAN;
	if (!r && nft_memo_write(img->work->memo, img, live.chains, live.n_chains, live.genid) < 0)
		(void)unlink(img->work->memo); /* as above */
	return r;
}

/* ---- chains change: one text ---- */
static bool is_base(const char *chain)
{
	return !strcmp(chain, "input") || !strcmp(chain, "output") || !strcmp(chain, "forward") ||
	       !strcmp(chain, "prerouting");
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
	if (img->marks)
		zt_strbuf_printf(out, "flush set inet %s zt_same\n", live->table);
	else if (live->same)
		zt_strbuf_printf(out, "delete set inet %s zt_same\n", live->table);
	nft_text_same(img, out);
	nft_fence_reset(live, out);
	nft_fence_text(img, out);
	return zt_strbuf_error(out);
}

/*
 * A packet goes through the chains of the generation that it met first, but looks maps up in the one of the moment: what the old chains look at has to
 * stay as it is until no packet is on its way through them, or what was allowed and still is would find nothing and be denied. The kernel tells.
 */
static void old_packets_are_through(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
		(void)poll(NULL, 0, 20); /* a kernel that does not tell */
}

static void delete_maps(const struct nft_state *live, struct zt_strbuf *out)
{
	for (size_t i = 0; i < live->n_maps; i++)
		zt_strbuf_printf(out, "delete map inet %s %s\n", live->table, live->maps[i].name);
	for (size_t i = 0; i < live->n_strangers; i++)
		zt_strbuf_printf(out, "delete %s\n", live->strangers[i]);
}

static void delete_chains(const struct zt_image *img, const struct nft_state *live, struct zt_strbuf *out)
{
	ZT_STRBUF struct zt_strbuf now = {0}, line = {0};

	nft_text_helper_names(img, &now);
	nft_text_helpers(img, &now);
	nft_text_base(img, &now);
	for (size_t i = 0; i < live->n_chains; i++) {
		zt_strbuf_clear(&line);
		zt_strbuf_printf(&line, "\tchain %s {", live->chains[i]);
		if (!is_base(live->chains[i]) && !strstr(zt_strbuf_cstr(&now), zt_strbuf_cstr(&line)))
			zt_strbuf_printf(out, "delete chain inet %s %s\n", live->table, live->chains[i]);
	}
}

/* Maps and chains that nothing uses any more go in transactions of their own: they do no harm while they are there. */
static int drop_stale(const struct zt_image *img, const struct nft_state *live, bool maps, struct zt_diags *d)
{
	ZT_STRBUF struct zt_strbuf text = {0}, chains = {0};
	int r;

	if (maps)
		delete_maps(live, &text);
	delete_chains(img, live, &chains);
	r = zt_strbuf_error(&text) ?: zt_strbuf_error(&chains);
	if (r || !(text.len + chains.len))
		return r;
	old_packets_are_through();
	if (text.len)
		r = nft_run_text(text.buf, text.len, false, d);
	if (!r && chains.len)
		(void)nft_run_text(chains.buf, chains.len, false, NULL); /* left-over empty chains are harmless */
	return r;
}

static int elem_line(const struct zt_image *img, const struct nft_elem *e, bool add, struct zt_strbuf *out)
{
	const struct nft_stratum *s = &img->strata[e->stratum];
	char table[64], verdict[64], comment[NFT_COMMENT_MAX + 1];
	ZT_STRBUF struct zt_strbuf key = {0};

	if (s->shape.dims & (1u << DIM_CGROUP) || !nft_shape_elem_text(img, &s->shape, e, "", &key))
		return -EOPNOTSUPP;
	nft_table_name(img->rs->instance, table);
	zt_strbuf_printf(out, "%s element inet %s %s { %s", add ? "add" : "delete", table, s->name,
			 zt_strbuf_cstr(&key));
	if (add) {
		nft_verdict_text(&img->rs->rules[e->rule], verdict);
		nft_comment(img, e->rule, comment);
		zt_strbuf_printf(out, " counter packets %llu bytes %llu comment \"%s\" : %s",
				 (unsigned long long)e->packets, (unsigned long long)e->bytes, comment, verdict);
	}
	zt_strbuf_str(out, " }\n");
	return zt_strbuf_error(out);
}

/* Elements first go, then chains and elements come: one transaction. -EOPNOTSUPP: some element has no text form. */
static int commit_text(const struct zt_image *img, const struct nft_state *live, const struct nft_delta *delta,
		       struct zt_diags *d)
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
	return r ? r : drop_stale(img, live, false, d);
}

/* ---- everything: new maps beside the old ones, then one text that turns the chains over, then the old maps go ---- */
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
		r = load_elements(img, NULL);
	return r;
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
	if (!r && live->base_chains != NFT_BASE_CHAINS)
		(void)nft_seed_conntrack(); /* without it old flows are picked up by their next packet from the client */
	if (!r)
		r = nft_run_text(text.buf, text.len, false, d);
	if (r < 0) {
		undo_new_maps(img, live);
		return r;
	}
	r = zt_fault_step("nft: the chains are turned over");
	return r ? r : drop_stale(img, live, true, d);
}

static int commit_once(const struct zt_image *img, bool *ret_changed, struct zt_diags *d)
{
	ZT_CLEANUP(nft_state_done) struct nft_state live = {0};
	ZT_CLEANUP(nft_delta_done) struct nft_delta delta = {0};
	int r = nft_state_read(img->rs->instance, NFT_READ_ALL, &live);

	if (r < 0)
		return r;
	if (!live.present || live.base_chains != NFT_BASE_CHAINS || !live.n_maps || !nft_same_maps(img, &live))
		return commit_all(img, &live, d);
	nft_image_set_version(img, live.maps[0].version);
	r = nft_delta_make(img, &live, &delta);
	if (r < 0)
		return r;
	if (is_sound(&live) && !strcmp(live.digest, img->work->digest)) {
		*ret_changed = !is_done(img, &live, &delta);
		return *ret_changed ? commit_batch(img, &live, &delta) : 0;
	}
	r = commit_text(img, &live, &delta, d);
	return r == -EOPNOTSUPP ? commit_all(img, &live, d) : r;
}

static int commit_rules(const struct zt_image *img, bool *ret_changed, struct zt_diags *d)
{
	char table[64];
	unsigned added = 0;
	bool planned;
	int r = 0;

	*ret_changed = true;
	if (!r)
		r = img->work->plan ? commit_plan(img, ret_changed) : -ERESTART;
	planned = !r;
	drop_plan(img);
	/* Another program changed some table between reading and writing: read again. */
	for (int i = 0; r == -ERESTART && i < 10; i++)
		r = commit_once(img, ret_changed, d);
	if (r < 0)
		return d && d->errors ? r : zt_diag_errno(d, 3105, r, "cannot change the nftables ruleset");
	nft_table_name(img->rs->instance, table);
	r = nft_fence_devices(table, &added, NULL);
	if (r < 0)
		(void)zt_diag(d, ZT_WARNING, 3106, NULL,
			      "raw frames are not fenced: the kernel refuses netdev egress chains");
	*ret_changed = *ret_changed || added;
	r = planned ? 0 : verify_all(img);
	return r < 0 ? zt_diag_errno(d, 3105, r, "the kernel does not hold what was loaded") : 0;
}

/* Labels come before rules that look at them, and go after the last that does. */
int nft_commit(const struct zt_image *img, bool *ret_changed, struct zt_diags *d)
{
	struct nft_stamp *stamp = NULL;
	int r = img->work->digest[0] ? 0 : nft_check(img, d);

	if (!r && img->marks)
		r = nft_stamp_begin(img->rs->instance, img->marks, &stamp, d);
	r = r ?: zt_fault_step("nft: the labels are prepared");
	r = r ?: commit_rules(img, ret_changed, d);
	if (r < 0) {
		nft_stamp_abort(stamp);
		return r;
	}
	*ret_changed = *ret_changed || stamp;
	if (!img->marks)
		(void)nft_stamp_remove(img->rs->instance); /* no rule looks at marks any more */
	return stamp ? nft_stamp_finish(stamp, d) : 0;
}

/* ---- bytes of a backup or a generation ---- */
#define STAMP "# zt-stamp "

/* The labels' part, in comment lines: what nft_marks_text() gave, cut to pieces. */
void nft_text_stamp(const char *marks, struct zt_strbuf *out)
{
	for (size_t at = 0, len = strlen(marks); at < len; at += 1000)
		zt_strbuf_printf(out, STAMP "%.1000s\n", marks + at);
}

static int split_text(const char *text, size_t len, struct zt_strbuf *rules, struct zt_strbuf *marks)
{
	for (const char *p = text, *end = text + len, *nl; p < end; p = nl) {
		nl = memchr(p, '\n', (size_t)(end - p));
		nl = nl ? nl + 1 : end;
		if ((size_t)(nl - p) > strlen(STAMP) && !memcmp(p, STAMP, strlen(STAMP)))
			zt_strbuf_add(marks, p + strlen(STAMP), (size_t)(nl - p) - strlen(STAMP) - (nl[-1] == '\n'));
		else
			zt_strbuf_add(rules, p, (size_t)(nl - p));
	}
	return zt_strbuf_error(rules) ?: zt_strbuf_error(marks);
}

/* Back to an older numbering: its numbers mean what they meant, but the next fresh one comes after all that were used since. */
static int stamp_of_text(const char *instance, const struct zt_strbuf *text, struct nft_stamp **ret, struct zt_diags *d)
{
	ZT_CLEANUP(nft_marks_freep) struct nft_marks *m = NULL, *live = NULL;
	struct zt_diags quiet = {0};
	int r = text->len ? nft_marks_parse(text->buf, text->len, &m) : 0;

	if (r < 0)
		return zt_diag_errno(d, 3112, r, "the labels in the text cannot be read");
	if (!m)
		return 0;
	(void)nft_stamp_read(instance, &live, &quiet); /* without one the text is all there is to know */
	zt_diags_done(&quiet);
	if (live && live->mask == m->mask)
		m->next = ZT_MAX(m->next, live->next);
	return nft_stamp_begin(instance, m, ret, d);
}

static int load_rules(const char *instance, const char *text, size_t len, struct zt_diags *d)
{
	ZT_CLEANUP(nft_state_done) struct nft_state live = {0};
	ZT_STRBUF struct zt_strbuf out = {0};
	unsigned added = 0;
	int r = nft_state_read(instance, NFT_READ_RULES, &live);

	if (!r && live.present) {
		/* Base chains stay; everything in them and all maps come anew, in one transaction. */
		zt_strbuf_printf(&out, "flush table inet %s\n", live.table);
		delete_maps(&live, &out);
		if (live.same)
			zt_strbuf_printf(&out, "delete set inet %s zt_same\n", live.table);
		zt_strbuf_printf(&out,
				 "table inet %s {\n\tset zt_meta {\n\t\ttype mark\n\t}\n}\nflush set inet %s zt_meta\n",
				 live.table, live.table);
		zt_strbuf_printf(&out, "table netdev %s {\n}\ndelete table netdev %s\n", live.table, live.table);
	}
	zt_strbuf_add(&out, text, len);
	if (!r)
		r = zt_strbuf_error(&out);
	if (!r)
		r = nft_run_text(out.buf, out.len, false, d);
	if (!r && nft_fence_devices(live.table, &added, NULL) < 0)
		(void)zt_diag(d, ZT_WARNING, 3106, NULL,
			      "raw frames are not fenced: the kernel refuses netdev egress chains");
	return r;
}

int nft_load_text(const char *instance, const char *text, size_t len, struct zt_diags *d)
{
	ZT_STRBUF struct zt_strbuf rules = {0}, marks = {0};
	struct nft_stamp *stamp = NULL;
	int r = split_text(text, len, &rules, &marks) ?: stamp_of_text(instance, &marks, &stamp, d);

	r = r ?: load_rules(instance, rules.buf, rules.len, d);
	if (r < 0) {
		nft_stamp_abort(stamp);
		return r;
	}
	if (!marks.len)
		(void)nft_stamp_remove(instance); /* no rule looks at marks any more */
	return stamp ? nft_stamp_finish(stamp, d) : 0;
}
