/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A keeper: a child that takes something out of the tree's objects that cannot be looked at
 * otherwise, and holds it. It outlives us: an end of file on its socket means that all goes back,
 * so nothing is lost when we are killed. What the engine is to see of it lies in memory that both
 * share.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "engine/base/err.h"

/* Both run in the keeper; take notes in arg how far it came, and how it failed. */
struct keeper_work {
	const char *what; /* for errors: what it holds */
	void (*take)(void *arg);
	void (*put_back)(void *arg);
	void *arg;
};

struct keeper {
	pid_t pid;
	int socket; /* -1: there is none */
};

/* Forks it, and waits until it has taken everything. After a failure keeper_end() is due as well.
 */
int keeper_start(struct keeper *ret, const struct keeper_work *work, struct err *err)
	__attribute__((warn_unused_result));

/* Has it put everything back, or forget it, and waits for its end. */
void keeper_end(struct keeper *k, bool put_back);
