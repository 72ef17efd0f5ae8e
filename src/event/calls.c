/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/calls.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "base/mem.h"
#include "trace_abi.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "calls.skel.h"
#pragma GCC diagnostic pop

/* What is tried in this order, for each kind until something works. */
static const struct attempt {
	enum zt_activity_kind kind;
	const char *programs[3];
	const char *lack; /* also when it works: what it does not see */
} attempts[] = {
	{ZT_ACTIVITY_MODULE, {"zt_module"}, NULL},
	{ZT_ACTIVITY_PTRACE, {"zt_access", "zt_traceme"}, NULL},
	{ZT_ACTIVITY_PRIVILEGE, {"zt_setuid", "zt_setgid", "zt_capset"}, NULL},
	{ZT_ACTIVITY_PTRACE,
	 {"zt_stop"},
	 "only PTRACE_ATTACH is seen: this kernel lets no program look at its functions"},
};

struct zt_calls {
	struct calls_bpf *objs[ZT_ARRAY_SIZE(attempts)];
	struct bpf_link *links[ZT_ARRAY_SIZE(attempts) * 3];
	size_t n_links;
	uint32_t asked, works;
	char lack[3][192]; /* of module, ptrace, privilege */
};

static size_t place_of(enum zt_activity_kind kind)
{
	return kind == ZT_ACTIVITY_MODULE ? 0 : kind == ZT_ACTIVITY_PTRACE ? 1 : 2;
}

static char *lack_of(struct zt_calls *c, enum zt_activity_kind kind)
{
	return c->lack[place_of(kind)];
}

static bool is_part(const struct attempt *a, const char *program)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(a->programs); i++)
		if (a->programs[i] && !strcmp(program, a->programs[i]))
			return true;
	return false;
}

static int prepare(struct calls_bpf *obj, const struct attempt *a, const struct zt_calls_options *o)
{
	struct bpf_program *p;
	int r = 0;

	obj->rodata->own_pid = o->own_pid;
	obj->rodata->own_cgroup = o->cgroup;
	obj->rodata->own_level = o->level;
	obj->rodata->want = o->records;
	bpf_object__for_each_program(p, obj->obj)
	{
		r = r ?: bpf_program__set_autoload(p, is_part(a, bpf_program__name(p)));
	}
	return r ?: bpf_map__reuse_fd(obj->maps.trace, o->trace)
			    ?: bpf_map__reuse_fd(obj->maps.counts, o->counts)
			    ?: bpf_map__reuse_fd(obj->maps.sleeping, o->sleeping);
}

static int attach(struct zt_calls *c, struct calls_bpf *obj, const struct attempt *a)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, obj->obj)
	{
		struct bpf_link *link = is_part(a, bpf_program__name(p)) ? bpf_program__attach(p) : NULL;

		if (link)
			c->links[c->n_links++] = link;
		else if (is_part(a, bpf_program__name(p)))
			return -errno;
	}
	return 0;
}

static int try(struct zt_calls *c, size_t i, const struct zt_calls_options *o)
{
	struct calls_bpf *obj = calls_bpf__open();
	size_t before = c->n_links;
	int r = obj ? prepare(obj, &attempts[i], o) ?: calls_bpf__load(obj) ?: attach(c, obj, &attempts[i]) : -errno;

	if (!r) {
		c->objs[i] = obj;
		return 0;
	}
	while (c->n_links > before)
		(void)bpf_link__destroy(c->links[--c->n_links]); /* closing it is all there is to do */
	calls_bpf__destroy(obj);
	return r;
}

static void say_lack(struct zt_calls *c, const struct attempt *a, int r)
{
	char *text = lack_of(c, a->kind);

	if (a->kind == ZT_ACTIVITY_MODULE && (r == -ESRCH || r == -ENOENT))
		(void)snprintf(text, sizeof(c->lack[0]), "this kernel has no modules");
	else if (a->kind == ZT_ACTIVITY_PRIVILEGE)
		(void)snprintf(
			text, sizeof(c->lack[0]),
			"setuid() is seen by what the process does next, not that of one that was never seen before: this "
			"kernel lets no program look at its functions");
	else
		(void)snprintf(text, sizeof(c->lack[0]), "this kernel does not let programs look at it: %s",
			       strerror(-r));
}

int zt_calls_open(const struct zt_calls_options *o, struct zt_calls **ret)
{
	struct zt_calls *c = zt_new(struct zt_calls, 1);

	if (!c)
		return -ENOMEM;
	c->asked = o->kinds;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(attempts); i++) {
		const struct attempt *a = &attempts[i];
		int r;

		if (!(o->kinds >> a->kind & 1) || c->works >> a->kind & 1)
			continue;
		r = try(c, i, o);
		if (r < 0) {
			say_lack(c, a, r);
			continue;
		}
		c->works |= 1u << a->kind;
		(void)snprintf(lack_of(c, a->kind), sizeof(c->lack[0]), "%s", a->lack ? a->lack : "");
	}
	*ret = c;
	return 0;
}

void zt_calls_close(struct zt_calls *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_links; i++)
		(void)bpf_link__destroy(c->links[i]); /* closing it is all there is to do */
	for (size_t i = 0; i < ZT_ARRAY_SIZE(attempts); i++)
		calls_bpf__destroy(c->objs[i]);
	free(c);
}

const char *zt_calls_lack(const struct zt_calls *c, enum zt_activity_kind kind, bool *ret_some)
{
	static const uint32_t mine = 1u << ZT_ACTIVITY_MODULE | 1u << ZT_ACTIVITY_PTRACE | 1u << ZT_ACTIVITY_PRIVILEGE;
	const char *text = c->lack[place_of(kind)];

	*ret_some = c->works >> kind & 1 || kind == ZT_ACTIVITY_PRIVILEGE;
	return mine >> kind & 1 && *text ? text : NULL;
}

