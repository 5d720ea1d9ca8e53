/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pending signals, actions, masks, and a handler on its own stack. To look at pending signals they
 * must be taken; afterwards the same are queued again. A task may queue any siginfo to itself.
 */
#include "tests/workloads/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

/* ---- signals-pending ---- */

struct pending_signal {
	int sig_from_rtmin; /* or minus the number of a standard signal */
	int code;
	int pid; /* 0: our own */
	uintptr_t value;
};

/* In the order in which the kernel gives them: lower numbers first, equal ones as they came. */
static const struct pending_signal process_signals[] = {
	{ -SIGUSR2, SI_USER, 4242, 0 },
	{ -SIGWINCH, SI_TKILL, 4243, 0 },
	{ 1, SI_QUEUE, 0, 0x1122334455667788 },
	{ 1, SI_QUEUE, 0, 2 },
	{ 1, SI_QUEUE, 0, 3 },
	{ 1, SI_MESGQ, 4244, 4 },
	{ 2, SI_QUEUE, 0, (uintptr_t)-1 },
};
static const struct pending_signal main_signals[] = {
	{ -SIGURG, SI_TKILL, 0, 0 },
	{ 3, SI_QUEUE, 0, 31 },
	{ 3, SI_QUEUE, 0, 30 },
};
static const struct pending_signal thread_signals[] = {
	{ -SIGXCPU, SI_USER, 4245, 0 },
	{ 4, SI_QUEUE, 0, 41 },
	{ 4, SI_QUEUE, 0, 40 },
	{ 4, SI_QUEUE, 0, 42 },
};

static struct {
	pid_t main_tid, thread_tid;
	struct station *station;
	struct sigaction actions[65];
	sigset_t mask;
} sigs;

static int signo(const struct pending_signal *p)
{
	return p->sig_from_rtmin < 0 ? -p->sig_from_rtmin : SIGRTMIN + p->sig_from_rtmin;
}

static void block_all(const struct pending_signal *list, size_t n, sigset_t *set)
{
	for (size_t i = 0; i < n; i++)
		sigaddset(set, signo(&list[i]));
}

/* tid 0: to the process. */
static int queue_all(const struct pending_signal *list, size_t n, pid_t tid)
{
	for (size_t i = 0; i < n; i++) {
		siginfo_t info = { .si_signo = signo(&list[i]), .si_code = list[i].code };
		long r;

		info.si_pid = list[i].pid ? list[i].pid : getpid();
		info.si_uid = 77;
		info.si_value.sival_ptr = (void *)list[i].value;
		r = tid ? syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, info.si_signo, &info)
			: syscall(SYS_rt_sigqueueinfo, getpid(), info.si_signo, &info);
		if (r < 0)
			return fail_errno("queueing signal %d", info.si_signo);
	}
	return WL_OK;
}

/* Without waiting, and as the kernel gives it: the C library's function changes SI_TKILL to
 * SI_USER. */
static int take_signal(const sigset_t *set, siginfo_t *info)
{
	const struct timespec now = { 0 };

	return (int)syscall(SYS_rt_sigtimedwait, set, info, &now, 8);
}

/* Takes them all and compares; the next must be none. */
static int take_all(const struct pending_signal *list, size_t n, const char *whose)
{
	sigset_t set;
	siginfo_t info;

	sigemptyset(&set);
	block_all(list, n, &set);
	for (size_t i = 0; i < n; i++) {
		int sig = take_signal(&set, &info);
		int pid = list[i].pid ? list[i].pid : getpid();

		if (sig < 0)
			return fail("%s: signal %zu of %zu (number %d) is lost", whose, i, n,
				    signo(&list[i]));
		if (sig != signo(&list[i]) || info.si_code != list[i].code || info.si_pid != pid ||
		    info.si_uid != 77)
			return fail(
				"%s: signal %zu is %d, code %d, pid %d, uid %u; was %d, %d, %d, 77",
				whose, i, sig, info.si_code, info.si_pid, info.si_uid,
				signo(&list[i]), list[i].code, pid);
		if ((uintptr_t)info.si_value.sival_ptr != list[i].value)
			return fail("%s: signal %zu carries %p", whose, i, info.si_value.sival_ptr);
	}
	if (take_signal(&set, &info) >= 0)
		return fail("%s: signal %d came twice", whose, info.si_signo);
	return WL_OK;
}

