/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of files without their names, private to ghost*.c and link-remap.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/files/kind.h"

struct image_reader;
struct GhostFileEntry;
struct FhEntry;

/* ---- dump ---- */

struct dump_ghost {
	struct dump_ghost *next;
	dev_t dev;
	ino_t ino;
	uint32_t id;
};

struct link_user {
	struct link_user *next;
	struct file_ref ref;
};

/* A name that will be made for a file that has lost one. */
struct dump_link {
	struct dump_link *next;
	struct stat st;
	uint32_t id; /* its own in files.img */
	int lfd, dir_fd;
	const char *dir_path, *leaf;
	bool has_mnt_id, made;
	int mnt_id;
	struct link_user *users;
};

struct dump_ghosts {
	struct dump_ghost *first;
	uint32_t last_id;
	struct dump_link *links;
};

/* The same at every call; NULL: no memory. */
struct dump_ghosts *ghosts_of(struct dump *d);

/* ---- restore ---- */

/* A file of the images that is a ghost, by the name it had. */
struct ghost_user {
	struct ghost_user *next;
	struct file_obj *obj;
	int fd; /* opened while the name was there, for flags that work by name alone */
};

struct ghost_name {
	struct ghost_name *next;
	const char *path;
	int fd; /* O_PATH */
	struct ghost_user *users;
};

/*
 * An inode: of a ghost-file image, or behind a name that the dump has made (linked). Or a process
 * that has ended, with its files in procfs.
 */
struct restore_ghost {
	struct restore_ghost *next;
	int type;    /* enum remap_type */
	uint32_t id; /* of the image, of the file whose path is linked, or of the process */
	const char *linked;
	const struct FhEntry *handle; /* of that file; may be NULL */
	int linked_dir;		      /* where that name is, held by the engine; 0: not open */
	struct GhostFileEntry *entry;
	struct image_reader *reader; /* at the contents */
	struct ghost_name *names;
	char *aside; /* a directory: where the file waits that has its name now */
};

struct restore_ghosts {
	struct restore_ghost *first;
};

/* A mount that can be written while ghosts are made. */
struct writable {
	struct writable *next;
	char *path;
};

/* Makes the mount of a directory writable if it is not. ghost_writable_undo() takes that back. */
int ghost_writable(struct restore *r, struct writable **list, const char *path, int dir,
		   struct err *err);
int ghost_writable_undo(struct writable *list, struct err *err);

/* Writes the contents of the image into a new, empty file. */
int ghost_fill(struct restore_ghost *g, int fd, struct err *err);

/* Owner, mode and times of what is at leaf in dir, or of dir itself if leaf is "". */
int ghost_dress(const struct GhostFileEntry *e, int dir, const char *leaf, struct err *err);
