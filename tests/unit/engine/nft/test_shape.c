/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "engine/nft/nft.h"

static void name_roundtrip(const struct nft_shape *s)
{
	ZT_STRBUF struct zt_strbuf name = {0};
	struct nft_shape back;
	const char *rest;

	nft_shape_name(s, &name);
	zt_strbuf_str(&name, "_g0_v1");
	assert_int_equal(nft_shape_parse(zt_strbuf_cstr(&name), &back, &rest), 0);
	assert_true(nft_shape_eq(s, &back));
	assert_string_equal(rest, "_g0_v1");
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned dims = 1; dims < 1u << N_DIMS; dims++) {
		bool addr = dims & (1u << DIM_SRC | 1u << DIM_DST);

		for (int interval = 0; interval < 2; interval++)
			for (uint8_t family = 4; family <= 6; family += 2)
				name_roundtrip(&(struct nft_shape){.dims = (uint16_t)dims,
								   .family = addr ? family : 0,
								   .level = dims & (1u << DIM_CGROUP) ? 3 : 0,
								   .interval = interval});
	}
}

static void test_bad_names(void **state)
{
	static const char *const bad[] = {"",	  "x",	    "_x",  "uid",  "uid_",     "uid_y",
					  "cg_x", "uid4_x", "d_x", "d5_x", "proto__x", "cg99999_x"};
	struct nft_shape s;
	const char *rest;

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(bad); i++)
		assert_int_not_equal(nft_shape_parse(bad[i], &s, &rest), 0);
}

static void test_encode(void **state)
{
	struct nft_shape s = {.dims = 1u << DIM_UID | 1u << DIM_DST | 1u << DIM_PROTO | 1u << DIM_PORT,
			      .family = 4,
			      .interval = true};
	struct nft_value v[N_DIMS] = {0}, back[N_DIMS];
	uint8_t key[NFT_KEY_MAX], end[NFT_KEY_MAX];
	/* What nft 1.0.6 sends for "1000-1005 . 10.0.0.0/8 . tcp . 80-90". */
	static const uint8_t want_key[] = {0, 0, 3, 0xe8, 10, 0, 0, 0, 6, 0, 0, 0, 0, 80, 0, 0};
	static const uint8_t want_end[] = {0, 0, 3, 0xed, 10, 255, 255, 255, 6, 0, 0, 0, 0, 90, 0, 0};

	(void)state;
	v[DIM_UID] = (struct nft_value){.lo = 1000, .hi = 1005};
	v[DIM_DST].alo = (struct zt_addr){.family = 4, .b = {10, 0, 0, 0}};
	v[DIM_DST].ahi = (struct zt_addr){.family = 4, .b = {10, 255, 255, 255}};
	v[DIM_PROTO] = (struct nft_value){.lo = 6, .hi = 6};
	v[DIM_PORT] = (struct nft_value){.lo = 80, .hi = 90};
	assert_int_equal(nft_shape_keylen(&s), sizeof(want_key));
	nft_shape_encode(&s, v, key, end);
	assert_memory_equal(key, want_key, sizeof(want_key));
	assert_memory_equal(end, want_end, sizeof(want_end));
	nft_shape_decode(&s, key, end, back);
	assert_int_equal(back[DIM_UID].lo, 1000);
	assert_int_equal(back[DIM_PORT].hi, 90);
	assert_int_equal(zt_addr_cmp(&back[DIM_DST].ahi, &v[DIM_DST].ahi), 0);
	s.interval = false; /* hash maps keep the host's byte order for ids */
	nft_shape_encode(&s, v, key, end);
	nft_shape_decode(&s, key, end, back);
	assert_int_equal(back[DIM_UID].lo, 1000);
}

static void test_verdicts(void **state)
{
	struct zt_rule rule = {.id = (char *)(uintptr_t) "web-to-redis"};
	char text[64];

	(void)state;
	for (int dir = 0; dir < 3; dir++)
		for (int v = ZT_ALLOW; v <= ZT_OBSERVE; v++)
			for (int log = 0; log < 2; log++) {
				enum zt_verdict back = ZT_DROP;
				bool back_log, accept;

				rule.dir = (enum zt_direction)dir;
				rule.verdict = (enum zt_verdict)v;
				rule.log = log;
				nft_verdict_text(&rule, text);
				accept = !strcmp(text, "accept");
				assert_true(nft_verdict_parse(accept, accept ? "" : text + 5, &back, &back_log));
				assert_int_equal(back, v);
				assert_int_equal(back_log, log);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
