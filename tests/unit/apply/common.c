/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include <dirent.h>

void room_open(struct room *r)
{
	*r = (struct room){0};
	/* Memory where there is some: the many fsync() of a transaction cost nothing there. */
	(void)snprintf(r->dir, sizeof(r->dir), "%s/zt-apply-test-XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(r->state, sizeof(r->state), "%s/state", r->dir);
	{
		ZT_FREE char *kernel = zt_asprintf("%s/kernel", r->dir);

		assert_int_equal(setenv("ZT_MEMORY_KERNEL", kernel, 1), 0);
	}
	assert_int_equal(setenv("ZT_TEST", "1", 1), 0);
	assert_int_equal(setenv("ZT_TEST_ALLOW_INITIAL_NETNS", "1", 1), 0); /* the memory engine touches no namespace */
	assert_int_equal(unsetenv("SSH_CONNECTION"), 0);
	r->ctx = (struct zt_apply_ctx){
		.engine = &zt_engine_memory, .instance = "default", .state_dir = r->state, .netns = "/none"};
}

void room_close(struct room *r)
{
	room_forget(r);
	assert_int_equal(zt_remove_tree(r->dir), 0);
}

void room_forget(struct room *r)
{
	zt_diags_done(&r->d);
	r->d = (struct zt_diags){0};
}

char *room_path(const struct room *r, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_printf(&b, "%s/", r->state);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	return zt_strbuf_steal(&b);
}

bool room_said(const struct room *r, unsigned code)
{
	for (size_t i = 0; i < r->d.n; i++)
		if (r->d.items[i].code == code)
			return true;
	return false;
}

char *make_text(unsigned uid)
{
	return zt_asprintf(
		"version: \"1.0\"\nrules:\n  - {name: only, from: {uid: %u}, to: {host: 192.0.2.1, port: 443, protocol: tcp}, "
		"action: allow}\n",
		uid);
}

struct zt_ruleset *make_rules(const struct room *r, unsigned uid)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges ssh = {0};
	struct zt_compile_options o = {.instance = r->ctx.instance, .ssh_ports = &ssh};
	ZT_FREE char *text = make_text(uid);
	struct zt_ruleset *rs = NULL;

	assert_int_equal(zt_policy_parse("test.yaml", text, strlen(text),
					 &(struct zt_policy_options){.allow_unsafe_file = true}, &p, NULL),
			 0);
	assert_int_equal(zt_ssh_ports(NULL, &ssh), 0);
	assert_int_equal(zt_ruleset_compile(p, &o, &rs, NULL), 0);
	return rs;
}

int apply_uid(struct room *r, unsigned uid, const struct zt_apply_options *o, struct zt_apply_result *ret)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = make_rules(r, uid);
	ZT_FREE char *text = make_text(uid);

	return zt_apply(&r->ctx, rs, text, strlen(text), o, ret, &r->d);
}

void must_apply(struct room *r, unsigned uid)
{
	struct zt_apply_result result = {0};
	int e = apply_uid(r, uid, &(struct zt_apply_options){0}, &result);

	if (e < 0)
		zt_diags_print(&r->d, stderr, false);
	assert_int_equal(e, 0);
	assert_int_equal(result.outcome, ZT_APPLY_APPLIED);
	assert_int_equal(enforced_uid(r), uid);
}

unsigned enforced_uid(const struct room *r)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int e = r->ctx.engine->raise(r->ctx.instance, &rs, NULL);

	if (e == -ENOENT)
		return 0;
	assert_int_equal(e, 0);
	if (rs->n_rules && !strncmp(rs->rules[0].id, "emergency", 9))
		return EMERGENCY;
	assert_int_equal(rs->n_rules, 1);
	assert_int_equal(rs->rules[0].match.uid.n, 1);
	return rs->rules[0].match.uid.v[0].lo;
}

uint64_t enforced_generation(const struct room *r)
{
	uint64_t generation = 0;
	char hash[65];

	assert_int_equal(r->ctx.engine->identify(r->ctx.instance, &generation, hash), 0);
	return generation;
}

static void assert_no_temporary(const struct room *r, const char *folder)
{
	ZT_FREE char *path = room_path(r, "%s", folder);
	DIR *dir = opendir(path);
	const struct dirent *e;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		if (strstr(e->d_name, ".tmp")) {
			print_error("left behind: %s\n", e->d_name);
			fail();
		}
	(void)closedir(dir);
}

static void assert_states(const struct room *r)
{
	ZT_FREE uint64_t *v = NULL;
	uint64_t current = 0;
	bool flushed = false;
	size_t n = 0;

	assert_int_equal(zt_generations(&r->ctx, &v, &n), 0);
	(void)zt_state_current(&r->ctx, &current, &flushed);
	for (size_t i = 0; i < n; i++) {
		ZT_FREE char *folder = zt_asprintf("generations/%llu", (unsigned long long)v[i]);
		json_t *meta = NULL;

		assert_no_temporary(r, folder);
		assert_int_equal(zt_generation_meta(&r->ctx, v[i], &meta), 0);
		assert_string_not_equal(json_string_value(json_object_get(meta, "state")), "pending");
		if (v[i] == current)
			assert_string_equal(json_string_value(json_object_get(meta, "state")), "confirmed");
		json_decref(meta);
	}
}

void assert_settled(struct room *r)
{
	ZT_FREE char *pending = room_path(r, "pending"), *backup = room_path(r, "backup");
	struct zt_drift drift = {0};
	size_t entries = 0;
	int e;

	assert_false(zt_path_exists(pending));
	assert_false(zt_path_exists(backup));
	assert_no_temporary(r, "");
	assert_no_temporary(r, "generations");
	assert_states(r);
	room_forget(r);
	e = zt_history_verify(&r->ctx, &entries, &r->d);
	if (e < 0)
		zt_diags_print(&r->d, stderr, false);
	assert_int_equal(e, 0);
	assert_int_equal(zt_drift_check(&r->ctx, &drift, &r->d), 0);
	for (size_t i = 0; i < drift.n_notes; i++)
		print_error("drift: %s\n", drift.notes[i]);
	assert_false(drift.drifted);
	zt_drift_done(&drift);
}

char *states(const struct room *r)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	ZT_FREE uint64_t *v = NULL;
	size_t n = 0;

	assert_int_equal(zt_generations(&r->ctx, &v, &n), 0);
	for (size_t i = 0; i < n; i++) {
		json_t *meta = NULL;

		assert_int_equal(zt_generation_meta(&r->ctx, v[i], &meta), 0);
		zt_strbuf_printf(&b, "%s%llu:%s", i ? " " : "", (unsigned long long)v[i],
				 json_string_value(json_object_get(meta, "state")));
		json_decref(meta);
	}
	return zt_strbuf_steal(&b);
}

char *slurp(const struct room *r, const char *name, size_t *ret_len)
{
	ZT_FREE char *path = room_path(r, "%s", name);
	char *text = NULL;

	assert_int_equal(zt_file_read(path, (size_t)1 << 24, &text, ret_len), 0);
	return text;
}

void spit(const struct room *r, const char *name, const char *data, size_t len)
{
	ZT_FREE char *path = room_path(r, "%s", name);

	assert_int_equal(zt_file_write_atomic(path, data, len, 0600), 0);
}
