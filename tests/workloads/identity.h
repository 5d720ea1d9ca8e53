/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the identity workloads that `full` uses too: attributes of the calling process. */
#pragma once

#include "tests/workloads/workload.h"

int rlimits_setup(void);
int rlimits_verify(void);

/* Name, umask, personality, oom_score_adj, parent-death signal, subreaper, no_new_privs, nice. */
int attributes_setup(void);
int attributes_verify(void);
