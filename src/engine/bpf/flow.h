/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A question and its answer as bpf/decide.h has them, for who does not bring the look-ups of the decision itself. */
#include "engine/bpf/bpf.h"
#define ZT_FLOW_ONLY
#include "decide.h"
#undef ZT_FLOW_ONLY
