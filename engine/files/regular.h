/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regular files, directories, devices: whatever is opened again by its path. */
#pragma once

#include "engine/files/kind.h"

extern const struct file_kind kind_regular;

/* Opens a file of a restore by its path with other flags than its own. A descriptor or -errno. */
int regular_open(struct restore *r, struct file_obj *obj, int flags, struct err *err);

/* Whether a path of an image is absolute and leads straight on. */
bool regular_path_is_sane(const char *path);

/* The path of a file of a restore. */
const char *regular_path(const struct file_obj *obj);
