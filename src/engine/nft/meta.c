/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/nft/nft.h"

/*
 * Lines `key=value`, each in the comment of one element of the set zt_meta. A value too long for a comment goes on in the next
 * elements, which begin with "+". Keys are numbered from 1 in order.
 */
#define CHUNK 120

void nft_meta_done(struct nft_meta *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->lines[i]);
	free(m->lines);
	*m = (struct nft_meta){0};
}

static int add_line(struct nft_meta *m, char *line)
{
	int r = line ? zt_grow(m->lines, m->cap, m->n) : -ENOMEM;

	if (r < 0) {
		free(line);
		return r;
	}
	m->lines[m->n++] = line;
	return 0;
}

__attribute__((format(printf, 2, 3))) static int add(struct nft_meta *m, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	/* A quote would end the comment; it cannot stand in a name, and in a path it is shown as what it is not. */
	for (size_t i = 0; i < b.len; i++)
		if (b.buf[i] == '"' || b.buf[i] == '\n')
			b.buf[i] = '?';
	for (size_t at = 0; !zt_strbuf_error(&b) && (at < b.len || !at); at += CHUNK) {
		size_t len = ZT_MIN(b.len - at, (size_t)CHUNK);
		int r = add_line(m, zt_asprintf("%s%.*s", at ? "+" : "", (int)len, b.buf + at));

		if (r < 0)
			return r;
	}
	return zt_strbuf_error(&b);
}

static int add_guards(struct nft_meta *m, const struct zt_image *img)
{
	int r = 0;

	for (size_t i = 1; !r && i < img->n_guards; i++) {
		const struct nft_guard *g = &img->guards[i];
		ZT_STRBUF struct zt_strbuf b = {0};

		for (size_t k = 0; k < g->n_windows; k++)
			zt_strbuf_printf(&b, " %u-%u", g->windows[k].start, g->windows[k].end);
		r = add(m, "guard%zu=%llu%s", i, (unsigned long long)g->expires, zt_strbuf_cstr(&b));
	}
	return r;
}

static int add_cgroups(struct nft_meta *m, const struct zt_ruleset *rs)
{
	int r = 0;

	for (size_t i = 0; !r && i < rs->n_rules; i++)
		for (size_t k = 0; !r && k < rs->rules[i].match.n_cgroups; k++) {
			const struct zt_cgroup *c = &rs->rules[i].match.cgroups[k];
			char key[40];

			(void)snprintf(key, sizeof(key), "cg%llx", (unsigned long long)nft_cgroup_key(c));
			if (!nft_meta_get(m, key))
				r = add(m, "%s=%u %s", key, c->level, c->path);
		}
	return r;
}

/* Which stamp the elements' numbers are of, and from where on numbers are fresh should it be lost. */
static int add_marks(struct nft_meta *m, const struct nft_marks *marks)
{
	char hex[65];
	int r = marks ? nft_marks_hash(marks, hex) : 0;

	if (r < 0 || !marks)
		return r;
	return add(m, "marks=%s", hex) ?: add(m, "marknext=%u", marks->next);
}

static int add_ssh(struct nft_meta *m, const struct zt_u32_ranges *l)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	for (size_t i = 0; i < l->n; i++)
		zt_strbuf_printf(&b, "%s%u-%u", i ? " " : "", l->v[i].lo, l->v[i].hi);
	return add(m, "ssh=%s", zt_strbuf_cstr(&b));
}

int nft_meta_make(const struct zt_image *img, struct nft_meta *ret)
{
	const struct zt_ruleset *rs = img->rs;
	const struct zt_settings *s = &rs->settings;
	ZT_CLEANUP(nft_meta_done) struct nft_meta m = {0};
	int r = add(&m, "instance=%s", rs->instance);

	if (!r)
		r = add(&m, "generation=%llu", (unsigned long long)rs->generation);
	if (!r)
		r = add(&m, "hash=%s", rs->hash);
	if (!r)
		r = add(&m, "rules=%s", img->work->digest);
	if (!r)
		r = add(&m, "default=%d %d %d", s->def[0], s->def[1], s->def[2]);
	if (!r)
		r = add(&m, "mode=%d %d %d %d %d %d", s->mode, s->block, s->loopback, s->log_blocked, s->preserve_ssh,
			s->preserve_established);
	if (!r)
		r = add(&m, "limit=%u %d", s->log_limit, s->log_limit_per);
	if (!r && s->mark_mask)
		r = add(&m, "markmask=%u", s->mark_mask);
	if (!r && s->socket_passing)
		r = add(&m, "passing=1");
	if (!r)
		r = add(&m, "prefix=%s|", s->log_prefix);
	if (!r)
		r = add_ssh(&m, &rs->ssh_ports);
	if (!r)
		r = add(&m, "policy=%s", rs->policy_name);
	for (size_t i = 0; !r && i < rs->n_files; i++)
		r = add(&m, "file%zu=%s", i, rs->files[i]);
	if (!r)
		r = add_marks(&m, img->marks);
	if (!r)
		r = add_guards(&m, img);
	if (!r)
		r = add_cgroups(&m, rs);
	if (r < 0)
		return r;
	*ret = m;
	m = (struct nft_meta){0};
	return 0;
}

const char *nft_meta_get(const struct nft_meta *m, const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < m->n; i++)
		if (!strncmp(m->lines[i], key, len) && m->lines[i][len] == '=')
			return m->lines[i] + len + 1;
	return NULL;
}

