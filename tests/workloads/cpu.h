/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the processor workloads that `full` uses too. See cpu.c and cpu-<architecture>.c. */
#pragma once

#include "tests/workloads/workload.h"

/* A thread that spins with known values in every register of the extended state. */
int fpu_setup(void);
int fpu_verify(void);

/* The architecture: what cpu.c needs of it. */

/* The registers of the extended state as this processor has them, in a form of the architecture. */
struct fpu_state;
struct fpu_state *fpu_state_new(void);
/* Values that nothing else leaves in the registers, different for each seed. */
void fpu_state_choose(struct fpu_state *s, uint64_t seed);
/*
 * Loads want into the registers, stays until *leave is not 0 without touching them, and stores them
 * to got. If blocking it waits in futex(2), else it spins.
 */
void fpu_hold(const struct fpu_state *want, struct fpu_state *got, _Atomic uint32_t *leave,
	      bool blocking);
int fpu_compare(const struct fpu_state *want, const struct fpu_state *got);

/*
 * One restartable sequence that runs for some microseconds and looks all the time whether it is
 * still on the processor it began on, and whether the kernel still knows of the sequence. 1: yes,
 * 0: the kernel has aborted the sequence, -1: no.
 */
struct rseq;
int rseq_stay(struct rseq *rs);
