/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "engine/bpf/bpf.h"

_Static_assert(sizeof(struct zt_bpf_set) == sizeof(struct zt_set_bits), "sets are copied");
_Static_assert((int)ZT_BPF_ALLOW == (int)ZT_ALLOW && (int)ZT_BPF_DROP == (int)ZT_DROP &&
		       (int)ZT_BPF_REJECT == (int)ZT_REJECT && (int)ZT_BPF_OBSERVE == (int)ZT_OBSERVE,
	       "verdicts are copied");
_Static_assert((int)ZT_BPF_LO_OBSERVE == (int)ZT_LOOPBACK_OBSERVE && (int)ZT_BPF_LO_ALLOW == (int)ZT_LOOPBACK_ALLOW,
	       "modes are copied");

static struct zt_bpf_set set_of(const struct zt_set_bits *s)
{
	struct zt_bpf_set out;

	memcpy(&out, s, sizeof(out));
	return out;
}

/* The same key twice (two names of one file): what either says. */
static int evidence_add(struct zt_image *img, const struct zt_bpf_evidence *k, const struct zt_set_bits *s)
{
	for (size_t i = img->n_evidence; k->kind >= ZT_BPF_E_CGROUP && i-- > 0;)
		if (!memcmp(&img->evidence[i].key, k, sizeof(*k))) {
			for (int w = 0; w < ZT_SET_WORDS; w++)
				img->evidence[i].set.w[w] |= s->w[w];
			return 0;
		}
	if (zt_grow(img->evidence, img->cap_evidence, img->n_evidence) < 0)
		return -ENOMEM;
	img->evidence[img->n_evidence++] = (struct bpf_evidence){*k, set_of(s)};
	return 0;
}

struct number_class {
	struct zt_image *img;
	uint32_t kind;
};

static int number_prefix(void *arg, bpf_u128 base, unsigned len, uint32_t id)
{
	struct number_class *c = arg;

	return bpf_add_lpm(c->img, c->kind, base, len, 32, id);
}

static int number_add(struct zt_image *img, uint32_t lpm, uint64_t kind, size_t i, const struct zt_u32_range *range,
		      const struct zt_set_bits *s)
{
	struct number_class c = {img, lpm};
	struct zt_bpf_evidence k = {.kind = kind, .a = i + 1};

	return bpf_range_prefixes(range->lo, range->hi, 32, number_prefix, &c, (uint32_t)i + 1)
		       ?: evidence_add(img, &k, s);
}

static int path_add(struct zt_image *img, const char *path, uint64_t kind, const struct zt_set_bits *set)
{
	struct zt_bpf_path_key k = {.path = "/"};
	struct bpf_path *p = NULL;

	if (strlen(path) + 2 > sizeof(k.path))
		return 0;
	memcpy(k.path + 1, path, strlen(path));
	for (size_t i = 0; !p && i < img->n_paths; i++)
		if (!strcmp(img->paths[i].key.path, k.path))
			p = &img->paths[i];
	if (!p && zt_grow(img->paths, img->cap_paths, img->n_paths) < 0)
		return -ENOMEM;
	if (!p) {
		p = &img->paths[img->n_paths++];
		*p = (struct bpf_path){.key = k};
	}
	p->value.kinds |= UINT64_C(1) << kind;
	*(kind == ZT_BPF_E_CGROUP ? &p->value.subjects : &p->value.rules) = set_of(set);
	return 0;
}

static int cgroups_add(struct zt_image *img, const struct zt_evidence *e, uint64_t kind)
{
	int r = 0;

	for (size_t i = 0; !r && i < e->n_cgroups; i++) {
		const struct zt_cgroup *cg = e->cgroups[i].cgroup;

		img->cfg->cgroup_depth = ZT_MAX(img->cfg->cgroup_depth, ZT_MIN(cg->level, (uint32_t)ZT_BPF_LEVELS));
		r = path_add(img, cg->path, kind, &e->cgroups[i].set);
		if (!r && cg->id)
			r = evidence_add(img, &(struct zt_bpf_evidence){.kind = kind, .a = cg->id}, &e->cgroups[i].set);
	}
	return r;
}

static int exes_add(struct zt_image *img, const struct zt_exe_class *v, size_t n, uint64_t kind)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++) {
		const struct zt_file_id *f = &v[i].exe->id;
		struct zt_bpf_evidence k = {
			.kind = kind, .a = f->ino, .b = f->dev, .c = (uint64_t)f->ctime_sec, .d = f->ctime_nsec};

		if (f->ino)
			r = evidence_add(img, &k, &v[i].set);
	}
	return r;
}

