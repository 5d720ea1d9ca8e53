/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine needs from a processor architecture: a task's register context, the loop that
 * runs syscall programs, the signal frame that gives a task back to itself, and the image's form of
 * registers. One implementation is compiled in (engine/arch/<name>/); nothing outside that folder
 * knows its names.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "engine/base/err.h"

#define ARCH_XSTATE_MAX (16 * 1024)

/* Everything that a thread's user mode consists of. Read and written while it is stopped by ptrace.
 */
struct arch_context {
	struct user_regs_struct gp;
	uint64_t sigmask;
	uint32_t restarted; /* from arch_context_find_restarted(), else 0 */
	uint32_t xstate_len;
	uint8_t xstate[ARCH_XSTATE_MAX] __attribute__((aligned(64)));
};

/*
 * One call of a program, as the loop reads it from the task's memory. The engine writes all fields,
 * the loop writes result, and the result also to *out if out is not 0. With stop set, a negative
 * errno as result ends the program.
 */
struct arch_step {
	uint64_t nr;
	uint64_t args[6];
	int64_t result;
	uint64_t out;
	uint64_t stop;
};

_Static_assert(sizeof(struct arch_step) == 80 && offsetof(struct arch_step, result) == 56 &&
		       offsetof(struct arch_step, out) == 64 &&
		       offsetof(struct arch_step, stop) == 72,
	       "the loop addresses the fields by number");

/* What the loop is started with. frame: address of an arch_frame, or 0 where a tracer's death
 * kills. */
struct arch_run {
	uint64_t code, steps, steps_end;
	pid_t tgid, tid; /* as the task's own pid namespace numbers them */
	int sig;	 /* ends the program: a signal that the task ignores by default */
	uint64_t frame;
};

/* The loop's machine code: copied to arch_run.code. */
const void *arch_loop(size_t *ret_len);

/* Reads or writes registers, extended state and blocked signals of a stopped thread. 0 or -errno.
 */
int arch_context_get(pid_t tid, struct arch_context *ctx);
int arch_context_set(pid_t tid, const struct arch_context *ctx);

/* Writes general registers only. 0 or -errno. */
int arch_regs_set(pid_t tid, const struct arch_context *ctx);

/*
 * The context with an interrupted system call turned into what the kernel would do at a resume
 * without its restart block: rewound to make the call again, or failed with EINTR where only that
 * is right.
 */
void arch_context_settle(struct arch_context *ctx);

/*
 * A call that waits for some time and has been interrupted before is inside restart_syscall(2),
 * which knows it by a block in the kernel only. If that is so, looks for its number in the text
 * right before the instruction that made it, of len bytes that end at the instruction pointer.
 * Without it the call can only fail with EINTR. arch_restart_text() is the length wanted, 0 if none
 * is.
 */
size_t arch_restart_text(const struct arch_context *ctx);
void arch_context_find_restarted(struct arch_context *ctx, const uint8_t *text, size_t len);

/*
 * Some calls (epoll_wait, semop, sigtimedwait) fail with EINTR when the thread is merely stopped,
 * and the kernel does not restart them. If the context shows such a failure, rewinds it so that the
 * call is made again; true if it did. Only right when no signal is about to be delivered.
 */
bool arch_context_undo_interrupt(struct arch_context *ctx);

/* True if the thread was inside a system call that the kernel would restart. */
bool arch_context_in_restart(const struct arch_context *ctx);

/* True if it was stopped outside of any system call. */
bool arch_context_in_user_mode(const struct arch_context *ctx);

uint64_t arch_context_sp(const struct arch_context *ctx);
uint64_t arch_context_ip(const struct arch_context *ctx);
void arch_context_jump(struct arch_context *ctx, uint64_t ip);

/* An uninitialised context for free(), or NULL: the extended state wants an alignment of its own.
 */
struct arch_context *arch_context_new(void);

/* A context without content, with the length and form of this machine's extended state. */
void arch_context_template(struct arch_context *ctx);

/* Names a state that cannot be kept (32-bit code, LDT, AMX tiles ...); NULL if all can be kept. */
const char *arch_context_unsupported(const struct arch_context *ctx);

/*
 * The signal frame for a (settled) context: bytes to be written at address addr of the task, whose
 * rt_sigreturn then continues the context. Returns the length, at most ARCH_FRAME_MAX. restorer is
 * what the frame's return address shall be (0 if the frame is only used by the loop).
 */
#define ARCH_FRAME_MAX (ARCH_XSTATE_MAX + 4096)
size_t arch_frame_build(const struct arch_context *ctx, uint64_t addr, uint64_t restorer,
			void *buf);

/* An upper bound for the length of this context's frame. */
size_t arch_frame_room(const struct arch_context *ctx);

/* Bytes below the stack pointer that the ABI lets a function use without moving it. */
#define ARCH_RED_ZONE 128

/* Registers for starting the loop; base gives segment registers and flags. */
void arch_run_regs(const struct arch_context *base, const struct arch_run *run,
		   struct arch_context *ret);

/*
 * Registers for one borrowed call: ip at a `syscall; ret` (or any `syscall` if nobody returns from
 * it), sp at a frame whose first word is the restorer.
 */
void arch_call_regs(const struct arch_context *base, uint64_t syscall_ip, uint64_t sp,
		    const struct arch_step *step, struct arch_context *ret);

/* The result register. */
int64_t arch_context_result(const struct arch_context *ctx);

/* Offsets of `syscall; ret` and of a signal restorer in a piece of text, or -1. */
ssize_t arch_find_syscall_ret(const uint8_t *text, size_t len);
ssize_t arch_find_restorer(const uint8_t *text, size_t len);

/* The loop's own `syscall` instruction, as an offset from arch_run.code. */
size_t arch_loop_syscall_offset(void);

/* A system call of this process that leaves errno alone: its result or -errno. */
int64_t arch_syscall(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d);

/* clone3(2) for a child that runs fn(arg), which never returns, on the stack of the arguments. */
int64_t arch_clone(const void *args, size_t len, void (*fn)(void *arg), void *arg);

/*
 * A jump to a full address that changes no register, as it can stand at the start of a function:
 * ARCH_JUMP bytes.
 */
enum { ARCH_JUMP = 14 };
void arch_jump_build(uint64_t target, uint8_t *buf);

/* Highest user address plus one. */
uint64_t arch_task_size(void);

/* What of the processor of the images must be here as well; bits of struct ckpt_options.cpu_cap. */
enum {
	ARCH_CPU_FPU = 1 << 0, /* extended state: features, parts and size */
	ARCH_CPU_ALL = 1 << 1, /* every feature, and none more */
	ARCH_CPU_INS = 1 << 2, /* instructions */
};

/* cpuinfo.img: fills it (memory of the arena), and compares it with this processor. -ENOTSUP: a
 * processor of a vendor that the format does not know. */
struct arena;
struct CpuinfoEntry;
int arch_cpu_fill(struct arena *arena, struct CpuinfoEntry *ret);
int arch_cpu_check(const struct CpuinfoEntry *e, unsigned int caps, struct err *err);

/* CPU state to and from the image: fills or reads the thread_info of a core_entry. */
struct CoreEntry;
int arch_core_fill(const struct arch_context *ctx, uint64_t clear_tid_addr, struct CoreEntry *core);
void arch_core_release(struct CoreEntry *core);
int arch_core_load(const struct CoreEntry *core, struct arch_context *ctx,
		   uint64_t *ret_clear_tid_addr, struct err *err);
