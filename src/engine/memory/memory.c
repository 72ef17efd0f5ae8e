/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/memory/memory.h"

#include <jansson.h>
#include <string.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"

#define KERNEL_MAX ((size_t)512 << 20)
#define INDENTED (JSON_INDENT(1) | JSON_SORT_KEYS)

struct zt_image {
	struct zt_ruleset *rs;
};

static json_t *local_kernel; /* the state when no file is named */

static void json_freep(json_t **j)
{
	json_decref(*j);
}
#define JSON_REF ZT_CLEANUP(json_freep)

/* ---- the document ---- */
static const char *kernel_path(void)
{
	const char *path = getenv("ZT_MEMORY_KERNEL");

	return path && *path ? path : NULL;
}

static int kernel_new(json_t **ret)
{
	*ret = json_pack("{s:{}, s:[]}", "instances", "foreign");
	return *ret ? 0 : -ENOMEM;
}

static int kernel_read(json_t **ret)
{
	const char *path = kernel_path();
	ZT_FREE char *text = NULL;
	size_t len = 0;
	int r;

	if (!path && local_kernel) {
		*ret = json_deep_copy(local_kernel);
		return *ret ? 0 : -ENOMEM;
	}
	r = path ? zt_file_read(path, KERNEL_MAX, &text, &len) : -ENOENT;
	if (r == -ENOENT || (!r && !len))
		return kernel_new(ret);
	if (r < 0)
		return r;
	*ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	return *ret ? 0 : -EUCLEAN;
}

static int kernel_write(json_t *kernel)
{
	const char *path = kernel_path();
	char *text;
	int r;

	if (!path) {
		json_decref(local_kernel);
		local_kernel = json_incref(kernel);
		return 0;
	}
	text = json_dumps(kernel, INDENTED);
	if (!text)
		return -ENOMEM;
	r = zt_file_write_atomic(path, text, strlen(text), 0600);
	free(text);
	return r;
}

static json_t *instance_get(json_t *kernel, const char *instance)
{
	return json_object_get(json_object_get(kernel, "instances"), instance ? instance : "default");
}

static int instance_put(json_t *kernel, const char *instance, json_t *value)
{
	return json_object_set(json_object_get(kernel, "instances"), instance ? instance : "default", value) < 0
		       ? -ENOMEM
		       : 0;
}

void zt_memory_reset(void)
{
	json_decref(local_kernel);
	local_kernel = NULL;
}

/* ---- image ---- */
static void image_free(struct zt_image *img)
{
	if (!img)
		return;
	zt_ruleset_free(img->rs);
	free(img);
}

static void image_freep(struct zt_image **img)
{
	image_free(*img);
}

static int lower(const struct zt_ruleset *rs, struct zt_image **ret, struct zt_diags *d)
{
	ZT_CLEANUP(image_freep) struct zt_image *img = zt_new(struct zt_image, 1);
	int r = img ? zt_ruleset_dup(rs, &img->rs) : -ENOMEM;

	(void)d; /* there is nothing that it cannot express */
	if (!r)
		*ret = ZT_TAKE(img);
	return r;
}

static int ruleset_text(const struct zt_ruleset *rs, struct zt_strbuf *out)
{
	JSON_REF json_t *j = NULL;
	int r = zt_ruleset_to_json(rs, &j);
	char *text = r < 0 ? NULL : json_dumps(j, INDENTED);

	if (r < 0 || !text)
		return r < 0 ? r : -ENOMEM;
	zt_strbuf_str(out, text);
	zt_strbuf_char(out, '\n');
	free(text);
	return zt_strbuf_error(out);
}

static int image_text(const struct zt_image *img, struct zt_strbuf *out)
{
	return ruleset_text(img->rs, out);
}

static int text_parse(const char *text, size_t len, struct zt_ruleset **ret, struct zt_diags *d)
{
	json_error_t e;
	JSON_REF json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);

	if (!j)
		return zt_diag(d, ZT_ERROR, 3301, NULL, "not a ruleset: line %d: %s", e.line, e.text);
	return zt_ruleset_from_json(j, ret, d);
}

static int same_bytes(const struct zt_ruleset *a, const struct zt_ruleset *b)
{
	ZT_STRBUF struct zt_strbuf x = {0}, y = {0};
	int r = zt_ruleset_canonical(a, &x);

	if (!r)
		r = zt_ruleset_canonical(b, &y);
	return r ? r : x.len == y.len && !memcmp(x.buf, y.buf, x.len);
}

static int check(const struct zt_image *img, struct zt_diags *d)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *back = NULL;
	int r = zt_fault_step("memory: check");

	if (!r)
		r = ruleset_text(img->rs, &text);
	if (!r)
		r = text_parse(text.buf, text.len, &back, d);
	if (!r)
		r = same_bytes(img->rs, back);
	if (!r)
		return zt_diag(d, ZT_ERROR, 3301, NULL, "the ruleset does not survive being written and read");
	return r < 0 ? r : 0;
}

