/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract of a file kind: one .c file that owns dump, load and restore of one sort of open
 * file, and one row in kinds.c.
 *
 * Dump: claims() looks at facts only; capture() fills the kind's message. The files module gives
 * out the ids and writes files.img and fdinfo-*.img.
 *
 * Restore: an open file description is made once, in the root builder (which is already inside the
 * tree's namespaces), and inherited by every task that has a descriptor of it. Order: load() of
 * all, link() of all, create() in the order of dependencies, then per task finish() for each
 * description that this task is the first owner of, with the descriptors of the task in their
 * places.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "engine/base/err.h"
#include "engine/base/proctext-fdinfo.h"

struct dump;
struct dump_task;
struct restore;
struct restore_task;
struct FileEntry;
struct FownEntry;

/* What can be seen of an open file from outside. */
struct fd_facts {
	struct stat st;
	uint32_t fs_magic; /* statfs f_type */
	const char *link;  /* text of /proc/PID/fd/N */
	uint32_t flags;	   /* O_* without O_CLOEXEC */
	int64_t pos;
	int mnt_id;
	int family; /* of a socket (SO_DOMAIN), else 0 */
};

/* One open file description at the place where it was met first. Lives in the dump's arena. */
struct file_ref {
	struct dump_task *task;
	int fd;	      /* number in the task; -1: not a descriptor (exe, cwd, root, a mapping) */
	int lfd;      /* our duplicate of the same description; for fd == -1 an O_PATH descriptor */
	pid_t holder; /* the process that has fd: the task, or this one for a file in flight */
	int holder_proc_fd; /* its /proc/PID */
	int holder_pidfd;   /* of it, for pidfd_getfd(2) */
	bool in_flight;	    /* nobody has it: it waits in the queue of a socket of the task */
	uint32_t id;
	struct fd_facts facts;
	struct proc_fdinfo info; /* of fd >= 0 */
	const char *what;	 /* "fd 5", "working directory" ... for messages */
};

/*
 * A description of a set of images being restored. fd is valid in the root builder and its children
 * after create(). entry lives as long as the restore.
 */
struct file_obj {
	uint32_t id;
	const struct file_kind *kind;
	struct FileEntry *entry;
	void *state; /* the kind's own, from load() */
	int fd;	     /* -1 until created */
	/* from link() on: the first task in the order of the tree that has a descriptor of it, and
	 * the lowest that it has; NULL: nobody */
	const struct restore_task *owner;
	int owner_fd;
	int place;	/* number that it gets in builders, 0: none */
	bool creating;	/* to find cycles */
	bool needed;	/* somebody uses it */
	bool borrowed;	/* others reach for it, see files_reach() */
	bool in_flight; /* nobody has a descriptor of it: it only waits in queues */
	bool inherited; /* given by the caller (--inherit-fd) instead of created */
	bool late; /* link(): this one is made when all tasks are born, as kinds that are late */
};

/* KIND_WRITES_LATER: the kind itself calls files_write_entry() when it knows all. */
enum { KIND_UNSUPPORTED = 1, KIND_WRITES_LATER = 2 };

struct file_kind {
	const char *name;
	int type; /* FdTypes of the image */

	/* finish() runs for every descriptor, before that of the other kinds: it may replace it. */
	bool finish_everywhere;

	/*
	 * capture() waits until all files of the dump have been met, those in flight too. Such a
	 * kind may want to look at the file when it is met, before what the dump reads shows in it:
	 * met(). KIND_UNSUPPORTED after dump_refuse().
	 */
	bool capture_last;
	int (*met)(struct dump *d, struct file_ref *ref);

	/*
	 * create() waits until all tasks are born: the root builder makes the file then, and the
	 * others fetch it from there.
	 */
	bool late;

	/* Is an open file with these facts of this kind? The first row that says yes has it. */
	bool (*claims)(const struct fd_facts *facts);

	/*
	 * Fills entry's member for this kind (memory from the dump's arena) and writes side images.
	 * The task is stopped and must not notice: no read that consumes, no change of the
	 * position. KIND_UNSUPPORTED after dump_refuse() when it cannot be kept.
	 */
	int (*capture)(struct dump *d, struct file_ref *ref, struct FileEntry *entry,
		       struct err *err);

	/*
	 * Optional: once for each file, when the descriptors of all tasks have been met. Finds the
	 * files that are in flight in it and hands them to files_add_in_flight().
	 */
	int (*look_inside)(struct dump *d, struct file_ref *ref, struct err *err);

	/* Validates obj->entry before any process exists. May set obj->state (arena of the
	 * restore). */
	int (*load)(struct restore *r, struct file_obj *obj, struct err *err);

	/*
	 * Optional, for a file that is needed, after all load(): tells with files_reach() which
	 * others are needed with it, although no task has them.
	 */
	int (*reach)(struct restore *r, struct file_obj *obj, struct err *err);

	/* Optional: after all load(): files_need() what must exist before, or find a peer. */
	int (*link)(struct restore *r, struct file_obj *obj, struct err *err);

	/* In the root builder: makes the file and returns its descriptor (close-on-exec), or
	 * -errno. */
	int (*create)(struct restore *r, struct file_obj *obj, struct err *err);

	/*
	 * Optional, in the root builder: opens the file of an area with the flags that the area
	 * needs, which a description may not have. A descriptor or -errno. Without it areas map the
	 * description itself.
	 */
	int (*open_mapping)(struct restore *r, struct file_obj *obj, int flags, struct err *err);

	/* Optional, in the root builder, once for a kind that is late: when all files exist. */
	int (*settle)(struct restore *r, struct err *err);

	/*
	 * Optional: in the first owner, after all its descriptors are in place; fd is the number
	 * there. For what is bound to the owner or to other descriptors (epoll targets, owners of
	 * signals). For a file in flight: in the root builder, before settle().
	 */
	int (*finish)(struct restore *r, struct file_obj *obj, int fd, struct err *err);
};

/* NULL-terminated, in order of priority for claims(). */
extern const struct file_kind *const file_kinds[];

/* ---- services of files.c to kinds ---- */

/* Fills an fown message from F_GETOWN_EX, F_GETSIG and the owner's ids of the description. */
int files_capture_fown(struct dump *d, const struct file_ref *ref, struct FownEntry **ret,
		       struct err *err);

/* For load(): whether signal and owner are possible ones. */
int files_check_fown(const struct file_obj *obj, const struct FownEntry *fown, struct err *err);

/* For create(): what F_SETFL can set of the flags; and the signal of F_SETSIG. */
int files_restore_flags(int fd, uint32_t flags, struct err *err);
int files_restore_fown(int fd, const struct FownEntry *fown, struct err *err);

/* A finish() for every kind with an fown: sets the owner of signals, now that all tasks exist. */
int files_finish_owner(struct restore *r, struct file_obj *obj, int fd, struct err *err);

/*
 * For create(): looks whether the caller of the restore gives a descriptor in place of this object
 * (--inherit-fd). FILES_INHERITED: *ret_fd is a duplicate of it, close-on-exec, and obj->inherited
 * is set; 0: it does not. files_inherit_key() is for a key that the message alone does not tell.
 */
enum { FILES_INHERITED = 1 };
int files_inherit(struct restore *r, struct file_obj *obj, int *ret_fd, struct err *err);
int files_inherit_key(struct restore *r, struct file_obj *obj, const char *key, int *ret_fd,
		      struct err *err);
bool files_is_inherited(struct restore *r, const struct file_obj *obj);

/*
 * A kind's own data of this dump or restore: zeroed at the first call, then the same; NULL: no
 * memory. (The restore's objects keep the list: see kind-state.h.)
 */
void *files_dump_state(struct dump *d, const struct file_kind *kind, size_t size);
void *files_restore_state(struct restore *r, const struct file_kind *kind, size_t size);

/* Registers a path that is not a descriptor (exe, cwd, root, mapped file) and gives its id. */
int files_add_path(struct dump *d, struct dump_task *task, int opath_fd, const char *link,
		   uint32_t open_flags, const char *what, uint32_t *ret_id, struct err *err);

/*
 * For look_inside(): registers a file that was found in the queue of a socket of the task. Takes fd
 * over, which is a descriptor of ours.
 */
int files_add_in_flight(struct dump *d, struct dump_task *task, int fd, const char *what,
			uint32_t *ret_id, struct err *err);

/*
 * For a capture() that comes last: the id of the first open file that match() says 1 to; lfd is our
 * duplicate of it. 0: there is none. Negative: what match() gave.
 */
int files_search(struct dump *d, int (*match)(void *arg, int lfd), void *arg, uint32_t *ret_id);

/* Adds an entry to files.img: for entries that a capture() left for later. */
int files_write_entry(struct dump *d, const struct FileEntry *fe, struct err *err);

/* An id for an entry of files.img that no descriptor stands for. */
uint32_t files_new_id(struct dump *d);

/*
 * The root of the tree's mount namespace, where a restore will open paths: procfs shows names from
 * there, also for a task that lives in a chroot. A descriptor that stays open, or -errno.
 */
int files_root(const struct dump *d);

/* Keeps a descriptor of ours open until the files of the dump are done. fd, or -errno (also
 * -ENOMEM, then it is closed). */
int files_keep_open(struct dump *d, int fd);

/* The object with that id, or NULL. */
struct file_obj *files_find(struct restore *r, uint32_t id);

/* For reach(). */
void files_reach(struct restore *r, struct file_obj *obj);

/* For finish(): a new descriptor of the file, in whichever builder; close-on-exec. Or -errno. */
int files_borrow(struct restore *r, const struct file_obj *obj);

/*
 * For a kind that makes several files at once: moves one that create() will give out to its number
 * above those of the tasks. That, or -errno.
 */
int files_put_in_place(const struct file_obj *obj, int fd, struct err *err);

/* Restore: makes sure that obj has been created (root builder); fails on a cycle. */
int files_need(struct restore *r, struct file_obj *obj, struct err *err);
