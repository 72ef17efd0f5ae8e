/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Live probes, for `prove --packets`: flows of the classes that a policy distinguishes, sent by real processes through real sockets and judged
 * where they arrive, never by an error. Each engine is loaded in namespaces of its own (network and mounts: host and peer, joined by a veth
 * pair) and a control group of its own; the caller's namespace, control group and bpf file system are not touched, and everything ends
 * with the processes.
 *
 * How a flow is sent:
 *   to elsewhere     over the veth pair by the default route; a packet socket of the peer counts it
 *   to this host     the address is put on lo; the receiver is a process of its own with the flow's identity, or nobody (then a raw socket
 *                    outside of the control group sees what was delivered)
 *   from elsewhere   the peer has the source's address, the host the destination's; a process receives
 *   forwarded        the peer has the source's address, the host a route to the destination behind a second veth pair; a packet socket there
 *                    counts it
 * Senders have the flow's user, groups and control group. A program that the policy names is never started: what runs is a copy of this one,
 * mounted over its path where only the senders and receivers see it, and the policy is resolved there. Each probe has a source port of its
 * own, by which it is known where it arrives.
 *
 * Files: live_plan.c (which flows), live_bed.c (namespaces, addresses, what arrives), live_stand.c (programs), live_send.c (senders and
 * receivers), live_work.c (their processes), live_batch.c (many at once), live.c (engines).
 */
#include "cli/cli.h"

enum zt_live_kind { ZT_LIVE_OUT, ZT_LIVE_LOCAL, ZT_LIVE_IN, ZT_LIVE_FORWARD };
struct zt_live_probe {
	enum zt_live_kind kind;
	struct zt_flow flow; /* as it is sent */
	struct zt_actor sender, receiver;
	uint32_t groups[2][64];
	char cgroup[2][224];		    /* of sender and receiver, inside cgroup2 */
	const char *program[2], *parent[2]; /* that are stood in for; NULL: this one. Borrowed from the ruleset */
	bool listens;			    /* a process receives */
	bool bind_source;		    /* the source address is chosen, not what routing takes */
	bool connected, mapped;		    /* UDP by connect and send; IPv4 through an IPv6 socket */
	uint16_t sport;			    /* or the id of an echo */
};
enum zt_live_skip { ZT_LIVE_SKIP_PROGRAM, ZT_LIVE_SKIP_PROTOCOL, ZT_LIVE_SKIP_ADDRESS, ZT_LIVE_N_SKIPS };
extern const char *const zt_live_skip_text[ZT_LIVE_N_SKIPS];

struct zt_live_plan {
	struct zt_live_probe *probes; /* those to elsewhere first, then to this host, from elsewhere, forwarded */
	size_t n;
	size_t skipped[ZT_LIVE_N_SKIPS]; /* flows that were drawn and cannot be sent */
	char *self;			 /* path of this program */
};
/* top: the scratch control group, below which those of the policy are. */
int zt_live_plan(const struct zt_ruleset *rs, const char *top, size_t n, uint64_t seed, struct zt_live_plan *ret);
void zt_live_plan_done(struct zt_live_plan *p);

/* ---- live_stand.c ---- */
enum { ZT_LIVE_PROGRAMS = 32 }; /* more are not stood in for */
struct zt_live_program {
	const char *path;
	const struct zt_exe *exe;
	bool usable; /* it is there, and no other path names the same file */
};
struct zt_live_programs { /* borrowed from the ruleset */
	struct zt_live_program v[ZT_LIVE_PROGRAMS];
	size_t n;
};
void zt_live_programs(const struct zt_ruleset *rs, struct zt_live_programs *ret);
bool zt_live_program_usable(const struct zt_live_programs *p, const char *path);
/*
 * Puts copies of the file self over the paths of the usable programs, in a mount namespace made for it (*ret_mounts, -1 where no program is
 * named; the caller stays in its own), and makes them what the subjects of rs name. 0 or -errno.
 */
int zt_live_stand_in(const struct zt_ruleset *rs, int self, int *ret_mounts);

/* ---- live_bed.c ---- */
#define ZT_LIVE_TAPS 6
struct zt_live_bed {
	int ns_host, ns_peer;	/* the process is in the host's */
	int ns_mounts, self;	/* where programs are stood in for, or -1; this program's file */
	int wire, far;		/* packet sockets: of the peer, and behind the host */
	int taps[ZT_LIVE_TAPS]; /* raw sockets of the host */
};
int zt_live_bed_open(struct zt_live_bed *b); /* unshares; ends with the process */
/* Puts the addresses that the probes of one batch need on host and peer, or takes them away again. */
int zt_live_bed_addresses(struct zt_live_bed *b, struct zt_live_probe *const *batch, size_t n, bool add);
bool zt_live_addr_usable(const struct zt_addr *a, bool local); /* local: loopback counts too */
/* Reads what came; calls found for each source port. */
void zt_live_bed_drain(struct zt_live_bed *b,
		       void (*found)(void *arg, enum zt_live_kind kind, uint8_t proto, uint16_t sport), void *arg);

