/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "apply/state.h"
#include "base/file.h"
#include "base/mem.h"
#include "identity/identity.h"

static bool passes(const struct zt_ruleset *rs, const struct zt_flow *f)
{
	struct zt_decision d;

	zt_oracle_decide(rs, f, &d);
	return d.verdict == ZT_ALLOW || d.verdict == ZT_OBSERVE;
}

/* "client-address client-port server-address server-port" (sshd(8)) */
static int check_ssh(const struct zt_ruleset *rs, struct zt_diags *d)
{
	char session[128], client[64], server[64];
	struct zt_flow f = {.dir = ZT_DIR_INGRESS, .proto = 6, .at = zt_now()};
	unsigned port;

	if (!zt_session(session) || sscanf(session, "%63s %*u %63s %u", client, server, &port) != 3)
		return 0;
	client[strcspn(client, "%")] = '\0'; /* a scope id */
	server[strcspn(server, "%")] = '\0';
	if (zt_addr_parse(client, &f.src) < 0 || zt_addr_parse(server, &f.dst) < 0 || zt_addr_is_loopback(&f.src))
		return 0;
	f.port = (uint16_t)port;
	if (passes(rs, &f))
		return 0;
	(void)zt_diag(d, ZT_ERROR, 4101, NULL,
		      "this policy would refuse a new SSH connection from %s to port %u, over which you are logged in",
		      client, port);
	zt_diag_hint(d, "allow it (preserve_ssh: true does), or use --force if you have another way in");
	return -EPERM;
}

/* ---- DNS of the host: some resolver must stay reachable for somebody ---- */
static bool resolver_reachable(const struct zt_ruleset *rs, const struct zt_addr *server)
{
	static const char *const users[] = {"systemd-resolve", "unbound", "dnsmasq", "_dnsmasq"};
	struct zt_flow f = {.dir = ZT_DIR_EGRESS,
			    .owned = true,
			    .dst = *server,
			    .proto = 17,
			    .port = 53,
			    .at = zt_now(),
			    .loopback = zt_addr_is_loopback(server)};
	const uint32_t numbers[] = {0, 1000, 65534};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(numbers); i++) {
		f.uid = f.gid = numbers[i];
		if (passes(rs, &f))
			return true;
	}
	for (size_t i = 0; i < ZT_ARRAY_SIZE(users); i++)
		if (zt_user_lookup(users[i], &f.uid) == 0) {
			f.gid = f.uid;
			if (passes(rs, &f))
				return true;
		}
	/* Some rule may let just one user, group or service out. */
	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct zt_match *m = &rs->rules[i].match;

		f.uid = m->uid.n ? m->uid.v[0].lo : 0;
		f.gid = m->gid.n ? m->gid.v[0].lo : f.uid;
		f.cgroup_path = m->n_cgroups ? m->cgroups[0].path : NULL;
		if (rs->rules[i].verdict == ZT_ALLOW && zt_oracle_match(&rs->rules[i], &f) == ZT_MISS_NONE &&
		    passes(rs, &f))
			return true;
	}
	return false;
}

/* A network namespace has a resolver of its own only when ip-netns(8)'s file says so. */
static char *resolv_conf(const struct zt_apply_ctx *c)
{
	if (!c->netns)
		return zt_strdup("/etc/resolv.conf");
	return strchr(c->netns, '/') ? NULL : zt_asprintf("/etc/netns/%s/resolv.conf", c->netns);
}

static int check_dns(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, struct zt_diags *d)
{
	ZT_FREE char *path = resolv_conf(c), *text = NULL;
	size_t len = 0, servers = 0;
	char first[64] = "";

	if (!path || zt_file_read(path, (size_t)1 << 20, &text, &len) < 0)
		return 0;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct zt_addr server;
		char address[64];

		if (sscanf(line, " nameserver %63[^% \t]", address) != 1 || zt_addr_parse(address, &server) < 0)
			continue;
		if (!servers++)
			(void)snprintf(first, sizeof(first), "%s", address); /* the same size */
		if (resolver_reachable(rs, &server))
			return 0;
	}
	if (!servers)
		return 0;
	(void)zt_diag(d, ZT_ERROR, 4102, NULL, "this policy would cut the host from its name servers (%s)", first);
	zt_diag_hint(
		d,
		"add a rule:  - {name: allow-dns, from: {user: \"*\"}, to: {port: 53, protocol: both}, action: allow}   or use --force");
	return -EPERM;
}

int zt_safety_check(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, struct zt_diags *d)
{
	int r = check_ssh(rs, d), dns = check_dns(c, rs, d);

	return r ? r : dns;
}
