/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "cli/bench.h"
#include "identity/identity.h"

/*
 * The same policy for every variant: n - 1 rules of other users to other hosts, then the client's own. It is what a host of many
 * services looks like, and the worst case of a list.
 */
static uint32_t filler_uid(unsigned i)
{
	return 20000 + i % 500;
}

static void filler_addr(unsigned i, char buf[static 32])
{
	(void)snprintf(buf, 32, "10.%u.%u.%u", 1 + i / 60000 % 90, i / 250 % 240, 1 + i % 250);
}

static unsigned filler_port(unsigned i)
{
	return 1024 + i * 7 % 60000;
}

/* ---- this program ---- */
static int add_rule(struct zt_ruleset *rs, const char *name, uint32_t uid, const char *const *hosts, uint32_t port_lo,
		    uint32_t port_hi)
{
	struct zt_rule *r = zt_ruleset_add(rs);
	struct zt_addr_range a;
	int e = r ? 0 : -ENOMEM;

	if (e)
		return e;
	r->id = zt_strdup(name);
	r->dir = ZT_DIR_EGRESS;
	r->verdict = ZT_ALLOW;
	r->match.families = ZT_FAMILY_4;
	e = r->id ? zt_u32_ranges_add(&r->match.uid, uid, uid) : -ENOMEM;
	for (; !e && *hosts; hosts++) {
		e = zt_addr_range_parse(*hosts, &a, NULL);
		if (!e)
			e = zt_addr_ranges_add(&r->match.dst4, &a);
	}
	if (!e)
		e = zt_u32_ranges_add(&r->match.proto, 6, 6);
	if (!e && port_lo != port_hi)
		e = zt_u32_ranges_add(&r->match.proto, 17, 17);
	return e ? e : zt_u32_ranges_add(&r->match.port, port_lo, port_hi);
}

static int own_subject(struct zt_ruleset *rs, struct zt_rule *rule)
{
	char self[] = "/proc/self/exe", text[] = "the client"; /* copied */
	struct zt_exe exe = {.path = self};
	struct zt_exe_seen seen;
	struct zt_subject who = {.text = text, .exes = &exe, .n_exes = 1};
	struct zt_cgroup group = {0};
	char path[32];
	unsigned level = 0;
	int r = zt_exe_lookup(NULL, exe.path, true, &seen);

	zt_bench_group((int)getpid(), path);
	r = r ? r : zt_cgroup_lookup(NULL, path, &group.id, &level);
	if (r < 0)
		return r;
	exe.id = (struct zt_file_id){
		.dev = seen.dev, .ino = seen.ino, .ctime_sec = seen.ctime_sec, .ctime_nsec = seen.ctime_nsec};
	(void)snprintf(exe.digest, sizeof(exe.digest), "%s", seen.digest);
	group.path = path;
	group.level = level;
	who.cgroups = &group;
	who.n_cgroups = 1;
	r = zt_u32_ranges_add(&who.uid, ZT_BENCH_UID, ZT_BENCH_UID);
	r = r ? r : zt_ruleset_subject(rs, &who, &rule->match.from);
	zt_u32_ranges_done(&who.uid);
	return r;
}

static int server_subject(struct zt_ruleset *rs, struct zt_rule *rule)
{
	char text[] = "the server"; /* copied */
	struct zt_subject who = {.text = text};
	int r = zt_u32_ranges_add(&who.uid, 0, 0);

	r = r ? r : zt_ruleset_subject(rs, &who, &rule->match.to);
	zt_u32_ranges_done(&who.uid);
	return r;
}

int zt_bench_ruleset(unsigned n, bool identity, enum zt_bench_path path, struct zt_ruleset **ret)
{
	static const char *const own[] = {"10.99.0.2", "127.0.0.1", NULL};
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int r = zt_ruleset_new(&rs);

	for (unsigned i = 0; !r && i + 1 < n; i++) {
		char name[32], addr[32];
		const char *const hosts[] = {addr, NULL};

		(void)snprintf(name, sizeof(name), "filler-%u", i);
		filler_addr(i, addr);
		r = add_rule(rs, name, filler_uid(i), hosts, filler_port(i), filler_port(i));
	}
	if (!r)
		r = add_rule(rs, "bench", ZT_BENCH_UID, own, ZT_BENCH_PORT, ZT_BENCH_PORT + 1);
	if (!r && identity)
		r = own_subject(rs, &rs->rules[rs->n_rules - 1]);
	if (!r && identity && path == ZT_BENCH_LOOPBACK)
		r = server_subject(rs, &rs->rules[rs->n_rules - 1]);
	if (!r) {
		rs->generation = 1;
		rs->settings.block = ZT_BLOCK_REJECT;
		r = zt_ruleset_rehash(rs);
	}
	if (!r)
		*ret = ZT_TAKE(rs);
	return r;
}

static int load_engine(const struct zt_engine *e, const struct zt_bench_variant *v, bool identity)
{
	static char group[32]; /* borrowed by the engine */
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_image *img = NULL;
	bool changed;
	int r = zt_bench_ruleset(v->rules, identity, v->path, &rs);

	zt_bench_group((int)getpid(), group);
	zt_engine_cgroup(group);
	if (!r)
		r = e->lower(rs, &img, NULL);
	if (!r)
		r = e->commit(img, &changed, NULL);
	if (img)
		e->image_free(img);
	return r;
}

static int load_zt(void *arg)
{
	return load_engine(&zt_engine_nft, arg, false);
}

