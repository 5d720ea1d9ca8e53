/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rings of packet sockets are memory that tasks map. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

/*
 * Dump, after the descriptors of all tasks: the file id of the packet socket with that inode
 * number; false if no task has it open.
 */
bool packet_find(struct dump *d, uint64_t ino, uint32_t *ret_id);

/* Restore, while areas are loaded: file id must be a packet socket with a ring of that length. */
int packet_need_mapping(struct restore *r, uint32_t id, uint64_t len, struct err *err)
	__attribute__((warn_unused_result));
