/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/nft/marks.h"

#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "mark.h"

uint32_t nft_marks_shift(const struct nft_marks *m)
{
	return (uint32_t)__builtin_ctz(m->mask);
}

uint32_t nft_marks_flag(const struct nft_marks *m)
{
	return 1u << (31 - __builtin_clz(m->mask));
}

uint32_t nft_marks_max(const struct nft_marks *m)
{
	return (m->mask & ~nft_marks_flag(m)) >> nft_marks_shift(m);
}

void nft_marks_free(struct nft_marks *m)
{
	if (!m)
		return;
	for (int s = 0; s < N_MARK_SPACES; s++) {
		zt_labels_done(&m->sets[s]);
		free(m->number[s]);
	}
	if (m->joint) {
		free(m->joint->subjects); /* what they point to is the others' */
		m->joint->subjects = NULL;
		m->joint->n_subjects = 0;
	}
	zt_ruleset_free(m->joint);
	zt_ruleset_free(m->plain);
	zt_ruleset_free(m->real);
	free(m);
}

void nft_marks_freep(struct nft_marks **m)
{
	nft_marks_free(*m);
	*m = NULL;
}

/* ---- which subjects ---- */
static bool is_plain(const struct zt_rule *r)
{
	return r->dir == ZT_DIR_EGRESS && !r->match.from && (r->match.uid.n || r->match.gid.n || r->match.n_cgroups);
}

static struct zt_subject plain_of(const struct zt_match *m)
{
	static char text[] = "a user or a control group";

	return (struct zt_subject){.text = text, .uid = m->uid, .cgroups = m->cgroups, .n_cgroups = m->n_cgroups};
}

static int refuse(const struct zt_ruleset *rs, const struct zt_rule *r, const char *why, struct zt_diags *d)
{
	struct zt_span at = {.file = r->file < rs->n_files ? rs->files[r->file] : NULL, .line = r->line, .col = 1};

	(void)zt_diag(d, ZT_ERROR, 3109, &at, "rule \"%s\": %s", r->id, why);
	zt_diag_hint(d,
		     "ranges of users and control groups above them keep it small; --engine bpf knows no such limit");
	return -ENOTSUP;
}

static int add_plain(struct zt_ruleset *to, const struct zt_ruleset *rs, struct zt_diags *d)
{
	int r = 0;

	for (size_t i = 0; !r && i < rs->n_rules; i++) {
		struct zt_subject s = plain_of(&rs->rules[i].match);
		const struct zt_subject *mine;

		if (!is_plain(&rs->rules[i]))
			continue;
		if (rs->rules[i].match.gid.n)
			r = refuse(rs, &rs->rules[i], "primary groups cannot be told on lo", d);
		r = r ?: zt_ruleset_subject(to, &s, &mine);
		if (r == -E2BIG)
			r = refuse(rs, &rs->rules[i],
				   "with receivers in the policy, rules may name 512 different users and groups", d);
	}
	return r;
}

static int join(struct nft_marks *m)
{
	struct zt_ruleset *const parts[] = {m->plain, m->real};
	size_t n = m->plain->n_subjects + m->real->n_subjects;
	int r = n > ZT_SUBJECTS_MAX ? -E2BIG : zt_ruleset_new(&m->joint);

	r = r ?: zt_ruleset_rehash(m->plain) ?: zt_ruleset_rehash(m->real); /* as they are when they were parsed */
	if (r < 0)
		return r;
	m->joint->subjects = zt_new(struct zt_subject *, n + 1);
	if (!m->joint->subjects)
		return -ENOMEM;
	for (size_t p = 0; p < 2; p++)
		for (size_t i = 0; i < parts[p]->n_subjects; i++)
			m->joint->subjects[m->joint->n_subjects++] = parts[p]->subjects[i];
	return 0;
}

