/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "apply/state.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "identity/identity.h"

int zt_apply_guard(struct zt_diags *d)
{
	const char *test = getenv("ZT_TEST"), *allow = getenv("ZT_TEST_ALLOW_INITIAL_NETNS");

	if (!test || (allow && !strcmp(allow, "1")) || !zt_netns_is_initial())
		return 0;
	(void)zt_diag(d, ZT_ERROR, 4001, NULL, "refusing to touch the initial network namespace while ZT_TEST is set");
	zt_diag_hint(d, "use --netns NAME with a namespace made for the test");
	return -EPERM;
}

static void say(const struct zt_apply_ctx *c, const char *fmt, ...) ZT_PRINTF(2, 3);
static void say(const struct zt_apply_ctx *c, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	if (!c->say || c->quiet)
		return;
	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	c->say(c->say_arg, zt_strbuf_cstr(&b));
}

struct transaction {
	const struct zt_apply_ctx *c;
	const struct zt_apply_options *o;
	struct zt_ruleset *rs, *before;
	struct zt_image *img;
	struct zt_pending pending;
	struct zt_diags *d;
	const char *action;
	const char *source;
	size_t source_len;
	char *summary;
	char *memo;	       /* file in which the engine keeps its proof; NULL: none */
	bool active;	       /* something of ours was in the kernel */
	bool damaged;	       /* … that somebody changed */
	bool lacking;	       /* … that does not cover all that is there, such as a new device */
	bool written, audited; /* the generation, the line that announces it */
};

static void transaction_done(struct transaction *t)
{
	if (t->img)
		t->c->engine->image_free(t->img);
	zt_ruleset_free(t->before);
	free(t->summary);
	free(t->memo);
}

/* ---- what is there now ---- */
/* What is there seems to be what was asked for: raise will know it again. Where it cannot be lowered any more the transaction itself says why. */
static void expect_the_same(struct transaction *t, uint64_t generation)
{
	t->rs->generation = generation;
	(void)t->c->engine->lower(t->rs, &t->img, NULL);
}

static void expect_nothing(struct transaction *t)
{
	if (t->img)
		t->c->engine->image_free(t->img);
	t->img = NULL;
}

static int look(struct transaction *t)
{
	struct zt_diags quiet = {0};
	uint64_t generation;
	char hash[65];
	int r = t->c->engine->identify(t->c->instance, &generation, hash);

	t->active = r == 0 || r == -EUCLEAN;
	if (r == -ENOENT)
		return 0;
	if (!r && t->memo && t->c->engine->raise_memo &&
	    !t->c->engine->raise_memo(t->c->instance, t->memo, &t->before)) {
		zt_diags_done(&quiet);
		return 0;
	}
	if (!r && t->c->engine->recalls && !strcmp(hash, t->rs->hash))
		expect_the_same(t, generation);
	r = t->c->engine->raise(t->c->instance, &t->before, &quiet);
	expect_nothing(t);
	t->damaged = r == -EUCLEAN;
	t->lacking = !t->damaged && quiet.n;
	zt_diags_done(&quiet);
	return r == -EUCLEAN || r == -ENOENT ? 0 : r;
}

static bool unchanged(const struct transaction *t)
{
	uint64_t current = 0;
	bool flushed = false;

	return t->before && !t->damaged && zt_state_current(t->c, &current, &flushed) == 0 && !flushed &&
	       t->before->generation == current && !strcmp(t->before->hash, t->rs->hash);
}

static int summarise(struct transaction *t)
{
	ZT_CLEANUP(zt_diff_done) struct zt_diff diff = {0};
	size_t n[4] = {0};
	int r = zt_ruleset_diff(t->before, t->rs, &diff);

	if (r < 0)
		return r;
	for (size_t i = 0; i < diff.n; i++)
		n[diff.items[i].change]++;
	t->summary = zt_asprintf("%zu added, %zu removed, %zu changed, %zu moved%s%s", n[ZT_ADDED], n[ZT_REMOVED],
				 n[ZT_CHANGED], n[ZT_MOVED], diff.settings_changed && t->before ? "; " : "",
				 diff.settings_changed && t->before && diff.settings_text ? diff.settings_text : "");
	return t->summary ? 0 : -ENOMEM;
}

