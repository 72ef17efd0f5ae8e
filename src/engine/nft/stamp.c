/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/bpf/load.h"
#include "engine/nft/marks.h"
#include "identity/identity.h"
#include "mark.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "mark.skel.h"
#include "mark_iter.skel.h"
#pragma GCC diagnostic pop

#define FIRST_EPOCH 2u
#define ITERATOR "mark_all"
#define ROUNDS 8 /* of marking what exists: each finds what the one before left */

/* In the order of attachment: nobody sets private bits from the first moment on. */
static const char *const links[] = {"zt_m_setsockopt", "zt_m_create",	"zt_m_bind4",	 "zt_m_bind6",
				    "zt_m_connect4",   "zt_m_connect6", "zt_m_sendmsg4", "zt_m_sendmsg6"};
#define EGRESS "zt_m_egress" /* only of policies with receivers: it sees every packet */
static const struct {
	const char *name;
	int at; /* of enum bpf_map_name */
} maps[] = {{"epoch", MAP_EPOCH},	{"config", MAP_CONFIG}, {"entries", MAP_ENTRIES}, {"classes", MAP_CLASSES},
	    {"ports", MAP_PORTS},	{"labels", MAP_LABELS}, {"counts", MAP_COUNTS},	  {"meta", MAP_META},
	    {"evidence", MAP_EVIDENCE}, {"paths", MAP_PATHS},	{"socks", MAP_SOCKS},	  {"marks", N_MAPS}};

struct stamp { /* what is attached, or about to be */
	struct bpf_live l;
	int marks; /* map */
	bool egress;
};

static int *place(struct stamp *s, size_t i)
{
	return maps[i].at == N_MAPS ? &s->marks : &s->l.map[maps[i].at];
}

static void stamp_init(struct stamp *s)
{
	bpf_live_init(&s->l);
	s->marks = -1;
	s->egress = false;
}

static void stamp_done(struct stamp *s)
{
	bpf_live_done(&s->l);
	zt_closep(&s->marks);
}

/* ---- the contents of a slot ---- */
static int add_plain(const struct nft_marks *m, struct zt_image *img)
{
	const struct zt_labels *l = &m->sets[MARK_PLAIN];

	for (size_t i = 0; i < l->n; i++) {
		struct bpf_label *at;

		if (!m->number[MARK_PLAIN][i])
			continue;
		if (zt_grow(img->labels, img->cap_labels, img->n_labels) < 0)
			return -ENOMEM;
		at = &img->labels[img->n_labels++];
		*at = (struct bpf_label){.key.space = ZT_MARK_L_PLAIN, .label = m->number[MARK_PLAIN][i]};
		memcpy(&at->key.set, &l->sets[i], sizeof(at->key.set));
	}
	return 0;
}

static void image_freep(struct zt_image **img)
{
	if (*img)
		(*img)->rs = NULL; /* the marks' */
	bpf_image_free(*img);
}

static int image_of(const struct nft_marks *m, struct zt_image **ret)
{
	ZT_CLEANUP(image_freep) struct zt_image *img = zt_new(struct zt_image, 1);
	int r = img && (img->cfg = zt_new(struct zt_bpf_config, 1)) ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	img->rs = m->joint;
	r = nft_marks_text(m, &img->json) ?: bpf_lower_labels(img, NULL);
	for (size_t i = 0; !r && i < img->n_labels; i++)
		img->labels[i].label = m->number[MARK_KNOWN][img->labels[i].label - 1];
	r = r ?: add_plain(m, img);
	if (r < 0)
		return r;
	img->json_len = strlen(img->json);
	img->cfg->layout = ZT_BPF_LAYOUT;
	img->cfg->meta_len = img->json_len;
	img->cfg->generation = ZT_MARK_LAYOUT;
	zt_sha256_hex(img->json, img->json_len, img->cfg->hash);
	*ret = ZT_TAKE(img);
	return 0;
}

static struct zt_mark_config config_of(const struct nft_marks *m)
{
	struct zt_mark_config c = {.layout = ZT_MARK_LAYOUT,
				   .mask = m->mask,
				   .shift = nft_marks_shift(m),
				   .number_mask = nft_marks_max(m)};

	for (size_t i = 0; i < m->plain->n_subjects; i++)
		c.plain.w[i / 64] |= UINT64_C(1) << (i % 64);
	return c;
}

