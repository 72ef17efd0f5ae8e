/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What bpf/trace.bpf.c tells user space: one record an event, in the ring buffer `trace`; compiled by both compilers. Fixed width, host byte
 * order but for addresses (network order; IPv4 in the first four bytes), explicit padding, sizes asserted. A change is a new ZT_TRACE_LAYOUT.
 *
 * A process is (pid, start): start is what /proc/PID/stat shows in clock ticks, here in nanoseconds.
 */
#include "abi.h" /* the types of fixed width */

#define ZT_TRACE_LAYOUT 6

enum zt_trace_kind {
	ZT_TRACE_EXEC = 1, /* zt_trace_exec */
	ZT_TRACE_EXIT,	   /* zt_trace_exit */
	ZT_TRACE_CONNECT,  /* zt_trace_flow: a TCP connection that this host began is established, or failed (error) */
	ZT_TRACE_ACCEPT,   /* zt_trace_flow: one that the other side began is established */
	ZT_TRACE_LISTEN,   /* zt_trace_flow */
	ZT_TRACE_CLOSE,	   /* zt_trace_flow: the end of a TCP connection */
	ZT_TRACE_FLOW,	   /* zt_trace_pair: the first packet of a flow that is not TCP */
	ZT_TRACE_DNS,	   /* zt_trace_packet: a message from or to port 53 */
	ZT_TRACE_MODULE,   /* zt_trace_call: a kernel module was loaded */
	ZT_TRACE_PTRACE,   /* zt_trace_call: a process took control of another, or read its memory */
	ZT_TRACE_BIND,	   /* zt_trace_flow: a socket got an address of its own, of TCP or not */
	ZT_TRACE_RIGHTS, /* zt_trace_call: a process that runs gets other rights; of target the uid, euid, gid that it gets */
	ZT_TRACE_OPENED,  /* zt_trace_open: which descriptor a file got that is watched for opens */
	ZT_TRACE_REFUSED, /* zt_trace_open: a call that was to open a sensitive file failed */
	ZT_TRACE_KINDS,
};

enum {
	ZT_TRACE_ANCESTORS = 16,
	ZT_TRACE_ARGS = 512,
	ZT_TRACE_NAME = 256,
	ZT_TRACE_PAYLOAD = 512,
	ZT_TRACE_FLOWS = 65536,
	ZT_TRACE_RELEASED = 4096,
};

struct zt_trace_process {
	zt_u64 start, parent_start; /* ns */
	zt_u64 cgroup;		    /* id */
	zt_u64 exe_ino;
	zt_u32 exe_dev, pid, ppid;
	zt_u32 uid, gid, euid;
	zt_u8 comm[16];
};

struct zt_trace_head {
	zt_u64 time; /* ns since boot */
	zt_u32 kind, size;
};

struct zt_trace_exec {
	struct zt_trace_head head;
	struct zt_trace_process process;
	zt_u64 gained; /* capabilities that the program file gave */
	zt_u32 real_gid, pad;
	zt_u32 args_len, n_ancestors; /* args_len: ZT_TRACE_ARGS: there are more than fit */
	struct zt_trace_ancestor {
		zt_u64 start;
		zt_u32 pid, pad;
	} ancestors[ZT_TRACE_ANCESTORS]; /* the parent first */
	zt_u8 filename[ZT_TRACE_NAME];	 /* as given to execve */
	zt_u8 args[ZT_TRACE_ARGS];	 /* NUL between them */
};

struct zt_trace_exit {
	struct zt_trace_head head;
	struct zt_trace_process process;
	zt_u32 code; /* as wait(2) has it */
	zt_u32 pad;
};

enum { ZT_TRACE_INCOMING = 1 };
struct zt_trace_flow {
	struct zt_trace_head head;
	struct zt_trace_process process; /* pid 0: not known */
	zt_u64 cookie;			 /* of the socket */
	zt_u64 netns;			 /* cookie */
	zt_u64 began;			 /* ns since boot */
	zt_u64 sent, received;		 /* bytes of payload */
	zt_u8 local[16], remote[16];
	zt_u16 local_port, remote_port; /* host order */
	zt_u8 family, proto;		/* 4 or 6 */
	zt_u8 flags, pad;
	zt_u32 error; /* errno of a connection that failed */
	zt_u32 seq;   /* TCP, with a message of DNS */
};