static int thread_verify(void *arg)
{
	int r = take_all(thread_signals, ARRAY_SIZE(thread_signals), "second thread");

	return r == WL_OK ? queue_all(thread_signals, ARRAY_SIZE(thread_signals), gettid()) : r;
}

static void *thread_run(void *arg)
{
	sigs.thread_tid = gettid();
	queue_all(thread_signals, ARRAY_SIZE(thread_signals), sigs.thread_tid);
	station_serve(sigs.station, thread_verify, NULL);
}

static void on_plain(int sig)
{
}

static void on_info(int sig, siginfo_t *info, void *context)
{
}

/* Actions of every kind, for signals that nobody else here uses. */
static int actions_setup(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction plain = { .sa_handler = on_plain, .sa_flags = SA_RESTART | SA_NODEFER };
	struct sigaction info = { .sa_sigaction = on_info, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction once = { .sa_handler = on_plain, .sa_flags = (int)SA_RESETHAND };
	struct sigaction child = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP };

	sigaddset(&info.sa_mask, SIGQUIT);
	sigaddset(&info.sa_mask, SIGRTMAX);
	sigfillset(&plain.sa_mask);
	if (sigaction(SIGPIPE, &ignore, NULL) < 0 || sigaction(SIGTTIN, &plain, NULL) < 0 ||
	    sigaction(SIGRTMAX - 1, &info, NULL) < 0 || sigaction(SIGHUP, &once, NULL) < 0 ||
	    sigaction(SIGCHLD, &child, NULL) < 0)
		return fail_errno("sigaction");
	return WL_OK;
}

static bool is_libc_signal(int sig)
{
	return sig == 32 || sig == 33;
}

static int actions_note(void)
{
	for (int sig = 1; sig <= 64; sig++)
		if (!is_libc_signal(sig) && sigaction(sig, NULL, &sigs.actions[sig]) < 0)
			return fail_errno("sigaction");
	return WL_OK;
}

static int actions_verify(void)
{
	for (int sig = 1; sig <= 64; sig++) {
		const struct sigaction *want = &sigs.actions[sig];
		struct sigaction sa;

		if (is_libc_signal(sig))
			continue;
		sigaction(sig, NULL, &sa);
		if (sa.sa_handler != want->sa_handler || sa.sa_flags != want->sa_flags)
			return fail("action of signal %d: handler %p, flags 0x%x; was %p, 0x%x",
				    sig, (void *)sa.sa_handler, sa.sa_flags,
				    (void *)want->sa_handler, want->sa_flags);
		for (int other = 1; other <= 64; other++)
			if (!is_libc_signal(other) &&
			    sigismember(&sa.sa_mask, other) != sigismember(&want->sa_mask, other))
				return fail("action of signal %d: its mask changed at %d", sig,
					    other);
	}
	return WL_OK;
}

int signals_pending_setup(void)
{
	pthread_t thread;
	sigset_t set;

	sigemptyset(&set);
	block_all(process_signals, ARRAY_SIZE(process_signals), &set);
	block_all(main_signals, ARRAY_SIZE(main_signals), &set);
	block_all(thread_signals, ARRAY_SIZE(thread_signals), &set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &sigs.mask);
	sigs.main_tid = gettid();
	sigs.station = stations_new(1);
	if (!sigs.station || pthread_create(&thread, NULL, thread_run, NULL) != 0)
		return fail("starting a thread");
	/* Standard signals that nobody handles are dropped even when blocked, if their default is
	 * to ignore. */
	struct sigaction sa = { .sa_handler = on_plain };

	sigaction(SIGURG, &sa, NULL);
	sigaction(SIGWINCH, &sa, NULL);
	if (actions_setup() != WL_OK || actions_note() != WL_OK)
		return WL_FAIL;
	if (queue_all(process_signals, ARRAY_SIZE(process_signals), 0) != WL_OK ||
	    queue_all(main_signals, ARRAY_SIZE(main_signals), sigs.main_tid) != WL_OK)
		return WL_FAIL;
	return station_ask(sigs.station, "second thread");
}

static int mask_verify(void)
{
	sigset_t mask;

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	for (int sig = 1; sig <= 64; sig++)
		if (sigismember(&mask, sig) != sigismember(&sigs.mask, sig))
			return fail("signal %d is %sblocked", sig,
				    sigismember(&mask, sig) ? "" : "not ");
	return WL_OK;
}

