/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files: who may write them, what they are, how large; includes; limits. */
#include "common.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"

static char dir[] = "/tmp/zt-policy-XXXXXX";

static char *at(const char *name)
{
	static char path[4][256];
	static unsigned turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, 256, "%s/%s", dir, name);
	return p;
}

static void put(const char *name, const char *text, mode_t mode)
{
	int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(zt_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

/* Loads it as it is; returns the result, and the first code. */
static int load(const char *path, unsigned *ret_code)
{
	struct zt_policy_options o = {.root = getenv("ZT_TEST_ROOT")};
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};
	int r = zt_policy_load(path, &o, &p, &d);

	*ret_code = d.n ? d.items[0].code : 0;
	assert_int_equal(p == NULL, r != 0);
	assert_int_equal(r != 0, d.errors != 0);
	zt_policy_free(p);
	zt_diags_done(&d);
	return r;
}

static void refused(const char *name, int want, unsigned want_code)
{
	unsigned code;
	int r = load(at(name), &code);

	assert_int_equal(r, want);
	assert_int_equal(code, want_code);
}

static void writers(void **state)
{
	(void)state;
	put("ok.yaml", V, 0644);
	refused("ok.yaml", 0, 0);
	put("world.yaml", V, 0646);
	refused("world.yaml", -EINVAL, 1003);
	put("group.yaml", V, 0664);
	if (geteuid() == 0) {
		refused("group.yaml", 0, 0); /* root's group */
		assert_int_equal(chown(at("group.yaml"), 0, 1234), 0);
		refused("group.yaml", -EINVAL, 1003);
		put("owner.yaml", V, 0644);
		assert_int_equal(chown(at("owner.yaml"), 1234, 0), 0);
		refused("owner.yaml", -EINVAL, 1003);
	}
	assert_int_equal(symlink("world.yaml", at("link.yaml")), 0);
	refused("link.yaml", -EINVAL, 1003);
	assert_int_equal(symlink("ok.yaml", at("fine.yaml")), 0);
	refused("fine.yaml", 0, 0);
	put("includes.yaml", V "include: world.yaml\n", 0644);
	refused("includes.yaml", -EINVAL, 1003);
}

static void kinds(void **state)
{
	(void)state;
	refused(".", -EINVAL, 1004);
	refused("missing.yaml", -ENOENT, 1001);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	refused("fifo", -EINVAL, 1004);
	assert_int_equal(symlink("loop", at("loop")), 0);
	refused("loop", -ELOOP, 1001);
	put("secret.yaml", V, 0000);
	if (geteuid() != 0)
		refused("secret.yaml", -EACCES, 1001);
	put("plain.yaml", V "include: loop/*.yaml\n", 0644);
	refused("plain.yaml", -EINVAL, 1301); /* not "matches nothing" */
	put("plain.yaml", V "include: missing.yaml\n", 0644);
	refused("plain.yaml", -EINVAL, 1001);
}

/* Every cut of a record is refused, or is that of fewer files. */
static void record(const struct zt_policy *p)
{
	struct zt_policy_options o = {.root = getenv("ZT_TEST_ROOT"), .recorded = true};

	for (size_t cut = 0; cut <= p->source_len; cut++) {
		struct zt_policy *again = NULL;
		struct zt_diags d = {0};
		int r = zt_policy_parse(p->files[0], p->source, cut, &o, &again, &d);

		assert_true(r == 0 || d.errors);
		if (cut == p->source_len) {
			assert_int_equal(r, 0);
			assert_int_equal(again->n_rules, p->n_rules);
			assert_string_equal(again->source, p->source);
			assert_string_equal(again->files[2], p->files[2]);
		}
		zt_policy_free(again);
		zt_diags_done(&d);
	}
}

static void includes(void **state)
{
	struct zt_policy_options o = {.root = getenv("ZT_TEST_ROOT")};
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(mkdir(at("policy.d"), 0755), 0);
	put("policy.d/b.yaml", "rules: [{name: b, from: {user: root}, to: {host: \"@lan\"}, action: allow}]\n", 0644);
	put("policy.d/a.yaml",
	    "version: \"1.0\"\nsets: {lan: {addresses: 10.0.0.0/8}}\nrules: [{name: a, from: {user: root}, action: allow}]\n",
	    0644);
	put("policy.d/empty.yaml", "# nothing yet\n", 0644);
	put("main.yaml",
	    V "rules: [{name: first, from: {user: root}, action: allow}]\ninclude: [policy.d/*.yaml, none.d/*.yaml]\n",
	    0644);
	assert_int_equal(zt_policy_load(at("main.yaml"), &o, &p, &d), 0);
	assert_int_equal(d.n, 0);
	assert_int_equal(p->n_rules, 3);
	assert_string_equal(p->rules[0].name, "first");
	assert_string_equal(p->rules[1].name, "a");
	assert_string_equal(p->rules[2].name, "b");
	assert_int_equal(p->n_files, 4);
	assert_string_equal(p->files[0], at("main.yaml"));
	assert_string_equal(p->rules[2].span.file, at("policy.d/b.yaml"));
	assert_true(p->source_len > 200 && strlen(p->source) == p->source_len);
	record(p);
	zt_policy_free(p);
	put("main.yaml", V "include: policy.d/*.yaml\nrules: [{name: last, from: {user: root}, action: allow}]\n",
	    0644);
	p = NULL;
	assert_int_equal(zt_policy_load(at("main.yaml"), &o, &p, &d), 0);
	assert_string_equal(p->rules[2].name, "last");
	zt_policy_free(p);
	zt_diags_done(&d);
}

/* ---- limits ---- */
static void large(const char *name, size_t bytes)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_strbuf_str(&b, strcmp(name, "big.yaml") ? "" : V);
	while (b.len + 64 <= bytes)
		zt_strbuf_str(&b, "# 2345678901234567890123456789012345678901234567890123456789012\n");
	while (b.len < bytes)
		zt_strbuf_char(&b, '\n');
	put(name, zt_strbuf_cstr(&b), 0644);
}

