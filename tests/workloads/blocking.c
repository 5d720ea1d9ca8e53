/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that are inside blocking system calls. None may see EINTR, and none may come back before
 * what it waits for has happened. That is more than the kernel promises a stopped task (signal(7)
 * on epoll_wait), but a program that was not touched would not see it either.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

struct sleeper {
	const char *name;
	const char *param; /* the parameter that leaves it out with 0 */
	bool strict;	   /* sees EINTR after CRIU has restored it */
	/* Blocks once. 0 when what it waited for has come, else an errno. */
	int (*block)(struct sleeper *s);
	/* Makes it come. NULL: it comes by itself. */
	void (*wake)(struct sleeper *s);
	int fd[2], epoll;
	pid_t tid;
	_Atomic uint32_t word, returns, expected;
	_Atomic int error;
};

static int block_read(struct sleeper *s)
{
	char byte;

	return read(s->fd[0], &byte, 1) == 1 ? 0 : errno;
}

static void wake_fd(struct sleeper *s)
{
	if (write(s->fd[1], "x", 1) != 1)
		s->error = errno;
}

/* With SO_RCVTIMEO the kernel does not make the call again after a mere stop. */
static int block_recv(struct sleeper *s)
{
	char byte;

	return recv(s->fd[0], &byte, 1, 0) == 1 ? 0 : errno;
}

static int drain(struct sleeper *s, int r)
{
	int error = errno;
	char byte;

	if (r == 1 && read(s->fd[0], &byte, 1) == 1)
		return 0;
	return r < 0 ? error : ETIMEDOUT;
}

static int block_poll(struct sleeper *s)
{
	struct pollfd p = { .fd = s->fd[0], .events = POLLIN };

	return drain(s, poll(&p, 1, -1));
}

/* With a timeout the kernel keeps the rest in a restart block of its own. */
static int block_poll_timeout(struct sleeper *s)
{
	struct pollfd p = { .fd = s->fd[0], .events = POLLIN };

	return drain(s, poll(&p, 1, 3600 * 1000));
}

static int block_select(struct sleeper *s)
{
	struct timeval t = { 3600, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(s->fd[0], &set);
	return drain(s, select(s->fd[0] + 1, &set, NULL, NULL, &t));
}

static int block_epoll(struct sleeper *s)
{
	struct epoll_event ev;

	return drain(s, epoll_wait(s->epoll, &ev, 1, -1));
}

static int futex_block(struct sleeper *s, const struct timespec *timeout)
{
	uint32_t seen = s->returns;

	if (s->word != seen)
		return 0;
	if (syscall(SYS_futex, &s->word, FUTEX_WAIT, seen, timeout, NULL, 0) < 0 && errno != EAGAIN)
		return errno;
	return s->word != seen ? 0 : EBADMSG;
}

static int block_futex(struct sleeper *s)
{
	return futex_block(s, NULL);
}

static int block_futex_timeout(struct sleeper *s)
{
	const struct timespec hour = { 3600, 0 };

	return futex_block(s, &hour);
}

static void wake_futex(struct sleeper *s)
{
	s->word++;
	futex_wake(&s->word);
}

/* Ends by itself every second; a sleep that was cut short comes back too early. */
static int block_nanosleep(struct sleeper *s)
{
	const struct timespec second = { 1, 0 };
	long begin = monotonic_ms();

	if (nanosleep(&second, NULL) < 0)
		return errno;
	return monotonic_ms() - begin >= 999 ? 0 : ETIME;
}

static int block_clock_nanosleep(struct sleeper *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static void on_wake(int sig)
{
}

/* pause(2) always ends with EINTR, but only if the handler has run: the word says that it was sent.
 */
static int block_pause(struct sleeper *s)
{
	sigset_t set;

	sigfillset(&set);
	sigdelset(&set, SIGRTMIN + 9);
	sigsuspend(&set);
	return s->word > s->returns ? 0 : EINTR;
}

static void wake_pause(struct sleeper *s)
{
	s->word++;
	syscall(SYS_tgkill, getpid(), s->tid, SIGRTMIN + 9);
}

static int block_sigwait(struct sleeper *s)
{
	sigset_t set;
	siginfo_t info;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 10);
	if (sigwaitinfo(&set, &info) < 0)
		return errno;
	/* The C library gives SI_USER for the kernel's SI_TKILL. */
	return info.si_code == SI_USER && info.si_pid == getpid() ? 0 : EBADMSG;
}

static void wake_sigwait(struct sleeper *s)
{
	syscall(SYS_tgkill, getpid(), s->tid, SIGRTMIN + 10);
}

static struct sleeper sleepers[] = {
	{ "nanosleep", "sleep", true, block_nanosleep },
	{ "clock_nanosleep", "sleep", false, block_clock_nanosleep },
	{ "read", "read", false, block_read, wake_fd },
	{ "recv with a timeout", "read", true, block_recv, wake_fd },
	{ "poll", "poll", true, block_poll, wake_fd },
	{ "poll with a timeout", "poll", true, block_poll_timeout, wake_fd },
	{ "select", "poll", false, block_select, wake_fd },
	{ "epoll_wait", "epoll", true, block_epoll, wake_fd },
	{ "futex", "futex", false, block_futex, wake_futex },
	{ "futex with a timeout", "futex", true, block_futex_timeout, wake_futex },
	{ "sigsuspend", "pause", false, block_pause, wake_pause },
	{ "sigwaitinfo", "sigwait", true, block_sigwait, wake_sigwait },
};

static struct workload_param sleeper_params[] = {
	{ "sleep", 1, "a thread in nanosleep(2) and one in clock_nanosleep(2)" },
	{ "read", 1, "a thread in read(2) of a pipe" },
	{ "poll", 1, "threads in poll(2) and select(2), with and without timeout" },
	{ "epoll", 1, "a thread in epoll_wait(2)" },
	{ "futex", 1, "threads in futex(2), with and without timeout" },
	{ "pause", 1, "a thread in sigsuspend(2)" },
	{ "paused", 0,
	  "1: stops and continues itself when all sleep, so that the kernel restarts them" },
	{ "sigwait", 1, "a thread in rt_sigtimedwait(2)" },
	STRICT_PARAM,
	{ 0 },
};

static void *sleeper_run(void *arg)
{
	struct sleeper *s = arg;

	s->tid = gettid();
	for (;;) {
		int error = s->block(s);

		if (error && !s->error)
			s->error = error;
		s->returns++;
	}
	return NULL;
}

static int sleeper_start(struct sleeper *s)
{
	const struct timeval hour = { 3600, 0 };
	struct epoll_event ev = { .events = EPOLLIN };
	pthread_t thread;

	s->epoll = -1;
	if (s->block == block_recv) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, s->fd) < 0 ||
		    setsockopt(s->fd[0], SOL_SOCKET, SO_RCVTIMEO, &hour, sizeof(hour)) < 0)
			return fail_errno("socketpair");
	} else if (s->wake == wake_fd && pipe(s->fd) < 0) {
		return fail_errno("pipe");
	}
	if (s->block == block_epoll) {
		s->epoll = epoll_create1(EPOLL_CLOEXEC);
		if (s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->fd[0], &ev) < 0)
			return fail_errno("epoll");
	}
	if (pthread_create(&thread, NULL, sleeper_run, s) != 0)
		return fail("starting a thread");
	return WL_OK;
}

