/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared inside cgroups/: hierarchies, memberships, paths, properties. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroups/freezer.h"
#include "engine/base/arena.h"
#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/base/proctext.h"
#include "engine/base/vec.h"

/* ---- member.c: text of /proc/PID/cgroup and of mountinfo ---- */

/*
 * One line of /proc/PID/cgroup. name is the list of controllers ("cpu,cpuacct"), "name=X" for a
 * named hierarchy without controllers, "" for cgroup2. Strings are zero-terminated pieces of one
 * buffer.
 */
struct cg_member {
	int hier_id; /* 0: cgroup2 */
	char *name;
	char *path;
	bool deleted; /* the kernel said that the group is gone: only the dead can be in it */
};

struct cg_members {
	struct proc_cgroups raw; /* owns the strings */
	VEC(struct cg_member) list;
};

/* 0, -EINVAL for text that is malformed, -ENOMEM. Free with cg_members_done(). */
int cg_members_parse(const char *text, size_t len, struct cg_members *ret);
void cg_members_done(struct cg_members *m);
static inline void cleanup_membersp(struct cg_members *m)
{
	cg_members_done(m);
}

/* A mount of a cgroup file system. options are those of its superblock ("rw,cpu,cpuacct"). */
struct cg_mount {
	unsigned int major, minor;
	bool unified, writable;
	char *root, *mountpoint; /* unescaped */
	char *options;
};

struct cg_mounts {
	char *text; /* owned */
	VEC(struct cg_mount) list;
};

/* Picks the cgroup mounts out of mountinfo; lines of other file systems are not looked at. */
int cg_mounts_parse(const char *text, size_t len, struct cg_mounts *ret);
void cg_mounts_done(struct cg_mounts *m);
static inline void cleanup_mountsp(struct cg_mounts *m)
{
	cg_mounts_done(m);
}

/* Whether a mount is of the hierarchy with that name; both directions, in any order. */
bool cg_mount_is_hier(const struct cg_mount *m, const char *hier_name);

/* Lists of words with commas. cg_list_next() gives the next word, or NULL at the end. */
const char *cg_list_next(const char **list, size_t *ret_len);
bool cg_list_has(const char *list, const char *word, size_t word_len);

/* ---- detect.c: hierarchies of this host ---- */

/* One hierarchy. root_fd is the directory that paths here start at, opened by the first need. */
struct cg_hier {
	char *name;
	bool unified;
	bool made;	/* a named hierarchy that we created */
	char *own_path; /* the group this process is in */
	int root_fd;
};

struct cg_layout {
	struct arena arena;
	VEC(struct cg_hier) hiers;
	struct cg_mounts mounts;
	const char *yard; /* borrowed; absolute, or relative to work_fd; NULL: none */
	int work_fd;
};

/* Reads /proc/thread-self/cgroup and mountinfo. Free with cg_layout_done(). */
int cg_layout_init(struct cg_layout *l, struct err *err);
void cg_layout_done(struct cg_layout *l);
static inline void cleanup_layoutp(struct cg_layout *l)
{
	cg_layout_done(l);
}

/* The hierarchy with a controller (or "name=X", or "" for cgroup2), or NULL. */
struct cg_hier *cg_layout_find(const struct cg_layout *l, const char *controller, size_t len);

/* Adds a named hierarchy of v1 that does not exist yet. */
int cg_layout_make(struct cg_layout *l, const char *name, struct cg_hier **ret, struct err *err);

/* The root directory, mounting the hierarchy detached where it must be. Borrowed fd or negative. */
int cg_hier_root(struct cg_layout *l, struct cg_hier *h, struct err *err);

/* "cgroup v1 hierarchy 'cpu,cpuacct'", "cgroup2": for errors. Points into buf. */
const char *cg_hier_text(const char *name, char buf[static 160]);

/* ---- path.c ---- */

/* Absolute, no "." or ".." or empty component, not longer than PATH_MAX. "/" is fine. */
bool cg_path_is_clean(const char *path);

/* Whether path is dir or lies below it; "/" holds everything. */
bool cg_path_is_below(const char *path, const char *dir);

/* "/" and "/x": the same group; joins "/a" and "b/c" to "/a/b/c". NULL when out of memory. */
char *cg_path_join(struct arena *a, const char *dir, const char *rest);

/* The deepest directory that holds both. */
char *cg_path_common(struct arena *a, const char *x, const char *y);

/* path with the part old replaced by new; path must be below old. */
char *cg_path_move(struct arena *a, const char *path, const char *old, const char *new);

