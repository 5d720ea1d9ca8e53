/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same work for many things, on as many processors as we may use. */
#pragma once

#include <stddef.h>

#include "engine/base/err.h"

/*
 * Calls work(arg, i) for every i below n, in any order and from several threads, which have no
 * signals; after a failure for no more of them. worth: how many calls are worth a thread. 0, or the
 * negative result of a call, with its err.
 */
int crew_run(size_t n, size_t worth, int (*work)(void *arg, size_t i, struct err *err), void *arg,
	     struct err *err) __attribute__((warn_unused_result));