/* ---- before the swap ---- */
static int next_generation(struct transaction *t)
{
	ZT_FREE uint64_t *v = NULL;
	uint64_t current = 0;
	bool flushed;
	size_t n = 0;
	int r = zt_generations(t->c, &v, &n);

	assert(t->rs);
	if (r < 0)
		return r;
	(void)zt_state_current(t->c, &current, &flushed); /* none yet: 0 */
	if (t->before)
		current = ZT_MAX(current, t->before->generation);
	if (v && n)
		current = ZT_MAX(current, v[n - 1]);
	t->rs->generation = current + 1;
	return 0;
}

/* What is live is what the current generation's bytes load: they become the backup by a second name, where their digest holds. */
static int link_backup(struct transaction *t, const char *path)
{
	ZT_FREE char *image = zt_state_path(t->c, "generations/%llu/image", (unsigned long long)t->before->generation);
	ZT_FREE char *bytes = NULL;
	json_t *meta = NULL;
	size_t len = 0;
	int r = image ? zt_generation_meta(t->c, t->before->generation, &meta) : -ENOMEM;

	if (!r && strcmp(json_string_value(json_object_get(meta, "hash")) ?: "", t->before->hash) != 0)
		r = -ESTALE;
	if (!r && strcmp(json_string_value(json_object_get(meta, "engine")) ?: "", t->c->engine->name) != 0)
		r = -ESTALE;
	json_decref(meta);
	r = r ?: zt_generation_image(t->c, t->before->generation, &bytes, &len);
	if (!r && unlink(path) < 0 && errno != ENOENT)
		r = -errno;
	return r ?: link(image, path) < 0 ? -errno : zt_sync_folder_of(path);
}

