/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/request.h"

#include <jansson.h>
#include <string.h>

const struct zt_request_info zt_requests[ZT_REQUESTS] = {
#define ZT_REQUEST(id, n, r, d) [ZT_REQUEST_##id] = {.name = n, .role = ZT_ROLE_##r, .doc = d},
#include "daemon/requests.def"
#undef ZT_REQUEST
};

static int refuse(const char **ret_error, const char *text)
{
	*ret_error = text;
	return -EINVAL;
}

static int find(const char *name, enum zt_request *ret)
{
	for (size_t i = 0; i < ZT_REQUESTS; i++)
		if (!strcmp(zt_requests[i].name, name)) {
			*ret = (enum zt_request)i;
			return 0;
		}
	return -ENOENT;
}

#define OF(r) (1u << ZT_REQUEST_##r)
static const struct {
	const char *name;
	size_t offset;
	bool counts_from_one; /* 0 means that it is not given */
	unsigned of;	      /* requests that take it */
} members[] = {
	{"after", offsetof(struct zt_ask, after), false, OF(EVENTS) | OF(KERNEL) | OF(STATS)},
	{"since", offsetof(struct zt_ask, since), false, OF(EVENTS) | OF(STATS)},
	{"until", offsetof(struct zt_ask, until), false, OF(EVENTS)},
	{"kinds", offsetof(struct zt_ask, kinds), false, OF(EVENTS)},
	{"id", offsetof(struct zt_ask, id), false, OF(EVENTS) | OF(STATS)},
	{"newest", offsetof(struct zt_ask, newest), false, OF(EVENTS)},
	{"uid", offsetof(struct zt_ask, uid), true, OF(EVENTS)},
	{"pid", offsetof(struct zt_ask, pid), true, OF(EVENTS)},
	{"by", offsetof(struct zt_ask, by), false, OF(STATS)},
};

static bool take_member(struct zt_ask *a, const char *key, const json_t *v)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(members); i++)
		if (!strcmp(members[i].name, key) && json_is_integer(v) && json_integer_value(v) >= 0 &&
		    members[i].of >> a->what & 1) {
			*(uint64_t *)((char *)a + members[i].offset) = (uint64_t)json_integer_value(v) +
								       members[i].counts_from_one;
			return true;
		}
	return false;
}

static bool take_members(struct zt_ask *a, json_t *j)
{
	const char *key;
	json_t *v;

	json_object_foreach (j, key, v)
		if (strcmp(key, "request") != 0 && !take_member(a, key, v))
			return false;
	return true;
}

int zt_request_parse(const char *line, size_t len, struct zt_ask *ret, const char **ret_error)
{
	struct zt_ask a = {0};
	const char *name;
	json_t *j;
	int r = 0;

	if (len >= ZT_REQUEST_MAX)
		return refuse(ret_error, "the request is too long");
	j = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	name = json_string_value(json_object_get(j, "request"));
	if (!json_is_object(j))
		r = refuse(ret_error, "a request is a JSON object in one line");
	else if (!name)
		r = refuse(ret_error, "\"request\" is missing");
	else if (find(name, &a.what) < 0)
		r = refuse(ret_error, "unknown request");
	else if (!take_members(&a, j))
		r = refuse(ret_error, "unknown member");
	json_decref(j);
	if (!r)
		*ret = a;
	return r;
}