static int make_sets(struct nft_marks *m, struct zt_diags *d)
{
	int r = zt_labels_make(m->joint, &m->sets[MARK_KNOWN], d) ?: zt_labels_make(m->plain, &m->sets[MARK_PLAIN], d);

	for (int s = 0; !r && s < N_MARK_SPACES; s++) {
		m->number[s] = zt_new(uint32_t, m->sets[s].n + 1);
		r = m->number[s] ? 0 : -ENOMEM;
	}
	return r;
}

int nft_marks_of(struct zt_ruleset *plain, struct zt_ruleset *real, bool pairs, uint32_t mask, struct nft_marks **ret)
{
	ZT_CLEANUP(nft_marks_freep) struct nft_marks *m = zt_new(struct nft_marks, 1);
	int r;

	if (!m) {
		zt_ruleset_free(plain);
		zt_ruleset_free(real);
		return -ENOMEM;
	}
	*m = (struct nft_marks){.plain = plain, .real = real, .pairs = pairs, .mask = mask, .next = 1};
	r = join(m) ?: make_sets(m, NULL);
	if (!r)
		*ret = ZT_TAKE(m);
	return r;
}

int nft_marks_blank(const struct nft_marks *like, uint32_t next, struct nft_marks **ret)
{
	struct zt_ruleset *plain = NULL, *real = NULL;
	int r = zt_ruleset_new(&plain) ?: zt_ruleset_new(&real);

	if (r) {
		zt_ruleset_free(plain);
		return r;
	}
	r = nft_marks_of(plain, real, like->pairs, like->mask, ret);
	if (!r)
		(*ret)->next = next;
	return r;
}

/* ---- numbers ---- */
/* Without plain subjects an unknown process is as good as one that nobody has seen. */
static bool is_nothing(const struct nft_marks *m, int space)
{
	return space == MARK_PLAIN && !m->plain->n_subjects;
}

static size_t count(const struct nft_marks *m)
{
	return m->sets[MARK_KNOWN].n + (is_nothing(m, MARK_PLAIN) ? 0 : m->sets[MARK_PLAIN].n);
}

/* Numbers that are taken, so that after the last one the free ones come again. */
static int give_numbers(struct nft_marks *m, const struct nft_marks *old)
{
	uint32_t max = nft_marks_max(m);
	ZT_FREE bool *taken = zt_new(bool, (size_t)max + 1);

	if (!taken)
		return -ENOMEM;
	for (int s = 0; s < N_MARK_SPACES; s++)
		for (size_t i = 0; i < m->sets[s].n; i++)
			taken[m->number[s][i]] = true;
	for (int s = 0; old && old->mask == m->mask && count(m) + count(old) <= max && s < N_MARK_SPACES; s++)
		for (size_t i = 0; i < old->sets[s].n; i++)
			taken[old->number[s][i]] = true; /* sockets carry it until they are marked again */
	for (int s = 0; s < N_MARK_SPACES; s++)
		for (size_t i = 0; i < m->sets[s].n; i++) {
			if (m->number[s][i] || is_nothing(m, s))
				continue;
			for (uint32_t tries = 0; tries <= max && (m->next > max || !m->next || taken[m->next]); tries++)
				m->next = m->next >= max ? 1 : m->next + 1;
			taken[m->next] = true;
			m->number[s][i] = m->next++;
		}
	return 0;
}

static bool has_pairs(const struct zt_ruleset *rs)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].dir == ZT_DIR_EGRESS && rs->rules[i].match.to)
			return true;
	return false;
}

