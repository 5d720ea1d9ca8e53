/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Driving stopped tasks: seize, stop, wait, borrowed calls, scratch mapping, programs.
 *
 * A thread is either running, stopped with its own registers (STOPPED), or parked at the end of a
 * program (PARKED): in every one of these states it goes on by itself, unharmed, if this process
 * dies, unless it was seized for a restore (then it dies with us).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/arch/arch.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "engine/base/proctext-maps.h"
#include "engine/base/still.h"
#include "engine/base/vec.h"

enum tracee_state { TRACEE_RUNNING, TRACEE_STOPPED, TRACEE_PARKED, TRACEE_GONE };

/* One thread of another process. ids as we see them; ns_* as its own pid namespace numbers them. */
struct tracee {
	pid_t tid, tgid;
	pid_t ns_tid, ns_tgid;
	enum tracee_state state;
	int stop_signal;   /* it was in a group-stop by this signal when it was seized, else 0 */
	bool ctx_changed;  /* ctx differs from what the thread has: written at the release */
	bool end_arrived;  /* one of its own end_signal came in meanwhile; sent again at release */
	bool stop_arrived; /* a stop signal came in while we held it; sent again at release */
	unsigned int stop_within_ms; /* how long tracee_seize_wait() waits; 0: for ever */
	bool dead_means_die;	     /* restore: seized with EXITKILL */
	int end_signal;		     /* ends programs; chosen by tracee_choose_end_signal() */
	struct arch_context *ctx;    /* its own context, owned */
};

/* Executable page and data area in a task, for programs. len == 0: none. */
struct scratch {
	uint64_t code, data;
	uint64_t code_len, data_len;
};

/*
 * Seizes and stops a thread and reads its context. for_restore: it dies with us, and its clones are
 * seized too. Positive TRACEE_IS_GONE if it has ended. Needs CAP_SYS_PTRACE over the task.
 */
enum { TRACEE_IS_GONE = 1 };
int tracee_seize(struct tracee *t, bool for_restore, struct err *err)
	__attribute__((warn_unused_result));

/*
 * The same in two halves, for tasks that a cgroup freezer holds: they stop only once they are
 * thawed. tracee_seize_begin() neither waits nor reads; tracee_seize_wait() does.
 */
int tracee_seize_begin(struct tracee *t, bool for_restore, struct err *err)
	__attribute__((warn_unused_result));
int tracee_seize_wait(struct tracee *t, struct err *err) __attribute__((warn_unused_result));

/*
 * Lets a STOPPED thread run for a moment and stops it again: its context is another one then. Only
 * while nothing has been looked at that it could change. Positive TRACEE_IS_GONE.
 */
int tracee_move_on(struct tracee *t, struct err *err) __attribute__((warn_unused_result));

/* Takes over a thread that was seized by its parent's clone event; waits for its first stop. */
int tracee_adopt(struct tracee *t, struct err *err) __attribute__((warn_unused_result));

/* Reads the context of a stopped thread into t->ctx (allocated when needed). */
int tracee_read_context(struct tracee *t, struct err *err) __attribute__((warn_unused_result));

/* Suspends the thread's seccomp filters while we trace it. Positive if the kernel refuses. */
int tracee_suspend_seccomp(struct tracee *t);

/* A thread that was seized for a restore does not die with us any more; it is still held. */
void tracee_outlive(struct tracee *t);

/* Puts t->ctx back and lets the thread run. Never fails for a thread that is gone. */
int tracee_release(struct tracee *t, struct err *err);

/* Frees what t owns. */
void tracee_done(struct tracee *t);

/* Chooses a signal that the task has no handler for and that is not pending (masks of /proc
 * status). */
int tracee_choose_end_signal(struct tracee *t, uint64_t caught, uint64_t pending, struct err *err);

/* Reads or writes memory of the task. 0 or -errno; a short transfer is -EFAULT. */
int tracee_read(pid_t pid, uint64_t addr, void *buf, size_t len);
int tracee_write(pid_t pid, uint64_t addr, const void *buf, size_t len);

/* ---- borrowed calls: one system call made with the task's own text ---- */

/*
 * Where a task has a `syscall; ret`, a signal restorer, and room for a signal frame below the
 * stack. stack == 0: no room that is surely unused, restorer == 0: none found. Then the few
 * instructions of the borrowed call would not survive our death, and its bytes are put back
 * afterwards.
 */
struct gadgets {
	uint64_t syscall_ret, restorer;
	uint64_t frame; /* address for the frame */
	bool frame_is_free;
};

/* What was found in files that tasks map, so that the next task need not be searched. */
struct gadget_entry;
struct gadget_cache {
	VEC(struct gadget_entry) entries;
};
void gadget_cache_done(struct gadget_cache *c);

/* Finds them by reading the executable areas among vmas, of a stopped task. cache: may be NULL. */
int gadgets_find(const struct tracee *t, const struct proc_vmas *vmas, struct gadget_cache *cache,
		 struct gadgets *ret, struct err *err) __attribute__((warn_unused_result));

/* One call to be made with the task's own text. result is also a negative one. */
struct borrow_state;
struct borrow {
	struct tracee *t;
	const struct gadgets *g;
	uint64_t nr, args[6];
	int64_t result;
	struct borrow_state *state; /* while it is made */
};