static int fill(const struct stamp *s, const struct nft_marks *m, const struct zt_image *img, uint32_t epoch)
{
	struct zt_mark_config c = config_of(m);
	uint32_t slot = epoch & 1;

	if (bpf_map_update_elem(s->marks, &slot, &c, BPF_ANY) < 0)
		return -errno;
	return bpf_fill(&s->l, img, epoch);
}

static int compare(const struct stamp *s, const struct nft_marks *m, const struct zt_image *img, uint32_t slot,
		   const char **ret_what)
{
	struct zt_mark_config want = config_of(m), got;

	*ret_what = "the private bits";
	if (s->marks < 0 || bpf_map_lookup_elem(s->marks, &slot, &got) < 0 || memcmp(&want, &got, sizeof(got)) != 0)
		return 1;
	return bpf_compare(&s->l, img, slot, ret_what);
}

static int fill_and_compare(const struct stamp *s, const struct nft_marks *m, const struct zt_image *img,
			    uint32_t epoch, struct zt_diags *d)
{
	const char *what = "";
	int r = fill(s, m, img, epoch);

	r = r ?: compare(s, m, img, epoch & 1, &what);
	if (r < 0)
		return zt_diag_errno(d, 3110, r, "cannot fill the maps of the labels");
	if (r > 0)
		(void)zt_diag(d, ZT_ERROR, 3110, NULL, "the kernel does not hold what was written: %s", what);
	return r ? -EIO : 0;
}

static int set_epoch(const struct stamp *s, uint32_t epoch)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(s->l.map[MAP_EPOCH], &zero, &epoch, BPF_ANY) < 0 ? -errno : 0;
}

/* ---- what is live ---- */
static int folder(const char *instance, bool create, char ret[static 160])
{
	int r = bpf_dir(instance, create, ret);
	size_t len = r < 0 ? 0 : strlen(ret);

	if (!r)
		(void)snprintf(ret + len, 160 - len, "+mark"); /* bpf_dir() leaves room: 60 bytes and a number */
	return r;
}

static int find_maps(struct stamp *s, uint32_t prog)
{
	uint32_t ids[64] = {0}, len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.nr_map_ids = ZT_ARRAY_SIZE(ids), .map_ids = (uintptr_t)ids};
	ZT_CLOSE int fd = bpf_prog_get_fd_by_id(prog);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	for (uint32_t i = 0; i < info.nr_map_ids && i < ZT_ARRAY_SIZE(ids); i++) {
		struct bpf_map_info m = {0};
		uint32_t mlen = sizeof(m);
		ZT_CLOSE int mfd = bpf_map_get_fd_by_id(ids[i]);

		if (mfd < 0 || bpf_obj_get_info_by_fd(mfd, &m, &mlen) < 0)
			return -errno;
		for (size_t k = 0; k < ZT_ARRAY_SIZE(maps); k++)
			if (!strcmp(m.name, maps[k].name) && *place(s, k) < 0)
				*place(s, k) = ZT_TAKE_FD(mfd);
	}
	return 0;
}

static bool all_maps(struct stamp *s)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(maps); i++)
		if (*place(s, i) < 0)
			return false;
	return true;
}

/* -ENOENT: no stamp. -EUCLEAN: remains without a readable heart. Else l.missing tells links that are gone. */
static int open_live(const char *instance, struct stamp *s)
{
	struct bpf_link_info egress;
	uint32_t zero = 0;
	int r;

	stamp_init(s);
	r = folder(instance, false, s->l.dir);
	if (r < 0 || !zt_path_exists(s->l.dir))
		return r < 0 ? r : -ENOENT;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(links); i++) {
		struct bpf_link_info info;

		if (bpf_open_link(s->l.dir, links[i], &info) < 0 || !info.cgroup.cgroup_id ||
		    (s->l.cgroup && s->l.cgroup != info.cgroup.cgroup_id)) {
			s->l.missing++;
			continue;
		}
		s->l.cgroup = info.cgroup.cgroup_id;
		if (!all_maps(s))
			(void)find_maps(s, info.prog_id); /* what is lacking shows below */
	}
	s->l.followed = bpf_follow_pinned(s->l.dir);
	if (bpf_open_link(s->l.dir, EGRESS, &egress) == 0) {
		s->egress = egress.cgroup.cgroup_id && egress.cgroup.cgroup_id == s->l.cgroup;
		s->l.missing += !s->egress;
	}
	if (!all_maps(s) || bpf_map_lookup_elem(s->l.map[MAP_EPOCH], &zero, &s->l.epoch) < 0)
		return -EUCLEAN;
	return 0;
}

