/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the command does at the stages of an operation: action scripts and the status descriptor. */
#pragma once

#include "runtime/options.h"

struct stages {
	const struct cli *cli;
	pid_t root; /* 0: not known yet */
};

/* Sets cli->ckpt.notify if there is something to do. stages must outlive the operation. */
int stages_init(struct stages *stages, struct cli *cli, struct err *err)
	__attribute__((warn_unused_result));

/* For a command with a notify function of its own, which calls this at every stage. */
int stages_run(struct stages *stages, const char *stage, pid_t pid, struct err *err)
	__attribute__((warn_unused_result));
