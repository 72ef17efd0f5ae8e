/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/loop.h"

#include <string.h>
#include <sys/signalfd.h>

#include "base/mem.h"

struct slot {
	int fd; /* -1: free */
	uint32_t round;
	zt_loop_fn fn;
	void *arg;
};

struct zt_loop {
	int epoll, signals;
	bool stop;
	size_t used;
	struct slot slots[ZT_LOOP_MAX];
	struct zt_timer *timers; /* all that were initialised and set once */
	void (*on_signal)(void *arg, int sig);
	void *signal_arg;
};

int zt_loop_new(struct zt_loop **ret)
{
	struct zt_loop *l = zt_new(struct zt_loop, 1);

	if (!l)
		return -ENOMEM;
	l->signals = -1;
	for (size_t i = 0; i < ZT_LOOP_MAX; i++)
		l->slots[i].fd = -1;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0) {
		free(l);
		return -errno;
	}
	*ret = l;
	return 0;
}

void zt_loop_free(struct zt_loop *l)
{
	if (!l)
		return;
	zt_closep(&l->signals);
	zt_closep(&l->epoll);
	free(l);
}

void zt_loop_freep(struct zt_loop **l)
{
	zt_loop_free(*l);
	*l = NULL;
}

/* ---- descriptors ---- */
static struct slot *find(struct zt_loop *l, int fd)
{
	for (size_t i = 0; i < ZT_LOOP_MAX; i++)
		if (l->slots[i].fd == fd)
			return &l->slots[i];
	return NULL;
}

/* The round tells a slot that was used again from the one an event was fetched for. */
static struct epoll_event event_of(const struct zt_loop *l, const struct slot *s, uint32_t events)
{
	return (struct epoll_event){.events = events, .data.u64 = (uint64_t)s->round << 32 | (uint64_t)(s - l->slots)};
}

int zt_loop_add(struct zt_loop *l, int fd, uint32_t events, zt_loop_fn fn, void *arg)
{
	struct slot *s = fd < 0 ? NULL : find(l, -1);
	struct epoll_event e;

	if (fd < 0)
		return -EBADF;
	if (find(l, fd))
		return -EEXIST;
	if (!s)
		return -ENOSPC;
	s->round++;
	e = event_of(l, s, events);
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		return -errno;
	s->fd = fd;
	s->fn = fn;
	s->arg = arg;
	l->used++;
	return 0;
}

int zt_loop_change(struct zt_loop *l, int fd, uint32_t events)
{
	const struct slot *s = fd < 0 ? NULL : find(l, fd);
	struct epoll_event e;

	if (!s)
		return -ENOENT;
	e = event_of(l, s, events);
	return epoll_ctl(l->epoll, EPOLL_CTL_MOD, fd, &e) < 0 ? -errno : 0;
}

void zt_loop_remove(struct zt_loop *l, int fd)
{
	struct slot *s = fd < 0 ? NULL : find(l, fd);

	if (!s)
		return;
	(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL); /* it was closed already: just as gone */
	s->fd = -1;
	l->used--;
}

size_t zt_loop_used(const struct zt_loop *l)
{
	return l->used;
}

/* ---- timers ---- */
void zt_timer_init(struct zt_timer *t, struct zt_loop *l, void (*fn)(void *arg), void *arg)
{
	*t = (struct zt_timer){.loop = l, .fn = fn, .arg = arg};
}

void zt_timer_set(struct zt_timer *t, zt_usec after)
{
	if (!t->at) {
		t->next = t->loop->timers;
		t->loop->timers = t;
	}
	t->at = zt_now_monotonic() + ZT_MAX(ZT_MIN(after, UINT64_MAX / 4), 1); /* never due in the round that sets it */
}

void zt_timer_set_early(struct zt_timer *t, zt_usec after)
{
	if (!t->at || t->at > zt_now_monotonic() + after)
		zt_timer_set(t, after);
}

void zt_timer_stop(struct zt_timer *t)
{
	struct zt_timer **p;

	if (!t->at)
		return;
	for (p = &t->loop->timers; *p != t; p = &(*p)->next)
		;
	*p = t->next;
	t->at = 0;
}

static struct zt_timer *due(struct zt_loop *l, zt_usec now)
{
	struct zt_timer *first = NULL;

	for (struct zt_timer *t = l->timers; t; t = t->next)
		if (t->at <= now && (!first || t->at < first->at))
			first = t;
	return first;
}

/* Those that are due now; one that sets itself anew waits for the next round. */
static void fire(struct zt_loop *l)
{
	zt_usec now = zt_now_monotonic();
	struct zt_timer *t;

	while (!l->stop && (t = due(l, now))) {
		zt_timer_stop(t);
		t->fn(t->arg);
	}
}

static int wait_msec(const struct zt_loop *l, zt_usec max)
{
	zt_usec now = zt_now_monotonic(), wait = max;

	for (const struct zt_timer *t = l->timers; t; t = t->next)
		wait = ZT_MIN(wait, t->at <= now ? 0 : t->at - now);
	if (wait == UINT64_MAX)
		return -1;
	return (int)ZT_MIN((wait + 999) / 1000, (zt_usec)INT32_MAX);
}

/* ---- signals ---- */
static void read_signals(void *arg, uint32_t events)
{
	struct zt_loop *l = arg;
	struct signalfd_siginfo s;

	(void)events;
	while (!l->stop && read(l->signals, &s, sizeof(s)) == (ssize_t)sizeof(s))
		l->on_signal(l->signal_arg, (int)s.ssi_signo);
}

int zt_loop_signals(struct zt_loop *l, const sigset_t *set, void (*fn)(void *arg, int sig), void *arg)
{
	if (l->signals >= 0)
		return -EEXIST;
	if (sigprocmask(SIG_BLOCK, set, NULL) < 0)
		return -errno;
	l->signals = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (l->signals < 0)
		return -errno;
	l->on_signal = fn;
	l->signal_arg = arg;
	return zt_loop_add(l, l->signals, EPOLLIN, read_signals, l);
}

/* ---- running ---- */
int zt_loop_step(struct zt_loop *l, zt_usec max)
{
	struct epoll_event events[32];
	int n = epoll_wait(l->epoll, events, (int)ZT_ARRAY_SIZE(events), wait_msec(l, max));

	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n && !l->stop; i++) {
		struct slot *s = &l->slots[events[i].data.u64 & UINT32_MAX];

		if (s->fd >= 0 && s->round == events[i].data.u64 >> 32)
			s->fn(s->arg, events[i].events);
	}
	fire(l);
	return 0;
}

int zt_loop_run(struct zt_loop *l)
{
	int r = 0;

	for (l->stop = false; !l->stop && !r;)
		r = zt_loop_step(l, UINT64_MAX);
	return r;
}

void zt_loop_stop(struct zt_loop *l)
{
	l->stop = true;
}
