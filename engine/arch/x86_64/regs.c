/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* x86-64: registers by ptrace, the program loop, and the signal frame
 * (arch/x86/kernel/signal_64.c). */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "engine/arch/arch.h"

/* Kernel-internal results of an interrupted call (include/linux/errno.h); user mode never sees
 * them. */
enum {
	ERESTARTSYS_K = 512,
	ERESTARTNOINTR_K = 513,
	ERESTARTNOHAND_K = 514,
	ERESTART_RESTARTBLOCK_K = 516,
};

extern const uint8_t arch_loop_start[], arch_loop_syscall[], arch_loop_end[];

const void *arch_loop(size_t *ret_len)
{
	*ret_len = (size_t)(arch_loop_end - arch_loop_start);
	return arch_loop_start;
}

size_t arch_loop_syscall_offset(void)
{
	return (size_t)(arch_loop_syscall - arch_loop_start);
}

void arch_jump_build(uint64_t target, uint8_t *buf)
{
	/* jmp *0(%rip), and the address behind it */
	static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 };

	memcpy(buf, jump, sizeof(jump));
	memcpy(buf + sizeof(jump), &target, sizeof(target));
}

uint64_t arch_task_size(void)
{
	return 0x7ffffffff000;
}

int arch_context_get(pid_t tid, struct arch_context *ctx)
{
	struct iovec gp = { &ctx->gp, sizeof(ctx->gp) };
	struct iovec xs = { ctx->xstate, sizeof(ctx->xstate) };

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &gp) < 0)
		return -errno;
	if (ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &xs) < 0)
		return -errno;
	ctx->xstate_len = (uint32_t)xs.iov_len;
	ctx->restarted = 0;
	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(ctx->sigmask), &ctx->sigmask) < 0)
		return -errno;
	return 0;
}

int arch_regs_set(pid_t tid, const struct arch_context *ctx)
{
	struct iovec gp = { (void *)&ctx->gp, sizeof(ctx->gp) };

	return ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &gp) < 0 ? -errno : 0;
}

/*
 * Mask and extended state first, general registers last: as long as the general registers still
 * stand at the end of a program, a task that is let go by accident restores itself from its frame.
 */
int arch_context_set(pid_t tid, const struct arch_context *ctx)
{
	struct iovec xs = { (void *)ctx->xstate, ctx->xstate_len };

	if (ptrace(PTRACE_SETSIGMASK, tid, sizeof(ctx->sigmask), &ctx->sigmask) < 0)
		return -errno;
	if (ptrace(PTRACE_SETREGSET, tid, NT_X86_XSTATE, &xs) < 0)
		return -errno;
	return arch_regs_set(tid, ctx);
}

bool arch_context_in_user_mode(const struct arch_context *ctx)
{
	return (long)ctx->gp.orig_rax < 0;
}

bool arch_context_in_restart(const struct arch_context *ctx)
{
	long ax = (long)ctx->gp.rax;

	return (long)ctx->gp.orig_rax >= 0 &&
	       (ax == -ERESTARTSYS_K || ax == -ERESTARTNOINTR_K || ax == -ERESTARTNOHAND_K ||
		ax == -ERESTART_RESTARTBLOCK_K);
}

void arch_context_settle(struct arch_context *ctx)
{
	if (arch_context_in_restart(ctx)) {
		/*
		 * restart_syscall itself cannot be made again, its restart block is gone: it fails
		 * with EINTR, as it does after a handler, unless it is known what it stands for.
		 * All others start again; a relative sleep then sleeps its whole time.
		 */
		if (ctx->gp.orig_rax == SYS_restart_syscall && ctx->restarted) {
			ctx->gp.rax = ctx->restarted;
			ctx->gp.rip -= 2;
		} else if (ctx->gp.orig_rax == SYS_restart_syscall) {
			ctx->gp.rax = (unsigned long)-EINTR;
		} else {
			ctx->gp.rax = ctx->gp.orig_rax;
			ctx->gp.rip -= 2;
		}
	}
	ctx->gp.orig_rax = (unsigned long)-1;
}

enum { RESTART_TEXT = 32 };

size_t arch_restart_text(const struct arch_context *ctx)
{
	return arch_context_in_restart(ctx) && ctx->gp.orig_rax == SYS_restart_syscall
		       ? RESTART_TEXT
		       : 0;
}

