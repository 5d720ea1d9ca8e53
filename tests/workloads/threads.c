/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads, each with its own data, mask, name and signal stack, that pass a token in a ring under a
 * mutex and a condition variable. The holder sleeps a little, so at any moment one thread is in
 * nanosleep(2) and the others are in futex(2).
 */
#include "tests/workloads/threads.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

#define TLS_WORDS 64

static __thread uint64_t tls_words[TLS_WORDS];
static __thread uint64_t tls_initialized = 0xabcdef;

/* What a thread has been given and finds again. */
struct ring_thread {
	pthread_t thread;
	unsigned int index;
	pid_t tid;
	uint64_t turns;
	void *key_value;
	void *robust_list, *clear_tid;
	sigset_t mask;
	unsigned char *sigstack;
	unsigned int checked; /* the last check request it has served */
	int verdict;
	char why[200];
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t turn_changed;
	pthread_key_t key;
	unsigned int n, turn, check;
	bool started;
	struct ring_thread *v;
} ring = { .lock = PTHREAD_MUTEX_INITIALIZER, .turn_changed = PTHREAD_COND_INITIALIZER };

static void thread_name(const struct ring_thread *t, char *name, size_t size)
{
	snprintf(name, size, "ring-%u", t->index);
}

static int read_pointers(void **robust, void **clear_tid)
{
	size_t len;

	if (syscall(SYS_get_robust_list, 0, robust, &len) < 0)
		return fail_errno("get_robust_list");
	/* Only kernels built for checkpointing tell where the thread's id is cleared. */
	if (prctl(PR_GET_TID_ADDRESS, clear_tid) < 0)
		*clear_tid = NULL;
	return WL_OK;
}

static int own_mask(const struct ring_thread *t, sigset_t *set)
{
	if (pthread_sigmask(SIG_BLOCK, NULL, set) != 0)
		return fail("pthread_sigmask");
	sigaddset(set, SIGRTMIN + 8 + (int)t->index % 20);
	return WL_OK;
}

/* Everything of a thread that is not its turn, set by the thread itself. */
static int ring_thread_init(struct ring_thread *t)
{
	stack_t stack = { .ss_size = 16384 };
	char name[16];

	t->tid = gettid();
	for (uint64_t i = 0; i < TLS_WORDS; i++)
		tls_words[i] = pattern_word(t->index, i);
	tls_initialized += t->index;
	t->key_value = &t->turns;
	pthread_setspecific(ring.key, t->key_value);
	thread_name(t, name, sizeof(name));
	prctl(PR_SET_NAME, name);
	t->sigstack = malloc(stack.ss_size);
	stack.ss_sp = t->sigstack;
	if (!t->sigstack || sigaltstack(&stack, NULL) < 0)
		return fail_errno("sigaltstack");
	if (own_mask(t, &t->mask) != WL_OK || pthread_sigmask(SIG_SETMASK, &t->mask, NULL) != 0)
		return fail("pthread_sigmask");
	return read_pointers(&t->robust_list, &t->clear_tid);
}

static int check_thread_locals(const struct ring_thread *t)
{
	for (uint64_t i = 0; i < TLS_WORDS; i++)
		if (tls_words[i] != pattern_word(t->index, i))
			return fail("thread %u: __thread word %llu changed", t->index,
				    (unsigned long long)i);
	if (tls_initialized != 0xabcdef + t->index)
		return fail("thread %u: initialized __thread word changed", t->index);
	if (pthread_getspecific(ring.key) != t->key_value)
		return fail("thread %u: value of its pthread key changed", t->index);
	return WL_OK;
}

/* Compares 64 signals; the C library's sigset_t is larger and its rest is not defined. */
static bool same_mask(const sigset_t *a, const sigset_t *b)
{
	for (int sig = 1; sig <= 64; sig++)
		if (sigismember(a, sig) != sigismember(b, sig))
			return false;
	return true;
}

