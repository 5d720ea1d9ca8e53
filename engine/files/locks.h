/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * File locks and leases (--file-locks), in filelocks.img.
 *
 * A POSIX lock belongs to a descriptor table and an inode: it is gone as soon as the task closes
 * any descriptor of that file. So it is taken by the task itself after the last close of a restore.
 * The others belong to a description. A task that waits for a lock has been interrupted, and makes
 * its call again.
 */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kind.h"

/* Notes the locks that fdinfo shows for a descriptor, which is one of the file with that id. */
int locks_note(struct dump *d, const struct file_ref *ref, uint32_t file_id, struct err *err)
	__attribute__((warn_unused_result));

/* After the files of all tasks are collected: writes the image, or refuses. */
int locks_write(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* When all files and areas are collected: locks that nothing but a mapping keeps go with the area,
 * or are refused. */
int locks_note_hidden(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* After the descriptors of all tasks are loaded. */
int locks_load(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* In a builder, its descriptors in their places: everything but POSIX locks, which are tried. */
int locks_restore(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));
