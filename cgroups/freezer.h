/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Freezing a control group: v1 freezer.state or v2 cgroup.freeze. A hierarchy's root, a mount's
 * root and a group that holds the caller are never frozen.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "engine/base/err.h"
#include "engine/base/vec.h"

struct cgroup_freezer;
struct cgroup_pids {
	VEC(pid_t) pids; /* sorted, each once; free with vec_free() */
};

enum { FREEZER_NONE = 1 };

/*
 * Opens the directory of a v1 freezer or v2 group (absolute path; "//" is fine) and remembers
 * whether it is frozen now. Changes nothing. Close with freezer_close() (NULL allowed).
 */
int freezer_open(const char *path, struct cgroup_freezer **ret, struct err *err)
	__attribute__((warn_unused_result));

/*
 * The same for the group a task is in: the cgroup2 one, or the v1 freezer's where that is deeper
 * than its root. Positive FREEZER_NONE when the task is in no group that may be frozen.
 */
int freezer_open_task(pid_t pid, struct cgroup_freezer **ret, struct err *err)
	__attribute__((warn_unused_result));
void freezer_close(struct cgroup_freezer *f);
static inline void cleanup_freezerp(struct cgroup_freezer **f)
{
	freezer_close(*f);
}

/* State at freezer_open(), and the path it was opened by. */
bool freezer_was_frozen(const struct cgroup_freezer *f);
const char *freezer_path(const struct cgroup_freezer *f);

/*
 * The directory and whether it is cgroup2: what a guardian process needs to thaw it after the
 * engine died (write "0" to cgroup.freeze or "THAWED" to freezer.state). Borrowed.
 */
int freezer_dirfd(const struct cgroup_freezer *f, bool *ret_unified);

/*
 * Freezes and waits until every task of the group stands. On a timeout (-ETIMEDOUT, ERR_BUSY) what
 * was not frozen before is thawed, and the error names tasks that did not stop. freezer_thaw()
 * waits too, up to a second, and fails when a group further up is frozen. Both may be called again.
 */
int freezer_freeze(struct cgroup_freezer *f, int timeout_ms, struct err *err)
	__attribute__((warn_unused_result));
int freezer_thaw(struct cgroup_freezer *f, struct err *err) __attribute__((warn_unused_result));

/* Brings back the state at freezer_open(). Does not wait. */
int freezer_restore(struct cgroup_freezer *f, struct err *err) __attribute__((warn_unused_result));

/*
 * Every process in the group and below it, as seen from here. Fails for processes that have no pid
 * here: they cannot be dumped.
 */
int freezer_pids(const struct cgroup_freezer *f, struct cgroup_pids *ret, struct err *err)
	__attribute__((warn_unused_result));