static int load_labels(void *arg)
{
	return load_engine(&zt_engine_nft, arg, true);
}

static int load_bpf(void *arg)
{
	return load_engine(&zt_engine_bpf, arg, true);
}

static int load_hooks(void *arg)
{
	char group[32];

	(void)arg;
	zt_bench_group((int)getpid(), group);
	return zt_bpf_floor(group, false);
}

static int load_storage(void *arg)
{
	char group[32];

	(void)arg;
	zt_bench_group((int)getpid(), group);
	return zt_bpf_floor(group, true);
}

/* ---- the others ---- */
static int feed(const char *program, struct zt_strbuf *text)
{
	const char *const argv[] = {program, !strcmp(program, "nft") ? "-f" : "-n",
				    !strcmp(program, "nft") ? "-" : NULL, NULL};
	ZT_CLEANUP(zt_run_done) struct zt_run run = {.argv = argv, .input = text->buf, .input_len = text->len};
	int r = zt_strbuf_error(text);

	if (!r)
		r = zt_run(&run);
	return r ? r : run.status ? -EIO : 0;
}

static int load_conntrack(void *arg)
{
	ZT_STRBUF struct zt_strbuf t = {0};

	(void)arg;
	zt_strbuf_str(&t, "table inet b {\n\tchain i {\n\t\ttype filter hook input priority 0; policy accept;\n"
			  "\t\tct state established,related accept\n\t}\n"
			  "\tchain o {\n\t\ttype filter hook output priority 0; policy drop;\n"
			  "\t\tct state established,related accept\n\t\taccept\n\t}\n}\n");
	return feed("nft", &t);
}

static int load_linear(void *arg)
{
	const struct zt_bench_variant *v = arg;
	ZT_STRBUF struct zt_strbuf t = {0};

	zt_strbuf_str(
		&t,
		"table inet b {\n\tchain i {\n\t\ttype filter hook input priority 0; policy drop;\n\t\tiif lo accept\n"
		"\t\tct state established,related accept\n\t}\n"
		"\tchain o {\n\t\ttype filter hook output priority 0; policy drop;\n"
		"\t\tct state established,related accept\n");
	for (unsigned i = 0; i + 1 < v->rules; i++) {
		char addr[32];

		filler_addr(i, addr);
		zt_strbuf_printf(&t, "\t\tmeta skuid %u ip daddr %s tcp dport %u counter accept\n", filler_uid(i), addr,
				 filler_port(i));
	}
	zt_strbuf_printf(&t,
			 "\t\tmeta skuid %u ip daddr { 127.0.0.1, 10.99.0.2 } th dport %u-%u counter accept\n\t}\n}\n",
			 ZT_BENCH_UID, ZT_BENCH_PORT, ZT_BENCH_PORT + 1);
	return feed("nft", &t);
}

static int load_iptables(const struct zt_bench_variant *v, const char *program)
{
	ZT_STRBUF struct zt_strbuf t = {0};

	zt_strbuf_str(&t, "*filter\n:INPUT DROP [0:0]\n:OUTPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n"
			  "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n"
			  "-A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n");
	for (unsigned i = 0; i + 1 < v->rules; i++) {
		char addr[32];

		filler_addr(i, addr);
		zt_strbuf_printf(&t, "-A OUTPUT -d %s/32 -p tcp -m owner --uid-owner %u -m tcp --dport %u -j ACCEPT\n",
				 addr, filler_uid(i), filler_port(i));
	}
	for (int k = 0; k < 4; k++)
		zt_strbuf_printf(&t, "-A OUTPUT -d %s/32 -p %s -m owner --uid-owner %u -m %s --dport %u:%u -j ACCEPT\n",
				 k & 1 ? "127.0.0.1" : "10.99.0.2", k & 2 ? "tcp" : "udp", ZT_BENCH_UID,
				 k & 2 ? "tcp" : "udp", ZT_BENCH_PORT, ZT_BENCH_PORT + 1);
	zt_strbuf_str(&t, "COMMIT\n");
	return feed(program, &t);
}

static int load_legacy(void *arg)
{
	return load_iptables(arg, "iptables-legacy-restore");
}

static int load_ipt_nft(void *arg)
{
	return load_iptables(arg, "iptables-nft-restore");
}

static const struct zt_bench_variant variants[] = {
	{"none", 0, NULL, true, ZT_BENCH_LOOPBACK},
	{"conntrack", 0, load_conntrack, false, ZT_BENCH_LOOPBACK},
	{"empty hooks", 0, load_hooks, true, ZT_BENCH_LOOPBACK},
	{"hooks, storage", 0, load_storage, true, ZT_BENCH_LOOPBACK},
	{"zt-segment", 10, load_zt, true, ZT_BENCH_LOOPBACK},
	{"nft labels", 10, load_labels, true, ZT_BENCH_LOOPBACK},
	{"bpf", 10, load_bpf, true, ZT_BENCH_LOOPBACK},
	{"nft linear", 10, load_linear, false, ZT_BENCH_LOOPBACK},
	{"iptables-legacy", 10, load_legacy, false, ZT_BENCH_LOOPBACK},
	{"iptables-nft", 10, load_ipt_nft, false, ZT_BENCH_LOOPBACK},
};

const struct zt_bench_variant *zt_bench_find(const char *name)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(variants); i++)
		if (!strcmp(variants[i].name, name))
			return &variants[i];
	return NULL;
}
