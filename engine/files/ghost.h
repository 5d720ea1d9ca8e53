/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deleted files and directories: contents in ghost-file-N.img, linked to their users by
 * remap-fpath.img. */
#pragma once

#include "engine/files/kind.h"

/* Stores the deleted file behind ref (once for each inode) and notes that ref->id leads to it. */
int ghost_capture(struct dump *d, struct file_ref *ref, struct err *err);

/* Reads remap-fpath.img and the ghosts that it names. */
int ghost_load(struct restore *r, struct err *err);

/* Makes the ghost of a file (once) so that path leads to it. Positive GHOST_NONE if it has none. */
enum { GHOST_NONE = 1 };
int ghost_make(struct restore *r, uint32_t file_id, const char *path, const char **ret_path,
	       struct err *err);

/* Deletes again what ghost_make() has made; to be called in the root builder when all files are
 * open. */
void ghost_unlink_all(struct restore *r);
