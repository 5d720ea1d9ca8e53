/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/task/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/task/history.h"

enum { PID_LIMIT = 1 << 22 };

static int by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

/* Sorted by pid, to find tasks. */
struct index {
	VEC(struct restore_task *) by_pid;
};

static int by_pid(const void *a, const void *b)
{
	return by_number(&(*(struct restore_task *const *)a)->ns_pid,
			 &(*(struct restore_task *const *)b)->ns_pid);
}

static struct restore_task *find(const struct index *ix, pid_t pid)
{
	struct restore_task key = { .ns_pid = pid }, *k = &key;
	struct restore_task **found =
		bsearch(&k, ix->by_pid.v, ix->by_pid.n, sizeof(*found), by_pid);

	return found ? *found : NULL;
}

static int make_index(struct restore *r, struct index *ix)
{
	struct restore_task **t, **slot;

	vec_foreach (t, &r->tasks) {
		slot = vec_add(&ix->by_pid);
		if (!slot)
			return -ENOMEM;
		*slot = *t;
	}
	qsort(ix->by_pid.v, ix->by_pid.n, sizeof(*slot), by_pid);
	return 0;
}

static int note_id(struct restore *r, pid_t id)
{
	pid_t *slot = vec_add(&r->used_ids);

	if (!slot)
		return -ENOMEM;
	*slot = id;
	return 0;
}

static int note_ids(struct restore *r)
{
	struct restore_task **t;
	struct restore_thread **th;

	vec_foreach (t, &r->tasks) {
		if (note_id(r, (*t)->ns_pid) < 0 || note_id(r, (*t)->ns_sid) < 0 ||
		    note_id(r, (*t)->ns_pgid) < 0)
			return -ENOMEM;
		vec_foreach (th, &(*t)->threads)
			if (note_id(r, (*th)->ns_tid) < 0)
				return -ENOMEM;
	}
	qsort(r->used_ids.v, r->used_ids.n, sizeof(pid_t), by_number);
	return 0;
}

pid_t plan_free_pid(const struct restore *r, pid_t last)
{
	while (++last < PID_LIMIT)
		if (!bsearch(&last, r->used_ids.v, r->used_ids.n, sizeof(last), by_number))
			return last;
	return 0;
}

static int outside(struct restore *r, const struct restore_task *t, const char *what, pid_t id,
		   struct err *err)
{
	err_refuse(err, "%s: the leader of its %s (pid %d) is not in the tree",
		   restore_task_name(r, t), what, id);
	err_hint(err, "--shell-job puts it into the caller's");
	return -EOPNOTSUPP;
}

/*
 * The root is of a session that was not its own: with --shell-job that becomes the caller's, for
 * everybody in it. Its group likewise.
 */
static int adopt_outside_ids(struct restore *r, const struct index *ix, struct err *err)
{
	const struct restore_task *root = r->tasks.v[0];
	pid_t sid = root->ns_sid == root->ns_pid ? 0 : root->ns_sid;
	pid_t pgid = find(ix, root->ns_pgid) ? 0 : root->ns_pgid;
	struct restore_task **t;

	if (sid && !r->opts->shell_job)
		return outside(r, root, "session", sid, err);
	if (pgid && !r->opts->shell_job)
		return outside(r, root, "process group", pgid, err);
	vec_foreach (t, &r->tasks) {
		if ((*t)->ns_sid == sid)
			(*t)->ns_sid = 0;
		if ((*t)->ns_pgid == pgid)
			(*t)->ns_pgid = 0;
	}
	return 0;
}

/* A number that stands for a dead leader must be free. */
static int check_dead_id(struct restore *r, const struct index *ix, const struct restore_task *t,
			 pid_t id, const char *what, struct err *err)
{
	struct restore_task **o;
	struct restore_thread **th;

	if (id < 1 || id > PID_LIMIT)
		return err_image(err, "image 'pstree.img': %s %d of task %d is not valid", what, id,
				 t->ns_pid);
	vec_foreach (o, &r->tasks)
		vec_foreach (th, &(*o)->threads)
			if ((*th)->ns_tid == id)
				return err_image(
					err,
					"image 'pstree.img': %s %d of task %d is led by a thread",
					what, id, t->ns_pid);
	return 0;
}

static int check_session(struct restore *r, const struct index *ix, const struct restore_task *t,
			 struct err *err)
{
	const struct restore_task *l = find(ix, t->ns_sid);

