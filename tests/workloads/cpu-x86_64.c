/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The extended state and restartable sequences of x86-64. */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>

#include "tests/workloads/cpu.h"

struct fpu_state {
	uint8_t vector[32][64]; /* zmm, ymm or xmm, as wide as the processor has them */
	uint64_t mask[8];	/* k0-k7 of AVX-512 */
	double stack[4];	/* four values on the x87 stack */
	uint32_t mxcsr;
	uint16_t control_word;
	uint32_t pkru;
	uint32_t width; /* bytes of a vector register: 16, 32 or 64 */
	uint32_t count; /* 16 or 32 */
	uint32_t has_pkru;
};

struct fpu_state *fpu_state_new(void)
{
	unsigned int a, b, c, d;
	struct fpu_state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->width = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") ? 64
		   : __builtin_cpu_supports("avx")					   ? 32
											   : 16;
	s->count = s->width == 64 ? 32 : 16;
	/* OSPKE: the kernel has protection keys switched on. */
	s->has_pkru = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & 1 << 4);
	return s;
}

static uint32_t read_pkru(void)
{
	uint32_t eax, edx;

	__asm__ volatile("rdpkru" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax;
}

static void write_pkru(uint32_t value)
{
	__asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory");
}

void fpu_state_choose(struct fpu_state *s, uint64_t seed)
{
	pattern_fill(s->vector, sizeof(s->vector), seed);
	pattern_fill(s->mask, sizeof(s->mask), seed + 1);
	for (int i = 0; i < 4; i++)
		s->stack[i] = 1.0 / (double)(seed % 1000 + 3 + (uint64_t)i);
	/* All exceptions masked, rounding up, flush to zero; x87: extended precision, rounding
	 * down. */
	s->mxcsr = 0xdf80;
	s->control_word = 0x077f;
	/* Key 0 stays open, the others are closed in one way or another. */
	s->pkru = s->has_pkru ? 0x55555550 | (uint32_t)(seed % 2 ? 0x8 : 0x4) : 0;
}

/* The loop of fpu_hold(): nothing but flags and integer registers change. */
#define HOLD                                                          \
	"1: pause\n\t"                                                \
	"cmpl $0, (%[leave])\n\t"                                     \
	"jne 3f\n\t"                                                  \
	"test %[blocking], %[blocking]\n\t"                           \
	"jz 1b\n\t"                                                   \
	"mov $202, %%eax\n\t" /* futex(leave, FUTEX_WAIT, 0, NULL) */ \
	"mov %[leave], %%rdi\n\t"                                     \
	"xor %%esi, %%esi\n\t"                                        \
	"xor %%edx, %%edx\n\t"                                        \
	"xor %%r10d, %%r10d\n\t"                                      \
	"syscall\n\t"                                                 \
	"jmp 1b\n\t"                                                  \
	"3:\n\t"

#define EACH16(m, arg)                                                                            \
	m(0, arg) m(1, arg) m(2, arg) m(3, arg) m(4, arg) m(5, arg) m(6, arg) m(7, arg) m(8, arg) \
		m(9, arg) m(10, arg) m(11, arg) m(12, arg) m(13, arg) m(14, arg) m(15, arg)
#define EACH16_HIGH(m, arg)                                                                     \
	m(16, arg) m(17, arg) m(18, arg) m(19, arg) m(20, arg) m(21, arg) m(22, arg) m(23, arg) \
		m(24, arg) m(25, arg) m(26, arg) m(27, arg) m(28, arg) m(29, arg) m(30, arg)    \
			m(31, arg)
#define LOAD_XMM(n, base) "movdqu 64*" #n "(" base "), %%xmm" #n "\n\t"
#define STORE_XMM(n, base) "movdqu %%xmm" #n ", 64*" #n "(" base ")\n\t"
#define LOAD_YMM(n, base) "vmovdqu 64*" #n "(" base "), %%ymm" #n "\n\t"
#define STORE_YMM(n, base) "vmovdqu %%ymm" #n ", 64*" #n "(" base ")\n\t"
#define LOAD_ZMM(n, base) "vmovdqu64 64*" #n "(" base "), %%zmm" #n "\n\t"
#define STORE_ZMM(n, base) "vmovdqu64 %%zmm" #n ", 64*" #n "(" base ")\n\t"
#define LOAD_K(n, base) "kmovq 2048+8*" #n "(" base "), %%k" #n "\n\t"
#define STORE_K(n, base) "kmovq %%k" #n ", 2048+8*" #n "(" base ")\n\t"
#define EACH8(m, base) \
	m(0, base) m(1, base) m(2, base) m(3, base) m(4, base) m(5, base) m(6, base) m(7, base)

_Static_assert(offsetof(struct fpu_state, mask) == 2048, "the assembly names this offset");

#define HOLD_OPERANDS                                                                              \
	:                                                                                          \
	: [want] "r"(want), [got] "r"(got), [leave] "r"(leave), [blocking] "r"((uint64_t)blocking) \
	: "memory", "cc", "rax", "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "xmm0",     \
	  "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",         \
	  "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

static void hold_xmm(const struct fpu_state *want, struct fpu_state *got, _Atomic uint32_t *leave,
		     bool blocking)
{
	__asm__ volatile(EACH16(LOAD_XMM, "%[want]") HOLD EACH16(STORE_XMM, "%[got]")
				 HOLD_OPERANDS);
}

static void hold_ymm(const struct fpu_state *want, struct fpu_state *got, _Atomic uint32_t *leave,
		     bool blocking)
{
	__asm__ volatile(EACH16(LOAD_YMM, "%[want]")
				 HOLD EACH16(STORE_YMM, "%[got]") "vzeroupper\n\t" HOLD_OPERANDS);
}

/* The compiler makes no code for registers 16 to 31 and for masks here, so they need no clobber. */
static void hold_zmm(const struct fpu_state *want, struct fpu_state *got, _Atomic uint32_t *leave,
		     bool blocking)
{
	__asm__ volatile(EACH16(LOAD_ZMM, "%[want]") EACH16_HIGH(LOAD_ZMM, "%[want]") EACH8(
		LOAD_K, "%[want]") HOLD EACH16(STORE_ZMM, "%[got]") EACH16_HIGH(STORE_ZMM, "%[got]")
				 EACH8(STORE_K, "%[got]") "vzeroupper\n\t" HOLD_OPERANDS);
}

/* The x87 stack and the control registers are left as the calling convention wants them. */
void fpu_hold(const struct fpu_state *want, struct fpu_state *got, _Atomic uint32_t *leave,
	      bool blocking)
{
	uint32_t old_mxcsr, old_pkru = want->has_pkru ? read_pkru() : 0;
	uint16_t old_control;

	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(old_mxcsr), "=m"(old_control));
	if (want->has_pkru)
		write_pkru(want->pkru);
	__asm__ volatile("ldmxcsr %0\n\tfldcw %1\n\t"
			 "fldl %2\n\tfldl %3\n\tfldl %4\n\tfldl %5"
			 :
			 : "m"(want->mxcsr), "m"(want->control_word), "m"(want->stack[0]),
			   "m"(want->stack[1]), "m"(want->stack[2]), "m"(want->stack[3])
			 : "st", "st(1)", "st(2)", "st(3)");
	if (want->width == 64)
		hold_zmm(want, got, leave, blocking);
	else if (want->width == 32)
		hold_ymm(want, got, leave, blocking);
	else
		hold_xmm(want, got, leave, blocking);
	__asm__ volatile("fstpl %3\n\tfstpl %2\n\tfstpl %1\n\tfstpl %0\n\t"
			 "stmxcsr %4\n\tfnstcw %5"
			 : "=m"(got->stack[0]), "=m"(got->stack[1]), "=m"(got->stack[2]),
			   "=m"(got->stack[3]), "=m"(got->mxcsr), "=m"(got->control_word)
			 :
			 : "st", "st(1)", "st(2)", "st(3)");
	if (want->has_pkru) {
		got->pkru = read_pkru();
		write_pkru(old_pkru);
	}
	__asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(old_mxcsr), "m"(old_control));
}