int nft_marks_make(const struct zt_ruleset *rs, struct nft_marks **ret, struct zt_diags *d)
{
	ZT_CLEANUP(nft_marks_freep) struct nft_marks *m = NULL;
	const struct zt_subject *mine;
	int r;

	*ret = NULL;
	if (!rs->n_subjects)
		return 0;
	m = zt_new(struct nft_marks, 1);
	if (!m)
		return -ENOMEM;
	*m = (struct nft_marks){.pairs = has_pairs(rs), .mask = rs->settings.mark_mask ?: ZT_MARK_DEFAULT, .next = 1};
	r = zt_ruleset_new(&m->plain) ?: zt_ruleset_new(&m->real);
	for (size_t i = 0; !r && i < rs->n_subjects; i++)
		r = zt_ruleset_subject(m->real, rs->subjects[i], &mine);
	if (!r && m->pairs)
		r = add_plain(m->plain, rs, d);
	r = r ?: join(m) ?: make_sets(m, d);
	if (!r && count(m) > nft_marks_max(m))
		r = -E2BIG;
	if (r == -E2BIG) {
		(void)zt_diag(d, ZT_ERROR, 3109, NULL,
			      "the processes that the policy tells apart do not fit %u numbers", nft_marks_max(m));
		zt_diag_hint(d, "fewer groups, or services instead of groups, keep them apart");
		return -ENOTSUP;
	}
	r = r ?: give_numbers(m, NULL);
	if (!r)
		*ret = ZT_TAKE(m);
	return r;
}

/* ---- what an old number means now ---- */
struct common { /* subjects of both: their places in either */
	uint32_t a[ZT_SUBJECTS_MAX], b[ZT_SUBJECTS_MAX];
	size_t n;
};
struct view { /* a set as far as the common subjects tell it */
	struct zt_set_bits bits;
	int space;
	size_t at;
};

static void find_common(const struct zt_ruleset *a, size_t base_a, const struct zt_ruleset *b, size_t base_b,
			struct common *c)
{
	for (size_t i = 0; i < a->n_subjects; i++)
		for (size_t k = 0; k < b->n_subjects; k++)
			if (zt_subject_eq(a->subjects[i], b->subjects[k])) {
				c->a[c->n] = (uint32_t)(base_a + i);
				c->b[c->n++] = (uint32_t)(base_b + k);
				break;
			}
}

static int compare_views(const void *x, const void *y)
{
	const struct view *a = x, *b = y;

	if (a->space != b->space)
		return a->space < b->space ? -1 : 1;
	return memcmp(&a->bits, &b->bits, sizeof(a->bits));
}

static struct view *views(const struct nft_marks *m, const uint32_t *place, size_t n_places, size_t *ret_n)
{
	struct view *v = zt_new(struct view, m->sets[0].n + m->sets[1].n + 1);
	size_t n = 0;

	for (int s = 0; v && s < N_MARK_SPACES; s++)
		for (size_t i = 0; i < m->sets[s].n; i++, n++) {
			v[n].space = s;
			v[n].at = i;
			for (size_t k = 0; k < n_places; k++)
				if (m->sets[s].sets[i].w[place[k] / 64] >> (place[k] % 64) & 1)
					v[n].bits.w[k / 64] |= UINT64_C(1) << (k % 64);
		}
	if (n)
		qsort(v, n, sizeof(*v), compare_views);
	*ret_n = n;
	return v;
}

static bool alone(const struct view *v, size_t n, size_t i)
{
	return (!i || compare_views(&v[i - 1], &v[i])) && (i + 1 == n || compare_views(&v[i], &v[i + 1]));
}

/* What makes a process unknown: its program where programs count, its groups where groups do. */
static unsigned doubts(const struct nft_marks *m)
{
	unsigned v = 0;

	for (size_t i = 0; i < m->joint->n_subjects; i++) {
		const struct zt_subject *s = m->joint->subjects[i];

		v |= (s->n_exes || s->n_parents ? 1u : 0) | (s->gid.n ? 2u : 0);
	}
	return v;
}

