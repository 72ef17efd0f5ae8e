/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "policy/load.h"

static void source_free(struct zt_source *s)
{
	zt_doc_done(&s->doc);
	free(s->text);
	free(s->includes);
	free(s);
}

void zt_sources_done(struct zt_load *l)
{
	for (size_t i = 0; i < l->n_sources; i++)
		source_free(l->sources[i]);
	free(l->sources);
	l->sources = NULL;
	l->n_sources = 0;
}

/* ---- one file ---- */
static int complain_file(struct zt_load *l, unsigned code, const char *path, const struct zt_node *at, const char *what,
			 const char *hint)
{
	struct zt_span span = {.file = path};

	if (at && l->doc)
		(void)zt_complain(l, code, at, "%s: %s", path, what); /* the result follows */
	else
		(void)zt_diag(l->d, ZT_ERROR, code, &span, "%s", what);
	if (hint)
		zt_diag_hint(l->d, "%s", hint);
	return -EINVAL;
}

static int check_owner(struct zt_load *l, const char *path, const struct zt_node *at, const struct stat *st)
{
	char text[160];

	if (l->o->allow_unsafe_file)
		return 0;
	if (st->st_uid != 0 && st->st_uid != geteuid()) {
		(void)snprintf(text, sizeof(text),
			       "the file belongs to uid %u: whoever that is could change the policy", st->st_uid);
		return complain_file(
			l, 1003, path, at, text,
			geteuid() == 0 ? "sudo runs this as root, so the policy has to be root's: sudo chown root FILE "
					 "(only to look at it: check - <FILE)"
				       : "a policy belongs to root or to who runs this: sudo chown root FILE");
	}
	if (st->st_mode & S_IWOTH)
		return complain_file(l, 1003, path, at, "everybody may write this file", "chmod o-w FILE");
	if (st->st_mode & S_IWGRP && st->st_gid != 0)
		return complain_file(l, 1003, path, at, "a group may write this file", "chmod g-w FILE");
	return 0;
}

static int read_open(struct zt_load *l, int fd, const char *path, const struct zt_node *at, struct zt_source *s,
		     size_t *ret_len)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return complain_file(l, 1004, path, at, S_ISDIR(st.st_mode) ? "is a folder" : "is not a regular file",
				     S_ISDIR(st.st_mode) ? "name a file in it, or include a pattern: FOLDER/*.yaml"
							 : NULL);
	r = check_owner(l, path, at, &st);
	if (r)
		return r;
	s->has_id = true;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return zt_fd_read_all(fd, ZT_FILE_MAX, &s->text, ret_len);
}

/* ---- a recorded source: "#zt-file LENGTH NAME", that many bytes, and so on ---- */
static const char mark[] = "#zt-file ";

/* The next file of the record; at its end, or where it is no record: NULL. *ret_name lies in the record and ends with a newline. */
static const char *recorded_next(const struct zt_load *l, const char **ret_name, size_t *ret_len)
{
	const char *end = l->recorded_end, *at = l->recorded, *line, *space;
	char number[24];
	uint64_t len;

	if (!at || (size_t)(end - at) < strlen(mark) || memcmp(at, mark, strlen(mark)) != 0)
		return NULL;
	at += strlen(mark);
	line = memchr(at, '\n', (size_t)(end - at));
	space = line ? memchr(at, ' ', (size_t)(line - at)) : NULL;
	if (!space || (size_t)(space - at) >= sizeof(number))
		return NULL;
	memcpy(number, at, (size_t)(space - at));
	number[space - at] = '\0';
	if (zt_parse_u64(number, (uint64_t)(end - line - 1), &len) < 0)
		return NULL;
	*ret_name = space + 1;
	*ret_len = (size_t)len;
	return line + 1;
}

static bool recorded_is(const struct zt_load *l, const char *pattern, bool glob)
{
	const char *name;
	size_t len;
	const char *text = recorded_next(l, &name, &len);
	ZT_FREE char *copy = text ? zt_strndup(name, (size_t)(text - name) - 1) : NULL;

	return copy && (glob ? !fnmatch(pattern, copy, FNM_PATHNAME | FNM_PERIOD) : !strcmp(pattern, copy));
}

static char *recorded_name(const struct zt_load *l)
{
	const char *name;
	size_t len;
	const char *text = recorded_next(l, &name, &len);

	return text ? zt_strndup(name, (size_t)(text - name) - 1) : NULL;
}

static int recorded_take(struct zt_load *l, const char *path, const struct zt_node *at, struct zt_source *s,
			 size_t *ret_len)
{
	const char *name, *text = recorded_next(l, &name, ret_len);

	if (!text || !recorded_is(l, path, false))
		return complain_file(l, 1001, path, at, "is not in the record of the policy", NULL);
	s->text = zt_strndup(text, *ret_len);
	l->recorded = text + *ret_len;
	return s->text ? 0 : -ENOMEM;
}

