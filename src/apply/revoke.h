/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "apply/apply.h"

/* The part of zt_revoke() that is about flows through this host: adds to *out. A filter by user or identity leaves them alone. */
int zt_revoke_forwarded(const struct zt_ruleset *rs, const struct zt_revoke_filter *f, struct zt_revoke_report *out);
