/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Recorded flows for the verbs that judge policies by them: learn, whatif, unused. */
#include "cli/cli.h"
#include "learn/learn.h"

/* From the journal, of this network namespace, ready; until 0 = now. Exit code. own holds what l borrows. */
int zt_cli_seen(struct zt_cli *c, struct zt_journal *j, zt_usec since, zt_usec until, struct zt_addr_ranges *own,
		struct zt_seen_list *ret);
/* "www-data /usr/sbin/nginx in nginx.service -> 10.0.0.1:80/tcp (example.org)" */
void zt_seen_text(const struct zt_seen *s, struct zt_strbuf *out);
struct json_t *zt_seen_json(const struct zt_seen *s);
/* What records cannot tell of the rules of rs, a line each, to c->err. */
void zt_cli_say_blind(struct zt_cli *c, const struct zt_ruleset *rs, const struct zt_seen_list *l);
/* Compiled as if it enforced; observes: it does not. Exit code */
int zt_cli_compile_file(struct zt_cli *c, const char *path, struct zt_ruleset **ret, bool *ret_observes);
