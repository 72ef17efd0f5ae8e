/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "event/activity.h"

enum {
	TYPE_TIME = ZT_TYPE_TIME,
	TYPE_KIND = ZT_TYPE_KIND,
	TYPE_U64 = ZT_TYPE_U64,
	TYPE_U32 = ZT_TYPE_U32,
	TYPE_U16 = ZT_TYPE_U16,
	TYPE_PROTO = ZT_TYPE_PROTO,
	TYPE_ADDR = ZT_TYPE_ADDR,
	TYPE_T16 = ZT_TYPE_TEXT,
	TYPE_T64 = ZT_TYPE_TEXT,
	TYPE_T80 = ZT_TYPE_TEXT,
	TYPE_T128 = ZT_TYPE_TEXT,
	TYPE_T256 = ZT_TYPE_TEXT,
	TYPE_T512 = ZT_TYPE_TEXT,
};

static const struct zt_field_info fields[ZT_FIELDS] = {
#define ZT_FIELD(t, n, e, o, d)                     \
	{.name = #n,                                \
	 .ecs = (e),                                \
	 .ocsf = (o),                               \
	 .doc = (d),                                \
	 .type = (enum zt_field_type)TYPE_##t,      \
	 .offset = offsetof(struct zt_activity, n), \
	 .size = sizeof(((struct zt_activity *)0)->n)},
#include "event/schema.def"
#undef ZT_FIELD
};

static const struct zt_activity_info kinds[ZT_ACTIVITY_KINDS] = {
#define ZT_ACTIVITY(id, n, e, o, d) {.name = (n), .category = (e), .doc = (d), .ocsf_class = (o)},
#include "event/activity.def"
#undef ZT_ACTIVITY
};

const struct zt_field_info *zt_field_info(enum zt_field f)
{
	return &fields[f];
}

int zt_field_find(const char *name)
{
	for (int i = 0; i < ZT_FIELDS; i++)
		if (!strcmp(fields[i].name, name))
			return i;
	return -ENOENT;
}

const struct zt_activity_info *zt_activity_info(enum zt_activity_kind kind)
{
	return &kinds[kind];
}

int zt_activity_find(const char *name)
{
	for (int i = 0; i < ZT_ACTIVITY_KINDS; i++)
		if (!strcmp(kinds[i].name, name))
			return i;
	return -ENOENT;
}

int zt_activity_loss(const struct zt_activity *a, uint64_t *ret_count)
{
	bool of = a->kind == ZT_ACTIVITY_LOST && zt_activity_has(a, ZT_FIELD_detail);

	*ret_count = zt_activity_has(a, ZT_FIELD_count) ? a->count : 1;
	return of ? zt_activity_find(a->detail) : -ENOENT;
}

void zt_activity_init(struct zt_activity *a, enum zt_activity_kind kind, zt_usec time)
{
	a->has = 0;
	zt_activity_set(a, kind, kind);
	zt_activity_set(a, time, time);
}

void zt_activity_addr(struct zt_activity *a, enum zt_field f, const struct zt_addr *v)
{
	if (!v->family || fields[f].type != ZT_TYPE_ADDR)
		return;
	memcpy((char *)a + fields[f].offset, v, sizeof(*v));
	a->has |= UINT64_C(1) << f;
}

/* ---- texts ---- */
/* Bytes of the printable character at s, 0 when there is none: control characters (C1, marks of direction, line separators too). */
static size_t printable(const unsigned char *s, size_t len)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t c;

	if (n == 1)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (n > len || !zt_utf8_valid((const char *)s, n))
		return 0;
	c = n == 2 ? s[0] & 0x1fU : n == 3 ? s[0] & 0xfU : s[0] & 7U;
	for (size_t i = 1; i < n; i++)
		c = c << 6 | (s[i] & 0x3fU);
	if (c < 0xa0 || c == 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	    (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff0 && c <= 0xfffb) || c >= 0xe0000)
		return 0;
	return n;
}

/* As nearly all are. */
static size_t plain(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n] >= 0x20 && s[n] < 0x7f)
		n++;
	return n;
}