static int read_marks(const struct stamp *s, struct nft_marks **ret)
{
	ZT_FREE struct zt_bpf_config *cfg = NULL;
	ZT_FREE char *text = NULL;
	int r = bpf_read_config(&s->l, s->l.epoch & 1, &cfg);

	if (!r && (cfg->epoch != s->l.epoch || cfg->generation != ZT_MARK_LAYOUT))
		r = -EUCLEAN;
	r = r ?: bpf_read_meta(&s->l, s->l.epoch & 1, cfg->meta_len, &text) ?: nft_marks_parse(text, cfg->meta_len, ret);
	return r == -EINVAL ? -EUCLEAN : r;
}

static int damage(struct zt_diags *d, const char *what)
{
	(void)zt_diag(d, ZT_ERROR, 3111, NULL, "changed by someone else: %s of the labels",
		      what); /* the result says the same */
	return -EUCLEAN;
}

int nft_stamp_read(const char *instance, struct nft_marks **ret, struct zt_diags *d)
{
	ZT_CLEANUP(stamp_done) struct stamp s;
	ZT_CLEANUP(image_freep) struct zt_image *img = NULL;
	const char *what = "";
	int r = open_live(instance, &s);

	*ret = NULL;
	if (r < 0)
		return r == -EUCLEAN ? damage(d, "links and maps") : r;
	r = read_marks(&s, ret);
	if (r == -EUCLEAN)
		return damage(d, "the text");
	r = r ?: image_of(*ret, &img) ?: compare(&s, *ret, img, s.l.epoch & 1, &what);
	return r > 0									   ? damage(d, what)
	       : !r && (s.l.missing || bpf_follow_lost(&s.l) || s.egress != (*ret)->pairs) ? damage(d, "programs")
											   : r;
}

int nft_stamp_identify(const char *instance)
{
	ZT_CLEANUP(stamp_done) struct stamp s;
	int r = open_live(instance, &s);

	return r ?: s.l.missing ? -EUCLEAN : 0;
}

int nft_stamp_bells(const char *instance, struct zt_bells *ret)
{
	char dir[160];
	int r = folder(instance, false, dir);

	if (r < 0)
		return r;
	*ret = (struct zt_bells){.ring = -1};
	for (size_t i = 0; i <= ZT_ARRAY_SIZE(links); i++) {
		struct bpf_link_info info;

		if (bpf_open_link(dir, i < ZT_ARRAY_SIZE(links) ? links[i] : EGRESS, &info) == 0)
			ret->links[ret->n_links++] = info.id;
	}
	return ret->n_links ? 0 : -ENOENT;
}

bool nft_stamp_follows(const char *instance)
{
	ZT_CLEANUP(stamp_done) struct stamp s;

	return open_live(instance, &s) == 0 && s.l.followed;
}

/* ---- loading ---- */
static int take_maps(struct mark_bpf *obj, struct stamp *s)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(maps); i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(obj->obj, maps[i].name);
		int fd = m ? fcntl(bpf_map__fd(m), F_DUPFD_CLOEXEC, 3) : -1;

		if (fd < 0)
			return m ? -errno : -ENOENT;
		*place(s, i) = fd;
		/* The maps that a program does not use live with it as well: they are found, and held, through it. */
		if (bpf_prog_bind_map(bpf_program__fd(obj->progs.zt_m_setsockopt), fd, NULL) < 0)
			return -errno;
	}
	return 0;
}

static int load(struct mark_bpf **ret, struct stamp *s, struct zt_diags *d)
{
	struct mark_bpf *obj;
	int r = 0;

	stamp_init(s);
	obj = mark_bpf__open();
	if (!obj)
		return zt_diag_errno(d, 3110, -errno, "cannot open the programs of the labels");
	r = bpf_map__set_autocreate(obj->maps.flows, false) ?: bpf_map__set_autocreate(obj->maps.events, false);
	r = r ?: bpf_map__set_autocreate(obj->maps.record, false) ?: bpf_map__set_autocreate(obj->maps.names, false);
	r = r ?: bpf_map__set_autocreate(obj->maps.limit, false) ?: bpf_map__set_autocreate(obj->maps.reasons, false);
	r = r ?: mark_bpf__load(obj);
	if (r < 0)
		(void)zt_diag_errno(d, 3110, r, "the kernel refuses the programs of the labels");
	r = r ?: take_maps(obj, s);
	if (r < 0) {
		mark_bpf__destroy(obj);
		stamp_done(s);
		return r;
	}
	*ret = obj;
	return 0;
}

