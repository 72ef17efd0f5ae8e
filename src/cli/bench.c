/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/bench.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

struct sample {
	double rate, p50, p99, ns;
};

struct run {
	const struct zt_bench_plan *plan;
	struct zt_bench_worker none, *workers; /* one a variant, then the second none */
	size_t n;
	struct sample *samples; /* [variant][load][round] */
	struct sample *base;	/* [load][round * variant] */
	size_t n_base[ZT_BENCH_N_LOADS];
};

static void say(const struct zt_bench_plan *p, const char *line)
{
	if (p->progress)
		p->progress(p->progress_arg, line);
}

static int start_all(struct run *run, struct zt_bench_result *results)
{
	const struct zt_bench_plan *p = run->plan;
	int r = zt_bench_worker_start(&run->none, p->path, ZT_BENCH_UID, NULL, NULL);

	for (size_t i = 0; i < run->n; i++)
		run->workers[i].fd = -1;
	for (size_t i = 0; !r && i < run->n; i++) {
		const struct zt_bench_variant *v = i < p->n_variants ? &p->variants[i] : NULL;
		struct zt_bench_variant arg = v ? *v : (struct zt_bench_variant){.name = "none again", .refuses = true};
		int e;

		arg.path = p->path;
		e = zt_bench_worker_start(&run->workers[i], p->path, ZT_BENCH_UID, arg.load, &arg);

		(void)snprintf(results[i].name, sizeof(results[i].name), "%s", arg.name); /* all names are short */
		results[i].rules = arg.rules;
		results[i].usable = e == 0;
		results[i].refuses = arg.refuses;
	}
	return r;
}

static struct sample *sample_at(struct run *run, size_t variant, size_t load, size_t round)
{
	return &run->samples[(variant * ZT_BENCH_N_LOADS + load) * ZT_BENCH_ROUNDS_MAX + round];
}

/* none, variant, none. */
static int measure(struct run *run, size_t variant, enum zt_bench_load load, size_t round)
{
	struct zt_bench_slice a, b, v;
	unsigned msec = run->plan->slice_msec;
	struct sample *s = sample_at(run, variant, load, round);
	int r = zt_bench_worker_slice(&run->none, load, msec, &a);

	if (!r)
		r = zt_bench_worker_slice(&run->workers[variant], load, msec, &v);
	if (!r)
		r = zt_bench_worker_slice(&run->none, load, msec, &b);
	if (r < 0)
		return r;
	*s = (struct sample){
		.rate = v.rate / ((a.rate + b.rate) / 2),
		.p50 = a.p50 + b.p50 > 0 ? v.p50 / ((a.p50 + b.p50) / 2) : 0,
		.p99 = a.p99 + b.p99 > 0 ? v.p99 / ((a.p99 + b.p99) / 2) : 0,
		/* Of the median operation: a rate holds whatever else the machine did in that slice. */
		.ns = (v.p50 - (a.p50 + b.p50) / 2) * 1e9,
	};
	run->base[load * ZT_BENCH_ROUNDS_MAX * (run->n + 1) + run->n_base[load]++] =
		(struct sample){.rate = (a.rate + b.rate) / 2, .p50 = (a.p50 + b.p50) / 2, .p99 = (a.p99 + b.p99) / 2};
	return 0;
}

static void shuffle(size_t *v, size_t n)
{
	for (size_t i = n; i-- > 1;) {
		uint32_t x = 0;
		size_t k, t;

		if (getrandom(&x, sizeof(x), 0) != sizeof(x))
			return;
		k = x % (i + 1);
		t = v[i];
		v[i] = v[k];
		v[k] = t;
	}
}

static int measure_all(struct run *run, const struct zt_bench_result *results)
{
	ZT_FREE size_t *order = zt_new(size_t, run->n);
	int r = order ? 0 : -ENOMEM;

	for (size_t round = 0; !r && round < run->plan->rounds; round++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "round %zu of %u", round + 1, run->plan->rounds);
		say(run->plan, line);
		for (size_t i = 0; i < run->n; i++)
			order[i] = i;
		shuffle(order, run->n);
		for (size_t i = 0; !r && i < run->n; i++)
			for (int load = 0; !r && load < ZT_BENCH_N_LOADS; load++)
				if (results[order[i]].usable && (load < ZT_BENCH_DENIED || results[order[i]].refuses))
					r = measure(run, order[i], (enum zt_bench_load)load, round);
	}
	return r;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const struct sample *s, size_t n, size_t offset)
{
	double *v = zt_new(double, n + 1), m;

	if (!v || !n) {
		free(v);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		memcpy(&v[i], (const char *)&s[i] + offset, sizeof(double));
	qsort(v, n, sizeof(*v), compare);
	m = v[n / 2];
	free(v);
	return m;
}

static void summarise(struct run *run, struct zt_bench_result *results, struct zt_bench_slice *base)
{
	size_t rounds = run->plan->rounds;

	for (size_t load = 0; load < ZT_BENCH_N_LOADS; load++) {
		const struct sample *b = &run->base[load * ZT_BENCH_ROUNDS_MAX * (run->n + 1)];

		base[load] =
			(struct zt_bench_slice){.rate = median(b, run->n_base[load], offsetof(struct sample, rate)),
						.p50 = median(b, run->n_base[load], offsetof(struct sample, p50)),
						.p99 = median(b, run->n_base[load], offsetof(struct sample, p99))};
		for (size_t i = 0; i < run->n; i++) {
			const struct sample *s = sample_at(run, i, load, 0);

			results[i].rate[load] = median(s, rounds, offsetof(struct sample, rate));
			results[i].p50[load] = median(s, rounds, offsetof(struct sample, p50));
			results[i].p99[load] = median(s, rounds, offsetof(struct sample, p99));
			results[i].ns[load] = median(s, rounds, offsetof(struct sample, ns));
		}
	}
}

int zt_bench_run(const struct zt_bench_plan *p, struct zt_bench_result *results,
		 struct zt_bench_slice base[ZT_BENCH_N_LOADS])
{
	struct run run = {.plan = p, .n = p->n_variants + 1};
	int r = p->rounds && p->rounds <= ZT_BENCH_ROUNDS_MAX ? 0 : -EINVAL;

	run.none.fd = -1;
	run.workers = zt_new(struct zt_bench_worker, run.n);
	run.samples = zt_new(struct sample, run.n * ZT_BENCH_N_LOADS * ZT_BENCH_ROUNDS_MAX);
	run.base = zt_new(struct sample, (run.n + 1) * ZT_BENCH_N_LOADS * ZT_BENCH_ROUNDS_MAX);
	if (!run.workers || !run.samples || !run.base)
		r = -ENOMEM;
	if (!r) {
		say(p, "loading the rulesets, each in a network namespace of its own");
		r = start_all(&run, results);
	}
	if (!r)
		r = measure_all(&run, results);
	if (!r)
		summarise(&run, results, base);
	for (size_t i = 0; run.workers && i < run.n; i++)
		zt_bench_worker_stop(&run.workers[i]);
	zt_bench_worker_stop(&run.none);
	free(run.workers);
	free(run.samples);
	free(run.base);
	return r;
}