static int labels_add(struct zt_image *img, const struct zt_labels *l, uint64_t space)
{
	for (size_t i = 0; i < l->n; i++) {
		if (zt_grow(img->labels, img->cap_labels, img->n_labels) < 0)
			return -ENOMEM;
		img->labels[img->n_labels++] = (struct bpf_label){.key = {.space = space, .set = set_of(&l->sets[i])},
								  .label = (uint32_t)i + 1};
	}
	return 0;
}

static int lower_subjects(struct zt_image *img, struct zt_diags *d)
{
	ZT_CLEANUP(zt_evidence_done) struct zt_evidence e = {0};
	struct zt_bpf_config *cfg = img->cfg;
	int r = zt_labels_make(img->rs, &img->subjects, d) ?: zt_evidence_make(img->rs, &e);

	for (size_t i = 0; !r && i < e.n_uids; i++)
		r = number_add(img, ZT_BPF_UID_SET, ZT_BPF_E_UID, i, &e.uids[i].range, &e.uids[i].set);
	for (size_t i = 0; !r && i < e.n_groups; i++)
		r = number_add(img, ZT_BPF_GID_SET, ZT_BPF_E_GROUP, i, &e.groups[i].range, &e.groups[i].set);
	r = r ?: cgroups_add(img, &e, ZT_BPF_E_CGROUP) ?: exes_add(img, e.exes, e.n_exes, ZT_BPF_E_EXE);
	r = r ?: exes_add(img, e.parents, e.n_parents, ZT_BPF_E_PARENT) ?: labels_add(img, &img->subjects, ZT_BPF_L_SUBJECTS);
	cfg->flags |= ZT_BPF_HAS_SUBJECTS | (e.n_groups ? ZT_BPF_E_GROUPS_USED : 0) |
		      (e.n_cgroups ? ZT_BPF_E_CGROUPS_USED : 0) | (e.n_exes ? ZT_BPF_E_EXES_USED : 0) |
		      (e.n_parents ? ZT_BPF_E_PARENTS_USED : 0);
	cfg->group_other = set_of(&e.group_other);
	cfg->cgroup_other = set_of(&e.cgroup_other);
	cfg->exe_other = set_of(&e.exe_other);
	cfg->parent_other = set_of(&e.parent_other);
	return r;
}

/* ---- control groups of rules without a subject ---- */
static bool same_cgroups(const struct zt_subject *s, const struct zt_match *m)
{
	if (s->n_cgroups != m->n_cgroups)
		return false;
	for (size_t i = 0; i < s->n_cgroups; i++)
		if (strcmp(s->cgroups[i].path, m->cgroups[i].path) != 0)
			return false;
	return true;
}

uint32_t bpf_cgroup_subject(const struct zt_image *img, const struct zt_match *m)
{
	for (size_t i = 0; img->cgroup_rs && i < img->cgroup_rs->n_subjects; i++)
		if (same_cgroups(img->cgroup_rs->subjects[i], m))
			return (uint32_t)i;
	return UINT32_MAX;
}

static int cgroup_subject_add(struct zt_image *img, const struct zt_match *m)
{
	struct zt_subject s = {.text = (char[]){""}, .cgroups = m->cgroups, .n_cgroups = m->n_cgroups};
	const struct zt_subject *added;

	return zt_ruleset_subject(img->cgroup_rs, &s, &added);
}

static int lower_cgroups(struct zt_image *img, struct zt_diags *d)
{
	ZT_CLEANUP(zt_evidence_done) struct zt_evidence e = {0};
	int r = zt_ruleset_new(&img->cgroup_rs);

	for (size_t i = 0; !r && i < img->rs->n_rules; i++) {
		const struct zt_match *m = &img->rs->rules[i].match;

		if (!m->from && m->n_cgroups && bpf_cgroup_subject(img, m) == UINT32_MAX)
			r = cgroup_subject_add(img, m);
	}
	if (r == -E2BIG) {
		(void)zt_diag(d, ZT_ERROR, 3402, NULL, "rules name more than %d different lists of control groups",
			      ZT_SUBJECTS_MAX);
		zt_diag_hint(d, "name a common parent group instead of many");
	}
	if (r || !img->cgroup_rs->n_subjects)
		return r == -E2BIG ? -ENOTSUP : r;
	r = zt_labels_make(img->cgroup_rs, &img->cgroups, d) ?: zt_evidence_make(img->cgroup_rs, &e);
	return r ?: cgroups_add(img, &e, ZT_BPF_E_RULE_CGROUP) ?: labels_add(img, &img->cgroups, ZT_BPF_L_CGROUPS);
}

int bpf_lower_labels(struct zt_image *img, struct zt_diags *d)
{
	int r = img->rs->n_subjects ? lower_subjects(img, d) : 0;

	return r == -E2BIG ? -ENOTSUP : r ?: lower_cgroups(img, d);
}
