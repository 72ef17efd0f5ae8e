/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include <jansson.h>

/* The way of a rule at a time takes what the way of the whole tree takes, and makes the same of it. */
static int both_ways(const char *text, size_t len)
{
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	struct zt_ruleset *tree = NULL, *parts = NULL;
	struct zt_strbuf a = {0}, b = {0};
	struct zt_diags d = {0};
	int r = j ? zt_ruleset_from_json(j, &tree, &d) : -EINVAL, other;

	json_decref(j);
	zt_diags_done(&d);
	other = zt_ruleset_from_text(text, len, &parts, &d);
	if (r != other)
		fail_msg("%d as a tree, %d in parts: %.*s", r, other, (int)len, text);
	assert_int_equal(r ? 2003 : 0, d.n ? d.items[0].code : 0);
	if (!r) {
		assert_int_equal(zt_ruleset_json_text(tree, &a), 0);
		assert_int_equal(zt_ruleset_json_text(parts, &b), 0);
		assert_string_equal(zt_strbuf_cstr(&a), zt_strbuf_cstr(&b));
		assert_string_equal(tree->hash, parts->hash);
	}
	zt_strbuf_done(&a);
	zt_strbuf_done(&b);
	zt_ruleset_free(tree);
	zt_ruleset_free(parts);
	zt_diags_done(&d);
	return r;
}

static struct zt_ruleset *there_and_back(const struct zt_ruleset *rs)
{
	struct zt_ruleset *back = NULL;
	struct zt_diags d = {0};
	struct zt_strbuf straight = {0};
	json_t *j = NULL, *again;
	char *text;

	assert_int_equal(zt_ruleset_to_json(rs, &j), 0);
	text = json_dumps(j, JSON_COMPACT);
	assert_int_equal(zt_ruleset_json_text(rs, &straight), 0);
	assert_string_equal(zt_strbuf_cstr(&straight), text); /* written without a tree, the same bytes */
	zt_strbuf_done(&straight);
	again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(again);
	assert_int_equal(zt_ruleset_from_json(again, &back, &d), 0);
	assert_int_equal(both_ways(text, strlen(text)), 0);
	free(text);
	text = json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS);
	assert_int_equal(both_ways(text, strlen(text)), 0);
	json_decref(j);
	json_decref(again);
	free(text);
	zt_diags_done(&d);
	return back;
}

static void random_rulesets_come_back(void **state)
{
	size_t rules = 0, cgroups = 0;

	(void)state;
	for (unsigned seed = 1; seed < 500; seed++) {
		struct zt_ruleset *rs = random_whole(seed, 20), *back = there_and_back(rs);

		assert_same_policy(rs, back);
		assert_string_equal(rs->hash, back->hash);
		assert_true(rs->generation == back->generation);
		assert_string_equal(rs->policy_name, back->policy_name);
		assert_string_equal(rs->files[1], back->files[1]);
		for (size_t i = 0; i < rs->n_rules; i++) {
			const struct zt_rule *a = &rs->rules[i], *b = &back->rules[i];

			assert_true(zt_rule_eq(a, b));
			assert_true(a->seq == b->seq && a->file == b->file && a->line == b->line);
			assert_string_equal(a->to_text, b->to_text);
			cgroups += a->match.n_cgroups;
		}
		rules += rs->n_rules;
		zt_ruleset_free(rs);
		zt_ruleset_free(back);
	}
	assert_true(rules > 2000 && cgroups > 200);
}

static void names_of_files_are_bytes(void **state)
{
	struct zt_ruleset *rs = must_compile(V), *back;

	(void)state;
	free(rs->policy_name);
	rs->policy_name = zt_strdup("/srv/r\xe4ls.yaml");
	back = there_and_back(rs);
	assert_string_equal(back->policy_name, "/srv/r\\xe4ls.yaml");
	zt_ruleset_free(rs);
	zt_ruleset_free(back);
}

