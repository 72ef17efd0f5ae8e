/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Output of iptables-save: read, compared with itself, and turned into the text that takes it away. */
#include "bytes.h"

#include "engine/iptables/iptables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size), *meta;
	struct ipt_table t = {0}, copy = {0};
	struct ipt_difference at;
	struct zt_strbuf b = {0};

	if (ipt_table_parse("default", text, &t) == 0 && ipt_table_parse("default", text, &copy) == 0) {
		if (ipt_table_compare(&t, &copy, &at) != 0 || ipt_table_carry(&copy, &t) < 0 ||
		    ipt_swap_text("default", &t, NULL, &b) < 0 || !(meta = ipt_table_meta(&t)))
			abort();
		free(meta);
	}
	zt_strbuf_done(&b);
	ipt_table_done(&t);
	ipt_table_done(&copy);
	free(text);
	return 0;
}
