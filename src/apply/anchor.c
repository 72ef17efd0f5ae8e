/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a generation was decided on, by the clock of the wall and by one that nobody sets: what expires does so in time, whatever becomes of the first. */
#include <string.h>

#include "apply/state.h"

void zt_anchor_take(struct zt_anchor *ret)
{
	*ret = (struct zt_anchor){.wall = zt_now(), .boot = zt_now_boottime()};
	zt_boot_id(ret->boot_id);
}

json_t *zt_anchor_json(const struct zt_anchor *a)
{
	return json_pack("{s:I, s:I, s:s}", "wall", (json_int_t)a->wall, "boot", (json_int_t)a->boot, "boot_id",
			 a->boot_id);
}

int zt_generation_anchor(const struct zt_apply_ctx *c, uint64_t n, struct zt_anchor *ret)
{
	json_t *meta = NULL, *clock;
	int r = zt_generation_meta(c, n, &meta);

	clock = r ? NULL : json_object_get(meta, "clock");
	if (clock) {
		*ret = (struct zt_anchor){.wall = (zt_usec)json_integer_value(json_object_get(clock, "wall")),
					  .boot = (zt_usec)json_integer_value(json_object_get(clock, "boot"))};
		(void)snprintf(ret->boot_id, sizeof(ret->boot_id), "%s",
			       json_string_value(json_object_get(clock, "boot_id")) ?: "");
	}
	json_decref(meta);
	return r ?: clock ? 0 : -ENODATA;
}

zt_usec zt_expiry_now(const struct zt_apply_ctx *c, uint64_t n)
{
	zt_usec now = zt_now(), boot = zt_now_boottime();
	struct zt_anchor a;
	char id[40];

	if (zt_generation_anchor(c, n, &a) < 0) /* written by a version that had none */
		return now;
	zt_boot_id(id);
	return ZT_MAX(now, a.wall + (!strcmp(id, a.boot_id) && boot > a.boot ? boot - a.boot : 0));
}
