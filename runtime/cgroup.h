/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cgroups of a container, as its runtime sees them: where they are, and their end. */
#pragma once

#include "oci/spec.h"
#include "oci/state.h"
#include "runtime/hostview.h"

/* The folders of a container's own cgroups on this host; strings belong to the caller's arena. */
struct cgroup_dirs {
	VEC(const char *);
};

/*
 * The folders that the state names. A path that is the root of a hierarchy, or otherwise not the
 * container's own, is left out: nothing is ever done to it.
 */
int cgroup_dirs_of(struct arena *a, const struct oci_state *state, const struct hostview *view,
		   struct cgroup_dirs *ret, struct err *err) __attribute__((warn_unused_result));

/* The first process in the folders or below, 0 if there is none, or a negative errno. */
pid_t cgroup_find_process(const struct cgroup_dirs *dirs);

/*
 * Removes the folders with what is below, after waiting for processes that are about to end. If one
 * stays, nothing is removed and the error names it.
 */
int cgroup_remove(const struct cgroup_dirs *dirs, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Where a container goes below every hierarchy: what config.json says, if it says something else
 * than at the checkpoint, else where it was. NULL in *ret if it had no cgroup of its own.
 */
int cgroup_choose(struct arena *a, const struct oci_spec *now, const struct oci_spec *then,
		  const struct oci_state *state, const char *old_id, const char *id,
		  const struct hostview *view, const char **ret, struct err *err)
	__attribute__((warn_unused_result));

/* Checks that the process is where the view says, in every hierarchy: before its state is written.
 */
int cgroup_check_process(pid_t pid, const struct hostview *view, struct err *err)
	__attribute__((warn_unused_result));