bool zt_calls_works(const struct zt_calls *c, enum zt_activity_kind kind)
{
	return c->works >> kind & 1;
}

uint64_t zt_calls_missed(const struct zt_calls *c, enum zt_activity_kind kind)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(attempts); i++) {
		struct bpf_program *p;

		if (!c->objs[i] || attempts[i].kind != kind)
			continue;
		bpf_object__for_each_program(p, c->objs[i]->obj)
		{
			struct bpf_prog_info info = {0};
			uint32_t len = sizeof(info);

			if (is_part(&attempts[i], bpf_program__name(p)) &&
			    bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len) == 0)
				n += info.recursion_misses;
		}
	}
	return n;
}

/* ---- what it says ---- */
static const char *ptrace_name(uint64_t request)
{
	switch (request) {
	case PTRACE_TRACEME:
		return "PTRACE_TRACEME";
	case PTRACE_ATTACH:
		return "PTRACE_ATTACH";
	case PTRACE_SEIZE:
		return "PTRACE_SEIZE";
	default:
		return "ptrace";
	}
}

/* The number of a call with that of a program of 32 bits (i386, of which the old calls took users of 16 bits). */
static uint32_t number_of(const struct zt_trace_call *e)
{
	static const struct {
		uint32_t old[2], now;
	} map[] = {{{26}, SYS_ptrace},		{{347}, SYS_process_vm_readv}, {{348}, SYS_process_vm_writev},
		   {{438}, SYS_pidfd_getfd},	{{23, 213}, SYS_setuid},       {{70, 203}, SYS_setreuid},
		   {{164, 208}, SYS_setresuid}, {{138, 215}, SYS_setfsuid},    {{46, 214}, SYS_setgid},
		   {{71, 204}, SYS_setregid},	{{170, 210}, SYS_setresgid},   {{139, 216}, SYS_setfsgid},
		   {{185}, SYS_capset}};
	uint32_t old = e->call & ~ZT_TRACE_32;

	if (e->call == ZT_TRACE_ATTACH || !(e->call & ZT_TRACE_32))
		return e->call;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(map); i++)
		if (old && (map[i].old[0] == old || map[i].old[1] == old))
			return map[i].now;
	return e->call;
}

static const char *rights_name(const struct zt_trace_call *e)
{
	switch (number_of(e)) {
	case SYS_setuid:
		return "setuid";
	case SYS_setreuid:
		return "setreuid";
	case SYS_setresuid:
		return "setresuid";
	case SYS_setfsuid:
		return "setfsuid";
	case SYS_setgid:
		return "setgid";
	case SYS_setregid:
		return "setregid";
	case SYS_setresgid:
		return "setresgid";
	case SYS_setfsgid:
		return "setfsgid";
	case SYS_capset:
		return "capset";
	default:
		return "system call";
	}
}

static void put_change(const char *what, uint32_t from, uint32_t to, struct zt_strbuf *out)
{
	if (from != to)
		zt_strbuf_printf(out, "%s%s %u to %u", out->len ? ", " : "", what, from, to);
}

static void fill_rights(const struct zt_trace_process *from, const struct zt_trace_process *to, uint64_t caps,
			struct zt_strbuf *b, struct zt_activity *a)
{
	zt_activity_set(a, uid, from->uid);
	zt_activity_set(a, euid, to->euid);
	put_change("uid", from->uid, to->uid, b);
	put_change("euid", from->euid, to->euid, b);
	put_change("gid", from->gid, to->gid, b);
	if (caps)
		zt_strbuf_printf(b, "%scapabilities 0x%llx more", b->len ? ", " : "", (unsigned long long)caps);
	if (!zt_strbuf_error(b))
		zt_activity_text(a, detail, zt_strbuf_cstr(b), b->len);
}

void zt_calls_rights(const struct zt_trace_process *from, const struct zt_trace_process *to, uint64_t caps,
		     struct zt_activity *a)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	fill_rights(from, to, caps, &b, a);
}

/* Who opens files is told where it is another than euid, which it follows otherwise. */
static void fill_call_rights(const struct zt_trace_call *e, struct zt_activity *a)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	if (e->fsuid != e->target.euid || e->had_fsuid != e->process.euid)
		put_change("fsuid", e->had_fsuid, e->fsuid, &b);
	fill_rights(&e->process, &e->target, e->argument, &b, a);
}

static const char *request_name(const struct zt_trace_call *e)
{
	switch (number_of(e)) {
	case SYS_ptrace:
		return ptrace_name(e->argument);
	case ZT_TRACE_ATTACH:
		return "PTRACE_ATTACH";
	case SYS_process_vm_readv:
		return "process_vm_readv";
	case SYS_process_vm_writev:
		return "process_vm_writev";
	case SYS_pidfd_getfd:
		return "pidfd_getfd";
	default: /* of the files of /proc/PID, /proc/PID/mem asks for as much */
		return "open of its memory";
	}
}

void zt_calls_error(uint32_t number, struct zt_activity *a)
{
	zt_activity_text(a, error, strerror((int)number), 64);
	zt_activity_set(a, error_number, number);
}

void zt_calls_fill(const struct zt_trace_call *e, struct zt_activity *a)
{
	if (a->kind == ZT_ACTIVITY_PRIVILEGE) {
		zt_activity_text(a, request, rights_name(e), 64);
		fill_call_rights(e, a);
		return;
	}
	if (a->kind == ZT_ACTIVITY_PTRACE)
		zt_activity_text(a, request, request_name(e), 64);
	zt_activity_text(a, module, (const char *)e->name, sizeof(e->name));
	if (e->error)
		zt_calls_error(e->error, a);
}
