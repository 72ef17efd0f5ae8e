/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/options.h"

#include <ctype.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/request.h"

static const struct {
	const char *name, *arg, *doc;
} options[ZT_DOPTS] = {
	[ZT_DOPT_NETNS] = {"netns", "NAME",
			   "work in this network namespace: a name of \"ip netns\", or a path with a slash"},
	[ZT_DOPT_CGROUP] = {"cgroup", "PATH", "bound the bpf engine and all control groups to this one"},
	[ZT_DOPT_STATE_DIR] = {"state-dir", "DIR", "state of the instance instead of /var/lib/zt-segment/INSTANCE"},
	[ZT_DOPT_INSTANCE] = {"instance", "NAME", "which of several policies side by side; default"},
	[ZT_DOPT_ENGINE] = {"engine", "NAME", "nft, bpf or iptables instead of the one that enforces"},
	[ZT_DOPT_POLICY] = {"policy", "FILE", "the policy to follow; /etc/zt-segment/rules.yaml"},
	[ZT_DOPT_SETTINGS] = {"settings", "FILE", "settings; " ZT_DAEMON_CONFIG},
	[ZT_DOPT_HELP] = {"help", NULL, "this text"},
	[ZT_DOPT_VERSION] = {"version", NULL, "print the version"},
	[ZT_DOPT_MAN] = {"man", NULL, "print the source of the manual page (scdoc)"},
};

static int find(const char *s, size_t len)
{
	for (int i = 0; i < ZT_DOPTS; i++)
		if (strlen(options[i].name) == len && !strncmp(options[i].name, s, len))
			return i;
	return -ENOENT;
}

static int refuse(struct zt_strbuf *err, const char *what, const char *arg)
{
	zt_strbuf_printf(err, "%s \"", what);
	zt_strbuf_escaped(err, arg, strlen(arg));
	zt_strbuf_char(err, '"');
	return -EINVAL;
}

int zt_daemon_args_parse(int argc, char *const *argv, struct zt_daemon_args *ret, struct zt_strbuf *err)
{
	struct zt_daemon_args a = {0};

	for (int i = 1; i < argc; i++) {
		const char *s = argv[i], *eq = strchr(s, '='), *value = eq ? eq + 1 : NULL;
		int o = strncmp(s, "--", 2) ? -ENOENT : find(s + 2, eq ? (size_t)(eq - s) - 2 : strlen(s) - 2);

		if (o < 0)
			return refuse(err, "unknown option", s);
		if (a.value[o])
			return refuse(err, "given twice:", s);
		if (!options[o].arg && value)
			return refuse(err, "takes no argument:", s);
		if (options[o].arg && !value) {
			if (i + 1 == argc)
				return refuse(err, "an argument is missing after", s);
			value = argv[++i];
		}
		a.value[o] = value ? value : "";
	}
	*ret = a;
	return 0;
}

void zt_daemon_help(FILE *f)
{
	fprintf(f,
		"usage: zt-segmentd [OPTIONS]\n\nKeeps what zt-segment enforces in step with the policy file and the host. Optional: the "
		"kernel\nenforces without it. Runs in the foreground; see zt-segmentd(8).\n\n");
	for (int i = 0; i < ZT_DOPTS; i++)
		fprintf(f, "  --%s%s%s%*s%s\n", options[i].name, options[i].arg ? " " : "",
			options[i].arg ? options[i].arg : "",
			(int)(20 - strlen(options[i].name) - (options[i].arg ? strlen(options[i].arg) + 1 : 0)), "",
			options[i].doc);
}

/* ---- the manual page ---- */
static void text(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (strchr("_*\\[]|#~", *s))
			fputc('\\', f);
		fputc(*s, f);
	}
}

static void entry(FILE *f, const char *doc)
{
	fputs("\n\t", f);
	fputc(toupper((unsigned char)*doc), f);
	text(f, doc + 1);
	fputs(doc[strlen(doc) - 1] == '.' ? "\n\n" : ".\n\n", f);
}

