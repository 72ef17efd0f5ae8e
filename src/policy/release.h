/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Freeing parts of a policy; half-built ones too. */
#include "policy/policy.h"

void zt_policy_rule_done(struct zt_policy_rule *r);
void zt_policy_test_done(struct zt_policy_test *t);
void zt_endpoint_done(struct zt_endpoint *e);
