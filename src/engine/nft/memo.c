/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/file.h"
#include "engine/nft/nft.h"

/*
 * The file is text lines for what is small and packed records for the elements, in host order: it never leaves the boot it was
 * written in. Its last 64 bytes are the SHA-256 of the rest.
 */
#define MAGIC "zt-segment nft memo 2\n"
#define MEMO_BYTES ((size_t)1 << 30)

struct head {
	char magic[24], boot[40], table[64], digest[65];
	uint64_t cookie;
	uint32_t genid, n_lines, n_chains, n_maps;
	uint64_t n_elems;
};
struct record { /* followed by key, end when it is a range, id, chain */
	uint64_t okey;
	uint32_t map, part, from, to;
	uint8_t id_len, chain_len, accept;
};

/* Which namespace of which boot: the kernel never gives a cookie twice. */
static int here(struct head *h)
{
	ZT_FREE char *text = NULL;
	ZT_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(h->cookie);
	size_t len = 0;
	int r = zt_file_read("/proc/sys/kernel/random/boot_id", 64, &text, &len);

	if (r < 0)
		return r;
	(void)snprintf(h->boot, sizeof(h->boot), "%.*s", (int)strcspn(text, "\n"), text);
	return fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &h->cookie, &size) < 0 ? -errno : 0;
}

/* ---- out ---- */
static void put_line(struct zt_strbuf *out, const char *s)
{
	zt_strbuf_add(out, s, strlen(s) + 1);
}

/* Places of the strata in the order in which a state lists its maps. */
static int rank_strata(const struct zt_image *img, uint32_t **ret)
{
	uint32_t *v = zt_new(uint32_t, img->n_strata + 1);

	for (size_t i = 0; v && i < img->n_strata; i++)
		for (size_t k = 0; k < img->n_strata; k++) {
			const struct nft_stratum *a = &img->strata[i], *b = &img->strata[k];

			v[i] += b->dir < a->dir || (b->dir == a->dir && b->pos < a->pos);
		}
	*ret = v;
	return v ? 0 : -ENOMEM;
}

static void put_elem(struct zt_strbuf *out, const struct zt_image *img, const struct nft_elem *e, uint32_t map)
{
	const struct nft_shape *shape = &img->strata[e->stratum].shape;
	const struct zt_rule *rule = &img->rs->rules[e->rule];
	size_t len = nft_shape_keylen(shape);
	char verdict[64];
	const char *chain;
	struct record rec;

	nft_verdict_text(rule, verdict);
	chain = !strcmp(verdict, "accept") ? "" : verdict + strlen("goto ");
	memset(&rec, 0, sizeof(rec)); /* padding is part of the digest */
	rec.okey = img->okey[e->rule];
	rec.map = map;
	rec.part = rule->part;
	rec.from = nft_refs_of(img, e->rule).from;
	rec.to = nft_refs_of(img, e->rule).to;
	rec.id_len = (uint8_t)strlen(rule->id);
	rec.chain_len = (uint8_t)strlen(chain);
	rec.accept = !*chain;
	zt_strbuf_add(out, &rec, sizeof(rec));
	zt_strbuf_add(out, e->key, len);
	if (shape->interval)
		zt_strbuf_add(out, e->end, len);
	zt_strbuf_add(out, rule->id, rec.id_len);
	zt_strbuf_add(out, chain, rec.chain_len);
}

