/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "base/table.h"
#include "cli/actor.h"

enum { NAMES_SHOWN = 4, INDENT = 13 };

/* ---- the policy's words for processes ---- */
struct identity {
	const struct zt_subject *subject;
	struct zt_subject plain; /* where the rule has no subject: borrows from the match of the rule */
	bool primary;		 /* of the plain one: only the primary group counts */
	struct zt_strbuf text, rules;
	unsigned n_rules;
	const char *last; /* name of the last rule */
};
struct book {
	struct zt_policy *policy;
	struct zt_ruleset *rs;		/* NULL: nothing is enforced */
	const struct zt_engine *engine; /* which enforces it */
	const char *instance;
	struct zt_labels labels; /* when the ruleset has subjects */
	struct identity *v;
	size_t n, cap;
	struct zt_netsocks sockets;
	struct zt_owners owners;
};

static void book_done(struct book *b)
{
	for (size_t i = 0; i < b->n; i++) {
		zt_strbuf_done(&b->v[i].text);
		zt_strbuf_done(&b->v[i].rules);
	}
	free(b->v);
	zt_labels_done(&b->labels);
	zt_ruleset_free(b->rs);
	zt_policy_free(b->policy);
	zt_owners_done(&b->owners);
	zt_netsocks_done(&b->sockets);
}

static bool same_identity(const struct identity *i, const struct zt_subject *s, const char *text)
{
	return s ? i->subject == s : i->subject == NULL && !strcmp(zt_strbuf_cstr(&i->text), text);
}

static struct identity *get(struct book *b, const struct zt_subject *s, const char *text)
{
	for (size_t i = 0; i < b->n; i++)
		if (same_identity(&b->v[i], s, text))
			return &b->v[i];
	if (zt_grow(b->v, b->cap, b->n) < 0)
		return NULL;
	b->v[b->n] = (struct identity){.subject = s};
	zt_strbuf_str(&b->v[b->n].text, text);
	return &b->v[b->n++];
}

static int add_rule(struct identity *i, const struct zt_rule *r)
{
	if (!i)
		return -ENOMEM;
	if (i->last && !strcmp(i->last, r->id))
		return 0;
	i->last = r->id;
	if (i->n_rules++ < NAMES_SHOWN)
		zt_strbuf_printf(&i->rules, "%s%s", i->n_rules > 1 ? ", " : "", r->id);
	else if (i->n_rules == NAMES_SHOWN + 1)
		zt_strbuf_str(&i->rules, ", ...");
	return zt_strbuf_error(&i->rules);
}

static int add_plain(struct book *b, const struct zt_rule *r)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	const struct zt_match *m = &r->match;
	struct identity *i;

	if ((r->dir != ZT_DIR_EGRESS && r->dir != ZT_DIR_UNIX) || (!m->uid.n && !m->gid.n && !m->n_cgroups))
		return 0;
	zt_rule_from(r, &text);
	i = get(b, NULL, zt_strbuf_cstr(&text));
	if (i) {
		i->plain = (struct zt_subject){
			.uid = m->uid, .gid = m->gid, .cgroups = m->cgroups, .n_cgroups = m->n_cgroups};
		i->primary = true;
	}
	return add_rule(i, r);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(zt_strbuf_cstr(&((const struct identity *)a)->text),
		      zt_strbuf_cstr(&((const struct identity *)b)->text));
}

static int read_identities(struct zt_cli *c, struct book *b)
{
	int r = 0;

	for (size_t k = 0; !r && k < b->rs->n_rules; k++) {
		const struct zt_rule *rule = &b->rs->rules[k];

		if (rule->match.from)
			r = add_rule(get(b, rule->match.from, rule->match.from->text), rule);
		else
			r = add_plain(b, rule);
		if (!r && rule->match.to)
			r = add_rule(get(b, rule->match.to, rule->match.to->text), rule);
	}
	if (b->n)
		qsort(b->v, b->n, sizeof(*b->v), by_text);
	if (!r && b->rs->n_subjects)
		r = zt_labels_make(b->rs, &b->labels, &c->diags);
	return r;
}

