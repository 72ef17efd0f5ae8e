/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/libbpf.h>

#include "base/mem.h"
#include "engine/bpf/load.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "floor.skel.h"
#pragma GCC diagnostic pop

int zt_bpf_floor(const char *cgroup, bool storage)
{
	ZT_CLOSE int fd = bpf_open_cgroup(cgroup);
	static struct floor_bpf *kept; /* and its links: they last as long as the process, which is what they are for */
	struct floor_bpf *obj = fd < 0 ? NULL : floor_bpf__open();
	struct bpf_program *p;
	int r = fd < 0 ? fd : kept ? -EBUSY : obj ? 0 : -EIO;

	if (r < 0) {
		floor_bpf__destroy(obj);
		return r;
	}
	obj->rodata->storage = storage;
	r = floor_bpf__load(obj);
	bpf_object__for_each_program(p, obj->obj)
	{
		if (!r && !bpf_program__attach_cgroup(p, fd))
			r = -errno;
	}
	if (r < 0)
		floor_bpf__destroy(obj);
	else
		kept = obj;
	return r;
}