static int no_backup(const char *path)
{
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* What is live is damaged or gone: the way back is the last confirmed generation, if this engine made it. */
static int backup_of_generation(struct transaction *t, const char *path)
{
	ZT_FREE char *bytes = NULL;
	json_t *meta = NULL;
	uint64_t current = 0;
	bool flushed = false, ours;
	size_t len = 0;
	int r = zt_state_current(t->c, &current, &flushed);

	if (r < 0 || flushed || zt_generation_meta(t->c, current, &meta) < 0)
		return no_backup(path);
	ours = !strcmp(json_string_value(json_object_get(meta, "engine")) ?: "", t->c->engine->name);
	json_decref(meta);
	if (!ours || zt_generation_image(t->c, current, &bytes, &len) < 0)
		return no_backup(path);
	t->pending.backup_of = current;
	return zt_file_write_atomic(path, bytes, len, 0600);
}

static int write_backup(struct transaction *t)
{
	ZT_FREE char *path = zt_state_path(t->c, "backup");
	ZT_STRBUF struct zt_strbuf text = {0};
	struct zt_image *img = NULL;
	int r = path ? 0 : -ENOMEM;

	if (r < 0 || !t->before)
		return r ?: backup_of_generation(t, path);
	t->pending.backup_of = t->before->generation;
	if (link_backup(t, path) == 0)
		return 0;
	r = t->c->engine->lower(t->before, &img, NULL);
	r = r ?: t->c->engine->image_text(img, &text);
	if (img)
		t->c->engine->image_free(img);
	return r ?: zt_file_write_atomic(path, text.buf, text.len, 0600);
}

/* A refresh is no new decision of anybody: what it keeps expires when it would have. */
static void when_decided(const struct transaction *t, struct zt_anchor *ret)
{
	uint64_t current = 0;
	bool flushed;

	if (strcmp(t->action, "refresh") != 0 || zt_state_current(t->c, &current, &flushed) < 0 ||
	    zt_generation_anchor(t->c, current, ret) < 0)
		zt_anchor_take(ret);
}

static int prepare(struct transaction *t)
{
	ZT_STRBUF struct zt_strbuf image = {0};
	struct zt_anchor anchor;
	int r = next_generation(t) ?: summarise(t);

	r = r ?: zt_fault_step("apply: lower");
	r = r ?: t->c->engine->lower(t->rs, &t->img, t->d);
	if (!r && t->memo && t->c->engine->use_memo)
		t->c->engine->use_memo(t->img, t->memo);
	r = r ?: t->c->engine->check(t->img, t->d);
	r = r ?: zt_fault_step("apply: checked");
	if (!r && !t->o->force)
		r = zt_safety_check(t->c, t->rs, t->d);
	if (r || t->o->dry_run)
		return r;
	when_decided(t, &anchor);
	r = t->c->engine->image_text(t->img, &image);
	r = r
		    ?: zt_generation_write(t->c, t->rs, image.buf, image.len, t->source, t->source_len, t->summary,
					   t->o->reason, &anchor);
	t->written = r == 0;
	r = r ?: zt_fault_step("apply: generation written");
	r = r ?: write_backup(t);
	r = r ?: zt_fault_step("apply: backup written");
	if (r < 0 && !(t->d && t->d->errors))
		(void)zt_diag_errno(t->d, 4012, r, "cannot prepare the way back in %s", t->c->state_dir);
	return r;
}

static int journal(struct transaction *t)
{
	int r;

	t->pending.generation = t->rs->generation;
	t->pending.pid = (int64_t)getpid();
	zt_boot_id(t->pending.boot_id);
	(void)zt_session(t->pending.session);							/* none: empty */
	(void)snprintf(t->pending.engine, sizeof(t->pending.engine), "%s", t->c->engine->name); /* names are shorter */
	r = zt_audit(t->c, t->action, t->rs->generation, t->rs->hash, t->summary, t->d);
	if (r < 0 && !t->o->force)
		return r;
	t->audited = r == 0;
	r = zt_fault_step("apply: audited");
	r = r ?: zt_pending_write(t->c, &t->pending);
	if (r < 0 && !(t->d && t->d->errors))
		(void)zt_diag_errno(t->d, 4012, r, "cannot write the journal in %s", t->c->state_dir);
	return r ?: zt_fault_step("apply: journal written");
}

/* ---- after it ---- */
static int verify(struct transaction *t)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *now = NULL;
	uint64_t generation = 0;
	char hash[65] = "";
	int r;

	if (t->rs->n_rules > ZT_VERIFY_FULL) {
		r = t->c->engine->identify(t->c->instance, &generation, hash);
	} else {
		r = t->c->engine->raise(t->c->instance, &now, t->d);
		generation = now ? now->generation : 0;
		memcpy(hash, now ? now->hash : "", now ? 65 : 1);
	}
	if (!r && generation == t->rs->generation && !strcmp(hash, t->rs->hash))
		return 0;
	(void)zt_diag(t->d, ZT_ERROR, 4013, NULL, "the kernel does not hold what was applied");
	zt_diag_hint(
		t->d,
		"another program changed it at the same time, or this is a bug; what was there before is put back");
	return -EIO;
}

static int finish(struct transaction *t)
{
	int r = zt_state_set_current(t->c, t->rs->generation, false);

	if (r < 0)
		return zt_diag_errno(t->d, 4012, r, "cannot record the new generation in %s", t->c->state_dir);
	/* From here on the new generation is what boots; the rest is tidying that the next command would do as well. */
	(void)zt_fault_step("apply: current written");
	(void)zt_pending_clear(t->c);
	(void)zt_generation_set_state(t->c, t->rs->generation, "confirmed");
	zt_generations_prune(t->c, t->rs->generation);
	return 0;
}

static int arm(struct transaction *t)
{
	int r;

	t->pending.deadline = zt_now_boottime() + t->o->confirm;
	r = zt_deadman_start(t->c, &t->pending);
	if (r < 0)
		(void)zt_diag_errno(t->d, 4014, r, "cannot start the process that rolls back");
	return r ?: zt_fault_step("apply: dead-man armed");
}

