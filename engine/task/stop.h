/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stopping the threads of one task, for tree.c. */
#pragma once

#include "engine/core/dump.h"

/* Adds a thread to its task's list; NULL: no memory. */
struct dump_thread *thread_add(struct dump *d, struct dump_task *task, pid_t tid);

/* stat and status of a thread, and its ids inside. 0, or positive when it is gone. */
int thread_read(struct dump_thread *th, struct err *err);

/*
 * Begins to seize a thread, so that it stops while we look after others. One that has ended, or
 * that cannot be seized, is met again when it is its turn.
 */
int thread_begin(struct dump *d, pid_t pid, pid_t tid, struct err *err);

/* The same for all threads of a process. */
int threads_begin(struct dump *d, pid_t pid, struct err *err);

/*
 * One pass over /proc/PID/task: stops the threads that are new, and gives their number. Refuses
 * what could not run a program: threads of the kernel, and such as get signals in place of calls.
 * TRACEE_IS_GONE when the task is.
 */
int threads_pass(struct dump *d, struct dump_task *task, int *ret_new, struct err *err);