/* ---- swap ---- */
static const struct zt_rule *find_equal(const struct zt_ruleset *rs, const struct zt_rule *rule)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		if (zt_rule_eq(&rs->rules[i], rule))
			return &rs->rules[i];
	return NULL;
}

static void count_key(const char *id, uint32_t part, char buf[static 96])
{
	(void)snprintf(buf, 96, "%s#%u", id, part); /* ids have at most 64 bytes */
}

/* Counters of rules that stay as they are go into the new state. Only rules that counted something are looked at. */
static int carry_counters(const json_t *old, const struct zt_ruleset *rs, json_t *counters)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *before = NULL;
	json_t *from = json_object_get(old, "counters");
	int r;

	if (!json_object_size(from))
		return 0;
	r = zt_ruleset_from_json(json_object_get(old, "ruleset"), &before, NULL);
	for (size_t i = 0; !r && i < rs->n_rules; i++) {
		const struct zt_rule *rule = &rs->rules[i];
		char key[96];
		json_t *count;

		count_key(rule->id, rule->part, key);
		count = json_object_get(from, key);
		if (count && find_equal(before, rule) && json_object_set(counters, key, count) < 0)
			r = -ENOMEM;
	}
	return r == -ENOMEM ? r : 0; /* an unreadable old state has no counters */
}

static bool unix_unseen;

void zt_memory_set_unix(bool seen)
{
	unix_unseen = !seen;
}

static bool unix_refused(const struct zt_ruleset *rs)
{
	bool any = false;

	for (size_t i = 0; i < rs->n_rules; i++)
		any = any || rs->rules[i].dir == ZT_DIR_UNIX;
	return any && unix_unseen;
}

static int swap(const struct zt_ruleset *rs, const char *instance, bool carry, bool *ret_changed)
{
	JSON_REF json_t *kernel = NULL, *ruleset = NULL, *state = NULL, *counters = json_object();
	json_t *old;
	int r = !counters ? -ENOMEM : unix_refused(rs) ? -ENOTSUP : kernel_read(&kernel);

	if (!r)
		r = zt_ruleset_to_json(rs, &ruleset);
	if (r < 0)
		return r;
	old = instance_get(kernel, instance);
	if (carry && old && !json_object_get(old, "damage") && json_equal(json_object_get(old, "ruleset"), ruleset)) {
		*ret_changed = false;
		return 0;
	}
	if (carry)
		r = carry_counters(old, rs, counters);
	state = r ? NULL : json_pack("{s:O, s:O}", "ruleset", ruleset, "counters", counters);
	if (!r)
		r = state ? instance_put(kernel, instance, state) : -ENOMEM;
	if (!r)
		r = zt_fault_step("memory: swap");
	if (!r)
		r = kernel_write(kernel);
	if (!r)
		*ret_changed = true;
	return r;
}

static int commit(const struct zt_image *img, bool *ret_changed, struct zt_diags *d)
{
	int r = zt_fault_step("memory: commit");

	if (!r)
		r = swap(img->rs, img->rs->instance, true, ret_changed);
	return r < 0 ? zt_diag_errno(d, 3302, r, "cannot write the kernel in memory") : 0;
}

static int load_text(const char *instance, const char *text, size_t len, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	bool changed;
	int r = zt_fault_step("memory: load text");

	if (!r)
		r = text_parse(text, len, &rs, d);
	if (!r)
		r = rs ? swap(rs, instance, false, &changed)
		       : -EBADMSG; /* a text without rules is parsed to an empty set */
	return r < 0 ? zt_diag_errno(d, 3302, r, "cannot load the text") : 0;
}

/* ---- reading back ---- */
static int read_instance(const char *instance, json_t **ret_kernel, json_t **ret_state)
{
	int r = kernel_read(ret_kernel);

	if (r < 0)
		return r;
	*ret_state = instance_get(*ret_kernel, instance);
	return *ret_state ? 0 : -ENOENT;
}

static int raise_ruleset(const char *instance, struct zt_ruleset **ret, struct zt_diags *d)
{
	JSON_REF json_t *kernel = NULL;
	json_t *state, *damage;
	int r = read_instance(instance, &kernel, &state);

	if (r < 0)
		return r;
	damage = json_object_get(state, "damage");
	if (damage) {
		(void)zt_diag(d, ZT_ERROR, 3301, NULL, "%s", json_string_value(damage));
		return -EUCLEAN;
	}
	r = zt_ruleset_from_json(json_object_get(state, "ruleset"), ret, d);
	return r == -ENOMEM || r >= 0 ? r : -EUCLEAN;
}

static int identify(const char *instance, uint64_t *ret_generation, char ret_hash[static 65])
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int r = raise_ruleset(instance, &rs, NULL);

	if (r < 0)
		return r;
	*ret_generation = rs->generation;
	memcpy(ret_hash, rs->hash, 65);
	return 0;
}

