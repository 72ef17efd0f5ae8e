/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/live.h"
#include "ruleset/equiv.h"

struct proof {				 /* one comparison */
	const char *name, *left, *right; /* what is compared with what */
	const struct zt_ruleset *a, *b;
	struct zt_equiv e;
	int r; /* -E2BIG: not finished */
};

/* The policy that was meant: the one named, else the source of the generation in force. */
static int meant(struct zt_cli *c, const struct zt_ruleset *live, struct zt_ruleset **ret)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	ZT_FREE char *source = NULL;
	size_t len = 0;
	int r;

	if (c->args.n_pos || zt_opt(c, CONFIG))
		return zt_cli_load(c, &p) ?: zt_cli_compile(c, p, false, ret);
	r = zt_generation_load(&ctx, live->generation, ret, &source, &len, &c->diags);
	if (r == -ENOENT && !c->diags.errors)
		return zt_cli_error(
			c, ZT_EXIT_FAILED, 5063,
			"\"zt-segment prove FILE\" compares it with a policy, \"zt-segment apply FILE\" puts one in force",
			"what is in force is of no generation in the state folder");
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

static void compare(struct proof *p)
{
	p->r = zt_ruleset_equiv(p->a, p->b, 0, &p->e);
}

static bool holds(const struct proof *p)
{
	return !p->r && p->e.equal;
}

/* ---- JSON ---- */
static json_t *proof_json(const struct proof *p)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:b, s:b, s:f, s:I}", "compares", p->name, "left", p->left, "right",
			      p->right, "equivalent", (int)holds(p), "finished", (int)!p->r, "classes", p->e.classes,
			      "walked", (json_int_t)p->e.walked);

	if (!p->r && !p->e.equal)
		(void)json_object_set_new(j, "counterexample", /* a failed set leaves a key out */
					  json_pack("{s:b, s:o, s:o, s:o}", "smallest", (int)p->e.smallest, "flow",
						    zt_flow_json(&p->e.flow), "left", zt_decision_json(p->a, &p->e.a),
						    "right", zt_decision_json(p->b, &p->e.b)));
	return j;
}

struct proved {
	struct proof proofs[2];
	size_t n;
	const struct zt_ruleset *kernel; /* NULL: nothing is enforced, and only probes were asked for */
	struct zt_live live;
	bool probes; /* were asked for */
};

static bool all_hold(const struct proved *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (!holds(&p->proofs[i]))
			return false;
	return !p->probes || p->live.agree;
}

static int report_json(struct zt_cli *c, const struct proved *p)
{
	json_t *list = json_array(), *j;

	for (size_t i = 0; i < p->n; i++)
		(void)json_array_append_new(list, proof_json(&p->proofs[i])); /* one that fails is left out */
	j = json_pack("{s:b, s:o}", "proved", (int)all_hold(p), "proofs", list);
	if (p->kernel)
		(void)json_object_update_new(j, json_pack("{s:s, s:I}", "engine", c->engine->name, "generation",
							  (json_int_t)p->kernel->generation)); /* as above */
	if (p->probes)
		(void)json_object_set_new(j, "live", zt_live_json(&p->live)); /* as above */
	return zt_cli_json(c, j);
}

/* ---- text ---- */
static void decision_line(struct zt_cli *c, const char *who, const struct zt_ruleset *rs, const struct zt_decision *d)
{
	fprintf(c->out, "    %-22s %s", who, zt_verdict_name(d->verdict));
	if (d->by == ZT_BY_RULE && d->rule) {
		fprintf(c->out, ", rule \"%s\"", d->rule->id);
		if (d->rule->line && d->rule->file < rs->n_files) {
			fprintf(c->out, " (");
			zt_cli_puts_escaped(c->out, rs->files[d->rule->file]);
			fprintf(c->out, ":%u)", d->rule->line);
		}
		if (d->rule->log)
			fprintf(c->out, ", logged");
	} else {
		fprintf(c->out, ", %s", zt_decider_text(d));
	}
	fprintf(c->out, "\n");
}

/* 12,345,678 as far as a double tells; more than 10^15 in powers. */
static void classes_text(double n, char buf[static 32])
{
	char digits[24];
	size_t len, k = 0;

	if (n >= 1e15) {
		(void)snprintf(buf, 32, "%.1e", n);
		return;
	}
	len = (size_t)snprintf(digits, sizeof(digits), "%.0f", n);
	for (size_t i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			buf[k++] = ',';
		buf[k++] = digits[i];
	}
	buf[k] = 0;
}