static int read_file(struct zt_load *l, const char *path, const struct zt_node *at, struct zt_source *s,
		     size_t *ret_len)
{
	ZT_CLOSE int fd = -1;
	int r;

	if (l->recorded)
		return recorded_take(l, path, at, s, ret_len);
	if (!at && !strcmp(path, "-")) {
		r = zt_fd_read_all(STDIN_FILENO, ZT_FILE_MAX, &s->text, ret_len);
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		r = fd < 0 ? -errno : read_open(l, fd, path, at, s, ret_len);
	}
	if (r == -EFBIG) {
		(void)complain_file(l, 1002, path, at, "larger than 4 MiB",
				    "spread it over several files with include:"); /* result follows */
		return -EINVAL;
	}
	if (r && r != -EINVAL && r != -ENOMEM) {
		ZT_FREE char *why = zt_asprintf("cannot be read: %s", strerror(-r));

		(void)complain_file(l, 1001, path, at, why ? why : "cannot be read", NULL); /* the result follows */
		return at ? -EINVAL : r;
	}
	return r;
}

static int keep_bytes(struct zt_load *l, struct zt_source *s, size_t len, const struct zt_node *at)
{
	if (l->n_bytes + len > ZT_TOTAL_MAX)
		return complain_file(l, 1305, l->p->files[0], at, "all files together are larger than 16 MiB", NULL);
	l->n_bytes += len;
	s->len = len;
	return 0;
}

static int keep_name(struct zt_load *l, const char *path)
{
	struct zt_policy *p = l->p;
	char *name;

	if (zt_grow(p->files, l->cap_files, p->n_files) < 0 || !(name = zt_strdup(path)))
		return -ENOMEM;
	p->files[p->n_files++] = name;
	return 0;
}

/* ---- include: ---- */
static int load_source(struct zt_load *l, struct zt_source *s, size_t len);

static int check_twice(struct zt_load *l, const struct zt_source *s, const char *path, const struct zt_node *at)
{
	for (size_t i = 0; i < l->n_sources && s->has_id; i++) {
		const struct zt_source *o = l->sources[i];
		const struct zt_source *up = s->parent;

		if (!o->has_id || o->dev != s->dev || o->ino != s->ino)
			continue;
		while (up && up != o)
			up = up->parent;
		if (up)
			return complain_file(l, 1302, path, at, "includes itself, directly or through another file",
					     NULL);
		return complain_file(l, 1306, path, at, "is included already", NULL);
	}
	return 0;
}

static void tell_place(const struct zt_load *l, const char *path)
{
	if (l->o->place)
		l->o->place(l->o->place_arg, path);
}

static int include_file(struct zt_load *l, struct zt_source *parent, const char *path, const struct zt_node *at)
{
	struct zt_source *s;
	size_t len = 0;
	int r;

	tell_place(l, path);
	if (l->n_sources == ZT_FILES_MAX)
		return complain_file(l, 1305, path, at, "more than 1,000 files", NULL);
	s = zt_new(struct zt_source, 1);
	if (!s)
		return -ENOMEM;
	s->parent = parent;
	r = read_file(l, path, at, s, &len);
	r = r ?: check_twice(l, s, path, at) ?: keep_bytes(l, s, len, at) ?: keep_name(l, path) ?: zt_grow(l->sources, l->cap_sources, l->n_sources);
	if (r) {
		source_free(s);
		return r;
	}
	l->sources[l->n_sources++] = s;
	if (zt_grow(parent->includes, parent->cap_includes, parent->n_includes) < 0)
		return -ENOMEM;
	parent->includes[parent->n_includes++] = s;
	r = load_source(l, s, len);
	l->doc = &parent->doc;
	return r;
}

