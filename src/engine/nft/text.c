/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/nft/nft.h"
#include "identity/identity.h"
#include "mark.h"

const char *nft_dir_name(enum zt_direction dir)
{
	static const char *const names[] = {[ZT_DIR_EGRESS] = "out", [ZT_DIR_INGRESS] = "in", [ZT_DIR_FORWARD] = "fwd"};

	return names[dir];
}

void nft_table_name(const char *instance, char buf[static 64])
{
	bool plain = !instance || !strcmp(instance, "default");

	(void)snprintf(buf, 64, plain ? "zt_segment" : "zt_segment_%s", instance); /* instances have at most 16 bytes */
}

/* ---- verdicts: one letter a verdict, a hash of the rule where the rule logs by its own name ---- */
static const char verdict_letter[] = {[ZT_ALLOW] = 'a', [ZT_DROP] = 'd', [ZT_REJECT] = 'r', [ZT_OBSERVE] = 'o'};

static uint32_t rule_hash(const struct zt_rule *r)
{
	uint32_t h = 2166136261u;

	for (const char *p = r->id; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	return h;
}

static void verdict_chain(const struct zt_rule *r, char buf[static 48])
{
	const char *dir = nft_dir_name(r->dir);

	if (r->log)
		(void)snprintf(buf, 48, "%s_log%c_%08x", dir, verdict_letter[r->verdict], rule_hash(r));
	else
		(void)snprintf(buf, 48, "%s_%s", dir, zt_verdict_name(r->verdict));
}

void nft_verdict_text(const struct zt_rule *r, char buf[static 64])
{
	char chain[48];

	if (r->verdict == ZT_ALLOW && !r->log) {
		(void)snprintf(buf, 64, "accept");
		return;
	}
	verdict_chain(r, chain);
	(void)snprintf(buf, 64, "goto %s", chain);
}

bool nft_verdict_parse(bool accept, const char *chain, enum zt_verdict *ret, bool *ret_log)
{
	const char *p = strchr(chain, '_');

	*ret_log = false;
	*ret = ZT_ALLOW;
	if (accept)
		return true;
	for (int v = ZT_ALLOW; p && v <= ZT_OBSERVE; v++) {
		*ret = (enum zt_verdict)v;
		*ret_log = !strncmp(p, "_log", 4) && p[4] == verdict_letter[v] && p[5] == '_';
		if (*ret_log || !strcmp(p + 1, zt_verdict_name(*ret)))
			return true;
	}
	return false;
}

void nft_comment(const struct zt_image *img, uint32_t rule, char buf[static NFT_COMMENT_MAX + 1])
{
	const struct zt_rule *r = &img->rs->rules[rule];

	struct nft_refs refs = nft_refs_of(img, rule);
	char part[16] = "", ends[32] = "";

	if (r->part)
		(void)snprintf(part, sizeof(part), ".%u", r->part);
	if (refs.from || refs.to)
		(void)snprintf(ends, sizeof(ends), " %u>%u", refs.from, refs.to);
	/* 64 + 2 + 20 + 11 + 22 bytes at most */
	(void)snprintf(buf, NFT_COMMENT_MAX + 1, "%s #%llu%s%s", r->id, (unsigned long long)img->okey[rule], part,
		       ends);
}

/* ---- fixed parts ---- */
static const char *const counters[] = {"established", "related", "essential",	"loopback",
				       "ssh",	      "invalid", "default_out", "default_in",
				       "default_fwd", "logged",	 "suppressed",	"raw_frames"};

void nft_text_counters(const struct zt_image *img, struct zt_strbuf *out)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(counters); i++)
		zt_strbuf_printf(out, "\tcounter %s {\n\t}\n", counters[i]);
	zt_strbuf_str(out, "\tset zt_meta {\n\t\ttype mark\n\t}\n");
	if (img->marks)
		zt_strbuf_str(out, "\tset zt_same {\n\t\ttypeof meta mark . socket mark\n\t}\n");
}

static uint32_t number_bits(const struct nft_marks *m)
{
	return m->mask & ~nft_marks_flag(m);
}

