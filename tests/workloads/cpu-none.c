/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For architectures whose extended state nobody has written down here yet. */
#include "tests/workloads/cpu.h"

struct fpu_state *fpu_state_new(void)
{
	return NULL;
}

void fpu_state_choose(struct fpu_state *s, uint64_t seed)
{
}

void fpu_hold(const struct fpu_state *want, struct fpu_state *got, _Atomic uint32_t *leave,
	      bool blocking)
{
}

int fpu_compare(const struct fpu_state *want, const struct fpu_state *got)
{
	return WL_OK;
}

int rseq_stay(struct rseq *rs)
{
	return 1;
}
