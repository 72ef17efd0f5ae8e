/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <string.h>
#include <time.h>

#include "base/net.h"
#include "event/source.h"

/* ---- the leading timestamp ---- */

static bool digits(const char *s, size_t n, unsigned *ret)
{
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] == ' ' && i == 0 && n > 1)
			continue;
		if (s[i] < '0' || s[i] > '9')
			return false;
		*ret = *ret * 10 + (unsigned)(s[i] - '0');
	}
	return true;
}

/* "1732420000.123456 host kernel: …" (journalctl -o short-unix) */
static zt_usec unix_time(const char *s, size_t len)
{
	uint64_t sec = 0, frac = 0;
	size_t i = 0, k = 0;

	for (; i < len && i < 11 && isdigit((unsigned char)s[i]); i++)
		sec = sec * 10 + (uint64_t)(s[i] - '0');
	if (i < 9 || i >= len || s[i] != '.')
		return 0;
	for (i++; i < len && k < 6 && isdigit((unsigned char)s[i]); i++, k++)
		frac = frac * 10 + (uint64_t)(s[i] - '0');
	if (k != 6 || i >= len || s[i] != ' ')
		return 0;
	return sec * ZT_USEC_PER_SEC + frac;
}

/* "2026-12-27T10:01:00.123456+01:00 host kernel: …" (rsyslog); fractions of a second are dropped */
static zt_usec iso_time(const char *s, size_t len)
{
	const char *space = memchr(s, ' ', ZT_MIN(len, 40u));
	size_t n = space ? (size_t)(space - s) : 0, i = 19;
	char buf[48];
	zt_usec t;

	if (n < 20 || s[10] != 'T')
		return 0;
	memcpy(buf, s, 19);
	if (s[i] == '.')
		for (i++; i < n && isdigit((unsigned char)s[i]);)
			i++;
	memcpy(buf + 19, s + i, n - i);
	buf[19 + n - i] = 0;
	return zt_time_parse(buf, &t) == 0 ? t : 0;
}

/* "Dec 27 10:01:00 host kernel: …": local time, the most recent year that is not in the future */
static zt_usec syslog_time(const char *s, size_t len)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	unsigned day, hour, minute, second, month = 0;
	time_t now = (time_t)(zt_now() / ZT_USEC_PER_SEC), t;
	struct tm tm, today;

	if (len < 16 || s[3] != ' ' || s[6] != ' ' || s[9] != ':' || s[12] != ':' || s[15] != ' ')
		return 0;
	while (month < 12 && strncmp(months + 3 * month, s, 3) != 0)
		month++;
	if (month == 12 || !digits(s + 4, 2, &day) || !digits(s + 7, 2, &hour) || !digits(s + 10, 2, &minute) ||
	    !digits(s + 13, 2, &second) || !localtime_r(&now, &today))
		return 0;
	tm = (struct tm){.tm_year = today.tm_year,
			 .tm_mon = (int)month,
			 .tm_mday = (int)day,
			 .tm_hour = (int)hour,
			 .tm_min = (int)minute,
			 .tm_sec = (int)second,
			 .tm_isdst = -1};
	t = mktime(&tm);
	if (t > now + 86400) {
		tm = (struct tm){.tm_year = today.tm_year - 1,
				 .tm_mon = (int)month,
				 .tm_mday = (int)day,
				 .tm_hour = (int)hour,
				 .tm_min = (int)minute,
				 .tm_sec = (int)second,
				 .tm_isdst = -1};
		t = mktime(&tm);
	}
	return t < 0 ? 0 : (zt_usec)t * ZT_USEC_PER_SEC;
}

static zt_usec leading_time(const char *s, size_t len)
{
	return unix_time(s, len) ?: iso_time(s, len) ?: syslog_time(s, len);
}

/* ---- prefix and rule ---- */

struct prefix {
	const char *text;
	enum zt_event_kind kind;
};

static const char *find_prefix(const char *line, size_t len, const char *blocked_prefix, struct prefix *ret)
{
	const struct prefix all[] = {{blocked_prefix, ZT_EVENT_BLOCKED},
				     {ZT_PREFIX_OBSERVED, ZT_EVENT_OBSERVED},
				     {ZT_PREFIX_ALLOWED, ZT_EVENT_ALLOWED}};
	const char *best = NULL;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(all); i++) {
		size_t n = strlen(all[i].text);
		const char *at = n ? memmem(line, len, all[i].text, n) : NULL;

		if (at && (!best || at < best)) {
			best = at;
			*ret = all[i];
		}
	}
	return best;
}

