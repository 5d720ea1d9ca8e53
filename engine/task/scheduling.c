/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The scheduling of a thread: sched_setattr(2), sched(7). */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/task/attr.h"
#include "proto/core.pb-c.h"

/* Of the system call, version 1; an older kernel leaves the last two as they are. */
struct sched_values {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

enum { POLICY_DEADLINE = 6, FLAG_RESET = 1, FLAG_CLAMPS = 0x60 };

static int get(pid_t tid, struct sched_values *ret)
{
	*ret = (struct sched_values){ .size = sizeof(*ret) };
	return syscall(SYS_sched_getattr, tid, ret, sizeof(*ret), 0) < 0 ? -errno : 0;
}

static bool is_realtime(uint32_t policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

/*
 * Since 6.12 an ordinary thread may have chosen the length of its slice; most have the default,
 * which is the engine's own.
 */
static void note_times(const struct sched_values *a, const struct sched_values *own,
		       ThreadCoreEntry *c)
{
	if (a->policy != POLICY_DEADLINE && (!a->runtime || own->runtime == a->runtime))
		return;
	c->has_sched_runtime = true;
	c->sched_runtime = a->runtime;
	if (a->policy != POLICY_DEADLINE)
		return;
	c->has_sched_deadline = c->has_sched_period = c->has_sched_flags = true;
	c->sched_deadline = a->deadline;
	c->sched_period = a->period;
	c->sched_flags = a->flags;
}

static void note_clamps(const struct sched_values *a, const struct sched_values *own,
			ThreadCoreEntry *c)
{
	if (own->util_min == a->util_min && own->util_max == a->util_max)
		return;
	c->has_sched_util_min = c->has_sched_util_max = true;
	c->sched_util_min = a->util_min;
	c->sched_util_max = a->util_max;
}

/*
 * sched_setattr(2) has the flag of the reset apart; in the image it is part of the policy, as in
 * sched_setscheduler(2).
 */
static int capture(struct dump *d, struct dump_thread *th, const struct program *p, CoreEntry *core,
		   struct err *err)
{
	ThreadCoreEntry *c = core->thread_core;
	struct sched_values a, own;
	int r = get(th->t.tid, &a);

	if (r == 0)
		r = get(0, &own);
	if (r < 0)
		return err_sys(err, r, "reading the scheduling of thread %d", th->t.tid);
	if (a.policy > POLICY_DEADLINE || a.policy == 4)
		dump_refuse(d, th->task, "thread %d: scheduling policy %u cannot be kept yet",
			    th->t.tid, a.policy);
	c->has_sched_nice = c->has_sched_policy = true;
	c->sched_nice = a.policy == SCHED_OTHER || a.policy == SCHED_BATCH ? a.nice : th->stat.nice;
	c->sched_policy = a.policy | (a.flags & FLAG_RESET ? SCHED_RESET_ON_FORK : 0);
	if (is_realtime(a.policy)) {
		c->has_sched_prio = true;
		c->sched_prio = a.priority;
	}
	note_times(&a, &own, c);
	if (!is_realtime(a.policy))
		note_clamps(&a, &own, c);
	return 0;
}

/* What is to be, from what the thread has now. */
static struct sched_values wanted(const ThreadCoreEntry *c, const struct sched_values *now)
{
	struct sched_values a = *now;

	a.policy = c->sched_policy & ~(uint32_t)SCHED_RESET_ON_FORK;
	a.flags = c->sched_policy & SCHED_RESET_ON_FORK ? FLAG_RESET : 0;
	a.nice = c->sched_nice;
	a.priority = c->has_sched_prio ? c->sched_prio : 0;
	if (c->has_sched_runtime)
		a.runtime = c->sched_runtime;
	if (c->has_sched_deadline)
		a.deadline = c->sched_deadline;
	if (c->has_sched_period)
		a.period = c->sched_period;
	if (c->has_sched_flags)
		a.flags |= c->sched_flags;
	if (c->has_sched_util_min && c->has_sched_util_max) {
		a.util_min = c->sched_util_min;
		a.util_max = c->sched_util_max;
	}
	return a;
}

static int finish(struct restore *r, struct restore_thread *th, struct err *err)
{
	const ThreadCoreEntry *c = th->core->thread_core;
	struct sched_values a, now;
	int code;

	if (!c->has_sched_policy)
		return 0;
	code = get(th->t.tid, &now);
	if (code < 0)
		return err_sys(err, code, "reading the scheduling of thread %d", th->ns_tid);
	a = wanted(c, &now);
	if (memcmp(&a, &now, sizeof(a)) == 0)
		return 0;
	/* 0 is the default slice */
	if (!c->has_sched_runtime)
		a.runtime = 0;
	if (a.util_min != now.util_min || a.util_max != now.util_max)
		a.flags |= FLAG_CLAMPS;
	if (setpriority(PRIO_PROCESS, (id_t)th->t.tid, c->sched_nice) < 0 ||
	    syscall(SYS_sched_setattr, th->t.tid, &a, 0) < 0)
		return err_sys(err, -errno, "setting the scheduling of thread %d", th->ns_tid);
	return 0;
}

const struct task_attr attr_sched = {
	.name = "scheduling", .per_thread = true, .capture = capture, .finish = finish
};