/* Pairs of a packet's mark and its socket's that agree. */
void nft_text_same(const struct zt_image *img, struct zt_strbuf *out)
{
	const struct nft_marks *m = img->marks;
	char table[64];

	if (!m)
		return;
	nft_table_name(img->rs->instance, table);
	zt_strbuf_printf(out, "add element inet %s zt_same { 0 . 0", table);
	for (int s = 0; s < N_MARK_SPACES; s++)
		for (size_t i = 0; i < m->sets[s].n; i++) {
			uint32_t mark = m->number[s][i] << nft_marks_shift(m);

			if (mark)
				zt_strbuf_printf(out, ",\n\t0x%08x . 0x%08x", mark, mark);
		}
	zt_strbuf_str(out, " }\n");
}

void nft_text_maps(const struct zt_image *img, struct zt_strbuf *out)
{
	for (size_t i = 0; i < img->n_strata; i++) {
		const struct nft_stratum *s = &img->strata[i];

		zt_strbuf_printf(out, "\tmap %s {\n\t\ttypeof ", s->name);
		nft_shape_key_text(&s->shape, 0, false, out);
		zt_strbuf_printf(out, " : verdict\n%s\t\tcounter\n\t}\n",
				 s->shape.interval ? "\t\tflags interval\n" : "");
	}
}

static const char *limit_unit(const struct zt_settings *s)
{
	static const char *const units[] = {"second", "minute", "hour", "day"};

	return units[s->log_limit_per];
}

/* Logs to the kernel log and to nflog behind one limit; what the limit swallows is counted. */
static void log_rules(const struct zt_image *img, const char *prefix, const char *rule, struct zt_strbuf *out)
{
	const struct zt_settings *s = &img->rs->settings;
	char full[128];

	if (rule)
		(void)snprintf(full, sizeof(full), "%srule=%s ", prefix,
			       rule); /* 60 + 5 + 64 + 1 bytes: cut at 127, as nft would */
	else
		(void)snprintf(full, sizeof(full), "%s", prefix);
	zt_strbuf_printf(
		out,
		"\t\tlimit rate %u/%s burst %u packets counter name logged log prefix \"%s\" level warn flags skuid "
		"log prefix \"%s\" group %d return\n\t\tcounter name suppressed\n",
		s->log_limit, limit_unit(s), ZT_MAX(s->log_limit, 5u), full, full, ZT_NFLOG_GROUP);
}

static void log_chain(const struct zt_image *img, const char *name, const char *prefix, const char *rule,
		      struct zt_strbuf *out)
{
	zt_strbuf_printf(out, "\tchain %s {\n", name);
	log_rules(img, prefix, rule, out);
	zt_strbuf_str(out, "\t}\n");
}

static bool has_pairs(const struct zt_image *img)
{
	return img->marks && img->marks->pairs;
}

/* What ends a packet: in output an error at the sender's system call, elsewhere an answer to the peer. Pairs are decided where the packet
 * arrives from lo, and the answer is the one of a port that is closed. */
static void end_packet(const struct zt_image *img, enum zt_direction dir, enum zt_verdict v, struct zt_strbuf *out)
{
	if (v == ZT_ALLOW || v == ZT_OBSERVE) {
		zt_strbuf_str(out, "\t\taccept\n");
		return;
	}
	if (v == ZT_REJECT) {
		zt_strbuf_str(out, "\t\tmeta l4proto tcp reject with tcp reset\n");
		if (dir != ZT_DIR_EGRESS)
			zt_strbuf_str(out, "\t\treject with icmpx type admin-prohibited\n");
		else if (has_pairs(img))
			zt_strbuf_str(out, "\t\tiif 1 reject with icmpx type port-unreachable\n");
	}
	zt_strbuf_str(out, "\t\tdrop\n");
}

static bool softens_loopback(const struct zt_image *img, enum zt_direction dir, enum zt_verdict v)
{
	return dir == ZT_DIR_EGRESS && (v == ZT_DROP || v == ZT_REJECT) &&
	       img->rs->settings.loopback == ZT_LOOPBACK_OBSERVE;
}

