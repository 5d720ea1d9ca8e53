/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hooks of config.json: programs of the operator, told the container's state on standard input. */
#pragma once

#include <sys/types.h>

#include "oci/spec.h"

struct hook_state {
	const char *oci_version, *id, *status, *bundle;
	pid_t pid; /* 0: none */
	const struct oci_pairs *annotations;
};

/* Runs the hooks one after another; the first that fails ends it. name is for errors. */
int hooks_run(const struct oci_hook_list *hooks, const char *name, const struct hook_state *state,
	      struct err *err) __attribute__((warn_unused_result));
