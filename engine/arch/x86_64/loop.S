/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only code that ever runs inside a task: makes the calls of an array, then ends in a signal.
 *
 *   rbx  next step          rbp  end of the array
 *   r12  tgid               r13  tid
 *   r14  signal             r15  stack pointer for rt_sigreturn, or 0
 *
 * The system call keeps all of these. A tracer sees the signal and never lets the task go on from here;
 * with no tracer left the signal is ignored and rt_sigreturn continues the task where it was.
 */
	.section .rodata
	.globl arch_loop_start, arch_loop_syscall, arch_loop_end
	.hidden arch_loop_start, arch_loop_syscall, arch_loop_end
	.balign 16
arch_loop_start:
.Lnext:
	cmp	%rbp, %rbx
	jae	.Ldone
	mov	0(%rbx), %rax
	mov	8(%rbx), %rdi
	mov	16(%rbx), %rsi
	mov	24(%rbx), %rdx
	mov	32(%rbx), %r10
	mov	40(%rbx), %r8
	mov	48(%rbx), %r9
arch_loop_syscall:
	syscall
	mov	%rax, 56(%rbx)
	mov	64(%rbx), %rcx
	test	%rcx, %rcx
	jz	.Lchecked
	mov	%rax, (%rcx)
.Lchecked:
	cmp	$-4095, %rax
	jb	.Lgood
	cmpq	$0, 72(%rbx)
	jne	.Ldone
.Lgood:
	add	$80, %rbx
	jmp	.Lnext
.Ldone:
	mov	$234, %eax		/* tgkill */
	mov	%r12, %rdi
	mov	%r13, %rsi
	mov	%r14, %rdx
	syscall
	mov	%r15, %rsp
	mov	$15, %eax		/* rt_sigreturn */
	syscall
	hlt
arch_loop_end:
	.section .note.GNU-stack, "", @progbits