static void verdict_chain_text(const struct zt_image *img, enum zt_direction dir, enum zt_verdict v,
			       struct zt_strbuf *out)
{
	const char *d = nft_dir_name(dir);
	bool blocks = v == ZT_DROP || v == ZT_REJECT;

	zt_strbuf_printf(out, "\tchain %s_%s {\n", d, zt_verdict_name(v));
	if (softens_loopback(img, dir, v))
		zt_strbuf_printf(out, "\t\toif 1 goto out_observe\n%s",
				 has_pairs(img) ? "\t\tiif 1 goto out_observe\n" : "");
	if (v == ZT_OBSERVE)
		zt_strbuf_str(out, "\t\tjump log_observed\n");
	else if (blocks && img->rs->settings.log_blocked)
		zt_strbuf_str(out, "\t\tjump log_blocked\n");
	end_packet(img, dir, v, out);
	zt_strbuf_str(out, "\t}\n");
}

static const char *named_prefix(const struct zt_image *img, enum zt_verdict v)
{
	return v == ZT_ALLOW ? ZT_PREFIX_ALLOWED : v == ZT_OBSERVE ? ZT_PREFIX_OBSERVED : img->rs->settings.log_prefix;
}

static void named_chains(const struct zt_image *img, bool bodies, struct zt_strbuf *out)
{
	for (size_t i = 0; i < img->rs->n_rules; i++) {
		const struct zt_rule *r = &img->rs->rules[i];
		char chain[48];

		if (!r->log || r->part)
			continue;
		verdict_chain(r, chain);
		if (!bodies) {
			zt_strbuf_printf(out, "\tchain %s {\n\t}\n", chain);
			continue;
		}
		zt_strbuf_printf(out, "\tchain %s_log {\n", chain);
		log_rules(img, named_prefix(img, r->verdict), r->id, out);
		zt_strbuf_printf(out, "\t}\n\tchain %s {\n\t\tjump %s_log\n", chain, chain);
		if (softens_loopback(img, r->dir, r->verdict))
			zt_strbuf_printf(out, "\t\toif 1 accept\n%s", has_pairs(img) ? "\t\tiif 1 accept\n" : "");
		end_packet(img, r->dir, r->verdict, out);
		zt_strbuf_str(out, "\t}\n");
	}
}

void nft_text_helper_names(const struct zt_image *img, struct zt_strbuf *out)
{
	for (int dir = 0; dir < 3; dir++)
		for (int v = ZT_DROP; v <= ZT_OBSERVE; v++)
			zt_strbuf_printf(out, "\tchain %s_%s {\n\t}\n", nft_dir_name((enum zt_direction)dir),
					 zt_verdict_name((enum zt_verdict)v));
	named_chains(img, false, out);
}

void nft_text_helpers(const struct zt_image *img, struct zt_strbuf *out)
{
	log_chain(img, "log_blocked", img->rs->settings.log_prefix, NULL, out);
	log_chain(img, "log_observed", ZT_PREFIX_OBSERVED, NULL, out);
	for (int v = ZT_OBSERVE; v >= ZT_DROP; v--)
		for (int dir = 0; dir < 3; dir++)
			verdict_chain_text(img, (enum zt_direction)dir, (enum zt_verdict)v, out);
	named_chains(img, true, out);
}

/* ---- guards: weekly windows in UTC as pieces of single days ---- */
static void hours_text(uint32_t from, uint32_t to, struct zt_strbuf *out)
{
	if (from == 0 && to == 86400)
		return;
	to--;
	zt_strbuf_printf(out, "meta hour \"%02u:%02u:%02u\"-\"%02u:%02u:%02u\" ", from / 3600, from / 60 % 60,
			 from % 60, to / 3600, to / 60 % 60, to % 60);
}

static void lookup_rule(const struct zt_image *img, const struct nft_stratum *s, bool ended, const char *guard,
			struct zt_strbuf *out)
{
	zt_strbuf_printf(out, "\t\t%s", guard);
	nft_shape_key_text(&s->shape, img->marks ? number_bits(img->marks) : 0, ended, out);
	zt_strbuf_printf(out, " vmap @%s\n", s->name);
}

