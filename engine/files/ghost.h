/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files whose names do not lead to them any more: remap-fpath.img says how each one is reached.
 *
 * A file without any name is a ghost: its contents are in ghost-file-N.img. A file that has lost
 * the name it was opened by, but has others, gets one more name beside the lost one (--link-remap).
 *
 * On a restore a ghost gets its old name for the moment in which an O_PATH descriptor is opened by
 * it; everything else is opened through that descriptor. So the kernel shows the old name with its
 * "(deleted)", and nothing is left in the file system should the restore end at any later moment.
 * Where another file has that name meanwhile, the two are exchanged for this moment.
 */
#pragma once

#include "engine/files/kind.h"

/* ---- dump ---- */

/* Stores the deleted file behind ref (once for each inode) and notes that ref->id leads to it. */
int ghost_capture(struct dump *d, struct file_ref *ref, struct err *err);

/* Notes that a file of the images is reached in another way (enum remap_type). */
int ghost_add_remap(struct dump *d, uint32_t file_id, uint32_t remap_id, int type, struct err *err);

/*
 * Notes a file that has lost its name (the one without the mark of procfs) but not its last one. Or
 * refuses it: then KIND_UNSUPPORTED. The new name is made by files_make_links().
 */
int link_remap_capture(struct dump *d, struct file_ref *ref, const char *name, struct err *err);

/* ---- restore ---- */

/* Reads remap-fpath.img and the ghosts that it names. After all files are loaded. */
int ghost_load(struct restore *r, struct err *err);

/* How many descriptors of ghosts are open at the most, until ghost_close_all(). */
int ghost_count(const struct restore *r);

/* For every file, after ghost_load(): those of procfs may have to wait, or go with another ghost.
 */
int ghost_adopt(struct restore *r, struct file_obj *obj, struct err *err);

/*
 * A file that is the ghost of that inode, by its device as the kernel numbers it and its number at
 * the dump. NULL: none is.
 */
struct file_obj *ghost_of_inode(const struct restore *r, uint32_t sdev, uint64_t ino);

/* In the root builder, before any file is made: makes all ghosts. */
int ghost_make_all(struct restore *r, struct err *err);

/* Opens a file that is a ghost. Positive GHOST_NONE if it is none. */
enum { GHOST_NONE = 1 };
int ghost_open(struct restore *r, const struct file_obj *obj, int flags, int *ret_fd,
	       struct err *err);

/*
 * In the engine, while the root builder is not in a chroot yet: the directories of the names that
 * the dump has made. ghost_remove_links() takes these names away when nothing can fail any more.
 */
int ghost_keep_links(struct restore *r, int root, struct err *err);
void ghost_remove_links(struct restore *r);

/* In the root builder, when all files are made: closes what ghost_make_all() has opened. */
void ghost_close_all(struct restore *r);
