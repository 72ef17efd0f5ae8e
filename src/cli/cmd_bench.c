/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/table.h"
#include "cli/bench.h"
#include "cli/cli.h"

struct bench_choice {
	const char *name;
	unsigned rules;
	bool full_only;
};
static const struct bench_choice choices[] = {
	{"conntrack", 0, false},
	{"empty hooks", 0, false},
	{"hooks, storage", 0, false},
	{"zt-segment", 10, false},
	{"zt-segment", 10000, false},
	{"zt-segment", 100000, true},
	{"nft labels", 10, true},
	{"nft labels", 10000, false},
	{"nft labels", 100000, true},
	{"bpf", 10, false},
	{"bpf", 10000, false},
	{"bpf", 100000, true},
	{"nft linear", 1000, false},
	{"nft linear", 10000, true},
	{"iptables-nft", 1000, false},
	{"iptables-nft", 10000, true},
	{"iptables-legacy", 10000, true},
};
#define VARIANTS_MAX ZT_ARRAY_SIZE(choices)

static const char *const loads[] = {"connect", "udp", "request", "stream", "denied", "socket"};
_Static_assert(ZT_ARRAY_SIZE(loads) == ZT_BENCH_N_LOADS, "one name a load");

static void progress(void *arg, const char *line)
{
	struct zt_cli *c = arg;

	if (!c->quiet)
		fprintf(c->err, "%s\n", line);
}

static size_t choose(bool full, struct zt_bench_variant *out)
{
	size_t n = 0;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(choices); i++) {
		const struct zt_bench_variant *v = zt_bench_find(choices[i].name);

		if (!v || (choices[i].full_only && !full))
			continue;
		out[n] = *v;
		out[n++].rules = choices[i].rules;
	}
	return n;
}

static json_t *result_json(const struct zt_bench_result *r)
{
	json_t *o = json_pack("{s:s, s:i, s:b}", "variant", r->name, "rules", (int)r->rules, "usable", r->usable);

	for (int i = 0; o && r->usable && i < (r->refuses ? ZT_BENCH_N_LOADS : ZT_BENCH_DENIED); i++)
		(void)json_object_set_new(o, loads[i], /* a missing part shows as missing */
					  json_pack("{s:f, s:f, s:f, s:f}", "rate", r->rate[i], "p50", r->p50[i], "p99",
						    r->p99[i], "added_ns", r->ns[i]));
	return o;
}

static json_t *path_json(const struct zt_bench_result *results, size_t n, const struct zt_bench_slice *base)
{
	json_t *list = json_array(), *none = json_object();

	for (size_t i = 0; list && i < n; i++)
		(void)json_array_append_new(list, result_json(&results[i])); /* as above */
	for (int i = 0; none && i < ZT_BENCH_N_LOADS; i++)
		(void)json_object_set_new(
			none, loads[i],
			json_pack("{s:f, s:f, s:f}", "rate", base[i].rate, "p50", base[i].p50, "p99", base[i].p99));
	return json_pack("{s:o, s:o}", "no_firewall", none, "variants", list);
}

static int add_row(struct zt_table *t, const struct zt_bench_result *r)
{
	char rules[16], cells[6][24];
	const char *row[] = {r->name, rules, cells[0], cells[1], cells[2], cells[3], cells[4], cells[5]};

	rules[0] = '\0';
	if (r->rules)
		(void)snprintf(rules, sizeof(rules), "%u", r->rules);
	if (!r->usable) {
		for (int i = 0; i < 6; i++)
			(void)snprintf(cells[i], sizeof(cells[i]), "-");
		return zt_table_row(t, row);
	}
	(void)snprintf(cells[0], sizeof(cells[0]), "%.2f", r->rate[ZT_BENCH_CONNECT]);
	(void)snprintf(cells[1], sizeof(cells[1]), "%.2f", r->p50[ZT_BENCH_CONNECT]);
	(void)snprintf(cells[2], sizeof(cells[2]), "%.0f", r->ns[ZT_BENCH_UDP]);
	(void)snprintf(cells[3], sizeof(cells[3]), "%.2f", r->rate[ZT_BENCH_REQUEST]);
	(void)snprintf(cells[4], sizeof(cells[4]), "%.2f", r->rate[ZT_BENCH_STREAM]);
	(void)snprintf(cells[5], sizeof(cells[5]), r->refuses ? "%.2f" : "-", r->p50[ZT_BENCH_DENIED]);
	return zt_table_row(t, row);
}

