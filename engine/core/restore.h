/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The context of a restore. It is complete and validated before the first process is forked;
 * builders are forks of the engine and see a copy of it, made at their fork. What must flow back
 * goes through struct builder_shared.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "engine/base/arena.h"
#include "engine/base/idmap.h"
#include "engine/base/still.h"
#include "engine/base/vec.h"
#include "engine/core/ns-types.h"
#include "engine/engine.h"
#include "engine/image/image.h"
#include "engine/tracee/tracee.h"

struct file_obj;
struct CoreEntry;
struct MmEntry;
struct FsEntry;
struct TaskKobjIdsEntry;
struct restore_files;
struct restore_shmem;
struct restore_sysv;
struct restore_ghosts;
struct MqueueEntry;
struct restore_locks;
struct restore_seccomp;
struct restore_tcp;
struct restore_devices;
struct restore_ns;
struct mount_plan;
struct cgroups_plan;
struct guardian;
struct plugins;
struct builder_shared;
struct errand_box;
struct page_map;
struct inherited;
struct restore_vdso;
struct proc_vmas;

struct restore_thread {
	struct restore_task *task;
	pid_t ns_tid;
	struct CoreEntry *core;
	uint64_t clear_tid_addr;
	struct tracee t; /* ids as we see them are known after the fork */
	bool leader;
	/* tables that are not those of its process; see task/thread-tables.c */
	bool own_files, own_dirs;
	struct restore_task *own;     /* who has them, or NULL */
	struct restore_thread *maker; /* who makes it; NULL: it is the leader */
	size_t made_at;		      /* when the maker has so many seccomp filters */
	size_t n_filters;	      /* that it has inherited or installed so far */
};

/* One descriptor of a task. */
struct restore_fd {
	int fd;
	uint32_t flags; /* FD_CLOEXEC */
	struct file_obj *obj;
};

/*
 * How a process is forked (see history.h). A helper is one that is no task: it stands for a dead
 * leader of a session, or it lies between a task and who forks it and ends in its round, so that
 * its heir inherits the task.
 */
struct task_birth {
	struct restore_task *forker; /* NULL: the engine */
	VEC(struct restore_task *) forks;
	struct restore_task *heir;
	unsigned int round;
	bool helper;
	bool early;	   /* forked before its forker makes its session */
	bool leads;	   /* makes a session */
	bool sibling;	   /* its forker is a sibling of it, and has the same memory */
	bool moves;	   /* forked by a helper in between: it loses its first parent */
	bool founds_group; /* makes its group, but may be in another in the end */
	pid_t dead_group;  /* it makes this group in place of a dead leader, for all its members */
};

/* A table that tasks may share; see task/sharing.h. */
struct task_table {
	uint32_t carry;	  /* it is handed on while the tree is forked; 0: nobody shares it */
	bool stays;	  /* by one who keeps it */
	bool first, last; /* of those who keep it, in the order of tasks; both if it is not shared
			   */
};

struct restore_task {
	struct restore_task *parent; /* NULL: root of the tree */
	size_t index;
	pid_t ns_pid, ns_pgid, ns_sid;
	pid_t pid;	  /* as we see it, known after the fork */
	bool dead;	  /* a zombie */
	bool dead_leader; /* its first thread ends before the others run */
	int exit_code;
	int exit_signal; /* what its parent gets at its end */
	struct TaskKobjIdsEntry *ids;
	struct MmEntry *mm;
	struct FsEntry *fs;
	VEC(struct restore_thread *) threads; /* [0] is the leader */
	struct task_birth birth;
	VEC(struct restore_fd) fds;
	struct file_obj *exe, *cwd, *root;
	struct task_table files, dirs; /* descriptors; directories and umask */
	struct task_table undo;	       /* semaphore operations */
	struct task_table memory, handlers;
	struct restore_task *memory_of; /* the first of those who share its memory: has mm, pages */
	unsigned int memory_rank;	/* among these */
	uint32_t *turn;			/* of its builder; see turn.h */
	struct scratch scratch;
	struct page_map *pages;
	struct inherited *inherited; /* for each area; NULL: none */
	struct restore_vdso *vdso;   /* NULL: none, or the kernel's is in the place of its own */
	/* address space, built before the fork: mapping areas; what follows when they are filled */
	struct program prog_mm, prog_filled;
};