static char *why_not(void)
{
	ZT_FREE char *mount = NULL;
	struct zt_diags d = {0};
	struct mark_bpf *obj = NULL;
	char *why = NULL;
	struct stamp s;

	if (geteuid() != 0)
		return zt_strdup("only root may load programs into the kernel");
	if (zt_cgroup_mount(&mount) < 0)
		return zt_strdup("no cgroup2 file system is mounted");
	if (load(&obj, &s, &d) < 0) {
		why = zt_strdup(d.n ? d.items[0].message : "the kernel refuses the programs of the labels");
	} else {
		stamp_done(&s);
		mark_bpf__destroy(obj);
	}
	zt_diags_done(&d);
	return why;
}

int nft_stamp_probe(char **ret)
{
	*ret = why_not();
	return 0;
}

int nft_stamp_check(const struct nft_marks *m, struct zt_diags *d)
{
	ZT_CLEANUP(image_freep) struct zt_image *img = NULL;
	struct mark_bpf *obj = NULL;
	struct stamp s;
	int r = load(&obj, &s, d);

	if (r < 0)
		return r;
	r = image_of(m, &img) ?: fill_and_compare(&s, m, img, FIRST_EPOCH, d);
	stamp_done(&s);
	mark_bpf__destroy(obj);
	return r;
}

/* ---- sockets that exist ---- */
static int socket_of(const struct zt_mark_stale *at)
{
	ZT_CLOSE int pid = (int)syscall(SYS_pidfd_open, at->tgid, 0);
	int fd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pid, at->fd, 0);

	return fd < 0 ? -errno : fd;
}

/* 1: it has the mark now. 0: it is gone, or nobody guards its mark (made in a control group outside). */
static int mark_again(const struct zt_mark_stale *at)
{
	uint32_t value[2] = {at->mark, ZT_MARK_REFRESH}, now = at->mark;
	socklen_t len = sizeof(now);
	ZT_CLOSE int fd = socket_of(at);

	if (fd < 0)
		return fd == -ESRCH || fd == -EBADF ? 0 : fd;
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, value, sizeof(value)) < 0)
		return errno == ENOTSOCK || errno == ENOPROTOOPT ? 0 : -errno;
	return getsockopt(fd, SOL_SOCKET, SO_MARK, &now, &len) == 0 && now != at->mark;
}

static int read_stale(int link, struct zt_strbuf *out)
{
	ZT_CLOSE int fd = bpf_iter_create(link);
	char buf[4096];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		if (n > 0)
			zt_strbuf_add(out, buf, (size_t)n);
	return n < 0 ? -errno : zt_strbuf_error(out);
}

/* Until a round finds nothing that could be mended. */
static int mark_all(const char *dir, struct zt_diags *d)
{
	ZT_FREE char *path = zt_path_join(dir, ITERATOR);
	ZT_CLOSE int link = path ? bpf_obj_get(path) : -1;
	int r = link >= 0 ? 0 : path ? -errno : -ENOMEM, mended = 1, failed = 0;

	for (int round = 0; !r && mended && round < ROUNDS; round++) {
		ZT_STRBUF struct zt_strbuf stale = {0};

		r = read_stale(link, &stale);
		mended = failed = 0;
		for (size_t at = 0; !r && at + sizeof(struct zt_mark_stale) <= stale.len;
		     at += sizeof(struct zt_mark_stale)) {
			struct zt_mark_stale one;
			int done;

			memcpy(&one, stale.buf + at, sizeof(one));
			done = mark_again(&one);
			mended += done > 0;
			failed = done < 0 ? done : failed;
		}
	}
	if (!r && failed)
		(void)zt_diag(d, ZT_WARNING, 3110, NULL, "some sockets that exist cannot be labelled: %s",
			      strerror(-failed));
	return r < 0 ? zt_diag_errno(d, 3110, r, "cannot label the sockets that exist") : 0;
}