static void accounts_come_back(void **state)
{
	struct zt_ruleset *rs = must_compile(
		V "identities: {team: {group: staff}}\n"
		  "rules:\n"
		  "  - {name: a, from: {user: [web-user, 7, web-user]}, to: {user: db-user, port: 1}, action: allow}\n"
		  "  - {name: b, from: {identity: team, user: web-user}, action: allow}\n");
	struct zt_ruleset *back = there_and_back(rs), *copy = NULL;

	(void)state;
	assert_int_equal(rs->n_accounts, 3);
	assert_int_equal(zt_ruleset_dup(back, &copy), 0);
	for (size_t i = 0; i < rs->n_accounts; i++) {
		assert_string_equal(copy->accounts[i].name, rs->accounts[i].name);
		assert_true(copy->accounts[i].id == rs->accounts[i].id &&
			    copy->accounts[i].group == rs->accounts[i].group);
	}
	assert_string_equal(rs->accounts[0].name, "staff");
	assert_true(rs->accounts[0].group && rs->accounts[0].id == 50);
	assert_string_equal(rs->accounts[1].name, "web-user");
	zt_ruleset_free(rs);
	zt_ruleset_free(back);
	zt_ruleset_free(copy);
}

static const char whole[] =
	"{'format':1,'instance':'default','generation':3,'hash':'','policy':'p','files':['p'],'settings':{'default':[0,0,0],"
	"'mode':0,'block':0,'loopback':0,'log_blocked':true,'preserve_ssh':true,'preserve_established':true,'log_prefix':'X: ',"
	"'log_limit':10,'log_limit_per':0},'ssh_ports':['22'],'rules':[{'id':'r','part':0,'direction':'egress','verdict':'allow',"
	"'log':false,'families':3,'file':0,'line':1,'from':'x','to':'y','uid':['5-9'],'cgroup':[{'path':'a','id':1,'level':1}],"
	"'dst4':['10.0.0.0/8'],'protocol':['6'],'port':['80'],'windows':[[0,86400]],'expires':7}]}";

/* 0 or -EINVAL with 2003, when `from` in the text above is replaced. */
static int damaged(const char *from, const char *to)
{
	char text[2048], *at;
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};
	json_t *j;
	int r;

	(void)snprintf(text, sizeof(text), "%s", whole);
	at = strstr(text, from);
	assert_non_null(at);
	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - text), whole, to, whole + (at - text) + strlen(from));
	for (at = text; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	r = zt_ruleset_from_json(j, &rs, &d);
	assert_int_equal(r ? 2003 : 0, d.n ? d.items[0].code : 0);
	assert_int_equal(rs == NULL, r != 0);
	json_decref(j);
	zt_diags_done(&d);
	zt_ruleset_free(rs);
	assert_int_equal(both_ways(text, strlen(text)), r);
	return r;
}

/* What a reader that cuts the array of rules out could be deceived with. */
static void spellings_are_those_of_json(void **state)
{
	static const struct {
		const char *from, *to;
		bool good;
	} cases[] = {
		{"'rules':[", "'rules' :\t[\n", true},
		{"'rules':[", "'r\\u0075les':[", true},
		{"'rules':[", "'rules':[],'r\\u0075les':[", false},
		{"'rules':[", "'r\\u0075les':[],'rules':[", false},
		{"'rules':[", "'rules':[],'rules':[", false},
		{"'rules':[", "'more':{'rules':[{}]},'rules':[", true},
		{"'rules':[", "'more':['rules',{'rules':[]}],'rules':[", true},
		{"'rules':[", "'more':'\\'rules\\':[','rules':[", true},
		{"'rules':[", "'more':'\\\\','rules':[", true},
		{"'rules':[", "'more':'rules','rules':[", true},
		{"'rules':[", "'rules':[,", false},
		{"'rules':[", "'rules':[[],", false},
		{"'rules':[", "'rules':[7,", false},
		{"'rules':[", "'rules':[{},", false},
		{"'rules':[", "'rules':{'a':[", false},
		{"'rules':[", "'rules'[", false},
		{"'rules':[", "'rules':7,'others':[", false},
		{"'rules':[", "['rules':[", false},
		{"}]}", "}]", false},
		{"}]}", "}}", false},
		{"}]}", "},]}", false},
		{"}]}", "} , ]}", false},
		{"}]}", "}}]}", false},
		{"}]}", "}]}]", false},
		{"}]}", "}]},", false},
		{"}]}", "}]} \n\r\t", true},
		{"}]}", "}],'rules':[]}", false},
		{"}]}", "}],'more':[{}]}", true},
		{"}]}", "} x]}", false},
	};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		char text[2048];
		const char *at = strstr(whole, cases[i].from);

		assert_non_null(at);
		(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - whole), whole, cases[i].to,
			       at + strlen(cases[i].from));
		for (char *p = text; *p; p++)
			*p = *p == '\'' ? '"' : *p;
		if ((both_ways(text, strlen(text)) == 0) != cases[i].good)
			fail_msg("%s for %s", cases[i].to, cases[i].from);
	}
}

