/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/core/turn.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/arch/arch.h"
#include "engine/core/restore.h"

enum { FREE, TAKEN, WANTED };

static void futex_wait(uint32_t *word, uint32_t value)
{
	const struct timespec moment = { 0, 100 * 1000 * 1000 };

	arch_syscall(SYS_futex, (int64_t)word, FUTEX_WAIT, value, (int64_t)&moment);
}

/*
 * The death signal alone would not do: a parent may die before it is asked for, and a change of
 * credentials takes it back.
 */
static void end_with_engine(const struct restore *r, const struct timespec *timeout)
{
	struct pollfd p = { .fd = r->engine_pidfd, .events = POLLIN };

	if (arch_syscall(SYS_ppoll, (int64_t)&p, 1, (int64_t)timeout, 0) > 0)
		arch_syscall(SYS_exit_group, 1, 0, 0, 0);
}

static void check_engine(const struct restore *r)
{
	const struct timespec now = { 0 };

	end_with_engine(r, &now);
}

void turn_take(const struct restore *r, uint32_t *turn)
{
	uint32_t expected = FREE;

	if (!turn || __atomic_compare_exchange_n(turn, &expected, TAKEN, false, __ATOMIC_ACQUIRE,
						 __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(turn, WANTED, __ATOMIC_ACQUIRE) != FREE) {
		futex_wait(turn, WANTED);
		check_engine(r);
	}
}

void turn_give(uint32_t *turn)
{
	if (turn && __atomic_exchange_n(turn, FREE, __ATOMIC_RELEASE) == WANTED)
		arch_syscall(SYS_futex, (int64_t)turn, FUTEX_WAKE, 1, 0);
}

void turn_wait(const struct restore *r, uint32_t *turn, uint32_t *word, uint32_t value)
{
	turn_give(turn);
	futex_wait(word, value);
	check_engine(r);
	turn_take(r, turn);
}

int turn_reap(const struct restore *r, uint32_t *turn, pid_t pid)
{
	int64_t n;

	turn_give(turn);
	do {
		n = arch_syscall(SYS_wait4, pid, 0, 0, 0);
	} while (n == -EINTR);
	turn_take(r, turn);
	return n < 0 ? (int)n : 0;
}

void turn_rest(const struct restore *r, uint32_t *turn)
{
	turn_give(turn);
	for (;;)
		end_with_engine(r, NULL);
}

void turn_exit(uint32_t *turn, int status)
{
	turn_give(turn);
	for (;;)
		arch_syscall(SYS_exit_group, status, 0, 0, 0);
}
