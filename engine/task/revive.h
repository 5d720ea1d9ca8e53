/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between revive.c and threads.c: the parts of finishing a task. */
#pragma once

#include "engine/core/restore.h"

/* Makes the other threads of a task, each parked; with the seccomp filters that it inherits. */
int threads_make(struct restore *r, struct restore_task *task, const struct scratch *s,
		 struct err *err) __attribute__((warn_unused_result));

/* Suspends its filters until it is let go. */
int revive_suspend_seccomp(struct restore_thread *th, struct err *err)
	__attribute__((warn_unused_result));

/* Tells a thread's tracee its numbers. */
void revive_ids(struct restore_thread *th, pid_t tid);

/* Nothing is caught yet, but a signal that will be pending must not end a program. */
int revive_end_signal(struct restore_thread *th, struct err *err)
	__attribute__((warn_unused_result));
