/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * So that an idle daemon sleeps: what else would have to be looked for. bpf/sentry.bpf.c rings when links of the engine are not what they were, and
 * the engine's own ring when something was blocked. Both lead to a poll, QUARTER apart at least.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/ring.h"
#include "daemon/daemon.h"
#include "sentry.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "sentry.skel.h"
#pragma GCC diagnostic pop

#define QUARTER (ZT_USEC_PER_SEC / 4)
#define SETTLE (ZT_USEC_PER_SEC / 50) /* who rang before it changed something has done so by then */

struct zt_sentry {
	struct sentry_bpf *obj; /* NULL: the kernel does not take it */
	struct bpf_link *ended, *asked, *links;
	struct zt_ring bell, denies;
	zt_usec polled; /* or will be */
	size_t n_links; /* that are watched */
};

/* ---- wishes ---- */
static void want(struct zt_daemon *d, zt_usec after, const char *why)
{
	zt_usec now = zt_now_monotonic(), next = d->sentry->polled + QUARTER;

	if (d->sentry->polled > now)
		return;
	next = ZT_MAX(next, now + after);
	d->sentry->polled = next;
	zt_daemon_want(d, ZT_JOB_POLL, next - now, false, "%s", why);
}

static void on_bell(void *arg, uint32_t events)
{
	struct zt_daemon *d = arg;

	(void)events;
	zt_ring_clear(&d->sentry->bell);
	if (d->active || d->meant)
		want(d, SETTLE, "what is enforced may have been changed");
}

static void on_denied(void *arg, uint32_t events)
{
	struct zt_daemon *d = arg;

	(void)events;
	zt_ring_clear(&d->sentry->denies);
	want(d, 0, "something was blocked");
}

/* ---- the links of the engine ---- */
static bool is_one(const json_t *ids, uint32_t id)
{
	const json_t *v;
	size_t i;

	json_array_foreach (ids, i, v)
		if (json_integer_value(v) == (json_int_t)id)
			return true;
	return false;
}

static size_t read_links(const struct zt_sentry *s, const json_t *ids, struct zt_sentry_link ret[ZT_SENTRY_LINKS])
{
	ZT_CLOSE int fd = bpf_iter_create(bpf_link__fd(s->links));
	struct zt_sentry_found f[32];
	size_t found = 0;
	ssize_t n;

	while (fd >= 0 && ((n = read(fd, f, sizeof(f))) > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))))
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(*f); i++)
			if (found < ZT_SENTRY_LINKS && is_one(ids, f[i].id))
				ret[found++] = f[i].at;
	return found;
}

static void watch_links(struct zt_daemon *d, const json_t *ids)
{
	struct zt_sentry_link now[ZT_SENTRY_LINKS] = {{0}};
	size_t n = json_array_size(ids) ? read_links(d->sentry, ids, now) : 0;
	bool gone = n < json_array_size(ids);

	d->sentry->n_links = n;
	for (uint32_t i = 0; i < ZT_SENTRY_LINKS; i++) {
		d->sentry->obj->bss->watched[i] = now[i]; /* looked at meanwhile it rings once too often */
		gone = gone || (now[i].link && !now[i].place);
	}
	if (gone && d->active && !d->damaged && !d->told_drift) /* since the job looked */
		want(d, 0, "what is enforced has been changed");
}

static void take_ring(struct zt_daemon *d, const json_t *bells, int fd)
{
	struct zt_sentry *s = d->sentry;
	uint32_t id = (uint32_t)json_integer_value(json_object_get(bells, "ring"));

	if (fd < 0)
		return;
	if (s->denies.fd >= 0)
		zt_loop_remove(d->loop, s->denies.fd);
	zt_ring_close(&s->denies);
	d->ring = 0;
	if (zt_ring_open(fd, &s->denies) < 0 || zt_loop_add(d->loop, s->denies.fd, EPOLLIN, on_denied, d) < 0) {
		zt_ring_close(&s->denies); /* then it is looked for as before */
		return;
	}
	d->ring = id;
	zt_ring_clear(&s->denies);
	want(d, 0, "what was blocked before"); /* it has not rung for us */
}

void zt_sentry_take(struct zt_daemon *d, const json_t *answer, int ring)
{
	const json_t *bells = json_object_get(answer, "bells");
	const struct zt_engine *e = d->engine[0] ? zt_engine_by_name(d->engine) : NULL;

	take_ring(d, bells, ring);
	if (!d->sentry->obj)
		return;
	if (json_object_get(answer, "in_force"))
		watch_links(d, json_object_get(bells, "links"));
	d->sentry->obj->bss->any_in = e && !strcmp(e->name, "iptables") ? zt_netns_cookie() : 0;
	if (e && strcmp(e->name, "nft") != 0 && !zt_sentry_rings(d))
		zt_kernel_engine(d); /* it is looked for as before */
}

bool zt_sentry_rings(const struct zt_daemon *d)
{
	const struct zt_engine *e = d->engine[0] ? zt_engine_by_name(d->engine) : NULL;

	if (!d->sentry || !d->sentry->obj)
		return false;
	return !e || !e->bells || (d->ring && d->sentry->n_links);
}

/* ---- begin and end ---- */
static struct sentry_bpf *load(const struct zt_daemon *d, bool functions)
{
	struct sentry_bpf *obj = sentry_bpf__open();

	if (!obj)
		return NULL;
	obj->rodata->own_pid = (uint32_t)getpid();
	obj->rodata->hand_pid = (uint32_t)d->hand_pid;
	(void)bpf_program__set_autoload(obj->progs.zt_asked, functions); /* before it is loaded: always */
	if (!sentry_bpf__load(obj))
		return obj;
	sentry_bpf__destroy(obj);
	return NULL;
}

int zt_sentry_open(struct zt_daemon *d)
{
	struct zt_sentry *s = zt_new(struct zt_sentry, 1);

	if (!s)
		return -ENOMEM;
	d->sentry = s;
	s->bell.fd = s->denies.fd = -1;
	if (!zt_pidns_is_initial()) /* its own processes would not be known */
		return 0;
	s->obj = load(d, true) ?: load(d, false);
	if (s->obj) {
		s->links = bpf_program__attach_iter(s->obj->progs.zt_links, NULL);
		s->ended = bpf_program__attach(s->obj->progs.zt_ended);
		if (bpf_program__fd(s->obj->progs.zt_asked) >= 0)
			s->asked = bpf_program__attach(s->obj->progs.zt_asked); /* one more who tells, where it is */
	}
	if (s->obj && s->links && s->ended && zt_ring_open(dup(bpf_map__fd(s->obj->maps.bell)), &s->bell) == 0)
		return zt_loop_add(d->loop, s->bell.fd, EPOLLIN, on_bell, d);
	zt_log(LOG_INFO, "this kernel tells nobody of programs that are detached: twice a second it is looked for");
	sentry_bpf__destroy(s->obj);
	s->obj = NULL;
	return 0;
}

void zt_sentry_close(struct zt_daemon *d)
{
	struct zt_sentry *s = d->sentry;

	if (!s)
		return;
	zt_loop_remove(d->loop, s->bell.fd);
	zt_loop_remove(d->loop, s->denies.fd);
	zt_ring_close(&s->bell);
	zt_ring_close(&s->denies);
	(void)bpf_link__destroy(s->asked); /* closing is all there is to do */
	(void)bpf_link__destroy(s->ended);
	(void)bpf_link__destroy(s->links);
	sentry_bpf__destroy(s->obj);
	free(s);
	d->sentry = NULL;
}