static void expiry_text(const struct nft_guard *g, struct zt_strbuf *out)
{
	char iso[32];

	if (!g->expires)
		return;
	zt_time_format(g->expires, iso); /* "2026-12-31T00:00:00Z"; nft wants a blank, and runs with TZ=UTC */
	iso[10] = ' ';
	iso[19] = '\0';
	zt_strbuf_printf(out, "meta time < \"%s\" ", iso);
}

static void stratum_rules(const struct zt_image *img, const struct nft_stratum *s, bool ended, struct zt_strbuf *out)
{
	static const char *const days[] = {"Monday", "Tuesday",	 "Wednesday", "Thursday",
					   "Friday", "Saturday", "Sunday"};
	const struct nft_guard *g = &img->guards[s->guard];
	ZT_STRBUF struct zt_strbuf guard = {0};

	if (!g->n_windows) {
		expiry_text(g, &guard);
		lookup_rule(img, s, ended, zt_strbuf_cstr(&guard), out);
	}
	for (size_t i = 0; i < g->n_windows; i++)
		for (uint32_t day = g->windows[i].start / 86400; day < 7 && day * 86400 < g->windows[i].end; day++) {
			uint32_t base = day * 86400;

			zt_strbuf_clear(&guard);
			expiry_text(g, &guard);
			zt_strbuf_printf(&guard, "meta day \"%s\" ", days[day]);
			hours_text(ZT_MAX(g->windows[i].start, base) - base,
				   ZT_MIN(g->windows[i].end, base + 86400) - base, &guard);
			lookup_rule(img, s, ended, zt_strbuf_cstr(&guard), out);
		}
}

/*
 * A packet's mark is its socket's, unless somebody with the right to do so gave the packet another one (SO_MARK as a control message), or a
 * tunnel took it over: then nobody knows who sends it. What goes through lo is decided where it arrives, in policies with receivers.
 */
static void trust_chain(const struct zt_image *img, struct zt_strbuf *out)
{
	uint32_t number = number_bits(img->marks);

	zt_strbuf_printf(out,
			 "\t\tmeta mark & 0x%08x . socket mark & 0x%08x != @zt_same meta mark set meta mark & 0x%08x\n",
			 number, number, ~img->marks->mask);
	zt_strbuf_printf(out, "\t\tct mark 0 ct mark set meta mark & 0x%08x\n", number);
	if (has_pairs(img))
		zt_strbuf_printf(out, "\t\toif 1 meta mark set meta mark | 0x%08x accept\n",
				 nft_marks_flag(img->marks));
}

/* Twice: with both ends as they are, and where the receiver's number came with the packet: then the sender's goes to the connection's mark, because
 * nft (1.1) takes no shifted value for a part of a key. */
static void lo_chains(const struct zt_image *img, struct zt_strbuf *out)
{
	for (int ended = 1; ended >= 0; ended--) {
		zt_strbuf_printf(out, "\tchain lo_%s {\n", ended ? "ended" : "rules");
		if (!ended)
			zt_strbuf_printf(out, "\t\tmeta priority %x:%x goto lo_ended\n", ZT_MARK_ENDED >> 16,
					 ZT_MARK_ENDED & 0xffff);
		else
			zt_strbuf_printf(out, "\t\tct mark set meta mark & 0x%08x\n\t\tmeta mark set meta mark << %u\n",
					 number_bits(img->marks), nft_marks_shift(img->marks));
		for (size_t i = 0; i < img->n_strata; i++)
			if (img->strata[i].dir == ZT_DIR_EGRESS)
				stratum_rules(img, &img->strata[i], ended, out);
		zt_strbuf_str(out, "\t\tgoto out_default\n\t}\n");
	}
}

/* Only what arrives has a receiver. */
static bool has_place(const struct zt_image *img, const struct nft_stratum *s, enum zt_direction dir)
{
	return s->dir == dir && !(dir == ZT_DIR_EGRESS && has_pairs(img) && s->shape.dims & (1u << DIM_TO));
}