static int counters(const struct zt_ruleset *rs, struct zt_counters *ret)
{
	JSON_REF json_t *kernel = NULL;
	struct zt_count *rule;
	json_t *state;
	int r = read_instance(rs->instance, &kernel, &state);

	if (r < 0)
		return r;
	rule = zt_new(struct zt_count, rs->n_rules + 1);
	if (!rule)
		return -ENOMEM;
	for (size_t i = 0; i < rs->n_rules; i++) {
		char key[96];
		json_t *count;

		count_key(rs->rules[i].id, rs->rules[i].part, key);
		count = json_object_get(json_object_get(state, "counters"), key);
		rule[i].packets = (uint64_t)json_integer_value(json_array_get(count, 0));
		rule[i].bytes = (uint64_t)json_integer_value(json_array_get(count, 1));
	}
	*ret = (struct zt_counters){.rule = rule, .n_rules = rs->n_rules};
	return 0;
}

static int flush(const char *instance, struct zt_diags *d)
{
	JSON_REF json_t *kernel = NULL;
	int r = zt_fault_step("memory: flush");

	if (!r)
		r = kernel_read(&kernel);
	if (r == -EUCLEAN) /* flush works on any broken state */
		r = kernel_new(&kernel);
	if (!r)
		(void)json_object_del(json_object_get(kernel, "instances"),
				      instance ? instance : "default"); /* may be absent */
	if (!r)
		r = kernel_write(kernel);
	return r < 0 ? zt_diag_errno(d, 3302, r, "cannot write the kernel in memory") : 0;
}

static int foreign(const char *instance, struct zt_foreign **ret, size_t *ret_n)
{
	JSON_REF json_t *kernel = NULL;
	struct zt_foreign *v;
	json_t *list;
	size_t n;
	int r = kernel_read(&kernel);

	(void)instance;
	if (r < 0)
		return r;
	list = json_object_get(kernel, "foreign");
	n = json_array_size(list);
	v = zt_new(struct zt_foreign, n + 1);
	for (size_t i = 0; v && !r && i < n; i++) {
		const char *family = json_string_value(json_array_get(json_array_get(list, i), 0));
		const char *name = json_string_value(json_array_get(json_array_get(list, i), 1));

		v[i].family = zt_strdup(family ? family : "");
		v[i].name = zt_strdup(name ? name : "");
		r = v[i].family && v[i].name ? 0 : -ENOMEM;
	}
	if (!v || r) {
		zt_foreign_free(v, n);
		return -ENOMEM;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

static int probe(const char *instance, struct zt_caps *ret)
{
	(void)instance;
	ret->usable = true;
	return zt_caps_gap(ret, "everything", "the memory engine is for tests and enforces nothing");
}

/* ---- for tests ---- */
int zt_memory_set_count(const char *instance, const char *id, uint32_t part, const struct zt_count *c)
{
	JSON_REF json_t *kernel = NULL;
	json_t *state, *pair = json_pack("[I, I]", (json_int_t)c->packets, (json_int_t)c->bytes);
	char key[96];
	int r = read_instance(instance, &kernel, &state);

	count_key(id, part, key);
	if (r < 0) {
		json_decref(pair);
		return r;
	}
	return json_object_set_new(json_object_get(state, "counters"), key, pair) < 0 ? -ENOMEM : kernel_write(kernel);
}

int zt_memory_set_damage(const char *instance, const char *message)
{
	JSON_REF json_t *kernel = NULL;
	json_t *state;
	int r = read_instance(instance, &kernel, &state);

	if (r < 0)
		return r;
	if (!message)
		(void)json_object_del(state, "damage"); /* may be absent */
	else if (json_object_set_new(state, "damage", json_string(message)) < 0)
		return -ENOMEM;
	return kernel_write(kernel);
}

int zt_memory_add_foreign(const char *family, const char *name)
{
	JSON_REF json_t *kernel = NULL;
	int r = kernel_read(&kernel);

	if (!r && json_array_append_new(json_object_get(kernel, "foreign"), json_pack("[s, s]", family, name)) < 0)
		r = -ENOMEM;
	return r ? r : kernel_write(kernel);
}

static int unix_sockets(const char *instance, const char **ret_why)
{
	(void)instance;
	*ret_why = unix_unseen ? "a test took that away" : "";
	return unix_unseen ? -ENOTSUP : 0;
}

const struct zt_engine zt_engine_memory = {
	.name = "memory",
	.unix_sockets = unix_sockets,
	.labels = true,
	.probe = probe,
	.lower = lower,
	.image_free = image_free,
	.image_text = image_text,
	.check = check,
	.commit = commit,
	.load_text = load_text,
	.raise = raise_ruleset,
	.identify = identify,
	.counters = counters,
	.flush = flush,
	.foreign = foreign,
};
