/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guardian: a small process that outlives a killed engine just long enough to undo what the
 * engine has done to others: it takes scratch mappings away, thaws the cgroup that the engine has
 * frozen, and ends the tasks and removes the cgroups of a restore that did not come to its end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/err.h"

struct guardian;
struct stat;

/* Starts it. Owned by the caller; ended with guardian_stop(). */
int guardian_start(struct guardian **ret, struct err *err) __attribute__((warn_unused_result));

/* Its number. It has nothing of its own but memory. */
pid_t guardian_pid(const struct guardian *g);

/*
 * One for a single undo that must be known beforehand: fn(arg) runs after the engine's death in a
 * copy of its memory and with its descriptors as they are now.
 */
int guardian_fork(struct guardian **ret, void (*fn)(void *arg), void *arg, struct err *err)
	__attribute__((warn_unused_result));

/* Notes a scratch area before it is made. start: field 22 of /proc/PID/stat, tells a reused pid. */
void guardian_note_scratch(struct guardian *g, pid_t pid, uint64_t start, uint64_t addr,
			   uint64_t len);

/*
 * Notes a resource limit of a task before it is raised, and gives all that were noted their old
 * values. -ENOSPC: no room for the note, and it must not be raised.
 */
struct rlimit;
int guardian_note_limit(struct guardian *g, pid_t pid, uint64_t start, int which,
			const struct rlimit *old);
int guardian_limits_back(struct guardian *g, struct err *err) __attribute__((warn_unused_result));

/*
 * Notes that this file must get this text when the engine dies: a freezer's "thaw" before the
 * scratch areas are taken away, its "freeze" (last) after that. path is absolute.
 */
void guardian_note_write(struct guardian *g, const char *path, const char *text, bool last);

/*
 * Notes a directory to be removed once nothing is in it: a cgroup of a restore. fd was open when
 * the guardian was started; path is relative to it.
 */
void guardian_note_dir(struct guardian *g, int fd, const char *path);

/*
 * Notes a task of a restore that is being let go: it must not live on when the engine dies before
 * guardian_commit(). From then on nothing is undone any more, and nobody is killed.
 */
void guardian_note_kill(struct guardian *g, pid_t pid);
void guardian_commit(struct guardian *g);

/*
 * Notes a name that must be taken away when the engine dies, if it leads to that inode and if there
 * is no file done in done_dir: a link of a dump that is not complete. path is absolute; done_dir
 * was open when the guardian was started.
 */
void guardian_note_file(struct guardian *g, const char *path, const struct stat *st, int done_dir,
			const char *done);

/* The engine has undone everything itself: the guardian ends without doing anything. NULL allowed.
 */
void guardian_stop(struct guardian *g);