/* From now on the user has the whole time. */
static int wait_for_confirmation(struct transaction *t)
{
	int r;

	t->pending.deadline = zt_now_boottime() + t->o->confirm;
	r = zt_pending_write(t->c, &t->pending);
	return r < 0 ? zt_diag_errno(t->d, 4012, r, "cannot write the journal in %s", t->c->state_dir) : 0;
}

static int swap(struct transaction *t)
{
	bool changed = false;
	int r = t->o->confirm ? arm(t) : 0;

	r = r ?: t->c->engine->commit(t->img, &changed, t->d);
	r = r ?: zt_fault_step("apply: swapped");
	r = r ?: verify(t);
	r = r ?: zt_fault_step("apply: verified");
	return r ?: t->o->confirm ? r ?: wait_for_confirmation(t) : finish(t);
}

/* Nothing was swapped: nothing stays, on a full disk least of all. */
static void give_up(struct transaction *t)
{
	struct zt_diags quiet = {0};

	(void)zt_pending_clear(t->c); /* swept by the next command otherwise */
	if (t->written)
		(void)zt_generation_remove(t->c, t->rs->generation);
	if (t->audited)
		(void)zt_audit(t->c, "failed", t->rs->generation, t->rs->hash, "nothing was changed", &quiet);
	zt_diags_done(&quiet);
}

/* As verify(): what refresh compiled is there, and *ret_lacks whether the engine finds less than all of it fenced. */
static int still_sound(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, bool *ret_lacks)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *now = NULL;
	struct zt_diags findings = {0};
	int r = c->engine->raise(c->instance, &now, &findings);

	*ret_lacks = findings.n > 0;
	zt_diags_done(&findings);
	if (!r && (!now || strcmp(now->hash, rs->hash) != 0))
		r = -EUCLEAN;
	return r == -ENOENT ? -EUCLEAN : r;
}

/* The same rules; devices may have come. */
static int refresh_devices(const struct zt_apply_ctx *c, struct zt_ruleset *rs, uint64_t generation, bool *ret_changed,
			   struct zt_diags *d)
{
	struct zt_image *img = NULL;
	bool lacks = false;
	int r;

	assert(rs);
	rs->generation = generation;
	r = c->sound ? still_sound(c, rs, &lacks) : 0;
	if (r < 0 || (c->sound && !lacks && c->engine->finds_all && !rs->n_subjects))
		return r;
	r = c->engine->lower(rs, &img, d) ?: c->engine->commit(img, ret_changed, d);
	if (img)
		c->engine->image_free(img);
	return r;
}

static int run(struct transaction *t, struct zt_apply_result *ret)
{
	bool changed;
	int r = look(t);

	if (r < 0)
		return zt_diag_errno(t->d, 4015, r, "cannot read what is active now");
	if (t->c->sound && !strcmp(t->action, "refresh") && (!t->before || t->damaged))
		return -EUCLEAN;
	if (unchanged(t)) {
		*ret = (struct zt_apply_result){
			.outcome = ZT_APPLY_UNCHANGED, .generation = t->before->generation, .n_rules = t->rs->n_rules};
		if (!t->lacking || t->o->dry_run || !strcmp(t->action, "refresh")) /* which does it anyway, and tells */
			return 0;
		return refresh_devices(t->c, t->before, ret->generation, &changed, t->d);
	}
	r = prepare(t);
	if (!r && t->o->dry_run) {
		*ret = (struct zt_apply_result){.outcome = ZT_APPLY_UNCHANGED, .n_rules = t->rs->n_rules};
		return 0;
	}
	say(t->c, "Applying Default %s to OUTPUT chain...",
	    t->rs->settings.def[ZT_DIR_EGRESS] == ZT_DEFAULT_ALLOW ? "Allow" : "Deny");
	r = r ?: journal(t);
	if (r < 0) {
		give_up(t);
		return r;
	}
	r = swap(t);
	if (r < 0) {
		(void)zt_pending_rollback(t->c, &t->pending, "apply failed", t->d); /* the first error is what counts */
		return r;
	}
	*ret = (struct zt_apply_result){.outcome = t->o->confirm ? ZT_APPLY_PENDING : ZT_APPLY_APPLIED,
					.generation = t->rs->generation,
					.n_rules = t->rs->n_rules,
					.deadline = t->o->confirm ? zt_now() + t->o->confirm : 0};
	say(t->c, "Rules verified successfully");
	return 0;
}