static enum zt_subject_miss miss_of(const struct identity *i, const struct zt_person *p)
{
	struct zt_actor actor = p->actor;

	if (i->subject)
		return zt_subject_miss(i->subject, &actor);
	actor.known = true;
	actor.n_groups = i->primary ? 0 : actor.n_groups;
	return zt_subject_miss(&i->plain, &actor);
}

static void why_not(const struct identity *i, const struct zt_person *p, enum zt_subject_miss miss,
		    struct zt_strbuf *out)
{
	struct zt_person only = *p;

	if (i->primary)
		only.actor.n_groups = 0;
	zt_subject_miss_text(i->subject ? i->subject : &i->plain, &only, miss, out);
}

/* The number the engine knows it by; false where the policy has no labels. */
static bool label_of(const struct book *b, const struct zt_person *p, uint32_t *ret)
{
	struct zt_set_bits bits = {0};

	if (!b->rs || !b->rs->n_subjects)
		return false;
	if (b->engine && b->engine->number)
		return b->engine->number(b->instance, &p->actor, ret) == 0;
	*ret = ZT_LABEL_UNKNOWN;
	if (!p->actor.known)
		return true;
	for (size_t i = 0; i < b->rs->n_subjects; i++)
		if (zt_subject_match(b->rs->subjects[i], &p->actor))
			bits.w[i / 64] |= UINT64_C(1) << (i % 64);
	*ret = zt_labels_find(&b->labels, &bits);
	return true;
}

/* ---- one process, for people ---- */
static void line(struct zt_cli *c, const char *word, const char *text)
{
	fprintf(c->out, "  %-*s%s\n", INDENT - 2, word, text);
}

/* text continues below itself. */
static void long_line(struct zt_cli *c, const char *word, const char *text)
{
	size_t room = c->width - 1 - INDENT, n = strlen(text), cut = n;

	if (n > room)
		for (cut = room; cut && text[cut] != ' ';)
			cut--;
	if (!cut)
		cut = strcspn(text, " ");
	fprintf(c->out, "  %-*s%.*s\n", INDENT - 2, word, (int)cut, text);
	zt_cli_wrap(c->out, text + cut + strspn(text + cut, " "), INDENT, c->width - 1);
}

static void escaped_line(struct zt_cli *c, const char *word, const char *text, const char *after)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_strbuf_escaped(&b, text, strlen(text));
	zt_strbuf_str(&b, after);
	line(c, word, zt_strbuf_cstr(&b));
}

static void print_groups(struct zt_cli *c, const struct zt_process *p)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	ZT_FREE char *own = zt_group_name(p->gid);

	zt_strbuf_printf(&b, "%s (%u)", own ? own : "", p->gid);
	for (size_t i = 0; i < p->n_groups && i < 64; i++) {
		ZT_FREE char *name = p->groups[i] == p->gid ? NULL : zt_group_name(p->groups[i]);

		if (name)
			zt_strbuf_printf(&b, ", %s (%u)", name, p->groups[i]);
	}
	long_line(c, "groups", zt_strbuf_cstr(&b));
}

static void print_parent(struct zt_cli *c, const char *word, const struct zt_process *p)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	ZT_FREE char *user = zt_user_name(p->uid);

	zt_strbuf_printf(&b, "%d ", p->pid);
	zt_strbuf_escaped(&b, p->exe ? p->exe : p->comm, strlen(p->exe ? p->exe : p->comm));
	zt_strbuf_printf(&b, "%s, %s", p->exe_deleted ? " (deleted)" : "", user ? user : "");
	line(c, word, zt_strbuf_cstr(&b));
}

