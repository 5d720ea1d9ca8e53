/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/task/sharing.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "engine/base/cleanup.h"
#include "engine/task/builder-run.h"
#include "engine/task/plan.h"
#include "proto/task.pb-c.h"

/* ---- the plan ---- */

static int by_group(const void *a, const void *b)
{
	const struct share_node *x = *(struct share_node *const *)a,
				*y = *(struct share_node *const *)b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return x < y ? -1 : x > y;
}

static int claim(struct share_node *node, uint32_t group)
{
	if (node->carry && node->carry != group)
		return SHARE_CROSSES;
	node->carry = group;
	return 0;
}

static int set_depths(struct share_node *nodes, size_t n, size_t *ret_index)
{
	size_t i;

	for (i = 0; i < n; i++) {
		size_t at = i, depth = 0;

		for (; nodes[at].forker != SHARE_NOBODY; at = nodes[at].forker)
			if (nodes[at].forker >= n || ++depth > n) {
				*ret_index = i;
				return SHARE_CROSSES;
			}
		nodes[i].depth = depth;
	}
	return 0;
}

/* The ways of two members upwards meet: the deeper one goes up a step, until both are one. */
static int join(struct share_node *nodes, size_t a, size_t b, size_t *ret_index)
{
	uint32_t group = nodes[a].group;

	while (a != b) {
		size_t *deeper = nodes[a].depth > nodes[b].depth ? &a : &b;

		*ret_index = *deeper;
		if (nodes[*deeper].forker == SHARE_NOBODY)
			return SHARE_CROSSES;
		*deeper = nodes[*deeper].forker;
		*ret_index = *deeper;
		if (claim(&nodes[*deeper], group))
			return SHARE_CROSSES;
	}
	return 0;
}

int share_plan(struct share_node *nodes, size_t n, size_t *ret_index)
{
	cleanup_free struct share_node **sorted = calloc(n + 1, sizeof(*sorted));
	size_t i;

	if (!sorted)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		sorted[i] = &nodes[i];
		nodes[i].carry = 0;
	}
	qsort(sorted, n, sizeof(*sorted), by_group);
	if (set_depths(nodes, n, ret_index))
		return SHARE_CROSSES;
	/* first the members, then the ways between them, which together are one tree a group */
	for (i = 1; i < n; i++)
		if (sorted[i]->group && sorted[i]->group == sorted[i - 1]->group)
			sorted[i]->carry = sorted[i - 1]->carry = sorted[i]->group;
	for (i = 1; i < n; i++)
		if (sorted[i]->carry && sorted[i]->group == sorted[i - 1]->group &&
		    join(nodes, (size_t)(sorted[i - 1] - nodes), (size_t)(sorted[i] - nodes),
			 ret_index))
			return SHARE_CROSSES;
	return 0;
}

/* Whether who forks it has that memory; helpers have that of who forks them. */
static bool has_it_by_birth(const struct share_kin *kin, size_t i)
{
	size_t at = kin[i].forker;

	while (at != SHARE_NOBODY && kin[at].helper)
		at = kin[at].forker;
	return at == SHARE_NOBODY || kin[at].memory == kin[i].memory;
}

/* It must be born into the same session as the sibling, and get the same signal. */
static bool can_clone(const struct share_kin *kin, size_t by, size_t i)
{
	const struct share_kin *a = &kin[by], *b = &kin[i];
	size_t at;

	if (a->helper || a->memory != b->memory || a->parent != b->parent || a->leads || b->leads ||
	    a->sid != b->sid || a->exit_signal != b->exit_signal)
		return false;
	for (at = by; at != SHARE_NOBODY; at = kin[at].forker)
		if (at == i)
			return false;
	return true;
}

static int by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The memories that more than one has, in order; their number. */
static size_t find_shared(const struct share_kin *kin, size_t n, uint32_t *ids)
{
	size_t i, found = 0;

	for (i = 0; i < n; i++)
		ids[i] = kin[i].helper ? 0 : kin[i].memory;
	qsort(ids, n, sizeof(*ids), by_id);
	for (i = 1; i < n; i++)
		if (ids[i] && ids[i] == ids[i - 1] && (!found || ids[found - 1] != ids[i]))
			ids[found++] = ids[i];
	return found;
}

static size_t find_sibling(const struct share_kin *kin, size_t i)
{
	size_t k, found = SHARE_NOBODY;

	for (k = 0; k < i; k++)
		if (can_clone(kin, k, i) &&
		    (found == SHARE_NOBODY || (kin[k].handlers == kin[i].handlers &&
					       kin[found].handlers != kin[i].handlers)))
			found = k;
	return found;
}

