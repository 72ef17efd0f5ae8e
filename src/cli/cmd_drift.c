/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/time.h"
#include "cli/cli.h"

static int report_json(struct zt_cli *c, const struct zt_drift *d)
{
	json_t *notes = json_array(), *j;

	for (size_t i = 0; i < d->n_notes; i++)
		(void)json_array_append_new(notes, zt_json_text(d->notes[i])); /* one that fails is left out */
	j = zt_diff_json(&d->diff, d->expected, d->actual);
	(void)json_object_update_new(j,
				     json_pack("{s:b, s:b, s:o, s:o}", "active", (int)d->active, "drifted",
					       (int)d->drifted, "culprit", zt_json_text(d->culprit), "notes", notes));
	return zt_cli_json(c, j);
}

static void print_notes(struct zt_cli *c, const struct zt_drift *d)
{
	for (size_t i = 0; i < d->n_notes; i++) {
		fprintf(c->out, "  ! ");
		zt_cli_puts_escaped(c->out, d->notes[i]);
		fprintf(c->out, "\n");
	}
}

static void report(struct zt_cli *c, const struct zt_drift *d)
{
	if (!d->drifted) {
		fprintf(c->out, "%sNo drift%s: the kernel holds exactly generation %llu.\n", zt_colour(c, ZT_GREEN),
			zt_colour(c, ZT_PLAIN),
			(unsigned long long)(d->expected ? d->expected->generation
					     : d->actual ? d->actual->generation
							 : 0));
		print_notes(c, d);
		return;
	}
	fprintf(c->out, "%sDRIFT%s: the kernel does not hold what was applied", zt_colour(c, ZT_RED),
		zt_colour(c, ZT_PLAIN));
	if (d->culprit) {
		fprintf(c->out, "; changed by ");
		zt_cli_puts_escaped(c->out, d->culprit);
	}
	fprintf(c->out, ".\n");
	print_notes(c, d);
	if (!d->active)
		fprintf(c->out, "  Nothing of ours is in the kernel at all.\n");
	else if (!zt_diff_empty(&d->diff))
		zt_diff_print(c, &d->diff, d->expected, d->actual);
	if (!d->expected) {
		fprintf(c->out, "\"zt-segment apply FILE\" or \"zt-segment flush\" makes it clear again.\n");
		return;
	}
	fprintf(c->out, "\"zt-segment rollback %llu\" or \"zt-segment apply FILE\" repairs it.\n",
		(unsigned long long)d->expected->generation);
}

static int changed(void *arg, uint32_t pid, const char *program, uint32_t nft_generation)
{
	struct zt_cli *c = arg;
	char when[32];

	zt_time_format(zt_now(), when);
	if (c->json) {
		json_t *j = json_pack("{s:s, s:I, s:o, s:I}", "when", when, "pid", (json_int_t)pid, "program",
				      zt_json_text(program), "nft_generation", (json_int_t)nft_generation);

		(void)json_dumpf(j, c->out, JSON_COMPACT); /* a write error shows at exit */
		fputc('\n', c->out);
		json_decref(j);
	} else {
		fprintf(c->out, "%s  the packet filter was changed by ", when);
		zt_cli_puts_escaped(c->out, program && *program ? program : "an unknown program");
		if (pid)
			fprintf(c->out, " (pid %u)", pid);
		fprintf(c->out, "\n");
	}
	return fflush(c->out) ? 1 : 0;
}

/* ---- not root: zt-segmentd compares, and repairs where that is set ---- */
static const char *text_of(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key)) ?: "";
}

