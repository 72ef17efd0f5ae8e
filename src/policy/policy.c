/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/policy.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "policy/load.h"

const char *zt_action_name(enum zt_action a)
{
	static const char *const names[] = {[ZT_ACTION_ALLOW] = "allow",
					    [ZT_ACTION_DENY] = "deny",
					    [ZT_ACTION_REJECT] = "reject",
					    [ZT_ACTION_OBSERVE] = "observe"};

	return names[a];
}

const char *zt_direction_name(enum zt_direction d)
{
	static const char *const names[] = {[ZT_DIR_EGRESS] = "egress",
					    [ZT_DIR_INGRESS] = "ingress",
					    [ZT_DIR_FORWARD] = "forward",
					    [ZT_DIR_UNIX] = "unix"};

	return names[d];
}

const char *zt_shown(const struct zt_node *node)
{
	static char buffers[4][132];
	static unsigned turn;
	ZT_STRBUF struct zt_strbuf b = {0};
	char *out = buffers[turn++ % 4];
	size_t cut = 128;

	zt_strbuf_escaped(&b, node->kind == ZT_NODE_SCALAR ? node->text : "",
			  node->kind == ZT_NODE_SCALAR ? node->n : 0);
	while (b.len > cut && (b.buf[cut] & 0xc0) == 0x80)
		cut--;
	(void)snprintf(out, sizeof(buffers[0]), "%.*s%s", (int)ZT_MIN(b.len, cut), zt_strbuf_cstr(&b),
		       b.len > cut ? "..." : "");
	return out;
}

char *zt_as_written(const struct zt_node *v)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	if (v->kind == ZT_NODE_SCALAR)
		return zt_strndup(v->text, v->n);
	for (const struct zt_node *i = v->first; i; i = i->next)
		zt_strbuf_printf(&b, "%s%s", i == v->first ? "" : ",", i->text);
	return zt_strbuf_steal(&b);
}

static bool names_programs(const struct zt_endpoint *e, bool receiver)
{
	for (size_t i = 0; i < e->n_whos; i++)
		if (e->whos[i].n_exes || e->whos[i].n_parents || (receiver && !e->whos[i].any))
			return true;
	return false;
}

bool zt_policy_needs_labels(const struct zt_policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (names_programs(&p->rules[i].from, false) || names_programs(&p->rules[i].to, true))
			return true;
	return false;
}

bool zt_policy_needs_unix(const struct zt_policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].dir == ZT_DIR_UNIX)
			return true;
	return false;
}

/* ---- stages ---- */
static int read_names(struct zt_load *l)
{
	int r = 0;

	for (size_t i = 0; i < l->n_sources && r != -ENOMEM; i++) {
		const struct zt_node *v = zt_field(&l->sources[i]->fields, ROOT, SETS);

		l->doc = &l->sources[i]->doc;
		if (v)
			r = zt_also(r, zt_sets_read(l, v));
		v = zt_field(&l->sources[i]->fields, ROOT, IDENTITIES);
		if (v)
			r = zt_also(r, zt_identities_read(l, v));
	}
	for (size_t i = 0; i < l->n_sources && r != -ENOMEM; i++) {
		const struct zt_node *v = zt_field(&l->sources[i]->fields, ROOT, IDENTITIES);

		l->doc = &l->sources[i]->doc;
		if (v)
			r = zt_also(r, zt_identities_resolve(l, v));
	}
	return r;
}

static int read_source(struct zt_load *l, struct zt_source *s);

static int read_key(struct zt_load *l, struct zt_source *s, const struct zt_node *key)
{
	const struct zt_fields *f = &s->fields;
	int r = 0;

	l->doc = &s->doc;
	if (key == zt_field_key(f, ROOT, RULES))
		return zt_rules_read(l, key->value);
	if (key == zt_field_key(f, ROOT, TESTS))
		return zt_tests_read(l, key->value);
	for (size_t i = 0; key == zt_field_key(f, ROOT, INCLUDE) && i < s->n_includes && r != -ENOMEM; i++)
		r = zt_also(r, read_source(l, s->includes[i]));
	return r;
}

/* In the order of the file: what is included stands where the include stands. */
static int read_source(struct zt_load *l, struct zt_source *s)
{
	const struct zt_node *key = s->doc.root && s->doc.root->kind == ZT_NODE_MAP ? s->doc.root->first : NULL;
	int r = 0;

	for (; key && r != -ENOMEM; key = key->next)
		r = zt_also(r, read_key(l, s, key));
	return r;
}