static void print_sockets(struct zt_cli *c, const struct book *b, int pid)
{
	size_t shown = 0, all = 0;

	for (size_t i = 0; i < b->owners.n; i++) {
		ZT_STRBUF struct zt_strbuf text = {0};

		if (b->owners.v[i].pid != pid || (all++, shown >= 8 && !c->verbose))
			continue;
		zt_netsock_text(b->owners.v[i].socket, &text);
		if (b->owners.v[i].socket->listens)
			zt_strbuf_str(&text, " (listens)");
		line(c, shown++ ? "" : "sockets", zt_strbuf_cstr(&text));
	}
	if (shown < all)
		fprintf(c->out, "%*s... and %zu more (-v shows all)\n", INDENT, "", all - shown);
}

static void print_identity(struct zt_cli *c, const char *word, const struct identity *i, const char *why)
{
	ZT_STRBUF struct zt_strbuf text = {0};

	zt_strbuf_escaped(&text, zt_strbuf_cstr(&i->text), i->text.len);
	if (why)
		zt_strbuf_printf(&text, ": %s", why);
	else
		zt_strbuf_printf(&text, "  (%s)", zt_strbuf_cstr(&i->rules));
	long_line(c, word, zt_strbuf_cstr(&text));
}

static void print_label(struct zt_cli *c, const struct book *b, const struct zt_person *p)
{
	uint32_t label;
	size_t n = 0;

	if (!b->rs) {
		line(c, "policy", "nothing is enforced here");
		return;
	}
	if (label_of(b, p, &label)) {
		ZT_FREE char *text = zt_asprintf("%u%s", label,
						 !p->actor.known ? " (unknown: denied where programs are named)" : "");

		line(c, "label", text ? text : "");
	}
	for (size_t i = 0; i < b->n; i++)
		if (miss_of(&b->v[i], p) == ZT_SUBJECT_MATCH)
			print_identity(c, n++ ? "" : "is", &b->v[i], NULL);
	if (!n)
		line(c, "is", "nobody the policy names");
	n = 0;
	for (size_t i = 0; i < b->n; i++) {
		ZT_STRBUF struct zt_strbuf why = {0};
		enum zt_subject_miss miss = miss_of(&b->v[i], p);

		if (miss == ZT_SUBJECT_MATCH)
			continue;
		why_not(&b->v[i], p, miss, &why);
		print_identity(c, n++ ? "" : "is not", &b->v[i], zt_strbuf_cstr(&why));
	}
}

static void print_person(struct zt_cli *c, const struct book *b, const struct zt_person *p)
{
	const struct zt_process *of = &p->process;
	ZT_FREE char *service = zt_person_service(p);
	ZT_STRBUF struct zt_strbuf user = {0}, container = {0}, cgroup = {0};

	fprintf(c->out, "%sPID %d ", zt_colour(c, ZT_BOLD), of->pid);
	zt_cli_puts_escaped(c->out, of->comm);
	fprintf(c->out, "%s\n", zt_colour(c, ZT_PLAIN));
	zt_uid_text(of->uid, &user);
	line(c, "user", zt_strbuf_cstr(&user));
	print_groups(c, of);
	escaped_line(c, "program", of->exe ? of->exe : "none that can be read", of->exe_deleted ? " (deleted)" : "");
	if (*p->digest)
		line(c, "sha256", p->digest);
	zt_strbuf_printf(&cgroup, "/%s", of->cgroup);
	escaped_line(c, "cgroup", zt_strbuf_cstr(&cgroup), "");
	if (service)
		escaped_line(c, "service", service, "");
	if (p->container) {
		zt_strbuf_printf(&container, "%s (%s)", p->container->name ? p->container->name : p->container->id,
				 p->container->runtime);
		escaped_line(c, "container", zt_strbuf_cstr(&container), "");
	}
	for (size_t i = 0; i < p->n_parents; i++)
		print_parent(c, i ? "" : "parents", &p->parents[i]);
	print_sockets(c, b, of->pid);
	print_label(c, b, p);
}

