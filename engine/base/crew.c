/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/base/crew.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

enum { THREADS_MAX = 8 };

struct crew {
	size_t n, next;
	int (*work)(void *arg, size_t i, struct err *err);
	void *arg;
	int failed; /* the first to fail has filled err */
	struct err *err;
	pthread_mutex_t lock;
};

static void *member(void *arg)
{
	struct crew *c = arg;
	struct err err = ERR_INIT;
	int r = 0;

	while (r >= 0 && !__atomic_load_n(&c->failed, __ATOMIC_RELAXED)) {
		size_t i = __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED);

		if (i >= c->n)
			break;
		r = c->work(c->arg, i, &err);
	}
	if (r < 0) {
		pthread_mutex_lock(&c->lock);
		if (!c->failed)
			*c->err = err;
		__atomic_store_n(&c->failed, r, __ATOMIC_RELAXED);
		pthread_mutex_unlock(&c->lock);
	}
	return NULL;
}

static size_t useful(size_t n, size_t worth)
{
	size_t processors = 1;
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		processors = (size_t)CPU_COUNT(&cpus);
	if (processors > THREADS_MAX)
		processors = THREADS_MAX;
	return n / worth < processors ? n / worth : processors;
}

int crew_run(size_t n, size_t worth, int (*work)(void *arg, size_t i, struct err *err), void *arg,
	     struct err *err)
{
	struct crew c = { .n = n, .work = work, .arg = arg, .err = err };
	size_t want = useful(n, worth), others = 0, i;
	pthread_t threads[THREADS_MAX];
	sigset_t all, old;

	pthread_mutex_init(&c.lock, NULL);
	if (want > 1) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		while (others + 1 < want && pthread_create(&threads[others], NULL, member, &c) == 0)
			others++;
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	member(&c);
	for (i = 0; i < others; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&c.lock);
	return c.failed;
}
