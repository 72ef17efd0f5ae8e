/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after the above */
#include <cmocka.h>
#include <sys/eventfd.h>

#include "daemon/loop.h"

struct seen {
	struct zt_loop *loop;
	int fd[2], hits, drop; /* drop: which other one to remove when called */
	struct zt_timer timer, other;
	int order[8], n;
};

static int setup(void **state)
{
	struct seen *s = calloc(1, sizeof(*s));

	s->fd[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	s->fd[1] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	*state = s;
	return zt_loop_new(&s->loop);
}

static int teardown(void **state)
{
	struct seen *s = *state;

	zt_loop_free(s->loop);
	close(s->fd[0]);
	close(s->fd[1]);
	free(s);
	return 0;
}

static void kick(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void hit_and_drop(void *arg, uint32_t events)
{
	struct seen *s = arg;

	assert_true(events & EPOLLIN);
	s->hits++;
	zt_loop_remove(s->loop, s->fd[0]);
	zt_loop_remove(s->loop, s->fd[1]);
}

static void test_removed_is_not_called(void **state)
{
	struct seen *s = *state;

	assert_int_equal(zt_loop_add(s->loop, s->fd[0], EPOLLIN, hit_and_drop, s), 0);
	assert_int_equal(zt_loop_add(s->loop, s->fd[1], EPOLLIN, hit_and_drop, s), 0);
	assert_int_equal(zt_loop_add(s->loop, s->fd[1], EPOLLIN, hit_and_drop, s), -EEXIST);
	kick(s->fd[0]);
	kick(s->fd[1]);
	assert_int_equal(zt_loop_step(s->loop, 0), 0);
	assert_int_equal(s->hits, 1); /* both were ready: the first took the second away */
	assert_int_equal(zt_loop_used(s->loop), 0);
	assert_int_equal(zt_loop_step(s->loop, 0), 0);
	assert_int_equal(s->hits, 1);
}

static void reuse(void *arg, uint32_t events)
{
	struct seen *s = arg;

	(void)events;
	s->hits++;
	/* The slot of the other one, ready as well, is given to somebody else. */
	zt_loop_remove(s->loop, s->fd[1]);
	zt_loop_remove(s->loop, s->fd[0]);
	assert_int_equal(zt_loop_add(s->loop, s->drop, EPOLLIN, hit_and_drop, s), 0);
}

static void test_event_of_a_former_owner(void **state)
{
	struct seen *s = *state;

	s->drop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(zt_loop_add(s->loop, s->fd[0], EPOLLIN, reuse, s), 0);
	assert_int_equal(zt_loop_add(s->loop, s->fd[1], EPOLLIN, reuse, s), 0);
	kick(s->fd[0]);
	kick(s->fd[1]);
	assert_int_equal(zt_loop_step(s->loop, 0), 0);
	assert_int_equal(s->hits, 1);
	close(s->drop);
}

static void test_limit(void **state)
{
	struct seen *s = *state;
	int fds[ZT_LOOP_MAX + 1], r = 0;

	for (int i = 0; i <= ZT_LOOP_MAX; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC);
		r = zt_loop_add(s->loop, fds[i], EPOLLIN, hit_and_drop, s);
		assert_int_equal(r, i < ZT_LOOP_MAX ? 0 : -ENOSPC);
	}
	assert_int_equal(zt_loop_used(s->loop), ZT_LOOP_MAX);
	for (int i = 0; i <= ZT_LOOP_MAX; i++) {
		zt_loop_remove(s->loop, fds[i]);
		close(fds[i]);
	}
	assert_int_equal(zt_loop_used(s->loop), 0);
	assert_int_equal(zt_loop_add(s->loop, -1, EPOLLIN, hit_and_drop, s), -EBADF);
}

static void first(void *arg)
{
	struct seen *s = arg;

	s->order[s->n++] = 1;
	zt_timer_set(&s->timer, 0); /* itself: in the next round */
}

static void second(void *arg)
{
	struct seen *s = arg;

	s->order[s->n++] = 2;
}

static void test_timers_in_order(void **state)
{
	struct seen *s = *state;

	zt_timer_init(&s->timer, s->loop, first, s);
	zt_timer_init(&s->other, s->loop, second, s);
	zt_timer_set(&s->other, 2000);
	zt_timer_set(&s->timer, 1000);
	assert_int_equal(zt_loop_step(s->loop, UINT64_MAX), 0);
	assert_int_equal(s->order[0], 1);
	while (s->n < 3)
		assert_int_equal(zt_loop_step(s->loop, UINT64_MAX), 0);
	zt_timer_stop(&s->timer);
	zt_timer_stop(&s->timer); /* twice: nothing */
	zt_timer_stop(&s->other);
	assert_false(zt_timer_on(&s->timer));
}

static void test_early_never_later(void **state)
{
	struct seen *s = *state;
	zt_usec at;

	zt_timer_init(&s->timer, s->loop, second, s);
	zt_timer_set_early(&s->timer, 50000);
	at = s->timer.at;
	zt_timer_set_early(&s->timer, 90000);
	assert_int_equal(s->timer.at, at);
	zt_timer_set_early(&s->timer, 1000);
	assert_true(s->timer.at < at);
	zt_timer_set(&s->timer, 90000); /* moved */
	assert_true(s->timer.at > at);
	assert_int_equal(zt_loop_step(s->loop, 0), 0);
	assert_int_equal(s->n, 0);
	zt_timer_stop(&s->timer);
}

static void on_signal(void *arg, int sig)
{
	struct seen *s = arg;

	s->hits += sig == SIGUSR1;
	zt_loop_stop(s->loop);
}

static void test_signals(void **state)
{
	struct seen *s = *state;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	assert_int_equal(zt_loop_signals(s->loop, &set, on_signal, s), 0);
	assert_int_equal(zt_loop_signals(s->loop, &set, on_signal, s), -EEXIST);
	raise(SIGUSR1);
	assert_int_equal(zt_loop_run(s->loop), 0);
	assert_int_equal(s->hits, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_removed_is_not_called, setup, teardown),
		cmocka_unit_test_setup_teardown(test_event_of_a_former_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timers_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early_never_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
