/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads of a restore with tables of their own. */
#pragma once

#include "engine/core/restore.h"

/* When the tables of all tasks are loaded: those of threads. */
int thread_tables_load(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* In a builder that has its own tables: makes such threads of it. They wait to be taken over. */
int thread_tables_make(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* In the engine, with the builder seized: seizes them. Positive TRACEE_IS_GONE. */
int thread_tables_seize(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* Begins the program of such a thread: what is the engine's leaves its table. */
void thread_tables_put(struct restore *r, struct restore_thread *th, struct program *p);
