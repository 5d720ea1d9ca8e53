/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mount tree of one mount namespace: how it was found, how each mount of it can be made again,
 * its image (mountpoints-N.img and the tmpfs archives), and its rebuild. Nested mount namespaces
 * are the caller's to refuse.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/err.h"

struct ckpt_options;
struct image_set;
struct mount;
struct mount_plan;
struct mount_tree;
struct plugins;

/* ---- looking ---- */

/*
 * Reads /proc/PID/mountinfo into *ret, which the caller frees with mounts_free(). Paths are
 * relative to the task's root directory. Fails if that root is not a mount point (a task in a
 * chroot), for then the kernel shows no root mount and no tree can be built.
 */
int mounts_collect(struct mount_tree **ret, pid_t pid, struct err *err)
	__attribute__((warn_unused_result));
void mounts_free(struct mount_tree *tree);
static inline void cleanup_mount_treep(struct mount_tree **t)
{
	mounts_free(*t);
}

/* The mounts in the order of mountinfo, borrowed from the tree. mounts_find() gives NULL for none.
 */
size_t mounts_count(const struct mount_tree *tree);
const struct mount *mounts_at(const struct mount_tree *tree, size_t i);
const struct mount *mounts_find(const struct mount_tree *tree, int mnt_id);

int mount_id(const struct mount *m);
const char *mount_path(const struct mount *m);	 /* mountpoint, absolute inside the namespace */
const char *mount_root(const struct mount *m);	 /* what of its file system is mounted */
const char *mount_fstype(const struct mount *m); /* as the kernel says it, with subtype */
const char *mount_source(const struct mount *m);
const char *mount_options(const struct mount *m); /* of the superblock, without ro, sync, dirsync */
dev_t mount_dev(const struct mount *m);
/* The device number as images have it: the kernel's own encoding, major << 20 | minor. */
uint32_t mount_sdev(const struct mount *m);
/* MS_RDONLY, MS_NOSUID ... of the mount (not of its superblock), MS_SHARED, MS_SLAVE,
 * MS_UNBINDABLE. */
unsigned int mount_flags(const struct mount *m);
/* After mounts_resolve(): whether the mount is in the image (not skipped, not refused). */
bool mount_is_kept(const struct mount *m);

/* Whether looking up that absolute path inside the namespace ends on this mount, and not on one
 * above. */
bool mounts_path_visible(const struct mount_tree *tree, int mnt_id, const char *path);

/*
 * Opens the root of a mount with O_PATH, as it is inside. A mount that is covered is reached by a
 * short-lived child in a copy of the namespace, and then the descriptor lies on a detached clone of
 * the mount: same files, other mount id. Returns the descriptor, the caller's, or negative.
 */
int mounts_open_root(const struct mount_tree *tree, const struct mount *m, struct err *err)
	__attribute__((warn_unused_result));

/* Who is asked for mounts that nobody knows; before mounts_resolve(), or mounts_rebuild(). */
void mounts_use_plugins(struct mount_tree *tree, struct plugins *plugins);
/* Fails if the plan has mounts of plugins and there is none. */
int mounts_plan_use_plugins(struct mount_plan *plan, struct plugins *plugins, struct err *err)
	__attribute__((warn_unused_result));

/* ---- dump ---- */

/* Called with one line for each mount that cannot be kept: mountpoint, type, reason, remedy. */
typedef void (*mounts_refuse_fn)(void *arg, const char *text);

/*
 * Decides for every mount how a restore can make it, and calls refuse for each that it cannot make.
 * Looks into file systems that must be empty (message queues), so the tasks must be frozen.
 * Negative only if looking itself failed; 0 even when something was refused.
 */
int mounts_resolve(struct mount_tree *tree, const struct ckpt_options *opts,
		   mounts_refuse_fn refuse, void *arg, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Adds mountpoints-<ns_id>.img and the archive of every tmpfs of the container to the set. After
 * mounts_resolve(), with nothing refused and the tasks frozen.
 */
int mounts_dump(struct mount_tree *tree, struct image_set *set, unsigned int ns_id, struct err *err)
	__attribute__((warn_unused_result));

/* ---- restore ---- */

/*
 * Reads and checks mountpoints-<ns_id>.img. Everything that can be refused without making a process
 * is refused here: broken trees, external mounts without a source (all of them in one error),
 * missing archives. The plan is freed with mounts_plan_free(); opts must outlive it.
 */
int mounts_load(int img_dirfd, unsigned int ns_id, const struct ckpt_options *opts,
		struct mount_plan **ret, struct err *err) __attribute__((warn_unused_result));
void mounts_plan_free(struct mount_plan *plan);
static inline void cleanup_mount_planp(struct mount_plan **p)
{
	mounts_plan_free(*p);
}

/* The same mounts as a tree, for path lookup in what will be. Borrowed from the plan. */
const struct mount_tree *mounts_plan_tree(const struct mount_plan *plan);

/*
 * Opens the archives and the host's side of the root and of the external mounts, for a rebuild that
 * happens in a new user namespace, where the host's owners mean nothing and its mounts are locked.
 * Optional, in the engine's own process before it forks; mounts_rebuild() opens what is not open.
 */
int mounts_plan_open(struct mount_plan *plan, int img_dirfd, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Makes the tree. The caller is a process of its own that has just got a new mount namespace, is in
 * the container's user, pid, net, ipc and cgroup namespaces (new proc, sysfs, mqueue and cgroup
 * mounts belong to them), and still sees the host's tree. On success "/" and the working directory
 * are the container's and nothing of the host's tree is left; nothing was propagated to the host.
 * On failure the process is good for nothing but to exit, which takes all of it away.
 */
int mounts_rebuild(const struct mount_plan *plan, int img_dirfd, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Masters of pseudo terminals whose slave is bind mounted somewhere (/dev/console). Such a mount
 * dies with its master, so the rebuild opens the master and leaves it open (close-on-exec) in the
 * process that called it. fd is -1 before the rebuild; afterwards it is that process's to hand to
 * the restored master, or to close.
 */
struct mount_pty {
	uint32_t sdev; /* of the devpts when it was dumped */
	int index;
	int fd;
};
const struct mount_pty *mounts_plan_ptys(const struct mount_plan *plan, size_t *ret_n);
