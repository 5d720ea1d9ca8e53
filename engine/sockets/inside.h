/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A process of ours that sees pids as the tree does. */
#pragma once

#include "engine/core/dump.h"

/*
 * Runs fn in a process that has our descriptors (new ones are ours too) and a copy of our memory,
 * and that lives in the tree's pid namespace. It goes to its end also when this process is killed,
 * so what fn changes it can take back. Gives what fn gave: 0, -errno, or up to INSIDE_MAX; a
 * negative result has no story in err yet if it is fn's.
 */
enum { INSIDE_MAX = 63 };
int inside_run(struct dump *d, int (*fn)(void *arg), void *arg, int *ret, struct err *err)
	__attribute__((warn_unused_result));
