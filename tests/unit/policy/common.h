/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/policy.h"

#define V "version: \"1.0\"\n"

/* Loads text with the accounts of the golden tests. */
static inline int parse(const char *text, struct zt_policy **ret, struct zt_diags *d)
{
	struct zt_policy_options o = {.root = getenv("ZT_TEST_ROOT"), .allow_unsafe_file = true};

	return zt_policy_parse("test.yaml", text, strlen(text), &o, ret, d);
}

static inline struct zt_policy *must_parse(const char *text)
{
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};
	int r = parse(text, &p, &d);

	if (r)
		zt_diags_print(&d, stderr, false);
	zt_diags_done(&d);
	assert_int_equal(r, 0);
	return p;
}

/* The code of the first error or warning; 0 when there is none. */
static inline unsigned first_code(const char *text)
{
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};
	int r = parse(text, &p, &d);
	unsigned code = d.n ? d.items[0].code : 0;

	assert_int_equal(r, d.errors ? -EINVAL : 0);
	assert_int_equal(p == NULL, d.errors != 0);
	zt_policy_free(p);
	zt_diags_done(&d);
	return code;
}