/* ---- JSON ---- */
static json_t *process_json(const struct zt_process *p)
{
	ZT_FREE char *user = zt_user_name(p->uid);

	return json_pack("{s:i, s:o, s:I, s:o, s:o, s:b}", "pid", p->pid, "name", zt_json_text(p->comm), "uid",
			 (json_int_t)p->uid, "user", zt_json_text(user), "program", zt_json_text(p->exe), "deleted",
			 (int)p->exe_deleted);
}

static json_t *container_json(const struct zt_container *k)
{
	return k ? json_pack("{s:o, s:o, s:o, s:o}", "name", zt_json_text(k->name), "id", zt_json_text(k->id),
			     "runtime", zt_json_text(k->runtime), "cgroup", zt_json_text(k->cgroup))
		 : json_null();
}

static json_t *sockets_json(const struct book *b, int pid)
{
	json_t *a = json_array();

	for (size_t i = 0; i < b->owners.n; i++) {
		const struct zt_netsock *s = b->owners.v[i].socket;
		ZT_STRBUF struct zt_strbuf text = {0};

		if (b->owners.v[i].pid != pid)
			continue;
		zt_netsock_text(s, &text);
		(void)json_array_append_new(a, json_pack("{s:s, s:s, s:i, s:b}", "text", zt_strbuf_cstr(&text),
							 "protocol", zt_proto_name(s->proto), "port", s->port,
							 "listens", (int)s->listens)); /* a failed one is left out */
	}
	return a;
}

static void set_label(json_t *j, const struct book *b, const struct zt_person *p)
{
	json_t *is = json_array(), *is_not = json_array();
	uint32_t label;

	for (size_t i = 0; i < b->n; i++) {
		ZT_STRBUF struct zt_strbuf why = {0};
		enum zt_subject_miss miss = miss_of(&b->v[i], p);
		json_t *one = json_pack("{s:o, s:o}", "identity", zt_json_text(zt_strbuf_cstr(&b->v[i].text)), "rules",
					zt_json_text(zt_strbuf_cstr(&b->v[i].rules)));

		if (miss != ZT_SUBJECT_MATCH) {
			why_not(&b->v[i], p, miss, &why);
			(void)json_object_set_new(one, "why", json_string(zt_strbuf_cstr(&why)));
		}
		(void)json_array_append_new(miss == ZT_SUBJECT_MATCH ? is : is_not, one);
	}
	(void)json_object_set_new(j, "label", label_of(b, p, &label) ? json_integer(label) : json_null());
	(void)json_object_set_new(j, "is", is); /* a failed set leaves a key out */
	(void)json_object_set_new(j, "is_not", is_not);
}

static json_t *person_json(const struct book *b, const struct zt_person *p)
{
	json_t *j = process_json(&p->process), *groups = json_array(), *parents = json_array();
	ZT_FREE char *service = zt_person_service(p);

	for (size_t i = 0; i < p->process.n_groups; i++)
		(void)json_array_append_new(groups, json_integer(p->process.groups[i])); /* a failed one is left out */
	for (size_t i = 0; i < p->n_parents; i++)
		(void)json_array_append_new(parents, process_json(&p->parents[i]));
	(void)json_object_update_new(j, json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "gid",
						  (json_int_t)p->process.gid, "groups", groups, "sha256",
						  *p->digest ? json_string(p->digest) : json_null(), "cgroup",
						  zt_json_text(p->process.cgroup), "service", zt_json_text(service),
						  "container", container_json(p->container), "parents", parents,
						  "sockets", sockets_json(b, p->process.pid)));
	set_label(j, b, p);
	return j;
}

