/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/iptables/iptables.h"

#define OWNED "-m owner --uid-owner 0-4294967294"
#define STATE "-m conntrack --ctstate "
#define NOTE(s) "-m comment --comment \"zt:" s "\" "
#define LIMIT_SCALE 10000u
#define LIMIT_DAY (86400u * LIMIT_SCALE) /* what xt_limit can hold */
#define LOG_PREFIX_MAX 29
#define NFLOG_PREFIX_MAX 63
#define SALTS 16

const char *const ipt_builtin[3] = {
	[ZT_DIR_EGRESS] = "OUTPUT", [ZT_DIR_INGRESS] = "INPUT", [ZT_DIR_FORWARD] = "FORWARD"};
const char *const ipt_entry[3] = {[ZT_DIR_EGRESS] = "OUT", [ZT_DIR_INGRESS] = "IN", [ZT_DIR_FORWARD] = "FWD"};
static const char letter[3] = {[ZT_DIR_EGRESS] = 'O', [ZT_DIR_INGRESS] = 'I', [ZT_DIR_FORWARD] = 'F'};
static const char *const names[3] = {[ZT_DIR_EGRESS] = "out", [ZT_DIR_INGRESS] = "in", [ZT_DIR_FORWARD] = "fwd"};

struct emit {
	const struct zt_ruleset *rs;
	int family;
	char suffix[20];
	unsigned salt;
	struct zt_strbuf chains, lines;
	uint64_t *hashes; /* of chains made for rules, to find two of one name */
	size_t n_hashes, cap_hashes;
};

void ipt_image_free(struct zt_image *img)
{
	if (!img)
		return;
	free(img->instance);
	free(img->text[IPT_4]);
	free(img->text[IPT_6]);
	free(img);
}

void ipt_image_freep(struct zt_image **img)
{
	ipt_image_free(*img);
}

const char *ipt_suffix(const char *instance, char buf[static 20])
{
	bool plain = !instance || !*instance || !strcmp(instance, "default");

	(void)snprintf(buf, 20, "%s%.16s", plain ? "" : "-", plain ? "" : instance);
	return buf;
}

static void chain(struct emit *e, const char *name)
{
	zt_strbuf_printf(&e->chains, ":ZT-%s%s - [0:0]\n", name, e->suffix);
}

/* "@" in the text stands for the name of a chain: "-g @OP" becomes "-g ZT-OP-instance". */
ZT_PRINTF(3, 4) static void line(struct emit *e, const char *name, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	zt_strbuf_printf(&e->lines, "-A ZT-%s%s %s\n", name, e->suffix, zt_strbuf_cstr(&b));
	if (zt_strbuf_error(&b) < 0)
		e->lines.failed = true;
}

static const char *target(const struct emit *e, const char *how, const char *name, char buf[static 48])
{
	(void)snprintf(buf, 48, "-%s ZT-%s%s", how, name, e->suffix);
	return buf;
}
#define GOTO(name) target(e, "g", name, (char[48]){0})
#define JUMP(name) target(e, "j", name, (char[48]){0})

/* ---- logging: kernel log and nflog behind one limit, what the limit swallows is counted ---- */
static uint32_t limit_period(const struct zt_settings *s)
{
	static const uint32_t seconds[] = {
		[ZT_PER_SECOND] = 1, [ZT_PER_MINUTE] = 60, [ZT_PER_HOUR] = 3600, [ZT_PER_DAY] = 86400};

	return s->log_limit ? seconds[s->log_limit_per] * LIMIT_SCALE / s->log_limit : 0;
}

unsigned ipt_log_burst(const struct zt_settings *s)
{
	uint32_t period = limit_period(s);
	uint32_t most = period ? LIMIT_DAY / period : 0;

	return ZT_MIN(ZT_MIN(ZT_MAX(s->log_limit, 5u), most), 10000u);
}

/* `--log-prefix "…" `, nothing where there is no prefix */
static void prefix_option(struct zt_strbuf *out, const char *option, const char *prefix, const char *rule, size_t max)
{
	ZT_FREE char *full = rule ? zt_asprintf("%srule=%s ", prefix, rule) : zt_strdup(prefix);

	if (!full) {
		out->failed = true;
		return;
	}
	if (strlen(full) > max)
		full[max] = '\0';
	if (!*full)
		return;
	zt_strbuf_printf(out, "%s ", option);
	ipt_quote(out, full);
	zt_strbuf_char(out, ' ');
}