/* What builders count; in memory that they share with the engine. */
struct restore_counts {
	uint64_t compared, equal; /* pages of a child against those that it has inherited */
};

/* Moments for the statistics. */
struct restore_times {
	struct timespec start, forked, done;
};

struct restore {
	const struct ckpt_options *opts;
	struct log *log;
	int images_fd, work_fd;
	struct arena arena;
	struct still still;		    /* messages and programs: what builders leave alone */
	VEC(struct restore_task *) tasks;   /* parents before children; [0] is the root */
	VEC(struct restore_task *) helpers; /* indexes go on after those of the tasks */
	VEC(struct restore_task *) holders; /* of tables of threads: no tasks */
	VEC(pid_t) used_ids;		    /* of tasks, threads, groups and sessions; sorted */
	unsigned int rounds;		    /* in which helpers end */
	struct ns_set host_ns, root_ns;	    /* ids of the images */
	uint64_t new_ns;		    /* CLONE_NEW* flags of the namespaces to make */
	struct restore_files *files;
	struct restore_shmem *shmem;
	struct restore_sysv *sysv;
	struct restore_ghosts *ghosts;
	struct restore_locks *locks;
	struct restore_seccomp *seccomp;
	struct restore_devices *devices;
	struct restore_ns *ns;
	struct mount_plan *mounts;
	struct cgroups_plan *cgroups;
	struct plugins *plugins;
	struct guardian *guardian; /* removes our cgroups if we are killed; NULL: none were made */
	struct builder_shared *shared;
	struct errand_box *errands; /* for each process that is forked; see errand.h */
	size_t n_errands;
	int engine_socket, builder_socket; /* builders report here */
	const struct file_obj *born_in;	   /* a working directory that can only be inherited */
	int proc_fd;			   /* the host's /proc, also in builders */
	int engine_pidfd; /* readable when the engine has died: builders then end */
	uint32_t root_cg_set;
	uint32_t net_lock_method; /* enum net_lock_method: how the dump cut off the network */
	const char *net_lock_id;
	struct restore_tcp *tcp;	    /* NULL: no connection is cut off by this restore */
	struct MqueueEntry *const *mqueues; /* of the inventory */
	size_t n_mqueues;
	struct idmap mqueues_by_id;
	uint32_t keyring;  /* of a builder: the session keyring that it has, 0: the engine's */
	uint64_t own_caps; /* permitted capabilities of the engine */
	int null_fd;	   /* /dev/null at a number that builders see; 0: not needed */
	int fd_base;	   /* lowest number of the engine's own descriptors in builders */
	int fd_low;	   /* what the engine had open at first lies below */
	int fd_next;	   /* next one to give out */
	struct proc_vmas *own_vmas;
	uint64_t scratch_addr, scratch_len; /* the same in every task */
	uint64_t inherit_distance; /* of inherited memory from its final place, in builders */
	VEC(ProtobufCMessage *) messages; /* freed at the end */
	uint64_t pages_restored;	  /* private ones, as CRIU counts */
	struct restore_counts *counts;
	struct restore_times times;
};

/* All who have descriptors: the tasks, then threads with tables of their own. NULL: no more. */
struct restore_task *restore_holder(const struct restore *r, size_t i);

/* "task 7 (nginx)" by the pid inside; of the arena, never NULL. */
const char *restore_task_name(struct restore *r, const struct restore_task *task);

/* Tells the client a stage; see ckpt_notify_fn. 0, or negative when it refuses. */
int restore_notify(struct restore *r, const char *stage, pid_t pid, int fd, struct err *err)
	__attribute__((warn_unused_result));

/*
 * In the engine and in builders: opens the file behind a descriptor once more. It does not depend
 * on a /proc in the tree's mounts. A descriptor or -errno.
 */
int restore_reopen(const struct restore *r, int fd, int flags);

/* Keeps an unpacked message until the end of the restore. 0 or -ENOMEM (then it is freed). */
int restore_keep(struct restore *r, void *msg);

/* Reads the one record of an image and keeps it. An absent file is an error. */
int restore_read_one(struct restore *r, enum image_type type,
		     const ProtobufCMessageDescriptor *desc, void *ret, struct err *err,
		     const char *fmt, ...)
	__attribute__((format(printf, 6, 7), warn_unused_result));
