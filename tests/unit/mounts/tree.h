/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mount tree from text, for tests. */
#pragma once

#include <string.h>

#include "mounts/mounts-priv.h"
#include "tests/lib/test.h"

static inline struct mount_tree *tree_from(const char *text, struct err *err)
{
	cleanup_file FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct mount_tree *tree = NULL;

	if (!f || mounts_parse(f, &tree, err) < 0)
		return NULL;
	return tree;
}