/* The kernel log has 29 bytes for the prefix: the name of the rule stands there only when it fits whole. */
static void log_chains(struct emit *e, const char *limit, const char *write, const char *prefix, const char *rule)
{
	static const char *const units[] = {"sec", "min", "hour", "day"};
	const struct zt_settings *s = &e->rs->settings;
	bool fits = rule && strlen(prefix) + strlen(rule) + 6 <= LOG_PREFIX_MAX;
	ZT_STRBUF struct zt_strbuf log = {0}, nflog = {0};

	chain(e, limit);
	chain(e, write);
	line(e, limit, "-m limit --limit %u/%s --limit-burst %u %s", s->log_limit, units[s->log_limit_per],
	     ipt_log_burst(s), GOTO(write));
	line(e, limit, NOTE("suppressed"));
	prefix_option(&log, "--log-prefix", prefix, fits ? rule : NULL, LOG_PREFIX_MAX);
	prefix_option(&nflog, "--nflog-prefix", prefix, rule, NFLOG_PREFIX_MAX);
	line(e, write, NOTE("logged") "-j LOG %s--log-uid", zt_strbuf_cstr(&log));
	line(e, write, "-j NFLOG %s--nflog-group %d", zt_strbuf_cstr(&nflog), ZT_NFLOG_GROUP);
	if (zt_strbuf_error(&log) || zt_strbuf_error(&nflog))
		e->lines.failed = true;
}

/* What ends a packet: in output an error at the sender's system call, elsewhere an answer to the peer. */
static void end_packet(struct emit *e, const char *name, enum zt_direction dir, enum zt_verdict v)
{
	if (v == ZT_ALLOW || v == ZT_OBSERVE) {
		line(e, name, "-j ACCEPT");
		return;
	}
	if (v == ZT_REJECT) {
		line(e, name, "-p 6 -j REJECT --reject-with tcp-reset");
		if (dir != ZT_DIR_EGRESS)
			line(e, name, "-j REJECT --reject-with %s",
			     e->family == IPT_4 ? "icmp-admin-prohibited" : "icmp6-adm-prohibited");
	}
	line(e, name, "-j DROP");
}

static bool softens_loopback(const struct emit *e, enum zt_direction dir, enum zt_verdict v)
{
	return dir == ZT_DIR_EGRESS && (v == ZT_DROP || v == ZT_REJECT) &&
	       e->rs->settings.loopback == ZT_LOOPBACK_OBSERVE;
}

static void verdict_chain(enum zt_direction dir, enum zt_verdict v, char buf[static 3])
{
	static const char code[] = {[ZT_ALLOW] = 'A', [ZT_DROP] = 'D', [ZT_REJECT] = 'R', [ZT_OBSERVE] = 'O'};

	buf[0] = letter[dir];
	buf[1] = code[v];
	buf[2] = '\0';
}

static void verdict_chains(struct emit *e)
{
	log_chains(e, "LB", "LBW", e->rs->settings.log_prefix, NULL);
	log_chains(e, "LO", "LOW", ZT_PREFIX_OBSERVED, NULL);
	for (int i = 0; i < 3; i++)
		for (int v = ZT_DROP; v <= ZT_OBSERVE; v++) {
			enum zt_direction dir = (enum zt_direction)i;
			char name[3];

			verdict_chain(dir, (enum zt_verdict)v, name);
			chain(e, name);
			if (softens_loopback(e, dir, (enum zt_verdict)v))
				line(e, name, "-o lo %s", GOTO("OO"));
			if (v == ZT_OBSERVE || e->rs->settings.log_blocked)
				line(e, name, "%s", JUMP(v == ZT_OBSERVE ? "LO" : "LB"));
			end_packet(e, name, dir, (enum zt_verdict)v);
		}
}

/* ---- rules ---- */
static uint64_t rule_hash(const struct emit *e, const struct zt_rule *r)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ e->salt;

	for (const char *p = r->id; *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(1099511628211);
	h = (h ^ (r->part * 3u + r->dir)) * UINT64_C(1099511628211);
	return (h ^ h >> 35) & ((UINT64_C(1) << 35) - 1);
}

