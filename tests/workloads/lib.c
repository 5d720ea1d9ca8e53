/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verdicts, patterns, files, children and stations of the workloads. */
#include "tests/workloads/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/frame.h"

#define PAGE 4096u

static _Thread_local char why[512];

/* ---- verdicts ---- */

static void keep_reason(const char *fmt, va_list ap, const char *suffix)
{
	size_t n;

	if (why[0])
		return;
	vsnprintf(why, sizeof(why), fmt, ap);
	n = strlen(why);
	if (suffix)
		snprintf(why + n, sizeof(why) - n, ": %s", suffix);
	for (char *p = why; *p; p++)
		if (*p == '\n')
			*p = ' ';
}

int fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	keep_reason(fmt, ap, NULL);
	va_end(ap);
	return WL_FAIL;
}

int fail_errno(const char *fmt, ...)
{
	const char *text = strerrordesc_np(errno);
	va_list ap;

	va_start(ap, fmt);
	keep_reason(fmt, ap, text ? text : "unknown error");
	va_end(ap);
	return WL_FAIL;
}

int skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	keep_reason(fmt, ap, NULL);
	va_end(ap);
	return WL_SKIP;
}

const char *reason(void)
{
	return why[0] ? why : "no reason given";
}

void reason_clear(void)
{
	why[0] = '\0';
}

/* ---- patterns ---- */

/* splitmix64: neighbours look nothing like each other, so shifted or swapped pages are seen. */
uint64_t pattern_word(uint64_t seed, uint64_t i)
{
	uint64_t z = seed * 0x9e3779b97f4a7c15 + i * 0xd1342543de82ef95 + 0x632be59bd9b4e019;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

void pattern_fill(void *p, size_t size, uint64_t seed)
{
	unsigned char *b = p;

	for (size_t at = 0; at < size; at += 8) {
		uint64_t w = pattern_word(seed, at / 8);

		memcpy(b + at, &w, size - at < 8 ? size - at : 8);
	}
}

size_t pattern_differs(const void *p, size_t size, uint64_t seed)
{
	const unsigned char *b = p;

	for (size_t at = 0; at < size; at += 8) {
		uint64_t w = pattern_word(seed, at / 8);
		size_t n = size - at < 8 ? size - at : 8;

		if (memcmp(b + at, &w, n))
			return at;
	}
	return size;
}

int pattern_check(const void *p, size_t size, uint64_t seed, const char *what)
{
	size_t at = pattern_differs(p, size, seed);

	if (at < size)
		return fail("%s: changed at byte %zu of %zu", what, at, size);
	return WL_OK;
}

/* Page classes by number: untouched, one value in every word, or the pattern. */
enum page_class { PAGE_ZERO, PAGE_CONSTANT, PAGE_PATTERN };

static enum page_class page_class(size_t page)
{
	return page % 8 == 5 ? PAGE_ZERO : page % 8 == 6 ? PAGE_CONSTANT : PAGE_PATTERN;
}

void pages_fill(void *p, size_t size, uint64_t seed)
{
	for (size_t page = 0; page < size / PAGE; page++) {
		unsigned char *at = (unsigned char *)p + page * PAGE;

		if (page_class(page) == PAGE_PATTERN)
			pattern_fill(at, PAGE, seed + page);
		else if (page_class(page) == PAGE_CONSTANT)
			memset(at, (int)(seed % 255 + 1), PAGE);
	}
}

static bool all_bytes(const unsigned char *p, size_t n, unsigned char value)
{
	return p[0] == value && !memcmp(p, p + 1, n - 1);
}

int pages_check(const void *p, size_t size, uint64_t seed, const char *what)
{
	for (size_t page = 0; page < size / PAGE; page++) {
		const unsigned char *at = (const unsigned char *)p + page * PAGE;
		enum page_class class = page_class(page);
		unsigned char value = class == PAGE_ZERO ? 0 : (unsigned char)(seed % 255 + 1);
		bool ok = class == PAGE_PATTERN ? pattern_differs(at, PAGE, seed + page) == PAGE
						: all_bytes(at, PAGE, value);

		if (!ok)
			return fail("%s: page %zu of %zu at %p changed", what, page, size / PAGE,
				    at);
	}
	return WL_OK;
}

/* ---- files ---- */

const char *path_in(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", frame_dir(), name);
	return path;
}

int file_make(const char *name, int flags, size_t size, uint64_t seed)
{
	int fd = open(path_in(name), flags | O_CREAT | O_CLOEXEC, 0644);
	unsigned char block[PAGE];

	if (fd < 0)
		return -1;
	for (size_t at = 0; at < size; at += sizeof(block)) {
		size_t n = size - at < sizeof(block) ? size - at : sizeof(block);

		for (size_t i = 0; i < n; i += 8) {
			uint64_t w = pattern_word(seed, (at + i) / 8);

			memcpy(block + i, &w, 8);
		}
		if (pwrite(fd, block, n, (off_t)at) != (ssize_t)n) {
			close(fd);
			return -1;
		}
	}
	return fd;
}

/* ---- futexes and time ---- */

void futex_wait(_Atomic uint32_t *word, uint32_t while_value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, while_value, NULL, NULL, 0);
}