/* What the first packet of a flow tells more: the local process at the other end. */
struct zt_trace_pair {
	struct zt_trace_flow flow;
	struct zt_trace_process peer; /* pid 0: not known */
};

struct zt_trace_packet {
	struct zt_trace_flow flow; /* proto 17 or 6 */
	zt_u32 len, all;	   /* in payload, in the packet */
	zt_u8 payload[ZT_TRACE_PAYLOAD];
};

struct zt_trace_call {
	struct zt_trace_head head;
	struct zt_trace_process process; /* who does it */
	struct zt_trace_process target;	 /* of ptrace */
	zt_u64 argument;		 /* the first of the system call */
	zt_u32 call; /* its number, with ZT_TRACE_32 that for programs of 32 bits; ZT_TRACE_ATTACH: not known, but that it was an attach */
	zt_u32 error;		 /* errno, where it was refused */
	zt_u32 had_fsuid, fsuid; /* of other rights */
	zt_u8 name[56];		 /* of the module */
};
#define ZT_TRACE_ATTACH 0xffffffffu
#define ZT_TRACE_32 0x20000000u

struct zt_trace_open {
	struct zt_trace_head head;
	struct zt_trace_process process;
	zt_u64 ino;		   /* of the file that was opened */
	zt_u32 fd, error;	   /* errno of a call that failed */
	zt_u8 path[ZT_TRACE_NAME]; /* of one that failed: absolute, clean */
};

/* Sensitive files, for the programs of bpf/tries.bpf.c: `*`, `?` and text as it is. head, mask: the first bytes of the text before either of them, at most eight. */
enum { ZT_TRIES_PATTERNS = 128, ZT_TRIES_TEXT = 128, ZT_TRIES_REST = 1 /* a longer pattern: anything may follow */ };
struct zt_tries_patterns {
	zt_u64 head[ZT_TRIES_PATTERNS], mask[ZT_TRIES_PATTERNS];
	zt_u8 text[ZT_TRIES_PATTERNS][ZT_TRIES_TEXT];
	zt_u32 n, pad;
};

/* Flows that are not TCP: what user space sweeps. */
struct zt_trace_flow_key {
	zt_u64 cookie;
	zt_u8 remote[16];
	zt_u16 local_port, remote_port;
	zt_u8 family, proto, pad[2];
};
struct zt_trace_flow_value {
	struct zt_trace_process process;
	zt_u64 netns, began, last;
	zt_u64 sent, received, packets_sent, packets_received;
	zt_u8 local[16];
	zt_u8 flags, pad[7];
};

/* Who has the socket that packets from remote to local arrive at? */
struct zt_trace_question {
	zt_u8 local[16], remote[16];
	zt_u16 local_port, remote_port;
	zt_u8 family, proto, pad[2]; /* 4 or 6; 6 or 17 */
};

struct zt_trace_port {
	zt_u64 netns;
	zt_u16 port;
	zt_u8 proto, pad[5];
};

/* The reader: busy, it comes by itself and is woken only when much is there; it sleeps until the next record; it has been woken and has not come yet. */
enum { ZT_TRACE_BUSY, ZT_TRACE_ASLEEP, ZT_TRACE_WOKEN };

/* Per-cpu counters: what was told and what was lost, by kind. */
struct zt_trace_count {
	zt_u64 told, lost;
};

_Static_assert(sizeof(struct zt_trace_process) == 72, "layout");
_Static_assert(sizeof(struct zt_trace_head) == 16, "the process of every record follows it");
_Static_assert(sizeof(struct zt_trace_exec) == 16 + 72 + 16 + 8 + 256 + 256 + 512, "layout");
_Static_assert(sizeof(struct zt_trace_flow) == 16 + 72 + 40 + 32 + 16, "layout");
_Static_assert(sizeof(struct zt_trace_call) == 16 + 2 * 72 + 16 + 8 + 56, "layout");
_Static_assert(sizeof(struct zt_trace_open) == 16 + 72 + 16 + 256, "layout");
_Static_assert(sizeof(struct zt_trace_pair) == sizeof(struct zt_trace_flow) + 72, "layout");
_Static_assert(sizeof(struct zt_trace_question) == 40 && sizeof(struct zt_trace_port) == 16, "layout");
_Static_assert(sizeof(struct zt_trace_flow_key) == 32, "layout");
_Static_assert(sizeof(struct zt_trace_flow_value) == 72 + 56 + 24, "layout");
