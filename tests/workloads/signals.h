/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the signal workloads that `full` uses too. See signals.c. */
#pragma once

#include "tests/workloads/workload.h"

/* To be called before other threads are made: they must inherit the mask that keeps signals
 * pending. */
int signals_pending_setup(void);
int signals_pending_verify(void);

int sigaltstack_setup(void);
int sigaltstack_verify(void);