/* Cut anywhere it is no ruleset, and nothing behind the end is read. */
static void text_that_was_cut_is_refused(void **state)
{
	size_t len = strlen(whole);

	(void)state;
	for (size_t n = 0; n <= len; n++) {
		char *text = malloc(n ? n : 1);

		assert_non_null(text);
		for (size_t i = 0; i < n; i++)
			text[i] = (char)(whole[i] == '\'' ? '"' : whole[i]);
		assert_int_equal(both_ways(text, n), n == len ? 0 : -EINVAL);
		free(text);
	}
}

static void damage_is_refused(void **state)
{
	static const char *const cases[][2] = {
		{"'format':1", "'format':2"},
		{"'instance':'default'", "'instance':'../x'"},
		{"'instance':'default'", "'instance':'seventeen_letters'"},
		{"'generation':3", "'generation':-3"},
		{"'rules':", "'accounts':[{'id':5}],'rules':"},
		{"'rules':", "'accounts':[{'user':'a','group':'b','id':5}],'rules':"},
		{"'rules':", "'accounts':[{'user':'a','id':-1}],'rules':"},
		{"'default':[0,0,0]", "'default':[0,0]"},
		{"'default':[0,0,0]", "'default':[0,0,2]"},
		{"'default':[0,0,0]", "'default':[0,0,'1']"},
		{"'mode':0", "'mode':2"},
		{"'mode':0,", ""},
		{"'loopback':0", "'loopback':3"},
		{"'preserve_ssh':true", "'preserve_ssh':1"},
		{"'preserve_ssh':true,", ""},
		{"'log_prefix':'X: '", "'log_prefix':'\\\" drop'"},
		{"'log_prefix':'X: '", "'log_prefix':'\\n'"},
		{"'log_limit_per':0", "'log_limit_per':4"},
		{"['22']", "['70000']"},
		{"'files':['p']", "'files':[1]"},
		{"'id':'r'", "'id':''"},
		{"'id':'r'", "'id':'a;b'"},
		{"'id':'r'", "'id':'\\u00e4'"},
		{"'part':0", "'part':-1"},
		{"'line':1", "'line':4294967296"},
		{"'direction':'egress'", "'direction':'out'"},
		{"'verdict':'allow'", "'verdict':'Allow'"},
		{"'log':false", "'log':0"},
		{"'families':3", "'families':0"},
		{"'families':3", "'families':4"},
		{"'uid':['5-9']", "'uid':['9-5']"},
		{"'uid':['5-9']", "'uid':['4294967296']"},
		{"'uid':['5-9']", "'uid':'5-9'"}, /* would be everybody */
		{"'uid':['5-9']", "'uid':[]"},
		{"'uid':['5-9']", "'uids':['5-9']"},
		{"'uid':['5-9']", "'uid':{'5':9}"},
		{"'path':'a'", "'path':''"},
		{"'path':'a'", "'path':'a\\\"b'"},
		{"'level':1", "'level':-1"},
		{"'cgroup':[{'path':'a','id':1,'level':1}]", "'cgroup':['a']"},
		{"'dst4':['10.0.0.0/8']", "'dst4':['fd00::/8']"},
		{"'dst4':['10.0.0.0/8']", "'dst4':['10.0.0.0/33']"},
		{"'protocol':['6']", "'protocol':['256']"},
		{"[[0,86400]]", "[[0,604801]]"},
		{"[[0,86400]]", "[[5,5]]"},
		{"[[0,86400]]", "[[-1,5]]"},
		{"[[0,86400]]", "[7]"},
		{"'expires':7", "'expires':-7"},
		{"'from':'x',", ""},
		{"'rules':[{", "'rules':[1,{"},
		{"'rules':", "'rulez':"},
	};

	(void)state;
	assert_int_equal(damaged("", ""), 0);
	assert_int_equal(damaged("'uid':['5-9']", "'gid':['5-9','1']"), 0);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++)
		if (damaged(cases[i][0], cases[i][1]) != -EINVAL)
			fail_msg("accepted: %s for %s", cases[i][1], cases[i][0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_rulesets_come_back),   cmocka_unit_test(names_of_files_are_bytes),
		cmocka_unit_test(accounts_come_back),	       cmocka_unit_test(damage_is_refused),
		cmocka_unit_test(spellings_are_those_of_json), cmocka_unit_test(text_that_was_cut_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
