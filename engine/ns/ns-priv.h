/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared inside engine/ns. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/ns/ns.h"

struct ns_ipc;
struct ns_net;
struct ns_time;
struct ns_user;
struct ns_uts;

/*
 * One kind of namespace. Callbacks may be NULL.
 *
 * dump: the tree has its own namespace of the type; writes its images, dump_refuse() for what
 * cannot be kept. dump_shared: it lives in ours. load, load_shared: the same for the restore,
 * before any process exists; not called for a namespace that is joined. load may still find out
 * that it is to be joined. build: in the root builder. Only if the namespace is in r->new_ns.
 * finish: in the engine, when the tasks are complete but do not run yet. Only if it is in
 * r->new_ns. done: frees; also after a load that failed or was not called.
 */
struct ns_kind {
	enum ns_type type;
	int (*dump)(struct dump *d, struct err *err);
	int (*dump_shared)(struct dump *d, struct err *err);
	int (*load)(struct restore *r, struct err *err);
	int (*load_shared)(struct restore *r, struct err *err);
	int (*build)(struct restore *r, struct err *err);
	int (*finish)(struct restore *r, pid_t root, struct err *err);
	void (*done)(struct restore *r);
};

extern const struct ns_kind ns_kind_ipc;
extern const struct ns_kind ns_kind_net;
extern const struct ns_kind ns_kind_pid;
extern const struct ns_kind ns_kind_time;
extern const struct ns_kind ns_kind_user;
extern const struct ns_kind ns_kind_uts;

/* What a restore knows about namespaces; in the arena. NULL: nothing to do for that kind. */
struct restore_ns {
	int join[NS_TYPE_COUNT]; /* descriptor of a namespace to enter, or -1 */
	bool join_ids;		 /* take on ids after a user namespace is joined: */
	uid_t join_uid;
	gid_t join_gid;
	struct ns_ipc *ipc;
	struct ns_net *net;
	struct ns_time *time;
	struct ns_user *user;
	struct ns_uts *uts;
};

/* ---- ids.c ---- */

/* Gives ids to host's namespaces from 1, and to those of root that differ the next ones. */
void ns_assign_ids(struct ns_set *host, struct ns_set *root);

static inline bool ns_is_own(const struct ns_set *host, const struct ns_set *root,
			     enum ns_type type)
{
	return host->id[type] != root->id[type];
}

/* ---- external.c ---- */

/* Makes a namespace that the caller hands over under that key one to be joined. */
int ns_join_inherited(struct restore *r, enum ns_type type, const char *key, struct err *err);

/* Takes opts->join_ns into r->ns. */
int ns_load_joins(struct restore *r, struct err *err);

/* In the builder: enters what ns_borrow() has not. The user namespace comes last and takes rights
 * away. */
int ns_enter_joined(struct restore *r, struct err *err);
int ns_enter_joined_user(struct restore *r, struct err *err);

/* ---- visit.c ---- */

/*
 * Runs in a child process that is inside of a namespace of the tree, and of its user namespace if
 * that is its own: ids are seen as inside. What it appends to ret goes to the caller.
 */
typedef int (*ns_visit_fn)(void *arg, struct buf *ret, struct err *err);

/* A child that has answered and waits; what it has attached or opened can be reached through it. */
struct ns_visitor {
	pid_t pid;   /* 0: none */
	int hold_fd; /* it ends when this is closed */
};

/*
 * Forks a child, which enters the root task's namespace of that type, calls fn and waits for
 * ns_visit_end(). This process stays where it is.
 */
int ns_visit_begin(struct dump *d, enum ns_type type, ns_visit_fn fn, void *arg, struct buf *ret,
		   struct ns_visitor *ret_visitor, struct err *err);
void ns_visit_end(struct ns_visitor *v);
#define cleanup_ns_visitor __attribute__((__cleanup__(ns_visit_end)))

/* Both at once. */
int ns_visit(struct dump *d, enum ns_type type, ns_visit_fn fn, void *arg, struct buf *ret,
	     struct err *err);

/* The same for any process; user_ns: enter its user namespace too. */
int ns_visit_pid(pid_t pid, enum ns_type type, bool user_ns, ns_visit_fn fn, void *arg,
		 struct buf *ret, struct err *err);

/* ---- sysctl.c: settings below /proc/sys of the namespaces that this process is in ---- */

/* Reads a setting, without the final newline. 0 or -errno; -ENOSPC if it does not fit. */
int ns_sysctl_read(const char *path, char *buf, size_t size);

/* Sets it, unless it has that value already. */
int ns_sysctl_set(const char *path, const char *value, struct err *err);
