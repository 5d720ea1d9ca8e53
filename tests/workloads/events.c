/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that stand for events: eventfd, epoll, signalfd, timerfd, inotify, pidfd. */
#include "tests/workloads/events.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

/* ---- eventfd ---- */

static struct {
	int flags;
	uint64_t count;
	int fd;
} eventfds[] = {
	{ EFD_CLOEXEC | EFD_NONBLOCK, 0 },
	{ EFD_NONBLOCK, 0x1234567890abcdef },
	{ EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE, 5 },
	{ EFD_NONBLOCK, UINT64_MAX - 1 }, /* full */
};

static int eventfd_add(int fd, uint64_t count)
{
	if (count && write(fd, &count, sizeof(count)) != sizeof(count))
		return fail_errno("writing an eventfd");
	return WL_OK;
}

int eventfd_setup(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(eventfds); i++) {
		/* CRIU keeps the lower half of a count, and no semaphores. */
		if (!strict()) {
			eventfds[i].count &= INT32_MAX;
			eventfds[i].flags &= ~EFD_SEMAPHORE;
		}
		eventfds[i].fd = eventfd(0, eventfds[i].flags);
		if (eventfds[i].fd < 0)
			return fail_errno("eventfd");
		if (eventfd_add(eventfds[i].fd, eventfds[i].count) != WL_OK)
			return WL_FAIL;
	}
	return WL_OK;
}

/* A semaphore gives its count one by one, and then, like an empty eventfd, EAGAIN. */
static int eventfd_read_all(int fd, bool semaphore, uint64_t *ret)
{
	uint64_t value = 0, sum = 0;

	while (read(fd, &value, sizeof(value)) == sizeof(value)) {
		if (semaphore && value != 1)
			return fail("an eventfd is no semaphore any more: it gives %llu at once",
				    (unsigned long long)value);
		sum += value;
	}
	if (errno != EAGAIN)
		return fail_errno("reading an eventfd");
	*ret = sum;
	return WL_OK;
}

int eventfd_verify(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(eventfds); i++) {
		int fd = eventfds[i].fd, flags = eventfds[i].flags;
		uint64_t count = 0;

		if (!(fcntl(fd, F_GETFL) & O_NONBLOCK))
			return fail("eventfd %zu: O_NONBLOCK is lost", i);
		if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC) != !(flags & EFD_CLOEXEC))
			return fail("eventfd %zu: close-on-exec changed", i);
		if (eventfd_read_all(fd, flags & EFD_SEMAPHORE, &count) != WL_OK)
			return WL_FAIL;
		if (count != eventfds[i].count)
			return fail("eventfd %zu: count is %llu, was %llu", i,
				    (unsigned long long)count,
				    (unsigned long long)eventfds[i].count);
		if (eventfd_add(fd, count) != WL_OK)
			return WL_FAIL;
	}
	return WL_OK;
}

/* ---- epoll: who is watched, for what, with which data ---- */

enum { T_READY, T_QUIET, T_EDGE, T_ONESHOT, T_DUP, T_NESTED, T_COUNT };

static struct {
	int ep, inner;
	int target[T_COUNT];
	int closed_number; /* T_DUP was added under this number, which is closed now */
} epolls;

static uint64_t epoll_data(int i)
{
	return pattern_word(0xe9011, (uint64_t)i);
}

static int epoll_add(int ep, int fd, uint32_t events, int i)
{
	struct epoll_event ev = { .events = events, .data.u64 = epoll_data(i) };

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0 ? fail_errno("EPOLL_CTL_ADD") : WL_OK;
}