int signals_pending_verify(void)
{
	int r = mask_verify();

	if (r == WL_OK)
		r = actions_verify();
	/* Those of the thread first: sigtimedwait() would take the others only if these were gone.
	 */
	if (r == WL_OK)
		r = take_all(main_signals, ARRAY_SIZE(main_signals), "first thread");
	if (r == WL_OK)
		r = take_all(process_signals, ARRAY_SIZE(process_signals), "process");
	if (r == WL_OK)
		r = queue_all(process_signals, ARRAY_SIZE(process_signals), 0);
	if (r == WL_OK)
		r = queue_all(main_signals, ARRAY_SIZE(main_signals), sigs.main_tid);
	return r == WL_OK ? station_ask(sigs.station, "second thread") : r;
}

/* ---- sigaltstack: a thread that waits inside a handler, on its signal stack ---- */

#define ALT_SIZE 65536

static struct {
	struct station *station;
	unsigned char *stack;
	/* Written by the handler; the compiler takes pthread_kill(3) for a function that calls
	 * nothing. */
	volatile uint32_t request;
	volatile int verdict;
	volatile unsigned int handled;
} alt;

/* The frame the kernel has built is below this one; returning goes through it. */
static void on_alt(int sig, siginfo_t *info, void *context)
{
	unsigned char frame[4096];
	stack_t now;
	sigset_t mask;

	pattern_fill(frame, sizeof(frame), alt.handled);
	alt.request = station_wait(alt.station);
	alt.verdict = pattern_check(frame, sizeof(frame), alt.handled, "frame on the signal stack");
	sigaltstack(NULL, &now);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	if (frame < alt.stack || frame >= alt.stack + ALT_SIZE)
		alt.verdict = fail("the handler does not run on the signal stack");
	else if (now.ss_sp != alt.stack || now.ss_size != ALT_SIZE || now.ss_flags != SS_ONSTACK)
		alt.verdict = fail("in the handler, the signal stack is %p, 0x%x", now.ss_sp,
				   now.ss_flags);
	else if (!sigismember(&mask, SIGQUIT) || !sigismember(&mask, sig))
		alt.verdict = fail("the mask of the handler changed");
	else if (info->si_code != SI_TKILL || info->si_pid != getpid())
		alt.verdict = fail("the handler's siginfo changed");
	alt.handled++;
}

static void *alt_run(void *arg)
{
	stack_t stack = { .ss_sp = alt.stack, .ss_size = ALT_SIZE };
	struct sigaction sa = { .sa_sigaction = on_alt, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	sigset_t mask;

	sigaddset(&sa.sa_mask, SIGQUIT);
	sigaction(SIGRTMIN + 7, &sa, NULL);
	sigaltstack(&stack, NULL);
	for (;;) {
		unsigned int before = alt.handled;
		volatile double sum = 0;

		for (int i = 1; i < 10; i++)
			sum += 1.0 / i;
		pthread_kill(pthread_self(), SIGRTMIN + 7);
		/* Back from the handler: the context it was given must have been restored. */
		for (int i = 1; i < 10; i++)
			sum -= 1.0 / i;
		pthread_sigmask(SIG_BLOCK, NULL, &mask);
		sigaltstack(NULL, &stack);
		if (alt.handled != before + 1)
			alt.verdict = fail("the handler ran %u times", alt.handled - before);
		else if (sum > 1e-9 || sum < -1e-9)
			alt.verdict = fail("a sum changed across the handler");
		else if (sigismember(&mask, SIGQUIT) || stack.ss_flags != 0)
			alt.verdict = fail("mask or stack were not put back after the handler");
		station_answer(alt.station, alt.request, alt.verdict);
	}
	return NULL;
}

int sigaltstack_setup(void)
{
	pthread_t thread;

	alt.stack =
		mmap(NULL, ALT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	alt.station = stations_new(1);
	if (alt.stack == MAP_FAILED || !alt.station ||
	    pthread_create(&thread, NULL, alt_run, NULL) != 0)
		return fail_errno("starting a thread");
	return sigaltstack_verify();
}

int sigaltstack_verify(void)
{
	return station_ask(alt.station, "thread on a signal stack");
}

const struct workload signal_workloads[] = {
	{ "signals-pending", "pending signals with their data, actions, masks", NULL,
	  signals_pending_setup, signals_pending_verify },
	{ "sigaltstack", "a thread inside a handler on a signal stack", NULL, sigaltstack_setup,
	  sigaltstack_verify },
	{ 0 },
};
