/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may talk to whom on one host: each pair of three senders and three receivers, which differ in program and in user, with impostors on both
 * sides that share the program of one and the user of another; TCP and UDP; IPv4, IPv6 and IPv4 mapped into IPv6; every address that leads back
 * to the host. Each pair is allowed by one policy in three and denied by the others, by rules that allow and by rules that deny. What counts is
 * what the receiver got.
 */
#include <string.h>

#include "base/mem.h"
#include "bed_actor.h"

enum { PARTIES = 3, SENDERS = PARTIES + 2, RECEIVERS = PARTIES + 1, PORT = 7500, POLICIES = 3 };
static const char *const addresses[] = {"127.0.0.1", "127.0.0.2",	 "10.99.0.1",	     "::1",
					"fd99::1",   "::ffff:127.0.0.1", "::ffff:127.0.0.2", "::ffff:10.99.0.1"};
enum { CELLS = 2 * ZT_ARRAY_SIZE(addresses) };

/* Party n is user uid with program number program; beyond the third they are impostors. */
struct party {
	uint32_t uid;
	int program;
};
static const struct party senders[SENDERS] = {{3101, 0}, {3102, 1}, {3103, 2}, {3102, 0}, {3101, 1}};
static const struct party receivers[RECEIVERS] = {{4101, 0}, {4102, 1}, {4103, 2}, {4102, 0}};

struct cast {
	const char *sending[PARTIES], *receiving[PARTIES];
	struct bed_actor from[SENDERS], to[RECEIVERS];
};

static int start_receivers(struct bed *b, struct cast *c)
{
	int r = 0;

	for (int i = 0; !r && i < RECEIVERS; i++) {
		struct bed_role role = {.program = c->receiving[receivers[i].program], .uid = receivers[i].uid};

		bed_actor_stop(&c->to[i]);
		r = bed_actor_start(b, &role, &c->to[i]);
		r = r ? r : bed_order(&c->to[i], BED_DO_SERVE, NULL, (uint16_t)(PORT + i), i & 1);
	}
	return r;
}

static int start(struct bed *b, struct cast *c)
{
	char name[16];
	int r;

	for (int i = 0; i < PARTIES; i++) {
		(void)snprintf(name, sizeof(name), "from-%d", i);
		c->sending[i] = bed_program(name);
		(void)snprintf(name, sizeof(name), "to-%d", i);
		c->receiving[i] = bed_program(name);
	}
	r = start_receivers(b, c);
	for (int i = 0; !r && i < SENDERS; i++) {
		struct bed_role role = {.program = c->sending[senders[i].program], .uid = senders[i].uid};

		r = bed_actor_start(b, &role, &c->from[i]);
	}
	return r;
}

/* ---- policies ---- */
static bool related(int from, int to, int policy)
{
	return from < PARTIES && to < PARTIES && (from + to) % PARTIES == policy;
}

static int add_pair(struct zt_ruleset *rs, const struct cast *c, int from, int to, bool allow)
{
	char id[32];
	struct zt_rule *rule;
	int r;

	(void)snprintf(id, sizeof(id), "%d-to-%d", from, to);
	rule = bed_rule(rs, id, allow ? ZT_ALLOW : ZT_REJECT);
	if (!rule)
		return -ENOMEM;
	r = bed_subject(rs, senders[from].uid, c->sending[from], &rule->match.from);
	r = r ? r : zt_u32_ranges_add(&rule->match.uid, senders[from].uid, senders[from].uid);
	return r ? r : bed_subject(rs, receivers[to].uid, c->receiving[to], &rule->match.to);
}

static int apply(struct bed *b, const struct bed_column *col, const struct cast *c, int policy, bool allow)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int r = bed_ruleset(&rs);

	for (int i = 0; !r && i < PARTIES; i++)
		for (int k = 0; !r && k < PARTIES; k++)
			if (related(i, k, policy))
				r = add_pair(rs, c, i, k, allow);
	if (r < 0)
		return r;
	rs->settings.def[ZT_DIR_EGRESS] = allow ? ZT_DEFAULT_DENY : ZT_DEFAULT_ALLOW;
	return bed_apply(b, col->engine, rs);
}

/* ---- cells ---- */
struct round {
	uint32_t number[SENDERS][RECEIVERS][CELLS];
	unsigned held, tried;
};