/* ---- --all ---- */
static void sockets_short(const struct book *b, size_t *i, struct zt_strbuf *out)
{
	int pid = b->owners.v[*i].pid;
	size_t connected = 0;
	uint16_t last = 0;
	uint8_t proto = 0;

	for (; *i < b->owners.n && b->owners.v[*i].pid == pid; ++*i) {
		const struct zt_netsock *s = b->owners.v[*i].socket;

		connected += !s->listens;
		if (!s->listens || (s->port == last && s->proto == proto))
			continue;
		zt_strbuf_printf(out, "%s%s :%u", out->len ? ", " : "", zt_proto_name(s->proto), s->port);
		last = s->port;
		proto = s->proto;
	}
	if (connected)
		zt_strbuf_printf(out, "%s%zu connected", out->len ? ", " : "", connected);
}

static int add_row(struct zt_table *t, const struct book *b, const struct zt_person *p, const char *sockets)
{
	ZT_STRBUF struct zt_strbuf is = {0};
	ZT_FREE char *pid = zt_asprintf("%d", p->process.pid), *user = zt_user_name(p->process.uid);
	const char *cells[5] = {pid, user, p->process.exe ? p->process.exe : p->process.comm, sockets};

	for (size_t i = 0; i < b->n; i++)
		if (miss_of(&b->v[i], p) == ZT_SUBJECT_MATCH)
			zt_strbuf_printf(&is, "%s%s", is.len ? ", " : "", zt_strbuf_cstr(&b->v[i].text));
	cells[4] = is.len ? zt_strbuf_cstr(&is) : p->actor.known || !b->n ? "-" : "unknown";
	return zt_table_row(t, cells);
}

static int show_all(struct zt_cli *c, const struct book *b)
{
	static const struct zt_table_column cols[] = {{.title = "PID", .right = true},
						      {.title = "User", .min = 4, .flexible = true},
						      {.title = "Program", .min = 12, .flexible = true, .path = true},
						      {.title = "Sockets", .min = 12, .flexible = true},
						      {.title = "Is", .min = 8, .flexible = true}};
	ZT_CLEANUP(zt_table_freep) struct zt_table *t = zt_table_new(cols, ZT_ARRAY_SIZE(cols));
	const char *head = b->rs ? NULL : "Policy: nothing is enforced here";
	int r = t ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < b->owners.n;) {
		ZT_STRBUF struct zt_strbuf sockets = {0};
		struct zt_person p;
		int pid = b->owners.v[i].pid;

		sockets_short(b, &i, &sockets);
		if (zt_person_read(pid, b->rs, &p) < 0)
			continue; /* ended meanwhile */
		r = add_row(t, b, &p, zt_strbuf_cstr(&sockets));
		zt_person_done(&p);
	}
	return r < 0 ? r
		     : zt_table_print(t, c->out, "Who holds sockets", head ? &head : NULL, head ? 1 : 0, c->columns,
				      c->colour);
}

/* ---- who is meant ---- */
struct target {
	bool all;
	int pid; /* 0: port */
	uint16_t port;
	uint8_t proto; /* 0: any */
};

static int take_target(struct zt_cli *c, struct target *ret)
{
	const char *word = c->args.n_pos ? c->args.pos[0] : NULL;
	struct zt_target t;
	uint64_t pid;

	*ret = (struct target){.all = zt_opt(c, ALL)};
	if (!word == !ret->all)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5040, "such as \"who 4711\", \"who :6379\", \"who --all\"",
				    "who is meant?");
	if (!word)
		return 0;
	if (zt_parse_u64(word, INT32_MAX, &pid) == 0 && pid) {
		ret->pid = (int)pid;
		return 0;
	}
	if (word[0] != ':' || zt_target_parse(word, &t) < 0 || !t.has_port)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5040, "such as \"who 4711\", \"who :6379\", \"who :53/udp\"",
				    "\"%s\" is neither a process nor a port", word);
	ret->port = t.port;
	ret->proto = strchr(word, '/') ? t.proto : 0;
	return 0;
}

static bool wanted(const struct target *t, const struct zt_owner *o, bool listening)
{
	return o->socket->port == t->port && (!t->proto || t->proto == o->socket->proto) &&
	       o->socket->listens == listening;
}