int nft_marks_follow(struct nft_marks *m, const struct nft_marks *old)
{
	ZT_FREE struct common *c = zt_new(struct common, 1);
	ZT_FREE struct view *a = NULL, *b = NULL;
	size_t n_a = 0, n_b = 0;

	if (!c)
		return -ENOMEM;
	for (int s = 0; s < N_MARK_SPACES; s++)
		memset(m->number[s], 0, m->sets[s].n * sizeof(*m->number[s]));
	m->next = old->next;
	if (m->mask != old->mask || doubts(m) != doubts(old))
		return give_numbers(m, old);
	find_common(old->plain, 0, m->plain, 0, c);
	find_common(old->real, old->plain->n_subjects, m->real, m->plain->n_subjects, c);
	a = views(old, c->a, c->n, &n_a);
	b = views(m, c->b, c->n, &n_b);
	if (!a || !b)
		return -ENOMEM;
	for (size_t i = 0, k = 0; i < n_a && k < n_b;) {
		int order = compare_views(&a[i], &b[k]);

		if (!order && alone(a, n_a, i) && alone(b, n_b, k) && !is_nothing(m, b[k].space))
			m->number[b[k].space][b[k].at] = old->number[a[i].space][a[i].at];
		i += order <= 0;
		k += order >= 0;
	}
	return give_numbers(m, old);
}

/* ---- rules ---- */
static uint32_t find(const struct zt_ruleset *rs, size_t base, const struct zt_subject *s)
{
	for (size_t i = 0; i < rs->n_subjects; i++)
		if (zt_subject_eq(rs->subjects[i], s))
			return (uint32_t)(base + i + 1);
	return 0;
}

uint32_t nft_marks_from(const struct nft_marks *m, const struct zt_rule *rule)
{
	struct zt_subject plain = plain_of(&rule->match);

	if (!m)
		return 0;
	if (rule->match.from)
		return find(m->real, m->plain->n_subjects, rule->match.from);
	return m->pairs && is_plain(rule) ? find(m->plain, 0, &plain) : 0;
}

uint32_t nft_marks_to(const struct nft_marks *m, const struct zt_rule *rule)
{
	return m && rule->match.to ? find(m->real, m->plain->n_subjects, rule->match.to) : 0;
}

static bool has(const struct nft_marks *m, int space, size_t i, uint32_t subject, bool blocks)
{
	if (space == MARK_PLAIN && subject > m->plain->n_subjects)
		return blocks;
	return m->sets[space].sets[i].w[(subject - 1) / 64] >> ((subject - 1) % 64) & 1;
}

int nft_marks_each(const struct nft_marks *m, uint32_t subject, enum zt_verdict verdict,
		   int (*found)(void *arg, uint32_t number), void *arg)
{
	bool blocks = verdict == ZT_DROP || verdict == ZT_REJECT;
	int r = blocks && subject > m->plain->n_subjects ? found(arg, 0) : 0;

	for (int s = 0; s < N_MARK_SPACES; s++)
		for (size_t i = 0; !r && i < m->sets[s].n; i++)
			if (m->number[s][i] && has(m, s, i, subject, blocks))
				r = found(arg, m->number[s][i]);
	return r;
}

bool nft_marks_has(const struct nft_marks *m, uint32_t subject, enum zt_verdict verdict, uint32_t number)
{
	bool blocks = verdict == ZT_DROP || verdict == ZT_REJECT;

	if (!number)
		return blocks && subject > m->plain->n_subjects;
	for (int s = 0; s < N_MARK_SPACES; s++)
		for (size_t i = 0; i < m->sets[s].n; i++)
			if (m->number[s][i] == number)
				return has(m, s, i, subject, blocks);
	return false;
}

static struct zt_set_bits set_of(const struct zt_ruleset *rs, const struct zt_actor *a)
{
	struct zt_set_bits set = {0};

	for (size_t i = 0; i < rs->n_subjects; i++)
		if (zt_subject_match(rs->subjects[i], a))
			set.w[i / 64] |= UINT64_C(1) << (i % 64);
	return set;
}

