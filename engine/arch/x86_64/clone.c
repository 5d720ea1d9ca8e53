/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/syscall.h>

#include "engine/arch/arch.h"

int64_t arch_syscall(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d)
{
	register int64_t r10 asm("r10") = d;
	int64_t ret;

	asm volatile("syscall"
		     : "=a"(ret)
		     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
		     : "rcx", "r11", "memory");
	return ret;
}

/* The new process has a copy of all registers but the stack pointer. */
int64_t arch_clone(const void *args, size_t len, void (*fn)(void *arg), void *arg)
{
	int64_t ret;

	asm volatile("syscall\n\t"
		     "test %%rax, %%rax\n\t"
		     "jnz 1f\n\t"
		     "mov %[arg], %%rdi\n\t"
		     "call *%[fn]\n\t"
		     "ud2\n"
		     "1:"
		     : "=a"(ret)
		     : "a"(SYS_clone3), "D"(args), "S"(len), [fn] "r"(fn), [arg] "r"(arg)
		     : "rcx", "r11", "memory");
	return ret;
}