static void man_options(FILE *f)
{
	fputs("# OPTIONS\n\n", f);
	for (int i = 0; i < ZT_DOPTS; i++) {
		fprintf(f, "*--%s*", options[i].name);
		if (options[i].arg)
			fprintf(f, " _%s_", options[i].arg);
		entry(f, options[i].doc);
	}
}

static void man_settings(FILE *f)
{
	fputs("# SETTINGS\n\n", f);
	text(f, ZT_DAEMON_CONFIG);
	fputs(" is a YAML mapping. Without it, and for keys it does not have, the defaults hold. It is read at the start and at a reload; clients, events, journal, keep_events, keep_flows and journal_mib take effect at the start alone.\n\n",
	      f);
	for (size_t i = 0; i < zt_n_config_keys; i++) {
		fputc('*', f);
		text(f, zt_config_keys[i].name);
		fputs(":* ", f);
		text(f, zt_config_keys[i].def);
		entry(f, zt_config_keys[i].doc);
	}
}

static void man_requests(FILE *f)
{
	fputs("# CONTROL SOCKET\n\n", f);
	text(f,
	     "/run/zt-segment/INSTANCE/control is a stream socket of root and, where it exists, the group zt-segment. Root may ask for everything, the group for "
	     "what only reads. A request is a JSON object in one line of at most 4096 bytes, {\"request\": \"NAME\"}, for some with numbers beside it; the answer is a JSON object in one line, "
	     "after which the connection ends. ");
	fputs("Requests:\n\n", f);
	for (size_t i = 0; i < ZT_REQUESTS; i++) {
		fprintf(f, "*%s* (%s)", zt_requests[i].name,
			zt_requests[i].role == ZT_ROLE_ADMIN ? "root" : "root, group zt-segment");
		entry(f, zt_requests[i].doc);
	}
}

static void man_rights(FILE *f)
{
	fputs("# RIGHTS\n\nThe process that listens drops all capabilities but these, and by a system call filter the right to start programs, to enter "
	      "namespaces, to mount and to trace:\n\n",
	      f);
	for (size_t i = 0; i < zt_n_rights_kept; i++) {
		fputc('*', f);
		text(f, zt_rights_kept[i].name);
		fputc('*', f);
		entry(f, zt_rights_kept[i].why);
	}
	fputs("A second process keeps the rights that changing the packet filter takes. It hears nothing but five fixed jobs from the first.\n\n",
	      f);
}

void zt_daemon_man(FILE *f)
{
	fputs("zt-segmentd(8)\n\n# NAME\n\nzt-segmentd - keeps what zt-segment enforces in step with the host\n\n# SYNOPSIS\n\n*zt-segmentd* "
	      "[_OPTIONS_]\n\n# DESCRIPTION\n\n",
	      f);
	text(f,
	     "An optional daemon. It puts the policy in force when its file changes, looks names up anew when accounts, services, programs, containers or network "
	     "devices change, removes rules that expired, puts back what other programs change in our rules, and answers on a control socket. The kernel enforces "
	     "without it: ending or killing it changes no verdict. At its start it adopts what is in force.\n\n"
	     "Nothing is put in force that was not: where no policy was ever applied, or all was flushed, a change of the file does nothing until \"zt-segment "
	     "apply\" or \"zt-segment reload\". A policy with errors changes nothing; \"zt-segment status\" says so.\n\n");
	man_options(f);
	man_settings(f);
	man_requests(f);
	man_rights(f);
	fputs("# SIGNALS\n\n*SIGHUP*\n\tReads settings and policy anew, as *zt-segment reload* does.\n\n*SIGTERM*, *SIGINT*\n\tEnds after the job that "
	      "runs. What is enforced stays.\n\n# SEE ALSO\n\n*zt-segment*(8), *zt-segment.yaml*(5)\n",
	      f);
}
