/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Patterns of include:, in a folder with files, folders, loops and what is no file. */
#include "bytes.h"
#include <sys/stat.h>

#include "policy/policy.h"

static char name[64];

static void put(const char *file, const char *text)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", fuzz_folder, file);
	if (zt_file_write_atomic(path, text, strlen(text), 0644) < 0)
		abort();
}

static void prepare(void)
{
	folder_of_links((const char *const[]){"sub/loop", "loop"}, 2, "loop");
	(void)snprintf(name, sizeof(name), "%s/pipe.yaml", fuzz_folder);
	if (mkfifo(name, 0600) < 0)
		abort();
	put("a.yaml", "rules: [{name: a, from: {user: \"*\"}, action: allow}]\n");
	put("loop.yaml", "include: [loop.yaml, a.yaml, sub/b.yaml]\n");
	put("sub/b.yaml", "include: \"*.yaml\"\nrules: [{name: b, from: {user: \"*\"}, action: deny}]\n");
	(void)snprintf(name, sizeof(name), "%s/main.yaml", fuzz_folder);
}

/* What was loaded can be read again from its record, and is the same. */
static void replay(const struct zt_policy *p)
{
	struct zt_policy_options o = {.root = "/nonexistent", .allow_unsafe_file = true, .recorded = true};
	struct zt_policy *again = NULL;
	struct zt_diags d = {0};

	if (zt_policy_parse(p->files[0], p->source, p->source_len, &o, &again, &d) < 0 ||
	    again->n_rules != p->n_rules || again->source_len != p->source_len ||
	    memcmp(again->source, p->source, p->source_len) != 0)
		abort();
	zt_policy_free(again);
	zt_diags_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zt_strbuf text = {0}, quoted = {0};
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};

	if (!name[0])
		prepare();
	for (size_t i = 0; i < size; i++) /* stays in the folder */
		if (data[i] == '/' && (i < 3 || memcmp(data + i - 3, "sub", 3) != 0))
			return 0;
	zt_strbuf_escaped(&quoted, (const char *)data, size);
	zt_strbuf_printf(&text, "version: \"1.0\"\ninclude: [\"%s\", a.yaml]\n", zt_strbuf_cstr(&quoted));
	must_explain(zt_policy_parse(name, text.buf, text.len,
				     &(struct zt_policy_options){.root = "/nonexistent", .allow_unsafe_file = true}, &p,
				     &d),
		     &d);
	if (p)
		replay(p);
	zt_policy_free(p);
	zt_strbuf_done(&text);
	zt_strbuf_done(&quoted);
	return 0;
}
