/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which runtime a container belongs to, where its state is, and where the runtime's program is. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "engine/base/err.h"
#include "oci/state.h"

/* What decides, as data, so that it can be tested. */
struct find_env {
	const char *root;	 /* --root, or NULL */
	const char *xdg_runtime; /* $XDG_RUNTIME_DIR, or NULL */
	const char *run;	 /* "/run" */
	bool privileged;	 /* we are root */
};

struct find_result {
	enum oci_runtime runtime;
	char root[PATH_MAX]; /* folder of all its containers */
	char dir[PATH_MAX];  /* folder of this one's state */
};

/* Fills env from the process's environment. */
void find_env_get(struct find_env *env, const char *root);

/* A name that a runtime accepts as a container's: no slash, not "." or "..", not empty. */
int find_check_id(const char *id, struct err *err) __attribute__((warn_unused_result));

/* Finds the state of a container. 0; -ENOENT if there is none; -EINVAL if there are two. */
int find_container(const struct find_env *env, const char *id, struct find_result *ret,
		   struct err *err) __attribute__((warn_unused_result));

/* The folder in which that runtime, asked without --root, would look for its containers. */
void find_default_root(const struct find_env *env, enum oci_runtime runtime, char *ret,
		       size_t size);

/* "crun" or "runc". */
const char *find_runtime_name(enum oci_runtime runtime);

/* The kind of a runtime from the name of its program: true if it has "crun" or "runc" in it. */
bool find_runtime_kind(const char *program, enum oci_runtime *ret);

/* The program that the operator chose: given (--runtime), $CRUN_CRIU_RUNTIME, "runtime=PATH" of the
 * configuration file. 0 and ret filled; -ENOENT without an error if none did. */
int find_chosen(const char *given, const char *config_file, char *ret, size_t size, struct err *err)
	__attribute__((warn_unused_result));

/* Looks a program up in PATH, leaving out ourselves. 0 or -ENOENT; no story. */
int find_in_path(const char *name, char *ret, size_t size);
