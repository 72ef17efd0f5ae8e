/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "learn/parts.h"

enum { NAMES_MAX = 32 }; /* of two senders: room for where to stays in the name of a rule */

/* ---- names of rules ---- */
static const char *port_word(const struct zt_draft *d, char buf[static 24])
{
	static const struct {
		uint32_t port;
		const char *word;
	} known[] = {{22, "ssh"}, {25, "smtp"}, {53, "dns"}, {67, "dhcp"}, {80, "http"}, {123, "ntp"}, {443, "https"}};
	uint32_t port = d->port.n ? d->port.v[0].lo : 0;
	const char *proto = zt_proto_name((uint8_t)d->proto.v[0].lo);

	if (!d->port.n) {
		if (!proto)
			(void)snprintf(buf, 24, "protocol-%u", d->proto.v[0].lo);
		return proto ? proto : buf;
	}
	if (d->port.n == 2 && port == 80 && d->port.v[1].lo == 443 && d->port.v[1].hi == 443)
		return "web";
	for (size_t i = 0; d->port.n == 1 && port == d->port.v[0].hi && i < ZT_ARRAY_SIZE(known); i++)
		if (known[i].port == port)
			return known[i].word;
	(void)snprintf(buf, 24, "port%s-%u", d->port.n == 1 && port == d->port.v[0].hi ? "" : "s", port);
	return buf;
}

static void host_text(const struct zt_host *h, struct zt_strbuf *out)
{
	char text[128] = "";

	switch (h->kind) {
	case ZT_HOST_LOCAL:
		zt_strbuf_str(out, "localhost");
		return;
	case ZT_HOST_NAME:
		zt_strbuf_str(out, h->name);
		return;
	case ZT_HOST_INTERNET:
		zt_strbuf_str(out, "@internet");
		return;
	case ZT_HOST_OWN:
	case ZT_HOST_RANGE:
		break;
	}
	zt_addr_range_format(&h->range, text);
	zt_strbuf_str(out, text);
}

static void target(const struct zt_learning *x, const struct zt_draft *d, struct zt_strbuf *out)
{
	char word[24];

	if (d->receiver != ZT_NO_PARTY)
		zt_strbuf_str(out, x->parties[d->receiver].name);
	else if (d->n_hosts == 1 && d->hosts[0].kind != ZT_HOST_LOCAL)
		host_text(&d->hosts[0], out);
	else
		zt_strbuf_str(out, port_word(d, word));
}

/* Two by their names, of more the first and how many others. */
static void senders(const struct zt_learning *x, const struct zt_draft *d, struct zt_strbuf *out)
{
	const char *first = x->parties[d->senders[0]].name;
	const char *second = d->n_senders == 2 ? x->parties[d->senders[1]].name : "";

	zt_strbuf_str(out, first);
	if (*second && strlen(first) + strlen(second) <= NAMES_MAX)
		zt_strbuf_printf(out, "-and-%s", second);
	else if (d->n_senders > 1)
		zt_strbuf_printf(out, "-and-%zu-more", d->n_senders - 1);
}

/* Names of rules are letters, digits and "._-" here, so that they need no quotes anywhere. */
static int set_name(const struct zt_learning *x, struct zt_draft *d)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	char word[24];
	size_t n = 0;

	if (d->dir == ZT_DIR_INGRESS)
		zt_strbuf_str(&b, port_word(d, word));
	else
		senders(x, d, &b);
	zt_strbuf_str(&b, "-to-");
	if (d->dir == ZT_DIR_INGRESS && d->receiver == ZT_NO_PARTY)
		zt_strbuf_str(&b, "host");
	else
		target(x, d, &b);
	for (const char *p = zt_strbuf_cstr(&b); *p && n < 58; p++)
		if (isalnum((unsigned char)*p) || strchr("._-", *p))
			d->name[n++] = *p;
		else if (n && d->name[n - 1] != '-' && *p != '@')
			d->name[n++] = '-';
	d->name[n] = '\0';
	return zt_strbuf_error(&b);
}