static void rule_chain(uint64_t hash, char stage, char buf[static 9])
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

	for (int i = 0; i < 7; i++, hash >>= 5)
		buf[i] = digits[hash & 31];
	buf[7] = stage;
	buf[8] = '\0';
}

/* Chains of a rule that logs by its own name: v decides, k limits, l writes. */
static void named_verdict(struct emit *e, const struct zt_rule *r, uint64_t hash)
{
	const char *prefix = r->verdict == ZT_ALLOW	? ZT_PREFIX_ALLOWED
			     : r->verdict == ZT_OBSERVE ? ZT_PREFIX_OBSERVED
							: e->rs->settings.log_prefix;
	char v[9], k[9], l[9];

	rule_chain(hash, 'v', v);
	rule_chain(hash, 'k', k);
	rule_chain(hash, 'l', l);
	log_chains(e, k, l, prefix, r->id);
	chain(e, v);
	line(e, v, "%s", JUMP(k));
	if (softens_loopback(e, r->dir, r->verdict))
		line(e, v, "-o lo -j ACCEPT");
	end_packet(e, v, r->dir, r->verdict);
}

static void verdict_target(const struct emit *e, const struct zt_rule *r, uint64_t hash, char buf[static 48])
{
	char name[9];

	if (r->log)
		rule_chain(hash, 'v', name);
	else
		verdict_chain(r->dir, r->verdict, name);
	if (r->verdict == ZT_ALLOW && !r->log)
		(void)snprintf(buf, 48, "-j ACCEPT");
	else
		(void)target(e, "g", name, buf);
}

static void deciding(struct emit *e, const char *name, const char *match, const struct zt_rule *r, uint64_t hash)
{
	char verdict[48];

	verdict_target(e, r, hash, verdict);
	line(e, name, "%s-m comment --comment \"rule %s #%u\" %s", match, r->id, r->part, verdict);
}

/* Every combination of values as a line. */
static void direct(struct emit *e, const char *name, const struct ipt_box *b, size_t dim, const char *match,
		   const struct zt_rule *r, uint64_t hash)
{
	ZT_STRBUF struct zt_strbuf m = {0};

	if (dim == IPT_DIMS) {
		deciding(e, name, match, r, hash);
		return;
	}
	if (!b->dim[dim].n)
		direct(e, name, b, dim + 1, match, r, hash);
	for (size_t i = 0; i < b->dim[dim].n; i++) {
		zt_strbuf_clear(&m);
		zt_strbuf_printf(&m, "%s%s ", match, b->dim[dim].v[i]);
		direct(e, name, b, dim + 1, zt_strbuf_cstr(&m), r, hash);
	}
	if (zt_strbuf_error(&m) < 0)
		e->lines.failed = true;
}

/* A head line with what has one value, then a chain for each dimension that has several. */
static void staged(struct emit *e, const char *name, const struct ipt_box *b, const struct zt_rule *r, uint64_t hash)
{
	ZT_STRBUF struct zt_strbuf head = {0};
	size_t multi[IPT_DIMS], n = 0;
	char stage[9], next[9];

	for (size_t d = 0; d < IPT_DIMS; d++) {
		if (b->dim[d].n > 1)
			multi[n++] = d;
		else if (b->dim[d].n)
			zt_strbuf_printf(&head, "%s ", b->dim[d].v[0]);
	}
	rule_chain(hash, 'a', next);
	line(e, name, "%s-m comment --comment \"part of %s\" %s", zt_strbuf_cstr(&head), r->id, JUMP(next));
	for (size_t i = 0; i < n; i++) {
		memcpy(stage, next, sizeof(stage));
		rule_chain(hash, (char)('b' + i), next);
		chain(e, stage);
		for (size_t k = 0; k < b->dim[multi[i]].n; k++) {
			const char *value = b->dim[multi[i]].v[k];
			ZT_FREE char *match = zt_asprintf("%s ", value);

			if (i + 1 < n)
				line(e, stage, "%s %s", value, JUMP(next));
			else
				deciding(e, stage, match ? match : "", r, hash);
			if (!match)
				e->lines.failed = true;
		}
	}
	if (zt_strbuf_error(&head) < 0)
		e->lines.failed = true;
}

