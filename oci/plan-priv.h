/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan in the making. Shared by plan*.c only. */
#pragma once

#include "engine/base/vec.h"
#include "oci/plan.h"

struct planner {
	struct oci_plan *plan;
	const struct oci_spec *spec;
	const struct oci_state *state;
	const struct oci_choices *choices;
	const struct oci_facts *facts;
	struct err *err;
	bool restore;
	const char **destinations; /* of spec->mounts, one each */
	bool nomem;		   /* sticky: looked at once, at the end */
	VEC(struct ckpt_pair) ext_mounts, cgroup_roots;
	VEC(const char *) externals, warnings;
	VEC(struct ckpt_inherit_fd) inherit;
	VEC(struct ckpt_join_ns) joins;
	VEC(struct oci_plan_open) opens;
	VEC(struct oci_mountpoint) mountpoints;
};

/* Copies into the plan. NULL stays NULL; never NULL for a string: "" and p->nomem when out of
 * memory. */
const char *plan_keep(struct planner *p, const char *text);
const char *plan_keepf(struct planner *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* oci_path_clean() into the plan, with the same rule. */
const char *plan_path(struct planner *p, const char *base, const char *path);

/* Adds a sentence about something that will not be as it was. */
void plan_warn(struct planner *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The parts of the plan. 0 or a negative errno with p->err filled. */
int plan_mounts(struct planner *p);
int plan_namespaces(struct planner *p);
int plan_cgroups(struct planner *p);
void plan_stdio(struct planner *p);
