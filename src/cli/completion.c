/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cli/cli.h"

/* A word inside '…' of a shell: the texts of the table are ours, only the quote itself matters. */
static void quoted(FILE *f, const char *s, const char *special)
{
	for (; *s; s++) {
		if (*s == '\'')
			fputs("'\\''", f);
		else if (strchr(special, *s))
			fprintf(f, "\\%c", *s);
		else
			fputc(*s, f);
	}
}

static bool has_other_words(const struct zt_verb *v, enum zt_opt o)
{
	return v && v->other.words && v->other.opt == o;
}

/* ---- bash ---- */

static const char *bash_action(enum zt_complete k)
{
	switch (k) {
	case ZT_COMPLETE_FILE:
		return "compgen -f -- \"$cur\"";
	case ZT_COMPLETE_DIR:
		return "compgen -d -- \"$cur\"";
	case ZT_COMPLETE_USER:
		return "compgen -u -- \"$cur\"";
	case ZT_COMPLETE_GROUP:
		return "compgen -g -- \"$cur\"";
	case ZT_COMPLETE_NETNS:
		return "compgen -W \"$(ls /run/netns 2>/dev/null)\" -- \"$cur\"";
	case ZT_COMPLETE_VERB:
		return "compgen -W \"$verbs\" -- \"$cur\"";
	case ZT_COMPLETE_NOTHING:
	case ZT_COMPLETE_WORDS:
		break;
	}
	return NULL;
}

static void bash_reply(FILE *f, enum zt_complete k, const char *words)
{
	const char *action = bash_action(k);

	if (k == ZT_COMPLETE_WORDS)
		fprintf(f, "mapfile -t COMPREPLY < <(compgen -W \"%s\" -- \"$cur\")", words);
	else if (action)
		fprintf(f, "mapfile -t COMPREPLY < <(%s)%s", action,
			k == ZT_COMPLETE_FILE || k == ZT_COMPLETE_DIR ? "; compopt -o filenames 2>/dev/null" : "");
	else
		fprintf(f, "COMPREPLY=()");
}

/* Verbs with words of their own for the option. */
static void bash_other_words(FILE *f, enum zt_opt o)
{
	for (size_t i = 0; i < zt_n_verbs; i++) {
		const struct zt_verb *v = &zt_verbs[i];

		if (!has_other_words(v, o))
			continue;
		fprintf(f, "if [[ \" ${COMP_WORDS[*]:1:COMP_CWORD-1} \" == *\" %s \"* ]]; then ", v->name);
		bash_reply(f, ZT_COMPLETE_WORDS, v->other.words);
		fprintf(f, "; return; fi; ");
	}
}

static void bash_option_arguments(FILE *f)
{
	fprintf(f, "\tcase $prev in\n");
	for (size_t o = 0; o < ZT_OPT_COUNT; o++) {
		const struct zt_option *d = &zt_options[o];

		if (!d->arg)
			continue;
		fprintf(f, "\t--%s", d->name);
		if (d->letter)
			fprintf(f, "|-%c", d->letter);
		fprintf(f, ") ");
		bash_other_words(f, (enum zt_opt)o);
		bash_reply(f, d->complete, d->words);
		fprintf(f, "; return ;;\n");
	}
	fprintf(f, "\tesac\n");
}

static void option_names(FILE *f, const struct zt_verb *v)
{
	const char *sep = "";

	for (size_t o = 0; o < ZT_OPT_COUNT; o++) {
		if (v ? !zt_verb_takes(v, (enum zt_opt)o)
		      : !zt_options[o].global && o != ZT_OPT_CONFIG && o != ZT_OPT_STATUS && o != ZT_OPT_FLUSH)
			continue;
		fprintf(f, "%s--%s", sep, zt_options[o].name);
		sep = " ";
	}
}

