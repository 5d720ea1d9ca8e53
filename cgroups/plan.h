/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plan of a restore. Only for .c files of cgroups/ and their tests. */
#pragma once

#include "cgroups/cgroups-priv.h"
#include "engine/engine.h"
#include "proto/cgroup.pb-c.h"

/*
 * One hierarchy of the image on one of this host. An image of a host that had cpu and cpuacct
 * together gives two lanes on a host that has them apart.
 */
struct cg_lane {
	const CgControllerEntry *ctl;
	const char *name;      /* as the sets of the image call it */
	size_t hier;	       /* index in the layout */
	const char *old, *new; /* paths below old go below new; NULL: they stay */
	bool idle;	       /* every task is to be where the engine is: nothing to do */
};

/* A directory to be; parents stand before children. */
struct cg_pdir {
	size_t lane;
	const char *path;	     /* on this host */
	const CgroupDirEntry *entry; /* NULL: only the directory matters */
	bool created;
};

/* Where the tasks of a set go in a lane. */
struct cg_place {
	size_t lane;
	const char *path;
	const char *ns_root; /* NULL: no namespace */
	int fd, ns_fd;	     /* borrowed from the plan's opened directories */
};

struct cg_pset {
	uint32_t id;
	bool has_ns;
	VEC(struct cg_place) places;
};

struct cg_opened {
	size_t hier;
	const char *path;
	int fd;
};

struct cgroups_plan {
	struct arena arena;
	struct cg_layout layout;
	CgroupEntry *image; /* NULL: nothing to do */
	enum ckpt_cgroup_mode mode;
	uint32_t root_set;
	const struct log *log;
	VEC(struct cg_lane) lanes;
	VEC(struct cg_pset) sets;
	VEC(struct cg_pdir) dirs;
	VEC(struct cg_opened) opened;
	VEC(struct cg_opened) created; /* fd is the hierarchy's root */
	VEC(struct cg_opened) frozen;  /* fd is owned */
	int (*on_create)(void *arg, int root_fd, const char *path, struct err *err); /* or NULL */
	void *on_create_arg;
};

/* load-check.c: everything in the message that could lead astray. */
int cg_image_check(const CgroupEntry *e, struct err *err);

/*
 * Works the plan out of plan->image, plan->layout and plan->mode. Separate from cgroups_load() so
 * that tests can give a message and a layout of their own.
 */
int cg_plan_work_out(struct cgroups_plan *plan, const struct ckpt_pairs *roots, struct err *err);

struct cgroups_plan *cg_plan_new(void);

/* Whether the mode wants the properties of a directory. */
bool cg_plan_wants_props(const struct cgroups_plan *plan, const struct cg_pdir *dir);

/* apply.c: owner, mode and the properties of one stage, onto the open directory. */
int cg_apply_perms(const struct cgroups_plan *plan, const struct cg_pdir *dir, int fd,
		   struct err *err);
int cg_apply_props(const struct cgroups_plan *plan, const struct cg_pdir *dir, int fd,
		   enum cg_prop_stage stage, struct err *err);

/* apply.c: what a list of devices needs before the group, which was just made, has children. */
int cg_apply_devices(const struct cgroups_plan *plan, const struct cg_pdir *dir, int fd,
		     struct err *err);

/* "group '/a' of the cgroup v1 hierarchy 'cpu'" in buf. */
const char *cg_dir_text(const struct cgroups_plan *plan, size_t hier, const char *path,
			char buf[static 512]);
