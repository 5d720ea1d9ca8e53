/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers: the signal frame's layout, interrupted calls, the trip through an image. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "engine/arch/arch.h"
#include "proto/core.pb-c.h"
#include "tests/lib/test.h"

static struct arch_context *fresh(void)
{
	struct arch_context *c = arch_context_new();

	arch_context_template(c);
	c->gp.cs = 0x33;
	c->gp.ss = 0x2b;
	c->gp.orig_rax = (unsigned long)-1;
	return c;
}

TEST(an_interrupted_call_is_made_again)
{
	struct arch_context *c = fresh();

	c->gp.orig_rax = SYS_nanosleep;
	c->gp.rax = (unsigned long)-516; /* ERESTART_RESTARTBLOCK */
	c->gp.rip = 0x1002;
	check(arch_context_in_restart(c));
	arch_context_settle(c);
	check_int((long)c->gp.rip, 0x1000);
	check_int((long)c->gp.rax, SYS_nanosleep);
	check_int((long)c->gp.orig_rax, -1);
	free(c);
}

TEST(restart_syscall_cannot_be_made_again)
{
	struct arch_context *c = fresh();

	c->gp.orig_rax = SYS_restart_syscall;
	c->gp.rax = (unsigned long)-516;
	c->gp.rip = 0x1002;
	arch_context_settle(c);
	check_int((long)c->gp.rip, 0x1002);
	check_int((long)c->gp.rax, -EINTR);
	free(c);
}

TEST(a_finished_call_stays)
{
	struct arch_context *c = fresh();

	c->gp.orig_rax = SYS_read;
	c->gp.rax = 5;
	c->gp.rip = 0x1002;
	arch_context_settle(c);
	check_int((long)c->gp.rip, 0x1002);
	check_int((long)c->gp.rax, 5);
	free(c);
}

TEST(epoll_wait_is_made_again_and_nanosleep_is_not)
{
	struct arch_context *c = fresh();

	c->gp.orig_rax = SYS_epoll_wait;
	c->gp.rax = (unsigned long)-EINTR;
	c->gp.rip = 0x1002;
	check(arch_context_undo_interrupt(c));
	check_int((long)c->gp.rip, 0x1000);
	c->gp.orig_rax = SYS_nanosleep;
	c->gp.rax = (unsigned long)-EINTR;
	check(!arch_context_undo_interrupt(c));
	free(c);
}

TEST(a_restarted_call_is_known_by_its_text)
{
	/* mov %rsp,%rsi; mov $0xe6,%eax; mov %r8d,%edi; syscall */
	static const uint8_t sleep[] = { 0x48, 0x89, 0xe6, 0xb8, 0xe6, 0,   0,
					 0,    0x44, 0x89, 0xc7, 0x0f, 0x05 };
	/* read(2) is not restarted that way */
	static const uint8_t other[] = { 0xb8, 0, 0, 0, 0, 0x0f, 0x05 };
	struct arch_context *c = fresh();

	c->restarted = 0;
	c->gp.orig_rax = SYS_restart_syscall;
	c->gp.rax = (unsigned long)-516;
	c->gp.rip = 0x1002;
	check(arch_restart_text(c) > 0);
	arch_context_find_restarted(c, other, sizeof(other));
	check_int(c->restarted, 0);
	arch_context_find_restarted(c, sleep, sizeof(sleep));
	check_int(c->restarted, SYS_clock_nanosleep);
	arch_context_settle(c);
	check_int((long)c->gp.rax, SYS_clock_nanosleep);
	check_int((long)c->gp.rip, 0x1000);
	free(c);
}

TEST(the_frame_fits_and_its_extended_state_is_aligned)
{
	struct arch_context *c = fresh();
	uint8_t *frame = calloc(1, ARCH_FRAME_MAX);
	uint64_t fpstate;
	size_t len;

	len = arch_frame_build(c, 0x7f0000000008, 0x1234, frame);
	check(len <= ARCH_FRAME_MAX);
	check_int((long)*(uint64_t *)frame, 0x1234);
	memcpy(&fpstate, frame + 8 + 40 + 23 * 8, sizeof(fpstate));
	check_int((long)(fpstate % 64), 0);
	check(fpstate >= 0x7f0000000008 && fpstate + c->xstate_len <= 0x7f0000000008 + len);
	free(frame);
	free(c);
}

TEST(registers_survive_an_image)
{
	struct arch_context *c = fresh(), *back = fresh();
	CoreEntry core = CORE_ENTRY__INIT;
	struct err err = ERR_INIT;
	uint64_t features = 3, tid = 0;
	size_t i;

	for (i = 0; i < sizeof(c->gp) / 8; i++)
		((unsigned long *)&c->gp)[i] = 0x1000 + i;
	c->gp.cs = 0x33;
	memset(c->xstate + 32, 0xa5, 384); /* x87 and SSE registers */
	memcpy(c->xstate + 512, &features, sizeof(features));
	check_int(arch_core_fill(c, 0x77, &core), 0);
	check_int(arch_core_load(&core, back, &tid, &err), 0);
	check_int((long)tid, 0x77);
	c->gp.orig_rax = (unsigned long)-1;
	check_mem(&c->gp, &back->gp, sizeof(c->gp));
	check_mem(c->xstate + 32, back->xstate + 32, 384);
	arch_core_release(&core);
	free(c);
	free(back);
}

TEST(another_architecture_is_refused)
{
	struct arch_context *c = fresh();
	CoreEntry core = CORE_ENTRY__INIT;
	struct err err = ERR_INIT;
	uint64_t tid;

	core.mtype = CORE_ENTRY__MARCH__AARCH64;
	check(arch_core_load(&core, c, &tid, &err) < 0);
	check_int(err.class, ERR_UNSUPPORTED);
	free(c);
}

TEST_MAIN()
