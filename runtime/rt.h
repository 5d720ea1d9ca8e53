/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crun-criu: what its verbs share. */
#pragma once

#include <stdbool.h>

#include "engine/base/buf.h"
#include "oci/plan.h"
#include "oci/spec.h"
#include "oci/state.h"
#include "runtime/opt.h"

enum rt_verb {
	RT_GLOBAL = 1 << 0,
	RT_CHECKPOINT = 1 << 1,
	RT_RESTORE = 1 << 2,
	RT_PLAN = 1 << 3,
	RT_HIDDEN = 1 << 4,
};

/* The command line of crun-criu. */
struct rt_options {
	/* global */
	const char *root, *runtime, *log, *log_format;
	bool debug, systemd_cgroup, help;

	/* checkpoint, restore, plan */
	struct oci_choices choices;
	bool pre_dump, no_subreaper, json, plan_restore;
	struct opt_rest rest;
};

extern const struct opt_table rt_global_options, rt_verb_options;

/* Exit status, or a negative errno with err filled. id is the container. */
int rt_checkpoint(struct rt_options *o, const char *id, struct err *err);
int rt_restore(struct rt_options *o, const char *id, struct err *err);
int rt_plan(struct rt_options *o, const char *id, struct err *err);

/* Becomes the runtime for any other verb: argv as given, without our own options. Does not return
 * on success. words: what may be the name of a container. */
int rt_pass(const struct rt_options *o, char **argv, char **words, struct err *err);
