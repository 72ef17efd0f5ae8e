/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <stdint.h>

/*
 * A ring buffer of the kernel (BPF_MAP_TYPE_RINGBUF) as a bell: its descriptor is readable once something was put in, until zt_ring_clear() says
 * that all of it was seen. What is in it is not looked at; several may wait for the same ring.
 */
struct zt_ring {
	int fd; /* -1: none */
	unsigned long *consumer, *producer;
};
int zt_ring_open(int fd, struct zt_ring *ret);	/* fd, also on failure, is ret's */
void zt_ring_clear(const struct zt_ring *r);	/* one that is not open: nothing */
uint64_t zt_ring_used(const struct zt_ring *r); /* bytes that are in it and not read */
void zt_ring_close(struct zt_ring *r);
