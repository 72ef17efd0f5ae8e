/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>

#include "cli/cli.h"

enum { ITEMS_SHOWN = 100 };

static const char *change_name(enum zt_change k)
{
	switch (k) {
	case ZT_ADDED:
		return "added";
	case ZT_REMOVED:
		return "removed";
	case ZT_CHANGED:
		return "changed";
	case ZT_MOVED:
		return "moved";
	}
	return "";
}

static void rule_line(struct zt_cli *c, enum zt_colour colour, const char *sign, const struct zt_ruleset *rs,
		      const struct zt_rule *r)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	(void)zt_rule_text(rs, r, &b); /* a failed buffer prints what there is */
	fprintf(c->out, "%s  %s %s%s\n", zt_colour(c, colour), sign, zt_strbuf_cstr(&b), zt_colour(c, ZT_PLAIN));
}

static void item(struct zt_cli *c, const struct zt_diff_item *i, const struct zt_ruleset *before,
		 const struct zt_ruleset *after)
{
	switch (i->change) {
	case ZT_ADDED:
		rule_line(c, ZT_GREEN, "+", after, i->after);
		break;
	case ZT_REMOVED:
		rule_line(c, ZT_RED, "-", before, i->before);
		break;
	case ZT_CHANGED:
		rule_line(c, ZT_RED, "-", before, i->before);
		rule_line(c, ZT_GREEN, "+", after, i->after);
		break;
	case ZT_MOVED:
		fprintf(c->out, "%s  ~ %s: place %u -> %u in the order%s\n", zt_colour(c, ZT_YELLOW), i->after->id,
			i->before->seq, i->after->seq, zt_colour(c, ZT_PLAIN));
		break;
	}
}

void zt_diff_print(struct zt_cli *c, const struct zt_diff *d, const struct zt_ruleset *before,
		   const struct zt_ruleset *after)
{
	size_t shown = c->verbose ? d->n : ZT_MIN(d->n, ITEMS_SHOWN), count[4] = {0};
	const char *sep = "";

	if (d->settings_changed)
		fprintf(c->out, "%s  ~ settings: %s%s\n", zt_colour(c, ZT_YELLOW),
			d->settings_text ? d->settings_text : "changed", zt_colour(c, ZT_PLAIN));
	for (size_t i = 0; i < d->n; i++) {
		count[d->items[i].change]++;
		if (i < shown)
			item(c, &d->items[i], before, after);
	}
	if (shown < d->n)
		fprintf(c->out, "  ... and %zu more (-v shows all)\n", d->n - shown);
	fprintf(c->out, "\n");
	for (unsigned k = 0; k < 4; k++)
		if (count[k]) {
			fprintf(c->out, "%s%zu %s", sep, count[k], change_name((enum zt_change)k));
			sep = ", ";
		}
	fprintf(c->out, "%s%s\n", d->settings_changed ? (*sep ? ", settings changed" : "settings changed") : "", ".");
}

json_t *zt_diff_json(const struct zt_diff *d, const struct zt_ruleset *before, const struct zt_ruleset *after)
{
	json_t *changes = json_array();

	for (size_t i = 0; i < d->n; i++) {
		const struct zt_diff_item *it = &d->items[i];
		json_t *o = json_pack("{s:s}", "change", change_name(it->change));

		if (it->before && before)
			(void)json_object_set_new(o, "before", zt_rule_json(before, it->before)); /* NULL is left out */
		if (it->after && after)
			(void)json_object_set_new(o, "after", zt_rule_json(after, it->after));
		(void)json_array_append_new(changes, o);
	}
	return json_pack("{s:s?, s:o}", "settings",
			 d->settings_changed ? (d->settings_text ? d->settings_text : "changed") : NULL, "changes",
			 changes);
}