static int write_private(const char *path, const struct zt_strbuf *b)
{
	ZT_FREE char *tmp = zt_asprintf("%s.%d.tmp", path, (int)getpid());
	int fd, r;

	if (!tmp)
		return -ENOMEM;
	(void)unlink(tmp); /* of an earlier process with our number */
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = zt_write_all(fd, b->buf, b->len);
	/* No fsync: after a crash there is another boot, and the digest tells a torn file. */
	if (close(fd) < 0 && !r)
		r = -errno;
	if (!r && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(tmp);
	return r;
}

int nft_memo_write(const char *path, const struct zt_image *img, char *const *chains, size_t n_chains, uint32_t genid)
{
	ZT_CLEANUP(nft_meta_done) struct nft_meta meta = {0};
	ZT_STRBUF struct zt_strbuf b = {0};
	ZT_FREE uint32_t *rank = NULL;
	struct head h;
	char hex[65];
	int r = nft_meta_make(img, &meta);

	memset(&h, 0, sizeof(h));
	r = r ? r : here(&h);
	r = r ? r : rank_strata(img, &rank);
	if (r < 0)
		return r;
	(void)snprintf(h.magic, sizeof(h.magic), "%s", MAGIC);
	nft_table_name(img->rs->instance, h.table);
	memcpy(h.digest, img->work->digest, sizeof(h.digest));
	h.genid = genid;
	h.n_lines = (uint32_t)meta.n;
	h.n_chains = (uint32_t)n_chains;
	h.n_maps = (uint32_t)img->n_strata;
	h.n_elems = img->n_elems;
	zt_strbuf_add(&b, &h, sizeof(h));
	for (size_t i = 0; i < meta.n; i++)
		put_line(&b, meta.lines[i]);
	for (size_t i = 0; i < n_chains; i++)
		put_line(&b, chains[i]);
	for (size_t place = 0; place < img->n_strata; place++)
		for (size_t i = 0; i < img->n_strata; i++)
			if (rank[i] == place)
				put_line(&b, img->strata[i].name);
	for (size_t i = 0; i < img->n_elems; i++)
		put_elem(&b, img, &img->elems[i], rank[img->elems[i].stratum]);
	if (zt_strbuf_error(&b))
		return -ENOMEM;
	zt_sha256_hex(b.buf, b.len, hex);
	zt_strbuf_add(&b, hex, 64);
	return zt_strbuf_error(&b) ? -ENOMEM : write_private(path, &b);
}

/* ---- in ---- */
struct reader {
	const char *at, *end;
	bool bad;
};

static const void *take(struct reader *in, size_t len)
{
	const char *p = in->at;

	if (in->bad || (size_t)(in->end - in->at) < len) {
		in->bad = true;
		return NULL;
	}
	in->at += len;
	return p;
}

static const char *take_line(struct reader *in)
{
	const char *nul = in->bad ? NULL : memchr(in->at, 0, (size_t)(in->end - in->at));

	return nul ? take(in, (size_t)(nul - in->at) + 1) : take(in, SIZE_MAX);
}

static int take_lines(struct reader *in, uint32_t n, char ***ret, size_t *ret_n)
{
	*ret = zt_new(char *, n + 1u);
	for (*ret_n = 0; *ret && *ret_n < n;) {
		const char *line = take_line(in);
		char *copy = line ? zt_strdup(line) : NULL;

		if (!copy)
			return in->bad ? -ESTALE : -ENOMEM;
		(*ret)[(*ret_n)++] = copy;
	}
	return *ret ? 0 : -ENOMEM;
}

static int take_maps(struct reader *in, uint32_t n, struct nft_state *s)
{
	s->maps = zt_new(struct nft_live_map, n + 1u);
	for (; s->maps && s->n_maps < n; s->n_maps++) {
		const char *name = take_line(in);

		if (!name || nft_map_name_parse(name, &s->maps[s->n_maps]) < 0)
			return -ESTALE;
	}
	return s->maps ? 0 : -ENOMEM;
}

static int take_elem(struct reader *in, const struct nft_state *s, struct nft_live_elem *e)
{
	struct record rec;
	const void *raw = take(in, sizeof(rec)), *key, *end, *id, *chain;
	const struct nft_shape *shape;
	size_t len;

	if (!raw)
		return -ESTALE;
	memcpy(&rec, raw, sizeof(rec));
	if (rec.map >= s->n_maps || rec.chain_len >= sizeof(e->chain) || !rec.id_len)
		return -ESTALE;
	shape = &s->maps[rec.map].shape;
	len = nft_shape_keylen(shape);
	key = take(in, len);
	end = shape->interval ? take(in, len) : key;
	id = take(in, rec.id_len);
	chain = take(in, rec.chain_len);
	if (in->bad)
		return -ESTALE;
	*e = (struct nft_live_elem){.map = rec.map,
				    .okey = rec.okey,
				    .part = rec.part,
				    .refs = {rec.from, rec.to},
				    .accept = rec.accept,
				    .packets = NFT_UNREAD};
	memcpy(e->key, key, len);
	memcpy(e->end, end, len);
	memcpy(e->chain, chain, rec.chain_len);
	e->id = nft_state_intern(s, id, rec.id_len);
	return e->id ? 0 : -ENOMEM;
}

static int take_elems(struct reader *in, uint64_t n, struct nft_state *s)
{
	int r = 0;

	if (n > NFT_ELEMS_MAX)
		return -ESTALE;
	s->elems = zt_new(struct nft_live_elem, n + 1);
	if (!s->elems || nft_state_strings(s) < 0)
		return -ENOMEM;
	s->cap_elems = n + 1;
	for (; !r && s->n_elems < n; s->n_elems += !r)
		r = take_elem(in, s, &s->elems[s->n_elems]);
	return r;
}

/* The bytes as they were written, by us, in this boot, for this namespace; else -ESTALE. */
static int open_memo(const char *path, const char *instance, char **ret, size_t *ret_len, struct head *h)
{
	struct head now = {0};
	char table[64], hex[65];
	struct stat st;
	int r = here(&now);

	if (r < 0)
		return r;
	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return -ESTALE;
	r = zt_file_read(path, MEMO_BYTES, ret, ret_len);
	if (r < 0)
		return r;
	if (*ret_len < sizeof(*h) + 64)
		return -ESTALE;
	*ret_len -= 64;
	memcpy(h, *ret, sizeof(*h));
	nft_table_name(instance, table);
	if (memcmp(h->magic, MAGIC, strlen(MAGIC) + 1) != 0 || memcmp(h->boot, now.boot, sizeof(h->boot)) != 0 ||
	    h->cookie != now.cookie || strncmp(h->table, table, sizeof(h->table)) != 0)
		return -ESTALE;
	zt_sha256_hex(*ret, *ret_len, hex);
	return memcmp(hex, *ret + *ret_len, 64) != 0 ? -ESTALE : 0;
}

static int read_memo(const char *path, const char *instance, struct nft_state *s)
{
	ZT_FREE char *bytes = NULL;
	struct nft_nl nl = {0};
	struct head h = {0};
	uint32_t genid = 0;
	size_t len = 0;
	struct reader in;
	int r = nft_nl_open(&nl);

	r = r ? r : nft_nl_genid(&nl, &genid);
	nft_nl_close(&nl);
	r = r ? r : open_memo(path, instance, &bytes, &len, &h);
	if (r < 0)
		return r;
	if (!genid || h.genid != genid)
		return -ESTALE;
	in = (struct reader){.at = bytes + sizeof(h), .end = bytes + len};
	s->present = true;
	s->from_memo = true;
	s->genid = genid;
	s->base_chains = NFT_BASE_CHAINS;
	memcpy(s->table, h.table, sizeof(s->table));
	memcpy(s->digest, h.digest, sizeof(s->digest));
	r = take_lines(&in, h.n_lines, &s->meta.lines, &s->meta.n);
	r = r ? r : take_lines(&in, h.n_chains, &s->chains, &s->n_chains);
	r = r ? r : take_maps(&in, h.n_maps, s);
	r = r ? r : take_elems(&in, h.n_elems, s);
	return r ? r : in.at != in.end ? -ESTALE : 0;
}

void nft_use_memo(struct zt_image *img, const char *path)
{
	free(img->work->memo);
	img->work->memo = zt_strdup(path); /* without it everything is listed */
}

int nft_memo_read(const char *path, const char *instance, struct nft_state *ret)
{
	int r = path ? read_memo(path, instance, ret) : -ESTALE;

	if (r < 0)
		nft_state_done(ret);
	return r;
}