uint32_t nft_marks_number(const struct nft_marks *m, const struct zt_actor *a)
{
	int space = a->known ? MARK_KNOWN : MARK_PLAIN;
	struct zt_actor known = *a;
	struct zt_set_bits set;
	uint32_t label;

	known.known = true; /* its user and control groups are */
	set = set_of(a->known ? m->joint : m->plain, &known);
	label = zt_labels_find(&m->sets[space], &set);
	return label ? m->number[space][label - 1] : 0;
}

/* ---- text ---- */
static json_t *numbers_out(const struct nft_marks *m)
{
	json_t *a = json_array();

	for (int s = 0; a && s < N_MARK_SPACES; s++)
		for (size_t i = 0; i < m->sets[s].n; i++)
			if (json_array_append_new(a, json_integer(m->number[s][i])) < 0) {
				json_decref(a);
				return NULL;
			}
	return a;
}

int nft_marks_text(const struct nft_marks *m, char **ret)
{
	json_t *plain = NULL, *real = NULL, *numbers = numbers_out(m), *o = NULL;
	int r = numbers ? 0 : -ENOMEM;

	r = r ?: zt_ruleset_to_json(m->plain, &plain) ?: zt_ruleset_to_json(m->real, &real);
	if (!r)
		o = json_pack("{s:I, s:b, s:I, s:O, s:O, s:O}", "mask", (json_int_t)m->mask, "pairs", m->pairs, "next",
			      (json_int_t)m->next, "numbers", numbers, "plain", plain, "real", real);
	*ret = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	json_decref(plain);
	json_decref(real);
	json_decref(numbers);
	return r ?: *ret ? 0 : -ENOMEM;
}

int nft_marks_hash(const struct nft_marks *m, char ret[static 65])
{
	struct nft_marks same = *m;
	ZT_FREE char *text = NULL;
	int r;

	same.next = 0;
	r = nft_marks_text(&same, &text);
	if (!r)
		zt_sha256_hex(text, strlen(text), ret);
	return r;
}

static int numbers_in(const json_t *a, struct nft_marks *m)
{
	size_t at = 0;

	if (json_array_size(a) != m->sets[0].n + m->sets[1].n)
		return -EINVAL;
	for (int s = 0; s < N_MARK_SPACES; s++)
		for (size_t i = 0; i < m->sets[s].n; i++, at++) {
			json_int_t v = json_integer_value(json_array_get(a, at));

			if (v < 0 || v > nft_marks_max(m) || !v != is_nothing(m, s))
				return -EINVAL;
			m->number[s][i] = (uint32_t)v;
		}
	return 0;
}

static int marks_in(const json_t *o, struct nft_marks **ret)
{
	struct zt_ruleset *plain = NULL, *real = NULL;
	ZT_CLEANUP(nft_marks_freep) struct nft_marks *m = NULL;
	json_int_t mask = json_integer_value(json_object_get(o, "mask")),
		   next = json_integer_value(json_object_get(o, "next"));
	struct zt_diags quiet = {0};
	int r = zt_ruleset_from_json(json_object_get(o, "plain"), &plain, &quiet);

	r = r ?: zt_ruleset_from_json(json_object_get(o, "real"), &real, &quiet);
	zt_diags_done(&quiet);
	if (r || !plain || !real || !zt_mark_mask_valid(mask) || next < 0 || next > UINT32_MAX) {
		zt_ruleset_free(plain);
		zt_ruleset_free(real);
		return r == -ENOMEM ? r : -EINVAL;
	}
	r = nft_marks_of(plain, real, json_is_true(json_object_get(o, "pairs")), (uint32_t)mask, &m);
	r = r ?: numbers_in(json_object_get(o, "numbers"), m);
	if (r < 0)
		return r;
	m->next = (uint32_t)next;
	*ret = ZT_TAKE(m);
	return 0;
}

int nft_marks_parse(const char *text, size_t len, struct nft_marks **ret)
{
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	int r = o ? marks_in(o, ret) : -EINVAL;

	json_decref(o);
	return r;
}
