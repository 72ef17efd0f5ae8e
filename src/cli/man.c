/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Manual pages as scdoc sources: zt-segment(8) from the verb table, zt-segment.yaml(5) around the key reference. */
#include <ctype.h>
#include <string.h>

#include "cli/cli.h"

static void text(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (strchr("_*\\[]|#~", *s))
			fputc('\\', f);
		fputc(*s, f);
	}
}

/* As a sentence: capital first, a full stop where nothing else ends it. */
static void sentence(FILE *f, const char *s)
{
	size_t n = strlen(s);
	char first[2] = {(char)toupper((unsigned char)*s), 0};

	text(f, first);
	text(f, s + 1);
	if (n && !strchr(".?!", s[n - 1]))
		fputc('.', f);
}

/* One paragraph a line becomes one indented paragraph; an empty line separates. */
static void paragraphs(FILE *f, const char *s, const char *indent)
{
	while (*s) {
		size_t n = strcspn(s, "\n");
		char line[2048];

		snprintf(line, sizeof(line), "%.*s", (int)n, s);
		if (n)
			fputs(indent, f);
		text(f, line);
		fputc('\n', f);
		s += n + (s[n] == '\n');
	}
}

static void option(FILE *f, enum zt_opt o, const char *doc, const char *indent)
{
	const struct zt_option *d = &zt_options[o];

	fprintf(f, "%s", indent);
	if (d->letter)
		fprintf(f, "*-%c*, ", d->letter);
	fprintf(f, "*--%s*", d->name);
	if (d->arg) {
		fputs(" _", f);
		text(f, d->arg);
		fputc('_', f);
	}
	fprintf(f, "\n%s\t", indent);
	sentence(f, doc);
	fputs("\n\n", f);
}

static void verb(FILE *f, const struct zt_verb *v)
{
	const char *why;
	int code;

	fprintf(f, "*%s*", v->name);
	if (*v->args) {
		fputc(' ', f);
		text(f, v->args);
	}
	fprintf(f, "\n\t");
	sentence(f, v->summary);
	fprintf(f, "\n\n");
	paragraphs(f, v->help, "\t");
	fputc('\n', f);
	for (unsigned i = 0; i < v->n_opts; i++)
		option(f, v->opts[i].opt, zt_verb_opt_doc(v, v->opts[i].opt), "\t");
	fprintf(f, "\tExit codes:");
	for (size_t i = 0; zt_verb_exit(v, i, &code, &why); i++) {
		fprintf(f, "%s %d ", i ? ";" : "", code);
		text(f, why);
	}
	fprintf(f, ".\n\n");
}

static void verbs(FILE *f)
{
	const char *group = "";

	for (size_t i = 0; i < zt_n_verbs; i++) {
		if (strcmp(group, zt_verbs[i].group))
			fprintf(f, "## %s\n\n", zt_verbs[i].group);
		group = zt_verbs[i].group;
		verb(f, &zt_verbs[i]);
	}
}

static void exit_codes(FILE *f)
{
	static const struct {
		int code;
		const char *text;
	} codes[] = {
		{ZT_EXIT_OK, "Done."},
		{ZT_EXIT_FAILED,
		 "Failed, and nothing was changed. For plan, drift and test: there are differences or failures."},
		{ZT_EXIT_USAGE, "Wrong usage."},
		{ZT_EXIT_INACTIVE, "Nothing is enforced."},
		{ZT_EXIT_POLICY, "The policy is wrong, or the engine cannot enforce it."},
		{ZT_EXIT_PERMISSION,
		 "Not allowed: root is needed. Members of the group zt-segment may use status, events, why, "
		 "drift, blocked, report and stats while zt-segmentd runs, which reads for them."},
		{ZT_EXIT_UNCONFIRMED, "Not confirmed in time; it was rolled back."},
	};

	fprintf(f, "# EXIT STATUS\n\n");
	for (size_t i = 0; i < ZT_ARRAY_SIZE(codes); i++)
		fprintf(f, "*%d*\n\t%s\n\n", codes[i].code, codes[i].text);
}

static void files(FILE *f)
{
	fprintf(f,
		"# ENVIRONMENT\n\n*NO_COLOR*\n\tWhen set and not empty, no colours are used. They are only used on a terminal.\n\n"
		"# FILES\n\n_%s_\n\tThe policy that is read where none is named. See *zt-segment.yaml*(5).\n\n"
		"_%s/_INSTANCE\n\tGenerations, the audit log, and what a rollback needs. With *--netns* _NAME_ it is\n"
		"\t_%s/netns-NAME/_INSTANCE, so that namespaces share nothing.\n\n",
		ZT_DEFAULT_POLICY, ZT_DEFAULT_STATE, ZT_DEFAULT_STATE);
}

static void examples(FILE *f)
{
	fprintf(f, "# EXAMPLES\n\n");
	for (size_t i = 0; i < zt_n_verbs; i++) {
		if (zt_verbs[i].flags & ZT_VERB_HIDDEN)
			continue;
		fprintf(f, "%c%s:\n\n\t%s\n\n", zt_verbs[i].summary[0] - (zt_verbs[i].summary[0] >= 'a' ? 32 : 0),
			zt_verbs[i].summary + 1, zt_verbs[i].example);
	}
}

