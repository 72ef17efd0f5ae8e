/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Inside the room: subjects and names in the ruleset's JSON, and the pieces that the files about it share. -EINVAL: not what it should be. */
#include <jansson.h>

#include "ruleset/ruleset.h"

json_t *zt_subjects_to_json(const struct zt_ruleset *rs); /* an array by index; NULL on ENOMEM */
int zt_subjects_from_json(const json_t *a, struct zt_ruleset *rs);
int zt_subject_at(const json_t *o, const char *key, const struct zt_ruleset *rs, const struct zt_subject **ret);

json_t *zt_accounts_to_json(const struct zt_ruleset *rs); /* NULL on ENOMEM */
int zt_accounts_from_json(const json_t *a, struct zt_ruleset *rs);

json_t *zt_json_numbers(const struct zt_u32_ranges *l);
json_t *zt_json_cgroups(const struct zt_cgroup *v, size_t n);
int zt_json_put_list(json_t *o, const char *key, json_t *value); /* takes value; an empty list is left out */
int zt_json_numbers_in(const json_t *a, uint32_t max, struct zt_u32_ranges *ret);
int zt_json_cgroups_in(const json_t *a, struct zt_cgroup **ret, size_t *ret_n);

/* What jsonread.c puts together anew: everything but the rules; rules after it, at the end of rs; what makes it whole, or tells. */
int zt_ruleset_head_in(const json_t *j, struct zt_ruleset *rs);
int zt_ruleset_rules_in(const json_t *rules, struct zt_ruleset *rs);
int zt_ruleset_rule_in(json_t *o, struct zt_ruleset *rs);
int zt_ruleset_in_done(int e, struct zt_ruleset **rs, struct zt_ruleset **ret,
		       struct zt_diags *d); /* takes *rs on success */