static int compare_places(const void *a, const void *b)
{
	const struct zt_draft *x = a, *y = b;
	int c = (y->dir == ZT_DIR_INGRESS) - (x->dir == ZT_DIR_INGRESS);

	c = c ? c : strcmp(x->name, y->name);
	if (c || !x->port.n || !y->port.n)
		return c ? c : (x->port.n != 0) - (y->port.n != 0);
	if (x->port.v[0].lo != y->port.v[0].lo)
		return x->port.v[0].lo < y->port.v[0].lo ? -1 : 1;
	if (x->proto.v[0].lo != y->proto.v[0].lo)
		return x->proto.v[0].lo < y->proto.v[0].lo ? -1 : 1;
	return zt_host_compare(&x->hosts[0], &y->hosts[0]);
}

static bool taken(const struct zt_learning *x, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(x->drafts[i].name, name))
			return true;
	return false;
}

static void make_unique(struct zt_learning *x, size_t i)
{
	struct zt_draft *d = &x->drafts[i];
	char base[65], word[24];

	if (!taken(x, i, d->name))
		return;
	memcpy(base, d->name, sizeof(base));
	(void)snprintf(d->name, sizeof(d->name), "%.40s-%s", base, port_word(d, word));
	for (unsigned k = 2; taken(x, i, d->name); k++)
		(void)snprintf(d->name, sizeof(d->name), "%.40s-%s-%u", base, port_word(d, word), k);
}

int zt_drafts_name(struct zt_learning *x)
{
	int r = 0;

	for (size_t i = 0; i < x->n_drafts; i++)
		r = set_name(x, &x->drafts[i]) ?: r;
	if (x->n_drafts)
		qsort(x->drafts, x->n_drafts, sizeof(*x->drafts), compare_places);
	for (size_t i = 0; i < x->n_drafts; i++)
		make_unique(x, i);
	return r;
}

/* ---- YAML; zt_policy_format() makes it handsome ---- */
void zt_write_host(const struct zt_host *h, struct zt_strbuf *out)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	host_text(h, &b);
	zt_strbuf_json(out, zt_strbuf_cstr(&b));
	out->failed = out->failed || b.failed;
}

void zt_write_protocol(uint8_t proto, struct zt_strbuf *out)
{
	const char *name = zt_proto_name(proto);

	if (name)
		zt_strbuf_str(out, name);
	else
		zt_strbuf_u64(out, proto);
}

static void part(struct zt_strbuf *out, const char **comma, const char *key, const char *value)
{
	zt_strbuf_printf(out, "%s%s: ", *comma, key);
	zt_strbuf_json(out, value);
	*comma = ", ";
}

void zt_write_parts(const struct zt_seen_who *w, unsigned parts, bool user_named, struct zt_strbuf *out)
{
	const char *comma = "";

	if (parts & ZT_BY_USER && user_named) {
		part(out, &comma, "user", w->user);
	} else if (parts & ZT_BY_USER) {
		zt_strbuf_printf(out, "uid: %u", w->uid);
		comma = ", ";
	}
	if (parts & ZT_BY_SERVICE)
		part(out, &comma, "service", w->service);
	if (parts & ZT_BY_CONTAINER)
		part(out, &comma, "container", w->container);
	if (parts & ZT_BY_EXE)
		part(out, &comma, "exe", w->exe);
}

static void party(const struct zt_party *p, struct zt_strbuf *out)
{
	if (p->uses > 1)
		zt_strbuf_printf(out, "identity: %s", p->name);
	else
		zt_write_parts(p->who, p->parts, p->user_named, out);
}

