/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stored and read-in forms of an activity: the packed record of the journal, and JSON back to a record. */
#include <jansson.h>
#include <string.h>

#include "event/activity.h"

static void *field_at(struct zt_activity *a, enum zt_field f)
{
	return (char *)a + zt_field_info(f)->offset;
}

static const void *field_of(const struct zt_activity *a, enum zt_field f)
{
	return (const char *)a + zt_field_info(f)->offset;
}

/* ---- packed: (number, value); numbers and lengths LEB128 ---- */
static uint8_t *put_number(uint8_t *at, uint64_t v)
{
	while (v >= 0x80) {
		*at++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*at++ = (uint8_t)v;
	return at;
}

static uint8_t *put_bytes(uint8_t *at, const void *data, size_t len)
{
	memcpy(at, data, len);
	return at + len;
}

static uint8_t *put_address(uint8_t *at, const struct zt_addr *a)
{
	*at++ = a->family;
	return put_bytes(at, a->b, a->family == 4 ? 4 : 16);
}

void zt_activity_pack(const struct zt_activity *a, struct zt_strbuf *out)
{
	zt_activity_pack_fields(a, UINT64_MAX, out);
}

enum { NUMBER_MAX = 10 }; /* bytes */

/* Every event of the journal passes here. */
void zt_activity_pack_fields(const struct zt_activity *a, uint64_t fields, struct zt_strbuf *out)
{
	uint8_t packed[sizeof(*a) + ZT_FIELDS * (1 + NUMBER_MAX)], *at = packed;

	for (uint64_t left = a->has & fields; left; left &= left - 1) {
		enum zt_field f = (enum zt_field)__builtin_ctzll(left);
		const struct zt_field_info *info = zt_field_info(f);
		uint64_t v = 0;

		*at++ = (uint8_t)f;
		if (info->type == ZT_TYPE_TEXT) {
			const char *s = field_of(a, f);
			size_t len = strlen(s);

			at = put_bytes(put_number(at, len), s, len);
		} else if (info->type == ZT_TYPE_ADDR) {
			at = put_address(at, field_of(a, f));
		} else {
			memcpy(&v, field_of(a, f), info->size);
			at = put_number(at, v);
		}
	}
	zt_strbuf_add(out, packed, (size_t)(at - packed));
}

struct reader {
	const uint8_t *at, *end;
};

static int get_number(struct reader *r, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
		uint8_t c = *r->at++;

		if (shift == 63 && c > 1)
			return -EBADMSG;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c & 0x80)
			continue;
		*ret = v;
		return v <= max ? 0 : -EBADMSG;
	}
	return -EBADMSG;
}

static int get_text(struct reader *r, struct zt_activity *a, enum zt_field f)
{
	uint64_t len;
	int e = get_number(r, (uint64_t)(r->end - r->at), &len);

	if (e || len > (uint64_t)(r->end - r->at) || len >= zt_field_info(f)->size)
		return -EBADMSG;
	zt_activity_text_(a, f, (const char *)r->at, (size_t)len);
	r->at += len;
	return 0;
}

static int get_address(struct reader *r, struct zt_addr *a)
{
	size_t n;

	if (r->at == r->end || (*r->at != 4 && *r->at != 6))
		return -EBADMSG;
	n = *r->at == 4 ? 4 : 16;
	if ((size_t)(r->end - r->at) < n + 1)
		return -EBADMSG;
	*a = (struct zt_addr){.family = *r->at++};
	memcpy(a->b, r->at, n);
	r->at += n;
	return 0;
}

static uint64_t largest(const struct zt_field_info *info)
{
	if (info->type == ZT_TYPE_KIND)
		return ZT_ACTIVITY_KINDS - 1;
	return info->size == 8 ? UINT64_MAX : (UINT64_C(1) << info->size * 8) - 1;
}

