/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between fork.c (the engine's side) and builder.c (the builders' side). */
#pragma once

#include "engine/core/restore.h"
#include "engine/task/builder.h"

/* clone3 with a chosen pid in the innermost namespace (0: any). As fork(2). */
pid_t builder_clone(uint64_t flags, pid_t ns_pid, int exit_signal);

/* The life of a builder. */
_Noreturn void builder_main(struct restore *r, struct restore_task *task);

/* Ends the process with an error. */
_Noreturn void builder_fail(struct restore *r, const struct restore_task *task, struct err *err);

/* For messages: the task, or what the helper is for. */
const char *builder_name(struct restore *r, const struct restore_task *task);

/* What a process does in a round of ends. */
struct builder_part {
	bool heir, ends, reaps;
};

static inline struct builder_part builder_part(const struct restore *r,
					       const struct restore_task *t, unsigned int round)
{
	struct builder_part part = { .ends = t->birth.heir && t->birth.round == round };
	struct restore_task *const *h;

	vec_foreach (h, &r->helpers)
		part.heir |= (*h)->birth.heir == t && (*h)->birth.round == round;
	vec_foreach (h, &t->birth.forks)
		part.reaps |= (*h)->birth.heir && (*h)->birth.round == round;
	return part;
}

static inline bool builder_leaves_group(const struct restore_task *t)
{
	return t->birth.founds_group && t->ns_pgid && t->ns_pgid != t->ns_pid;
}

/* Whether it has helpers to reap that stand for leaders of sessions or groups. */
static inline bool builder_reaps_leaders(const struct restore_task *t)
{
	struct restore_task *const *h;

	vec_foreach (h, &t->birth.forks)
		if ((*h)->birth.helper && !(*h)->birth.heir)
			return true;
	return t->birth.dead_group != 0;
}