/* mov $number, %eax stands before syscall, with other arguments being loaded in between. */
void arch_context_find_restarted(struct arch_context *ctx, const uint8_t *text, size_t len)
{
	static const uint32_t calls[] = { SYS_poll, SYS_nanosleep, SYS_futex, SYS_clock_nanosleep };
	size_t i, at;

	if (len < 7 || text[len - 2] != 0x0f || text[len - 1] != 0x05)
		return;
	for (at = len - 6; at-- > 0;) {
		uint32_t number;

		memcpy(&number, text + at + 1, sizeof(number));
		for (i = 0; text[at] == 0xb8 && i < sizeof(calls) / sizeof(calls[0]); i++) {
			if (number != calls[i])
				continue;
			ctx->restarted = number;
			return;
		}
	}
}

bool arch_context_undo_interrupt(struct arch_context *ctx)
{
	/* those of sockets if they have a timeout (SO_RCVTIMEO) */
	static const long calls[] = {
		SYS_epoll_wait, SYS_epoll_pwait,     SYS_epoll_pwait2, SYS_semop,
		SYS_semtimedop, SYS_rt_sigtimedwait, SYS_io_getevents, SYS_read,
		SYS_readv,	SYS_recvfrom,	     SYS_recvmsg,      SYS_recvmmsg,
		SYS_accept,	SYS_accept4,	     SYS_connect,      SYS_write,
		SYS_writev,	SYS_sendto,	     SYS_sendmsg,      SYS_sendmmsg,
	};
	size_t i;

	if ((long)ctx->gp.rax != -EINTR)
		return false;
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if ((long)ctx->gp.orig_rax != calls[i])
			continue;
		ctx->gp.rax = ctx->gp.orig_rax;
		ctx->gp.rip -= 2;
		ctx->gp.orig_rax = (unsigned long)-1;
		return true;
	}
	return false;
}

uint64_t arch_context_sp(const struct arch_context *ctx)
{
	return ctx->gp.rsp;
}

uint64_t arch_context_ip(const struct arch_context *ctx)
{
	return ctx->gp.rip;
}

void arch_context_jump(struct arch_context *ctx, uint64_t ip)
{
	ctx->gp.rip = ip;
	ctx->gp.orig_rax = (unsigned long)-1;
}

int64_t arch_context_result(const struct arch_context *ctx)
{
	return (int64_t)ctx->gp.rax;
}

const char *arch_context_unsupported(const struct arch_context *ctx)
{
	uint64_t features = 0;

	if (ctx->gp.cs != 0x33)
		return "it runs 32-bit code";
	if (ctx->gp.ds & 4 || ctx->gp.es & 4 || ctx->gp.fs & 4 || ctx->gp.gs & 4)
		return "it uses a local descriptor table";
	if (ctx->xstate_len >= 576)
		memcpy(&features, ctx->xstate + 512, sizeof(features));
	if (features & (3ull << 17))
		return "it uses AMX tile registers";
	if (features & (1ull << 19))
		return "it uses APX registers";
	return NULL;
}

/*
 * struct rt_sigframe of the kernel: its headers do not show it, and its ucontext clashes with
 * libc's. Order of the registers as in struct sigcontext.
 */
struct sigframe {
	uint64_t pretcode;
	uint64_t uc_flags, uc_link;
	uint64_t ss_sp;
	uint32_t ss_flags, ss_pad;
	uint64_t ss_size;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t di, si, bp, bx, dx, ax, cx, sp, ip, flags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate;
	uint64_t reserved[8];
	uint64_t sigmask;
	uint8_t siginfo[128];
};

_Static_assert(offsetof(struct sigframe, fpstate) == 8 + 40 + 23 * 8, "struct sigcontext");
_Static_assert(offsetof(struct sigframe, sigmask) == 8 + 40 + 256, "struct ucontext");

enum { UC_HAS_XSTATE = 1, UC_HAS_SS = 2, UC_STRICT_SS = 4 };

/* The bytes of the extended state that the processor leaves to software: struct _fpx_sw_bytes. */
struct fpx_sw {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, pad[7];
};
enum { FPX_MAGIC1 = 0x46505853, FPX_MAGIC2 = 0x46505845, FPX_SW_OFFSET = 464 };

