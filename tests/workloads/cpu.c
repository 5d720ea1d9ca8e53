/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State of the processor: extended registers and restartable sequences. */
#include "tests/workloads/cpu.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

/* ---- fpu: one thread spins in user space with its registers full, one holds them in a system call
 * ---- */

struct holder {
	bool blocking;
	struct fpu_state *want, *got;
	_Atomic uint32_t leave, rounds;
	_Atomic int verdict;
	char why[200];
};

static struct holder holders[2] = { { .blocking = false }, { .blocking = true } };

static void *holder_run(void *arg)
{
	struct holder *h = arg;

	for (;;) {
		fpu_state_choose(h->want, h->rounds * 2 + h->blocking + 1);
		fpu_hold(h->want, h->got, &h->leave, h->blocking);
		reason_clear();
		if (fpu_compare(h->want, h->got) != WL_OK) {
			h->verdict = WL_FAIL;
			snprintf(h->why, sizeof(h->why), "%s: %s",
				 h->blocking ? "in a system call" : "in user space", reason());
		}
		h->leave = 0;
		h->rounds++;
	}
	return NULL;
}

int fpu_setup(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(holders); i++) {
		pthread_t thread;

		holders[i].want = fpu_state_new();
		holders[i].got = fpu_state_new();
		if (!holders[i].want || !holders[i].got)
			return skip("the registers of this architecture are not known here");
		if (pthread_create(&thread, NULL, holder_run, &holders[i]) != 0)
			return fail("starting a thread");
	}
	return fpu_verify();
}

static bool left(void *arg)
{
	struct holder *h = arg;

	return !h->leave;
}

int fpu_verify(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(holders); i++) {
		struct holder *h = &holders[i];

		h->leave = 1;
		futex_wake(&h->leave);
		if (!wait_until(left, h, 20000))
			return fail("the thread that holds registers %s does not come back",
				    h->blocking ? "in a system call" : "in user space");
		if (h->verdict != WL_OK)
			return fail("%s", h->why);
	}
	return WL_OK;
}

/* ---- rseq: threads in restartable sequences, and the registration of each ---- */

#define RSEQ_THREADS 2

struct rseq_thread {
	_Atomic uint32_t stayed, aborted, moved;
};

static struct {
	cpu_set_t cpus;
	struct rseq_thread threads[RSEQ_THREADS];
	struct rseq *first;
} rseq;

static struct rseq *own_rseq(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static void *rseq_run(void *arg)
{
	const struct timespec pause = { 0, 100000 }; /* half of the time is spent inside */
	struct rseq_thread *t = arg;

	for (;;) {
		int r = rseq_stay(own_rseq());

		t->stayed += r > 0;
		t->aborted += r == 0;
		t->moved += r < 0;
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/*
 * On each processor in turn the kernel must write its number into the area. A thread whose
 * registration was lost goes on seeing the old number.
 */
static int check_follows_cpu(void)
{
	int r = WL_OK;

	for (int cpu = 0; cpu < CPU_SETSIZE && r == WL_OK; cpu++) {
		cpu_set_t one;

		if (!CPU_ISSET(cpu, &rseq.cpus))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) < 0)
			continue;
		if (own_rseq()->cpu_id != (uint32_t)cpu)
			r = fail("on processor %d the rseq area says %d", cpu,
				 (int)own_rseq()->cpu_id);
	}
	sched_setaffinity(0, sizeof(rseq.cpus), &rseq.cpus);
	return r;
}

/* Registering a second time at the same place is refused with EBUSY if and only if the first still
 * is. */
static int check_registered(void)
{
	/* Of the size the C library has used: 32 before the kernel grew it. */
	if (syscall(SYS_rseq, own_rseq(), 32, 0, RSEQ_SIG) == 0)
		return fail("the rseq area was not registered any more");
	if (errno != EBUSY)
		return fail_errno("rseq");
	return WL_OK;
}

static int rseq_setup(void)
{
	if (__rseq_size == 0)
		return skip("the C library has registered no rseq area (GLIBC_TUNABLES or kernel)");
	if (sched_getaffinity(0, sizeof(rseq.cpus), &rseq.cpus) < 0)
		return fail_errno("sched_getaffinity");
	rseq.first = own_rseq();
	for (int i = 0; i < RSEQ_THREADS; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, rseq_run, &rseq.threads[i]) != 0)
			return fail("starting a thread");
	}
	return WL_OK;
}

static bool rseq_progress(void *arg)
{
	const struct rseq_thread *before = arg;

	for (int i = 0; i < RSEQ_THREADS; i++)
		if (rseq.threads[i].stayed < before[i].stayed + 5)
			return false;
	return true;
}

static int rseq_verify(void)
{
	struct rseq_thread before[RSEQ_THREADS];

	if (own_rseq() != rseq.first)
		return fail("the rseq area moved");
	for (int i = 0; i < RSEQ_THREADS; i++)
		before[i].stayed = rseq.threads[i].stayed;
	if (!wait_until(rseq_progress, before, 20000))
		return fail("a restartable sequence never comes to its end");
	for (int i = 0; i < RSEQ_THREADS; i++)
		if (rseq.threads[i].moved)
			return fail("a sequence went on after a change of processor");
	if (check_registered() != WL_OK)
		return WL_FAIL;
	return check_follows_cpu();
}

const struct workload cpu_workloads[] = {
	{ "fpu", "vector, x87, control and protection-key registers", NULL, fpu_setup, fpu_verify },
	{ "rseq", "restartable sequences and their registration", NULL, rseq_setup, rseq_verify },
	{ 0 },
};
