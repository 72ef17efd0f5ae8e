/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a connection costs: the measurements behind `zt-segment bench`. Every variant (no firewall, conntrack and one accept, this
 * program's ruleset at N rules, linear nft, iptables) lives in network namespaces of its own, with a client and a server of its own,
 * all of them alive at once. A slice of a variant is measured between two slices of "none" and given as the ratio to their mean;
 * rounds go through the variants in random order; medians of the rounds are printed, and a second "none" shows the noise.
 * Nothing is loaded into the caller's namespace; everything ends with the process. Each client (on loopback its server too) is in a control group and
 * a mount namespace of its own, with a bpf file system.
 */
#include "engine/engine.h"

enum zt_bench_path { ZT_BENCH_LOOPBACK, ZT_BENCH_VETH };
enum zt_bench_load {
	ZT_BENCH_CONNECT,
	ZT_BENCH_UDP,
	ZT_BENCH_REQUEST,
	ZT_BENCH_STREAM,
	ZT_BENCH_DENIED, /* a connect to a port where nobody listens and that no rule allows: refused either way */
	ZT_BENCH_SOCKET, /* a socket made and closed */
	ZT_BENCH_N_LOADS
};

struct zt_bench_slice {
	double rate;	 /* operations a second; bytes a second for STREAM */
	double p50, p99; /* latency in seconds, CONNECT and REQUEST */
	uint64_t errors;
};

/* ---- bench_worker.c: one variant's client and server ---- */
struct zt_bench_worker {
	int fd; /* to the client process; -1 = none */
	int pid, server_pid;
};
/* Forks the pair, runs `load` (may be NULL) in the client's namespace before the first slice. -errno of load comes back. */
int zt_bench_worker_start(struct zt_bench_worker *w, enum zt_bench_path path, uint32_t uid, int (*load)(void *),
			  void *arg);
int zt_bench_worker_slice(struct zt_bench_worker *w, enum zt_bench_load load, unsigned msec,
			  struct zt_bench_slice *ret);
void zt_bench_worker_stop(struct zt_bench_worker *w);
void zt_bench_group(int pid, char buf[static 32]); /* of the client with this pid, inside cgroup2 */

/* ---- bench_rules.c: variants ---- */
#define ZT_BENCH_UID 60000u
#define ZT_BENCH_PORT 7001u /* TCP and UDP echo; 7002: sink */
struct zt_bench_variant {
	/* "none" "conntrack" "empty hooks" "hooks, storage" "zt-segment" "nft labels" "bpf" "nft linear" "iptables-legacy" "iptables-nft" */
	const char *name;
	unsigned rules;	     /* 0 where it has none */
	int (*load)(void *); /* in the namespace; arg is this struct */
	bool refuses;	     /* what it denies is refused at once: DENIED and SOCKET are measured */
	enum zt_bench_path path;
};
const struct zt_bench_variant *zt_bench_find(const char *name);
/* A ruleset of n rules of other users, the client's own last; 10 to 100,000. identity: that one names its program, user and control group, and on
 * loopback the server's user, too. */
int zt_bench_ruleset(unsigned n, bool identity, enum zt_bench_path path, struct zt_ruleset **ret);

/* ---- bench.c ---- */
struct zt_bench_result {
	char name[32];
	unsigned rules;
	bool usable, refuses;
	/* ratios to none, medians over the rounds: rate, p50, p99 */
	double rate[ZT_BENCH_N_LOADS], p50[ZT_BENCH_N_LOADS], p99[ZT_BENCH_N_LOADS];
	double ns[ZT_BENCH_N_LOADS]; /* nanoseconds added to the median operation */
};
#define ZT_BENCH_ROUNDS_MAX 32
struct zt_bench_plan {
	enum zt_bench_path path;
	unsigned slice_msec, rounds; /* rounds: 1 to ZT_BENCH_ROUNDS_MAX */
	const struct zt_bench_variant *variants;
	size_t n_variants;
	void (*progress)(void *arg, const char *line);
	void *progress_arg;
};
/* results has n_variants + 1 entries: the last is the second "none". */
int zt_bench_run(const struct zt_bench_plan *p, struct zt_bench_result *results,
		 struct zt_bench_slice base[ZT_BENCH_N_LOADS]);