static void frame_gp(struct sigframe *f, const struct user_regs_struct *r)
{
	f->r8 = r->r8;
	f->r9 = r->r9;
	f->r10 = r->r10;
	f->r11 = r->r11;
	f->r12 = r->r12;
	f->r13 = r->r13;
	f->r14 = r->r14;
	f->r15 = r->r15;
	f->di = r->rdi;
	f->si = r->rsi;
	f->bp = r->rbp;
	f->bx = r->rbx;
	f->dx = r->rdx;
	f->ax = r->rax;
	f->cx = r->rcx;
	f->sp = r->rsp;
	f->ip = r->rip;
	f->flags = r->eflags;
	f->cs = (uint16_t)r->cs;
	f->ss = (uint16_t)r->ss;
}

size_t arch_frame_room(const struct arch_context *ctx)
{
	return sizeof(struct sigframe) + 64 + ctx->xstate_len + 64;
}

size_t arch_frame_build(const struct arch_context *ctx, uint64_t addr, uint64_t restorer, void *buf)
{
	struct sigframe *f = buf;
	/* the extended state must be aligned to 64 at its address in the task */
	uint64_t fp_addr = (addr + sizeof(*f) + 63) & ~63ull;
	uint8_t *fp = (uint8_t *)buf + (fp_addr - addr);
	uint32_t magic2 = FPX_MAGIC2;
	struct fpx_sw sw = { .magic1 = FPX_MAGIC1,
			     .extended_size = ctx->xstate_len + (uint32_t)sizeof(magic2),
			     .xstate_size = ctx->xstate_len };

	memset(f, 0, sizeof(*f));
	f->pretcode = restorer;
	f->uc_flags = UC_HAS_XSTATE | UC_HAS_SS | UC_STRICT_SS;
	/* A mode that sigaltstack(2) does not know: the kernel then leaves the alternate stack
	 * alone. */
	f->ss_flags = 0x7f;
	f->sigmask = ctx->sigmask;
	frame_gp(f, &ctx->gp);
	f->fpstate = fp_addr;
	memcpy(fp, ctx->xstate, ctx->xstate_len);
	/* PTRACE_GETREGSET leaves the enabled features in the first of the bytes free for software.
	 */
	memcpy(&sw.xfeatures, ctx->xstate + FPX_SW_OFFSET, sizeof(sw.xfeatures));
	memcpy(fp + FPX_SW_OFFSET, &sw, sizeof(sw));
	memcpy(fp + ctx->xstate_len, &magic2, sizeof(magic2));
	return (size_t)(fp_addr - addr) + ctx->xstate_len + sizeof(magic2);
}

void arch_run_regs(const struct arch_context *base, const struct arch_run *run,
		   struct arch_context *ret)
{
	ret->gp = base->gp;
	ret->gp.orig_rax = (unsigned long)-1;
	ret->gp.rip = run->code;
	ret->gp.rbx = run->steps;
	ret->gp.rbp = run->steps_end;
	ret->gp.r12 = (unsigned long)run->tgid;
	ret->gp.r13 = (unsigned long)run->tid;
	ret->gp.r14 = (unsigned long)run->sig;
	/* The kernel finds the frame eight bytes below the stack pointer, where `ret` has left it.
	 */
	ret->gp.r15 = run->frame ? run->frame + 8 : 0;
	ret->gp.eflags &=
		~0x400ul; /* direction flag: the loop does not care, the kernel's copy might */
}

void arch_call_regs(const struct arch_context *base, uint64_t syscall_ip, uint64_t sp,
		    const struct arch_step *step, struct arch_context *ret)
{
	ret->gp = base->gp;
	ret->gp.orig_rax = (unsigned long)-1;
	ret->gp.rip = syscall_ip;
	ret->gp.rsp = sp;
	ret->gp.rax = step->nr;
	ret->gp.rdi = step->args[0];
	ret->gp.rsi = step->args[1];
	ret->gp.rdx = step->args[2];
	ret->gp.r10 = step->args[3];
	ret->gp.r8 = step->args[4];
	ret->gp.r9 = step->args[5];
}

static ssize_t find(const uint8_t *text, size_t len, const void *what, size_t n)
{
	const uint8_t *p = memmem(text, len, what, n);

	return p ? p - text : -1;
}

ssize_t arch_find_syscall_ret(const uint8_t *text, size_t len)
{
	return find(text, len, "\x0f\x05\xc3", 3);
}

/* `mov $15, %rax; syscall` as glibc has it, or the shorter `mov $15, %eax; syscall`. */
ssize_t arch_find_restorer(const uint8_t *text, size_t len)
{
	ssize_t at = find(text, len, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9);

	return at >= 0 ? at : find(text, len, "\xb8\x0f\0\0\0\x0f\x05", 7);
}