/* The name ends where the kernel's own fields begin; names may hold blanks. */
static int take_rule(const char **p, const char *end, struct zt_event *e)
{
	const char *name = *p + strlen("rule="), *stop;
	size_t n;

	if ((size_t)(end - *p) < strlen("rule=") || memcmp(*p, "rule=", strlen("rule=")) != 0)
		return 0;
	stop = memmem(name, (size_t)(end - name), " IN=", 4);
	n = stop ? (size_t)(stop - name) : 0;
	if (n < 1 || n > 64)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++)
		if (name[i] < 0x20 || name[i] > 0x7e)
			return -EBADMSG;
	memcpy(e->rule, name, n);
	e->rule[n] = 0;
	*p = stop + 1;
	return 0;
}

int zt_event_parse_prefix(const char *text, const char *blocked_prefix, struct zt_event *e)
{
	size_t len = strlen(text), n;
	struct prefix k = {.text = ""};
	const char *at = find_prefix(text, len, blocked_prefix, &k);

	if (at != text)
		return -ENOMSG;
	e->kind = k.kind;
	text += strlen(k.text);
	if (strncmp(text, "rule=", 5) != 0)
		return 0;
	text += 5;
	n = strlen(text);
	while (n && text[n - 1] == ' ')
		n--;
	n = ZT_MIN(n, 64u);
	memcpy(e->rule, text, n);
	e->rule[n] = 0;
	return 0;
}

/* ---- fields ---- */

enum {
	SEEN_SRC = 1,
	SEEN_DST = 2,
	SEEN_PROTO = 4,
	SEEN_SPT = 8,
	SEEN_DPT = 16,
	SEEN_UID = 32,
	SEEN_GID = 64,
	SEEN_LEN = 128,
	SEEN_IN = 256,
	SEEN_OUT = 512
};

static int number(const char *v, uint64_t max, uint64_t *ret)
{
	return zt_parse_u64(v, max, ret) < 0 ? -EBADMSG : 0;
}

static int address(const char *v, struct zt_addr *ret)
{
	return zt_addr_parse(v, ret) < 0 ? -EBADMSG : 0;
}

static int protocol(const char *v, uint8_t *ret)
{
	char low[16];
	size_t n = strlen(v);

	if (n >= sizeof(low))
		return -EBADMSG;
	for (size_t i = 0; i <= n; i++)
		low[i] = (char)tolower((unsigned char)v[i]);
	return zt_proto_parse(low, ret) < 0 ? -EBADMSG : 0;
}

static int device(const char *v, char ret[static 16])
{
	size_t n = strlen(v);

	if (n > 15)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)v[i] <= 0x20 || (unsigned char)v[i] == 0x7f)
			return -EBADMSG;
	memcpy(ret, v, n + 1);
	return 0;
}

static int port(const char *v, uint16_t *ret)
{
	uint64_t n = 0;
	int r = number(v, 65535, &n);

	*ret = (uint16_t)n;
	return r;
}

static int id(const char *v, uint32_t *ret)
{
	uint64_t n = 0;
	int r = number(v, UINT32_MAX, &n);

	*ret = (uint32_t)n;
	return r;
}

/* The kernel may print a key twice (LEN of IP and of UDP): the first one counts. */
static int field(struct zt_event *e, const char *key, const char *value, unsigned *seen)
{
	static const struct {
		const char *key;
		unsigned bit;
	} keys[] = {{"SRC", SEEN_SRC}, {"DST", SEEN_DST}, {"PROTO", SEEN_PROTO}, {"SPT", SEEN_SPT}, {"DPT", SEEN_DPT},
		    {"UID", SEEN_UID}, {"GID", SEEN_GID}, {"LEN", SEEN_LEN},	 {"IN", SEEN_IN},   {"OUT", SEEN_OUT}};
	unsigned bit = 0;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].key, key))
			bit = keys[i].bit;
	if (!bit || (*seen & bit))
		return 0;
	*seen |= bit;
	switch (bit) {
	case SEEN_SRC:
		return address(value, &e->src);
	case SEEN_DST:
		return address(value, &e->dst);
	case SEEN_PROTO:
		return protocol(value, &e->proto);
	case SEEN_SPT:
		return port(value, &e->sport);
	case SEEN_DPT:
		return port(value, &e->dport);
	case SEEN_UID:
		return id(value, &e->uid);
	case SEEN_GID:
		return id(value, &e->gid);
	case SEEN_LEN:
		return id(value, &e->length);
	case SEEN_IN:
		return device(value, e->in);
	default:
		return device(value, e->out);
	}
}

