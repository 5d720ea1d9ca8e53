/* SPDX-License-Identifier: GPL-2.0-or-later */
/* POSIX timers get their numbers by counting; the calls are made here, in the order of the program.
 */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/task/attr.h"
#include "proto/core.pb-c.h"
#include "proto/timers.pb-c.h"
#include "tests/lib/test.h"

static uint64_t value_of(struct program *p, const struct prog_arg *a)
{
	return a->kind == PROG_DATA ? (uint64_t)(uintptr_t)(p->data.v + a->v) : a->v;
}

/* What a task would do. */
static void run_here(struct program *p)
{
	struct prog_step *s;

	vec_foreach (s, &p->steps) {
		long r = syscall((long)s->nr, value_of(p, &s->args[0]), value_of(p, &s->args[1]),
				 value_of(p, &s->args[2]), value_of(p, &s->args[3]));

		if (r < 0)
			test_fail(__FILE__, __LINE__, "%s: error %d", s->what, errno);
	}
}

static bool is_there(int id)
{
	struct itimerspec now;

	return syscall(SYS_timer_gettime, id, &now) == 0;
}

TEST(numbers_with_gaps)
{
	static const uint32_t ids[] = { 7, 0, 3 };
	PosixTimerEntry timers[3], *list[3];
	TaskTimersEntry all = TASK_TIMERS_ENTRY__INIT;
	struct program p = { 0 };
	int i;

	for (i = 0; i < 3; i++) {
		posix_timer_entry__init(&timers[i]);
		timers[i].it_id = ids[i];
		timers[i].clock_id = CLOCK_MONOTONIC;
		timers[i].it_sigev_notify = SIGEV_NONE;
		list[i] = &timers[i];
	}
	all.posix = list;
	all.n_posix = 3;
	timers_put_counted(&all, &p);
	check(!p.broken);
	run_here(&p);
	for (i = 0; i < 10; i++)
		check_int(is_there(i), i == 0 || i == 3 || i == 7);
	program_done(&p);
}

TEST_MAIN()
