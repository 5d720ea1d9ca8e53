/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between fork.c (the engine's side) and builder.c (the builders' side). */
#pragma once

#include "engine/core/restore.h"
#include "engine/task/builder.h"

/* clone3 with a chosen pid in the innermost namespace (0: any). As fork(2). */
pid_t builder_clone(uint64_t flags, pid_t ns_pid);

/* The life of a builder. */
_Noreturn void builder_main(struct restore *r, struct restore_task *task);
