/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/dnsstream.h"

#include <string.h>

#include "base/lru.h"
#include "base/mem.h"

enum { HEADER = 12, NEAR = 1 << 20 };
struct key {
	uint64_t socket, out;
};
struct stream {
	uint32_t next, skip; /* sequence number that is expected; bytes that belong to a message that was told */
	bool begun;
	size_t have;
	uint8_t buf[ZT_DNS_STREAM];
};
struct zt_dns_streams {
	struct zt_lru *all;
};

int zt_dns_streams_new(struct zt_dns_streams **ret)
{
	struct zt_dns_streams *s = zt_new(struct zt_dns_streams, 1);
	int r = s ? zt_lru_new(ZT_DNS_STREAMS, sizeof(struct key), sizeof(struct stream), NULL, &s->all) : -ENOMEM;

	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void zt_dns_streams_free(struct zt_dns_streams *s)
{
	if (s)
		zt_lru_free(s->all);
	free(s);
}

uint32_t zt_dns_streams_count(const struct zt_dns_streams *s, uint64_t *ret_forgotten)
{
	*ret_forgotten = zt_lru_evicted(s->all);
	return zt_lru_count(s->all);
}

/* What is new in p, false: nothing. After a gap a message begins, as far as we know. */
static bool advance(struct stream *s, struct zt_dns_piece *p)
{
	uint32_t behind = s->begun ? s->next - p->seq : 0;

	if (behind && behind <= INT32_MAX) {
		if (behind >= p->all)
			return false;
		p->data += ZT_MIN(behind, p->len);
		p->len -= ZT_MIN(behind, p->len);
		p->all -= behind;
	} else if (behind) {
		s->have = s->skip = 0;
	}
	s->next = p->seq + (behind <= INT32_MAX ? behind : 0) + (uint32_t)p->all;
	s->begun = true;
	return true;
}

/* Packets are seen before the kernel looks at their numbers: one that cannot be the next is by itself, and what is begun stays. */
static bool is_far(const struct stream *s, const struct zt_dns_piece *p)
{
	return s->begun && s->next - p->seq > NEAR && p->seq - s->next > NEAR;
}

static size_t size_of(const struct stream *s)
{
	return 2 + (size_t)(s->buf[0] << 8 | s->buf[1]);
}

static void tell(struct stream *s, zt_dns_message *got, void *arg)
{
	got(arg, s->buf, s->have);
	s->skip = (uint32_t)(size_of(s) - s->have);
	s->have = 0;
}

/* Takes some of the packet. A message that is none, or shorter than any, ends what can be understood of it. */
static void take(struct stream *s, struct zt_dns_piece *p, zt_dns_message *got, void *arg)
{
	size_t want = s->have < 2 ? 2 - s->have : ZT_MIN(size_of(s), sizeof(s->buf)) - s->have;
	size_t n = ZT_MIN(s->skip ? s->skip : want, p->len);

	if (s->skip) {
		s->skip -= (uint32_t)n;
	} else {
		memcpy(s->buf + s->have, p->data, n);
		s->have += n;
	}
	p->data += n;
	p->len -= n;
	if (s->have < 2)
		return;
	if (size_of(s) < 2 + HEADER) {
		got(arg, s->buf, s->have);
		s->have = s->skip = 0;
		p->len = 0;
	} else if (s->have == ZT_MIN(size_of(s), sizeof(s->buf))) {
		tell(s, got, arg);
	}
}

void zt_dns_streams_add(struct zt_dns_streams *all, struct zt_dns_piece p, zt_dns_message *got, void *arg)
{
	struct key k = {p.socket, p.out};
	struct stream *s = zt_lru_put(all->all, &k);
	size_t unseen;

	if (is_far(s, &p)) {
		got(arg, p.data, p.len);
		return;
	}
	if (!advance(s, &p))
		return;
	unseen = p.all - p.len;
	while (p.len)
		take(s, &p, got, arg);
	if (!unseen)
		return;
	if (s->have >= 2)
		tell(s, got, arg);
	s->skip = s->have || s->skip < unseen ? 0 : s->skip - (uint32_t)unseen;
	s->have = 0;
}
