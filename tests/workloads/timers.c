/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interval and POSIX timers. The time left may stand still while the task is saved, but it may
 * never grow and never shrink by more than what has gone by.
 */
#include "tests/workloads/timers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The time left, as it was when it was looked at last. */
struct left {
	double left, at;
};

/* slack: seconds. For processor-time clocks every thread counts, so they may run faster: speed. */
static int check_left(struct left *last, double left, double speed, const char *what)
{
	double now = now_s(CLOCK_BOOTTIME), gone = now > last->at ? now - last->at : 0;

	if (left > last->left + 0.05)
		return fail("%s: %.3f s left, was %.3f s", what, left, last->left);
	if (left < last->left - gone * speed - 0.5)
		return fail("%s: %.3f s left, was %.3f s only %.3f s before", what, left,
			    last->left, gone);
	*last = (struct left){ left, now };
	return WL_OK;
}

/* ---- itimers ---- */

static struct {
	int which;
	const char *name;
	struct itimerval set;
	double speed;
	struct left last;
} itimers[] = {
	{ ITIMER_REAL, "ITIMER_REAL", { { 77, 770007 }, { 50000, 500005 } }, 1 },
	{ ITIMER_VIRTUAL, "ITIMER_VIRTUAL", { { 0, 0 }, { 60000, 0 } }, 100 },
	{ ITIMER_PROF, "ITIMER_PROF", { { 88, 880000 }, { 70000, 700000 } }, 100 },
};

int itimers_setup(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(itimers); i++) {
		struct itimerval *v = &itimers[i].set;

		if (setitimer(itimers[i].which, v, NULL) < 0)
			return fail_errno("%s", itimers[i].name);
		itimers[i].last.left =
			(double)v->it_value.tv_sec + (double)v->it_value.tv_usec / 1e6;
		itimers[i].last.at = now_s(CLOCK_BOOTTIME);
	}
	return WL_OK;
}

int itimers_verify(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(itimers); i++) {
		const struct itimerval *set = &itimers[i].set;
		struct itimerval v;
		double left;

		if (getitimer(itimers[i].which, &v) < 0)
			return fail_errno("%s", itimers[i].name);
		left = (double)v.it_value.tv_sec + (double)v.it_value.tv_usec / 1e6;
		if (left == 0)
			return fail("%s: not running any more", itimers[i].name);
		if (v.it_interval.tv_sec != set->it_interval.tv_sec ||
		    v.it_interval.tv_usec != set->it_interval.tv_usec)
			return fail("%s: interval is %ld.%06ld", itimers[i].name,
				    (long)v.it_interval.tv_sec, (long)v.it_interval.tv_usec);
		if (check_left(&itimers[i].last, left, itimers[i].speed, itimers[i].name) != WL_OK)
			return WL_FAIL;
	}
	return WL_OK;
}

/* ---- posix-timers ---- */

/* Signals of these timers are blocked everywhere and taken with sigtimedwait(). */
enum { SIG_ONE_SHOT = 5, SIG_TICK = 6 };

static struct ptimer {
	const char *name;
	clockid_t clock;
	int notify;
	uintptr_t value;
	int flags;
	struct itimerspec set;
	timer_t id;
	struct left last;
} ptimers[] = {
	{ "monotonic timer",
	  CLOCK_MONOTONIC,
	  SIGEV_SIGNAL,
	  0x1234567890abcdef,
	  0,
	  { { 0, 0 }, { 40000, 1 } } },
	{ "realtime timer without a signal",
	  CLOCK_REALTIME,
	  SIGEV_NONE,
	  1,
	  0,
	  { { 300, 300 }, { 41000, 0 } } },
	{ "boottime timer", CLOCK_BOOTTIME, SIGEV_SIGNAL, 2, 0, { { 5000, 5 }, { 42000, 0 } } },
	{ "disarmed timer", CLOCK_MONOTONIC, SIGEV_SIGNAL, 3, 0, { { 0, 0 }, { 0, 0 } } },
	{ "absolute timer",
	  CLOCK_MONOTONIC,
	  SIGEV_SIGNAL,
	  4,
	  TIMER_ABSTIME,
	  { { 0, 0 }, { 43000, 0 } } },
};

static struct {
	timer_t id;
	pid_t tid;
	_Atomic uint32_t ready, ticks;
} ticker;

/* The periodic timer signals this thread and no other. */
static void *ticker_run(void *arg)
{
	sigset_t set;
	siginfo_t info;

	ticker.tid = gettid();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + SIG_TICK);
	ticker.ready = 1;
	futex_wake(&ticker.ready);
	for (;;)
		if (sigwaitinfo(&set, &info) > 0 && info.si_code == SI_TIMER &&
		    info.si_value.sival_int == 4711)
			ticker.ticks++;
	return NULL;
}

