/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The folder in which a runtime keeps the state of one container. */
#pragma once

#include "runtime/container.h"
#include "runtime/saved.h"

/*
 * Makes the folder with all its files at one instant: it is prepared under a name that runtimes
 * pass over. -EEXIST if there is a container of that name. The new state is state; config is the
 * text of config.json for crun.
 */
int statedir_write(const struct find_result *at, const struct oci_state *state,
		   const struct oci_spec *spec, const struct buf *config, const struct saved *saved,
		   struct err *err) __attribute__((warn_unused_result));

/* Removes the folder. One that is not there is fine. */
int statedir_remove(const char *dir, struct err *err) __attribute__((warn_unused_result));

/* True if there is something under the name of the container. */
bool statedir_exists(const struct find_result *at);
