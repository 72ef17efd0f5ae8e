/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * One thing that happened on this host, whatever told it: the record that sources fill, the journal stores and sinks print. Its fields are the
 * table schema.def, its kinds the table activity.def; what a field is called in JSON is its name there.
 *
 * Texts come from processes that may be hostile. zt_activity_text() is the only way into a record: what is stored is printable UTF-8 in
 * one line, every other byte as \xNN, so that no sink has to think of it again.
 */
#include "base/net.h"
#include "base/strbuf.h"
#include "base/time.h"

enum zt_activity_kind {
#define ZT_ACTIVITY(id, name, ecs, ocsf, doc) ZT_ACTIVITY_##id,
#include "event/activity.def"
#undef ZT_ACTIVITY
	ZT_ACTIVITY_KINDS,
};

enum zt_field_type {
	ZT_TYPE_TIME,
	ZT_TYPE_KIND,
	ZT_TYPE_U64,
	ZT_TYPE_U32,
	ZT_TYPE_U16,
	ZT_TYPE_PROTO,
	ZT_TYPE_ADDR,
	ZT_TYPE_TEXT
};

enum zt_field {
#define ZT_FIELD(type, name, ecs, ocsf, doc) ZT_FIELD_##name,
#include "event/schema.def"
#undef ZT_FIELD
	ZT_FIELDS,
};
_Static_assert(ZT_FIELDS <= 64, "fields are bits");

typedef zt_usec zt_field_TIME;
typedef enum zt_activity_kind zt_field_KIND;
typedef uint64_t zt_field_U64;
typedef uint32_t zt_field_U32;
typedef uint16_t zt_field_U16;
typedef uint8_t zt_field_PROTO;
typedef struct zt_addr zt_field_ADDR;
typedef char zt_field_T16[16], zt_field_T64[64], zt_field_T80[80], zt_field_T128[128], zt_field_T256[256],
	zt_field_T512[512];

struct zt_activity {
	uint64_t has; /* bit 1 << ZT_FIELD_x: x is set. time and kind always are */
#define ZT_FIELD(type, name, ecs, ocsf, doc) zt_field_##type name;
#include "event/schema.def"
#undef ZT_FIELD
};
static inline bool zt_activity_has(const struct zt_activity *a, enum zt_field f)
{
	return a->has >> f & 1;
}
/* a->field = value, and says that it is set. Not for texts. */
#define zt_activity_set(a, field, value) ((a)->field = (value), (a)->has |= UINT64_C(1) << ZT_FIELD_##field)
void zt_activity_addr(struct zt_activity *a, enum zt_field f,
		      const struct zt_addr *v); /* one without a family is not set */
/* s up to its NUL, at most len bytes; an empty one is not set. Truncated between characters. */
#define zt_activity_text(a, field, s, len) zt_activity_text_((a), ZT_FIELD_##field, (s), (len))
void zt_activity_text_(struct zt_activity *a, enum zt_field f, const char *s, size_t len);
void zt_activity_init(struct zt_activity *a, enum zt_activity_kind kind, zt_usec time); /* nothing else is set */

/* ---- the tables ---- */
struct zt_field_info {
	const char *name, *ecs, *ocsf, *doc;
	enum zt_field_type type;
	size_t offset, size;
};
const struct zt_field_info *zt_field_info(enum zt_field f);
int zt_field_find(const char *name); /* number, or -ENOENT */
struct zt_activity_info {
	const char *name, *category, *doc; /* category: of ECS */
	unsigned ocsf_class;
};
const struct zt_activity_info *zt_activity_info(enum zt_activity_kind kind);
int zt_activity_find(const char *name); /* kind, or -ENOENT */
int zt_activity_loss(const struct zt_activity *a,
		     uint64_t *ret_count); /* of one of kind lost: which kind, or -ENOENT, and how many */

/* ---- forms ---- */
/* One field as text: "10.0.0.1", "tcp", "2024-12-27T10:00:00.123456Z", "42". "" when it is not set. */
void zt_activity_value(const struct zt_activity *a, enum zt_field f, struct zt_strbuf *out);
void zt_activity_json(const struct zt_activity *a, struct zt_strbuf *out); /* one line without newline */
/* -EINVAL: not the JSON of an activity; unknown members are an error. */
int zt_activity_from_json(const char *text, size_t len, struct zt_activity *ret);
/* The compact form that the journal stores: fields as (number, value), little endian. unpack: -EBADMSG, never reads past len. */
void zt_activity_pack(const struct zt_activity *a, struct zt_strbuf *out);
void zt_activity_pack_fields(const struct zt_activity *a, uint64_t fields, struct zt_strbuf *out); /* only these bits */
int zt_activity_unpack(const void *data, size_t len, struct zt_activity *ret);