static void bash_find_verb(FILE *f)
{
	fprintf(f, "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		   "\t\tcase ${COMP_WORDS[i]} in\n\t\t");
	for (size_t o = 0, n = 0; o < ZT_OPT_COUNT; o++)
		if (zt_options[o].arg) {
			fprintf(f, "%s--%s", n++ ? "|" : "", zt_options[o].name);
			if (zt_options[o].letter)
				fprintf(f, "|-%c", zt_options[o].letter);
		}
	fprintf(f, ") ((i++)) ;;\n"
		   "\t\t-*) ;;\n"
		   "\t\t*) verb=${COMP_WORDS[i]}; break ;;\n"
		   "\t\tesac\n\tdone\n");
}

static void bash(FILE *f)
{
	fprintf(f, "# bash completion for zt-segment, made by \"zt-segment completion bash\"\n"
		   "_zt_segment()\n{\n"
		   "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb='' i verbs='");
	for (size_t i = 0; i < zt_n_verbs; i++)
		fprintf(f, "%s%s", i ? " " : "", zt_verbs[i].name);
	fprintf(f, "'\n\tCOMPREPLY=()\n");
	bash_option_arguments(f);
	bash_find_verb(f);
	fprintf(f, "\tcase $verb in\n\t'')\n\t\tif [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W \"");
	option_names(f, NULL);
	fprintf(f, "\" -- \"$cur\")\n\t\telse mapfile -t COMPREPLY < <(compgen -W \"$verbs\" -- \"$cur\"); fi ;;\n");
	for (size_t i = 0; i < zt_n_verbs; i++) {
		const struct zt_verb *v = &zt_verbs[i];

		fprintf(f, "\t%s)\n\t\tif [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W \"", v->name);
		option_names(f, v);
		fprintf(f, "\" -- \"$cur\")\n\t\telse ");
		bash_reply(f, v->complete, v->words);
		fprintf(f, "; fi ;;\n");
	}
	fprintf(f, "\tesac\n}\ncomplete -F _zt_segment zt-segment\n");
}

/* ---- zsh ---- */

static void zsh_action(FILE *f, enum zt_complete k, const char *words)
{
	switch (k) {
	case ZT_COMPLETE_WORDS:
		fprintf(f, "(%s)", words);
		return;
	case ZT_COMPLETE_FILE:
		fputs("_files", f);
		return;
	case ZT_COMPLETE_DIR:
		fputs("_files -/", f);
		return;
	case ZT_COMPLETE_USER:
		fputs("_users", f);
		return;
	case ZT_COMPLETE_GROUP:
		fputs("_groups", f);
		return;
	case ZT_COMPLETE_NETNS:
		fputs("_path_files -W /run/netns", f);
		return;
	case ZT_COMPLETE_VERB:
		for (size_t i = 0; i < zt_n_verbs; i++)
			fprintf(f, "%s%s", i ? " " : "(", zt_verbs[i].name);
		fputc(')', f);
		return;
	case ZT_COMPLETE_NOTHING:
		fputs(" ", f);
		return;
	}
}

/* v: the verb that it is for, or NULL. */
static void zsh_option(FILE *f, const struct zt_verb *v, enum zt_opt o, const char *doc)
{
	const struct zt_option *d = &zt_options[o];

	if (d->letter)
		fprintf(f, "\t\t'(-%c --%s)'{-%c,--%s}'", d->letter, d->name, d->letter, d->name);
	else
		fprintf(f, "\t\t'--%s", d->name);
	fputc('[', f);
	quoted(f, doc, "[]:");
	fputc(']', f);
	if (d->arg) {
		fputc(':', f);
		quoted(f, d->arg, "[]:");
		fputc(':', f);
		if (has_other_words(v, o))
			zsh_action(f, ZT_COMPLETE_WORDS, v->other.words);
		else
			zsh_action(f, d->complete, d->words);
	}
	fprintf(f, "' \\\n");
}

static void zsh_verb(FILE *f, const struct zt_verb *v)
{
	fprintf(f, "\t%s) _arguments $common \\\n", v->name);
	for (unsigned i = 0; i < v->n_opts; i++)
		zsh_option(f, v, v->opts[i].opt, zt_verb_opt_doc(v, v->opts[i].opt));
	if (v->max_args) {
		fprintf(f, "\t\t'1:argument:");
		zsh_action(f, v->complete, v->words);
		fprintf(f, "' \\\n");
	}
	fprintf(f, "\t\t&& return ;;\n");
}

static void zsh(FILE *f)
{
	fprintf(f, "#compdef zt-segment\n# made by \"zt-segment completion zsh\"\n_zt_segment() {\n"
		   "\tlocal curcontext=$curcontext state line\n\tlocal -a verbs common\n\tverbs=(\n");
	for (size_t i = 0; i < zt_n_verbs; i++) {
		fprintf(f, "\t\t'%s:", zt_verbs[i].name);
		quoted(f, zt_verbs[i].summary, ":");
		fprintf(f, "'\n");
	}
	fprintf(f, "\t)\n\tcommon=( \\\n");
	for (size_t o = 0; o < ZT_OPT_COUNT; o++)
		if (zt_options[o].global)
			zsh_option(f, NULL, (enum zt_opt)o, zt_options[o].doc);
	fprintf(f, "\t)\n\t_arguments -C $common '--config[the policy file; alone it means apply]:FILE:_files' \\\n"
		   "\t\t'--status[the same as the command status]' '--flush[the same as the command flush]' \\\n"
		   "\t\t'1:command:->verb' '*::argument:->rest' && return\n"
		   "\tif [[ $state == verb ]]; then _describe command verbs; return; fi\n\tcase $words[1] in\n");
	for (size_t i = 0; i < zt_n_verbs; i++)
		zsh_verb(f, &zt_verbs[i]);
	fprintf(f, "\tesac\n}\n_zt_segment \"$@\"\n");
}

/* ---- fish ---- */

static void fish_argument(FILE *f, enum zt_complete k, const char *words)
{
	static const char *const actions[] = {
		[ZT_COMPLETE_NOTHING] = " -x",
		[ZT_COMPLETE_FILE] = " -r -F",
		[ZT_COMPLETE_DIR] = " -x -a '(__fish_complete_directories)'",
		[ZT_COMPLETE_USER] = " -x -a '(__fish_complete_users)'",
		[ZT_COMPLETE_GROUP] = " -x -a '(__fish_complete_groups)'",
		[ZT_COMPLETE_NETNS] = " -x -a '(ls /run/netns 2>/dev/null)'",
		[ZT_COMPLETE_VERB] = " -x",
	};

	if (k == ZT_COMPLETE_WORDS)
		fprintf(f, " -x -a '%s'", words);
	else
		fputs(actions[k], f);
}

static void fish_option(FILE *f, const struct zt_verb *v, const char *condition, enum zt_opt o, const char *doc)
{
	const struct zt_option *d = &zt_options[o];

	fprintf(f, "complete -c zt-segment%s -l %s", condition, d->name);
	if (d->letter)
		fprintf(f, " -s %c", d->letter);
	if (d->arg && has_other_words(v, o))
		fish_argument(f, ZT_COMPLETE_WORDS, v->other.words);
	else if (d->arg)
		fish_argument(f, d->complete, d->words);
	fprintf(f, " -d '");
	quoted(f, doc, "");
	fprintf(f, "'\n");
}

static void fish_verb(FILE *f, const struct zt_verb *v)
{
	char condition[96];

	fprintf(f, "complete -c zt-segment -n __fish_use_subcommand -a %s -d '", v->name);
	quoted(f, v->summary, "");
	fprintf(f, "'\n");
	snprintf(condition, sizeof(condition), " -n '__fish_seen_subcommand_from %s'", v->name);
	for (unsigned i = 0; i < v->n_opts; i++)
		fish_option(f, v, condition, v->opts[i].opt, zt_verb_opt_doc(v, v->opts[i].opt));
	if (v->complete == ZT_COMPLETE_FILE)
		fprintf(f, "complete -c zt-segment%s -F\n", condition);
	if (v->complete == ZT_COMPLETE_WORDS)
		fprintf(f, "complete -c zt-segment%s -a '%s'\n", condition, v->words);
}

static void fish(FILE *f)
{
	fprintf(f,
		"# fish completion for zt-segment, made by \"zt-segment completion fish\"\ncomplete -c zt-segment -f\n");
	for (size_t o = 0; o < ZT_OPT_COUNT; o++)
		if (zt_options[o].global)
			fish_option(f, NULL, "", (enum zt_opt)o, zt_options[o].doc);
	fish_option(f, NULL, " -n __fish_use_subcommand", ZT_OPT_CONFIG, zt_options[ZT_OPT_CONFIG].doc);
	fish_option(f, NULL, " -n __fish_use_subcommand", ZT_OPT_STATUS, zt_options[ZT_OPT_STATUS].doc);
	fish_option(f, NULL, " -n __fish_use_subcommand", ZT_OPT_FLUSH, zt_options[ZT_OPT_FLUSH].doc);
	for (size_t i = 0; i < zt_n_verbs; i++)
		fish_verb(f, &zt_verbs[i]);
	fprintf(f, "complete -c zt-segment -n '__fish_seen_subcommand_from help' -a '");
	for (size_t i = 0; i < zt_n_verbs; i++)
		fprintf(f, "%s%s", i ? " " : "", zt_verbs[i].name);
	fprintf(f, "'\n");
}

int zt_completion_print(FILE *f, const char *shell)
{
	if (!strcmp(shell, "bash"))
		bash(f);
	else if (!strcmp(shell, "zsh"))
		zsh(f);
	else if (!strcmp(shell, "fish"))
		fish(f);
	else
		return -EINVAL;
	return 0;
}