int share_siblings(struct share_kin *kin, size_t n)
{
	cleanup_free uint32_t *shared = calloc(n + 1, sizeof(*shared));
	size_t i, n_shared;

	if (!shared)
		return -ENOMEM;
	n_shared = find_shared(kin, n, shared);
	for (i = 0; i < n; i++) {
		size_t sibling;

		if (kin[i].helper ||
		    !bsearch(&kin[i].memory, shared, n_shared, sizeof(*shared), by_id) ||
		    has_it_by_birth(kin, i))
			continue;
		sibling = find_sibling(kin, i);
		if (sibling == SHARE_NOBODY)
			continue;
		kin[i].forker = sibling;
		kin[i].sibling = true;
	}
	return 0;
}

bool share_stays_with(const struct share_node *node, enum shared_table table, bool ends)
{
	bool leaves = node->carry && node->carry != node->group;

	return !leaves || ends || (table != SHARED_MEMORY && table != SHARED_HANDLERS);
}

const char *share_name(enum shared_table table)
{
	static const char *const names[] = {
		[SHARED_FILES] = "descriptors",
		[SHARED_DIRS] = "directories",
		[SHARED_UNDO] = "semaphore operations to undo",
		[SHARED_MEMORY] = "memory",
		[SHARED_HANDLERS] = "signal handlers",
	};

	return names[table];
}

/* ---- a restore ---- */

static uint32_t group_of(const struct restore_task *t, enum shared_table table)
{
	if (t->dead || !t->ids)
		return 0;
	switch (table) {
	case SHARED_FILES:
		return t->ids->files_id;
	case SHARED_DIRS:
		return t->ids->fs_id;
	case SHARED_UNDO:
		return t->ids->undo_id;
	case SHARED_MEMORY:
		return t->ids->vm_id;
	case SHARED_HANDLERS:
		return t->ids->sighand_id;
	default:
		return 0;
	}
}

static struct task_table *table_of(struct restore_task *t, enum shared_table table)
{
	switch (table) {
	case SHARED_FILES:
		return &t->files;
	case SHARED_DIRS:
		return &t->dirs;
	case SHARED_UNDO:
		return &t->undo;
	case SHARED_MEMORY:
		return &t->memory;
	default:
		return &t->handlers;
	}
}

static void note_members(struct restore *r, const struct share_node *nodes, enum shared_table table)
{
	size_t i, k, n = plan_births(r);

	for (i = 0; i < n; i++) {
		struct task_table *t = table_of(plan_birth(r, i), table);

		*t = (struct task_table){ .carry = nodes[i].carry, .first = true, .last = true };
		t->stays = t->carry && t->carry == nodes[i].group;
		for (k = 0; t->stays && k < i; k++) {
			struct task_table *o = table_of(plan_birth(r, k), table);

			if (o->stays && nodes[k].group == nodes[i].group) {
				t->first = false;
				o->last = false;
			}
		}
	}
}

static int plan_one(struct restore *r, enum shared_table table, struct err *err)
{
	cleanup_free struct share_node *nodes = calloc(plan_births(r) + 1, sizeof(*nodes));
	size_t i, at = 0;
	int n;

	if (!nodes)
		return err_nomem(err);
	for (i = 0; i < plan_births(r); i++) {
		const struct restore_task *t = plan_birth(r, i);

		nodes[i].forker = t->birth.forker ? t->birth.forker->index : SHARE_NOBODY;
		nodes[i].group = group_of(t, table);
	}
	n = share_plan(nodes, plan_births(r), &at);
	if (n < 0)
		return err_nomem(err);
	for (i = 0; i < plan_births(r) && n == 0; i++) {
		if (share_stays_with(&nodes[i], table, plan_birth(r, i)->birth.helper))
			continue;
		at = i;
		n = SHARE_CROSSES;
	}
	if (n == SHARE_CROSSES)
		return err_refuse(err,
				  "%s that tasks share cannot be had by their places in the tree: "
				  "it would have to go through %s",
				  share_name(table), builder_name(r, plan_birth(r, at)));
	note_members(r, nodes, table);
	return 0;
}

/* ---- memory ---- */

/* The kernel shares handlers only where it shares memory. */
static int check_handlers(struct restore *r, struct err *err)
{
	struct restore_task **t, **o;

	vec_foreach (t, &r->tasks) {
		if (!(*t)->handlers.stays)
			continue;
		vec_foreach (o, &r->tasks)
			if ((*o)->handlers.stays && (*t)->handlers.carry == (*o)->handlers.carry &&
			    (*t)->ids->vm_id != (*o)->ids->vm_id)
				return err_image(err,
						 "image 'ids-%d.img': it shares its signal "
						 "handlers with task %d and not its memory",
						 (*t)->ns_pid, (*o)->ns_pid);
	}
	return 0;
}