static int ticker_setup(void)
{
	struct itimerspec its = { { 0, 20000000 }, { 0, 20000000 } };
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID,
			       .sigev_signo = SIGRTMIN + SIG_TICK };
	pthread_t thread;

	if (pthread_create(&thread, NULL, ticker_run, NULL) != 0)
		return fail("starting a thread");
	while (!ticker.ready)
		futex_wait(&ticker.ready, 0);
	ev.sigev_value.sival_int = 4711;
	ev._sigev_un._tid = ticker.tid;
	if (timer_create(CLOCK_MONOTONIC, &ev, &ticker.id) < 0 ||
	    timer_settime(ticker.id, 0, &its, NULL) < 0)
		return fail_errno("timer_create");
	return WL_OK;
}

static int ptimer_start(struct ptimer *t)
{
	struct sigevent ev = { .sigev_notify = t->notify, .sigev_signo = SIGRTMIN + SIG_ONE_SHOT };
	struct itimerspec its = t->set;

	ev.sigev_value.sival_ptr = (void *)t->value;
	struct timespec now;

	clock_gettime(t->clock, &now);
	if (t->flags & TIMER_ABSTIME) {
		its.it_value.tv_sec += now.tv_sec;
		its.it_value.tv_nsec = now.tv_nsec;
	}
	if (timer_create(t->clock, &ev, &t->id) < 0 ||
	    timer_settime(t->id, t->flags, &its, NULL) < 0)
		return fail_errno("%s", t->name);
	t->last.left = (double)t->set.it_value.tv_sec + (double)t->set.it_value.tv_nsec / 1e9;
	t->last.at = now_s(CLOCK_BOOTTIME);
	return WL_OK;
}

int posix_timers_setup(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_NONE };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + SIG_ONE_SHOT);
	sigaddset(&set, SIGRTMIN + SIG_TICK);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ptimers); i++) {
		timer_t hole;

		/* Deleted timers leave holes in the ids, which the kernel never fills again. */
		for (int n = 0; n < 3; n++)
			if (timer_create(CLOCK_MONOTONIC, &ev, &hole) < 0 || timer_delete(hole) < 0)
				return fail_errno("timer_create");
		if (ptimer_start(&ptimers[i]) != WL_OK)
			return WL_FAIL;
	}
	return ticker_setup();
}

static bool ticked(void *arg)
{
	return ticker.ticks - *(uint32_t *)arg >= 3;
}

/* Lets the timer fire once, sees the signal with its value, and winds it up again. */
static int ptimer_fire(struct ptimer *t, const struct itimerspec *left)
{
	const struct itimerspec soon = { .it_value = { 0, 1000000 } };
	const struct timespec patience = { 10, 0 };
	sigset_t set;
	siginfo_t info;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + SIG_ONE_SHOT);
	if (timer_settime(t->id, 0, &soon, NULL) < 0)
		return fail_errno("%s: setting it", t->name);
	sig = sigtimedwait(&set, &info, &patience);
	if (sig < 0)
		return fail("%s: does not fire", t->name);
	if (info.si_code != SI_TIMER || (uintptr_t)info.si_value.sival_ptr != t->value)
		return fail("%s: fires with code %d and value %p", t->name, info.si_code,
			    info.si_value.sival_ptr);
	if (timer_settime(t->id, 0, left, NULL) < 0)
		return fail_errno("%s: setting it again", t->name);
	return WL_OK;
}

static int ptimer_verify(struct ptimer *t)
{
	struct itimerspec its;
	double left;

	if (timer_gettime(t->id, &its) < 0)
		return fail_errno("%s", t->name);
	left = (double)its.it_value.tv_sec + (double)its.it_value.tv_nsec / 1e9;
	if (its.it_interval.tv_sec != t->set.it_interval.tv_sec ||
	    its.it_interval.tv_nsec != t->set.it_interval.tv_nsec)
		return fail("%s: interval is %ld.%09ld", t->name, (long)its.it_interval.tv_sec,
			    its.it_interval.tv_nsec);
	if ((left == 0) != (t->set.it_value.tv_sec == 0))
		return fail("%s: is %s", t->name, left == 0 ? "not running any more" : "running");
	if (left > 0 && check_left(&t->last, left, 1, t->name) != WL_OK)
		return WL_FAIL;
	return t->notify == SIGEV_SIGNAL ? ptimer_fire(t, &its) : WL_OK;
}

int posix_timers_verify(void)
{
	uint32_t ticks = ticker.ticks;

	for (size_t i = 0; i < ARRAY_SIZE(ptimers); i++)
		if (ptimer_verify(&ptimers[i]) != WL_OK)
			return WL_FAIL;
	if (!wait_until(ticked, &ticks, 10000))
		return fail("the periodic timer does not fire any more");
	return WL_OK;
}

const struct workload timer_workloads[] = {
	{ "itimers", "the three interval timers", NULL, itimers_setup, itimers_verify },
	{ "posix-timers", "POSIX timers: clocks, signals, values, ids with holes", NULL,
	  posix_timers_setup, posix_timers_verify },
	{ 0 },
};
