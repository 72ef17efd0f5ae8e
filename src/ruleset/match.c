/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "ruleset/ruleset.h"

void zt_match_done(struct zt_match *m)
{
	for (size_t i = 0; i < m->n_cgroups; i++)
		free(m->cgroups[i].path);
	free(m->cgroups);
	zt_u32_ranges_done(&m->uid);
	zt_u32_ranges_done(&m->gid);
	zt_u32_ranges_done(&m->proto);
	zt_u32_ranges_done(&m->port);
	zt_addr_ranges_done(&m->src4);
	zt_addr_ranges_done(&m->src6);
	zt_addr_ranges_done(&m->dst4);
	zt_addr_ranges_done(&m->dst6);
	zt_unix_names_done(&m->unix_names);
	*m = (struct zt_match){0};
}

/* ---- cgroups: a rule covers the named groups and all below them ---- */
static bool path_within(const char *outer, const char *inner)
{
	size_t len = strlen(outer);

	return !strncmp(outer, inner, len) && (!inner[len] || inner[len] == '/' || !len);
}

static bool cgroups_eq(const struct zt_match *a, const struct zt_match *b)
{
	if (a->n_cgroups != b->n_cgroups)
		return false;
	for (size_t i = 0; i < a->n_cgroups; i++)
		if (strcmp(a->cgroups[i].path, b->cgroups[i].path) != 0 || a->cgroups[i].id != b->cgroups[i].id)
			return false;
	return true;
}

static bool cgroups_overlap(const struct zt_match *a, const struct zt_match *b)
{
	if (!a->n_cgroups || !b->n_cgroups)
		return true;
	for (size_t i = 0; i < a->n_cgroups; i++)
		for (size_t k = 0; k < b->n_cgroups; k++)
			if (path_within(a->cgroups[i].path, b->cgroups[k].path) ||
			    path_within(b->cgroups[k].path, a->cgroups[i].path))
				return true;
	return false;
}

static bool cgroups_contain(const struct zt_match *outer, const struct zt_match *inner)
{
	if (!outer->n_cgroups)
		return true;
	if (!inner->n_cgroups)
		return false;
	for (size_t k = 0; k < inner->n_cgroups; k++) {
		bool found = false;

		for (size_t i = 0; i < outer->n_cgroups; i++)
			found = found || path_within(outer->cgroups[i].path, inner->cgroups[k].path);
		if (!found)
			return false;
	}
	return true;
}

/* ---- an empty list is everything ---- */
static bool numbers_overlap(const struct zt_u32_ranges *a, const struct zt_u32_ranges *b)
{
	return !a->n || !b->n || zt_u32_ranges_overlap(a, b);
}

static bool numbers_contain(const struct zt_u32_ranges *outer, const struct zt_u32_ranges *inner)
{
	return !outer->n || (inner->n && zt_u32_ranges_contain(outer, inner));
}

static bool addrs_overlap(const struct zt_addr_ranges *a, const struct zt_addr_ranges *b)
{
	return !a->n || !b->n || zt_addr_ranges_overlap(a, b);
}

static bool covers_family(const struct zt_addr_ranges *l)
{
	for (size_t i = 0; l->n == 1 && i < (l->v[0].lo.family == 4 ? 4u : 16u); i++)
		if (l->v[0].lo.b[i] || l->v[0].hi.b[i] != 0xff)
			return false;
	return l->n == 1;
}

static bool addrs_contain(const struct zt_addr_ranges *outer, const struct zt_addr_ranges *inner)
{
	return !outer->n || (inner->n && zt_addr_ranges_contain(outer, inner)) || (!inner->n && covers_family(outer));
}

bool zt_match_eq(const struct zt_match *a, const struct zt_match *b)
{
	return a->families == b->families && zt_u32_ranges_eq(&a->uid, &b->uid) && zt_u32_ranges_eq(&a->gid, &b->gid) &&
	       cgroups_eq(a, b) && zt_addr_ranges_eq(&a->src4, &b->src4) && zt_addr_ranges_eq(&a->src6, &b->src6) &&
	       zt_addr_ranges_eq(&a->dst4, &b->dst4) && zt_addr_ranges_eq(&a->dst6, &b->dst6) &&
	       zt_u32_ranges_eq(&a->proto, &b->proto) && zt_u32_ranges_eq(&a->port, &b->port) &&
	       zt_unix_names_eq(&a->unix_names, &b->unix_names) && zt_subject_eq(a->from, b->from) &&
	       zt_subject_eq(a->to, b->to);
}

bool zt_match_overlap(const struct zt_match *a, const struct zt_match *b)
{
	uint8_t both = a->families & b->families;

	if (!numbers_overlap(&a->uid, &b->uid) || !numbers_overlap(&a->port, &b->port) ||
	    !numbers_overlap(&a->proto, &b->proto) || !numbers_overlap(&a->gid, &b->gid) || !cgroups_overlap(a, b) ||
	    !zt_unix_names_overlap(&a->unix_names, &b->unix_names) || !zt_subject_overlap(a->from, b->from) ||
	    !zt_subject_overlap(a->to, b->to))
		return false;
	return (both & ZT_FAMILY_4 && addrs_overlap(&a->src4, &b->src4) && addrs_overlap(&a->dst4, &b->dst4)) ||
	       (both & ZT_FAMILY_6 && addrs_overlap(&a->src6, &b->src6) && addrs_overlap(&a->dst6, &b->dst6));
}

bool zt_match_contains(const struct zt_match *outer, const struct zt_match *inner)
{
	if ((outer->families & inner->families) != inner->families || !numbers_contain(&outer->uid, &inner->uid) ||
	    !numbers_contain(&outer->gid, &inner->gid) || !numbers_contain(&outer->proto, &inner->proto) ||
	    !numbers_contain(&outer->port, &inner->port) || !cgroups_contain(outer, inner) ||
	    !zt_unix_names_contain(&outer->unix_names, &inner->unix_names) ||
	    !zt_subject_contains(outer->from, inner->from) || !zt_subject_contains(outer->to, inner->to))
		return false;
	if (inner->families & ZT_FAMILY_4 &&
	    !(addrs_contain(&outer->src4, &inner->src4) && addrs_contain(&outer->dst4, &inner->dst4)))
		return false;
	return !(inner->families & ZT_FAMILY_6) ||
	       (addrs_contain(&outer->src6, &inner->src6) && addrs_contain(&outer->dst6, &inner->dst6));
}
