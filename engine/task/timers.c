/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interval timers and POSIX timers. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/task/attr.h"
#include "proto/core.pb-c.h"
#include "proto/timers.pb-c.h"

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#endif

static const int itimers[3] = { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };

static void ask_itimers(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_ITIMERS];
	int i;

	a->data = prog_bytes(p, NULL, 3 * sizeof(struct itimerval));
	for (i = 0; i < 3; i++)
		a->step = prog_syscall(p, "asking for an interval timer", PROG_STOP, SYS_getitimer,
				       PN(itimers[i]),
				       PD(a->data + (unsigned)i * sizeof(struct itimerval)));
}

static TaskTimersEntry *timers_of(struct dump *d, CoreEntry *core)
{
	if (!core->tc->timers) {
		core->tc->timers = arena_alloc(&d->arena, sizeof(*core->tc->timers));
		if (core->tc->timers)
			task_timers_entry__init(core->tc->timers);
	}
	return core->tc->timers;
}

static int capture_itimers(struct dump *d, struct dump_thread *th, const struct program *p,
			   CoreEntry *core, struct err *err)
{
	const struct itimerval *v = prog_out(p, th->asked[ASKED_ITIMERS].data);
	ItimerEntry *e = arena_alloc(&d->arena, 3 * sizeof(*e));
	TaskTimersEntry *t = timers_of(d, core);
	int i;

	if (!e || !t)
		return err_nomem(err);
	for (i = 0; i < 3; i++) {
		itimer_entry__init(&e[i]);
		e[i].isec = (uint64_t)v[i].it_interval.tv_sec;
		e[i].iusec = (uint64_t)v[i].it_interval.tv_usec;
		e[i].vsec = (uint64_t)v[i].it_value.tv_sec;
		e[i].vusec = (uint64_t)v[i].it_value.tv_usec;
	}
	t->real = &e[0];
	t->virt = &e[1];
	t->prof = &e[2];
	return 0;
}

static int check_itimers(struct restore *r, struct restore_thread *th, struct err *err)
{
	const TaskTimersEntry *t = th->core->tc->timers;
	const ItimerEntry *v[3];
	int i;

	if (!t)
		return err_image(err, "it has no timers");
	v[0] = t->real;
	v[1] = t->virt;
	v[2] = t->prof;
	for (i = 0; i < 3; i++)
		if (v[i]->iusec >= 1000000 || v[i]->vusec >= 1000000 || v[i]->vsec > INT64_MAX ||
		    v[i]->isec > INT64_MAX)
			return err_image(err, "an interval timer has a time that does not exist");
	return 0;
}

static void put_itimers(struct restore *r, struct restore_thread *th, struct program *p)
{
	const TaskTimersEntry *t = th->core->tc->timers;
	const ItimerEntry *v[3] = { t->real, t->virt, t->prof };
	int i;

	for (i = 0; i < 3; i++) {
		struct itimerval it = { { (time_t)v[i]->isec, (suseconds_t)v[i]->iusec },
					{ (time_t)v[i]->vsec, (suseconds_t)v[i]->vusec } };

		if (v[i]->vsec || v[i]->vusec || v[i]->isec || v[i]->iusec)
			prog_syscall(p, "setting an interval timer", PROG_STOP, SYS_setitimer,
				     PN(itimers[i]), PD(prog_bytes(p, &it, sizeof(it))), PN(0));
	}
}

const struct task_attr attr_itimers = { .name = "interval timers",
					.ask = ask_itimers,
					.capture = capture_itimers,
					.check = check_itimers,
					.put = put_itimers };

/* ---- POSIX timers ---- */

static int read_timers(struct dump *d, const struct dump_task *task, struct proc_timers *ret)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = io_read_file(task->proc_fd, "timers", &b);

	return r < 0 ? r : proc_timers_parse(b.data, b.len, ret);
}