void zt_man_print(FILE *f)
{
	fprintf(f,
		"zt-segment(8) \"zt-segment %s\" \"System administration\"\n\n# NAME\n\n"
		"zt-segment - host micro-segmentation: default deny between the processes of one machine\n\n"
		"# SYNOPSIS\n\n*zt-segment* _COMMAND_ \\[_OPTIONS_\\] \\[_FILE_\\]++\n"
		"*zt-segment* *--config* _FILE_++\n*zt-segment* *--status*++\n*zt-segment* *--flush*\n\n"
		"# DESCRIPTION\n\n"
		"Nothing on the host talks to anything, loopback included, unless a readable policy says so. The policy says who\n"
		"(users, groups, services) may reach what (hosts, ports, protocols). zt-segment compiles it for the packet filter\n"
		"of the kernel, puts it in force as one transaction, verifies it by reading it back, and explains every decision.\n"
		"Enforcement needs no running process.\n\n"
		"Where no _FILE_ is named it is _%s_; \"-\" is standard input.\n\n# COMMANDS\n\n",
		ZT_VERSION, ZT_DEFAULT_POLICY);
	verbs(f);
	fprintf(f, "# OPTIONS OF EVERY COMMAND\n\n");
	for (size_t o = 0; o < ZT_OPT_COUNT; o++)
		if (zt_options[o].global)
			option(f, (enum zt_opt)o, zt_options[o].doc, "");
	fprintf(f, "# OTHER FORMS\n\n");
	option(f, ZT_OPT_CONFIG, zt_options[ZT_OPT_CONFIG].doc, "");
	option(f, ZT_OPT_STATUS, zt_options[ZT_OPT_STATUS].doc, "");
	option(f, ZT_OPT_FLUSH, zt_options[ZT_OPT_FLUSH].doc, "");
	exit_codes(f);
	files(f);
	examples(f);
	fprintf(f, "# SEE ALSO\n\n*zt-segment.yaml*(5), *nft*(8), *iptables*(8), *systemd.unit*(5)\n");
}

static const char yaml_head[] =
	"# NAME\n\nzt-segment.yaml - the policy language of zt-segment\n\n"
	"# DESCRIPTION\n\n"
	"A policy is one YAML file, by default _/etc/zt-segment/rules.yaml_. It names who may talk to whom; everything else is\n"
	"denied. The first rule that matches decides: rules are taken by priority, then in the order of the file. Replies of\n"
	"allowed connections, what a link needs to work at all (ARP, neighbour discovery) and SSH are let through before.\n\n"
	"A rule whose *from* names a user, group, service or cgroup is about what leaves processes of this host, also over\n"
	"loopback. A rule whose *from* names only a host is about what arrives from other machines. Traffic between two local\n"
	"processes is decided once, at the sender.\n\n"
	"The file must be owned by root or the caller and must not be writable by others.\n\n";

static const char yaml_examples[] =
	"# EXAMPLES\n\n"
	"Only the web application may reach the cache:\n\n"
	"```\n"
	"version: \"1.0\"\n"
	"rules:\n"
	"  - name: web-to-redis\n"
	"    from: {user: web-user}\n"
	"    to: {host: 127.0.0.1, port: 6379, protocol: tcp}\n"
	"    action: allow\n"
	"tests:\n"
	"  - name: an intruder cannot read the cache\n"
	"    from: {user: attacker-user}\n"
	"    to: {host: 127.0.0.1, port: 6379, protocol: tcp}\n"
	"    expect: deny\n"
	"```\n\n"
	"Let the office reach the web server, and every user ask the name server:\n\n"
	"```\n"
	"version: \"1.0\"\n"
	"sets:\n"
	"  office: {addresses: [10.0.0.0/8, \"fd00::/8\"]}\n"
	"rules:\n"
	"  - name: office-to-web\n"
	"    from: {host: \"@office\"}\n"
	"    to: {port: [80, 443], protocol: tcp}\n"
	"    action: allow\n"
	"  - name: dns\n"
	"    from: {user: \"*\"}\n"
	"    to: {port: 53, protocol: both}\n"
	"    action: allow\n"
	"```\n\n"
	"Look first, block later: *mode: observe* under *settings* logs what would be blocked and blocks nothing.\n\n"
	"# SEE ALSO\n\n*zt-segment*(8)\n";

int zt_man_yaml_print(FILE *f)
{
	ZT_STRBUF struct zt_strbuf keys = {0};
	int r = zt_policy_man(&keys);

	if (r >= 0)
		r = zt_strbuf_error(&keys);
	if (r < 0)
		return r;
	fprintf(f, "zt-segment.yaml(5) \"zt-segment %s\" \"File formats\"\n\n%s%s\n%s", ZT_VERSION, yaml_head,
		zt_strbuf_cstr(&keys), yaml_examples);
	return 0;
}