static char *beside(const char *file, const char *pattern)
{
	const char *slash = strrchr(file, '/');

	if (pattern[0] == '/' || !slash)
		return zt_strdup(pattern);
	return zt_asprintf("%.*s/%s", slash == file ? 0 : (int)(slash - file), file, pattern);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A folder that is not there holds no files; one that cannot be read might. */
static int on_glob_error(const char *path, int error)
{
	(void)path;
	return error != ENOENT && error != ENOTDIR;
}

static int include_pattern(struct zt_load *l, struct zt_source *s, const struct zt_node *v)
{
	ZT_FREE char *pattern = beside(s->doc.name, v->text);
	glob_t g = {0};
	int e, r = 0;

	if (!pattern)
		return -ENOMEM;
	if (!strpbrk(v->text, "*?["))
		return include_file(l, s, pattern, v);
	while (r != -ENOMEM && recorded_is(l, pattern, true)) {
		ZT_FREE char *name = recorded_name(l);

		r = name ? zt_also(r, include_file(l, s, name, v)) : -ENOMEM;
	}
	if (l->recorded)
		return r;
	tell_place(l, pattern);
	e = glob(pattern, GLOB_NOSORT, on_glob_error, &g);
	if (e && e != GLOB_NOMATCH)
		r = e == GLOB_NOSPACE ? -ENOMEM
				      : zt_complain(l, 1301, v, "\"%s\" cannot be looked through", zt_shown(v));
	if (!e)
		qsort(g.gl_pathv, g.gl_pathc, sizeof(*g.gl_pathv), compare);
	for (size_t i = 0; !e && i < g.gl_pathc && r != -ENOMEM; i++)
		r = zt_also(r, include_file(l, s, g.gl_pathv[i], v));
	globfree(&g);
	return r;
}

static int load_includes(struct zt_load *l, struct zt_source *s)
{
	const struct zt_node *v = zt_field(&s->fields, ROOT, INCLUDE);
	int r = 0;

	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i))
		r = zt_also(r, include_pattern(l, s, i));
	return r;
}

static int load_source(struct zt_load *l, struct zt_source *s, size_t len)
{
	const char *name = l->p->files[l->p->n_files - 1];
	bool main = !s->parent;
	int r = zt_doc_parse(&s->doc, name, s->text, len, l->d);

	l->doc = &s->doc;
	if (!s->doc.root) {
		if (r || !main)
			return r;
		(void)complain_file(l, 1014, name, NULL, "the file is empty",
				    "a policy begins with version: \"1.0\""); /* result follows */
		return -EINVAL;
	}
	if (s->doc.root->kind != ZT_NODE_MAP) {
		(void)zt_complain(l, 1102, s->doc.root, "a policy is a mapping of keys"); /* the result follows */
		zt_diag_hint(l->d, "it begins with version: \"1.0\" and has keys such as settings:, rules: and tests:");
		return -EINVAL;
	}
	r = zt_also(r, zt_fields_read(&s->doc, ZT_MAP_ROOT, s->doc.root, !main, &s->fields, l->d));
	if (!main && zt_field_key(&s->fields, ROOT, SETTINGS)) {
		(void)zt_complain(l, 1304, zt_field_key(&s->fields, ROOT, SETTINGS),
				  "settings belong in the main file"); /* collected */
		zt_diag_hint(l->d, "that is %s", l->p->files[0]);
		r = zt_also(r, -EINVAL);
	}
	return zt_also(r, load_includes(l, s));
}

static int start(struct zt_load *l, const char *name, struct zt_source *s, size_t len)
{
	int r = keep_name(l, name) ?: keep_bytes(l, s, len, NULL) ?: zt_grow(l->sources, l->cap_sources, l->n_sources);

	if (r) {
		source_free(s);
		return r;
	}
	l->sources[l->n_sources++] = s;
	return load_source(l, s, len);
}

int zt_sources_load(struct zt_load *l, const char *path)
{
	struct zt_source *s = zt_new(struct zt_source, 1);
	size_t len = 0;
	int r = s ? read_file(l, path, NULL, s, &len) : -ENOMEM;

	tell_place(l, path);
	if (!r)
		return start(l, path, s, len);
	if (s)
		source_free(s);
	return r;
}

/* One file: as it is. A name that would break the line of the record: the files without names, which can be read but not taken apart. */
int zt_sources_join(const struct zt_load *l, struct zt_policy *p)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	bool named = l->n_sources > 1;

	for (size_t i = 0; i < p->n_files; i++)
		named = named && !strchr(p->files[i], '\n');
	for (size_t i = 0; i < l->n_sources; i++) {
		if (named)
			zt_strbuf_printf(&b, "%s%zu %s\n", mark, l->sources[i]->len, p->files[i]);
		zt_strbuf_add(&b, l->sources[i]->text, l->sources[i]->len);
	}
	p->source_len = b.len;
	p->source = zt_strbuf_steal(&b);
	return p->source ? 0 : -ENOMEM;
}

int zt_sources_add_text(struct zt_load *l, const char *name, const char *text, size_t len)
{
	struct zt_source *s;
	struct stat st;

	if (l->o->recorded) {
		bool many = len > strlen(mark) && !memcmp(text, mark, strlen(mark));

		l->recorded_end = text + len;
		l->recorded = many ? text : l->recorded_end;
		if (many)
			return zt_sources_load(l, name);
	}
	s = zt_new(struct zt_source, 1);
	if (!s || !(s->text = zt_malloc(len + 1))) {
		free(s);
		return -ENOMEM;
	}
	if (len)
		memcpy(s->text, text, len);
	s->text[len] = '\0';
	s->has_id = stat(name, &st) == 0;
	if (s->has_id) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	return start(l, name, s, len);
}
