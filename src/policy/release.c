/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/release.h"

#include "base/mem.h"
#include "policy/load.h"

void zt_endpoint_done(struct zt_endpoint *e)
{
	for (size_t i = 0; i < e->n_whos; i++)
		zt_who_done(&e->whos[i]);
	free(e->whos);
	free(e->host_text);
	zt_addr_ranges_done(&e->hosts);
	*e = (struct zt_endpoint){0};
}

void zt_policy_rule_done(struct zt_policy_rule *r)
{
	zt_endpoint_done(&r->from);
	zt_endpoint_done(&r->to);
	zt_u32_ranges_done(&r->proto);
	zt_u32_ranges_done(&r->port);
	free(r->name);
	free(r->description);
	free(r->port_text);
	zt_unix_names_done(&r->unix_names);
	free(r->windows);
	*r = (struct zt_policy_rule){0};
}

void zt_policy_test_done(struct zt_policy_test *t)
{
	free(t->name);
	free(t->unix_name);
	for (int i = 0; i < 2; i++) {
		struct zt_test_process *p = i ? &t->to : &t->from;

		free(p->cgroup);
		free(p->exe);
		free(p->parent);
	}
	*t = (struct zt_policy_test){0};
}

void zt_account_names_free(struct zt_account_name *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].name);
	free(v);
}

int zt_account_names_copy(const struct zt_account_name *v, size_t n, struct zt_account_name **ret, size_t *ret_n)
{
	struct zt_account_name *copy = n ? zt_new(struct zt_account_name, n) : NULL;

	if (n && !copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		copy[i] = (struct zt_account_name){zt_strdup(v[i].name), v[i].id, v[i].group};
		if (!copy[i].name) {
			zt_account_names_free(copy, i);
			return -ENOMEM;
		}
	}
	*ret = copy;
	*ret_n = n;
	return 0;
}

void zt_policy_free(struct zt_policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_rules; i++)
		zt_policy_rule_done(&p->rules[i]);
	for (size_t i = 0; i < p->n_tests; i++)
		zt_policy_test_done(&p->tests[i]);
	for (size_t i = 0; i < p->n_files; i++)
		free(p->files[i]);
	zt_account_names_free(p->accounts, p->n_accounts);
	free(p->rules);
	free(p->tests);
	free(p->files);
	free(p->name);
	free(p->source);
	free(p->settings.log_prefix);
	free(p);
}

void zt_policy_freep(struct zt_policy **p)
{
	zt_policy_free(*p);
	*p = NULL;
}
