/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine asks of the kernel: one table, one probe a row. Names are those of CRIU's
 * `check --feature` where it has one. Probes leave no trace: what changes a process happens in a
 * child.
 */
#pragma once

#include <stdbool.h>

struct kernel_feature {
	const char *name;
	bool required;	  /* nothing can be dumped or restored without it */
	const char *lost; /* what does not work without it */
	bool later; /* the engine does not use it yet: not offered even where the kernel has it */
	int (*probe)(void);
};

/* Ends with a row that has no name. */
extern const struct kernel_feature kernel_features[];

/* 0 if the feature can be used, else a negative errno: -EOPNOTSUPP if only the engine lacks it. */
int kernel_feature_probe(const struct kernel_feature *f);
