/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>

#include "engine/engine.h"

#define DEFAULT_POLICY "default_policy"
#define LSM "lsm_refused"

static const struct {
	const char *group, *name; /* group NULL: at the top */
	size_t offset;
} counts[] = {
#define COUNT(name, field)                                      \
	{                                                       \
		NULL, name, offsetof(struct zt_counters, field) \
	}
	COUNT("established", established),
	COUNT("related", related),
	COUNT("link_essentials", essential),
	COUNT("loopback", loopback),
	COUNT("preserve_ssh", ssh),
	COUNT("invalid", invalid),
	COUNT("no_rules", no_rules),
	COUNT("no_memory", no_memory),
	COUNT("unknown", unknown),
	COUNT("logged", logged),
	COUNT("suppressed", suppressed),
	COUNT("raw_frames", raw_frames),
#undef COUNT
	{DEFAULT_POLICY, "egress", offsetof(struct zt_counters, dropped[0])},
	{DEFAULT_POLICY, "ingress", offsetof(struct zt_counters, dropped[1])},
	{DEFAULT_POLICY, "forward", offsetof(struct zt_counters, dropped[2])},
};

/* What fails is left out. */
json_t *zt_counters_json(const struct zt_counters *c)
{
	json_t *j = json_object(), *dropped = json_object(), *lsm = json_object();

	for (size_t i = 0; i < ZT_ARRAY_SIZE(counts); i++) {
		const struct zt_count *n = (const struct zt_count *)((const char *)c + counts[i].offset);

		(void)json_object_set_new(
			counts[i].group ? dropped : j, counts[i].name,
			json_pack("{s:I, s:I}", "packets", (json_int_t)n->packets, "bytes", (json_int_t)n->bytes));
	}
	for (int i = 0; i < ZT_LSM_KINDS; i++)
		(void)json_object_set_new(lsm, zt_lsm_kinds[i], json_integer((json_int_t)c->lsm[i]));
	(void)json_object_set_new(j, DEFAULT_POLICY, dropped);
	(void)json_object_set_new(j, LSM, lsm);
	return j;
}

static uint64_t number_of(const json_t *j, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(j, name));
}

void zt_counters_from_json(const json_t *j, struct zt_counters *ret)
{
	const json_t *lsm = json_object_get(j, LSM);

	for (size_t i = 0; i < ZT_ARRAY_SIZE(counts); i++) {
		const json_t *group = counts[i].group ? json_object_get(j, counts[i].group) : j;
		const json_t *n = json_object_get(group, counts[i].name);

		*(struct zt_count *)((char *)ret + counts[i].offset) =
			(struct zt_count){.packets = number_of(n, "packets"), .bytes = number_of(n, "bytes")};
	}
	for (int i = 0; i < ZT_LSM_KINDS; i++)
		ret->lsm[i] = number_of(lsm, zt_lsm_kinds[i]);
}
