/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/tracekinds.h"

#include "base/macros.h"
#include "trace_abi.h"

enum zt_activity_kind zt_trace_kind(uint32_t record)
{
	static const enum zt_activity_kind kinds[ZT_TRACE_KINDS] = {
		[ZT_TRACE_EXEC] = ZT_ACTIVITY_EXEC,	  [ZT_TRACE_EXIT] = ZT_ACTIVITY_EXIT,
		[ZT_TRACE_CONNECT] = ZT_ACTIVITY_CONNECT, [ZT_TRACE_ACCEPT] = ZT_ACTIVITY_ACCEPT,
		[ZT_TRACE_LISTEN] = ZT_ACTIVITY_LISTEN,	  [ZT_TRACE_CLOSE] = ZT_ACTIVITY_CLOSE,
		[ZT_TRACE_FLOW] = ZT_ACTIVITY_FLOW,	  [ZT_TRACE_DNS] = ZT_ACTIVITY_DNS,
		[ZT_TRACE_MODULE] = ZT_ACTIVITY_MODULE,	  [ZT_TRACE_PTRACE] = ZT_ACTIVITY_PTRACE,
		[ZT_TRACE_BIND] = ZT_ACTIVITY_BIND,	  [ZT_TRACE_RIGHTS] = ZT_ACTIVITY_PRIVILEGE,
		[ZT_TRACE_OPENED] = ZT_ACTIVITY_OPEN,	  [ZT_TRACE_REFUSED] = ZT_ACTIVITY_OPEN,
	};

	return kinds[record];
}

uint32_t zt_trace_records(uint32_t kinds)
{
	static const struct {
		enum zt_activity_kind kind;
		enum zt_trace_kind record;
	} map[] = {{ZT_ACTIVITY_EXEC, ZT_TRACE_EXEC},	  {ZT_ACTIVITY_PRIVILEGE, ZT_TRACE_EXEC},
		   {ZT_ACTIVITY_EXIT, ZT_TRACE_EXIT},	  {ZT_ACTIVITY_CONNECT, ZT_TRACE_CONNECT},
		   {ZT_ACTIVITY_ACCEPT, ZT_TRACE_ACCEPT}, {ZT_ACTIVITY_LISTEN, ZT_TRACE_LISTEN},
		   {ZT_ACTIVITY_CLOSE, ZT_TRACE_CLOSE},	  {ZT_ACTIVITY_FLOW, ZT_TRACE_FLOW},
		   {ZT_ACTIVITY_DNS, ZT_TRACE_DNS},	  {ZT_ACTIVITY_DENY, ZT_TRACE_CLOSE},
		   {ZT_ACTIVITY_OPEN, ZT_TRACE_EXEC},	  {ZT_ACTIVITY_OPEN, ZT_TRACE_EXIT},
		   {ZT_ACTIVITY_OPEN, ZT_TRACE_OPENED},	  {ZT_ACTIVITY_OPEN, ZT_TRACE_REFUSED},
		   {ZT_ACTIVITY_MODULE, ZT_TRACE_MODULE}, {ZT_ACTIVITY_PTRACE, ZT_TRACE_PTRACE},
		   {ZT_ACTIVITY_BIND, ZT_TRACE_BIND},	  {ZT_ACTIVITY_PRIVILEGE, ZT_TRACE_RIGHTS}};
	uint32_t r = 0;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(map); i++)
		if (kinds >> map[i].kind & 1)
			r |= 1u << map[i].record;
	/* Who is at the other end follows from what both ends did, and so does who was blocked. */
	if (r & SOCKET_RECORDS)
		r |= 1u << ZT_TRACE_CONNECT | 1u << ZT_TRACE_ACCEPT | 1u << ZT_TRACE_LISTEN;
	if (r & GROUP_RECORDS)
		r |= 1u << ZT_TRACE_FLOW; /* so that it is known whether there are any to be swept */
	return r;
}

/* ---- what some of them say ---- */
void zt_trace_fill_end(const struct zt_trace_flow *f, uint64_t end_ns, struct zt_activity *a)
{
	zt_activity_set(a, bytes_sent, f->sent);
	zt_activity_set(a, bytes_received, f->received);
	if (f->began && end_ns >= f->began)
		zt_activity_set(a, duration, (end_ns - f->began) / 1000);
}

void zt_trace_fill_exit(const struct zt_trace_exit *e, struct zt_activity *a)
{
	if (e->code & 0x7f)
		zt_activity_set(a, signal, e->code & 0x7f);
	else
		zt_activity_set(a, exit_code, e->code >> 8 & 0xff);
	if (e->head.time >= e->process.start)
		zt_activity_set(a, duration, (e->head.time - e->process.start) / 1000);
}
