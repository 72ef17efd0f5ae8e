/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli.h"

static const struct code {
	unsigned code;
	const char *title, *text;
} codes[] = {
#define ZT_CODE(number, title, text) {number, title, text},
#if __has_include("policy/codes.def")
#include "policy/codes.def"
#endif
#if __has_include("ruleset/codes.def")
#include "ruleset/codes.def"
#endif
#if __has_include("engine/codes.def")
#include "engine/codes.def"
#endif
#if __has_include("engine/nft/codes.def")
#include "engine/nft/codes.def"
#endif
#if __has_include("engine/iptables/codes.def")
#include "engine/iptables/codes.def"
#endif
#if __has_include("apply/codes.def")
#include "apply/codes.def"
#endif
#if __has_include("event/codes.def")
#include "event/codes.def"
#endif
#if __has_include("learn/codes.def")
#include "learn/codes.def"
#endif
#include "cli/codes.def"
#undef ZT_CODE
};

bool zt_code_find(unsigned code, const char **ret_title, const char **ret_text)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(codes); i++)
		if (codes[i].code == code) {
			*ret_title = codes[i].title;
			*ret_text = codes[i].text;
			return true;
		}
	return false;
}

size_t zt_code_count(void)
{
	return ZT_ARRAY_SIZE(codes);
}

void zt_code_at(size_t i, unsigned *ret_code, const char **ret_title)
{
	*ret_code = codes[i].code;
	*ret_title = codes[i].title;
}