static void send_all(struct cast *c, struct round *r)
{
	for (int i = 0; i < SENDERS; i++)
		for (int k = 0; k < RECEIVERS; k++)
			for (size_t n = 0; n < CELLS; n++) {
				r->number[i][k][n] = bed_number();
				/* What the sender is told does not count. */
				(void)bed_order(&c->from[i], n & 1 ? BED_DO_TCP : BED_DO_UDP, addresses[n / 2],
						(uint16_t)(PORT + k), r->number[i][k][n]);
			}
}

/* What may arrive gets more tries where the machine is too busy for the sender's patience; what may not has one, and time. */
static bool arrives_later(struct cast *c, int i, int k, size_t n)
{
	uint32_t number = bed_number();

	(void)bed_order(&c->from[i], n & 1 ? BED_DO_TCP : BED_DO_UDP, addresses[n / 2], (uint16_t)(PORT + k), number);
	bed_settle(50);
	return bed_seen(number, 0);
}

static unsigned check_pair(struct cast *c, const struct round *r, int i, int k, bool expect, const char *what)
{
	unsigned held = 0;

	for (size_t n = 0; n < CELLS; n++) {
		bool arrived = bed_seen(r->number[i][k][n], 0);

		for (int tries = 0; expect && !arrived && tries < 3; tries++)
			arrived = arrives_later(c, i, k, n);
		held += arrived == expect;
		if (arrived != expect)
			printf("# %s, %d to %d: %s to %s %s\n", what, i, k, n & 1 ? "tcp" : "udp", addresses[n / 2],
			       arrived ? "ARRIVED" : "did not arrive");
	}
	return held;
}

static void try_policy(struct bed *b, const struct bed_column *col, struct cast *c, int policy, bool allow,
		       struct round *r, const char *note)
{
	char what[96];
	int applied = apply(b, col, c, policy, allow);

	(void)snprintf(what, sizeof(what), "%s: %s %d%s", col->label, allow ? "allow by pairs" : "deny by pairs",
		       policy, note);
	bed_ok(b, !applied, "%s: applied", what);
	if (applied < 0)
		return;
	send_all(c, r);
	bed_settle(30);
	for (int i = 0; i < SENDERS; i++)
		for (int k = 0; k < RECEIVERS; k++) {
			bool expect = related(i, k, policy) == allow;
			unsigned held = check_pair(c, r, i, k, expect, what);

			r->held += held;
			r->tried += CELLS;
			bed_ok(b, held == CELLS, "%s: %s %d to %s %d: %u of %zu %s", what,
			       i < PARTIES ? "sender" : "impostor", i, k < PARTIES ? "receiver" : "impostor", k, held,
			       (size_t)CELLS, expect ? "arrive" : "do not arrive");
		}
}

static void publish(const struct bed_column *col, const char *result)
{
	bed_publish("proof", "pairs", "3 senders x 3 receivers and impostors x TCP, UDP x 8 ways to the host itself",
		    "cells that hold", col->label, result);
}

static void run_column(struct bed *b, const struct bed_column *col)
{
	struct cast c = {0};
	struct round r = {0};
	char result[32];
	int started = start(b, &c);

	bed_ok(b, !started, "%s: senders and receivers run (%s)", col->label, strerror(-started));
	if (!started && !col->engine->labels) {
		bed_ok(b, apply(b, col, &c, 0, true) == -ENOTSUP, "%s: rules about programs and receivers are refused",
		       col->label);
		publish(col, "the rules are refused by line");
	} else if (!started) {
		for (int n = 0; n < 2 * POLICIES; n++)
			try_policy(b, col, &c, n / 2, n & 1, &r, "");
		bed_ok(b, start_receivers(b, &c) == 0, "%s: the receivers start again", col->label);
		try_policy(b, col, &c, 0, true, &r, ", receivers younger than the policy");
		(void)snprintf(result, sizeof(result), "%u of %u", r.held, r.tried);
		publish(col, result);
	}
	for (int i = 0; i < SENDERS; i++)
		bed_actor_stop(&c.from[i]);
	for (int i = 0; i < RECEIVERS; i++)
		bed_actor_stop(&c.to[i]);
}

static void test(struct bed *b)
{
	if (bed_stage_open() < 0)
		bed_ok(b, false, "no folder for programs");
	else
		bed_each_column(b, run_column);
	bed_stage_close();
}

int main(int argc, char **argv)
{
	bed_actor_main(argc, argv);
	return bed_main("ztpairs", test);
}
