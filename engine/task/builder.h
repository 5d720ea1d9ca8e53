/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the engine and its builders share, and the stages they go through together. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "engine/base/err.h"

/*
 * Stages are opened by the engine, one after the other. A builder waits for a stage, does its part,
 * and says on the socket that it is through.
 */
enum builder_stage {
	STAGE_BORN = 1, /* root: user maps are written, it is in its namespace's root cgroup */
	STAGE_CGROUPNS, /* root: it has its own cgroup namespace if it wants one */
	STAGE_SPACES,	/* root is in its cgroups: namespaces and mounts */
	STAGE_FORK,	/* files; everybody forks */
	STAGE_LATE,	/* root: all are born: files that need them */
	/*
	 * In each round of helpers: its heir becomes the subreaper; helpers end and are reaped; the
	 * heir is none any more.
	 */
	STAGE_ROUNDS,
	STAGE_GROUPS = 1 << 30, /* join process groups, put files in their places */
	STAGE_LEAVE,		/* founders of groups who are in another one leave */
	STAGE_DIE,		/* zombies and the other helpers end */
};

enum round_part { ROUND_REAPER, ROUND_END, ROUND_OVER, ROUND_PARTS };

static inline uint32_t round_stage(unsigned int round, enum round_part part)
{
	return STAGE_ROUNDS + (round - 1) * ROUND_PARTS + part;
}

/* Mapped shared before the fork. failed: 0, or 1 once err was filled by the first builder that
 * failed. */
struct builder_shared {
	uint32_t stage; /* a futex */
	uint32_t failed;
	struct err err;
};

/* A message of a builder; the kernel adds its pid as we see it. */
struct builder_word {
	uint32_t index; /* of the task */
	uint32_t stage; /* that it is through with */
};