static void hosts(const struct zt_draft *d, struct zt_strbuf *out)
{
	if (d->set >= 0) {
		zt_strbuf_printf(out, "host: \"@hosts-%d\"", d->set + 1);
		return;
	}
	zt_strbuf_str(out, d->n_hosts > 1 ? "host: [" : "host: ");
	for (size_t i = 0; i < d->n_hosts; i++) {
		zt_strbuf_str(out, i ? ", " : "");
		zt_write_host(&d->hosts[i], out);
	}
	zt_strbuf_str(out, d->n_hosts > 1 ? "]" : "");
}

static void ports(const struct zt_draft *d, struct zt_strbuf *out)
{
	const struct zt_u32_ranges *p = &d->proto;

	if (d->port.n)
		zt_strbuf_str(out, d->port.n > 1 ? "port: [" : "port: ");
	for (size_t i = 0; i < d->port.n; i++) {
		zt_strbuf_printf(out, "%s%u", i ? ", " : "", d->port.v[i].lo);
		if (d->port.v[i].lo != d->port.v[i].hi)
			zt_strbuf_printf(out, "-%u", d->port.v[i].hi);
	}
	if (d->port.n)
		zt_strbuf_str(out, d->port.n > 1 ? "], " : ", ");
	if (p->n == 2 && p->v[0].lo == 6 && p->v[0].hi == 6 && p->v[1].lo == 17 && p->v[1].hi == 17) {
		zt_strbuf_str(out, "protocol: both");
		return;
	}
	zt_strbuf_str(out, p->n > 1 || p->v[0].lo != p->v[0].hi ? "protocol: [" : "protocol: ");
	for (size_t i = 0; i < p->n; i++)
		for (uint32_t v = p->v[i].lo; v <= p->v[i].hi; v++) {
			zt_strbuf_str(out, i || v != p->v[0].lo ? ", " : "");
			zt_write_protocol((uint8_t)v, out);
		}
	zt_strbuf_str(out, p->n > 1 || p->v[0].lo != p->v[0].hi ? "]" : "");
}

static void from(const struct zt_learning *x, const struct zt_draft *d, struct zt_strbuf *out)
{
	zt_strbuf_str(out, "    from: {");
	if (d->dir == ZT_DIR_INGRESS)
		hosts(d, out);
	else if (d->n_senders == 1)
		party(&x->parties[d->senders[0]], out);
	else
		zt_strbuf_str(out, "identity: [");
	for (size_t i = 0; d->n_senders > 1 && i < d->n_senders; i++)
		zt_strbuf_printf(out, "%s%s", i ? ", " : "", x->parties[d->senders[i]].name);
	zt_strbuf_str(out, d->n_senders > 1 ? "]}\n" : "}\n");
}

static void to(const struct zt_learning *x, const struct zt_draft *d, struct zt_strbuf *out)
{
	zt_strbuf_str(out, "    to: {");
	if (d->receiver != ZT_NO_PARTY) {
		party(&x->parties[d->receiver], out);
		zt_strbuf_str(out, ", ");
	}
	if (d->dir == ZT_DIR_EGRESS) {
		hosts(d, out);
		zt_strbuf_str(out, ", ");
	}
	ports(d, out);
	zt_strbuf_str(out, "}\n");
}

static void evidence(const struct zt_draft *d, struct zt_strbuf *out)
{
	char first[32], last[32], count[32];

	zt_time_format(d->seen.first, first);
	zt_time_format(d->seen.last, last);
	zt_format_thousands(d->seen.count, count);
	if (!d->seen.count)
		zt_strbuf_printf(out, "  # open already, closed %s to %s", first, last);
	else
		zt_strbuf_printf(out, "  # seen %s%s, %s to %s", d->seen.count == 1 ? "once" : count,
				 d->seen.count == 1 ? "" : " times", first, last);
	if (d->score > 0.99)
		zt_strbuf_str(out, "; over 99 % of it was never seen");
	else if (d->score > 0)
		zt_strbuf_printf(out, "; %.0f %% of it was never seen", d->score < 0.01 ? 1 : d->score * 100);
	zt_strbuf_str(out, d->any_program ? "; for any program: its own is not known or has no name\n" : "\n");
}

