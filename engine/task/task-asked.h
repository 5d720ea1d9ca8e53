/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Indexes of dump_thread.asked: what the program of a thread was asked. */
#pragma once

enum asked_index {
	ASKED_BREAK,
	ASKED_DUMPABLE,
	ASKED_THP,
	ASKED_SUBREAPER,
	ASKED_PDEATHSIG,
	ASKED_SECUREBITS,
	ASKED_SIGACTIONS,
	ASKED_ALTSTACK,
	ASKED_ITIMERS,
	ASKED_POSIX_TIMERS,
	ASKED_RLIMITS,
	ASKED_TID_ADDRESS,
	ASKED_MEMBARRIER,
	ASKED_ODDITIES,
	ASKED_COUNT,
};