int epoll_setup(void)
{
	static const uint32_t events[T_COUNT] = {
		[T_READY] = EPOLLIN,
		[T_QUIET] = EPOLLIN | EPOLLPRI | EPOLLRDHUP,
		[T_EDGE] = EPOLLIN | EPOLLET,
		[T_ONESHOT] = EPOLLIN | EPOLLONESHOT,
		[T_DUP] = EPOLLIN,
		[T_NESTED] = EPOLLIN,
	};
	struct epoll_event got[T_COUNT];

	epolls.ep = epoll_create1(EPOLL_CLOEXEC);
	epolls.inner = epoll_create1(0);
	for (int i = 0; i < T_COUNT; i++) {
		bool ready = i == T_READY || i == T_EDGE || i == T_ONESHOT || i == T_DUP;

		epolls.target[i] = i == T_NESTED ? epolls.inner : eventfd(ready, EFD_NONBLOCK);
		if (epolls.target[i] < 0)
			return fail_errno("eventfd");
		if (epoll_add(epolls.ep, epolls.target[i], events[i], i) != WL_OK)
			return WL_FAIL;
	}
	if (epoll_add(epolls.inner, epolls.target[T_QUIET], EPOLLIN, 99) != WL_OK)
		return WL_FAIL;
	/* A watched file may live on under another number than the one it was added with. */
	epolls.closed_number = epolls.target[T_DUP];
	epolls.target[T_DUP] = dup(epolls.closed_number);
	close(epolls.closed_number);
	/* The edge is told once, and the one shot is fired. */
	if (epoll_wait(epolls.ep, got, T_COUNT, 0) != 4)
		return fail("epoll_wait does not give the four events of the beginning");
	return WL_OK;
}

/* Exactly these targets are ready. */
static int epoll_expect(const char *when, unsigned int want)
{
	struct epoll_event got[T_COUNT];
	int n = epoll_wait(epolls.ep, got, T_COUNT, 0);
	unsigned int seen = 0;

	if (n < 0)
		return fail_errno("epoll_wait");
	for (int i = 0; i < n; i++) {
		int t = 0;

		while (t < T_COUNT && epoll_data(t) != got[i].data.u64)
			t++;
		if (t == T_COUNT || got[i].events != EPOLLIN)
			return fail("%s: unknown event 0x%x with data 0x%llx", when, got[i].events,
				    (unsigned long long)got[i].data.u64);
		seen |= 1u << t;
	}
	/*
	 * Adding a target that is ready arms its edge, so a restored edge may be told once more.
	 * That is allowed: edge-triggered users must expect it.
	 */
	if ((seen & ~(1u << T_EDGE)) != (want & ~(1u << T_EDGE)) ||
	    (want & 1u << T_EDGE && !(seen & 1u << T_EDGE)))
		return fail("%s: the set of ready targets is 0x%x, not 0x%x", when, seen, want);
	return WL_OK;
}

int epoll_verify(void)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT };
	uint64_t one = 1;
	int r;

	r = epoll_expect("as it was", 1u << T_READY | 1u << T_DUP);
	if (r == WL_OK)
		r = epoll_expect("asked again", 1u << T_READY | 1u << T_DUP);
	if (r != WL_OK)
		return r;
	if (write(epolls.target[T_QUIET], &one, 8) != 8 ||
	    write(epolls.target[T_EDGE], &one, 8) != 8)
		return fail_errno("eventfd");
	r = epoll_expect("after writing", 1u << T_READY | 1u << T_DUP | 1u << T_QUIET |
						  1u << T_EDGE | 1u << T_NESTED);
	if (r != WL_OK || read(epolls.target[T_QUIET], &one, 8) != 8)
		return r == WL_OK ? fail_errno("eventfd") : r;
	/* The spent one-shot target is still in the set, and can be armed again. */
	ev.data.u64 = epoll_data(T_ONESHOT);
	if (epoll_ctl(epolls.ep, EPOLL_CTL_MOD, epolls.target[T_ONESHOT], &ev) < 0)
		return fail_errno("the one-shot target is lost");
	r = epoll_expect("one-shot armed", 1u << T_READY | 1u << T_DUP | 1u << T_ONESHOT);
	if (r == WL_OK)
		r = epoll_expect("one-shot spent", 1u << T_READY | 1u << T_DUP);
	return r;
}