static void rules_chain(const struct zt_image *img, enum zt_direction dir, struct zt_strbuf *out)
{
	const char *d = nft_dir_name(dir);
	enum zt_verdict v = img->rs->settings.block == ZT_BLOCK_DROP ? ZT_DROP : ZT_REJECT;

	zt_strbuf_printf(out, "\tchain %s_default {\n\t\tcounter name default_%s\n", d, d);
	if (img->rs->settings.def[dir] == ZT_DEFAULT_ALLOW)
		zt_strbuf_str(out, "\t\taccept\n");
	else
		zt_strbuf_printf(out, "\t\tgoto %s_%s\n", d,
				 zt_verdict_name(img->rs->settings.mode == ZT_MODE_OBSERVE ? ZT_OBSERVE : v));
	zt_strbuf_printf(out, "\t}\n\tchain %s_rules {\n", d);
	if (dir == ZT_DIR_EGRESS && img->marks)
		trust_chain(img, out);
	for (size_t i = 0; i < img->n_strata; i++)
		if (has_place(img, &img->strata[i], dir))
			stratum_rules(img, &img->strata[i], false, out);
	zt_strbuf_printf(out, "\t\tgoto %s_default\n\t}\n", d);
}

/* ---- base chains ---- */
/* Device 1 is lo in every network namespace; a number is cheaper to compare than a name. */
#define OWNED "meta skuid 0-4294967295"

/* A source route sends a packet past the address that its header shows: IPv4 options of more than a word (a router alert is one, a route with one address
 * two), and routing headers. */
static void source_routes(struct zt_strbuf *out)
{
	zt_strbuf_str(out, "\t\tip hdrlength > 6 counter name invalid drop\n"
			   "\t\texthdr rt exists counter name invalid drop\n");
}

/* A rule about localhost means this host. A socket that is bound to another device sends there what it sends to 127.0.0.1. What REDIRECT turned
 * to localhost goes through lo, though the hook goes on telling of the device that it had before. Without tracking ct matches nothing. */
static void local_only(struct zt_strbuf *out)
{
	zt_strbuf_str(out, "\t\toif != 1 ip daddr 127.0.0.0/8 jump out_elsewhere\n"
			   "\t\toif != 1 ip6 daddr ::1 jump out_elsewhere\n");
}

static void output_chains(const struct zt_image *img, struct zt_strbuf *out)
{
	const struct zt_settings *s = &img->rs->settings;

	/* Packets of other protocols than TCP are judged again, each one, in the direction their sender opened (a UDP flow outlives
	 * its socket, and the next owner of the port must not inherit it). */
	/* A packet to oneself of a protocol without ports looks the same in both directions: it is no answer to anything. */
	zt_strbuf_str(out,
		      "\tchain out_established {\n"
		      "\t\toif 1 meta l4proto != { tcp, udp, icmp, ipv6-icmp, sctp, dccp, udplite } goto out_rules\n");
	zt_strbuf_str(out, "\t\tct direction reply counter name established accept\n");
	if (!s->preserve_established) /* else chain output has accepted it */
		zt_strbuf_str(out, "\t\tmeta l4proto tcp " OWNED " goto out_rules\n"
				   "\t\tmeta l4proto tcp counter name established accept\n");
	zt_strbuf_str(out, "\t\tgoto out_rules\n\t}\n");
	/* Errors and resets are made by the kernel: they have no owner. */
	zt_strbuf_str(
		out,
		"\tchain out_related {\n\t\t" OWNED " goto out_rules\n"
		"\t\tmeta l4proto tcp tcp flags & rst == rst counter name related accept\n"
		"\t\ticmp type { destination-unreachable, time-exceeded, parameter-problem } counter name related accept\n"
		"\t\ticmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } "
		"counter name related accept\n\t\tgoto out_rules\n\t}\n");
	zt_strbuf_str(out, "\tchain out_invalid {\n\t\t" OWNED " counter name invalid drop\n"
			   "\t\tmeta l4proto tcp tcp flags & rst == rst counter name related accept\n"
			   "\t\tcounter name invalid drop\n\t}\n");
	zt_strbuf_str(out,
		      "\tchain out_essential {\n"
		      "\t\ticmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 "
		      "counter name essential accept\n"
		      "\t\ticmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } ip6 hoplimit 1 "
		      "counter name essential accept\n\t}\n");
	zt_strbuf_str(out, "\tchain out_elsewhere {\n\t\tct status dnat return\n\t\tcounter name invalid drop\n\t}\n");
	zt_strbuf_str(out, "\tchain output {\n\t\ttype filter hook output priority filter - 10; policy drop;\n");
	if (s->loopback == ZT_LOOPBACK_ALLOW) {
		source_routes(out);
		zt_strbuf_str(out, "\t\toif 1 counter name loopback accept\n");
	}
	/* What most packets are comes first: four cheap expressions instead of a map, a chain and three rules. */
	if (s->preserve_established)
		zt_strbuf_str(out, "\t\tct state established meta l4proto tcp counter name established accept\n");
	if (s->loopback != ZT_LOOPBACK_ALLOW)
		source_routes(out);
	local_only(out);
	zt_strbuf_str(out, "\t\tct state vmap { established : goto out_established, related : goto out_related, "
			   "invalid : goto out_invalid }\n\t\tmeta l4proto ipv6-icmp jump out_essential\n");
	zt_strbuf_str(out, "\t\tgoto out_rules\n\t}\n");
}

