/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the thread workloads that other workloads use. See threads.c. */
#pragma once

#include "tests/workloads/workload.h"

/* A ring of n threads. Once in a process. */
int ring_setup(unsigned int n);
int ring_verify(void);

/* A thread that ends at each verification and is joined and replaced. */
int spare_setup(void);
int spare_verify(void);