/* KEY=VALUE words; what stands in [brackets] is the packet an ICMP error quotes, not ours. */
static int fields(const char *p, const char *end, struct zt_event *e, unsigned *seen)
{
	int depth = 0, r = 0;

	while (p < end && r >= 0) {
		const char *word = p, *eq;
		char key[8], value[64];
		size_t n;

		while (p < end && *p != ' ' && *p != '\n' && *p != '\0')
			p++;
		n = (size_t)(p - word);
		depth += n && word[0] == '[';
		eq = n ? memchr(word, '=', n) : NULL;
		if (!depth && eq && (size_t)(eq - word) < sizeof(key)) {
			size_t vlen = n - (size_t)(eq - word) - 1;

			memcpy(key, word, (size_t)(eq - word));
			key[eq - word] = 0;
			if (vlen < sizeof(value)) {
				memcpy(value, eq + 1, vlen);
				value[vlen] = 0;
				r = field(e, key, value, seen);
			}
		}
		depth -= depth && n && word[n - 1] == ']';
		p++;
	}
	return r;
}

int zt_event_parse_line(const char *line, size_t len, const char *blocked_prefix, struct zt_event *ret)
{
	struct zt_event e = {0};
	struct prefix k = {0};
	const char *p = find_prefix(line, len, blocked_prefix, &k), *end = line + len;
	unsigned seen = 0;
	int r;

	if (!p)
		return -ENOMSG;
	e.kind = k.kind;
	e.when = leading_time(line, (size_t)(p - line));
	p += strlen(k.text);
	r = take_rule(&p, end, &e);
	if (r >= 0)
		r = fields(p, end, &e, &seen);
	if (r < 0)
		return r;
	if (!(seen & SEEN_SRC) || !(seen & SEEN_DST) || !(seen & SEEN_PROTO) || e.src.family != e.dst.family)
		return -EBADMSG;
	e.has_ports = (seen & SEEN_DPT) && zt_proto_has_ports(e.proto);
	e.has_uid = seen & SEEN_UID;
	if (!e.has_ports)
		e.sport = e.dport = 0;
	if (!e.has_uid)
		e.uid = e.gid = 0;
	*ret = e;
	return 0;
}

static void protocol_text(uint8_t proto, struct zt_strbuf *out)
{
	const char *name = zt_proto_name(proto);

	if (proto == 58) {
		zt_strbuf_str(out, "ICMPv6");
		return;
	}
	if (!name)
		zt_strbuf_printf(out, "%u", proto);
	for (; name && *name; name++)
		zt_strbuf_char(out, (char)toupper((unsigned char)*name));
}

int zt_event_format_line(const struct zt_event *e, const char *blocked_prefix, struct zt_strbuf *out)
{
	const char *prefix[] = {[ZT_EVENT_BLOCKED] = blocked_prefix,
				[ZT_EVENT_OBSERVED] = ZT_PREFIX_OBSERVED,
				[ZT_EVENT_ALLOWED] = ZT_PREFIX_ALLOWED};
	char src[64] = "", dst[64] = "";

	zt_addr_format(&e->src, src);
	zt_addr_format(&e->dst, dst);
	zt_strbuf_str(out, prefix[e->kind]);
	if (*e->rule)
		zt_strbuf_printf(out, "rule=%s ", e->rule);
	zt_strbuf_str(out, "IN=");
	zt_strbuf_escaped(out, e->in, strnlen(e->in, sizeof(e->in)));
	zt_strbuf_str(out, " OUT=");
	zt_strbuf_escaped(out, e->out, strnlen(e->out, sizeof(e->out)));
	if (e->is_unix) {
		zt_strbuf_str(out, " PROTO=UNIX PATH=");
		zt_strbuf_escaped(out, e->unix_name, strnlen(e->unix_name, sizeof(e->unix_name)));
		zt_strbuf_printf(out, " UID=%u GID=%u", e->uid, e->gid);
		return zt_strbuf_error(out);
	}
	zt_strbuf_printf(out, " SRC=%s DST=%s ", src, dst);
	if (e->length)
		zt_strbuf_printf(out, "LEN=%u ", e->length);
	zt_strbuf_str(out, "PROTO=");
	protocol_text(e->proto, out);
	if (e->has_ports)
		zt_strbuf_printf(out, " SPT=%u DPT=%u", e->sport, e->dport);
	if (e->has_uid)
		zt_strbuf_printf(out, " UID=%u GID=%u", e->uid, e->gid);
	return zt_strbuf_error(out);
}
