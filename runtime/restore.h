/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A restore in the making. Shared by restore*.c. */
#pragma once

#include "runtime/prepare.h"
#include "runtime/rootfs.h"
#include "runtime/stages.h"
#include "runtime/verbs.h"

struct restoring {
	struct rt_options *o;
	const char *id;
	struct find_result at; /* where the state goes */
	struct saved saved;
	struct oci_spec spec,
		then; /* now, and at the checkpoint (then.root_path is NULL if not known) */
	struct buf config_text;
	struct oci_state state, old; /* state: what is written; old: as saved */
	struct arena arena;
	const char *bundle, *rootfs, *cgroup;
	struct rootfs fs;
	struct prepared p;
	struct cgroup_dirs cgroups;
	struct stages stages;
	VEC(int) fds; /* open for the engine */
	bool state_written, pid_file_written;
};

/* restore-load.c: what is known before anything is done. */
int restoring_load(struct restoring *rs, struct err *err) __attribute__((warn_unused_result));

/* restore-state.c: the state of the restored container, as its runtime writes it. */
int restoring_fill_state(struct restoring *rs, pid_t pid, struct err *err)
	__attribute__((warn_unused_result));

/* restore-fds.c: descriptors that replace those of the images. */
int restoring_open_fds(struct restoring *rs, struct err *err) __attribute__((warn_unused_result));
int restoring_add_files(struct restoring *rs, struct err *err) __attribute__((warn_unused_result));
int restoring_send_console(const struct restoring *rs, int fd, struct err *err)
	__attribute__((warn_unused_result));

/* restore-wait.c: as the parent of the container, until it ends. Its exit status. */
void restoring_block_signals(void);
int restoring_stay(pid_t pid);

/* restore.c: the plan, from what is loaded; and the end of everything. */
int restoring_make_plan(struct restoring *rs, struct err *err) __attribute__((warn_unused_result));
void restoring_done(struct restoring *rs);