static void sets(const struct zt_learning *x, struct zt_strbuf *out)
{
	const char *head = "sets:\n";
	bool internet = false;
	int32_t next = 0;

	for (size_t i = 0; i < x->n_drafts; i++)
		for (size_t k = 0; k < x->drafts[i].n_hosts; k++)
			internet = internet || x->drafts[i].hosts[k].kind == ZT_HOST_INTERNET;
	if (internet) {
		zt_strbuf_printf(out, "%s  # all public addresses\n  internet: {addresses: [", head);
		for (size_t i = 0; zt_internet[i]; i++)
			zt_strbuf_printf(out, "%s\"%s\"", i ? ", " : "", zt_internet[i]);
		zt_strbuf_str(out, "]}\n");
		head = "";
	}
	for (size_t i = 0; i < x->n_drafts; i++) {
		const struct zt_draft *d = &x->drafts[i];

		if (d->set != next)
			continue;
		zt_strbuf_printf(out, "%s  hosts-%d: {addresses: [", head, ++next);
		for (size_t k = 0; k < d->n_hosts; k++) {
			zt_strbuf_str(out, k ? ", " : "");
			zt_write_host(&d->hosts[k], out);
		}
		zt_strbuf_str(out, "]}\n");
		head = "";
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(const struct zt_party *const *)a)->name, (*(const struct zt_party *const *)b)->name);
}

static int identities(const struct zt_learning *x, struct zt_strbuf *out)
{
	ZT_FREE const struct zt_party **v = zt_new(const struct zt_party *, x->n_parties + 1);
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < x->n_parties; i++)
		if (x->parties[i].uses > 1)
			v[n++] = &x->parties[i];
	if (n)
		qsort(v, n, sizeof(*v), compare_names);
	for (size_t i = 0; i < n; i++) {
		zt_strbuf_printf(out, "%s  %s: {", i ? "" : "identities:\n", v[i]->name);
		zt_write_parts(v[i]->who, v[i]->parts, v[i]->user_named, out);
		zt_strbuf_str(out, "}\n");
	}
	return 0;
}

static void left_out(struct zt_strbuf *out, uint64_t n, const char *what)
{
	char count[32];

	zt_format_thousands(n, count);
	if (n)
		zt_strbuf_printf(out, "# Left out: %s %s.\n", count, what);
}

static void head(const struct zt_learning *x, struct zt_strbuf *out)
{
	zt_usec first = UINT64_MAX, last = 0;
	char from_text[32], to_text[32], count[32];

	for (size_t i = 0; i < x->n_drafts; i++) {
		first = ZT_MIN(first, x->drafts[i].seen.first);
		last = ZT_MAX(last, x->drafts[i].seen.last);
	}
	zt_time_format(first, from_text);
	zt_time_format(last, to_text);
	zt_format_thousands(x->out->covered, count);
	zt_strbuf_printf(out, "# Learned from %s connections, %s to %s.\n", count, from_text, to_text);
	left_out(out, x->out->denied, "that were blocked (--denied takes them in)");
	left_out(out, x->out->unowned, "of sockets without a user");
	left_out(out, x->out->moved, "to addresses that their name does not have now");
	zt_strbuf_str(out, "version: \"1.0\"\nsettings: {default_policy: deny}\n");
}

int zt_write_policy(const struct zt_learning *x, struct zt_strbuf *out)
{
	int r;

	head(x, out);
	sets(x, out);
	r = identities(x, out);
	zt_strbuf_str(out, "rules:\n");
	for (size_t i = 0; !r && i < x->n_drafts; i++) {
		const struct zt_draft *d = &x->drafts[i];

		evidence(d, out);
		zt_strbuf_printf(out, "  - name: %s\n", d->name);
		from(x, d, out);
		to(x, d, out);
		zt_strbuf_str(out, "    action: allow\n");
	}
	return r ?: zt_strbuf_error(out);
}
