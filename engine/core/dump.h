/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The context of a dump: what every kind sees. A field that only one module uses lives in that
 * module's own struct and is reached by pointer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "engine/base/arena.h"
#include "engine/base/buf.h"
#include "engine/base/proctext-maps.h"
#include "engine/base/proctext.h"
#include "engine/base/vec.h"
#include "engine/core/ns-types.h"
#include "engine/engine.h"
#include "engine/image/image.h"
#include "engine/tracee/tracee.h"

struct CoreEntry;
struct VmaEntry;
struct mount_tree;
struct dump_files;
struct dump_shmem;
struct dump_tcp;
struct page_io;
struct dump_mapped;
struct dump_ghosts;
struct dump_locks;
struct dump_seccomp;
struct dump_mqueues;
struct dump_undo;
struct guardian;
struct cgroup_freezer;
struct plugins;

/* A place for what an attribute asked of a thread's program: a step and an offset of data. */
struct asked {
	int step;
	uint64_t data;
	uint64_t more;
};

enum { ASKED_MAX = 32 };

struct dump_thread {
	struct dump_task *task;
	struct tracee t;
	struct proc_status status;
	struct proc_stat stat;
	bool leader; /* it speaks for its process */
	bool seccomp_suspended;
	uint64_t rseq_section;	  /* that it is to be found in again */
	uint32_t files_id, fs_id; /* of tables of its own; 0: it has those of its process */
	struct asked asked[ASKED_MAX];
	struct CoreEntry *core; /* in the arena */
};

enum task_state { TASK_ALIVE = 1, TASK_DEAD = 2, TASK_STOPPED = 3 };

struct dump_task {
	struct dump_task *parent; /* NULL: root of the tree */
	pid_t pid, ns_pid;	  /* as we see it; as it sees itself */
	pid_t tid;		  /* a thread that lives: whom to ask. The first one, if it does */
	bool dead_leader;	  /* the first one has ended, others live on */
	struct proc_stat leader_stat; /* of that one */
	pid_t ns_pgid, ns_sid;	      /* 0: outside of its pid namespace */
	size_t index;		      /* in dump->tasks */
	enum task_state state;
	int proc_fd; /* /proc/PID */
	int pidfd;
	int files_pidfd; /* the descriptors of the process are copied through it; may be pidfd */
	/*
	 * threads[0] is the leader, or, if that has ended, the one that stands in for it; struct
	 * dump_thread never moves once collected.
	 */
	VEC(struct dump_thread *) threads;
	struct proc_vmas vmas;
	int *opened; /* of each vma of a file: the flags that it was opened with, or -errno */
	struct gadgets gadgets;
	struct scratch scratch;
	uint32_t vm_id, files_id, fs_id, sighand_id;
	uint32_t undo_id;	     /* 0: it has no list of semaphore operations to undo */
	struct dump_task *memory_of; /* the first of those who share its memory: has vmas, areas */
	unsigned int memory_rank;    /* among these */
	uint32_t cg_set;
	struct VmaEntry *areas;	       /* one per vma, in the arena */
	VEC(struct VmaEntry *) guards; /* guard pages, after them in the image */
	uint32_t exe_id, cwd_id, root_id;
	bool seccomp_uniform;	    /* all threads have the leader's filters */
	uint64_t vdso_aside;	    /* where a vDSO is that its own is redirected to; 0: none is */
	struct proc_timers *timers; /* between asking and capturing */
	struct program *program;    /* the leader's, with its answers */
};

/* One reason after the other why the tree cannot be dumped. */
struct refusals {
	struct buf text;
	size_t n;
};

/* Moments for the statistics. */
struct dump_times {
	struct timespec freeze_start, frozen, pages_start, pages_end, thawed;
	uint64_t writing_ns; /* of the time between pages_start and pages_end */
};

struct dump {
	const struct ckpt_options *opts;
	struct log *log;
	int images_fd, work_fd;
	struct arena arena;
	struct image_set *images;
	struct refusals refusals;
	VEC(struct dump_task *) tasks; /* parents before children */
	struct ns_set host_ns, root_ns;
	struct mount_tree *mounts; /* of the tree's mount namespace */
	struct dump_files *files;
	struct dump_shmem *shmem;
	struct page_io *page_io;
	struct dump_mapped *mapped;
	struct dump_ghosts *ghosts;
	struct dump_locks *locks;
	struct dump_seccomp *seccomp;
	struct dump_mqueues *mqueues; /* NULL: there are none */
	struct dump_undo *undo;	      /* NULL: nobody was found to have semaphores to give back */
	struct dump_tcp *tcp;	      /* NULL: no open connection is kept */
	struct guardian *guardian;
	struct cgroup_freezer *freezer;
	struct plugins *plugins;
	VEC(pid_t) begun; /* threads that are being seized, 0 when taken over */
	size_t begun_left;
	uint32_t root_cg_set;
	struct gadget_cache gadgets;
	struct dump_times times;
	bool let_go; /* the tree runs again before the end of the dump */
	uint32_t last_pages_id;
	uint64_t pages_scanned, pages_written; /* all of them, shared memory included */
	uint64_t shared_pages_scanned, shared_pages_written;
};

/* A living thread of the root task. After the tree is collected. */
pid_t dump_root_tid(const struct dump *d);

/* The task with that pid as we see it, or NULL. */
struct dump_task *dump_task_by_pid(const struct dump *d, pid_t pid);

/* "task 4312 (nginx, pid 7 inside)", in a buffer of the arena; never NULL. */
const char *dump_task_name(struct dump *d, const struct dump_task *task);

/*
 * Notes a reason; the dump goes on looking for others and fails before anything is touched. task
 * may be NULL. The text names the object, why it cannot be kept and, after "; hint: ", the remedy.
 */
void dump_refuse(struct dump *d, const struct dump_task *task, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