/* Only the first chunk is kept by nft_meta_get; the whole value is joined here. */
static char *join(const struct nft_meta *m, const char *key)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	const char *first = nft_meta_get(m, key);

	if (!first)
		return NULL;
	zt_strbuf_str(&b, first);
	for (size_t i = 0; i < m->n; i++)
		if (m->lines[i] <= first && first <= m->lines[i] + strlen(m->lines[i]))
			for (size_t k = i + 1; k < m->n && m->lines[k][0] == '+'; k++)
				zt_strbuf_str(&b, m->lines[k] + 1);
	return zt_strbuf_steal(&b);
}

char *nft_meta_join_value(const struct nft_meta *m, const char *key, size_t skip)
{
	ZT_FREE char *whole = join(m, key);

	return whole && skip <= strlen(whole) ? zt_strdup(whole + skip) : NULL;
}

static int take_string(const struct nft_meta *m, const char *key, char **ret)
{
	char *s = join(m, key);

	if (!s)
		return -EUCLEAN;
	free(*ret);
	*ret = s;
	return 0;
}

static int read_settings(const struct nft_meta *m, struct zt_settings *s)
{
	const char *def = nft_meta_get(m, "default"), *mode = nft_meta_get(m, "mode"),
		   *limit = nft_meta_get(m, "limit"), *mask = nft_meta_get(m, "markmask");
	uint64_t bits = 0;
	int d[3], v[6], per;
	unsigned n;
	size_t len;

	if (!def || !mode || !limit || sscanf(def, "%d %d %d", &d[0], &d[1], &d[2]) != 3 ||
	    sscanf(mode, "%d %d %d %d %d %d", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]) != 6 ||
	    sscanf(limit, "%u %d", &n, &per) != 2 || take_string(m, "prefix", &s->log_prefix) < 0)
		return -EUCLEAN;
	len = strlen(s->log_prefix);
	if (!len || s->log_prefix[len - 1] != '|')
		return -EUCLEAN;
	s->log_prefix[len - 1] = '\0';
	for (int i = 0; i < 3; i++)
		s->def[i] = d[i] ? ZT_DEFAULT_ALLOW : ZT_DEFAULT_DENY;
	s->mode = v[0] ? ZT_MODE_OBSERVE : ZT_MODE_ENFORCE;
	s->block = v[1] ? ZT_BLOCK_DROP : ZT_BLOCK_REJECT;
	s->loopback = v[2] == 2 ? ZT_LOOPBACK_ALLOW : v[2] ? ZT_LOOPBACK_OBSERVE : ZT_LOOPBACK_ENFORCE;
	s->log_blocked = v[3] != 0;
	s->preserve_ssh = v[4] != 0;
	s->preserve_established = v[5] != 0;
	s->log_limit = n;
	s->log_limit_per = per;
	if (mask && (zt_parse_u64(mask, UINT32_MAX, &bits) < 0 || !zt_mark_mask_valid((int64_t)bits)))
		return -EUCLEAN;
	s->mark_mask = (uint32_t)bits;
	s->socket_passing = nft_meta_get(m, "passing") != NULL;
	return per >= ZT_PER_SECOND && per <= ZT_PER_DAY ? 0 : -EUCLEAN;
}

static int read_ssh(const struct nft_meta *m, struct zt_u32_ranges *ret)
{
	ZT_FREE char *text = join(m, "ssh");
	unsigned lo, hi;
	int used, r = 0;

	if (!text)
		return -EUCLEAN;
	for (const char *p = text; !r && sscanf(p, " %u-%u%n", &lo, &hi, &used) == 2; p += used)
		r = zt_u32_ranges_add(ret, lo, hi);
	return r;
}

static int read_files(const struct nft_meta *m, struct zt_ruleset *rs)
{
	char key[32];

	for (size_t n = 0;; n++) {
		char **grown, *name;

		(void)snprintf(key, sizeof(key), "file%zu", n);
		name = join(m, key);
		if (!name)
			return 0;
		grown = zt_realloc(rs->files, (n + 1) * sizeof(*grown));
		if (!grown) {
			free(name);
			return -ENOMEM;
		}
		rs->files = grown;
		rs->files[n] = name;
		rs->n_files = n + 1;
	}
}

int nft_meta_apply(const struct nft_meta *m, struct zt_ruleset *rs)
{
	const char *generation = nft_meta_get(m, "generation"), *hash = nft_meta_get(m, "hash");
	int r = generation && hash && strlen(hash) == 64 ? take_string(m, "instance", &rs->instance) : -EUCLEAN;

	if (!r)
		r = zt_parse_u64(generation, UINT64_MAX, &rs->generation) < 0 ? -EUCLEAN : 0;
	if (!r)
		r = take_string(m, "policy", &rs->policy_name);
	if (!r)
		r = read_settings(m, &rs->settings);
	if (!r)
		r = read_ssh(m, &rs->ssh_ports);
	if (!r)
		r = read_files(m, rs);
	if (!r)
		memcpy(rs->hash, hash, 65);
	return r;
}

void nft_meta_text(const struct nft_meta *m, const char *table, struct zt_strbuf *out)
{
	zt_strbuf_printf(out, "add element inet %s zt_meta {\n", table);
	for (size_t i = 0; i < m->n; i++)
		zt_strbuf_printf(out, "\t%zu comment \"%s\"%s\n", i + 1, m->lines[i], i + 1 < m->n ? "," : "");
	zt_strbuf_str(out, "}\n");
}
