/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The root file system of a container before it is restored. */
#pragma once

#include "engine/base/vec.h"
#include "oci/plan.h"

/* What was made in root file systems and bind sources, to be taken back if the restore fails. */
struct rootfs_made {
	char *root, *path;
};

struct rootfs {
	char *mount; /* where it is mounted, in our own mount namespace */
	VEC(struct rootfs_made) made;
};

/*
 * Goes into a mount namespace of our own and mounts the root file system there: the engine needs a
 * mount point, and this one is gone when we are, however we end.
 */
int rootfs_mount(struct rootfs *fs, const char *rootfs, struct err *err)
	__attribute__((warn_unused_result));

/* Makes the mountpoints that are missing. Paths are resolved below their root only. */
int rootfs_make_mountpoints(struct rootfs *fs, const struct oci_plan *plan, struct err *err)
	__attribute__((warn_unused_result));

/* Removes what rootfs_make_mountpoints() made, as far as it is empty. */
void rootfs_undo(struct rootfs *fs);

void rootfs_done(struct rootfs *fs);