/* ---- signalfd ---- */

static struct {
	int fd, other;
} sigfds;

enum { SIGFD_SIGNAL = 22 };

static int signalfd_queue(void)
{
	for (int i = 0; i < 3; i++)
		if (sigqueue(getpid(), SIGRTMIN + SIGFD_SIGNAL,
			     (union sigval){ .sival_int = 70 + i }) < 0)
			return fail_errno("sigqueue");
	return WL_OK;
}

int signalfd_setup(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + SIGFD_SIGNAL);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigfds.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	sigaddset(&set, SIGIO);
	sigaddset(&set, 64);
	sigdelset(&set, SIGRTMIN + SIGFD_SIGNAL);
	sigfds.other = signalfd(-1, &set, 0);
	if (sigfds.fd < 0 || sigfds.other < 0)
		return fail_errno("signalfd");
	return signalfd_queue();
}

static int signalfd_mask(int fd, unsigned long long want)
{
	char path[64], line[256];
	unsigned long long mask = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "sigmask: %llx", &mask);
	if (f)
		fclose(f);
	return mask == want ? WL_OK : fail("the signalfd's mask is %llx, was %llx", mask, want);
}

int signalfd_verify(void)
{
	int sig = SIGRTMIN + SIGFD_SIGNAL;
	struct signalfd_siginfo info;

	if (signalfd_mask(sigfds.fd, 1ull << (sig - 1)) != WL_OK ||
	    signalfd_mask(sigfds.other, 1ull << (SIGIO - 1) | 1ull << 63) != WL_OK)
		return WL_FAIL;
	for (int i = 0; i < 3; i++) {
		if (read(sigfds.fd, &info, sizeof(info)) != sizeof(info))
			return fail_errno("signal %d cannot be read from the signalfd", i);
		if (info.ssi_signo != (uint32_t)sig || info.ssi_int != 70 + i)
			return fail("the signalfd gives signal %u with %d", info.ssi_signo,
				    info.ssi_int);
	}
	if (read(sigfds.fd, &info, sizeof(info)) != -1 || errno != EAGAIN)
		return fail("the signalfd gives more signals than there were");
	return signalfd_queue();
}

/* ---- timerfd ---- */

static struct tfd {
	const char *name;
	int clock, flags;
	struct itimerspec set;
	int fd;
	double left, at;
} tfds[] = {
	{ "monotonic", CLOCK_MONOTONIC, 0, { { 7, 70 }, { 5000, 0 } } },
	{ "realtime", CLOCK_REALTIME, 0, { { 0, 0 }, { 6000, 0 } } },
	{ "boottime, absolute", CLOCK_BOOTTIME, TFD_TIMER_ABSTIME, { { 0, 0 }, { 7000, 0 } } },
	{ "disarmed", CLOCK_MONOTONIC, 0, { { 0, 0 }, { 0, 0 } } },
};

static int tfd_expired; /* has fired and was not read */

static double boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int timerfd_setup(void)
{
	struct itimerspec soon = { .it_value = { 0, 1 } };
	struct pollfd p = { .events = POLLIN };

	for (size_t i = 0; i < ARRAY_SIZE(tfds); i++) {
		struct itimerspec its = tfds[i].set;
		struct timespec now;

		clock_gettime(tfds[i].clock, &now);
		if (tfds[i].flags & TFD_TIMER_ABSTIME) {
			its.it_value.tv_sec += now.tv_sec;
			its.it_value.tv_nsec = now.tv_nsec;
		}
		tfds[i].fd = timerfd_create(tfds[i].clock, TFD_CLOEXEC | TFD_NONBLOCK);
		if (tfds[i].fd < 0 || timerfd_settime(tfds[i].fd, tfds[i].flags, &its, NULL) < 0)
			return fail_errno("timerfd %s", tfds[i].name);
		tfds[i].left = (double)tfds[i].set.it_value.tv_sec;
		tfds[i].at = boottime();
	}
	tfd_expired = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	if (tfd_expired < 0 || timerfd_settime(tfd_expired, 0, &soon, NULL) < 0)
		return fail_errno("timerfd");
	p.fd = tfd_expired;
	return poll(&p, 1, 10000) == 1 ? WL_OK : fail("a timerfd does not fire");
}

