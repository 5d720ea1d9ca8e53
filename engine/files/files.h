/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The descriptors of a dump's tasks, and the objects and tables of a restore. */
#pragma once

#include "engine/core/dump.h"
#include "engine/files/kind.h"

/* Copies, identifies and captures every descriptor of the task, its cwd, root and executable. */
int files_collect(struct dump *d, struct dump_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* After all tasks: files in flight, and what had to wait for them. */
int files_collect_rest(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* fs-PID.img of a task. */
int files_write_fs(struct dump *d, struct dump_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* After files and memory of all tasks are collected: their file locks. */
int files_write_locks(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/*
 * The last thing before the images are written: names for files that have lost theirs. The undo
 * takes them away if the dump has failed.
 */
int files_make_links(struct dump *d, struct err *err) __attribute__((warn_unused_result));
void files_undo_links(struct dump *d, bool failed);

/* Closes the copies. */
void files_done(struct dump *d);
