/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the end of a process adds to System V semaphores, because it has used them with SEM_UNDO.
 * The kernel shows such an adjustment nowhere, but it keeps it within 16 bits: semop(2) fails with
 * ERANGE when one would leave these, and then takes back all of its operations. So the task makes
 * calls that move the adjustment up (a number is added to the semaphore and taken away again, the
 * second with SEM_UNDO), or down, and that end in an operation which never can be done. The error
 * tells whether the adjustment was larger than some number; halving finds it.
 */
#include <errno.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/ns/ns.h"
#include "engine/task/attr.h"
#include "engine/task/task.h"
#include "engine/tracee/guardian.h"
#include "proto/core.pb-c.h"

struct dump_undo {
	struct ns_sems sems;
	bool looked;
};

enum { STEP_MAX = 16384, OPS_MAX = 5 };

/* One semaphore whose adjustment is looked for: it is one of lo to hi. */
struct search {
	int id, lo, hi, step;
	uint16_t num, value;
};

struct searches {
	VEC(struct search) list;
	bool barred; /* the task may not use a set now, but may have used it before */
};

/*
 * Operations that leave the value as it is and move the adjustment by that number. In parts, and
 * up or down first, so that the value in between is one that it can have.
 */
static size_t move_ops(uint16_t num, uint16_t value, int by, struct sembuf *ops)
{
	int left = abs(by);
	size_t n = 0;

	while (left) {
		short part = (short)(left < STEP_MAX ? left : STEP_MAX);
		struct sembuf up = { num, part, IPC_NOWAIT }, down = { num, -part, IPC_NOWAIT };

		/* what is taken away with SEM_UNDO will be added at the end */
		*(by > 0 ? &down.sem_flg : &up.sem_flg) |= SEM_UNDO;
		ops[n++] = value < STEP_MAX ? up : down;
		ops[n++] = value < STEP_MAX ? down : up;
		left -= part;
	}
	return n;
}

/* The question is whether the adjustment is above this. Most are zero: these take two. */
static int middle(const struct search *s)
{
	if (s->lo == SHRT_MIN && s->hi >= 0)
		return s->hi ? 0 : -1;
	return s->lo + (s->hi - s->lo) / 2;
}

static void ask(struct search *s, struct program *p)
{
	int m = middle(s);
	struct sembuf ops[OPS_MAX];
	size_t n = move_ops(s->num, s->value, m >= 0 ? SHRT_MAX - m : SHRT_MIN - m - 1, ops);

	ops[n++] = (struct sembuf){ s->num, SHRT_MIN, IPC_NOWAIT };
	s->step = prog_syscall(p, "asking what is to be undone", PROG_GO_ON, SYS_semop, PN(s->id),
			       PD(prog_bytes(p, ops, n * sizeof(*ops))), PN(n));
}

/* 0, or what went wrong. */
static int answer(struct search *s, int64_t result)
{
	int m = middle(s);
	bool over = result == -ERANGE;

	if (!over && result != -EAGAIN)
		return result < 0 ? (int)result : -EIO;
	if (m >= 0 ? over : !over)
		s->lo = m + 1;
	else
		s->hi = m;
	return 0;
}

/* As many questions from *at on as there is room for. */
static int ask_some(struct dump_thread *th, struct searches *all, size_t *at, struct err *err)
{
	const struct scratch *area = &th->task->scratch;
	struct program p = { 0 };
	size_t first = *at;
	int r;

	for (; *at < all->list.n && (!p.steps.n || program_size(&p) + 512 < area->data_len); ++*at)
		if (all->list.v[*at].lo < all->list.v[*at].hi)
			ask(&all->list.v[*at], &p);
	r = p.steps.n ? program_run(&th->t, area, &p, NULL, NULL, err) : 0;
	for (; p.steps.n && r == 0 && first < *at; first++) {
		struct search *s = &all->list.v[first];
		int failed = s->lo < s->hi ? answer(s, prog_result(&p, s->step)) : 0;

		if (!failed)
			continue;
		s->lo = s->hi = 0;
		/* it is gone, or not the task's to change */
		if (failed == -EACCES)
			all->barred = true;
		else if (failed != -EINVAL && failed != -EIDRM)
			r = err_sys(err, failed, "asking what is to be undone in set %d", s->id);
	}
	if (p.steps.n && r == 0) {
		r = arch_context_set(th->t.tid, th->t.ctx);
		th->t.state = TRACEE_STOPPED;
		if (r < 0)
			err_sys(err, r, "giving thread %d its registers back", th->t.tid);
	}
	program_done(&p);
	return r;
}

