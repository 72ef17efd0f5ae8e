/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include "base/net.h"

static void expect_range(const char *in, const char *out)
{
	struct zt_addr_range r;
	char text[128];

	assert_int_equal(zt_addr_range_parse(in, &r, NULL), 0);
	zt_addr_range_format(&r, text);
	assert_string_equal(text, out);
}

static void ranges_of_addresses(void **state)
{
	static const struct {
		const char *text;
		int r;
	} bad[] = {
		{"", -EINVAL},
		{"10.0.0", -EINVAL},
		{"10.0.0.256", -EINVAL},
		{"10.0.0.1/33", -ERANGE},
		{"::/129", -ERANGE},
		{"10.0.0.1/", -EINVAL},
		{"10.0.0.1/-1", -EINVAL},
		{"10.0.0.9-10.0.0.1", -ERANGE},
		{"10.0.0.1-::1", -ERANGE},
		{"fe80::1%lo", -EINVAL},
		{" 10.0.0.1", -EINVAL},
		{"10.0.0.1-", -EINVAL},
		{"/8", -EINVAL},
		{"::ffff:10.0.0.0/95", -ERANGE},
		{"1.2.3.4/8/9", -EINVAL},
		{"010.0.0.1", -EINVAL},
		{"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff", -EINVAL},
	};
	struct zt_addr_range r;
	bool masked = false;

	(void)state;
	expect_range("10.0.0.1", "10.0.0.1");
	expect_range("10.0.0.0-10.255.255.255", "10.0.0.0/8");
	expect_range("10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9");
	expect_range("0.0.0.0/0", "0.0.0.0/0");
	expect_range("::/0", "::/0");
	expect_range("10.1.2.3/32", "10.1.2.3");
	expect_range("fd00::1:2/112", "fd00::1:0/112");
	expect_range("2001:DB8::F/127", "2001:db8::e/127");
	expect_range("::ffff:10.0.0.0/104", "10.0.0.0/8");
	expect_range("::ffff:10.0.0.1", "10.0.0.1");
	for (size_t i = 0; i < ZT_ARRAY_SIZE(bad); i++)
		assert_int_equal(zt_addr_range_parse(bad[i].text, &r, NULL), bad[i].r);
	assert_int_equal(zt_addr_range_parse("10.0.0.7/8", &r, &masked), 0);
	assert_true(masked);
	assert_int_equal(zt_addr_range_parse("10.0.0.0/8", &r, &masked), 0);
	assert_false(masked);
}

static void every_prefix_length(void **state)
{
	(void)state;
	for (unsigned family = 4; family <= 6; family += 2)
		for (unsigned p = 0; p <= (family == 4 ? 32u : 128u); p++) {
			char in[64], text[128];
			struct zt_addr_range r, again;

			(void)snprintf(
				in, sizeof(in),
				family == 4 ? "255.255.255.255/%u" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/%u", p);
			assert_int_equal(zt_addr_range_parse(in, &r, NULL), 0);
			assert_int_equal(r.lo.family, family);
			for (unsigned bit = 0; bit < (family == 4 ? 32u : 128u); bit++) {
				assert_int_equal(r.lo.b[bit / 8] >> (7 - bit % 8) & 1, bit < p);
				assert_int_equal(r.hi.b[bit / 8] >> (7 - bit % 8) & 1, 1);
			}
			zt_addr_range_format(&r, text);
			assert_int_equal(zt_addr_range_parse(text, &again, NULL), 0);
			assert_true(!zt_addr_cmp(&r.lo, &again.lo) && !zt_addr_cmp(&r.hi, &again.hi));
		}
}

static void loopback(void **state)
{
	static const struct {
		const char *text;
		bool yes;
	} cases[] = {
		{"127.0.0.1", true}, {"127.255.255.255", true},	 {"128.0.0.1", false},	{"::1", true}, {"::2", false},
		{"::", false},	     {"::ffff:127.0.0.1", true}, {"::127.0.0.1", false}};
	struct zt_addr a;

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		assert_int_equal(zt_addr_parse(cases[i].text, &a), 0);
		assert_int_equal(zt_addr_is_loopback(&a), cases[i].yes);
	}
	a = (struct zt_addr){0};
	assert_false(zt_addr_is_loopback(&a));
}

static void add(struct zt_addr_ranges *l, const char *text)
{
	struct zt_addr_range r;

	assert_int_equal(zt_addr_range_parse(text, &r, NULL), 0);
	assert_int_equal(zt_addr_ranges_add(l, &r), 0);
}

static void addresses_merge(void **state)
{
	struct zt_addr_ranges l = {0}, copy = {0};
	struct zt_addr a;

	(void)state;
	add(&l, "fd00::/64");
	add(&l, "10.0.0.3");
	add(&l, "10.0.0.1-10.0.0.2");
	add(&l, "255.255.255.255"); /* has no next: must not touch :: */
	add(&l, "::");
	add(&l, "10.0.0.5");
	add(&l, "10.0.0.0/31");
	zt_addr_ranges_normalise(&l);
	assert_int_equal(l.n, 5); /* .0-.3, .5, 255.255.255.255, ::, fd00::/64 */
	assert_int_equal(l.v[0].hi.b[3], 3);
	assert_int_equal(zt_addr_parse("10.0.0.4", &a), 0);
	assert_false(zt_addr_ranges_has(&l, &a));
	assert_int_equal(zt_addr_parse("fd00::ffff:ffff:ffff:ffff", &a), 0);
	assert_true(zt_addr_ranges_has(&l, &a));
	assert_int_equal(zt_addr_ranges_copy(&copy, &l), 0);
	assert_true(zt_addr_ranges_eq(&copy, &l));
	copy.v[4].hi.b[15] ^= 1;
	assert_false(zt_addr_ranges_eq(&copy, &l));
	zt_addr_ranges_done(&copy);
	zt_addr_ranges_done(&l);
}

