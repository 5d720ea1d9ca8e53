/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who forks whom in a restore: sessions, process groups, and the helpers that they need. */
#pragma once

#include "engine/core/restore.h"

/* Fills task_birth of all tasks and makes r->helpers. After all tasks are loaded. */
int tree_plan(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* A number that none of the images' ids has, the next one after last; 0 when there is none. */
pid_t plan_free_pid(const struct restore *r, pid_t last);

/* Every process that is forked: tasks first, then helpers. */
static inline size_t plan_births(const struct restore *r)
{
	return r->tasks.n + r->helpers.n;
}

static inline struct restore_task *plan_birth(const struct restore *r, size_t i)
{
	return i < r->tasks.n ? r->tasks.v[i] : r->helpers.v[i - r->tasks.n];
}