static int tfd_verify(struct tfd *t)
{
	/* CRIU drops the fraction of a second of absolute timers. */
	double now = boottime(), left, slack = strict() ? 0.5 : 1.5;
	struct itimerspec its;
	uint64_t ticks;

	if (timerfd_gettime(t->fd, &its) < 0)
		return fail_errno("timerfd %s", t->name);
	left = (double)its.it_value.tv_sec + (double)its.it_value.tv_nsec / 1e9;
	if (its.it_interval.tv_sec != t->set.it_interval.tv_sec ||
	    its.it_interval.tv_nsec != t->set.it_interval.tv_nsec)
		return fail("timerfd %s: interval changed", t->name);
	if ((left == 0) != (t->set.it_value.tv_sec == 0))
		return fail("timerfd %s: armed or disarmed", t->name);
	if (left > t->left + 0.05 || (left > 0 && left < t->left - (now - t->at) - slack))
		return fail("timerfd %s: %.3f s left, was %.3f s", t->name, left, t->left);
	if (read(t->fd, &ticks, sizeof(ticks)) != -1 || errno != EAGAIN)
		return fail("timerfd %s: has fired", t->name);
	t->left = left;
	t->at = now;
	return WL_OK;
}

int timerfd_verify(void)
{
	struct itimerspec soon = { .it_value = { 0, 1 } };
	struct pollfd p = { .fd = tfd_expired, .events = POLLIN };
	uint64_t ticks;

	for (size_t i = 0; i < ARRAY_SIZE(tfds); i++)
		if (tfd_verify(&tfds[i]) != WL_OK)
			return WL_FAIL;
	if (read(tfd_expired, &ticks, sizeof(ticks)) != sizeof(ticks) || ticks != 1)
		return fail("the tick of an expired timerfd is lost");
	if (timerfd_settime(tfd_expired, 0, &soon, NULL) < 0)
		return fail_errno("timerfd_settime");
	return poll(&p, 1, 10000) == 1 ? WL_OK : fail("a timerfd does not fire");
}

/* ---- inotify ---- */

static struct {
	int fd, wd_dir, wd_file;
} notify;

static int inotify_setup(void)
{
	int file = file_make("watched", O_RDWR, 100, 1), hole;

	notify.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (file < 0 || notify.fd < 0)
		return fail_errno("inotify");
	close(file);
	/* A removed watch leaves a hole in the numbers. */
	hole = inotify_add_watch(notify.fd, "/", IN_CREATE);
	notify.wd_dir = inotify_add_watch(notify.fd, path_in("."), IN_CREATE | IN_DELETE);
	inotify_rm_watch(notify.fd, hole);
	notify.wd_file = inotify_add_watch(notify.fd, path_in("watched"), IN_ATTRIB);
	if (notify.wd_dir < 0 || notify.wd_file < 0)
		return fail_errno("inotify_add_watch");
	char events[1024];

	return read(notify.fd, events, sizeof(events)) > 0 ? WL_OK : fail("no IN_IGNORED came");
}

static int inotify_expect(int wd, uint32_t mask, const char *name)
{
	struct inotify_event ev;
	char got[256];
	static char events[8192];
	static ssize_t have, at;

	if (at == have) {
		have = read(notify.fd, events, sizeof(events));
		at = 0;
	}
	if (have <= 0) {
		have = 0;
		return fail("no event 0x%x of '%s' came", mask, name);
	}
	memcpy(&ev, events + at, sizeof(ev));
	snprintf(got, sizeof(got), "%s", ev.len ? events + at + sizeof(ev) : "");
	at += (ssize_t)(sizeof(ev) + ev.len);
	if (ev.wd != wd || ev.mask != mask || strcmp(got, name))
		return fail("event 0x%x of watch %d, '%s'; expected 0x%x, %d, '%s'", ev.mask, ev.wd,
			    got, mask, wd, name);
	return WL_OK;
}

