/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ruleset/json_subject.h"

#include <string.h>

#include "base/mem.h"

static json_t *exes_out(const struct zt_exe *v, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < n; i++)
		if (json_array_append_new(a, json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:b}", "path", v[i].path, "dev",
						       (json_int_t)v[i].id.dev, "ino", (json_int_t)v[i].id.ino,
						       "ctime_sec", (json_int_t)v[i].id.ctime_sec, "ctime_nsec",
						       (json_int_t)v[i].id.ctime_nsec, "sha256", v[i].digest, "pinned",
						       v[i].pinned)) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

static json_t *subject_out(const struct zt_subject *s)
{
	json_t *o = json_pack("{s:s}", "text", s->text);
	int e = o ? 0 : -ENOMEM;

	e = e ?: zt_json_put_list(o, "uid", zt_json_numbers(&s->uid)) ?: zt_json_put_list(o, "gid", zt_json_numbers(&s->gid));
	e = e ?: zt_json_put_list(o, "cgroup", zt_json_cgroups(s->cgroups, s->n_cgroups));
	e = e ?: zt_json_put_list(o, "exe", exes_out(s->exes, s->n_exes)) ?: zt_json_put_list(o, "parent", exes_out(s->parents, s->n_parents));
	if (e < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

json_t *zt_subjects_to_json(const struct zt_ruleset *rs)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < rs->n_subjects; i++)
		if (json_array_append_new(a, subject_out(rs->subjects[i])) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

/* ---- back ---- */
static int exe_in(const json_t *o, struct zt_exe *e)
{
	const char *path = json_string_value(json_object_get(o, "path")),
		   *digest = json_string_value(json_object_get(o, "sha256"));
	json_int_t nsec = json_integer_value(json_object_get(o, "ctime_nsec"));

	if (!path || path[0] != '/' || !digest || (strlen(digest) != 64 && digest[0]) || nsec < 0 || nsec >= 1000000000)
		return -EINVAL;
	e->id = (struct zt_file_id){.dev = (uint64_t)json_integer_value(json_object_get(o, "dev")),
				    .ino = (uint64_t)json_integer_value(json_object_get(o, "ino")),
				    .ctime_sec = json_integer_value(json_object_get(o, "ctime_sec")),
				    .ctime_nsec = (uint32_t)nsec};
	memcpy(e->digest, digest, strlen(digest) + 1);
	e->pinned = json_is_true(json_object_get(o, "pinned"));
	e->path = zt_strdup(path);
	return e->path ? 0 : -ENOMEM;
}

static int exes_in(const json_t *a, struct zt_exe **ret, size_t *ret_n)
{
	size_t n = json_array_size(a);
	int r = 0;

	if (n && !(*ret = zt_new(struct zt_exe, n)))
		return -ENOMEM;
	for (size_t i = 0; !r && i < n; i++) {
		r = exe_in(json_array_get(a, i), &(*ret)[i]);
		*ret_n = i + 1;
	}
	return r;
}

static int subject_in(const json_t *o, struct zt_subject *s)
{
	const char *text = json_string_value(json_object_get(o, "text"));

	if (!text)
		return -EINVAL;
	s->text = zt_strdup(text);
	return (s->text ? 0 : -ENOMEM) ?: zt_json_numbers_in(json_object_get(o, "uid"), UINT32_MAX, &s->uid) ?:
	       zt_json_numbers_in(json_object_get(o, "gid"), UINT32_MAX, &s->gid) ?:
	       zt_json_cgroups_in(json_object_get(o, "cgroup"), &s->cgroups, &s->n_cgroups) ?:
	       exes_in(json_object_get(o, "exe"), &s->exes, &s->n_exes) ?:
	       exes_in(json_object_get(o, "parent"), &s->parents, &s->n_parents);
}

int zt_subjects_from_json(const json_t *a, struct zt_ruleset *rs)
{
	int r = 0;

	if (json_array_size(a) > ZT_SUBJECTS_MAX)
		return -EINVAL;
	for (size_t i = 0; !r && i < json_array_size(a); i++) {
		ZT_CLEANUP(zt_subject_done) struct zt_subject s = {0};
		const struct zt_subject *mine;

		r = subject_in(json_array_get(a, i), &s) ?: zt_ruleset_subject(rs, &s, &mine);
		if (!r && mine->index != i) /* one stands there twice */
			r = -EINVAL;
	}
	return r;
}

int zt_subject_at(const json_t *o, const char *key, const struct zt_ruleset *rs, const struct zt_subject **ret)
{
	const json_t *v = json_object_get(o, key);
	json_int_t i = json_integer_value(v);

	if (!v)
		return 0;
	if (!json_is_integer(v) || i < 0 || (size_t)i >= rs->n_subjects)
		return -EINVAL;
	*ret = rs->subjects[i];
	return 0;
}

/* ---- names ---- */
json_t *zt_accounts_to_json(const struct zt_ruleset *rs)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < rs->n_accounts; i++) {
		const struct zt_account_name *n = &rs->accounts[i];

		if (json_array_append_new(a, json_pack("{s:s, s:I}", n->group ? "group" : "user", n->name, "id",
						       (json_int_t)n->id)) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

int zt_accounts_from_json(const json_t *a, struct zt_ruleset *rs)
{
	size_t n = json_array_size(a);

	if (n && !(rs->accounts = zt_new(struct zt_account_name, n)))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const json_t *o = json_array_get(a, i);
		const char *user = json_string_value(json_object_get(o, "user")),
			   *group = json_string_value(json_object_get(o, "group"));
		json_int_t id = json_integer_value(json_object_get(o, "id"));

		if (!user == !group || id < 0 || id > UINT32_MAX)
			return -EINVAL;
		rs->accounts[i] = (struct zt_account_name){zt_strdup(user ?: group), (uint32_t)id, group != NULL};
		if (!rs->accounts[i].name)
			return -ENOMEM;
		rs->n_accounts = i + 1;
	}
	return 0;
}
