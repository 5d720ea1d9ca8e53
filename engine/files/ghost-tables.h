/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of deleted files, private to ghost.c; here so that the contexts can point to them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct image_reader;
struct GhostFileEntry;

struct dump_ghost {
	struct dump_ghost *next;
	dev_t dev;
	ino_t ino;
	uint32_t id;
};

struct dump_ghosts {
	struct dump_ghost *first;
	uint32_t last_id;
};

struct restore_ghost {
	struct restore_ghost *next;
	uint32_t id;
	struct GhostFileEntry *entry;
	struct image_reader *reader; /* at the contents */
	char *path;
	bool made;
};

/* A file of the images that leads to a ghost. */
struct ghost_user {
	struct ghost_user *next;
	uint32_t file_id;
	struct restore_ghost *ghost;
};

struct restore_ghosts {
	struct restore_ghost *first;
	struct ghost_user *users;
};
