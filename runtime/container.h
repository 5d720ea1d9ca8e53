/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A container that a runtime has: its state and its configuration. */
#pragma once

#include "runtime/find.h"
#include "runtime/rt.h"

#define RT_CONFIG_FILE "/etc/crun-criu.conf"

struct container {
	struct find_result at;
	struct buf state_text, config_text; /* the files as they are */
	struct oci_state state;
	struct oci_spec spec;
};

/* Finds and reads it. To be freed with container_done() in either case. */
int container_load(struct container *c, const struct rt_options *o, const char *id, struct err *err)
	__attribute__((warn_unused_result));

/* Refuses a container that does not run: init is gone, another process has its pid, not started. */
int container_check_running(const struct container *c, struct err *err)
	__attribute__((warn_unused_result));

void container_done(struct container *c);

static inline void cleanup_containerp(struct container *c)
{
	container_done(c);
}
#define cleanup_container __attribute__((cleanup(cleanup_containerp)))

/* Reads config.json of a bundle, or the copy in a state folder. text keeps the file's bytes. */
int config_load(const char *path, struct buf *text, struct oci_spec *spec, struct err *err)
	__attribute__((warn_unused_result));

/* Field 22 of /proc/PID/stat. 0 or -errno (-ESRCH also for a zombie); no story. */
int process_start_time(pid_t pid, uint64_t *ret);
