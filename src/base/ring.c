/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/ring.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"

static size_t page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int zt_ring_open(int fd, struct zt_ring *ret)
{
	void *consumer, *producer;

	*ret = (struct zt_ring){.fd = fd};
	if (fd < 0)
		return -EBADF;
	consumer = mmap(NULL, page(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	ret->consumer = consumer;
	producer = mmap(NULL, page(), PROT_READ, MAP_SHARED, fd, (off_t)page());
	if (producer == MAP_FAILED)
		return -errno;
	ret->producer = producer;
	return 0;
}

void zt_ring_clear(const struct zt_ring *r)
{
	if (r->producer)
		__atomic_store_n(r->consumer, __atomic_load_n(r->producer, __ATOMIC_ACQUIRE), __ATOMIC_SEQ_CST);
}

uint64_t zt_ring_used(const struct zt_ring *r)
{
	unsigned long seen = r->producer ? __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE)
					 : 0; /* first: it only grows */

	return r->producer ? __atomic_load_n(r->producer, __ATOMIC_ACQUIRE) - seen : 0;
}

void zt_ring_close(struct zt_ring *r)
{
	if (r->consumer)
		(void)munmap(r->consumer, page()); /* of our own making */
	if (r->producer)
		(void)munmap(r->producer, page());
	if (r->fd >= 0)
		(void)close(r->fd);
	*r = (struct zt_ring){.fd = -1};
}