static void ask_posix(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_POSIX_TIMERS];
	struct proc_timers *t = arena_alloc(&d->arena, sizeof(*t));
	size_t i;

	a->step = -1;
	if (!t || read_timers(d, th->task, t) < 0)
		return; /* capture says so */
	th->task->timers = t;
	a->data = prog_bytes(p, NULL, t->n * sizeof(struct itimerspec));
	for (i = 0; i < t->n; i++) {
		int step = prog_syscall(p, "asking for a timer", PROG_STOP, SYS_timer_gettime,
					PN(t->v[i].id),
					PD(a->data + i * sizeof(struct itimerspec)));

		if (i == 0)
			a->step = step;
		prog_syscall(p, "asking for a timer's overruns", PROG_GO_ON, SYS_timer_getoverrun,
			     PN(t->v[i].id));
	}
}

/* The target is a pid as we see it; the image wants the thread's number inside. */
static int thread_inside(const struct dump_task *task, pid_t tid)
{
	struct dump_thread **th;

	vec_foreach (th, &task->threads)
		if ((*th)->t.tid == tid)
			return (*th)->t.ns_tid;
	return 0;
}

static int capture_posix(struct dump *d, struct dump_thread *th, const struct program *p,
			 CoreEntry *core, struct err *err)
{
	const struct proc_timers *t = th->task->timers;
	const struct asked *a = &th->asked[ASKED_POSIX_TIMERS];
	TaskTimersEntry *out = timers_of(d, core);
	const struct itimerspec *v = prog_out(p, a->data);
	PosixTimerEntry *e;
	size_t i;

	if (!t)
		return err_new(err, ERR_ENVIRONMENT, -ENOENT, "reading /proc/%d/timers",
			       th->task->pid);
	e = arena_alloc(&d->arena, (t->n + 1) * sizeof(*e));
	out->posix = arena_alloc(&d->arena, (t->n + 1) * sizeof(*out->posix));
	if (!e || !out->posix)
		return err_nomem(err);
	for (i = 0; i < t->n; i++, e++) {
		int64_t overrun = prog_result(p, a->step + (int)i * 2 + 1);

		posix_timer_entry__init(e);
		e->it_id = (uint32_t)t->v[i].id;
		e->clock_id = (uint32_t)t->v[i].clock_id;
		e->si_signo = (uint32_t)t->v[i].signo;
		e->it_sigev_notify = (uint32_t)t->v[i].notify;
		e->sival_ptr = t->v[i].sigev_value;
		e->overrun = overrun > 0 ? (uint32_t)overrun : 0;
		e->isec = (uint64_t)v[i].it_interval.tv_sec;
		e->insec = (uint64_t)v[i].it_interval.tv_nsec;
		e->vsec = (uint64_t)v[i].it_value.tv_sec;
		e->vnsec = (uint64_t)v[i].it_value.tv_nsec;
		if (t->v[i].thread_id) {
			e->it_sigev_notify |= SIGEV_THREAD_ID;
			e->has_notify_thread_id = true;
			e->notify_thread_id = thread_inside(th->task, t->v[i].target);
		}
		out->posix[out->n_posix++] = e;
	}
	vec_free(th->task->timers);
	return 0;
}

/*
 * Before 6.15 the kernel gives a process one number after the other. Counting up to a high one
 * takes too many calls.
 */
enum { COUNTED_IDS_MAX = 2000, RESTORE_IDS_GET = 2 };

static bool can_choose_ids(void)
{
	return prctl(PR_TIMER_CREATE_RESTORE_IDS, RESTORE_IDS_GET, 0, 0, 0) >= 0;
}

static int check_posix(struct restore *r, struct restore_thread *th, struct err *err)
{
	const TaskTimersEntry *t = th->core->tc->timers;
	size_t i;

	for (i = 0; t && i < t->n_posix; i++) {
		const PosixTimerEntry *e = t->posix[i];

		if (e->it_id > INT32_MAX || e->si_signo > 64 || e->insec >= 1000000000 ||
		    e->vnsec >= 1000000000)
			return err_image(err, "POSIX timer %u is not valid", e->it_id);
		if (e->it_id >= COUNTED_IDS_MAX && !can_choose_ids())
			return err_refuse(
				err,
				"POSIX timer %u has a number that only Linux 6.15 gives at "
				"once; here they end at %d",
				e->it_id, COUNTED_IDS_MAX);
	}
	return 0;
}

