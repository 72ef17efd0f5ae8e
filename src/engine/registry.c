/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/engine.h"

static const struct zt_engine *const engines[] = {
	&zt_engine_nft,
	&zt_engine_bpf,
	&zt_engine_iptables,
	&zt_engine_memory,
};

static bool usable(const struct zt_engine *e)
{
	ZT_CLEANUP(zt_caps_done) struct zt_caps caps = {0};

	return e->usable ? e->usable() : e->probe("default", &caps) == 0 && caps.usable;
}

/* The memory engine enforces nothing: never chosen by itself. */
static const struct zt_engine *first_usable(void)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(engines); i++)
		if (engines[i] != &zt_engine_memory && usable(engines[i]))
			return engines[i];
	return NULL;
}

void zt_engine_passed_over(const struct zt_engine *e, struct zt_strbuf *out)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(engines) && engines[i] != e; i++) {
		ZT_CLEANUP(zt_caps_done) struct zt_caps caps = {0};
		int r = engines[i]->probe("default", &caps);

		if (r < 0 || !caps.usable)
			zt_strbuf_printf(out, "%s%s cannot be used: %s", out->len ? "; " : "", engines[i]->name,
					 r < 0		? strerror(-r)
					 : caps.why_not ? caps.why_not
							: "for no known reason");
	}
}

const struct zt_engine *zt_engine_active(const char *instance, const struct zt_engine *skip)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(engines); i++) {
		uint64_t generation;
		char hash[65];
		int r = engines[i] == skip || engines[i] == &zt_engine_memory
				? -ENOENT
				: engines[i]->identify(instance, &generation, hash);

		if (r == 0 || r == -EUCLEAN)
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