static int search_all(struct dump_thread *th, struct searches *all, struct err *err)
{
	bool left = true;
	size_t i;
	int r = 0;

	while (left && r == 0) {
		left = false;
		for (i = 0; i < all->list.n && r == 0;)
			r = ask_some(th, all, &i, err);
		for (i = 0; i < all->list.n; i++)
			left |= all->list.v[i].lo < all->list.v[i].hi;
	}
	return r;
}

/* By the clock, and some time before. */
static int64_t time_of_birth(const struct dump_task *task)
{
	const struct proc_stat *st = task->dead_leader ? &task->leader_stat
						       : &task->threads.v[0]->stat;
	const int64_t slack = 60;
	struct timespec up;

	clock_gettime(CLOCK_BOOTTIME, &up);
	return time(NULL) - slack - (up.tv_sec - (int64_t)st->starttime / sysconf(_SC_CLK_TCK));
}

/*
 * Every process with threads has a list, mostly without any operation. On the host there are sets
 * of others; of these it cannot have used what nobody has used since it is there.
 */
static bool may_have_used(const struct dump *d, const struct dump_thread *th,
			  const struct ns_sem_set *set)
{
	if (d->root_ns.id[NS_IPC] == d->host_ns.id[NS_IPC] && th->task->threads.n > 1 &&
	    set->last < time_of_birth(th->task))
		return false;
	return set->last != 0;
}

/*
 * The kernel walks along all sets that a task has named with SEM_UNDO, for each that it names. On a
 * host with very many sets a process with threads is not asked.
 */
enum { FOREIGN_MAX = 1024 };

static bool are_too_many(struct dump *d, const struct dump_thread *th)
{
	const struct ns_sem_set *set;
	uint64_t n = 0;

	vec_foreach (set, &d->undo->sems.sets)
		n += may_have_used(d, th, set) ? set->n : 0;
	if (n <= FOREIGN_MAX || d->root_ns.id[NS_IPC] != d->host_ns.id[NS_IPC] ||
	    th->task->threads.n == 1)
		return false;
	log_warn(d->log,
		 "%s may have used semaphores of the host with SEM_UNDO; there are %lu, so it is "
		 "not asked",
		 dump_task_name(d, th->task), (unsigned long)n);
	return true;
}

/* The sets are looked at when the first task turns out to have a list. */
static int list_all(struct dump *d, const struct dump_thread *th, struct searches *all,
		    struct err *err)
{
	const struct ns_sem_set *set;
	uint32_t i;
	int r = 0;

	if (!d->undo && !(d->undo = arena_alloc(&d->arena, sizeof(*d->undo))))
		return err_nomem(err);
	if (!d->undo->looked)
		r = ns_sems_look(d, &d->undo->sems, err);
	d->undo->looked = true;
	if (r < 0 || are_too_many(d, th))
		return r;
	vec_foreach (set, &d->undo->sems.sets) {
		for (i = 0; r == 0 && i < set->n && may_have_used(d, th, set); i++) {
			struct search *s = vec_add(&all->list);

			if (!s)
				return err_nomem(err);
			*s = (struct search){ .id = set->id,
					      .num = (uint16_t)i,
					      .value = set->values[i],
					      .lo = SHRT_MIN,
					      .hi = SHRT_MAX };
		}
	}
	return r;
}

void sem_undo_done(struct dump *d)
{
	if (d->undo)
		vec_free(&d->undo->sems.sets);
}

/* Whether two tasks have the same list, or both none. */
static int same_list(pid_t a, pid_t b, bool *ret, struct err *err)
{
	long n = syscall(SYS_kcmp, a, b, KCMP_SYSVSEM, 0, 0);

	/* a kernel without System V semaphores */
	*ret = n == 0 || (n < 0 && errno == EOPNOTSUPP);
	return n < 0 && !*ret ? err_sys(err, -errno, "comparing thread %d with %d", a, b) : 0;
}

/* What a restore makes anew must not be shared with others, nor be elsewhere. */
static void judge(struct dump *d, struct dump_thread *th, const struct searches *all)
{
	const struct search *s;

	if (all->barred && th->task->threads.n == 1)
		dump_refuse(d, th->task,
			    "it has used semaphores with SEM_UNDO, and may not use some of them "
			    "any more, so what is to be undone cannot be learnt");
	else if (all->barred) /* every process with threads has a list */
		log_warn(d->log,
			 "%s may not use some semaphore sets; if it could before and has used "
			 "them with SEM_UNDO, that is lost",
			 dump_task_name(d, th->task));
	vec_foreach (s, &all->list) {
		if (!s->lo)
			continue;
		if (!th->leader)
			dump_refuse(d, th->task,
				    "thread %d has used semaphore %u of set %d with SEM_UNDO, "
				    "apart from the others, which cannot be kept",
				    th->t.tid, s->num, s->id);
		else if (d->root_ns.id[NS_IPC] == d->host_ns.id[NS_IPC])
			dump_refuse(d, th->task,
				    "it has used semaphore %u of set %d with SEM_UNDO, in the IPC "
				    "namespace of the host; hint: give it an IPC namespace of its "
				    "own, or end that operation first",
				    s->num, s->id);
		else
			continue;
		return;
	}
}