static bool has_returned(void *arg)
{
	struct sleeper *s = arg;

	return s->returns >= s->expected;
}

static int sleeper_verify(struct sleeper *s)
{
	if (s->error)
		return fail("%s: %s", s->name, strerrordesc_np(s->error));
	if (s->wake && s->returns != s->expected)
		return fail("%s: came back %u times, not %u", s->name, s->returns, s->expected);
	s->expected = s->returns + 1;
	if (s->wake)
		s->wake(s);
	if (!wait_until(has_returned, s, 20000))
		return fail("%s: does not come back", s->name);
	return s->error ? fail("%s: %s", s->name, strerrordesc_np(s->error)) : WL_OK;
}

static bool wanted(const struct sleeper *s)
{
	return param(s->param, 1) && (strict() || !s->strict);
}

/* A child stops its parent and lets it go on. */
static int pause_all(void)
{
	const struct timespec moment = { 0, 20000000 };
	pid_t pid, parent = getpid();
	int status;

	pid = fork();
	if (pid == 0) {
		nanosleep(&moment, NULL);
		kill(parent, SIGSTOP);
		nanosleep(&moment, NULL);
		kill(parent, SIGCONT);
		_exit(0);
	}
	if (pid < 0)
		return fail_errno("fork");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WL_OK;
}

static int blocking_verify(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
		if (wanted(&sleepers[i]) && sleeper_verify(&sleepers[i]) != WL_OK)
			return WL_FAIL;
	return param("paused", 0) ? pause_all() : WL_OK;
}

static int blocking_setup(void)
{
	struct sigaction sa = { .sa_handler = on_wake };
	sigset_t set;

	sigaction(SIGRTMIN + 9, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 9);
	sigaddset(&set, SIGRTMIN + 10);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
		if (wanted(&sleepers[i]) && sleeper_start(&sleepers[i]) != WL_OK)
			return WL_FAIL;
	return blocking_verify();
}

const struct workload blocking_workloads[] = {
	{ "nanosleep", "threads inside blocking system calls; none may see EINTR", sleeper_params,
	  blocking_setup, blocking_verify },
	{ 0 },
};
