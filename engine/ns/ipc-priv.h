/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the files of IPC namespaces. */
#pragma once

#include <sys/ipc.h>

#include "engine/ns/ns-priv.h"

struct IpcDescEntry;

/* Key, id, owner and mode of an object of System V IPC. */
struct ipc_desc {
	int id;
	key_t key;
	uid_t uid, cuid;
	gid_t gid, cgid;
	unsigned int mode; /* with SHM_DEST */
};

void ipc_desc_from_perm(int id, const struct ipc_perm *p, struct ipc_desc *ret);

/* Conversions from and to the image; the second checks what is only possible in broken images. */
void ipc_desc_fill(const struct ipc_desc *desc, struct IpcDescEntry *e);
int ipc_desc_load(const struct IpcDescEntry *e, struct ipc_desc *ret, struct err *err);

/*
 * Makes the next object get that id, by the setting "kernel/msg_next_id" or its like. The slot of
 * the id must be free, else the kernel takes another: the caller compares.
 */
int ipc_next_id(const char *setting, int id, struct err *err);

/*
 * The three kinds of object. look: in the visitor, which appends what it has seen; dump: in the
 * engine, with what was seen, while the visitor still has the segments attached. load and build as
 * in struct ns_kind.
 */
int ipc_msg_look(struct buf *ret, struct err *err);
int ipc_msg_dump(struct dump *d, const char *seen, size_t len, struct err *err);
int ipc_msg_load(struct restore *r, struct ns_ipc *ipc, struct err *err);
int ipc_msg_build(struct restore *r, struct ns_ipc *ipc, struct err *err);
int ipc_sem_look(struct buf *ret, struct err *err);
int ipc_sem_dump(struct dump *d, const char *seen, size_t len, struct err *err);
int ipc_sem_load(struct restore *r, struct ns_ipc *ipc, struct err *err);
int ipc_sem_build(struct restore *r, struct ns_ipc *ipc, struct err *err);
int ipc_shm_look(struct buf *ret, struct err *err);
int ipc_shm_dump(struct dump *d, const char *seen, size_t len, pid_t visitor, struct err *err);
int ipc_shm_load(struct restore *r, struct ns_ipc *ipc, struct err *err);
int ipc_shm_build(struct restore *r, struct ns_ipc *ipc, struct err *err);
void ipc_shm_done(struct ns_ipc *ipc);

/* The length of the longest message. */
uint64_t ipc_msg_biggest(const struct ns_ipc *ipc);

/* Segments that were removed while they were attached. */
bool ipc_shm_has_marked(const struct ns_ipc *ipc);
int ipc_shm_remove_marked(const struct ns_ipc *ipc, struct err *err);

/*
 * The settings. grow() makes room for all objects, set() gives the settings their values; both
 * leave out kernel/shm_rmid_forced.
 */
int ipc_vars_look(struct buf *ret, struct err *err);
int ipc_vars_dump(struct dump *d, const char *seen, size_t len, struct err *err);
int ipc_vars_load(struct restore *r, struct ns_ipc *ipc, struct err *err);
int ipc_vars_grow(struct restore *r, const struct ns_ipc *ipc, uint64_t biggest_message,
		  struct err *err);
int ipc_vars_set(struct restore *r, const struct ns_ipc *ipc, struct err *err);
/* Raises one setting to that value if it is below; ipc_vars_set() gives it its own later. */
int ipc_vars_widen(struct restore *r, const char *path, uint64_t want, struct err *err);
bool ipc_vars_rmid_forced(const struct ns_ipc *ipc);

struct ipc_vars;
struct ipc_sem_set;
struct ipc_queue;
struct ipc_segment;

/* What a restore makes; all in the arena. */
struct ns_ipc {
	struct ipc_vars *vars;
	struct ipc_sem_set *sems; /* lists */
	struct ipc_queue *queues;
	struct ipc_segment *segments;
};
