/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ifaddrs.h>
#include <jansson.h>
#include <netinet/in.h>
#include <string.h>

#include "cli/cli.h"
#include "identity/identity.h"
#include "ruleset/equiv.h"

static int split_proto(char *s, struct zt_target *t)
{
	char *slash = strrchr(s, '/');

	t->proto = 6;
	if (!slash)
		return 0;
	*slash = 0;
	return zt_proto_parse(slash + 1, &t->proto);
}

/* The colon that separates the port: after a bracket, or the only one. */
static char *port_colon(char *s)
{
	char *first = strchr(s, ':'), *last = strrchr(s, ':');

	if (*s == '[') {
		char *end = strchr(s, ']');

		return end && end[1] == ':' ? end + 1 : NULL;
	}
	return first == last ? first : NULL;
}

static int take_host(char *s, struct zt_target *t)
{
	size_t n = strlen(s);

	if (*s == '[') {
		if (n < 3 || s[n - 1] != ']')
			return -EINVAL;
		s[n - 1] = 0;
		s++;
	}
	t->has_host = *s;
	memcpy(t->host, s, strlen(s) + 1);
	return 0;
}

static int unix_target(const char *name, struct zt_target *ret)
{
	struct zt_target t = {0};

	if (!zt_unix_name_valid(name))
		return -EINVAL;
	memcpy(t.unix_name, name, strlen(name) + 1);
	*ret = t;
	return 0;
}

int zt_target_parse(const char *s, struct zt_target *ret)
{
	struct zt_target t = {0};
	char buf[sizeof(t.host)], *colon;
	uint64_t port;
	int r;

	if (!strncmp(s, "unix:", 5))
		return unix_target(s + 5, ret);
	if (!*s || strlen(s) >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, s, strlen(s) + 1);
	r = split_proto(buf, &t);
	if (r < 0)
		return -EINVAL;
	colon = port_colon(buf);
	if (colon) {
		*colon = 0;
		if (zt_parse_u64(colon + 1, 65535, &port) < 0 || !zt_proto_has_ports(t.proto))
			return -EINVAL;
		t.port = (uint16_t)port;
		t.has_port = true;
	}
	r = take_host(buf, &t);
	if (r < 0 || (!t.has_host && !t.has_port) || (zt_proto_has_ports(t.proto) && !t.has_port))
		return -EINVAL;
	*ret = t;
	return 0;
}

static void address_port(const struct zt_addr *a, const struct zt_flow *f, struct zt_strbuf *out)
{
	char buf[64] = "";
	const char *proto = zt_proto_name(f->proto);

	if (f->dir == ZT_DIR_UNIX) {
		zt_strbuf_printf(out, f->unix_name ? "unix:%s" : "a Unix socket", f->unix_name);
		return;
	}
	if (a->family)
		zt_addr_format(a, buf);
	else if (f->dir != ZT_DIR_INGRESS)
		snprintf(buf, sizeof(buf), "*");
	if (f->port && a->family == 6)
		zt_strbuf_printf(out, "[%s]:%u", buf, f->port);
	else if (f->port)
		zt_strbuf_printf(out, "%s:%u", buf, f->port);
	else
		zt_strbuf_str(out, *buf ? buf : "this host");
	if (proto)
		zt_strbuf_printf(out, "/%s", proto);
	else
		zt_strbuf_printf(out, "/%u", f->proto);
}

static void sender(const struct zt_flow *f, struct zt_strbuf *out)
{
	char buf[64];

	if (f->dir != ZT_DIR_EGRESS && f->dir != ZT_DIR_UNIX) {
		if (f->src.family)
			zt_addr_format(&f->src, buf);
		zt_strbuf_str(out, f->src.family ? buf : "any host");
		return;
	}
	if (f->owned && f->uid != UINT32_MAX)
		zt_uid_text(f->uid, out);
	else if (f->owned && f->gid != UINT32_MAX)
		zt_strbuf_printf(out, "a process of group %u", f->gid);
	else if (!f->cgroup_path)
		zt_strbuf_str(out, "a socket without owner");
	if (f->sender && f->sender->known && f->sender->exe_path && strcmp(f->sender->exe_path, zt_equiv_other) != 0)
		zt_strbuf_printf(out, " running %s", f->sender->exe_path);
	if (f->cgroup_path && strcmp(f->cgroup_path, zt_equiv_other) != 0)
		zt_strbuf_printf(out, "%sin %s", out->len ? " " : "a process ", f->cgroup_path);
}

