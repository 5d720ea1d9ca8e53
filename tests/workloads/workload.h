/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame of the self-verifying workloads. A workload sets up state that a checkpoint must keep,
 * waits to be asked, and then proves from its own memory that the state is still what it was. It
 * must not know whether it was checkpointed in between.
 *
 * The frame itself uses as little of the kernel as it can (ppoll and two signal handlers), so that
 * a workload tests its own subject and nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { WL_OK = 0, WL_FAIL = 1, WL_SKIP = 77 };

struct workload_param {
	const char *name;
	long value; /* the default, until the command line sets it */
	const char *help;
};

/*
 * setup and verify return WL_OK, or the value of fail() or skip() (setup only). SIGUSR1 and SIGTERM
 * are blocked around them and belong to the frame. verify may be called any number of times and
 * leaves the state as it found it. tick, if there is one, is called about every tick_ms while
 * waiting.
 */
struct workload {
	const char *name, *help;
	struct workload_param *params; /* ends with a NULL name; may be NULL */
	int (*setup)(void);
	int (*verify)(void);
	int (*tick)(void);
	int tick_ms;
	void (*teardown)(void);
};

/* Every subject file has one such list; it ends with a NULL name. table.c names them all. */
extern const struct workload *const workload_groups[];
const struct workload *workload_find(const char *name);

/* ---- verdicts ---- */

/* Keeps the first reason of this thread; return its value. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, and appends the meaning of errno. */
int fail_errno(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Not possible on this machine. */
int skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *reason(void);
void reason_clear(void);

/* ---- parameters and files ---- */

/* The value of a parameter of the workload that was named on the command line, or fallback. */
long param(const char *name, long fallback);
/*
 * Many workloads have the parameter strict, which is 1. With 0 they leave out what CRIU 4.2 loses,
 * for tests in which it makes the images or restores them.
 */
bool strict(void);
#define STRICT_PARAM                                          \
	{                                                     \
		"strict", 1, "0: without what CRIU 4.2 loses" \
	}

/* The path of that name in the working directory of the workload; static storage, four at a time.
 */
const char *path_in(const char *name);

/* Opens (and creates) a file of size bytes holding the pattern of seed. A descriptor or -1. */
int file_make(const char *name, int flags, size_t size, uint64_t seed);

/* ---- patterns: what memory and files hold ---- */

/* The 64-bit word number i of the pattern with that seed. */
uint64_t pattern_word(uint64_t seed, uint64_t i);
void pattern_fill(void *p, size_t size, uint64_t seed);
/* The offset of the first byte that differs, or size. */
size_t pattern_differs(const void *p, size_t size, uint64_t seed);
int pattern_check(const void *p, size_t size, uint64_t seed, const char *what);

/* The same for memory by pages: some pages stay untouched (zero), some hold one value, most the
 * pattern. */
void pages_fill(void *p, size_t size, uint64_t seed);
int pages_check(const void *p, size_t size, uint64_t seed, const char *what);

/* ---- other processes and threads that verify themselves ---- */

/*
 * A station is where a child or a thread waits to be asked. It lives in shared memory and uses
 * nothing but a futex.
 */
struct station {
	_Atomic uint32_t asked, answered;
	int verdict;
	char why[244];
};

/*
 * n stations in shared memory, to be made before the fork. NULL on failure. At the end of the
 * program every process that waits at one exits, so grandchildren end too.
 */
struct station *stations_new(size_t n);

/* Child or thread: waits for a request and gives its number. */
uint32_t station_wait(struct station *s);
/* Child or thread: answers it with what verify said; the reason comes from reason(). */
void station_answer(struct station *s, uint32_t request, int verdict);
/* Child or thread: answers requests for ever. */
void station_serve(struct station *s, int (*verify)(void *arg), void *arg)
	__attribute__((noreturn));
/* Parent: asks and waits. The verdict, or fail() if there is no answer in 20 seconds. */
int station_ask(struct station *s, const char *who);

/* Forks a child that runs run(arg) and then exits. The frame kills and reaps it at the end. -1 on
 * failure. */
pid_t child_start(void (*run)(void *arg), void *arg);
/* The same with flags of clone(2): CLONE_FILES, CLONE_FS, CLONE_PARENT. */
pid_t child_clone(unsigned long flags, void (*run)(void *arg), void *arg);
/* The frame forgets a child that was reaped. */
void child_forget(pid_t pid);

/* ---- small things ---- */

long monotonic_ms(void);
/* Sleeps in steps until done() or until ms have gone by; whether it was done. */
bool wait_until(bool (*done)(void *arg), void *arg, long ms);
/* FUTEX_WAIT and FUTEX_WAKE, without the private flag. */
void futex_wait(_Atomic uint32_t *word, uint32_t while_value);
void futex_wake(_Atomic uint32_t *word);

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