static int inotify_verify(void)
{
	int fd = file_make("new", O_RDWR, 0, 0);
	char events[64];
	int r;

	if (fd < 0 || fchmod(fd, 0600) < 0 || unlink(path_in("new")) < 0 ||
	    chmod(path_in("watched"), 0600) < 0)
		return fail_errno("changing files");
	close(fd);
	r = inotify_expect(notify.wd_dir, IN_CREATE, "new");
	if (r == WL_OK)
		r = inotify_expect(notify.wd_dir, IN_DELETE, "new");
	if (r == WL_OK)
		r = inotify_expect(notify.wd_file, IN_ATTRIB, "");
	if (r == WL_OK && (read(notify.fd, events, sizeof(events)) != -1 || errno != EAGAIN))
		r = fail("more events came than there are");
	return r;
}

/* ---- pidfd: of a living child, of itself ---- */

static struct {
	int child_fd, self_fd;
	pid_t pid;
	struct station *station;
} pidfds;

static int pidfd_child_verify(void *arg)
{
	return WL_OK;
}

static void pidfd_child(void *arg)
{
	station_serve(pidfds.station, pidfd_child_verify, NULL);
}

static int pidfd_setup(void)
{
	pidfds.station = stations_new(1);
	pidfds.pid = pidfds.station ? child_start(pidfd_child, NULL) : -1;
	if (pidfds.pid < 0)
		return fail_errno("fork");
	pidfds.child_fd = (int)syscall(SYS_pidfd_open, pidfds.pid, 0);
	pidfds.self_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	return pidfds.child_fd < 0 || pidfds.self_fd < 0 ? fail_errno("pidfd_open") : WL_OK;
}

static int pidfd_names(int fd, pid_t want)
{
	char path[64], line[256];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Pid: %d", &pid);
	if (f)
		fclose(f);
	return pid == want ? WL_OK : fail("the pidfd is of %d, was of %d", pid, want);
}

static int pidfd_verify(void)
{
	struct pollfd p = { .fd = pidfds.child_fd, .events = POLLIN };

	if (pidfd_names(pidfds.child_fd, pidfds.pid) != WL_OK ||
	    pidfd_names(pidfds.self_fd, getpid()) != WL_OK)
		return WL_FAIL;
	if (syscall(SYS_pidfd_send_signal, pidfds.child_fd, 0, NULL, 0) < 0)
		return fail_errno("the pidfd of a living child");
	if (poll(&p, 1, 0) != 0)
		return fail("the pidfd of a living child is readable");
	if (!(fcntl(pidfds.child_fd, F_GETFD) & FD_CLOEXEC))
		return fail("the pidfd has lost close-on-exec");
	return station_ask(pidfds.station, "child");
}

static struct workload_param strict_params[] = { STRICT_PARAM, { 0 } };

const struct workload event_workloads[] = {
	{ "eventfd", "counters, one full, one semaphore", strict_params, eventfd_setup,
	  eventfd_verify },
	{ "epoll", "level, edge and one-shot targets, nested, under another number", NULL,
	  epoll_setup, epoll_verify },
	{ "signalfd", "masks, and signals not read yet", NULL, signalfd_setup, signalfd_verify },
	{ "timerfd", "clocks, intervals, absolute times, a tick not read yet", strict_params,
	  timerfd_setup, timerfd_verify },
	{ "inotify", "watches with a hole in their numbers", NULL, inotify_setup, inotify_verify },
	{ "pidfd", "of a child and of itself", NULL, pidfd_setup, pidfd_verify },
	{ 0 },
};
