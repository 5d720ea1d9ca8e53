/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Turns of builders that share their memory. To the C library they are one thread: of errno, of the
 * heap and of all else there is one for all of them. So only one of them runs at a time, and it
 * gives its turn away for as long as it waits. Waiting itself leaves no trace in that memory.
 *
 * A turn is a futex, 0 at first; NULL is that of a builder with memory of its own.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct restore;

void turn_take(const struct restore *r, uint32_t *turn);
void turn_give(uint32_t *turn);

/* Waits, for some time at most, while *word is value. The process ends if the engine has. */
void turn_wait(const struct restore *r, uint32_t *turn, uint32_t *word, uint32_t value);

/* Waits for the end of a child. 0 or -errno. */
int turn_reap(const struct restore *r, uint32_t *turn, pid_t pid);

/* Waits for whatever is done to this process from outside. */
_Noreturn void turn_rest(const struct restore *r, uint32_t *turn);

/* Ends this process. */
_Noreturn void turn_exit(uint32_t *turn, int status);
