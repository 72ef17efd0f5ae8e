/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What why was asked, and the part of it that asks about something that happened (why_event.c). */
#include "cli/actor.h"

struct zt_question {
	struct zt_flow flow;
	char *cgroup;			   /* owned; flow.cgroup_path points here */
	char name[ZT_UNIX_NAME_MAX + 1];   /* of a Unix socket; flow.unix_name points here */
	struct zt_person sender, receiver; /* running processes; pid 0: none is named or found */
	struct zt_event event;		   /* with "last" or a number: what happened */
	bool last;
	struct zt_activity *recorded; /* of the journal, NULL: not from there; owned */
	struct zt_seen_often seen;    /* by the journal */
};

/* "last", a number, or --pid alone: c says which. Fills q from what the record, the log or the journal know. Exit code */
int zt_why_take_event(struct zt_cli *c, struct zt_question *q);
bool zt_why_asks_event(const struct zt_cli *c);
void zt_why_print_event(struct zt_cli *c, const struct zt_ruleset *now, const struct zt_question *q);
struct json_t;
void zt_why_add_recorded(struct zt_cli *c, struct json_t *j,
			 const struct zt_question *q); /* "recorded", "parents", "seen" */

/* ---- why_then.c ---- */
void zt_why_tree_text(struct zt_cli *c, const struct zt_activity *a,
		      struct zt_strbuf *out); /* "Started by: sshd[811] (/usr/sbin/sshd, SHA-256 …). " */
struct json_t *zt_why_tree_json(struct zt_cli *c, const struct zt_activity *a);
/* What the generation decided by that the event names, where it is another than the one in force (or --policy asks about another). */
void zt_why_print_then(struct zt_cli *c, const struct zt_ruleset *now, const struct zt_question *q);
struct json_t *zt_why_then_json(struct zt_cli *c, const struct zt_ruleset *now, const struct zt_question *q);