static void ssh_rule(const struct zt_image *img, struct zt_strbuf *out)
{
	const struct zt_u32_ranges *l = &img->rs->ssh_ports;

	if (!l->n)
		return;
	zt_strbuf_str(out, "\t\ttcp dport { ");
	for (size_t i = 0; i < l->n; i++)
		zt_strbuf_printf(out, l->v[i].lo == l->v[i].hi ? "%s%u" : "%s%u-%u", i ? ", " : "", l->v[i].lo,
				 l->v[i].hi);
	zt_strbuf_str(out, " } counter name ssh accept\n");
}

static void input_chains(const struct zt_image *img, struct zt_strbuf *out)
{
	zt_strbuf_str(out, "\tchain in_established {\n\t\tct direction reply counter name established accept\n");
	if (img->rs->settings.preserve_established)
		zt_strbuf_str(out, "\t\tmeta l4proto tcp counter name established accept\n");
	zt_strbuf_str(out, "\t\tgoto in_new\n\t}\n");
	zt_strbuf_str(
		out,
		"\tchain in_related {\n"
		"\t\ticmp type { destination-unreachable, time-exceeded, parameter-problem } counter name related accept\n"
		"\t\ticmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } "
		"counter name related accept\n\t\tgoto in_new\n\t}\n");
	zt_strbuf_str(
		out,
		"\tchain in_essential {\n"
		"\t\ticmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } "
		"ip6 hoplimit 255 counter name essential accept\n"
		"\t\ticmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } "
		"ip6 hoplimit 1 counter name essential accept\n\t}\n");
	zt_strbuf_str(out, "\tchain in_new {\n");
	source_routes(out);
	ssh_rule(img, out);
	zt_strbuf_str(out, "\t\tgoto in_rules\n\t}\n");
	/* What comes from lo was judged when it was sent: it still has its route. A frame that a packet socket wrote to lo has none,
	 * and reading the class of a route that is not there ends the rule. Mask and comparison always hold; the kernel has
	 * short cuts for them, which it has not for a range. */
	zt_strbuf_str(out, "\tchain prerouting {\n\t\ttype filter hook prerouting priority raw; policy accept;\n"
			   "\t\tmeta rtclassid & 0 == 0 accept\n\t\tiif != 1 accept\n"
			   "\t\tcounter name raw_frames drop\n\t}\n");
	zt_strbuf_str(out, "\tchain input {\n\t\ttype filter hook input priority filter - 10; policy drop;\n");
	if (has_pairs(img))
		zt_strbuf_printf(out, "\t\tiif 1 meta mark & 0x%08x != 0 goto lo_rules\n", nft_marks_flag(img->marks));
	zt_strbuf_str(out, "\t\tiif 1 counter name loopback accept\n"
			   "\t\tct state vmap { established : goto in_established, related : goto in_related }\n"
			   "\t\tct state invalid counter name invalid drop\n"
			   "\t\tmeta l4proto ipv6-icmp jump in_essential\n\t\tgoto in_new\n\t}\n");
}

