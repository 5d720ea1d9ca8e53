/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories of one hierarchy, as messages of the image. Only for .c files of cgroups/. */
#pragma once

#include "cgroups/cgroups-priv.h"
#include "proto/cgroup.pb-c.h"

struct cg_tree {
	struct arena *arena; /* owns everything that is made */
	const struct cg_hier *hier;
	int root_fd;
	const struct cgroup_pids *ours;	      /* every pid and tid of the tree, sorted */
	const struct cgroup_freezer *freezer; /* or NULL */
	VEC(const char *) occupied;	      /* paths with tasks of the tree */
	bool threaded;			      /* out: a threaded group was seen (v1: always) */
	size_t budget;			      /* directories that may still be looked at */
};

/*
 * The group at path with properties, and below it what leads to occupied groups; everything below
 * where no other process lives. dir_name is the path without its first slash.
 */
int cg_tree_capture(struct cg_tree *t, const char *path, CgroupDirEntry **ret, struct err *err);