static int rule_lines(struct emit *e, const struct zt_rule *r)
{
	ZT_CLEANUP(ipt_box_done) struct ipt_box b = {0};
	char name[3] = {letter[r->dir], 'P', '\0'};
	size_t product = 1;
	uint64_t hash = rule_hash(e, r);
	int err = ipt_box_make(r, e->family, &b);

	if (err < 0 || b.never)
		return err;
	for (size_t d = 0; d < IPT_DIMS && product <= IPT_DIRECT_MAX; d++)
		product *= ZT_MAX(b.dim[d].n, 1u);
	if (product > IPT_DIRECT_MAX || r->log) {
		err = zt_grow(e->hashes, e->cap_hashes, e->n_hashes);
		if (err < 0)
			return err;
		e->hashes[e->n_hashes++] = hash;
	}
	if (r->log)
		named_verdict(e, r, hash);
	if (product > IPT_DIRECT_MAX)
		staged(e, name, &b, r, hash);
	else
		direct(e, name, &b, 0, "", r, hash);
	return 0;
}

static void default_line(struct emit *e, enum zt_direction dir)
{
	const struct zt_settings *s = &e->rs->settings;
	enum zt_verdict v = s->mode == ZT_MODE_OBSERVE ? ZT_OBSERVE : s->block == ZT_BLOCK_DROP ? ZT_DROP : ZT_REJECT;
	char name[3] = {letter[dir], 'P', '\0'}, verdict[3];

	verdict_chain(dir, v, verdict);
	line(e, name, "-m comment --comment \"zt:default_%s\" %s", names[dir],
	     s->def[dir] == ZT_DEFAULT_ALLOW ? "-j ACCEPT" : GOTO(verdict));
}

/* ---- fixed chains ---- */
static void icmp_errors(struct emit *e, const char *name)
{
	static const unsigned types4[] = {3, 11, 12}, types6[] = {1, 2, 3, 4};

	for (size_t i = 0; e->family == IPT_4 && i < ZT_ARRAY_SIZE(types4); i++)
		line(e, name, "-p 1 -m icmp --icmp-type %u " NOTE("related") "-j ACCEPT", types4[i]);
	for (size_t i = 0; e->family == IPT_6 && i < ZT_ARRAY_SIZE(types6); i++)
		line(e, name, "-p 58 -m icmp6 --icmpv6-type %u " NOTE("related") "-j ACCEPT", types6[i]);
}

static void essentials(struct emit *e, const char *name, bool in)
{
	static const struct {
		unsigned type, hops;
		bool in_only;
	} types[] = {{133, 255, false}, {134, 255, true}, {135, 255, false}, {136, 255, false},
		     {130, 1, true},	{131, 1, false},  {132, 1, false},   {143, 1, false}};

	for (size_t i = 0; e->family == IPT_6 && i < ZT_ARRAY_SIZE(types); i++)
		if (in || !types[i].in_only)
			line(e, name, "-p 58 -m icmp6 --icmpv6-type %u -m hl --hl-eq %u " NOTE("essential") "-j ACCEPT",
			     types[i].type, types[i].hops);
}

#define RESET "-p 6 -m tcp --tcp-flags RST RST "

/* A source route sends a packet past the address that its header shows: IPv4 options of more than a word (a router alert is one, a route with one address
 * two), and routing headers. */
static void source_routes(struct emit *e, const char *name)
{
	line(e, name, "%s " NOTE("invalid") "-j DROP",
	     e->family == IPT_4 ? "-m u32 --u32 0x0>>0x18&0xf=0x7:0xf" : "-m rt ! --rt-type 255");
}

