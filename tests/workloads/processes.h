/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the process workloads that `full` uses too. See processes.c. */
#pragma once

#include "tests/workloads/workload.h"

/* A tree of processes with groups and sessions. */
int family_setup(void);
int family_verify(void);

/* A random history of forks, sessions, groups, orphans and deaths. See crowd.c. */
extern struct workload_param crowd_params[];
int crowd_setup(void);
int crowd_verify(void);
void crowd_teardown(void);

/* Children that are dead and not waited for. */
int zombies_setup(void);
int zombies_verify(void);