void nft_text_base(const struct zt_image *img, struct zt_strbuf *out)
{
	for (int dir = 0; dir < 3; dir++)
		rules_chain(img, (enum zt_direction)dir, out);
	if (has_pairs(img))
		lo_chains(img, out);
	output_chains(img, out);
	input_chains(img, out);
	zt_strbuf_str(out, "\tchain forward {\n\t\ttype filter hook forward priority filter - 10; policy drop;\n");
	source_routes(out);
	if (img->rs->settings.preserve_established)
		zt_strbuf_str(out, "\t\tct state { established, related } counter name established accept\n");
	else
		zt_strbuf_str(
			out,
			"\t\tct state { established, related } ct direction reply counter name established accept\n");
	zt_strbuf_str(out, "\t\tct state invalid counter name invalid drop\n\t\tgoto fwd_rules\n\t}\n");
}

/* ---- elements and the whole ---- */
int nft_text_elements(const struct zt_image *img, struct zt_strbuf *out)
{
	char table[64], verdict[64], comment[NFT_COMMENT_MAX + 1];
	ZT_FREE char *prefix = NULL;
	bool open = false;
	uint32_t stratum = UINT32_MAX;

	nft_table_name(img->rs->instance, table);
	if (zt_cgroup_nft_prefix(&prefix) < 0)
		prefix = zt_strdup("");
	for (size_t i = 0; prefix && i < img->n_elems; i++) {
		const struct nft_elem *e = &img->elems[i];
		ZT_STRBUF struct zt_strbuf key = {0};

		if (!nft_shape_elem_text(img, &img->strata[e->stratum].shape, e, prefix, &key))
			continue;
		if (open && stratum != e->stratum) {
			zt_strbuf_str(out, "\n}\n");
			open = false;
		}
		if (!open)
			zt_strbuf_printf(out, "add element inet %s %s {\n", table, img->strata[e->stratum].name);
		nft_verdict_text(&img->rs->rules[e->rule], verdict);
		nft_comment(img, e->rule, comment);
		zt_strbuf_printf(out, "%s\t%s counter packets %llu bytes %llu comment \"%s\" : %s", open ? ",\n" : "",
				 zt_strbuf_cstr(&key), (unsigned long long)e->packets, (unsigned long long)e->bytes,
				 comment, verdict);
		open = true;
		stratum = e->stratum;
	}
	if (open)
		zt_strbuf_str(out, "\n}\n");
	return prefix ? zt_strbuf_error(out) : -ENOMEM;
}

int nft_text_full(const struct zt_image *img, bool with_elements, struct zt_strbuf *out)
{
	ZT_CLEANUP(nft_meta_done) struct nft_meta meta = {0};
	char table[64];
	int r = nft_meta_make(img, &meta);

	if (r < 0)
		return r;
	nft_table_name(img->rs->instance, table);
	zt_strbuf_printf(out, "#!/usr/sbin/nft -f\n# zt-segment, instance %s, policy %s\ntable inet %s {\n",
			 img->rs->instance, img->rs->policy_name, table);
	nft_text_counters(img, out);
	nft_text_helper_names(img, out);
	nft_text_maps(img, out);
	nft_text_helpers(img, out);
	nft_text_base(img, out);
	zt_strbuf_str(out, "}\n");
	nft_meta_text(&meta, table, out);
	nft_text_same(img, out);
	r = with_elements ? nft_text_elements(img, out) : 0;
	nft_fence_text(img, out);
	return r ? r : zt_strbuf_error(out);
}