/* The lock is held. */
static int apply_locked(const struct zt_apply_ctx *c, struct zt_ruleset *rs, const char *source, size_t source_len,
			const char *action, const struct zt_apply_options *o, struct zt_apply_result *ret,
			struct zt_diags *d)
{
	ZT_CLEANUP(transaction_done)
	struct transaction t = {.c = c,
				.o = o,
				.rs = rs,
				.d = d,
				.action = action,
				.source = source ? source : "",
				.source_len = source ? source_len : 0,
				.memo = zt_state_path(c, "memo")};
	int r = zt_pending_recover(c, d);

	if (r == -EBUSY) {
		(void)zt_diag(d, ZT_ERROR, 4003, NULL, "an applied policy waits for its confirmation");
		zt_diag_hint(d, "zt-segment confirm, or zt-segment rollback");
	}
	return r ?: run(&t, ret);
}

static int apply_as(const struct zt_apply_ctx *c, struct zt_ruleset *rs, const char *source, size_t source_len,
		    const char *action, const struct zt_apply_options *o, struct zt_apply_result *ret,
		    struct zt_diags *d)
{
	ZT_CLOSE int lock = -1;
	int r = zt_apply_guard(d);

	r = r ?: zt_state_prepare(c, d);
	r = r ?: zt_state_lock(c, o->lock_wait, &lock, d);
	return r ?: apply_locked(c, rs, source, source_len, action, o, ret, d);
}

int zt_apply(const struct zt_apply_ctx *c, struct zt_ruleset *rs, const char *source, size_t source_len,
	     const struct zt_apply_options *o, struct zt_apply_result *ret, struct zt_diags *d)
{
	return apply_as(c, rs, source, source_len, "apply", o, ret, d);
}

/* ---- confirm ---- */
static int refuse_same_session(const struct zt_pending *p, struct zt_diags *d)
{
	char session[128];

	if (!p->session[0] || !zt_session(session) || strcmp(session, p->session) != 0)
		return 0;
	(void)zt_diag(d, ZT_ERROR, 4004, NULL,
		      "this is the session that applied the policy: it may live by its old connection only");
	zt_diag_hint(d,
		     "log in anew and confirm from there, which proves that a new connection works; --force overrides");
	return -EACCES;
}

static int too_late(const struct zt_apply_ctx *c, const struct zt_pending *p, struct zt_diags *d)
{
	return zt_pending_rollback(c, p, "not confirmed in time", d) ?: -ETIME;
}

int zt_confirm(const struct zt_apply_ctx *c, bool force, uint64_t *ret_generation, struct zt_diags *d)
{
	struct zt_pending p;
	ZT_CLOSE int lock = -1;
	int r = zt_apply_guard(d);

	r = r ?: zt_state_prepare(c, d);
	r = r ?: zt_state_lock(c, 10 * ZT_USEC_PER_SEC, &lock, d);
	r = r ?: zt_pending_open(c, &p);
	if (r < 0)
		return r;
	if (!zt_pending_waits(c, &p))
		return too_late(c, &p, d);
	r = force ? 0 : refuse_same_session(&p, d);
	r = r ?: zt_audit(c, "confirm", p.generation, NULL, force ? "forced" : "", d);
	r = r ?: zt_fault_step("confirm: audited");
	r = r ?: zt_state_set_current(c, p.generation, false);
	if (r < 0)
		return d->errors ? r : zt_diag_errno(d, 4012, r, "cannot record the confirmation in %s", c->state_dir);
	*ret_generation = p.generation;
	/* What follows the next command would do as well. */
	(void)zt_fault_step("confirm: current written");
	(void)zt_pending_clear(c);
	(void)zt_generation_set_state(c, p.generation, "confirmed");
	zt_generations_prune(c, p.generation);
	return 0;
}

