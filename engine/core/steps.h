/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sequences as data: a table of named steps, run from top to bottom. Each step gets its time in the
 * log, its name in errors and a fault point. When one fails, the undo functions of the steps that
 * were begun run in reverse order.
 */
#pragma once

#include "engine/base/err.h"
#include "engine/base/log.h"

struct step {
	const char *name; /* "collecting tasks": completes the sentence "while ..." */
	int (*run)(void *ctx, struct err *err);
	void (*undo)(void *ctx, bool failed); /* optional; also runs at the end of a success */
};

/* A fault point of tests inside a step: CKPT_FAULT=kill:NAME ends this process there. */
void fault_kill(const char *name);

/*
 * Runs steps up to the one without a name. 0, or the negative result of the step that failed, with
 * err filled. Undo functions run in every case, after the last step.
 */
int steps_run(const struct step *steps, void *ctx, const struct log *log, struct err *err)
	__attribute__((warn_unused_result));