/* ---- attaching ---- */
/* The iterator shares the maps of the programs. */
static int pin_iterator(struct stamp *s, uint64_t cgroup, const char *dir)
{
	struct mark_iter_bpf *obj = mark_iter_bpf__open();
	struct bpf_link *link = NULL;
	struct bpf_map *m;
	int r = 0;

	if (!obj)
		return errno ? -errno : -EIO;
	obj->rodata->netns = bpf_netns_cookie();
	obj->rodata->cgroup = cgroup;
	bpf_object__for_each_map(m, obj->obj)
	{
		bool keep = bpf_map__is_internal(m);

		for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(maps); i++)
			if (!strcmp(bpf_map__name(m), maps[i].name)) {
				keep = true;
				r = bpf_map__reuse_fd(m, *place(s, i));
			}
		if (!keep)
			r = r ?: bpf_map__set_autocreate(m, false);
	}
	r = r ?: mark_iter_bpf__load(obj);
	if (!r) {
		link = bpf_program__attach_iter(obj->progs.zt_mark_all, NULL);
		r = link ? bpf_pin_link(link, dir, ITERATOR) : -errno;
	}
	bpf_link__destroy(link);
	mark_iter_bpf__destroy(obj);
	return r;
}

static uint64_t cgroup_id(void)
{
	uint64_t id = 0;
	unsigned level;

	return bpf_cgroup && zt_cgroup_lookup(NULL, bpf_cgroup, &id, &level) == 0 ? id : 0;
}

static int attach_link(struct mark_bpf *obj, int cgroup, const char *dir, const char *name)
{
	struct bpf_program *p = bpf_object__find_program_by_name(obj->obj, name);
	struct bpf_link *link = p ? bpf_program__attach_cgroup(p, cgroup) : NULL;
	int r = !p ? -ENOENT : !link ? -errno : bpf_pin_link(link, dir, name);

	bpf_link__destroy(link); /* pinned: goes on */
	return r ?: zt_fault_step("nft: a link of the labels is attached");
}

static int attach_links(struct mark_bpf *obj, struct stamp *s, int cgroup, const char *dir)
{
	int r = pin_iterator(s, cgroup_id(), dir) ?: bpf_follow_pin(&s->l, dir);

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(links); i++)
		r = attach_link(obj, cgroup, dir, links[i]);
	return r ?: s->egress ? attach_link(obj, cgroup, dir, EGRESS) : 0;
}

static int attach(struct mark_bpf *obj, struct stamp *s, struct zt_diags *d)
{
	ZT_FREE char *fresh = zt_asprintf("%s+new", s->l.dir);
	ZT_CLOSE int fd = bpf_open_cgroup(bpf_cgroup);
	int r = fd < 0 ? fd : fresh ? bpf_remove(fresh) : -ENOMEM;

	if (fd < 0)
		return zt_diag_errno(d, 3110, fd, "cannot open the control group");
	if (!r && mkdir(fresh, 0700) < 0)
		r = -errno;
	r = r ?: attach_links(obj, s, fd, fresh) ?: bpf_remove(s->l.dir);
	if (!r && rename(fresh, s->l.dir) < 0)
		r = -errno;
	if (r < 0 && fresh)
		(void)bpf_remove(fresh); /* the first error is what counts */
	return r < 0 ? zt_diag_errno(d, 3110, r, "cannot attach the programs of the labels") : 0;
}

/* ---- a change ---- */
struct nft_stamp {
	struct stamp s;
	bool first;	/* there was none before */
	bool fresh;	/* attached anew: live already */
	uint32_t epoch; /* to switch to */
};

static int guard(struct zt_diags *d)
{
	if (!getenv("ZT_TEST") || bpf_cgroup)
		return 0;
	(void)zt_diag(d, ZT_ERROR, 3110, NULL, "refusing the root control group while ZT_TEST is set");
	zt_diag_hint(d, "use --cgroup PATH with a control group made for the test");
	return -EPERM;
}

static int begin_fresh(const char *instance, const struct nft_marks *m, const struct zt_image *img,
		       struct nft_stamp *st, struct zt_diags *d)
{
	struct mark_bpf *obj = NULL;
	int r;