static int print_path(struct zt_cli *c, const char *title, const struct zt_bench_result *results, size_t n,
		      const struct zt_bench_slice *base)
{
	static const struct zt_table_column cols[] = {
		{.title = "Ruleset", .min = 15, .flexible = true}, {.title = "Rules", .min = 6, .right = true},
		{.title = "Conn", .min = 5, .right = true},	   {.title = "p50", .min = 5, .right = true},
		{.title = "UDP ns", .min = 6, .right = true},	   {.title = "Req/s", .min = 6, .right = true},
		{.title = "Stream", .min = 6, .right = true},	   {.title = "Denied", .min = 6, .right = true},
	};
	ZT_CLEANUP(zt_table_freep) struct zt_table *t = zt_table_new(cols, ZT_ARRAY_SIZE(cols));
	char head[128];
	const char *lines[] = {head, "Ratios to no firewall, side by side; the row none again is the noise."};

	(void)snprintf(head, sizeof(head), "No firewall: %.0f connections/s, p50 %.1f us, %.0f UDP packets/s",
		       base[ZT_BENCH_CONNECT].rate, base[ZT_BENCH_CONNECT].p50 * 1e6, base[ZT_BENCH_UDP].rate);
	for (size_t i = 0; t && i < n; i++)
		if (add_row(t, &results[i]) < 0)
			return -ENOMEM;
	return t ? zt_table_print(t, c->out, title, lines, 2, c->columns, c->colour) : -ENOMEM;
}

static int run_path(struct zt_cli *c, bool full, unsigned rounds, enum zt_bench_path path, const char *title,
		    json_t *all)
{
	struct zt_bench_variant variants[VARIANTS_MAX];
	struct zt_bench_result results[VARIANTS_MAX + 1] = {0};
	struct zt_bench_slice base[ZT_BENCH_N_LOADS];
	struct zt_bench_plan p = {.path = path,
				  .slice_msec = full ? 130 : 60,
				  .rounds = rounds,
				  .variants = variants,
				  .progress = progress,
				  .progress_arg = c};
	int r;

	p.n_variants = choose(full, variants);
	r = zt_bench_run(&p, results, base);
	if (r < 0)
		return r;
	if (all)
		return json_object_set_new(all, path == ZT_BENCH_VETH ? "veth" : "loopback",
					   path_json(results, p.n_variants + 1, base)) < 0
			       ? -ENOMEM
			       : 0;
	return print_path(c, title, results, p.n_variants + 1, base);
}

int zt_cmd_bench(struct zt_cli *c)
{
	bool full = zt_opt(c, FULL) != NULL;
	const char *wanted = zt_opt(c, ROUNDS);
	uint64_t rounds = full ? 5 : 3;
	json_t *all;
	int r;

	if (wanted && (zt_parse_u64(wanted, ZT_BENCH_ROUNDS_MAX, &rounds) < 0 || !rounds))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5013, "more rounds are steadier and take longer",
				    "\"%s\" is not a number from 1 to %d", wanted, ZT_BENCH_ROUNDS_MAX);
	if (geteuid())
		return zt_cli_error(c, ZT_EXIT_PERMISSION, 5030, "run it with sudo",
				    "network namespaces of its own need root");
	all = c->json ? json_object() : NULL;
	r = run_path(c, full, (unsigned)rounds, ZT_BENCH_LOOPBACK, "WHAT A CONNECTION COSTS ON LOOPBACK", all);
	if (!r)
		r = run_path(c, full, (unsigned)rounds, ZT_BENCH_VETH, "WHAT A CONNECTION COSTS OVER A NETWORK DEVICE",
			     all);
	if (r < 0) {
		json_decref(all);
		return zt_cli_error(c, ZT_EXIT_FAILED, 5031, "nft, ip and network namespaces are needed",
				    "cannot measure: %s", strerror(-r));
	}
	return c->json ? zt_cli_json(c, all) : 0;
}
