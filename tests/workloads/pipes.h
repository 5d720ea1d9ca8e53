/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the pipe and unix socket workloads that `full` uses too. */
#pragma once

#include "tests/workloads/workload.h"

int pipes_setup(void);
int pipes_verify(void);

int unix_pair_setup(void);
int unix_pair_verify(void);
