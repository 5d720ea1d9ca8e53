/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capacity and unread bytes of a pipe or a FIFO, and the image file that keeps them. */
#pragma once

#include "engine/files/kind.h"
#include "engine/image/image.h"

struct pipe_data {
	struct pipe_data *next;
	uint32_t pipe_id;
	uint32_t size; /* capacity in bytes; 0: not known */
	size_t len;
	const void *bytes;
};

/* Where a kind keeps its data. */
struct pipe_image {
	enum image_type type;
	const char *name;
};

/*
 * Writes the record of the pipe behind a description that can read; the bytes stay in the pipe.
 * *ret_len is their number.
 */
int pipe_data_capture(struct dump *d, struct file_ref *ref, const struct pipe_image *where,
		      size_t *ret_len, struct err *err);

/* Reads all records of the image; the list and its bytes are of the restore's arena. */
int pipe_data_load(struct restore *r, const struct pipe_image *where, struct pipe_data **ret,
		   struct err *err);

/* The record of that pipe, or NULL. */
const struct pipe_data *pipe_data_find(const struct pipe_data *list, uint32_t pipe_id);

/* Sets the capacity and puts the bytes into a fresh pipe, through a descriptor that can write. */
int pipe_data_restore(const struct pipe_data *data, int wfd, struct err *err);