/* Packets of other protocols than TCP are judged again, each one, in the direction their sender opened. */
static void output_chains(struct emit *e)
{
	static const unsigned paired[] = {1, 6, 17, 33, 58, 132, 136};
	const struct zt_settings *s = &e->rs->settings;

	source_routes(e, "OUT");
	/* A rule about localhost means this host. A socket that is bound to another device sends there what it sends to 127.0.0.1. What
	 * REDIRECT turned to localhost goes through lo, though the hook goes on telling of the device that it had before. */
	line(e, "OUT", "-d %s ! -o lo -m conntrack ! --ctstate DNAT " NOTE("invalid") "-j DROP",
	     e->family == IPT_4 ? "127.0.0.0/8" : "::1/128");
	if (s->loopback == ZT_LOOPBACK_ALLOW)
		line(e, "OUT", "-o lo " NOTE("loopback") "-j ACCEPT");
	line(e, "OUT", STATE "ESTABLISHED %s", GOTO("OE"));
	line(e, "OUT", STATE "RELATED %s", GOTO("OL"));
	line(e, "OUT", STATE "INVALID %s", GOTO("OI"));
	essentials(e, "OUT", false);
	line(e, "OUT", "%s", GOTO("OP"));
	line(e, "OE", "! -o lo -m conntrack --ctdir REPLY " NOTE("established") "-j ACCEPT");
	/* A packet to oneself of a protocol without ports looks the same in both directions: it is no answer to anything. */
	for (size_t i = 0; i < ZT_ARRAY_SIZE(paired); i++)
		line(e, "OE", "-o lo -p %u -m conntrack --ctdir REPLY " NOTE("established") "-j ACCEPT", paired[i]);
	if (!s->preserve_established)
		line(e, "OE", "-p 6 " OWNED " %s", GOTO("OP"));
	line(e, "OE", "-p 6 " NOTE("established") "-j ACCEPT");
	line(e, "OE", "%s", GOTO("OP"));
	/* Errors and resets are made by the kernel: they have no owner. */
	line(e, "OL", OWNED " %s", GOTO("OP"));
	line(e, "OL", RESET NOTE("related") "-j ACCEPT");
	icmp_errors(e, "OL");
	line(e, "OL", "%s", GOTO("OP"));
	line(e, "OI", OWNED " " NOTE("invalid") "-j DROP");
	line(e, "OI", RESET NOTE("related") "-j ACCEPT");
	line(e, "OI", NOTE("invalid") "-j DROP");
}

static void ssh_lines(struct emit *e)
{
	const struct zt_u32_ranges *l = &e->rs->ssh_ports;

	for (size_t i = 0; i < l->n; i++) {
		char last[16] = "";

		if (l->v[i].lo != l->v[i].hi)
			(void)snprintf(last, sizeof(last), ":%u", l->v[i].hi);
		line(e, "IW", "-p 6 -m multiport --dports %u%s " NOTE("ssh") "-j ACCEPT", l->v[i].lo, last);
	}
}

/* What comes from lo was judged when it was sent. */
static void input_chains(struct emit *e)
{
	line(e, "IN", "-i lo " NOTE("loopback") "-j ACCEPT");
	line(e, "IN", STATE "ESTABLISHED %s", GOTO("IE"));
	line(e, "IN", STATE "RELATED %s", GOTO("IL"));
	line(e, "IN", STATE "INVALID " NOTE("invalid") "-j DROP");
	essentials(e, "IN", true);
	line(e, "IN", "%s", GOTO("IW"));
	line(e, "IE", "-m conntrack --ctdir REPLY " NOTE("established") "-j ACCEPT");
	if (e->rs->settings.preserve_established)
		line(e, "IE", "-p 6 " NOTE("established") "-j ACCEPT");
	line(e, "IE", "%s", GOTO("IW"));
	icmp_errors(e, "IL");
	line(e, "IL", "%s", GOTO("IW"));
	source_routes(e, "IW");
	ssh_lines(e);
	line(e, "IW", "%s", GOTO("IP"));
}

static void forward_chain(struct emit *e)
{
	bool keep = e->rs->settings.preserve_established;

	source_routes(e, "FWD");
	line(e, "FWD", STATE "RELATED,ESTABLISHED %s" NOTE("established") "-j ACCEPT", keep ? "" : "--ctdir REPLY ");
	line(e, "FWD", STATE "INVALID " NOTE("invalid") "-j DROP");
	line(e, "FWD", "%s", GOTO("FP"));
}

static int meta_chain(struct emit *e)
{
	ZT_STRBUF struct zt_strbuf meta = {0};
	int r = ipt_meta_make(e->rs, e->family == IPT_4, &meta);

	for (size_t at = 0; !r && at < meta.len; at += IPT_COMMENT_CHUNK)
		line(e, "META", "-m comment --comment \":%.*s\"", (int)ZT_MIN(meta.len - at, (size_t)IPT_COMMENT_CHUNK),
		     meta.buf + at);
	return r;
}