int zt_activity_unpack(const void *data, size_t len, struct zt_activity *ret)
{
	struct reader r = {data, (const uint8_t *)data + len};
	int e = 0;

	ret->has = 0;
	while (!e && r.at < r.end) {
		enum zt_field f = *r.at++;
		uint64_t v = 0;

		if (f >= ZT_FIELDS || zt_activity_has(ret, f))
			return -EBADMSG;
		if (zt_field_info(f)->type == ZT_TYPE_TEXT) {
			e = get_text(&r, ret, f);
			continue;
		}
		if (zt_field_info(f)->type == ZT_TYPE_ADDR)
			e = get_address(&r, field_at(ret, f));
		else if (!(e = get_number(&r, largest(zt_field_info(f)), &v)))
			memcpy(field_at(ret, f), &v, zt_field_info(f)->size);
		ret->has |= UINT64_C(1) << f;
	}
	return e || (ret->has & 3) != 3 ? -EBADMSG : 0;
}

/* ---- JSON ---- */
/* zt_time_parse() knows whole seconds: the fraction is taken out. */
static int parse_time(const char *s, zt_usec *ret)
{
	const char *dot = strchr(s, '.');
	char whole[64];
	uint64_t usec = 0;
	unsigned scale = 100000;
	size_t head = dot ? (size_t)(dot - s) : 0, tail;

	if (!dot)
		return zt_time_parse(s, ret);
	for (tail = head + 1; s[tail] >= '0' && s[tail] <= '9'; tail++, scale /= 10)
		usec += scale * (uint64_t)(s[tail] - '0');
	if (tail == head + 1 || strlen(s) >= sizeof(whole))
		return -EINVAL;
	memcpy(whole, s, head);
	memcpy(whole + head, s + tail, strlen(s + tail) + 1);
	if (zt_time_parse(whole, ret) < 0)
		return -EINVAL;
	*ret += usec;
	return 0;
}

static int from_text(struct zt_activity *a, enum zt_field f, const char *s, size_t len)
{
	int kind;

	switch (zt_field_info(f)->type) {
	case ZT_TYPE_TEXT:
		if (strlen(s) != len || len >= zt_field_info(f)->size)
			return -EINVAL;
		zt_activity_text_(a, f, s, len);
		return 0;
	case ZT_TYPE_TIME:
		return parse_time(s, &a->time);
	case ZT_TYPE_KIND:
		kind = zt_activity_find(s);
		a->kind = kind < 0 ? 0 : (enum zt_activity_kind)kind;
		return kind < 0 ? -EINVAL : 0;
	case ZT_TYPE_PROTO:
		return zt_proto_parse(s, field_at(a, f));
	case ZT_TYPE_ADDR:
		return zt_addr_parse(s, field_at(a, f));
	case ZT_TYPE_U64:
	case ZT_TYPE_U32:
	case ZT_TYPE_U16:
		break;
	}
	return -EINVAL;
}

static int from_member(struct zt_activity *a, enum zt_field f, const json_t *v)
{
	const struct zt_field_info *info = zt_field_info(f);
	json_int_t n = json_integer_value(v);
	int r = 0;

	if (json_is_string(v))
		r = from_text(a, f, json_string_value(v), json_string_length(v));
	else if (!json_is_integer(v) || info->type > ZT_TYPE_U16 || info->type < ZT_TYPE_U64 || n < 0 ||
		 (uint64_t)n > largest(info))
		r = -EINVAL;
	else
		memcpy(field_at(a, f), &n, info->size);
	if (!r && info->type != ZT_TYPE_TEXT) /* texts say so themselves */
		a->has |= UINT64_C(1) << f;
	return r;
}

int zt_activity_from_json(const char *text, size_t len, struct zt_activity *ret)
{
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *key;
	json_t *v;
	int r = json_is_object(j) ? 0 : -EINVAL;

	ret->has = 0;
	json_object_foreach (j, key, v) {
		int f = zt_field_find(key);

		r = r ?: f < 0 ? -EINVAL : from_member(ret, (enum zt_field)f, v);
	}
	json_decref(j);
	return r ?: (ret->has & 3) != 3 ? -EINVAL : 0;
}