	if (t->ns_sid == t->ns_pid && t->ns_pgid != t->ns_pid)
		return err_image(err, "%s: a session leader in process group %d",
				 restore_task_name(r, t), t->ns_pgid);
	if (!t->ns_sid || (l && l->ns_sid == l->ns_pid))
		return 0;
	if (l)
		return err_image(err, "%s: task %d, the leader of its session, is in another one",
				 restore_task_name(r, t), t->ns_sid);
	return check_dead_id(r, ix, t, t->ns_sid, "session", err);
}

/* The founder of a group may be in another one, but not in another session. */
static int plan_group(struct restore *r, const struct index *ix, struct restore_task *t,
		      struct err *err)
{
	struct restore_task *l = t->ns_pgid ? find(ix, t->ns_pgid) : NULL, **o;

	if (!t->ns_pgid)
		return 0;
	if (l) {
		l->birth.founds_group = true;
		if (l->ns_sid == t->ns_sid)
			return 0;
		return err_image(err, "%s: its process group %d is in another session",
				 restore_task_name(r, t), t->ns_pgid);
	}
	vec_foreach (o, &r->tasks)
		if ((*o)->ns_pgid == t->ns_pgid && (*o)->ns_sid != t->ns_sid)
			return err_image(err, "%s: process group %d is in two sessions",
					 restore_task_name(r, t), t->ns_pgid);
	if (t->ns_pgid == t->ns_sid) /* the helper that leads the session leads it */
		return 0;
	vec_foreach (o, &r->tasks)
		if ((*o)->birth.dead_group == t->ns_pgid)
			return 0;
	t->birth.dead_group = t->ns_pgid;
	return check_dead_id(r, ix, t, t->ns_pgid, "process group", err);
}

static struct restore_task *add_helper(struct restore *r, const struct history_birth *b)
{
	struct restore_task *h = arena_alloc(&r->arena, sizeof(*h));
	struct restore_task **slot = h ? vec_add(&r->helpers) : NULL;

	if (!slot)
		return NULL;
	*slot = h;
	h->index = r->tasks.n + r->helpers.n - 1;
	h->birth.helper = true;
	h->dead = true;
	h->ns_pid = b->pid;
	return h;
}

static int take_plan(struct restore *r, const struct history *h)
{
	size_t i;

	r->rounds = h->rounds;
	for (i = r->tasks.n; i < h->births.n; i++)
		if (!add_helper(r, &h->births.v[i]))
			return -ENOMEM;
	for (i = 0; i < h->births.n; i++) {
		const struct history_birth *b = &h->births.v[i];
		struct restore_task *t = plan_birth(r, i), *f, **slot;

		t->birth.early = b->early;
		t->birth.leads = b->leads;
		t->birth.round = b->round;
		if (b->heir != HISTORY_NOBODY)
			t->birth.heir = plan_birth(r, b->heir);
		if (b->forker == HISTORY_NOBODY)
			continue;
		f = plan_birth(r, b->forker);
		t->birth.forker = f;
		t->birth.moves = h->births.v[b->forker].heir != HISTORY_NOBODY;
		slot = vec_add(&f->birth.forks);
		if (!slot)
			return -ENOMEM;
		*slot = t;
	}
	return 0;
}

static int plan_births_of_all(struct restore *r, struct err *err)
{
	struct history_task *list = calloc(r->tasks.n, sizeof(*list));
	struct history h = { 0 };
	size_t i;
	int n;

	if (!list)
		return err_nomem(err);
	for (i = 0; i < r->tasks.n; i++) {
		const struct restore_task *t = r->tasks.v[i];

		list[i] = (struct history_task){ t->ns_pid, t->ns_sid,
						 t->parent ? t->parent->index : HISTORY_NOBODY };
	}
	n = history_plan(list, r->tasks.n, &h);
	free(list);
	if (n == HISTORY_IMPOSSIBLE) {
		const struct restore_task *t = r->tasks.v[h.failed < r->tasks.n ? h.failed : 0];

		n = err_refuse(err, "%s: its session %d cannot be had by its place in the tree",
			       restore_task_name(r, t), t->ns_sid);
	} else if (n == 0) {
		n = take_plan(r, &h);
	}
	history_done(&h);
	return n == -ENOMEM ? err_nomem(err) : n;
}

int tree_plan(struct restore *r, struct err *err)
{
	struct index ix = { 0 };
	struct restore_task **t;
	int n = make_index(r, &ix);

	if (n == 0)
		n = note_ids(r);
	n = n < 0 ? err_nomem(err) : adopt_outside_ids(r, &ix, err);
	vec_foreach (t, &r->tasks) {
		if (n == 0)
			n = check_session(r, &ix, *t, err);
		if (n == 0)
			n = plan_group(r, &ix, *t, err);
	}
	vec_free(&ix.by_pid);
	return n == 0 ? plan_births_of_all(r, err) : n;
}
