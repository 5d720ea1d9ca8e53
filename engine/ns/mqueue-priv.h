/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What mqueue.c has found and mqueue-keep.c works on. */
#pragma once

#include <mqueue.h>

#include "engine/base/idmap.h"
#include "engine/ns/mqueue.h"

struct dump_mqueue {
	struct dump_mqueue *next;
	uint32_t id;
	const char *name;
	bool deleted;
	int fd; /* of ours, any access mode; -1: it is opened by name */
	mode_t mode;
	uint32_t uid, gid; /* as seen inside */
	struct mq_attr attr;
};

struct mqueue_keeper;

struct dump_mqueues {
	struct dump_mqueue *first, **end; /* those that are taken along */
	uint32_t last_id;
	struct idmap known; /* by device and inode: also those that stay */
	struct mqueue_keeper *keeper;
};

/* One message in the memory of the keeper; the next begins at a multiple of eight bytes. */
struct kept_message {
	uint32_t priority, len;
	char bytes[];
};

/* ---- mqueue-keep.c ---- */

/* Opens the root of the file system of queues of the namespace that this process is in. */
int mqueue_open_root(void);

int mqueue_keeper_start(struct dump *d, struct dump_mqueues *all, struct err *err)
	__attribute__((warn_unused_result));

/* The next message that was taken out of a queue; NULL, and begin with that: the first one. */
const struct kept_message *mqueue_keeper_next(const struct dump_mqueues *all,
					      const struct dump_mqueue *q,
					      const struct kept_message *last);

/* Puts them back, or forgets them. */
void mqueue_keeper_end(struct dump_mqueues *all, bool put_back);