static void report_told(struct zt_cli *c, const json_t *j, const char *outcome)
{
	const json_t *in_force = json_object_get(j, "in_force"), *note;
	size_t i;

	if (!json_is_true(json_object_get(j, "drifted")) && !json_is_true(json_object_get(in_force, "active"))) {
		fprintf(c->out, "Micro-segmentation is not active, and nothing was meant to be.\n");
		return;
	}
	if (!strcmp(outcome, "clean")) {
		fprintf(c->out, "%sNo drift%s: the kernel holds exactly generation %lld.\n", zt_colour(c, ZT_GREEN),
			zt_colour(c, ZT_PLAIN), (long long)json_integer_value(json_object_get(in_force, "generation")));
		return;
	}
	fprintf(c->out, "%sDRIFT%s: the kernel did not hold what was applied; changed by ", zt_colour(c, ZT_RED),
		zt_colour(c, ZT_PLAIN));
	zt_cli_puts_escaped(c->out, *text_of(j, "culprit") ? text_of(j, "culprit") : "someone");
	fprintf(c->out, ".\n");
	json_array_foreach (json_object_get(j, "notes"), i, note) {
		fprintf(c->out, "  ! ");
		zt_cli_puts_escaped(c->out, json_string_value(note) ?: "");
		fprintf(c->out, "\n");
	}
	fprintf(c->out, !strcmp(outcome, "healed")
				? "zt-segmentd repaired it just now.\n"
				: "It is not repaired; \"zt-segment drift\" of root shows the rules.\n");
}

static int told_json(struct zt_cli *c, const json_t *j)
{
	return zt_cli_json(c, json_pack("{s:O, s:b, s:b, s:O?, s:O?}", "active",
					json_object_get(json_object_get(j, "in_force"), "active"), "drifted",
					strcmp(text_of(j, "outcome"), "clean") != 0, "repaired",
					!strcmp(text_of(j, "outcome"), "healed"), "culprit",
					json_object_get(j, "culprit"), "notes", json_object_get(j, "notes")));
}

static int told(struct zt_cli *c)
{
	json_t *j = NULL;
	const char *outcome;
	bool drifted;
	int code, r;

	if (zt_opt(c, WATCH))
		return zt_cli_error(c, ZT_EXIT_PERMISSION, 5003,
				    "\"zt-segment events --kind state --follow\" shows them too",
				    "only root hears of changes of the packet filter");
	r = zt_cli_daemon(c, "drift", 180 * ZT_USEC_PER_SEC, &j);
	if (r < 0)
		return zt_cli_fail(c, r);
	outcome = text_of(j, "outcome");
	drifted = json_is_true(json_object_get(j, "drifted"));
	code = drifted || !strcmp(outcome, "healed") ? ZT_EXIT_FAILED : ZT_EXIT_OK;
	if (!json_is_true(json_object_get(j, "ok")) && !drifted)
		code = zt_cli_error(c, ZT_EXIT_FAILED, 4652, "its log tells more", "zt-segmentd cannot tell: %s",
				    *text_of(j, "error") ? text_of(j, "error") : text_of(j, "text"));
	else if (c->json)
		code = told_json(c, j) ?: code;
	else
		report_told(c, j, outcome);
	json_decref(j);
	return code;
}

int zt_cmd_drift(struct zt_cli *c)
{
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	struct zt_drift d = {0};
	int r, code, written;

	if (c->member)
		return told(c);
	if (zt_opt(c, WATCH)) {
		r = zt_drift_watch(&ctx, 0, changed, c);
		return r < 0 ? zt_cli_fail(c, r) : 0;
	}
	r = zt_drift_check(&ctx, &d, &c->diags);
	if (r < 0) {
		zt_drift_done(&d);
		return zt_cli_fail(c, r);
	}
	zt_cli_flush_diags(c);
	code = d.drifted ? ZT_EXIT_FAILED : d.active ? ZT_EXIT_OK : ZT_EXIT_INACTIVE;
	if (c->json) {
		written = report_json(c, &d);
		code = written ? written : code;
	} else if (!d.active && !d.drifted) {
		fprintf(c->out, "Micro-segmentation is not active, and nothing was meant to be.\n");
	} else {
		report(c, &d);
	}
	zt_drift_done(&d);
	return code;
}