	stamp_done(&st->s);
	r = load(&obj, &st->s, d);
	if (r < 0)
		return r;
	st->fresh = true;
	st->epoch = FIRST_EPOCH;
	st->s.egress = m->pairs;
	r = folder(instance, true, st->s.l.dir);
	if (r < 0)
		(void)zt_diag_errno(
			d, 3110, r,
			r == -ENXIO ? "no bpf file system is mounted, and this mount namespace would not outlive us"
				    : "no bpf file system on /sys/fs/bpf");
	if (!r && img->n_paths)
		r = bpf_follow_attach(&st->s.l);
	r = r ?: fill_and_compare(&st->s, m, img, FIRST_EPOCH, d) ?: set_epoch(&st->s, FIRST_EPOCH);
	r = r ?: attach(obj, &st->s, d);
	mark_bpf__destroy(obj);
	/* Whatever the sockets carry from earlier lives ends before any rule looks at it. */
	return r ?: mark_all(st->s.l.dir, d);
}

static int begin_slot(const struct nft_marks *m, const struct zt_image *img, struct nft_stamp *st, struct zt_diags *d)
{
	struct zt_diags none = {0};
	int r = 0;

	st->epoch = bpf_next_epoch(&st->s.l);
	if (img->n_paths && !st->s.l.followed)
		r = bpf_follow_attach(&st->s.l) ?: bpf_follow_pin(&st->s.l, st->s.l.dir);
	r = r ?: fill_and_compare(&st->s, m, img, st->epoch, d) ?: zt_fault_step("nft: the labels' other slot is filled");
	r = r ?: mark_all(st->s.l.dir, &none); /* numbers them in the new slot; their marks stay those of the old one */
	zt_diags_done(&none);
	return r;
}

static bool another_cgroup(const struct stamp *s)
{
	return bpf_cgroup && cgroup_id() != s->l.cgroup;
}

int nft_stamp_begin(const char *instance, const struct nft_marks *m, struct nft_stamp **ret, struct zt_diags *d)
{
	ZT_CLEANUP(image_freep) struct zt_image *img = NULL;
	struct nft_stamp *st = NULL;
	const char *what;
	int r = guard(d) ?: image_of(m, &img), live;

	*ret = NULL;
	if (r < 0)
		return r;
	st = zt_new(struct nft_stamp, 1);
	if (!st)
		return -ENOMEM;
	live = open_live(instance, &st->s);
	st->first = live == -ENOENT;
	if (!live && !st->s.l.missing && !bpf_follow_lost(&st->s.l) && st->s.egress == m->pairs &&
	    !another_cgroup(&st->s)) {
		ZT_FREE struct zt_bpf_config *cfg = NULL;

		if (compare(&st->s, m, img, st->s.l.epoch & 1, &what) == 0) {
			stamp_done(&st->s);
			free(st);
			return 0;
		}
		live = bpf_read_config(&st->s.l, st->s.l.epoch & 1, &cfg); /* another layout is not built upon */
	} else {
		live = -EUCLEAN;
	}
	r = live ? begin_fresh(instance, m, img, st, d) : begin_slot(m, img, st, d);
	if (r < 0) {
		nft_stamp_abort(st);
		return d && d->errors ? r : zt_diag_errno(d, 3110, r, "cannot change the labels");
	}
	*ret = st;
	return 0;
}

static void stamp_free(struct nft_stamp *st)
{
	stamp_done(&st->s);
	free(st);
}

int nft_stamp_finish(struct nft_stamp *st, struct zt_diags *d)
{
	uint32_t old = st->epoch - 1;
	int r = st->fresh ? 0 : set_epoch(&st->s, st->epoch);

	if (r < 0)
		(void)zt_diag_errno(d, 3110, r, "cannot switch the labels");
	(void)zt_fault_step("nft: the labels are switched"); /* what follows the next commit does as well */
	r = r ?: mark_all(st->s.l.dir, d);
	if (!r && !st->fresh)
		(void)bpf_clear_slot(&st->s.l, old & 1); /* nobody looks at it */
	stamp_free(st);
	return r;
}

void nft_stamp_abort(struct nft_stamp *st)
{
	if (!st)
		return;
	if (st->fresh && st->first && st->s.l.dir[0])
		(void)bpf_remove(st->s.l.dir); /* what hurts is reported already */
	else if (!st->fresh && st->epoch)
		(void)bpf_clear_slot(&st->s.l, st->epoch & 1);
	stamp_free(st);
}

int nft_stamp_remove(const char *instance)
{
	char dir[160];
	ZT_FREE char *fresh = NULL;
	int r = folder(instance, false, dir), r2;

	if (r == -ENOENT)
		return 0;
	fresh = zt_asprintf("%s+new", dir);
	if (!fresh)
		return -ENOMEM;
	r = bpf_remove(dir);
	r2 = bpf_remove(fresh);
	return r ?: r2;
}