/* ---- live_send.c ---- */
enum { ZT_LIVE_BATCH = 48 };
struct zt_live_mark {
	int32_t error;	    /* of making the socket: nothing was sent */
	uint8_t sent, seen; /* the sender is done, it arrived */
};
struct zt_live_worker { /* one process: all of one side of a batch that have program, parent, control group and namespace in common */
	uint8_t side; /* 0 sends, 1 receives */
	bool peer;    /* in the peer's namespace */
	size_t n;
	uint8_t probe[ZT_LIVE_BATCH]; /* of the board */
};
struct zt_live_board { /* memory that all processes of a batch share; pointers in the probes are of the planner's process only */
	size_t n, n_workers;
	struct zt_live_mark marks[ZT_LIVE_BATCH];
	struct zt_live_probe probes[ZT_LIVE_BATCH];
	struct zt_live_worker workers[2 * ZT_LIVE_BATCH];
	int stop,
		ready; /* read end of a pipe that ends when the batch does; write end, a byte for each receiver that listens */
};
/* One worker, to the end of the batch. It is root where it comes from, and takes on the identity of each probe in turn. */
void zt_live_work(struct zt_live_board *b, const struct zt_live_worker *w);
/* Can one process receive both? Or, if not, do they want the same port? */
bool zt_live_same_receiver(const struct zt_live_probe *a, const struct zt_live_probe *b);
bool zt_live_same_port(const struct zt_live_probe *a, const struct zt_live_probe *b);

/* ---- live_work.c ---- */
#define ZT_LIVE_WORKER "zt-segment-prove-worker" /* argv[0] of one that was started anew */
struct zt_live_job;
struct zt_live_crew {
	const struct zt_live_bed *bed;
	struct zt_live_board *board;
	int memory;	     /* of the board */
	int hold;	     /* write end of stop: its last holder's end is the batch's */
	const char *cgroups; /* where cgroup2 is mounted */
};
/* Shares the probes of the board out to workers. */
void zt_live_share_out(struct zt_live_board *b);
/* Forks worker i; *ret_pid is the child. */
int zt_live_start(const struct zt_live_crew *c, size_t i, int *ret_pid);
int zt_live_worker_main(int argc, char **argv); /* of a program that is stood in for; an exit code */

/* ---- live_batch.c ---- */
enum zt_live_seen { ZT_LIVE_UNTRIED, ZT_LIVE_BLOCKED, ZT_LIVE_ARRIVED, ZT_LIVE_UNSENT, ZT_LIVE_NOT_COVERED };
struct zt_live_job { /* one engine, loaded, in its namespaces */
	const struct zt_live_plan *plan;
	const char *cgroups; /* where cgroup2 is mounted */
	const bool *expect;
	uint8_t *seen; /* enum zt_live_seen; what is not UNTRIED is left out */
	int error;     /* the last reason why something could not be sent */
};
/* -errno, before anything is sent: no memory to share. Probes in batches until all are done, or the (monotonic) time has come; then what disagrees once more, alone. */
int zt_live_job_run(struct zt_live_job *job, struct zt_live_bed *bed, zt_usec until);

/* ---- live.c ---- */
#define ZT_LIVE_ENGINES 3
struct zt_live_engine {
	const struct zt_engine *engine;
	struct zt_ruleset *rs; /* the policy as compiled for it */
	char *left_out;	       /* why it is not tried; NULL: it was */
	bool forwards;	       /* it sees forwarded packets here */
	uint8_t *seen;	       /* enum zt_live_seen, of each probe */
	bool *expect;	       /* arrives */
	size_t arrived, agree, wrong, unsent, untried, not_covered;
	size_t otherwise; /* the policy as compiled for it decides otherwise than for an engine with labels */
	double seconds;
};
struct zt_live {
	struct zt_live_plan plan;
	struct zt_live_engine engines[ZT_LIVE_ENGINES];
	uint64_t seed;
	size_t wanted;
	double seconds;
	size_t unix_rules;	  /* of the policy: no packet is theirs */
	const char *worst_engine; /* of the plainest disagreement; NULL: none */
	size_t worst;		  /* its probe */
	bool agree;		  /* all that was sent, of all engines, and nothing was left undone */
};
/* An exit code; what is wrong has been said. 0 also where engines disagree. */
int zt_live_run(struct zt_cli *c, const struct zt_policy *p, size_t n, uint64_t seed, struct zt_live *ret);
void zt_live_done(struct zt_live *l);

/* ---- live_report.c ---- */
/* With --packets and --seed: the policy that was named, else that of the generation in force (live). An exit code. */
int zt_prove_live(struct zt_cli *c, const struct zt_ruleset *live, struct zt_live *ret);
struct json_t *zt_live_json(const struct zt_live *l);
void zt_live_text(struct zt_cli *c, const struct zt_live *l);
