/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/tries.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fnmatch.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "event/opens.h"
#include "event/tracepoint.h"
#include "trace_abi.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "tries.skel.h"
#pragma GCC diagnostic pop

enum { NOTES = 1024, HEAD = 8 };
static const char *const ends[] = {"syscalls/sys_exit_openat", "syscalls/sys_exit_openat2", "syscalls/sys_exit_open",
				   "syscalls/sys_exit_creat"};

struct zt_tries {
	struct tries_bpf *obj;
	struct bpf_link *links[ZT_ARRAY_SIZE(ends)];
	size_t n_links;
	const char *const *patterns;
	char lack[192];
	struct note {
		uint64_t ino;
		uint32_t pid, fd;
	} notes[NOTES]; /* the oldest first, in a circle */
	size_t first, n;
};

/* ---- the programs ---- */
static int prepare(struct tries_bpf *obj, const struct zt_calls_options *o, bool functions)
{
	obj->rodata->own_pid = o->own_pid;
	obj->rodata->own_cgroup = o->cgroup;
	obj->rodata->own_level = o->level;
	obj->rodata->want = o->records;
	return bpf_program__set_autoload(obj->progs.zt_opened, functions)
		       ?: bpf_program__set_autoload(obj->progs.zt_left, !functions)
		       ?: bpf_map__reuse_fd(obj->maps.trace, o->trace) ?: bpf_map__reuse_fd(obj->maps.counts, o->counts)
		       ?: bpf_map__reuse_fd(obj->maps.sleeping, o->sleeping);
}

static int hold(struct zt_tries *t, struct bpf_link *link)
{
	if (!link)
		return -errno;
	t->links[t->n_links++] = link;
	return 0;
}

/* Not every processor has all of these calls, but each has the first. */
static int attach_ends(struct zt_tries *t)
{
	int r = 0;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(ends); i++) {
		int fd = zt_tracepoint_open(ends[i]);

		if (fd == -ENOENT && i)
			continue;
		r = fd < 0 ? fd : hold(t, bpf_program__attach_perf_event(t->obj->progs.zt_left, fd));
		if (r && fd >= 0)
			zt_closep(&fd);
	}
	return r;
}

static int look_around(const struct zt_tries *t)
{
	LIBBPF_OPTS(bpf_test_run_opts, o);
	int r = bpf_prog_test_run_opts(bpf_program__fd(t->obj->progs.zt_here), &o);

	return r < 0 ? r : t->obj->bss->here ? 0 : -ESRCH;
}

static int try(struct zt_tries *t, const struct zt_calls_options *o, bool functions)
{
	int r;

	t->obj = tries_bpf__open();
	r = t->obj ? prepare(t->obj, o, functions) ?: tries_bpf__load(t->obj) ?: look_around(t) : -errno;
	if (!r)
		r = functions ? hold(t, bpf_program__attach(t->obj->progs.zt_opened)) : attach_ends(t);
	if (!r)
		return 0;
	while (t->n_links)
		(void)bpf_link__destroy(t->links[--t->n_links]); /* closing it is all there is to do */
	tries_bpf__destroy(t->obj);
	t->obj = NULL;
	return r;
}

int zt_tries_open(const struct zt_calls_options *o, struct zt_tries **ret)
{
	struct zt_tries *t = zt_new(struct zt_tries, 1);
	int r;

	if (!t)
		return -ENOMEM;
	*ret = t;
	if (try(t, o, true) == 0)
		(void)snprintf(t->lack, sizeof(t->lack), "a failed open by io_uring is not seen");
	else if ((r = try(t, o, false)) == 0)
		(void)snprintf(
			t->lack, sizeof(t->lack),
			"a failed open by io_uring or by a 32-bit program is not seen: this kernel lets no program look at its functions");
	else
		(void)snprintf(
			t->lack, sizeof(t->lack),
			"failed opens are not seen, nor the descriptors of others: this kernel lets programs look neither at its "
			"functions nor at the ends of system calls (%s)",
			strerror(-r));
	return 0;
}