static int check_thread_kernel(const struct ring_thread *t)
{
	char name[16], want[16];
	void *robust, *clear_tid;
	stack_t stack;
	sigset_t mask;

	thread_name(t, want, sizeof(want));
	prctl(PR_GET_NAME, name);
	if (strcmp(name, want))
		return fail("thread %u: its name is '%s'", t->index, name);
	if (syscall(SYS_gettid) != t->tid)
		return fail("thread %u: tid is %ld, was %d", t->index, syscall(SYS_gettid), t->tid);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	if (!same_mask(&mask, &t->mask))
		return fail("thread %u: its signal mask changed", t->index);
	sigaltstack(NULL, &stack);
	if (stack.ss_sp != t->sigstack || stack.ss_size != 16384 || stack.ss_flags)
		return fail("thread %u: its signal stack changed", t->index);
	if (read_pointers(&robust, &clear_tid) != WL_OK)
		return WL_FAIL;
	if (robust != t->robust_list)
		return fail("thread %u: its robust list moved", t->index);
	if (clear_tid != t->clear_tid)
		return fail("thread %u: its clear_child_tid moved", t->index);
	return WL_OK;
}

/* Called with the lock held, by the thread whose turn it is. */
static void ring_take_turn(struct ring_thread *t)
{
	t->turns++;
	if (t->checked != ring.check) {
		reason_clear();
		t->verdict = check_thread_locals(t);
		if (t->verdict == WL_OK)
			t->verdict = check_thread_kernel(t);
		if (t->verdict != WL_OK)
			snprintf(t->why, sizeof(t->why), "%s", reason());
		t->checked = ring.check;
	}
	ring.turn = (ring.turn + 1) % ring.n;
}

static void *ring_run(void *arg)
{
	const struct timespec pace = { 0, 2000000 };
	struct ring_thread *t = arg;
	int r = ring_thread_init(t);

	pthread_mutex_lock(&ring.lock);
	if (r != WL_OK) {
		t->verdict = r;
		snprintf(t->why, sizeof(t->why), "%s", reason());
	}
	for (;;) {
		while (ring.turn != t->index || !ring.started)
			pthread_cond_wait(&ring.turn_changed, &ring.lock);
		ring_take_turn(t);
		pthread_cond_broadcast(&ring.turn_changed);
		pthread_mutex_unlock(&ring.lock);
		nanosleep(&pace, NULL);
		pthread_mutex_lock(&ring.lock);
	}
	return NULL;
}

int ring_setup(unsigned int n)
{
	pthread_attr_t attr;
	int r;

	ring.n = n;
	ring.v = calloc(n, sizeof(*ring.v));
	if (!ring.v || pthread_key_create(&ring.key, NULL) != 0)
		return fail("out of memory");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	for (unsigned int i = 0; i < n; i++) {
		ring.v[i].index = i;
		r = pthread_create(&ring.v[i].thread, &attr, ring_run, &ring.v[i]);
		if (r != 0)
			return fail("thread %u: %s", i, strerrordesc_np(r));
	}
	pthread_mutex_lock(&ring.lock);
	ring.started = true;
	pthread_cond_broadcast(&ring.turn_changed);
	pthread_mutex_unlock(&ring.lock);
	/* Once round: now every thread is as it will be. */
	return ring_verify();
}

static bool ring_checked(void *arg)
{
	bool all = true;

	pthread_mutex_lock(&ring.lock);
	for (unsigned int i = 0; i < ring.n; i++)
		all = all && ring.v[i].checked == ring.check;
	pthread_mutex_unlock(&ring.lock);
	return all;
}

/* The token visits one thread after the other, so no thread can be two turns ahead of another. */
static int check_turns(void)
{
	for (unsigned int i = 0; i < ring.n; i++) {
		uint64_t want = ring.v[0].turns - (i >= ring.turn && ring.turn > 0);

		if (ring.v[i].turns != want)
			return fail("thread %u: %llu turns, not %llu", i,
				    (unsigned long long)ring.v[i].turns, (unsigned long long)want);
	}
	return WL_OK;
}

