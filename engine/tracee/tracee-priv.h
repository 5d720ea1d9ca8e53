/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stops of a traced thread, shared by the files of this folder. */
#pragma once

#include "engine/tracee/tracee.h"

enum stop_what {
	STOP_GONE,    /* it has ended */
	STOP_TRAP,    /* PTRACE_EVENT_STOP: our interrupt, or the first stop of a new thread */
	STOP_GROUP,   /* group-stop by a stop signal */
	STOP_SIGNAL,  /* a signal is about to be delivered */
	STOP_SYSCALL, /* entry or exit under PTRACE_SYSCALL */
	STOP_CLONE,   /* it made a thread or a process */
	STOP_OTHER,
};

struct stop {
	enum stop_what what;
	int sig, status;
};

/* Waits for the next stop of this thread. */
int tracee_wait(struct tracee *t, struct stop *ret, struct err *err);

/* Waits until tracee_wait() will not have to, but for t->stop_within_ms at the most: -ETIMEDOUT. */
int tracee_wait_limited(struct tracee *t, struct err *err);

/* Stops a thread that runs, wherever it is. TRACEE_IS_GONE, or negative: it does not stop. */
int tracee_interrupt(struct tracee *t, struct err *err);

/* ---- threads that wait in vfork(2) (vfork.c) ---- */

struct vfork_children {
	VEC(pid_t) pids;
};

/* True if it waits for the child of a vfork. */
bool vfork_waits(pid_t tid);

/* Lets children that this thread waits for, and that we hold, go on. To be called repeatedly. */
void vfork_let_run(const struct tracee *t, struct vfork_children *ret);

/* Asks them to stop again, as they were asked before; whoever seized them waits for that. */
void vfork_stop_again(struct vfork_children *c);

/* True if a stopped thread is inside a borrowed call whose engine has died. */
bool tracee_in_borrowed_call(const struct tracee *t);