void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

long monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool wait_until(bool (*done)(void *arg), void *arg, long ms)
{
	const struct timespec step = { 0, 2000000 };
	long end = monotonic_ms() + ms;

	while (!done(arg)) {
		if (monotonic_ms() > end)
			return false;
		nanosleep(&step, NULL);
	}
	return true;
}

/* ---- stations ---- */

enum { STATION_CLOSED = UINT32_MAX };

static struct {
	struct station *v;
	size_t n;
} station_lists[64];

static pid_t first_pid;

struct station *stations_new(size_t n)
{
	void *p = mmap(NULL, n * sizeof(struct station), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (!first_pid)
		first_pid = getpid();
	for (size_t i = 0; i < ARRAY_SIZE(station_lists); i++)
		if (!station_lists[i].v) {
			station_lists[i].v = p;
			station_lists[i].n = n;
			return p;
		}
	munmap(p, n * sizeof(struct station));
	return NULL;
}

static void stations_close(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(station_lists); i++)
		for (size_t j = 0; j < station_lists[i].n; j++) {
			station_lists[i].v[j].asked = STATION_CLOSED;
			futex_wake(&station_lists[i].v[j].asked);
		}
}

uint32_t station_wait(struct station *s)
{
	uint32_t done = s->answered, request;

	while ((request = s->asked) == done)
		futex_wait(&s->asked, done);
	/* A thread of the first process ends with it, whose exit status is not ours to give. */
	while (request == STATION_CLOSED && getpid() == first_pid)
		pause();
	if (request == STATION_CLOSED)
		_exit(0);
	return request;
}

void station_answer(struct station *s, uint32_t request, int verdict)
{
	s->verdict = verdict;
	snprintf(s->why, sizeof(s->why), "%.240s", verdict == WL_OK ? "" : reason());
	reason_clear();
	s->answered = request;
	futex_wake(&s->answered);
}

void station_serve(struct station *s, int (*verify)(void *arg), void *arg)
{
	for (;;) {
		uint32_t request = station_wait(s);

		station_answer(s, request, verify(arg));
	}
}

static bool station_answered(void *arg)
{
	struct station *s = arg;

	return s->answered == s->asked;
}

int station_ask(struct station *s, const char *who)
{
	s->asked++;
	futex_wake(&s->asked);
	if (!wait_until(station_answered, s, 20000))
		return fail("%s: gives no answer", who);
	if (s->verdict != WL_OK)
		return fail("%s: %s", who, s->why);
	return WL_OK;
}

/* ---- children ---- */

static pid_t *children;
static size_t n_children;

pid_t child_start(void (*run)(void *arg), void *arg)
{
	return child_clone(0, run, arg);
}

pid_t child_clone(unsigned long flags, void (*run)(void *arg), void *arg)
{
	pid_t *grown = reallocarray(children, n_children + 1, sizeof(*children));
	pid_t pid;

	if (!grown)
		return -1;
	children = grown;
	pid = flags ? (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0) : fork();
	if (pid == 0) {
		n_children = 0;
		/* what is closed in a shared table is closed for all */
		if (!(flags & CLONE_FILES))
			frame_in_child();
		run(arg);
		_exit(0);
	}
	if (pid > 0)
		children[n_children++] = pid;
	return pid;
}

void child_forget(pid_t pid)
{
	for (size_t i = 0; i < n_children; i++)
		if (children[i] == pid)
			children[i] = children[--n_children];
}

void children_kill(void)
{
	stations_close();
	for (size_t i = 0; i < n_children; i++)
		kill(children[i], SIGKILL);
	for (size_t i = 0; i < n_children; i++)
		waitpid(children[i], NULL, 0);
	n_children = 0;
}