static void proof_text(struct zt_cli *c, const struct proof *p)
{
	ZT_STRBUF struct zt_strbuf flow = {0};
	char classes[32];

	classes_text(p->e.classes, classes);
	fprintf(c->out, "%s = %s: ", p->left, p->right);
	if (p->r) {
		fprintf(c->out, "%snot proved%s: no difference in %llu of %s classes, then it took too long\n",
			zt_colour(c, ZT_YELLOW), zt_colour(c, ZT_PLAIN), (unsigned long long)p->e.walked, classes);
		return;
	}
	if (p->e.equal) {
		fprintf(c->out, "%sequivalent%s over %s classes of flows\n", zt_colour(c, ZT_GREEN),
			zt_colour(c, ZT_PLAIN), classes);
		return;
	}
	fprintf(c->out, "%sNOT EQUIVALENT%s, %s:\n", zt_colour(c, ZT_RED), zt_colour(c, ZT_PLAIN),
		p->e.smallest ? "the smallest flow that shows it" : "for example for this flow");
	zt_flow_text(&p->e.flow, &flow);
	fprintf(c->out, "    %s (%s%s)\n", zt_strbuf_cstr(&flow), zt_direction_name(p->e.flow.dir),
		p->e.flow.loopback ? ", on loopback" : "");
	decision_line(c, p->left, p->a, &p->e.a);
	decision_line(c, p->right, p->b, &p->e.b);
}

static int report(struct zt_cli *c, const struct proved *p)
{
	int code = 0;

	zt_cli_flush_diags(c);
	if (c->json) {
		code = report_json(c, p);
		return code ?: all_hold(p) ? ZT_EXIT_OK : ZT_EXIT_FAILED;
	}
	if (p->kernel)
		fprintf(c->out, "Generation %llu, %s engine, %zu rules\n", (unsigned long long)p->kernel->generation,
			c->engine->name, p->kernel->n_rules);
	for (size_t i = 0; i < p->n; i++)
		proof_text(c, &p->proofs[i]);
	if (p->probes)
		zt_live_text(c, &p->live);
	return all_hold(p) ? ZT_EXIT_OK : ZT_EXIT_FAILED;
}

static int against(struct zt_cli *c, const char *name, const struct zt_ruleset *rs, struct zt_ruleset **ret)
{
	const struct zt_engine *e = zt_engine_by_name(name);
	int r;

	if (!e)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5005, "nft, bpf, iptables and memory are engines",
				    "there is no engine \"%s\"", name);
	r = zt_engine_scratch(e, rs, ret, &c->diags);
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

/* The kernel against the policy, and against another engine. */
static int compare_kernel(struct zt_cli *c, struct proved *p, struct zt_ruleset *kernel, struct zt_ruleset **policy,
			  struct zt_ruleset **other)
{
	int code = meant(c, kernel, policy);

	if (code)
		return code;
	zt_cli_add_lines(c, kernel);
	p->kernel = kernel;
	p->proofs[0] = (struct proof){"policy with kernel", "the policy", "the kernel", *policy, kernel, {0}, 0};
	compare(&p->proofs[p->n++]);
	if (!zt_opt(c, AGAINST))
		return 0;
	code = against(c, zt_opt(c, AGAINST), *policy, other);
	if (code)
		return code;
	p->proofs[1] =
		(struct proof){"kernel with other engine", "the kernel", "the other engine", kernel, *other, {0}, 0};
	compare(&p->proofs[p->n++]);
	return 0;
}

static int prove(struct zt_cli *c, struct proved *p)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *kernel = NULL, *policy = NULL, *other = NULL;
	bool named = c->args.n_pos || zt_opt(c, CONFIG), live = zt_opt(c, PACKETS) != NULL;
	ZT_FREE char *label = zt_opt(c, AGAINST) ? zt_asprintf("the %s engine", zt_opt(c, AGAINST)) : NULL;
	int code = zt_cli_raise(c, &kernel);

	if (code == ZT_EXIT_INACTIVE && !(live && named))
		return zt_cli_error(c, code, 5016, "\"zt-segment apply FILE\" enforces a policy",
				    "nothing is enforced: there is nothing to prove");
	if (code != ZT_EXIT_INACTIVE)
		code = code ?: compare_kernel(c, p, kernel, &policy, &other);
	else
		code = 0;
	if (!code && live) {
		p->probes = true;
		code = zt_prove_live(c, kernel, &p->live);
	}
	if (label)
		p->proofs[1].right = label;
	code = code ?: report(c, p);
	zt_live_done(&p->live);
	return code;
}

int zt_cmd_prove(struct zt_cli *c)
{
	struct proved p = {0};

	if (zt_opt(c, SEED) && !zt_opt(c, PACKETS))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5052, NULL, "--seed is for --packets");
	return prove(c, &p);
}
