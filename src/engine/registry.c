/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/engine.h"

static const struct zt_engine *const engines[] = {
	&zt_engine_nft,
	&zt_engine_bpf,
	&zt_engine_iptables,
	&zt_engine_memory,
};

/* The memory engine enforces nothing: never chosen by itself. */
static const struct zt_engine *first_usable(void)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(engines); i++) {
		struct zt_caps caps = {0};
		bool usable = engines[i] != &zt_engine_memory && engines[i]->probe("default", &caps) == 0 &&
			      caps.usable;

		zt_caps_done(&caps);
		if (usable)
			return engines[i];
	}
	return NULL;
}

const struct zt_engine *zt_engine_by_name(const char *name)
{
	if (!strcmp(name, "auto"))
		return first_usable();
	for (size_t i = 0; i < ZT_ARRAY_SIZE(engines); i++)
		if (!strcmp(engines[i]->name, name))
			return engines[i];
	return NULL;
}
