/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/live.h"

static int usage(const struct zt_verb *v, const char *text)
{
	fprintf(stderr, "zt-segment: error: %s [ZT5001]\n", text);
	fprintf(stderr, "hint: \"zt-segment %s%s--help\" shows what there is\n", v ? v->name : "", v ? " " : "");
	return ZT_EXIT_USAGE;
}

static int run(struct zt_cli *c)
{
	int code = zt_cli_init(c);

	if (code == 0 && (c->args.verb->flags & ZT_VERB_KERNEL))
		code = zt_cli_engine(c);
	if (code == 0)
		code = c->args.verb->run(c);
	zt_cli_flush_diags(c);
	zt_cli_done(c);
	if (fflush(stdout)) {
		fprintf(stderr, "zt-segment: error: cannot write the output: %s [ZT5000]\n", strerror(errno));
		return code ? code : ZT_EXIT_FAILED;
	}
	if (ferror(stdout)) { /* earlier: why is not known any more */
		fprintf(stderr, "zt-segment: error: the output could not be written, or not all of it [ZT5000]\n");
		return code ? code : ZT_EXIT_FAILED;
	}
	return code;
}

int main(int argc, char **argv)
{
	ZT_STRBUF struct zt_strbuf err = {0};
	struct zt_cli c = {.out = stdout, .err = stderr};

	if (argc > 0 && !strcmp(argv[0], ZT_LIVE_WORKER))
		return zt_live_worker_main(argc, argv);
	(void)signal(SIGPIPE, SIG_DFL); /* `zt-segment … | head` ends quietly */
	if (zt_args_parse(argc, argv, &c.args, &err) < 0)
		return usage(c.args.verb, zt_strbuf_cstr(&err));
	if (zt_opt(&c, HELP)) {
		if (c.args.verb)
			zt_help_verb(stdout, c.args.verb);
		else
			zt_help_short(stdout);
		return ZT_EXIT_OK;
	}
	if (zt_opt(&c, VERSION)) {
		printf("zt-segment %s\n", ZT_VERSION);
		return ZT_EXIT_OK;
	}
	if (!c.args.verb) {
		zt_help_short(stderr);
		return ZT_EXIT_USAGE;
	}
	return run(&c);
}
