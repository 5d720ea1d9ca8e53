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

/* ---- a restore ---- */

static uint32_t group_of(const struct restore_task *t, bool files)
{
	return t->dead || !t->ids ? 0 : files ? t->ids->files_id : t->ids->fs_id;
}

static struct task_table *table_of(struct restore_task *t, bool files)
{
	return files ? &t->files : &t->dirs;
}

static void note_members(struct restore *r, const struct share_node *nodes, bool files)
{
	size_t i, k, n = plan_births(r);

	for (i = 0; i < n; i++) {
		struct task_table *t = table_of(plan_birth(r, i), files);

		*t = (struct task_table){ .carry = nodes[i].carry, .first = true, .last = true };
		t->stays = t->carry && t->carry == nodes[i].group;
		for (k = 0; t->stays && k < i; k++) {
			struct task_table *o = table_of(plan_birth(r, k), files);

			if (o->stays && nodes[k].group == nodes[i].group) {
				t->first = false;
				o->last = false;
			}
		}
	}
}

static int plan_one(struct restore *r, bool files, struct err *err)
{
	cleanup_free struct share_node *nodes = calloc(plan_births(r) + 1, sizeof(*nodes));
	size_t i, at = 0;
	int n;

	if (!nodes)
		return err_nomem(err);
	for (i = 0; i < plan_births(r); i++) {
		const struct restore_task *t = plan_birth(r, i);

		nodes[i].forker = t->birth.forker ? t->birth.forker->index : SHARE_NOBODY;
		nodes[i].group = group_of(t, files);
	}
	n = share_plan(nodes, plan_births(r), &at);
	if (n < 0)
		return err_nomem(err);
	if (n == SHARE_CROSSES)
		return err_refuse(err,
				  "two tables of %s that tasks share cannot be had by their places "
				  "in the tree: both would have to go through %s",
				  files ? "descriptors" : "directories",
				  builder_name(r, plan_birth(r, at)));
	note_members(r, nodes, files);
	return 0;
}

/* What no process of ours can share with another is not in our images either. */
static int refuse_shared_memory(struct restore *r, struct err *err)
{
	cleanup_free struct share_node *nodes = calloc(r->tasks.n + 1, sizeof(*nodes));
	size_t i, at = 0;

	if (!nodes)
		return err_nomem(err);
	for (i = 0; i < r->tasks.n; i++) {
		const struct restore_task *t = r->tasks.v[i];

		nodes[i].forker = i ? t->parent->index : SHARE_NOBODY;
		nodes[i].group = t->dead || !t->ids ? 0 : t->ids->vm_id;
	}
	if (share_plan(nodes, r->tasks.n, &at) < 0)
		return err_nomem(err);
	for (i = 0; i < r->tasks.n; i++)
		if (nodes[i].carry)
			return err_refuse(err,
					  "%s shares its memory with another task, which "
					  "cannot be restored",
					  restore_task_name(r, r->tasks.v[i]));
	return 0;
}

int share_load(struct restore *r, struct err *err)
{
	int n = refuse_shared_memory(r, err);

	if (n == 0)
		n = plan_one(r, true, err);

	return n == 0 ? plan_one(r, false, err) : n;
}

static bool hands_on(const struct task_table *from, const struct task_table *to)
{
	return from->carry && from->carry == to->carry;
}

uint64_t share_clone_flags(const struct restore_task *forker, const struct restore_task *child)
{
	return (hands_on(&forker->files, &child->files) ? CLONE_FILES : 0) |
	       (hands_on(&forker->dirs, &child->dirs) ? CLONE_FS : 0);
}

int share_leave(const struct restore_task *task, struct err *err)
{
	int flags = (task->files.carry && !task->files.stays ? CLONE_FILES : 0) |
		    (task->dirs.carry && !task->dirs.stays ? CLONE_FS : 0);

	if (flags && unshare(flags) < 0)
		return err_sys(err, -errno, "leaving a table that others share");
	return 0;
}