static void sizes(void **state)
{
	char name[32];

	(void)state;
	large("big.yaml", 4 << 20);
	refused("big.yaml", 0, 0);
	large("big.yaml", (4 << 20) + 1);
	refused("big.yaml", -EINVAL, 1002);
	assert_int_equal(mkdir(at("big.d"), 0755), 0);
	for (int i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), "big.d/%d.yaml", i);
		large(name, 4 << 20);
	}
	put("all.yaml", V "include: big.d/*.yaml\n", 0644);
	refused("all.yaml", -EINVAL, 1305);
	assert_int_equal(unlink(at("big.d/3.yaml")), 0);
	refused("all.yaml", 0, 0);
	for (int i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "big.d/%d.yaml", i);
		assert_int_equal(unlink(at(name)), 0);
	}
}

static void write_rules(const char *name, unsigned from, unsigned n)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_strbuf_str(&b, "rules:\n");
	for (unsigned i = from; i < from + n; i++)
		zt_strbuf_printf(
			&b,
			"  - name: rule-%u\n    from: {uid: %u}\n    to: {host: 10.0.%u.%u, port: 80}\n    action: allow\n",
			i, i % 5000, i / 256 % 256, i % 256);
	put(name, zt_strbuf_cstr(&b), 0644);
}

static void hundred_thousand_rules(void **state)
{
	zt_usec start = zt_now_monotonic(), took;
	char name[32];

	(void)state;
	assert_int_equal(mkdir(at("rules.d"), 0755), 0);
	for (unsigned i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), "rules.d/%u.yaml", i);
		write_rules(name, i * 25000, 25000);
	}
	put("many.yaml", V "include: rules.d/*.yaml\n", 0644);
	start = zt_now_monotonic();
	refused("many.yaml", 0, 0);
	took = zt_now_monotonic() - start;
	print_message("100,000 rules in %llu ms\n", (unsigned long long)took / 1000);
	assert_true(took < 20 * ZT_USEC_PER_SEC); /* quadratic would be minutes */
	write_rules("rules.d/9.yaml", 100000, 1);
	refused("many.yaml", -EINVAL, 1203);
}

static void depth(void **state)
{
	char text[256] = V "x: ";

	(void)state;
	memset(text + strlen(text), '[', 31); /* the mapping is the first level */
	assert_int_equal(first_code(text), 1007);
	text[strlen(text)] = '[';
	assert_int_equal(first_code(text), 1008);
	memset(text + strlen(V "x: "), '[', 200);
	assert_int_equal(first_code(text), 1008);
}

static void bombs(void **state)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	zt_usec start = zt_now_monotonic();

	(void)state;
	zt_strbuf_str(&b, V "a: &a [x,x,x,x,x,x,x,x]\n");
	for (char c = 'b'; c < 'z'; c++)
		zt_strbuf_printf(&b, "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c - 1, c - 1, c - 1, c - 1,
				 c - 1, c - 1, c - 1, c - 1);
	assert_int_equal(first_code(zt_strbuf_cstr(&b)), 1010);
	zt_strbuf_clear(&b);
	for (int i = 0; i < 200000; i++)
		zt_strbuf_char(&b, '[');
	assert_int_equal(first_code(zt_strbuf_cstr(&b)), 1008);
	zt_strbuf_clear(&b);
	for (int i = 0; i < 100000; i++)
		zt_strbuf_printf(&b, "key%d: 1\n", i);
	zt_strbuf_str(&b, "key5: 1\n");
	assert_int_equal(first_code(zt_strbuf_cstr(&b)), 1107);
	assert_true(zt_now_monotonic() - start < 20 * ZT_USEC_PER_SEC);
}

static void sets_multiply(void **state)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	(void)state;
	zt_strbuf_str(&b, V "sets:\n  big:\n    addresses: [");
	for (int i = 0; i < 2000; i++)
		zt_strbuf_printf(&b, "%s10.%d.%d.1", i ? ", " : "", i / 250, i % 250);
	zt_strbuf_str(&b, "]\nrules:\n");
	for (int i = 0; i < 2100; i++)
		zt_strbuf_printf(&b, "  - {name: r%d, from: {user: root}, to: {host: \"@big\"}, action: allow}\n", i);
	assert_int_equal(first_code(zt_strbuf_cstr(&b)), 1310);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return zt_remove_tree(dir);
}

int main(void)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(writers), cmocka_unit_test(kinds),	    cmocka_unit_test(includes),
		cmocka_unit_test(sizes),   cmocka_unit_test(depth),	    cmocka_unit_test(hundred_thousand_rules),
		cmocka_unit_test(bombs),   cmocka_unit_test(sets_multiply),
	};

	return cmocka_run_group_tests(list, setup, teardown);
}