/* ---- rollback ---- */
static int previous_generation(const struct zt_apply_ctx *c, uint64_t *ret)
{
	ZT_FREE uint64_t *v = NULL;
	uint64_t current = 0;
	bool flushed = false;
	size_t n = 0;
	int r = zt_generations(c, &v, &n) ?: zt_state_current(c, &current, &flushed);

	if (r < 0)
		return r;
	for (size_t i = n; i-- > 0;) {
		json_t *meta = NULL;
		bool good;

		if (v[i] >= current && !(flushed && v[i] == current))
			continue;
		good = zt_generation_meta(c, v[i], &meta) == 0 &&
		       !strcmp(json_string_value(json_object_get(meta, "state")) ?: "", "confirmed");
		json_decref(meta);
		if (good) {
			*ret = v[i];
			return 0;
		}
	}
	return -ENOENT;
}

static int rollback_to(const struct zt_apply_ctx *c, uint64_t n, const struct zt_apply_options *o,
		       struct zt_apply_result *ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_FREE char *source = NULL, *reason = zt_asprintf("rollback to generation %llu", (unsigned long long)n);
	struct zt_apply_options with = *o;
	size_t len = 0;
	int r = zt_generation_load(c, n, &rs, &source, &len, d);

	if (r == -ENOENT)
		(void)zt_diag(d, ZT_ERROR, 4005, NULL, "there is no generation %llu; `zt-segment history` lists them",
			      (unsigned long long)n);
	with.reason = o->reason ? o->reason : reason;
	return r ?: apply_locked(c, rs, source, len, "rollback", &with, ret, d);
}

int zt_rollback(const struct zt_apply_ctx *c, uint64_t n, const struct zt_apply_options *o, struct zt_apply_result *ret,
		struct zt_diags *d)
{
	struct zt_pending p;
	ZT_CLOSE int lock = -1;
	int r = zt_apply_guard(d);

	r = r ?: zt_state_prepare(c, d);
	r = r ?: zt_state_lock(c, o->lock_wait, &lock, d);
	if (r < 0)
		return r;
	if (zt_pending_open(c, &p) == 0) {
		r = zt_pending_rollback(c, &p, "rolled back by command", d);
		*ret = (struct zt_apply_result){.outcome = ZT_APPLY_APPLIED, .generation = p.backup_of};
		if (r || !n)
			return r;
	}
	if (!n && previous_generation(c, &n) < 0) {
		(void)zt_diag(d, ZT_ERROR, 4005, NULL, "there is no earlier generation to go back to");
		return -ENOENT;
	}
	return rollback_to(c, n, o, ret, d);
}

/* ---- flush ---- */
int zt_flush(const struct zt_apply_ctx *c, struct zt_diags *d)
{
	struct zt_diags quiet = {0};
	ZT_CLOSE int lock = -1;
	uint64_t current = 0;
	bool flushed, state;
	int r = zt_apply_guard(d);

	if (r < 0)
		return r;
	/* A broken state folder must not keep the host closed. */
	state = zt_state_prepare(c, &quiet) == 0 && zt_state_lock(c, 5 * ZT_USEC_PER_SEC, &lock, &quiet) == 0;
	r = c->engine->flush(c->instance, d);
	r = r ?: zt_fault_step("flush: removed");
	if (!r && state) {
		(void)zt_pending_clear(c);
		(void)zt_state_current(c, &current, &flushed); /* none: 0 */
		if (current && zt_state_set_current(c, current, true) < 0)
			(void)zt_diag(d, ZT_WARNING, 4012, NULL,
				      "cannot record the flush: the policy would come back at boot");
		if (zt_audit(c, "flush", current, NULL, "", &quiet) < 0)
			(void)zt_diag(d, ZT_WARNING, 4020, NULL, "the flush could not be written to the audit log");
		zt_state_sweep(c);
	} else if (!r) {
		(void)zt_diag(d, ZT_WARNING, 4011, NULL,
			      "the state folder %s cannot be used: the flush is not recorded", c->state_dir);
	}
	zt_diags_done(&quiet);
	return r;
}