static void put_new_timer(const PosixTimerEntry *e, struct program *p)
{
	struct sigevent ev = { 0 };
	int id = (int)e->it_id;
	uint64_t at = prog_bytes(p, &id, sizeof(id));

	ev.sigev_notify = (int)e->it_sigev_notify;
	ev.sigev_signo = (int)e->si_signo;
	ev.sigev_value.sival_ptr = (void *)(uintptr_t)e->sival_ptr;
	if (e->has_notify_thread_id)
		ev._sigev_un._tid = e->notify_thread_id;
	prog_syscall(p, "making a POSIX timer", PROG_STOP, SYS_timer_create, PN((int)e->clock_id),
		     PD(prog_bytes(p, &ev, sizeof(ev))), PD(at));
}

static void put_chosen(const TaskTimersEntry *t, struct program *p)
{
	size_t i;

	prog_syscall(p, "asking for timers with chosen ids (Linux 6.15)", PROG_STOP, SYS_prctl,
		     PN(PR_TIMER_CREATE_RESTORE_IDS), PN(1), PN(0), PN(0), PN(0));
	for (i = 0; i < t->n_posix; i++)
		put_new_timer(t->posix[i], p);
	prog_syscall(p, "ending timers with chosen ids", PROG_STOP, SYS_prctl,
		     PN(PR_TIMER_CREATE_RESTORE_IDS), PN(0), PN(0), PN(0), PN(0));
}

static const PosixTimerEntry *timer_of(const TaskTimersEntry *t, uint32_t id)
{
	size_t i;

	for (i = 0; i < t->n_posix; i++)
		if (t->posix[i]->it_id == id)
			return t->posix[i];
	return NULL;
}

/* Those in between are deleted again. */
void timers_put_counted(const TaskTimersEntry *t, struct program *p)
{
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	uint64_t unused = prog_bytes(p, NULL, sizeof(int));
	uint64_t ev = prog_bytes(p, &none, sizeof(none));
	uint64_t now = prog_bytes(p, NULL, sizeof(struct itimerspec));
	uint32_t id;
	size_t left = t->n_posix;

	for (id = 0; left && id < COUNTED_IDS_MAX; id++) {
		const PosixTimerEntry *e = timer_of(t, id);

		if (e) {
			put_new_timer(e, p);
			prog_syscall(p, "looking for a POSIX timer by its number", PROG_STOP,
				     SYS_timer_gettime, PN(id), PD(now));
			left--;
			continue;
		}
		prog_syscall(p, "counting up to the number of a POSIX timer", PROG_STOP,
			     SYS_timer_create, PN(CLOCK_MONOTONIC), PD(ev), PD(unused));
		prog_syscall(p, "counting up to the number of a POSIX timer", PROG_STOP,
			     SYS_timer_delete, PN(id));
	}
}

static void put_posix(struct restore *r, struct restore_thread *th, struct program *p)
{
	const TaskTimersEntry *t = th->core->tc->timers;
	size_t i;

	if (!t->n_posix)
		return;
	if (can_choose_ids())
		put_chosen(t, p);
	else
		timers_put_counted(t, p);
	for (i = 0; i < t->n_posix; i++) {
		const PosixTimerEntry *e = t->posix[i];
		struct itimerspec it = { { (time_t)e->isec, (long)e->insec },
					 { (time_t)e->vsec, (long)e->vnsec } };

		if (e->vsec || e->vnsec)
			prog_syscall(p, "starting a POSIX timer", PROG_STOP, SYS_timer_settime,
				     PN(e->it_id), PN(0), PD(prog_bytes(p, &it, sizeof(it))),
				     PN(0));
	}
}

const struct task_attr attr_posix_timers = { .name = "POSIX timers",
					     .ask = ask_posix,
					     .capture = capture_posix,
					     .check = check_posix,
					     .put = put_posix };
