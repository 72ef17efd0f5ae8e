/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "apply/state.h"
#include "base/mem.h"

void zt_history_free(struct zt_generation *g, size_t n)
{
	for (size_t i = 0; g && i < n; i++) {
		free(g[i].who);
		free(g[i].from);
		free(g[i].hash);
		free(g[i].engine);
		free(g[i].summary);
		free(g[i].state);
	}
	free(g);
}

static char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return zt_strdup(s ? s : "");
}

static char *summary_of(const json_t *j)
{
	const char *summary = json_string_value(json_object_get(j, "summary")),
		   *reason = json_string_value(json_object_get(j, "reason"));

	return zt_asprintf("%s%s%s%s", summary ? summary : "", reason && *reason ? " (" : "", reason ? reason : "",
			   reason && *reason ? ")" : "");
}

static int read_one(const struct zt_apply_ctx *c, uint64_t n, uint64_t current, bool flushed, struct zt_generation *g)
{
	json_t *j = NULL;
	bool broken = zt_generation_meta(c, n, &j) < 0 || zt_generation_check(c, n, NULL) < 0;

	*g = (struct zt_generation){.number = n, .corrupt = broken, .current = n == current && !flushed};
	g->when = (zt_usec)json_integer_value(json_object_get(j, "when"));
	g->who = text_of(j, "who");
	g->from = text_of(j, "from");
	g->hash = text_of(j, "hash");
	g->engine = text_of(j, "engine");
	g->summary = summary_of(j);
	g->state = broken ? zt_strdup("corrupt") : n == current && flushed ? zt_strdup("flushed") : text_of(j, "state");
	json_decref(j);
	return g->who && g->from && g->hash && g->engine && g->summary && g->state ? 0 : -ENOMEM;
}

int zt_history(const struct zt_apply_ctx *c, struct zt_generation **ret, size_t *ret_n, struct zt_diags *d)
{
	ZT_FREE uint64_t *v = NULL;
	struct zt_generation *g;
	uint64_t current = 0;
	bool flushed = false;
	size_t n = 0;
	int r = zt_generations(c, &v, &n);

	if (r < 0)
		return zt_diag_errno(d, 4010, r, "cannot read %s", c->state_dir);
	(void)zt_state_current(c, &current, &flushed); /* none: 0 */
	g = zt_new(struct zt_generation, n + 1);
	for (size_t i = 0; g && !r && i < n; i++)
		r = read_one(c, v[n - 1 - i], current, flushed, &g[i]);
	if (!g || r < 0) {
		zt_history_free(g, n);
		return -ENOMEM;
	}
	*ret = g;
	*ret_n = n;
	return 0;
}

int zt_history_verify(const struct zt_apply_ctx *c, size_t *ret_entries, struct zt_diags *d)
{
	ZT_FREE uint64_t *v = NULL;
	size_t n = 0, errors = d->errors;
	int r = zt_audit_verify(c, ret_entries, d) ?: zt_generations(c, &v, &n);

	for (size_t i = 0; i < n; i++)
		(void)zt_generation_check(c, v[i], d); /* findings are in d */
	return r ? r : d->errors > errors ? -EUCLEAN : 0;
}
