/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the timer workloads that `full` uses too. See timers.c. */
#pragma once

#include "tests/workloads/workload.h"

int itimers_setup(void);
int itimers_verify(void);

/* To be called before other threads are made, like signals_pending_setup(). */
int posix_timers_setup(void);
int posix_timers_verify(void);