int ring_verify(void)
{
	int r;

	pthread_mutex_lock(&ring.lock);
	ring.check++;
	pthread_mutex_unlock(&ring.lock);
	if (!wait_until(ring_checked, NULL, 30000))
		return fail("the threads make no progress: the turn is at %u of %u", ring.turn,
			    ring.n);
	pthread_mutex_lock(&ring.lock);
	r = check_turns();
	for (unsigned int i = 0; i < ring.n && r == WL_OK; i++)
		if (ring.v[i].verdict != WL_OK)
			r = fail("%s", ring.v[i].why);
	pthread_mutex_unlock(&ring.lock);
	return r;
}

/* ---- threads: the ring, and one thread that ends and is joined at every verification ---- */

static struct workload_param thread_params[] = {
	{ "n", 8, "number of threads" },
	{ 0 },
};

static struct {
	pthread_t thread;
	_Atomic uint32_t leave;
} spare;

static void *spare_run(void *arg)
{
	while (!spare.leave)
		futex_wait(&spare.leave, 0);
	return (void *)0x5ba1e;
}

int spare_setup(void)
{
	spare.leave = 0;
	return pthread_create(&spare.thread, NULL, spare_run, NULL) ? fail("pthread_create")
								    : WL_OK;
}

/* pthread_join() works only if the kernel still knows which word to clear when the thread ends. */
int spare_verify(void)
{
	struct timespec end;
	void *value;
	int r;

	spare.leave = 1;
	futex_wake(&spare.leave);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 20;
	r = pthread_timedjoin_np(spare.thread, &value, &end);
	if (r != 0)
		return fail("joining a thread: %s", strerrordesc_np(r));
	if (value != (void *)0x5ba1e)
		return fail("a thread returned %p", value);
	return spare_setup();
}

static int threads_setup(void)
{
	int r = ring_setup((unsigned int)param("n", 8));

	return r == WL_OK ? spare_setup() : r;
}

static int threads_verify(void)
{
	int r = ring_verify();

	return r == WL_OK ? spare_verify() : r;
}

/* ---- tls: thread-local data of the first thread and of one other ---- */

static struct {
	struct station *station;
	pthread_t thread;
	uint64_t *main_at;
} tls;

static int tls_check(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;

	for (uint64_t i = 0; i < TLS_WORDS; i++)
		if (tls_words[i] != pattern_word(seed, i))
			return fail("__thread word %llu changed", (unsigned long long)i);
	if (tls_initialized != 0xabcdef + seed)
		return fail("initialized __thread word changed");
	errno = 0;
	return WL_OK;
}

static void tls_fill(uint64_t seed)
{
	for (uint64_t i = 0; i < TLS_WORDS; i++)
		tls_words[i] = pattern_word(seed, i);
	tls_initialized = 0xabcdef + seed;
}

static void *tls_run(void *arg)
{
	tls_fill(77);
	station_serve(tls.station, tls_check, (void *)77);
}

static int tls_setup(void)
{
	tls_fill(55);
	tls.main_at = tls_words;
	tls.station = stations_new(1);
	if (!tls.station || pthread_create(&tls.thread, NULL, tls_run, NULL) != 0)
		return fail("starting a thread");
	return station_ask(tls.station, "second thread");
}

static int tls_verify(void)
{
	if (tls_words != tls.main_at)
		return fail("__thread data of the first thread moved");
	if (tls_check((void *)55) != WL_OK)
		return WL_FAIL;
	return station_ask(tls.station, "second thread");
}

const struct workload thread_workloads[] = {
	{ "threads", "threads that pass a token; each has its own data, mask, name, signal stack",
	  thread_params, threads_setup, threads_verify },
	{ "tls", "thread-local data", NULL, tls_setup, tls_verify },
	{ 0 },
};