/*
 * Cleans what a user gave as a group's path: joins double slashes, drops a trailing one. NULL and
 * errno EINVAL for one that is relative or has "..", ENOMEM.
 */
char *cg_path_normalize(struct arena *a, const char *path);

/*
 * Opens a group below a root by its path, never out of it and never through another mount. A
 * descriptor or -errno.
 */
int cg_open(int root_fd, const char *path);

/* ---- root option ---- */

struct ckpt_pairs;

/*
 * The path of opts->cgroup_roots for a hierarchy, or NULL. An entry that names a controller of the
 * hierarchy wins over one without controllers; one that names only controllers which no v1
 * hierarchy of the host has is for cgroup2.
 */
const char *cg_root_for(const struct ckpt_pairs *roots, const struct cg_layout *l,
			const char *hier_name);

/* ---- procs.c: who is in a group ---- */

/* Appends the processes of one directory, not of its children. 0 or -errno. */
int cg_dir_pids(int dirfd, struct cgroup_pids *pids);

/* Appends those of the directory and all below, sorted, each once. 0 or -errno; -EXDEV: pid 0 seen.
 */
int cg_tree_pids(int dirfd, struct cgroup_pids *pids);
bool cgroup_pids_has(const struct cgroup_pids *pids, pid_t pid);

/* Sub-directories of a group; names in sorted order, in the arena. 0 or -errno. */
struct cg_names {
	VEC(char *) list;
};
int cg_dir_children(int dirfd, struct arena *a, struct cg_names *ret);

/* Whether the directory is the real root of its hierarchy, not one that a namespace shows as such.
 */
bool cg_dir_is_machine_root(int dirfd);

/* ---- nsview.c ---- */

/*
 * Reads a task's memberships as its own cgroup namespace shows them. Positive CG_SAME_NS when that
 * is the namespace of this process.
 */
enum { CG_SAME_NS = 1 };
int cg_members_inside(pid_t pid, struct cg_members *ret, struct err *err);

/* ---- props.c ---- */

/* When a property is written on restore. */
enum cg_prop_stage {
	CG_PROP_EARLY,	/* before tasks enter */
	CG_PROP_LATE,	/* when the tree stands */
	CG_PROP_FREEZE, /* last of all */
	CG_PROP_PERMS,	/* a file of the group whose owner matters but whose value does not */
};

enum cg_prop_flags {
	CG_PROP_LINES = 1 << 0,	      /* several lines, written one by one */
	CG_PROP_OPTIONAL = 1 << 1,    /* recorded only when it differs from the default */
	CG_PROP_DEVICES = 1 << 2,     /* devices.list: written as denials and permissions */
	CG_PROP_OOM = 1 << 3,	      /* memory.oom_control: the first number counts */
	CG_PROP_CONTROLLERS = 1 << 4, /* cgroup.subtree_control: written with a + each */
	CG_PROP_IFPRIO = 1 << 5,      /* net_prio.ifpriomap: lines of interfaces that exist here */
};

struct cg_prop {
	const char *controller; /* "": every group of that version */
	const char *name;
	enum cg_prop_stage stage;
	unsigned int flags;
	const char *def; /* CG_PROP_OPTIONAL: the default */
};

/* The table of a version; *ret_n rows in the order they are recorded. */
const struct cg_prop *cg_props(bool unified, size_t *ret_n);

/* The row of a file name, or NULL for one that the table does not have. */
const struct cg_prop *cg_prop_find(bool unified, const char *name);

/* Whether a property's name may be opened in a group: one plain component with a dot or "tasks". */
bool cg_prop_name_is_valid(const char *name);

/* Reads a property as the image keeps it (no trailing white space). 0 or -errno. */
int cg_prop_read(int dirfd, const struct cg_prop *prop, const char *name, struct buf *ret);

/* Writes a value as the image keeps it, unless it is the present one. 0 or -errno. */
int cg_prop_write(int dirfd, bool unified, const char *name, const char *value);

/* Whether a devices.list allows everything. */
bool cg_devices_is_all(const char *value);

/*
 * Makes the list of a new group one that allows by its lines instead of all without lines, though
 * for now they allow everything. The kernel does that only before the group has children; the lines
 * that it is to have are written when the tasks have been made.
 */
int cg_devices_begin_list(int dirfd);

static inline void cleanup_arenap(struct arena *a)
{
	arena_done(a);
}
#define cleanup_arena __attribute__((__cleanup__(cleanup_arenap)))
#define cleanup_members __attribute__((__cleanup__(cleanup_membersp)))
#define cleanup_mounts __attribute__((__cleanup__(cleanup_mountsp)))