/*
 * Makes one call in each of several tasks, all at the same time. A failure of one does not keep the
 * others from coming to their end; it is told then.
 */
int tracee_borrow_calls(struct borrow *v, size_t n, struct err *err)
	__attribute__((warn_unused_result));

/* A scratch mapping to be made, or taken away. */
struct scratch_job {
	struct tracee *t;
	const struct gadgets *g;
	uint64_t addr, data_len; /* to be made: clear of every area */
	struct scratch *ret;	 /* what there is of it, also after a failure */
};

/* Makes scratch mappings with two borrowed calls each, and copies the loop there. */
int scratch_map(struct scratch_job *jobs, size_t n, struct err *err)
	__attribute__((warn_unused_result));

/* Takes them away again with one borrowed call. */
int scratch_unmap(struct scratch_job *jobs, size_t n, struct err *err);

/* Copies the loop into a code area that is already mapped executable. */
int scratch_write_loop(const struct tracee *t, uint64_t code, struct err *err);

/* ---- programs ---- */

enum prog_fail { PROG_GO_ON = 0, PROG_STOP = 1 };

/*
 * An argument: a number, an address in the program's data, the result of an earlier step, or the
 * address of an argument of a later step, which a call can then write.
 */
struct prog_arg {
	uint64_t v;
	enum { PROG_NUMBER, PROG_DATA, PROG_RESULT, PROG_ARGUMENT } kind;
};
#define PN(x) ((struct prog_arg){ (uint64_t)(x), PROG_NUMBER })
#define PD(x) ((struct prog_arg){ (uint64_t)(x), PROG_DATA })
#define PR(x) ((struct prog_arg){ (uint64_t)(x), PROG_RESULT })
#define PA(step, n) ((struct prog_arg){ (uint64_t)(step)*8 + (n), PROG_ARGUMENT })

struct prog_step {
	const char *what; /* for errors: what this call does */
	uint64_t nr;
	struct prog_arg args[6];
	enum prog_fail fail;
	int64_t result;
	uint64_t detail; /* the caller's own number, for errors: an address, a signal ... */
};

/*
 * An array of calls with its operands, built by ordinary code and run in a task with one round
 * trip. broken is set when memory ran out while building; program_run() then fails.
 */
struct program {
	VEC(struct prog_step) steps;
	VEC(uint8_t) data;
	VEC(uint64_t) pointers; /* offsets of words of data that hold addresses of data */
	bool broken;
	bool still; /* it is complete, and lies in still memory */
};

void program_done(struct program *p);

/* Moves a complete program into memory that forks do not copy. 0, or -ENOMEM: it stays. */
int program_settle(struct program *p, struct still *still) __attribute__((warn_unused_result));

/* Adds a call; returns its index. At most 6 arguments. */
int prog_call(struct program *p, const char *what, enum prog_fail fail, uint64_t nr,
	      const struct prog_arg *args, size_t n_args);
#define prog_syscall(p, what, fail, nr, ...)                                   \
	prog_call(p, what, fail, nr, (const struct prog_arg[]){ __VA_ARGS__ }, \
		  sizeof((const struct prog_arg[]){ __VA_ARGS__ }) / sizeof(struct prog_arg))
#define prog_syscall0(p, what, fail, nr) prog_call(p, what, fail, nr, NULL, 0)

/* Adds bytes (zeros if data is NULL), aligned to 16; returns the offset for PD() and prog_out(). */
uint64_t prog_bytes(struct program *p, const void *data, size_t len);

/* Makes the 8 bytes at offset at hold the address that offset to will have in the task. */
void prog_pointer(struct program *p, uint64_t at, uint64_t to);

/* Bytes as the calls have left them, after a run. */
void *prog_out(const struct program *p, uint64_t offset);

/* Result of a step after a run; -ECANCELED for a step that was not reached. */
int64_t prog_result(const struct program *p, int step);

/* Room that the program needs in a scratch mapping's data area. */
uint64_t program_size(const struct program *p);

/* Called for each thread that a program's clone3 makes (already stopped). Negative ends the run. */
typedef int (*program_clone_fn)(void *arg, pid_t tid, struct err *err);

/*
 * Runs the program in the thread and reads results and data back. The thread ends PARKED.
 * A step with PROG_STOP that fails gives an error that names it and its errno; -ESRCH if the task
 * died. on_clone may be NULL.
 */
int program_run(struct tracee *t, const struct scratch *s, struct program *p,
		program_clone_fn on_clone, void *arg, struct err *err)
	__attribute__((warn_unused_result));

/*
 * The same for programs of several threads at the same time. Those of one task need scratch areas
 * that do not overlap in their data. All of them are waited for; the first failure is told.
 */
struct program_job {
	struct tracee *t;
	struct scratch s;
	struct program *p;
	program_clone_fn on_clone;
	void *arg;
	int result; /* 0 or its own negative errno */
};
int programs_run(struct program_job *jobs, size_t n, struct err *err)
	__attribute__((warn_unused_result));

/*
 * The last call of a restore: takes the scratch mapping, the same in all of several tasks, away
 * with the loop's own instruction, under PTRACE_SYSCALL, so that no instruction runs after it. The
 * threads are then STOPPED with whatever context is set next.
 */
int scratch_unmap_last(struct tracee *const *v, size_t n, const struct scratch *s, struct err *err)
	__attribute__((warn_unused_result));