static void warn_unused_in(struct zt_load *l, const struct zt_source *s)
{
	const struct zt_node *sets = zt_field(&s->fields, ROOT, SETS),
			     *identities = zt_field(&s->fields, ROOT, IDENTITIES);

	l->doc = &s->doc;
	for (const struct zt_node *key = sets ? sets->first : NULL; key; key = key->next) {
		const struct zt_set *set = zt_strmap_get(&l->sets, key->text);

		if (set && !set->used)
			zt_warn(l, 1226, key, "no rule uses the set \"%s\"", zt_shown(key));
	}
	for (const struct zt_node *key = identities ? identities->first : NULL; key; key = key->next) {
		const struct zt_identity *id = zt_strmap_get(&l->identities, key->text);

		if (id && !id->used)
			zt_warn(l, 1227, key, "no rule uses the identity \"%s\"", zt_shown(key));
	}
}

static int load(struct zt_load *l, const char *name, const char *text, size_t len)
{
	const struct zt_node *settings;
	int r = text ? zt_sources_add_text(l, name, text, len) : zt_sources_load(l, name);

	if (!l->n_sources || r == -ENOMEM)
		return r;
	settings = zt_field(&l->sources[0]->fields, ROOT, SETTINGS);
	l->doc = &l->sources[0]->doc;
	if (settings)
		r = zt_also(r, zt_settings_read(l, settings));
	if (r != -ENOMEM)
		r = zt_also(r, read_names(l));
	if (r != -ENOMEM)
		r = zt_also(r, read_source(l, l->sources[0]));
	for (size_t i = 0; !r && i < l->n_sources; i++)
		warn_unused_in(l, l->sources[i]);
	return r;
}

static size_t file_place(const struct zt_policy *p, const char *file)
{
	size_t i = 0;

	while (file && i < p->n_files && strcmp(p->files[i], file) != 0)
		i++;
	return i;
}

/* As a reader goes through the files: by file, line and column. */
static int compare(const void *a, const void *b, void *arg)
{
	const struct zt_diag *x = a, *y = b;
	size_t fx = file_place(arg, x->span.file), fy = file_place(arg, y->span.file);

	if (fx != fy)
		return fx < fy ? -1 : 1;
	if (x->span.line != y->span.line)
		return x->span.line < y->span.line ? -1 : 1;
	return x->span.col < y->span.col ? -1 : x->span.col > y->span.col;
}

static void load_done(struct zt_load *l)
{
	for (size_t i = 0; i < l->hosts.cap; i++)
		if (l->hosts.v[i].key) {
			zt_addr_ranges_done(l->hosts.v[i].value);
			free(l->hosts.v[i].value);
		}
	for (size_t i = 0; i < l->services.cap; i++)
		free(l->services.v[i].value);
	zt_strmap_done(&l->hosts);
	zt_strmap_done(&l->services);
	zt_strmap_done(&l->rule_names);
	zt_sets_done(l);
	zt_identities_done(l);
	zt_names_done(&l->names);
	zt_sources_done(l);
}

static int run(const char *name, const char *text, size_t len, const struct zt_policy_options *o,
	       struct zt_policy **ret, struct zt_diags *d)
{
	static const struct zt_policy_options none;
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = zt_new(struct zt_policy, 1);
	ZT_CLEANUP(load_done) struct zt_load l = {.o = o ? o : &none, .d = d, .p = p, .now = zt_now()};
	size_t before = d ? d->n : 0;
	int r;

	if (!p || !(p->name = zt_strdup(name)))
		return -ENOMEM;
	r = zt_settings_init(&p->settings) ?: load(&l, name, text, len);
	if (d && d->n > before + 1)
		qsort_r(d->items + before, d->n - before, sizeof(*d->items), compare, p);
	if (r)
		return r;
	r = zt_sources_join(&l, p);
	if (r)
		return r;
	*ret = ZT_TAKE(p);
	return 0;
}

int zt_policy_load(const char *path, const struct zt_policy_options *o, struct zt_policy **ret, struct zt_diags *d)
{
	return run(path, NULL, 0, o, ret, d);
}

int zt_policy_parse(const char *name, const char *text, size_t len, const struct zt_policy_options *o,
		    struct zt_policy **ret, struct zt_diags *d)
{
	return run(name, text ? text : "", text ? len : 0, o, ret, d);
}