/* ---- refresh ---- */
/* What was looked up before is kept, but for what has changed by itself: groups, and time. */
static int refresh_kept(struct zt_ruleset *rs, zt_usec steady)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].expires && rs->rules[i].expires <= zt_expiry_clock(rs->rules[i].verdict, 0, steady))
			rs->rules[i].expires =
				ZT_USEC_PER_SEC; /* the kernel goes by a clock that may have been set back */
	for (size_t i = 0; i < rs->n_rules; i++)
		for (size_t k = 0; k < rs->rules[i].match.n_cgroups; k++) {
			struct zt_cgroup *cg = &rs->rules[i].match.cgroups[k];
			unsigned level;

			if (zt_cgroup_lookup(NULL, cg->path, &cg->id, &level) < 0)
				cg->id = 0;
		}
	return zt_ruleset_rehash(rs);
}

static int recompile(const struct zt_apply_ctx *c, const struct zt_ruleset *old, const char *source, size_t len,
		     zt_usec steady, struct zt_ruleset **ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges ssh = {0};
	struct zt_compile_options o = {.instance = c->instance,
				       .cgroup_root = c->cgroup_root,
				       .ssh_ports = &ssh,
				       .labels = c->engine->labels,
				       .at = zt_now(),
				       .steady = steady};
	int r = zt_policy_parse(
		old->policy_name, source, len,
		&(struct zt_policy_options){.allow_unsafe_file = true, .recorded = true, .cgroup_root = c->cgroup_root},
		&p, d);

	if (!r)
		r = zt_ssh_ports(NULL, &ssh);
	o.no_unix = !r && !zt_engine_sees_unix(c->engine, c->instance, p);
	return r ?: zt_ruleset_compile(p, &o, ret, d);
}

/* The lock is held. */
static int refresh_locked(const struct zt_apply_ctx *c, const char *reason, bool *ret_changed, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *old = NULL, *now = NULL;
	ZT_FREE char *source = NULL;
	struct zt_apply_options o = {.force = true, .reason = reason ? reason : "refresh"};
	struct zt_apply_result result = {0};
	uint64_t current = 0;
	bool flushed = false;
	zt_usec steady;
	size_t len = 0;
	int r = zt_state_current(c, &current, &flushed);

	if (r < 0 || flushed)
		return r ?: -ENOENT;
	steady = zt_expiry_now(c, current);
	r = zt_generation_load(c, current, &old, &source, &len, d);
	if (!r &&
	    recompile(c, old, source, len, steady, &now, d) < 0) { /* unknown names, or a record of an older version */
		r = zt_ruleset_dup(old, &now);
		r = r ?: refresh_kept(now, steady);
	}
	r = r ?: apply_locked(c, now, source, len, "refresh", &o, &result, d);
	if (r < 0)
		return r;
	*ret_changed = result.outcome == ZT_APPLY_APPLIED;
	return *ret_changed ? 0 : refresh_devices(c, now, result.generation, ret_changed, d);
}

int zt_refresh(const struct zt_apply_ctx *c, const char *reason, bool *ret_changed, struct zt_diags *d)
{
	ZT_CLOSE int lock = -1;
	int r = zt_apply_guard(d);

	*ret_changed = false;
	r = r ?: zt_state_prepare(c, d);
	r = r ?: zt_state_lock(c, 10 * ZT_USEC_PER_SEC, &lock, d);
	r = r ?: zt_pending_recover(c, d);
	if (r == -EBUSY && !d->errors) {
		(void)zt_diag(d, ZT_NOTE, 4003, NULL,
			      "an applied policy waits for its confirmation: nothing was refreshed");
		return 0;
	}
	return r ?: refresh_locked(c, reason, ret_changed, d);
}
