/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What checkpoint and restore share. */
#pragma once

#include "runtime/cgroup.h"
#include "runtime/hooks.h"
#include "runtime/statedir.h"

/* Clears a container away whose processes are gone: cgroups, state folder, poststop hooks. */
int container_forget(const struct oci_state *state, const struct oci_spec *spec, const char *dir,
		     const struct cgroup_dirs *cgroups, struct err *err)
	__attribute__((warn_unused_result));
