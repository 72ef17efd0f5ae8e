/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Actors: processes that do network things on order, as any user, running any program file, in any cgroup. They run copies of the bed program
 * itself, so that two of them can differ in nothing but the file; every bed program that uses them begins with bed_actor_main().
 * What a packet says is a number, and whoever receives it marks that number as seen: the judgement is always the receiver's.
 */
#include "bed.h"

struct bed_actor {
	pid_t pid; /* 0: none */
	int fd;
};

struct bed_role {
	const char *program;	    /* file that is executed */
	const char *const *through; /* NULL, or what is put in front: the loader, env and an assignment */
	uint32_t uid, gid, member;
	enum bed_group group;
	bool peer;	      /* in the peer's namespace */
	const int *hand_down; /* NULL, or a descriptor for the actor to hold, as LISTEN_FDS does */
};

enum bed_deed {
	BED_DO_UDP,	 /* a datagram with number arg to text:port */
	BED_DO_SEGMENTS, /* four datagrams in one call (GSO) */
	BED_DO_TCP,	 /* a connection that carries it */
	BED_DO_SERVE,	 /* listens for both at port; arg: BED_SERVE_… */
	BED_DO_TAKE_OVER, /* binds a socket of type arg to text:port besides whoever has the port; whatever comes is BED_DENIED_NUMBER */
	BED_DO_HOLD,   /* makes a socket, arg SOCK_DGRAM or SOCK_STREAM, connects it where there is a port */
	BED_DO_USE,    /* sends number arg on the socket that is held, connects it first where there is a port */
	BED_DO_LISTEN, /* makes a stream socket that listens at port, and holds it without accepting */
	BED_DO_ACCEPT, /* receives on what is held */
	BED_DO_DRAIN,  /* takes in what has come, until nothing came for arg msec */
	BED_DO_USER,   /* becomes user and group arg for good */
	BED_DO_EXEC,   /* executes the file text, keeping what it holds */
	BED_DO_SPAWN,  /* a child executes the file text, which sends number arg on what is held */
	BED_DO_VSPAWN, /* the same by vfork */
	BED_DO_JOIN,   /* moves to the cgroup whose folder is text */
	BED_DO_NAME, /* names the file text as its program, without executing it: in a user namespace of its own, where it may */
	BED_DO_NETNS, /* enters the network namespace that descriptor arg of the test is, or one of its own when arg is ~0 */
	BED_DO_RACE, /* arg times connects a datagram socket to text, whose port another thread turns from port to port + 1 and back, and sends port */
	BED_N_DEEDS,
};

/* Returns only where this process is no actor. */
void bed_actor_main(int argc, char **argv);
int bed_stage_open(void); /* a folder for program files, and the numbers that were seen */
void bed_stage_close(void);
const char *bed_stage_dir(void);
/* A copy of this program under that name in the stage's folder; the path, which is good for the next 31 calls. */
const char *bed_program(const char *name);
int bed_actor_start(struct bed *b, const struct bed_role *role, struct bed_actor *ret);
void bed_actor_stop(struct bed_actor *a);
/* 0 or -errno of what the actor did; -ETIMEDOUT: it does not answer. */
int bed_order(struct bed_actor *a, enum bed_deed deed, const char *text, uint16_t port, uint32_t arg);
/* Passes what one holds to the other to hold, by way of this process. -EBADF: it did not arrive at the one or the other. */
int bed_give(struct bed_actor *from, struct bed_actor *to);
enum { BED_DENIED_NUMBER = 69999 };
enum {
	BED_SERVE_SPLIT = 1,	/* a socket a family, not one for both */
	BED_SERVE_DENIED = 2,	/* whatever comes is BED_DENIED_NUMBER */
	BED_SERVE_SHARED = 4,	/* SO_REUSEPORT */
	BED_SERVE_TOGETHER = 8, /* UDP_GRO: segments are taken in one piece */
};
void bed_unsee(uint32_t number);
int bed_listener(uint16_t port); /* of this process, for both families, not close-on-exec */
void bed_settle(unsigned msec);	 /* all actors take in what has come, until nothing came for so long */
/* A number, above all ports, that has used, and whether it was seen; waits up to msec for it. */
uint32_t bed_number(void);
bool bed_seen(uint32_t number, unsigned msec);
/* The program exe (NULL: any) of user uid (0: any) as it is now. */
int bed_subject(struct zt_ruleset *rs, uint32_t uid, const char *exe, const struct zt_subject **ret);