int fpu_compare(const struct fpu_state *want, const struct fpu_state *got)
{
	for (uint32_t i = 0; i < want->count; i++)
		if (memcmp(want->vector[i], got->vector[i], want->width))
			return fail("vector register %u of %u bytes changed", i, want->width);
	if (want->width == 64 && memcmp(want->mask, got->mask, sizeof(want->mask)))
		return fail("a mask register changed");
	for (int i = 0; i < 4; i++)
		if (want->stack[i] != got->stack[i])
			return fail("x87 stack value %d changed", i);
	if ((want->mxcsr & 0xffc0) != (got->mxcsr & 0xffc0))
		return fail("mxcsr is 0x%x, was 0x%x", got->mxcsr, want->mxcsr);
	if (want->control_word != got->control_word)
		return fail("x87 control word is 0x%x, was 0x%x", got->control_word,
			    want->control_word);
	if (want->pkru != got->pkru)
		return fail("pkru is 0x%x, was 0x%x", got->pkru, want->pkru);
	return WL_OK;
}

/*
 * The kernel moves a thread that it has preempted, migrated or signalled inside the sequence to the
 * abort address, which four signature bytes precede. So inside the sequence the processor can never
 * change, and the area names the sequence.
 */
int rseq_stay(struct rseq *rs)
{
	__asm__ goto(".pushsection __rseq_cs, \"aw\"\n\t"
		     ".balign 32\n\t"
		     "3: .long 0, 0\n\t"
		     ".quad 1f, 2f - 1f, 4f\n\t"
		     ".popsection\n\t"
		     "lea 3b(%%rip), %%rax\n\t"
		     "mov %%rax, %c[cs](%[rs])\n\t"
		     "1: mov %c[cpu](%[rs]), %%ecx\n\t"
		     "mov $200000, %%edx\n\t"
		     "5: cmp %c[cpu](%[rs]), %%ecx\n\t"
		     "jne %l[moved]\n\t"
		     "cmpq $0, %c[cs](%[rs])\n\t"
		     "je %l[moved]\n\t"
		     "dec %%edx\n\t"
		     "jnz 5b\n\t"
		     "2:\n\t"
		     ".pushsection __rseq_failure, \"ax\"\n\t"
		     ".byte 0x0f, 0xb9, 0x3d\n\t"
		     ".long %c[sig]\n\t"
		     "4: jmp %l[aborted]\n\t"
		     ".popsection"
		     :
		     : [rs] "r"(rs), [cs] "i"(offsetof(struct rseq, rseq_cs)),
		       [cpu] "i"(offsetof(struct rseq, cpu_id)), [sig] "i"(RSEQ_SIG)
		     : "rax", "rcx", "rdx", "memory", "cc"
		     : moved, aborted);
	return 1;
moved:
	return -1;
aborted:
	return 0;
}