/* ---- the whole ---- */
static int compare_hashes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* -EAGAIN: two rules have chains of one name. */
static int unique_chains(struct emit *e)
{
	if (e->n_hashes)
		qsort(e->hashes, e->n_hashes, sizeof(*e->hashes), compare_hashes);
	for (size_t i = 1; i < e->n_hashes; i++)
		if (e->hashes[i] == e->hashes[i - 1])
			return -EAGAIN;
	return 0;
}

static void emit_done(struct emit *e)
{
	zt_strbuf_done(&e->chains);
	zt_strbuf_done(&e->lines);
	free(e->hashes);
}

static int family_text(const struct zt_ruleset *rs, int family, unsigned salt, char **ret)
{
	static const char *const fixed[] = {"META", "OUT", "OE", "OL", "OI",  "OP", "IN",
					    "IE",   "IL",  "IW", "IP", "FWD", "FP"};
	ZT_CLEANUP(emit_done) struct emit e = {.rs = rs, .family = family, .salt = salt};
	ZT_STRBUF struct zt_strbuf out = {0};
	int r;

	(void)ipt_suffix(rs->instance, e.suffix);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(fixed); i++)
		chain(&e, fixed[i]);
	r = meta_chain(&e);
	output_chains(&e);
	input_chains(&e);
	forward_chain(&e);
	verdict_chains(&e);
	for (size_t i = 0; !r && i < rs->n_rules; i++)
		r = rule_lines(&e, &rs->rules[i]);
	for (int dir = 0; dir < 3; dir++)
		default_line(&e, (enum zt_direction)dir);
	if (!r)
		r = unique_chains(&e);
	zt_strbuf_printf(&out, "*filter\n%s%s", zt_strbuf_cstr(&e.chains), zt_strbuf_cstr(&e.lines));
	for (int dir = 0; dir < 3; dir++)
		zt_strbuf_printf(&out, "-I %s 1 -j ZT-%s%s\n", ipt_builtin[dir], ipt_entry[dir], e.suffix);
	zt_strbuf_str(&out, "COMMIT\n");
	r = r ?: zt_strbuf_error(&e.chains) ?: zt_strbuf_error(&e.lines) ?: zt_strbuf_error(&out);
	if (r < 0)
		return r;
	*ret = zt_strbuf_steal(&out);
	return *ret ? 0 : -ENOMEM;
}

static int refuse(const struct zt_ruleset *rs, struct zt_diags *d)
{
	int r = zt_engine_refuse_unix(&zt_engine_iptables, rs, d)
			?: zt_engine_refuse_subjects(&zt_engine_iptables, rs, d);

	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].dir != ZT_DIR_UNIX && ipt_rule_refuse(rs, &rs->rules[i], d) < 0)
			r = -ENOTSUP;
	if (!ipt_log_burst(&rs->settings)) {
		(void)zt_diag(d, ZT_ERROR, 3201, NULL,
			      "log_limit: the iptables engine takes at least 1 and at most 10000 messages a second");
		r = -ENOTSUP;
	}
	return r;
}

int ipt_lower(const struct zt_ruleset *rs, struct zt_image **ret, struct zt_diags *d)
{
	ZT_CLEANUP(ipt_image_freep) struct zt_image *img = NULL;
	int r = refuse(rs, d);

	if (r < 0)
		return r;
	img = zt_new(struct zt_image, 1);
	if (!img || !(img->instance = zt_strdup(rs->instance)))
		return -ENOMEM;
	r = -EAGAIN;
	for (unsigned salt = 0; r == -EAGAIN && salt < SALTS; salt++) {
		free(ZT_TAKE(img->text[IPT_4]));
		r = family_text(rs, IPT_4, salt, &img->text[IPT_4]);
		if (!r)
			r = family_text(rs, IPT_6, salt, &img->text[IPT_6]);
	}
	if (r == -EAGAIN)
		return zt_diag(d, ZT_ERROR, 3201, NULL, "two rules have the same name and part");
	if (!r)
		*ret = ZT_TAKE(img);
	return r;
}
