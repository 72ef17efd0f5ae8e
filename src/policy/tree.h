/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * YAML text to a small tree that knows where everything stands. Built from libyaml's events with limits of our own:
 * refused are more than 32 levels, duplicate keys, keys that are not scalars, anchors, aliases, tags, a second document,
 * NUL bytes and text that is not UTF-8. All errors but those of syntax are collected, and the tree goes on.
 */
#include "base/diag.h"

enum { ZT_DEPTH_MAX = 32, ZT_FILE_MAX = 4 << 20 };
enum zt_node_kind { ZT_NODE_SCALAR, ZT_NODE_LIST, ZT_NODE_MAP };

/* Lines and columns are libyaml's: from 0, columns in characters. */
struct zt_node {
	uint8_t kind;
	bool plain;  /* scalar without quotes */
	bool is_key; /* of a mapping */
	uint32_t n;  /* bytes of a scalar, children of a collection (pairs of a mapping) */
	uint32_t line, col, end_line, end_col;
	union {
		const char *text;      /* scalar, NUL-terminated */
		struct zt_node *first; /* list: items; mapping: keys */
	};
	struct zt_node *next;  /* sibling */
	struct zt_node *value; /* of a key; never NULL then */
};

struct zt_arena_chunk;
struct zt_doc {
	const char *name; /* borrowed */
	const char *text; /* borrowed, without a byte order mark */
	size_t len;
	bool ascii;		  /* then characters are bytes */
	uint32_t *lines, n_lines; /* offset of each line */
	struct zt_node *root;	  /* NULL: the file has no content */
	struct zt_arena_chunk *arena;
};

/* 0; -EINVAL with errors in d, then root is the complete tree or NULL; -ENOMEM. */
int zt_doc_parse(struct zt_doc *doc, const char *name, const char *text, size_t len, struct zt_diags *d);
void zt_doc_done(struct zt_doc *doc);
struct zt_span zt_doc_span(const struct zt_doc *doc, const struct zt_node *node);
size_t zt_doc_offset(const struct zt_doc *doc, uint32_t line, uint32_t col); /* in bytes */
/* zt_diag() at a node, with the source line; returns the same. */
int zt_doc_diag(const struct zt_doc *doc, struct zt_diags *d, enum zt_severity severity, unsigned code,
		const struct zt_node *node, const char *fmt, ...) ZT_PRINTF(6, 7);