/* What does not fit is cut, and that shows: what is in front can be chosen so that the rest does not fit. */
void zt_activity_text_(struct zt_activity *a, enum zt_field f, const char *s, size_t len)
{
	static const char more[] = "...";
	char *out = (char *)a + fields[f].offset;
	size_t room = fields[f].size - 1, used = 0, fits, i;

	if (fields[f].type != ZT_TYPE_TEXT || !s)
		return;
	len = strnlen(s, len);
	used = i = plain(s, ZT_MIN(len, room));
	fits = ZT_MIN(used, room - strlen(more)); /* with the sign behind it */
	memcpy(out, s, used);
	while (i < len) {
		size_t n = printable((const unsigned char *)s + i, len - i), want = n ? n : 4;

		if (used + want > room) {
			memcpy(out + fits, more, strlen(more));
			used = fits + strlen(more);
			break;
		}
		if (n)
			memcpy(out + used, s + i, n);
		else
			(void)snprintf(out + used, 5, "\\x%02x", (unsigned char)s[i]);
		used += want;
		i += n ? n : 1;
		if (used <= room - strlen(more))
			fits = used;
	}
	out[used] = '\0';
	if (used)
		a->has |= UINT64_C(1) << f;
}

/* ---- forms ---- */
static void time_text(zt_usec t, struct zt_strbuf *out)
{
	char b[32];

	zt_time_format(t, b); /* "2024-12-27T10:00:00Z" */
	zt_strbuf_printf(out, "%.*s.%06uZ", (int)strlen(b) - 1, b, (unsigned)(t % ZT_USEC_PER_SEC));
}

static void proto_text(uint8_t proto, struct zt_strbuf *out)
{
	const char *name = zt_proto_name(proto);

	if (name)
		zt_strbuf_str(out, name);
	else
		zt_strbuf_u64(out, proto);
}

static bool is_number(enum zt_field_type t)
{
	return t == ZT_TYPE_U64 || t == ZT_TYPE_U32 || t == ZT_TYPE_U16;
}

static uint64_t number(const struct zt_activity *a, enum zt_field f)
{
	const char *p = (const char *)a + fields[f].offset;
	uint64_t v = 0;

	memcpy(&v, p, fields[f].size); /* little endian is checked below */
	return v;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "number() and the packed form");

void zt_activity_value(const struct zt_activity *a, enum zt_field f, struct zt_strbuf *out)
{
	const char *p = (const char *)a + fields[f].offset;
	char addr[64];

	if (!zt_activity_has(a, f))
		return;
	switch (fields[f].type) {
	case ZT_TYPE_TIME:
		time_text(a->time, out);
		break;
	case ZT_TYPE_KIND:
		zt_strbuf_str(out, kinds[a->kind].name);
		break;
	case ZT_TYPE_U64:
	case ZT_TYPE_U32:
	case ZT_TYPE_U16:
		zt_strbuf_u64(out, number(a, f));
		break;
	case ZT_TYPE_PROTO:
		proto_text((uint8_t)*p, out);
		break;
	case ZT_TYPE_ADDR:
		zt_addr_format((const struct zt_addr *)p, addr);
		zt_strbuf_str(out, addr);
		break;
	case ZT_TYPE_TEXT:
		zt_strbuf_str(out, p);
		break;
	}
}

void zt_activity_json(const struct zt_activity *a, struct zt_strbuf *out)
{
	for (enum zt_field f = 0; f < ZT_FIELDS; f++) {
		if (!zt_activity_has(a, f))
			continue;
		zt_strbuf_printf(out, "%c\"%s\":", f ? ',' : '{', fields[f].name);
		if (is_number(fields[f].type)) {
			zt_strbuf_u64(out, number(a, f));
		} else if (fields[f].type == ZT_TYPE_TEXT) {
			zt_strbuf_json(out, (const char *)a + fields[f].offset);
		} else { /* times, names of kinds and protocols, addresses: nothing to escape */
			zt_strbuf_char(out, '"');
			zt_activity_value(a, f, out);
			zt_strbuf_char(out, '"');
		}
	}
	zt_strbuf_char(out, '}');
}