static int note(struct dump *d, struct dump_thread *th, const struct searches *all, struct err *err)
{
	TaskCoreEntry *tc = th->leader ? th->core->tc : NULL;
	SemUndoEntry *entries = arena_alloc(&d->arena, (all->list.n + 1) * sizeof(*entries));
	const struct search *s;

	if (!tc)
		return 0;
	tc->sem_undo = arena_alloc(&d->arena, (all->list.n + 1) * sizeof(*tc->sem_undo));
	if (!entries || !tc->sem_undo)
		return err_nomem(err);
	vec_foreach (s, &all->list) {
		SemUndoEntry *e = &entries[tc->n_sem_undo];

		if (!s->lo)
			continue;
		sem_undo_entry__init(e);
		e->id = (uint32_t)s->id;
		e->num = s->num;
		e->adjust = s->lo;
		tc->sem_undo[tc->n_sem_undo++] = e;
	}
	return 0;
}

/* Its filters could end it. */
static bool may_ask(const struct dump_thread *th)
{
	return !th->status.seccomp_mode || th->seccomp_suspended;
}

static int capture_thread(struct dump *d, struct dump_thread *th, struct err *err)
{
	struct searches all = { 0 };
	int r = list_all(d, th, &all, err);

	if (r == 0 && all.list.n && !may_ask(th)) {
		all.barred = true;
		all.list.n = 0;
	}
	if (r == 0)
		r = search_all(th, &all, err);
	if (r == 0) {
		judge(d, th, &all);
		r = note(d, th, &all, err);
	}
	vec_free(&all.list);
	return r;
}

/* Processes can share a list (CLONE_SYSVSEM), as threads do: the first of them tells it. */
static bool is_told(const struct dump *d, const struct dump_task *task)
{
	struct dump_task *const *o;

	vec_foreach (o, &d->tasks) {
		if (*o == task)
			break;
		if ((*o)->undo_id == task->undo_id)
			return true;
	}
	return false;
}

/* A thread with another list than its process, or the only one with a list. */
static int has_own_list(const struct dump *d, const struct dump_thread *th, bool *ret,
			struct err *err)
{
	bool same = false;
	int r = same_list(th->t.tid, th->task->tid, &same, err);

	/* was forked, so it has no list */
	if (r == 0 && !same)
		r = same_list(th->t.tid, guardian_pid(d->guardian), &same, err);
	*ret = !same;
	return r;
}

int sem_undo_capture(struct dump *d, struct dump_task *task, struct err *err)
{
	size_t i;
	int r = 0;

	if (task->undo_id && !is_told(d, task))
		r = capture_thread(d, task->threads.v[0], err);
	for (i = 1; i < task->threads.n && r == 0; i++) {
		bool own;

		r = has_own_list(d, task->threads.v[i], &own, err);
		if (r == 0 && own)
			r = capture_thread(d, task->threads.v[i], err);
	}
	return r;
}

/* ---- restore ---- */

static int check(struct restore *r, struct restore_thread *th, struct err *err)
{
	const TaskCoreEntry *tc = th->core->tc;
	size_t i;

	for (i = 0; i < tc->n_sem_undo; i++) {
		const SemUndoEntry *e = tc->sem_undo[i];
		uint16_t value;

		if (e->adjust < SHRT_MIN || e->adjust > SHRT_MAX)
			return err_image(err, "adjustment %d is out of range", e->adjust);
		if (e->id > INT_MAX || !ns_sem_value(r, (int)e->id, e->num, &value))
			return err_image(err, "semaphore %u of set %u is in no image", e->num,
					 e->id);
	}
	return 0;
}

static void put(struct restore *r, struct restore_thread *th, struct program *p)
{
	const TaskCoreEntry *tc = th->core->tc;
	size_t i;

	for (i = 0; i < tc->n_sem_undo; i++) {
		const SemUndoEntry *e = tc->sem_undo[i];
		struct sembuf ops[OPS_MAX];
		uint16_t value = 0;
		size_t n;

		ns_sem_value(r, (int)e->id, e->num, &value);
		n = move_ops((uint16_t)e->num, value, e->adjust, ops);
		prog_syscall(p, "noting what is to be undone of semaphore operations", PROG_STOP,
			     SYS_semop, PN(e->id), PD(prog_bytes(p, ops, n * sizeof(*ops))), PN(n));
	}
}

const struct task_attr attr_sem_undo = { .name = "semaphore adjustments",
					 .check = check,
					 .put = put };
