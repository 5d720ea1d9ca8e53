/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* x86-64: registers and extended state to and from the image (thread_info_x86). */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#include "engine/arch/arch.h"
#include "proto/core.pb-c.h"

/*
 * Image fields of the extended state: component number of XSAVE, bytes in the image, and the size
 * of an element. Offsets inside the standard XSAVE form come from CPUID leaf 0xd.
 */
struct component {
	unsigned int bit, bytes, elem;
	size_t field, count; /* offsets in UserX86XsaveEntry */
};

#define COMPONENT(bit, bytes, elem, name)                            \
	{                                                            \
		bit, bytes, elem, offsetof(UserX86XsaveEntry, name), \
			offsetof(UserX86XsaveEntry, n_##name)        \
	}

static const struct component components[] = {
	COMPONENT(2, 256, 4, ymmh_space),  COMPONENT(3, 64, 8, bndreg_state),
	COMPONENT(4, 64, 8, bndcsr_state), COMPONENT(5, 64, 8, opmask_reg),
	COMPONENT(6, 512, 8, zmm_upper),   COMPONENT(7, 1024, 8, hi16_zmm),
	COMPONENT(9, 8, 4, pkru),
};

#define N_COMPONENTS (sizeof(components) / sizeof(components[0]))

/* eax and ebx of CPUID leaf 0xd. A virtual machine's monitor answers, which takes microseconds. */
static uint64_t ask_processor(unsigned int sub)
{
	unsigned int a = 0, b = 0, c, d;

	if (!__get_cpuid_count(0xd, sub, &a, &b, &c, &d))
		a = b = 0;
	return a | (uint64_t)b << 32;
}

/* The same, asked once: the answers of a processor never change. */
static uint64_t leaf_0xd(unsigned int sub)
{
	static _Atomic uint64_t answers[16];
	static _Atomic bool asked[16];

	if (sub >= 16)
		return 0;
	if (!asked[sub]) {
		answers[sub] = ask_processor(sub);
		asked[sub] = true;
	}
	return answers[sub];
}

/* Offset and size of a component in the standard form; size 0 if this processor does not have it.
 */
static unsigned int component_place(unsigned int bit, unsigned int *ret_offset)
{
	uint64_t leaf = leaf_0xd(bit);

	*ret_offset = (unsigned int)(leaf >> 32);
	return (unsigned int)leaf;
}

struct arch_context *arch_context_new(void)
{
	return aligned_alloc(64, (sizeof(struct arch_context) + 63) & ~63ul);
}

void arch_context_template(struct arch_context *ctx)
{
	unsigned int size = (unsigned int)(leaf_0xd(0) >> 32), low, high = 0;
	uint64_t features;

	memset(ctx, 0, sizeof(*ctx));
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	features = low | (uint64_t)high << 32;
	if (!size || size > sizeof(ctx->xstate))
		size = 512;
	ctx->xstate_len = size;
	memcpy(ctx->xstate + 464, &features, sizeof(features));
}

static const uint64_t kept_features = 0x2ff; /* x87, SSE and the components above */

static int fill_xsave(const struct arch_context *ctx, UserX86XsaveEntry *xs)
{
	size_t i;

	memcpy(&xs->xstate_bv, ctx->xstate + 512, sizeof(xs->xstate_bv));
	xs->xstate_bv &= kept_features;
	for (i = 0; i < N_COMPONENTS; i++) {
		const struct component *c = &components[i];
		unsigned int offset, size = component_place(c->bit, &offset);
		void *data = calloc(1, c->bytes);

		if (!data)
			return -ENOMEM;
		if (xs->xstate_bv & (1ull << c->bit) && offset + c->bytes <= ctx->xstate_len)
			memcpy(data, ctx->xstate + offset, size < c->bytes ? size : c->bytes);
		*(void **)((char *)xs + c->field) = data;
		*(size_t *)((char *)xs + c->count) = c->bytes / c->elem;
	}
	return 0;
}

static void fill_gp(const struct user_regs_struct *r, UserX86RegsEntry *e)
{
	e->r15 = r->r15;
	e->r14 = r->r14;
	e->r13 = r->r13;
	e->r12 = r->r12;
	e->bp = r->rbp;
	e->bx = r->rbx;
	e->r11 = r->r11;
	e->r10 = r->r10;
	e->r9 = r->r9;
	e->r8 = r->r8;
	e->ax = r->rax;
	e->cx = r->rcx;
	e->dx = r->rdx;
	e->si = r->rsi;
	e->di = r->rdi;
	e->orig_ax = r->orig_rax;
	e->ip = r->rip;
	e->cs = r->cs;
	e->flags = r->eflags;
	e->sp = r->rsp;
	e->ss = r->ss;
	e->fs_base = r->fs_base;
	e->gs_base = r->gs_base;
	e->ds = r->ds;
	e->es = r->es;
	e->fs = r->fs;
	e->gs = r->gs;
	e->has_mode = true;
	e->mode = USER_X86_REGS_MODE__NATIVE;
}

/* The FXSAVE area: fixed offsets of the instruction set. */
static int fill_fx(const uint8_t *fx, UserX86FpregsEntry *e)
{
	uint16_t words[4];

	memcpy(words, fx, sizeof(words));
	e->cwd = words[0];
	e->swd = words[1];
	e->twd = words[2];
	e->fop = words[3];
	memcpy(&e->rip, fx + 8, 8);
	memcpy(&e->rdp, fx + 16, 8);
	memcpy(&e->mxcsr, fx + 24, 4);
	memcpy(&e->mxcsr_mask, fx + 28, 4);
	e->n_st_space = 32;
	e->n_xmm_space = 64;
	e->st_space = calloc(32, 4);
	e->xmm_space = calloc(64, 4);
	if (!e->st_space || !e->xmm_space)
		return -ENOMEM;
	memcpy(e->st_space, fx + 32, 128);
	memcpy(e->xmm_space, fx + 160, 256);
	return 0;
}

int arch_core_fill(const struct arch_context *ctx, uint64_t clear_tid_addr, CoreEntry *core)
{
	struct all {
		ThreadInfoX86 ti;
		UserX86RegsEntry gp;
		UserX86FpregsEntry fp;
		UserX86XsaveEntry xs;
	} *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	thread_info_x86__init(&a->ti);
	user_x86_regs_entry__init(&a->gp);
	user_x86_fpregs_entry__init(&a->fp);
	user_x86_xsave_entry__init(&a->xs);
	a->ti.clear_tid_addr = clear_tid_addr;
	a->ti.gpregs = &a->gp;
	a->ti.fpregs = &a->fp;
	core->mtype = CORE_ENTRY__MARCH__X86_64;
	core->thread_info = &a->ti;
	fill_gp(&ctx->gp, &a->gp);
	r = fill_fx(ctx->xstate, &a->fp);
	if (r == 0 && ctx->xstate_len >= 576) {
		a->fp.xsave = &a->xs;
		r = fill_xsave(ctx, &a->xs);
	}
	return r;
}

void arch_core_release(CoreEntry *core)
{
	UserX86FpregsEntry *fp;
	size_t i;

	if (!core->thread_info)
		return;
	fp = core->thread_info->fpregs;
	free(fp->st_space);
	free(fp->xmm_space);
	for (i = 0; fp->xsave && i < N_COMPONENTS; i++)
		free(*(void **)((char *)fp->xsave + components[i].field));
	free(core->thread_info);
	core->thread_info = NULL;
}

static int load_gp(const UserX86RegsEntry *e, struct user_regs_struct *r, struct err *err)
{
	if (e->mode != USER_X86_REGS_MODE__NATIVE || e->cs != 0x33)
		return err_refuse(err, "32-bit registers cannot be restored yet");
	r->r15 = e->r15;
	r->r14 = e->r14;
	r->r13 = e->r13;
	r->r12 = e->r12;
	r->rbp = e->bp;
	r->rbx = e->bx;
	r->r11 = e->r11;
	r->r10 = e->r10;
	r->r9 = e->r9;
	r->r8 = e->r8;
	r->rax = e->ax;
	r->rcx = e->cx;
	r->rdx = e->dx;
	r->rsi = e->si;
	r->rdi = e->di;
	r->orig_rax = (unsigned long)-1;
	r->rip = e->ip;
	r->cs = e->cs;
	r->eflags = e->flags;
	r->rsp = e->sp;
	r->ss = e->ss;
	r->fs_base = e->fs_base;
	r->gs_base = e->gs_base;
	r->ds = e->ds;
	r->es = e->es;
	r->fs = e->fs;
	r->gs = e->gs;
	if (e->fs_base >= arch_task_size() || e->gs_base >= arch_task_size())
		return err_image(err, "segment base outside of the address space");
	return 0;
}

static int load_xsave(const UserX86XsaveEntry *xs, struct arch_context *ctx, struct err *err)
{
	uint64_t bv = xs->xstate_bv, have;
	size_t i;

	memcpy(&have, ctx->xstate + 464, sizeof(have));
	for (i = 0; i < N_COMPONENTS; i++) {
		const struct component *c = &components[i];
		unsigned int offset, size = component_place(c->bit, &offset);
		const void *data = *(void *const *)((const char *)xs + c->field);
		size_t n = *(const size_t *)((const char *)xs + c->count);

		if (!(bv & (1ull << c->bit)))
			continue;
		if (!size || !(have & (1ull << c->bit)) || offset + size > ctx->xstate_len)
			return err_refuse(err, "this processor lacks extended state component %u",
					  c->bit);
		if (!data || n * c->elem < (size < c->bytes ? size : c->bytes))
			return err_image(err, "extended state component %u is cut short", c->bit);
		memcpy(ctx->xstate + offset, data, size < c->bytes ? size : c->bytes);
	}
	if (bv & ~kept_features)
		return err_refuse(err, "extended state 0x%lx is not known",
				  (long)(bv & ~kept_features));
	memcpy(ctx->xstate + 512, &bv, sizeof(bv));
	return 0;
}

/* ctx must hold a context of this machine (for the length and form of the extended state). */
int arch_core_load(const CoreEntry *core, struct arch_context *ctx, uint64_t *ret_clear_tid_addr,
		   struct err *err)
{
	const UserX86FpregsEntry *e;
	uint8_t *fx = ctx->xstate;
	uint16_t words[4];
	uint64_t bv = 3;

	if (core->mtype != CORE_ENTRY__MARCH__X86_64 || !core->thread_info)
		return err_refuse(err, "the image is of another processor architecture");
	if (load_gp(core->thread_info->gpregs, &ctx->gp, err) < 0)
		return err->code;
	*ret_clear_tid_addr = core->thread_info->clear_tid_addr;
	e = core->thread_info->fpregs;
	if (e->n_st_space != 32 || e->n_xmm_space != 64)
		return err_image(err, "floating point registers are cut short");
	words[0] = (uint16_t)e->cwd;
	words[1] = (uint16_t)e->swd;
	words[2] = (uint16_t)e->twd;
	words[3] = (uint16_t)e->fop;
	memcpy(fx, words, sizeof(words));
	memcpy(fx + 8, &e->rip, 8);
	memcpy(fx + 16, &e->rdp, 8);
	memcpy(fx + 24, &e->mxcsr, 4);
	memcpy(fx + 32, e->st_space, 128);
	memcpy(fx + 160, e->xmm_space, 256);
	if (e->xsave)
		return load_xsave(e->xsave, ctx, err);
	if (ctx->xstate_len >= 576)
		memcpy(ctx->xstate + 512, &bv, sizeof(bv));
	return 0;
}
