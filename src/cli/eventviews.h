/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Activities as lines: plain, or in the columns of execsnoop, tcplife, opensnoop; as JSON lines. */
#include "cli/cli.h"
#include "event/activity.h"

struct zt_view;
const struct zt_view *zt_view_find(const char *name); /* "" is the plain one; NULL */
uint32_t zt_view_kinds(const struct zt_view *v);
/* id: of the journal, 0 for what happens now. */
void zt_view_head(const struct zt_cli *c, const struct zt_view *v, bool with_ids);
void zt_view_row(const struct zt_cli *c, const struct zt_view *v, uint64_t id, const struct zt_activity *a);
void zt_view_json(const struct zt_cli *c, uint64_t id, const struct zt_activity *a);
/* What matters of it: "10.0.0.1:443/tcp (example.org)", "/etc/shadow", "status 1". */
void zt_activity_what(const struct zt_activity *a, struct zt_strbuf *out);