static void find_memory(struct restore *r, struct restore_task *t)
{
	struct restore_task **o;

	t->memory_of = t;
	vec_foreach (o, &r->tasks) {
		if (*o == t || !t->memory.stays)
			return;
		if (!(*o)->memory.stays || (*o)->memory.carry != t->memory.carry)
			continue;
		if (!t->memory_rank)
			t->memory_of = *o;
		t->memory_rank++;
	}
}

/* One turn for all who have or hand on that memory. */
static int find_turn(struct restore *r, struct restore_task *t, struct err *err)
{
	size_t i;

	for (i = 0; i < t->index && t->memory.carry && !t->turn; i++)
		if (plan_birth(r, i)->memory.carry == t->memory.carry)
			t->turn = plan_birth(r, i)->turn;
	if (t->memory.carry && !t->turn)
		t->turn = arena_alloc(&r->arena, sizeof(*t->turn));
	return t->memory.carry && !t->turn ? err_nomem(err) : 0;
}

static int move_birth(struct restore_task *t, struct restore_task *to)
{
	struct task_birth *from = &t->birth.forker->birth;
	struct restore_task **slot = vec_add(&to->birth.forks);
	size_t i, n = 0;

	if (!slot)
		return -ENOMEM;
	*slot = t;
	for (i = 0; i < from->forks.n; i++)
		if (from->forks.v[i] != t)
			from->forks.v[n++] = from->forks.v[i];
	from->forks.n = n;
	t->birth.forker = to;
	t->birth.sibling = true;
	t->birth.early = false;
	t->birth.moves = to->birth.moves;
	return 0;
}

static int plan_siblings(struct restore *r, struct err *err)
{
	size_t i, n = plan_births(r);
	cleanup_free struct share_kin *kin = calloc(n + 1, sizeof(*kin));

	if (!kin)
		return err_nomem(err);
	for (i = 0; i < n; i++) {
		const struct restore_task *t = plan_birth(r, i);

		kin[i] = (struct share_kin){
			.forker = t->birth.forker ? t->birth.forker->index : SHARE_NOBODY,
			.parent = t->parent ? t->parent->index : SHARE_NOBODY,
			.helper = t->birth.helper,
			.leads = t->birth.leads,
			.sid = t->ns_sid,
			.exit_signal = t->exit_signal,
			.memory = group_of(t, SHARED_MEMORY),
			.handlers = group_of(t, SHARED_HANDLERS),
		};
	}
	if (share_siblings(kin, n) < 0)
		return err_nomem(err);
	for (i = 0; i < n; i++)
		if (kin[i].sibling &&
		    move_birth(plan_birth(r, i), plan_birth(r, kin[i].forker)) < 0)
			return err_nomem(err);
	return 0;
}

int share_load(struct restore *r, struct err *err)
{
	struct restore_task **t;
	size_t i;
	int table, n = plan_siblings(r, err);

	for (table = 0; table < SHARED_TABLES && n == 0; table++)
		n = plan_one(r, (enum shared_table)table, err);
	vec_foreach (t, &r->tasks)
		find_memory(r, *t);
	for (i = 0; i < plan_births(r) && n == 0; i++)
		n = find_turn(r, plan_birth(r, i), err);
	return n == 0 ? check_handlers(r, err) : n;
}

static bool hands_on(const struct task_table *from, const struct task_table *to)
{
	return from->carry && from->carry == to->carry;
}

struct restore_task *share_memory_begins(const struct restore *r, struct restore_task *task)
{
	const struct restore_task *forker = task->birth.forker;
	struct restore_task *const *t;

	if (!task->memory.carry)
		return task;
	vec_foreach (t, &r->tasks)
		if ((*t)->memory.stays && (*t)->memory.carry == task->memory.carry)
			return forker && hands_on(&forker->memory, &task->memory) ? NULL : *t;
	return NULL;
}

uint64_t share_clone_flags(const struct restore_task *forker, const struct restore_task *child)
{
	return (child->birth.sibling ? CLONE_PARENT : 0) |
	       (hands_on(&forker->files, &child->files) ? CLONE_FILES : 0) |
	       (hands_on(&forker->dirs, &child->dirs) ? CLONE_FS : 0) |
	       (hands_on(&forker->undo, &child->undo) ? CLONE_SYSVSEM : 0) |
	       (hands_on(&forker->memory, &child->memory) ? CLONE_VM : 0) |
	       (hands_on(&forker->handlers, &child->handlers) ? CLONE_SIGHAND : 0);
}

int share_leave(const struct restore_task *task, struct err *err)
{
	int flags = (task->files.carry && !task->files.stays ? CLONE_FILES : 0) |
		    (task->dirs.carry && !task->dirs.stays ? CLONE_FS : 0) |
		    (task->undo.carry && !task->undo.stays ? CLONE_SYSVSEM : 0);

	if (flags && unshare(flags) < 0)
		return err_sys(err, -errno, "leaving a table that others share");
	return 0;
}
