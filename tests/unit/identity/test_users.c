/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The accounts of this host; what differs from host to host is asked of the C library in another way. */
#include "../base/common.h"

#include <grp.h>
#include <pwd.h>

#include "base/mem.h"
#include "identity/identity.h"

static void names_to_numbers(void **state)
{
	uint32_t id = 77;

	(void)state;
	assert_int_equal(zt_user_lookup("no such user", &id), -ENOENT);
	assert_int_equal(zt_group_lookup("no such group", &id), -ENOENT);
	assert_int_equal(zt_user_lookup("", &id), -ENOENT);
	assert_int_equal(id, 77);
	assert_int_equal(zt_user_lookup("root", &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(zt_user_lookup("nobody", &id), 0);
	assert_int_equal(id, 65534);
	assert_int_equal(zt_group_lookup("root", &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(zt_group_lookup("nogroup", &id), 0);
	assert_int_equal(id, 65534);
}

static void numbers_to_names(void **state)
{
	char *s = zt_user_name(0);

	(void)state;
	assert_string_equal(s, "root");
	free(s);
	s = zt_group_name(65534);
	assert_string_equal(s, "nogroup");
	free(s);
	s = zt_user_name(4294967290u);
	assert_string_equal(s, "4294967290");
	free(s);
	s = zt_group_name(4294967290u);
	assert_string_equal(s, "4294967290");
	free(s);
}

static void nearest_names(void **state)
{
	static const char *const cases[][2] = {{"rooot", "root"},
					       {"orot", "root"},
					       {"nobdy", "nobody"},
					       {"qqqqqqqqqqqq", NULL},
					       {"daemonn", "daemon"}};
	char *s;

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		s = zt_user_nearest(cases[i][0]);
		if (cases[i][1])
			assert_string_equal(s, cases[i][1]);
		else
			assert_null(s);
		free(s);
	}
	s = zt_group_nearest("nogroupp");
	assert_string_equal(s, "nogroup");
	free(s);
	s = zt_group_nearest("qqqqqqqqqqqq");
	assert_null(s);
}

/* Every account there is, both ways. */
static void all_of_them(void **state)
{
	unsigned n = 0;
	char names[64][64];
	uint32_t ids[64], id;

	(void)state;
	setpwent();
	for (const struct passwd *pw; n < 64 && (pw = getpwent());) {
		(void)snprintf(names[n], sizeof(names[n]), "%s", pw->pw_name);
		ids[n++] = pw->pw_uid;
	}
	endpwent();
	assert_true(n >= 2);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(zt_user_lookup(names[i], &id), 0);
		assert_int_equal(id, ids[i]);
	}
}

static void supplementary_members(void **state)
{
	uint32_t with[64], n = 0;

	(void)state;
	setgrent();
	for (const struct group *gr; n < 64 && (gr = getgrent());)
		if (gr->gr_mem && gr->gr_mem[0])
			with[n++] = gr->gr_gid;
	endgrent();
	for (uint32_t i = 0; i < n; i++)
		assert_true(zt_group_has_supplementary_members(with[i]));
	assert_false(zt_group_has_supplementary_members(4294967290u));
	assert_false(zt_group_has_supplementary_members(65534));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_to_numbers),	 cmocka_unit_test(numbers_to_names),
		cmocka_unit_test(nearest_names),	 cmocka_unit_test(all_of_them),
		cmocka_unit_test(supplementary_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
