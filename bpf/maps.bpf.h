/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The maps of abi.h. Inner maps are made by user space for each commit; these are their patterns. */
#include "abi.h"

#define SLOTS 2
#define INNER_FREE 0x1000 /* BPF_F_INNER_MAP: arrays of any size may be put in */

struct entries_inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, sizeof(struct zt_bpf_key));
	__uint(value_size, sizeof(struct zt_bpf_entry));
	__uint(max_entries, 1);
};
struct classes_inner {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(key_size, sizeof(struct zt_bpf_lpm));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
};
struct ports_value {
	__u16 class[65536];
};
struct ports_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct ports_value));
	__uint(max_entries, 1);
	__uint(map_flags, INNER_FREE);
};
struct evidence_inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, sizeof(struct zt_bpf_evidence));
	__uint(value_size, sizeof(struct zt_bpf_set));
	__uint(max_entries, 1);
};
struct paths_inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, sizeof(struct zt_bpf_path_key));
	__uint(value_size, sizeof(struct zt_bpf_path));
	__uint(max_entries, 1);
};
struct labels_inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, sizeof(struct zt_bpf_label_key));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, 1);
};
struct names_inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, sizeof(struct zt_bpf_name));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, 1);
};
struct counts_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct zt_bpf_count));
	__uint(max_entries, 1);
	__uint(map_flags, INNER_FREE);
};
struct meta_value {
	__u8 bytes[ZT_BPF_CHUNK];
};
struct meta_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct meta_value));
	__uint(max_entries, 1);
	__uint(map_flags, INNER_FREE);
};

#define OUTER(name)                                       \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); \
		__uint(max_entries, SLOTS);               \
		__type(key, __u32);                       \
		__array(values, struct name##_inner);     \
	} name SEC(".maps")

OUTER(entries);
OUTER(classes);
OUTER(ports);
OUTER(evidence);
OUTER(paths);
OUTER(labels);
OUTER(names);
OUTER(counts);
OUTER(meta);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} epoch SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct zt_bpf_config);
} config SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ZT_BPF_REASONS);
	__type(key, __u32);
	__type(value, struct zt_bpf_count);
} reasons SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct zt_bpf_sock);
} socks SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ZT_BPF_SEEN);
	__type(key, __u32);
	__type(value, struct zt_bpf_seen);
} seen SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct zt_bpf_flow_key);
	__type(value, struct zt_bpf_flow_seen);
} flows SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ZT_BPF_RECORDED);
	__type(key, __u32);
	__type(value, struct zt_bpf_event);
} record SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ZT_BPF_FENCES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct zt_bpf_fence);
} fences SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zt_bpf_limit);
} limit SEC(".maps");