/* ---- lists against a bitmap of 64 numbers, which needs no thought ---- */
static uint64_t bits_of(const struct zt_u32_ranges *l)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < l->n; i++)
		for (uint32_t v = l->v[i].lo; v <= l->v[i].hi; v++)
			bits |= UINT64_C(1) << v;
	return bits;
}

static unsigned rnd(unsigned *seed, unsigned below)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % below;
}

static void random_list(unsigned *seed, struct zt_u32_ranges *l, struct zt_addr_ranges *a)
{
	for (unsigned n = rnd(seed, 6); n; n--) {
		uint32_t lo = rnd(seed, 64), hi = lo + rnd(seed, ZT_MIN(10u, 64 - lo));
		struct zt_addr_range r = {{.family = 4, .b = {10, 0, 0, (uint8_t)lo}},
					  {.family = 4, .b = {10, 0, 0, (uint8_t)hi}}};

		assert_int_equal(zt_u32_ranges_add(l, lo, hi), 0);
		assert_int_equal(zt_addr_ranges_add(a, &r), 0);
	}
}

static void lists_agree_with_bitmaps(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct zt_u32_ranges a = {0}, b = {0};
		struct zt_addr_ranges x = {0}, y = {0};
		uint64_t p, q;

		random_list(&seed, &a, &x);
		random_list(&seed, &b, &y);
		p = bits_of(&a);
		q = bits_of(&b);
		zt_u32_ranges_normalise(&a);
		zt_u32_ranges_normalise(&b);
		zt_addr_ranges_normalise(&x);
		zt_addr_ranges_normalise(&y);
		assert_true(bits_of(&a) == p);
		for (size_t k = 1; k < a.n; k++)
			assert_true(a.v[k - 1].hi + 1 < a.v[k].lo);
		assert_int_equal(zt_u32_ranges_overlap(&a, &b), (p & q) != 0);
		assert_int_equal(zt_u32_ranges_contain(&a, &b), (q & ~p) == 0);
		assert_int_equal(zt_u32_ranges_eq(&a, &b), p == q);
		assert_int_equal(zt_addr_ranges_overlap(&x, &y), (p & q) != 0);
		assert_int_equal(zt_addr_ranges_contain(&x, &y), (q & ~p) == 0);
		assert_int_equal(zt_addr_ranges_eq(&x, &y), p == q);
		for (uint32_t v = 0; v < 64; v++)
			assert_int_equal(zt_u32_ranges_has(&a, v), p >> v & 1);
		zt_u32_ranges_done(&a);
		zt_u32_ranges_done(&b);
		zt_addr_ranges_done(&x);
		zt_addr_ranges_done(&y);
	}
}

static void numbers_at_the_end_of_the_scale(void **state)
{
	struct zt_u32_ranges l = {0}, copy = {0};

	(void)state;
	assert_int_equal(zt_u32_ranges_add(&l, UINT32_MAX, UINT32_MAX), 0);
	assert_int_equal(zt_u32_ranges_add(&l, 0, UINT32_MAX), 0);
	assert_int_equal(zt_u32_ranges_add(&l, 5, 5), 0);
	zt_u32_ranges_normalise(&l);
	assert_int_equal(l.n, 1);
	assert_true(zt_u32_ranges_has(&l, UINT32_MAX));
	l.n = 0;
	assert_int_equal(zt_u32_ranges_copy(&copy, &l), 0);
	assert_null(copy.v);
	zt_u32_ranges_normalise(&copy);
	assert_false(zt_u32_ranges_has(&copy, 0));
	zt_u32_ranges_done(&l);
}

static void protocols(void **state)
{
	uint8_t p = 0;

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		const char *name = zt_proto_name((uint8_t)i);

		if (!name)
			continue;
		assert_int_equal(zt_proto_parse(name, &p), 0);
		assert_int_equal(p, i);
	}
	assert_int_equal(zt_proto_parse("255", &p), 0);
	assert_int_equal(p, 255);
	assert_int_equal(zt_proto_parse("256", &p), -EINVAL);
	assert_int_equal(zt_proto_parse("TCP", &p), -EINVAL);
	assert_int_equal(zt_proto_parse("", &p), -EINVAL);
	assert_true(zt_proto_has_ports(6) && zt_proto_has_ports(17) && zt_proto_has_ports(132) &&
		    zt_proto_has_ports(33) && zt_proto_has_ports(136));
	assert_false(zt_proto_has_ports(1) || zt_proto_has_ports(47) || zt_proto_has_ports(200));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_of_addresses),
		cmocka_unit_test(every_prefix_length),
		cmocka_unit_test(loopback),
		cmocka_unit_test(addresses_merge),
		cmocka_unit_test(lists_agree_with_bitmaps),
		cmocka_unit_test(numbers_at_the_end_of_the_scale),
		cmocka_unit_test(protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