void zt_tries_close(struct zt_tries *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_links; i++)
		(void)bpf_link__destroy(t->links[i]); /* closing it is all there is to do */
	tries_bpf__destroy(t->obj);
	free(t);
}

bool zt_tries_works(const struct zt_tries *t)
{
	return t->obj;
}

const char *zt_tries_lack(const struct zt_tries *t)
{
	return *t->lack ? t->lack : NULL;
}

/* ---- patterns ---- */
/* After a '[' at p: behind the set of characters, or where there is none at the end of the text. */
static const char *behind_set(const char *p)
{
	const char *end;

	p += *p == '!' || *p == '^';
	end = *p ? strchr(p + 1, ']') : NULL;
	return end ? end + 1 : p + strlen(p);
}

static void lower_one(const char *pattern, uint64_t *head, uint64_t *mask, uint8_t text[static ZT_TRIES_TEXT])
{
	uint8_t first[HEAD] = {0}, all[HEAD] = {0};
	size_t n = 0;

	while (*pattern && n < ZT_TRIES_TEXT - 1) {
		char c = *pattern++;

		if (c == '[' || c == '\\') { /* more than is meant; the last word is fnmatch's */
			pattern = c == '[' ? behind_set(pattern) : pattern + (*pattern != '\0');
			c = '?';
		}
		text[n++] = (uint8_t)c;
	}
	if (*pattern)
		text[n - 1] = ZT_TRIES_REST;
	for (size_t i = 0; i < HEAD && i < n && text[i] != '*' && text[i] != '?' && text[i] != ZT_TRIES_REST; i++) {
		first[i] = text[i];
		all[i] = 0xff;
	}
	memcpy(head, first, HEAD);
	memcpy(mask, all, HEAD);
}

void zt_tries_lower(const char *const *patterns, struct zt_tries_patterns *ret)
{
	uint32_t n = 0;

	memset(ret, 0, sizeof(*ret));
	for (; n < ZT_TRIES_PATTERNS && patterns[n]; n++)
		lower_one(patterns[n], &ret->head[n], &ret->mask[n], ret->text[n]);
	ret->n = n;
}

void zt_tries_set_files(struct zt_tries *t, const char *const *patterns)
{
	struct zt_tries_patterns p;

	if (!t)
		return;
	t->patterns = patterns ? patterns : zt_opens_default;
	if (!t->obj)
		return;
	zt_tries_lower(t->patterns, &p);
	memcpy(&t->obj->bss->patterns, &p,
	       sizeof(p)); /* in between, a name may match more or less: the last word is is_sensitive()'s */
}

bool zt_tries_is_sensitive(const struct zt_tries *t, const struct zt_trace_open *e)
{
	const char *path = (const char *)e->path;

	if (!t->patterns || strnlen(path, sizeof(e->path)) == sizeof(e->path) || zt_opens_is_public(path))
		return false;
	for (size_t i = 0; t->patterns[i]; i++)
		if (fnmatch(t->patterns[i], path, FNM_PATHNAME | FNM_PERIOD) == 0)
			return true;
	return false;
}

/* ---- what they say ---- */
void zt_tries_note(struct zt_tries *t, const struct zt_trace_open *e)
{
	if (t->n == NOTES) {
		t->first = (t->first + 1) % NOTES;
		t->n--;
	}
	t->notes[(t->first + t->n++) % NOTES] = (struct note){.ino = e->ino, .pid = e->process.pid, .fd = e->fd};
}

int zt_tries_take(struct zt_tries *t, uint32_t pid, uint64_t ino, uint32_t *ret)
{
	for (size_t i = 0; i < t->n; i++) {
		struct note *n = &t->notes[(t->first + i) % NOTES];

		if (n->pid != pid || n->ino != ino)
			continue;
		*ret = n->fd;
		for (; i + 1 < t->n; i++)
			t->notes[(t->first + i) % NOTES] = t->notes[(t->first + i + 1) % NOTES];
		t->n--;
		return 0;
	}
	return -ENOENT;
}

void zt_tries_fill(const struct zt_trace_open *e, struct zt_activity *a)
{
	zt_activity_text(a, path, (const char *)e->path, sizeof(e->path));
	zt_calls_error(e->error, a);
}
