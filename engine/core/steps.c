/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/core/steps.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long elapsed_us(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - since->tv_sec) * 1000000 + (now.tv_nsec - since->tv_nsec) / 1000;
}

void fault_kill(const char *name)
{
	const char *fault = getenv("CKPT_FAULT");

	if (fault && strncmp(fault, "kill:", 5) == 0 && strcmp(fault + 5, name) == 0)
		kill(getpid(), SIGKILL);
}

/*
 * The fault points of tests: CKPT_FAULT=fail:NAME makes the step fail after it has run, so that its
 * own undo is tested too; CKPT_FAULT=kill:NAME ends this process at its start.
 */
static int fault_point(const char *name, bool before, struct err *err)
{
	const char *fault = getenv("CKPT_FAULT");

	if (before)
		fault_kill(name);
	if (!fault || strcmp(fault + 5, name) != 0)
		return 0;
	if (!before && strncmp(fault, "fail:", 5) == 0)
		return err_new(err, ERR_INTERNAL, -EIO, "fault point");
	return 0;
}

int steps_run(const struct step *steps, void *ctx, const struct log *log, struct err *err)
{
	const struct step *s;
	int r = 0;

	for (s = steps; s->name; s++) {
		struct timespec start;

		clock_gettime(CLOCK_MONOTONIC, &start);
		r = fault_point(s->name, true, err);
		if (r == 0)
			r = s->run(ctx, err);
		if (r == 0)
			r = fault_point(s->name, false, err);
		log_debug(log, "step '%s': %ld us", s->name, elapsed_us(&start));
		if (r < 0) {
			err_wrap(err, r, "%s", s->name);
			break;
		}
	}
	if (!s->name)
		s--;
	for (; s >= steps; s--)
		if (s->undo)
			s->undo(ctx, r < 0);
	return r;
}
