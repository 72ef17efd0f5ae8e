/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "apply/state.h"
#include "base/mem.h"

/* The policy of last resort: the host reaches its network, names and time, SSH reaches the host, local services reach each other. */
static const char emergency[] =
	"version: \"1.0\"\n"
	"settings: {default_policy: deny, loopback: allow}\n"
	"rules:\n"
	"  - {name: emergency-dns, from: {user: \"*\"}, to: {port: 53, protocol: both}, action: allow}\n"
	"  - {name: emergency-dhcp, from: {user: \"*\"}, to: {port: [67, 547], protocol: udp}, action: allow}\n"
	"  - {name: emergency-dhcp-answers, direction: ingress, from: {host: any}, to: {port: [68, 546], protocol: udp}, action: allow}\n"
	"  - {name: emergency-time, from: {user: \"*\"}, to: {port: 123, protocol: udp}, action: allow}\n";

static int load_emergency(const struct zt_apply_ctx *c, struct zt_diags *d)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges ssh = {0};
	struct zt_compile_options o = {.instance = c->instance, .ssh_ports = &ssh};
	struct zt_image *img = NULL;
	bool changed;
	int r = zt_policy_parse("emergency", emergency, strlen(emergency),
				&(struct zt_policy_options){.allow_unsafe_file = true}, &p, d);

	r = r ?: zt_ssh_ports(NULL, &ssh);
	r = r ?: zt_ruleset_compile(p, &o, &rs, d);
	r = r ?: c->engine->lower(rs, &img, d);
	r = r ?: c->engine->commit(img, &changed, d);
	if (img)
		c->engine->image_free(img);
	return r;
}

/* Is the generation's policy content to go without its rules about Unix sockets where they cannot be enforced? */
static bool content_without_unix(const struct zt_ruleset *rs, const char *source, size_t len)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	const struct zt_policy_options o = {.allow_unsafe_file = true, .recorded = true, .no_resolve = true};
	bool any = false;

	for (size_t i = 0; i < rs->n_rules; i++)
		any = any || rs->rules[i].dir == ZT_DIR_UNIX;
	return any && zt_policy_parse(rs->policy_name ?: "policy", source, len, &o, &p, NULL) == 0 &&
	       p->settings.unix_sockets == ZT_UNIX_WHERE_POSSIBLE;
}

/* The rest of a policy is worth more than an older one, when the kernel that booted has no LSM layer. 1: nothing of this is the case. */
static int load_without_unix(const struct zt_apply_ctx *c, const struct zt_engine *e, uint64_t n, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_FREE char *source = NULL, *text = NULL;
	const char *why = "";
	json_t *j = NULL;
	size_t len = 0;
	int r;

	if (!e->unix_sockets || e->unix_sockets(c->instance, &why) == 0)
		return 1;
	r = zt_generation_load(c, n, &rs, &source, &len, d);
	if (r || !content_without_unix(rs, source, len))
		return r ?: 1;
	rs->generation = 0; /* it is none of the record: refresh makes it one */
	r = zt_ruleset_drop_unix(rs) ?: zt_ruleset_to_json(rs, &j);
	text = r ? NULL : json_dumps(j, JSON_COMPACT);
	json_decref(j);
	if (!text)
		return r ?: -ENOMEM;
	(void)zt_diag(d, ZT_WARNING, 2120, NULL, "rules about Unix sockets are not enforced: %s", why);
	zt_diag_hint(d, "the rest of generation %llu is; `zt-segment refresh` makes that the policy",
		     (unsigned long long)n);
	return e->load_text(c->instance, text, strlen(text), d);
}

/* By the engine that made its text. */
static int load_generation(const struct zt_apply_ctx *c, uint64_t n, struct zt_diags *d)
{
	const struct zt_engine *engine = NULL;
	ZT_FREE char *bytes = NULL;
	json_t *meta = NULL;
	size_t len = 0;
	int r = zt_generation_check(c, n, d) ?: zt_generation_meta(c, n, &meta);

	if (!r)
		engine = zt_engine_by_name(json_string_value(json_object_get(meta, "engine")) ?: "");
	json_decref(meta);
	engine = engine ?: c->engine;
	r = r ?: load_without_unix(c, engine, n, d);
	if (r > 0)
		r = zt_generation_image(c, n, &bytes, &len) ?: engine->load_text(c->instance, bytes, len, d);
	return r;
}

/* Confirmed generations, the current one first, then backwards. */
static bool was_confirmed(const struct zt_apply_ctx *c, uint64_t n, uint64_t current)
{
	json_t *meta = NULL;
	bool yes = n == current;

	if (!yes && zt_generation_meta(c, n, &meta) == 0)
		yes = !strcmp(json_string_value(json_object_get(meta, "state")) ?: "", "confirmed");
	json_decref(meta);
	return yes && n <= current;
}

static void drop_pending(const struct zt_apply_ctx *c, uint64_t current)
{
	struct zt_pending p;

	if (zt_pending_read(c, &p) == 0 && p.generation != current)
		(void)zt_generation_set_state(c, p.generation,
					      "rolled-back"); /* it is not current: that is what counts */
	(void)zt_pending_clear(c);
}

static int restore_locked(const struct zt_apply_ctx *c, uint64_t *ret_generation, struct zt_diags *d)
{
	ZT_FREE uint64_t *v = NULL;
	uint64_t current = 0;
	bool flushed = false, damaged = true;
	size_t n = 0;
	int r = zt_generations(c, &v, &n), state = zt_state_current(c, &current, &flushed);

	if (!r && (flushed || (state == -ENOENT && !n)))
		return -ENOENT;
	if (state < 0)
		current = n ? v[n - 1] : 0; /* the record is lost: the newest that was ever confirmed */
	drop_pending(c, current);
	for (size_t i = n; i-- > 0;) {
		if (!was_confirmed(c, v[i], state < 0 ? UINT64_MAX : current))
			continue;
		r = load_generation(c, v[i], d);
		damaged = damaged && r == -EUCLEAN;
		if (r < 0)
			continue;
		*ret_generation = v[i];
		/* Else the next boot falls back once more. What only could not be loaded now is tried again by refresh. */
		if (v[i] != current && damaged)
			(void)zt_state_set_current(c, v[i], false);
		(void)zt_audit(c, "restore", v[i], NULL,
			       v[i] == current ? "" : "fallback: a newer generation is damaged", NULL);
		return 0;
	}
	r = load_emergency(c, d);
	*ret_generation = 0;
	(void)zt_audit(c, "restore", 0, NULL, "emergency policy", NULL);
	return r;
}

int zt_restore(const struct zt_apply_ctx *c, uint64_t *ret_generation, struct zt_diags *d)
{
	ZT_CLOSE int lock = -1;
	int r = zt_apply_guard(d);

	if (r < 0)
		return r;
	/* A state folder that cannot be used is no reason to boot open. */
	if (zt_state_prepare(c, d) < 0 || zt_state_lock(c, 10 * ZT_USEC_PER_SEC, &lock, d) < 0) {
		*ret_generation = 0;
		return load_emergency(c, d);
	}
	r = restore_locked(c, ret_generation, d);
	zt_state_sweep(c);
	return r;
}