static void receiver(const struct zt_actor *a, struct zt_strbuf *out)
{
	zt_strbuf_str(out, " of ");
	zt_uid_text(a->uid, out);
	if (a->exe_path && strcmp(a->exe_path, zt_equiv_other) != 0)
		zt_strbuf_printf(out, " running %s", a->exe_path);
}

void zt_flow_text(const struct zt_flow *f, struct zt_strbuf *out)
{
	ZT_STRBUF struct zt_strbuf who = {0};

	sender(f, &who);
	zt_strbuf_printf(out, "%s -> ", zt_strbuf_cstr(&who));
	address_port(&f->dst, f, out);
	if (f->receiver && !f->receiver->known)
		zt_strbuf_str(out, " of an unknown process");
	else if (f->receiver)
		receiver(f->receiver, out);
}

json_t *zt_flow_json(const struct zt_flow *f)
{
	char src[64] = "", dst[64] = "";
	json_t *j;

	if (f->src.family)
		zt_addr_format(&f->src, src);
	if (f->dst.family)
		zt_addr_format(&f->dst, dst);
	j = json_pack("{s:s, s:s*, s:s*, s:i, s:o}", "direction", zt_direction_name(f->dir), "source",
		      *src ? src : NULL, "destination", *dst ? dst : NULL, "protocol", (int)f->proto, "cgroup",
		      zt_json_text(f->cgroup_path && strcmp(f->cgroup_path, zt_equiv_other) ? f->cgroup_path : NULL));
	if (f->owned) {
		(void)json_object_set_new(j, "uid", json_integer(f->uid)); /* a failed set leaves a key out */
		(void)json_object_set_new(j, "gid", json_integer(f->gid));
	}
	if (f->port)
		(void)json_object_set_new(j, "port", json_integer(f->port));
	if (f->unix_name)
		(void)json_object_set_new(j, "unix", json_string(f->unix_name));
	return j;
}

const char *zt_decider_text(const struct zt_decision *d)
{
	switch (d->by) {
	case ZT_BY_RULE:
		return "rule";
	case ZT_BY_DEFAULT:
		return "default policy";
	case ZT_BY_LOOPBACK:
		return "loopback setting";
	case ZT_BY_SSH:
		return "preserve-ssh";
	case ZT_BY_ESSENTIAL:
		return "link essentials";
	}
	return "";
}

json_t *zt_decision_json(const struct zt_ruleset *rs, const struct zt_decision *d)
{
	json_t *j = json_pack("{s:s, s:s}", "verdict", zt_verdict_name(d->verdict), "by", zt_decider_text(d));

	if (d->by == ZT_BY_RULE && d->rule)
		(void)json_object_set_new(j, "rule", zt_rule_json(rs, d->rule)); /* a failed set leaves a key out */
	return j;
}

static bool same_address(const struct sockaddr *sa, const struct zt_addr *a)
{
	if (sa->sa_family == AF_INET && a->family == 4)
		return !memcmp(&((const struct sockaddr_in *)(const void *)sa)->sin_addr, a->b, 4);
	if (sa->sa_family == AF_INET6 && a->family == 6)
		return !memcmp(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, a->b, 16);
	return false;
}

bool zt_addr_is_own(const struct zt_addr *a)
{
	struct ifaddrs *list = NULL;
	bool own = zt_addr_is_loopback(a);

	if (own || getifaddrs(&list) < 0)
		return own;
	for (struct ifaddrs *i = list; i && !own; i = i->ifa_next)
		own = i->ifa_addr && same_address(i->ifa_addr, a);
	freeifaddrs(list);
	return own;
}
