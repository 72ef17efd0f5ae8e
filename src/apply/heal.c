/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "apply/state.h"
#include "base/mem.h"

static const struct zt_engine *engine_of_generation(const struct zt_apply_ctx *c, uint64_t n)
{
	const struct zt_engine *e = NULL;
	json_t *meta = NULL;

	if (n && zt_generation_meta(c, n, &meta) == 0)
		e = zt_engine_by_name(json_string_value(json_object_get(meta, "engine")) ?: "");
	json_decref(meta);
	return e;
}

/* When the newest generation got its state: confirmed, rolled back, … */
static zt_usec settled(const struct zt_apply_ctx *c)
{
	ZT_FREE uint64_t *v = NULL;
	ZT_FREE char *meta = NULL;
	struct stat st;
	size_t n = 0;

	if (zt_generations(c, &v, &n) < 0 || !n)
		return 0;
	meta = zt_state_path(c, "generations/%llu/meta.json", (unsigned long long)v[n - 1]);
	if (!meta || stat(meta, &st) < 0)
		return 0;
	return (zt_usec)st.st_mtim.tv_sec * ZT_USEC_PER_SEC + (zt_usec)st.st_mtim.tv_nsec / 1000;
}

int zt_in_force(const struct zt_apply_ctx *c, struct zt_in_force *ret)
{
	struct zt_in_force f = {0};
	const struct zt_engine *made_by;
	struct zt_pending p;
	bool flushed = false;
	int r;

	f.meant = zt_state_current(c, &f.current, &flushed) == 0 && !flushed;
	f.pending = zt_pending_read(c, &p) == 0;
	made_by = engine_of_generation(c, f.current);
	f.settled = settled(c);
	f.engine = c->engine ? c->engine : zt_engine_active(c->instance, NULL);
	if (!f.engine)
		f.engine = made_by ? made_by : zt_engine_by_name("auto");
	if (!f.engine)
		return -ENODEV;
	r = f.engine->identify(c->instance, &f.generation, f.hash);
	f.damaged = r == -EUCLEAN;
	f.active = !r || f.damaged;
	*ret = f;
	return r == -ENOENT || f.damaged ? 0 : r;
}

/* Nothing but what the stored generation says, with its number: no new one is made for it. */
static int put_back(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, struct zt_diags *d)
{
	struct zt_image *img = NULL;
	bool changed;
	int r = c->engine->lower(rs, &img, d);

	r = r ?: c->engine->commit(img, &changed, d);
	if (img)
		c->engine->image_free(img);
	return r;
}

static bool holds(const struct zt_apply_ctx *c, const struct zt_ruleset *rs)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *now = NULL;

	return c->engine->raise(c->instance, &now, NULL) == 0 && !strcmp(now->hash, rs->hash);
}

static int repair(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, const char *culprit, struct zt_diags *d)
{
	ZT_FREE char *image = NULL,
		     *detail = zt_asprintf("changed by %s", culprit && *culprit ? culprit : "an unknown program");
	struct zt_diags quiet = {0};
	size_t len = 0;
	int r = put_back(c, rs, &quiet);

	zt_diags_done(&quiet);
	if (r < 0 || !holds(c, rs)) { /* what is there cannot be mended in small steps: the whole in its place */
		r = zt_generation_image(c, rs->generation, &image, &len);
		r = r ?: c->engine->load_text(c->instance, image, len, d);
		if (!r && !holds(c, rs))
			r = -EIO;
	}
	if (r < 0)
		return zt_diag_errno(d, 4050, r, "generation %llu cannot be put back",
				     (unsigned long long)rs->generation);
	return zt_audit(c, "heal", rs->generation, rs->hash, detail ? detail : "", d);
}

char *zt_culprit_name(const struct zt_culprit *by)
{
	return zt_asprintf("%s (pid %u)", by->program, by->pid);
}

int zt_heal_undone(const struct zt_apply_ctx *c, const struct zt_culprit *by, struct zt_drift *x, struct zt_diags *d)
{
	ZT_FREE char *name = zt_culprit_name(by), *detail = name ? zt_asprintf("changed by %s", name) : NULL;

	if (!detail || !x->actual)
		return -ENOMEM;
	x->drifted = true;
	free(x->culprit);
	x->culprit = ZT_TAKE(name);
	return zt_audit(c, "heal", x->actual->generation, x->actual->hash, detail, d);
}

/* Whoever held the lock may have taken another engine meanwhile. */
static const struct zt_engine *engine_now(const struct zt_apply_ctx *c)
{
	const struct zt_engine *other = NULL;
	uint64_t generation;
	char hash[65];

	if (c->engine->identify(c->instance, &generation, hash) == -ENOENT)
		other = zt_engine_active(c->instance, c->engine);
	return other ? other : c->engine;
}

#define TOLD_MSEC 20 /* the kernel first makes a change, then tells of it */

static int on_change(void *arg, uint32_t pid, const char *program, uint32_t gen)
{
	struct zt_culprit *by = arg;

	(void)gen;
	by->pid = pid;
	(void)snprintf(by->program, sizeof(by->program), "%s", program); /* the last one counts */
	return 0;
}

static const struct zt_culprit *ask(struct zt_watch *w, struct zt_culprit *found)
{
	struct pollfd p = {.fd = w ? zt_watch_fd(w) : -1, .events = POLLIN};

	if (w && zt_watch_read(w, on_change, found) == 0 && !found->program[0] && poll(&p, 1, TOLD_MSEC) > 0)
		(void)zt_watch_read(w, on_change, found); /* nobody is named then */
	return found;
}

int zt_heal(const struct zt_apply_ctx *ctx, const struct zt_culprit *by, struct zt_watch *w, bool mend,
	    struct zt_drift *ret, bool *ret_healed, struct zt_diags *d)
{
	ZT_CLEANUP(zt_drift_done) struct zt_drift x = {0};
	struct zt_apply_ctx now = *ctx, *c = &now;
	struct zt_culprit found = {0};
	ZT_CLOSE int lock = -1;
	bool waits;
	int r = zt_apply_guard(d);

	*ret_healed = false;
	r = r ?: zt_state_prepare(c, d);
	r = r ?: zt_state_lock(c, 10 * ZT_USEC_PER_SEC, &lock, d);
	r = r
		    ?: zt_pending_recover(
			       c, d); /* what waits for its confirmation and is gone from the kernel is rolled back */
	waits = r == -EBUSY && !d->errors;
	r = waits ? 0 : r;
	now.engine = engine_now(ctx);
	r = r ?: zt_drift_check(c, &x, d);
	if (r < 0)
		return r;
	if (x.drifted && (!by || !by->program[0]))
		by = ask(w, &found);
	if (x.drifted && by && by->program[0]) {
		free(x.culprit);
		x.culprit = zt_culprit_name(by);
	}
	if (x.drifted && mend && x.expected && !waits) {
		r = repair(c, x.expected, x.culprit, d);
		*ret_healed = !r;
	}
	if (x.drifted && by && by->program[0]) /* last: a disk that does not answer keeps no rules away */
		(void)zt_culprit_write(c, by->pid, by->program); /* `drift` names nobody then */
	*ret = x;
	x = (struct zt_drift){0};
	return r;
}
