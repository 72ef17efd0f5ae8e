/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "event/journal_parts.h"

static size_t put_number(uint8_t *out, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		out[n++] = (uint8_t)(v | 0x80);
	out[n++] = (uint8_t)v;
	return n;
}

static int get_number(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
		uint8_t c = *(*at)++;

		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return 0;
		}
	}
	return -EBADMSG;
}

void zt_chunk_add(struct zt_chunk *c, uint64_t id, const struct zt_activity *a, const struct zt_strbuf *packed)
{
	struct zt_chunk_head *h = &c->head;

	if (!h->n)
		*h = (struct zt_chunk_head){.first = id, .last = id, .tmin = a->time, .tmax = a->time};
	c->len += put_number(c->data + c->len, id - h->last);
	c->len += put_number(c->data + c->len, packed->len);
	memcpy(c->data + c->len, packed->buf, packed->len);
	c->len += packed->len;
	h->last = id;
	h->tmin = ZT_MIN(h->tmin, a->time);
	h->tmax = ZT_MAX(h->tmax, a->time);
	h->kinds |= UINT64_C(1) << a->kind;
	h->n++;
}

bool zt_chunk_full(const struct zt_chunk *c)
{
	return c->head.n >= ZT_CHUNK_RECORDS || c->len >= ZT_CHUNK_FULL;
}

size_t zt_chunk_encode(ZSTD_CCtx *z, const struct zt_chunk *c, uint8_t *out)
{
	size_t n = ZSTD_compressCCtx(z, out + 1, ZT_CHUNK_BLOB - 1, c->data, c->len, 1);

	out[0] = 1;
	if (!ZSTD_isError(n) && n < c->len)
		return n + 1;
	out[0] = 0; /* no memory, or nothing to gain */
	memcpy(out + 1, c->data, c->len);
	return c->len + 1;
}

int zt_chunk_decode(ZSTD_DCtx *z, const uint8_t *blob, size_t len, uint8_t *out, size_t *ret_len)
{
	size_t n;

	if (len < 1 || blob[0] > 1 || len > ZT_CHUNK_BLOB)
		return -EBADMSG;
	if (!blob[0]) {
		if (len - 1 > ZT_CHUNK_MAX)
			return -EBADMSG;
		memcpy(out, blob + 1, len - 1);
		*ret_len = len - 1;
		return 0;
	}
	n = ZSTD_decompressDCtx(z, out, ZT_CHUNK_MAX, blob + 1, len - 1);
	if (ZSTD_isError(n))
		return -EBADMSG;
	*ret_len = n;
	return 0;
}

/* Time and kind stand at the beginning of every packed record: fields 0 and 1. */
static int peek(struct zt_chunk_record *r)
{
	const uint8_t *at = r->packed, *end = r->packed + r->len;

	if (at == end || *at++ != ZT_FIELD_time || get_number(&at, end, &r->time) < 0)
		return -EBADMSG;
	if (at == end || *at++ != ZT_FIELD_kind || get_number(&at, end, &r->kind) < 0 || r->kind >= ZT_ACTIVITY_KINDS)
		return -EBADMSG;
	return 0;
}

int zt_chunk_next(const uint8_t *data, size_t len, size_t *at, struct zt_chunk_record *record)
{
	const uint8_t *p = data + *at, *end = data + len;
	uint64_t delta, size;

	if (p == end)
		return 0;
	if (get_number(&p, end, &delta) < 0 || get_number(&p, end, &size) < 0 || size > (uint64_t)(end - p))
		return -EBADMSG;
	record->id += delta;
	record->packed = p;
	record->len = (size_t)size;
	*at = (size_t)(p - data) + record->len;
	return peek(record) < 0 ? -EBADMSG : 1;
}
