/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths as text; nothing here looks at a file system. */
#pragma once

#include <stdbool.h>

#include "engine/base/arena.h"

/*
 * The path made absolute and plain: against base (absolute) if it is relative, without "." and
 * empty components, ".." taken back one component and never above "/". NULL when out of memory.
 */
char *oci_path_clean(struct arena *a, const char *base, const char *path);

/* True if path (clean) is dir (clean) itself or lies below it. */
bool oci_path_is_under(const char *path, const char *dir);
