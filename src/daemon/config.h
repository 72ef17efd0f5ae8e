/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* /etc/zt-segment/daemon.yaml: a flat mapping of the keys of config.def. */
#include "base/diag.h"
#include "base/time.h"

#define ZT_DAEMON_CONFIG "/etc/zt-segment/daemon.yaml"

struct zt_daemon_config {
	bool drift; /* heal */
	uint32_t heals_per_minute;
	bool follow_policy;
	zt_usec refresh_every;
	uint32_t clients;
	bool events, journal, failed_opens;
	zt_usec keep_events, keep_flows;
	uint32_t journal_mib;
	char **sensitive_files; /* as zt_opens_open() takes them; NULL: those of zt_opens_default */
};
struct zt_config_key {
	const char *name, *type, *def, *min, *doc; /* min: of a WORD the words */
	uint64_t max;
};
extern const struct zt_config_key zt_config_keys[];
extern const size_t zt_n_config_keys;

void zt_daemon_config_default(struct zt_daemon_config *ret);
void zt_daemon_config_done(struct zt_daemon_config *c); /* what default, load and parse gave */
/* must: a missing file is an error. Files that others may write are refused. -EINVAL with diagnostics in d; *ret is untouched then. */
int zt_daemon_config_load(const char *path, bool must, struct zt_daemon_config *ret, struct zt_diags *d);
int zt_daemon_config_parse(const char *name, const char *text, size_t len, struct zt_daemon_config *ret,
			   struct zt_diags *d);
