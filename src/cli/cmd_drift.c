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

static void report(struct zt_cli *c, const struct zt_drift *d)
{
	if (!d->drifted) {
		fprintf(c->out, "%sNo drift%s: the kernel holds exactly generation %llu.\n", zt_colour(c, ZT_GREEN),
			zt_colour(c, ZT_PLAIN),
			(unsigned long long)(d->expected ? d->expected->generation
					     : d->actual ? d->actual->generation
							 : 0));
		return;
	}
	fprintf(c->out, "%sDRIFT%s: the kernel does not hold what was applied", zt_colour(c, ZT_RED),
		zt_colour(c, ZT_PLAIN));
	if (d->culprit) {
		fprintf(c->out, "; changed by ");
		zt_cli_puts_escaped(c->out, d->culprit);
	}
	fprintf(c->out, ".\n");
	for (size_t i = 0; i < d->n_notes; i++) {
		fprintf(c->out, "  ! ");
		zt_cli_puts_escaped(c->out, d->notes[i]);
		fprintf(c->out, "\n");
	}
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
		fprintf(c->out, " (pid %u)\n", pid);
	}
	return fflush(c->out) ? 1 : 0;
}

int zt_cmd_drift(struct zt_cli *c)
{
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	struct zt_drift d = {0};
	int r, code, written;

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