/* Who listens, else who is connected from that port. */
static bool anybody(const struct book *b, const struct target *t, bool listening)
{
	for (size_t i = 0; i < b->owners.n; i++)
		if (wanted(t, &b->owners.v[i], listening))
			return true;
	return false;
}

static bool is_meant(const struct book *b, const struct target *t, int pid)
{
	bool listening = anybody(b, t, true);

	for (size_t i = 0; i < b->owners.n; i++)
		if (b->owners.v[i].pid == pid && wanted(t, &b->owners.v[i], listening))
			return true;
	return false;
}

static int show_one(struct zt_cli *c, const struct book *b, int pid, json_t *list, size_t *n)
{
	struct zt_person p;
	int r = zt_person_read(pid, b->rs, &p);

	if (r < 0)
		return r;
	r = zt_person_details(&p);
	if (!r && list)
		(void)json_array_append_new(list, person_json(b, &p)); /* a failed one is left out */
	else if (!r)
		print_person(c, b, &p);
	if (!r)
		++*n;
	zt_person_done(&p);
	return r;
}

static int show(struct zt_cli *c, const struct book *b, const struct target *t, json_t *list, size_t *n)
{
	int r, last = 0;

	if (t->pid)
		return show_one(c, b, t->pid, list, n);
	for (size_t i = 0; i < b->owners.n; i++) {
		int pid = b->owners.v[i].pid;

		if (pid == last || (!t->all && !is_meant(b, t, pid)))
			continue;
		last = pid;
		if (!list && *n)
			fputc('\n', c->out);
		r = show_one(c, b, pid, list, n);
		if (r < 0 && r != -ESRCH)
			return r;
	}
	return 0;
}

static int report(struct zt_cli *c, const struct book *b, const struct target *t)
{
	json_t *list = c->json ? json_array() : NULL;
	size_t n = 0;
	int r = t->all && !list ? show_all(c, b) : show(c, b, t, list, &n);

	if (r == 0 && (n || t->all) && list)
		return zt_cli_json(c, json_pack("{s:b, s:o}", "active", (int)(b->rs != NULL), "processes", list));
	json_decref(list);
	if (t->pid && r == -ESRCH)
		return zt_cli_error(c, ZT_EXIT_FAILED, 5041, NULL, "there is no process %d", t->pid);
	if (r < 0)
		return zt_cli_fail(c, r);
	if (!n && !t->all)
		return zt_cli_error(c, ZT_EXIT_FAILED, 5042,
				    "\"zt-segment who --all\" lists all that hold sockets here", "nobody holds port %u",
				    t->port);
	return 0;
}

static int obtain(struct zt_cli *c, struct book *b)
{
	int code;

	if (zt_opt(c, POLICY)) {
		c->engine = zt_engine_by_name("memory"); /* knows every kind of identity */
		code = zt_cli_load(c, &b->policy);
		return code ?: zt_cli_compile(c, b->policy, false, &b->rs);
	}
	code = zt_cli_engine(c);
	if (!code)
		code = zt_cli_raise(c, &b->rs);
	if (!code) {
		b->engine = c->engine;
		b->instance = c->instance;
	}
	return code == ZT_EXIT_INACTIVE ? 0 : code;
}

int zt_cmd_who(struct zt_cli *c)
{
	ZT_CLEANUP(book_done) struct book b = {0};
	struct target t;
	int code = take_target(c, &t), r;

	if (!code)
		code = obtain(c, &b);
	if (code)
		return code;
	r = b.rs ? read_identities(c, &b) : 0;
	if (!r)
		r = zt_netsocks_read(&b.sockets);
	if (!r)
		r = zt_owners_read(&b.sockets, &b.owners);
	zt_cli_flush_diags(c);
	return r < 0 ? zt_cli_fail(c, r) : report(c, &b, &t);
}
