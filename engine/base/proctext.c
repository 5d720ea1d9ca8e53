/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/base/proctext.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

#include "engine/base/cleanup.h"
#include "engine/base/proctext-priv.h"

/* ---- stat ---- */

static bool skip_fields(struct proc_cursor *c, unsigned int n)
{
	struct proc_cursor w;

	while (n--) {
		scan_blanks(c);
		if (!scan_word(c, &w))
			return false;
	}
	return true;
}

/*
 * "pid (comm) ": the task chooses comm, so it may hold blanks, newlines and ")". No other field
 * holds a parenthesis, so the last one ends it.
 */
static bool parse_stat_head(struct proc_cursor *c, struct proc_stat *s)
{
	const char *close;
	size_t n;

	if (!scan_field_i32(c, &s->pid) || !scan_lit(c, " ("))
		return false;
	close = memrchr(c->p, ')', scan_left(c));
	if (!close)
		return false;
	n = (size_t)(close - c->p);
	if (n >= sizeof(s->comm))
		return false;
	memcpy(s->comm, c->p, n);
	s->comm[n] = '\0';
	c->p = close + 1;
	return true;
}

/* Fields 3 to 25; the number is the one in proc(5). */
static bool parse_stat_ids(struct proc_cursor *c, struct proc_stat *s)
{
	struct proc_cursor w;

	scan_blanks(c);
	if (!scan_word(c, &w) || scan_left(&w) != 1)
		return false;
	s->state = *w.p;
	return scan_field_i32(c, &s->ppid) && scan_field_i32(c, &s->pgrp) &&
	       scan_field_i32(c, &s->session) && scan_field_i32(c, &s->tty_nr) &&
	       scan_field_i32(c, &s->tty_pgrp) && scan_field_u32(c, 10, &s->flags) &&
	       skip_fields(c, 9) && /* 10-18: faults, times, priority */
	       scan_field_i32(c, &s->nice) && scan_field_u32(c, 10, &s->num_threads) &&
	       skip_fields(c, 1) &&					  /* 21: itrealvalue */
	       scan_field_u64(c, 10, &s->starttime) && skip_fields(c, 3); /* 23-25: sizes */
}

/* Fields 26 to 52. */
static bool parse_stat_mm(struct proc_cursor *c, struct proc_stat *s)
{
	return scan_field_u64(c, 10, &s->start_code) && scan_field_u64(c, 10, &s->end_code) &&
	       scan_field_u64(c, 10, &s->start_stack) &&
	       skip_fields(c, 9) && /* 29-37: registers, signals, wchan, swap */
	       scan_field_i32(c, &s->exit_signal) && skip_fields(c, 1) && /* 39: processor */
	       scan_field_u32(c, 10, &s->rt_priority) && scan_field_u32(c, 10, &s->policy) &&
	       skip_fields(c, 3) && /* 42-44: delays, guest times */
	       scan_field_u64(c, 10, &s->start_data) && scan_field_u64(c, 10, &s->end_data) &&
	       scan_field_u64(c, 10, &s->start_brk) && scan_field_u64(c, 10, &s->arg_start) &&
	       scan_field_u64(c, 10, &s->arg_end) && scan_field_u64(c, 10, &s->env_start) &&
	       scan_field_u64(c, 10, &s->env_end) && scan_field_i32(c, &s->exit_code);
}

int proc_stat_parse(const char *text, size_t len, struct proc_stat *ret)
{
	struct proc_cursor c = proc_cursor(text, len);
	struct proc_stat s = { 0 };

	if (!parse_stat_head(&c, &s) || !parse_stat_ids(&c, &s) || !parse_stat_mm(&c, &s))
		return -EINVAL;
	*ret = s;
	return 0;
}

/* ---- limits ---- */

static const char *const limit_names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "Max cpu time",
	[RLIMIT_FSIZE] = "Max file size",
	[RLIMIT_DATA] = "Max data size",
	[RLIMIT_STACK] = "Max stack size",
	[RLIMIT_CORE] = "Max core file size",
	[RLIMIT_RSS] = "Max resident set",
	[RLIMIT_NPROC] = "Max processes",
	[RLIMIT_NOFILE] = "Max open files",
	[RLIMIT_MEMLOCK] = "Max locked memory",
	[RLIMIT_AS] = "Max address space",
	[RLIMIT_LOCKS] = "Max file locks",
	[RLIMIT_SIGPENDING] = "Max pending signals",
	[RLIMIT_MSGQUEUE] = "Max msgqueue size",
	[RLIMIT_NICE] = "Max nice priority",
	[RLIMIT_RTPRIO] = "Max realtime priority",
	[RLIMIT_RTTIME] = "Max realtime timeout",
};

static bool parse_limit(struct proc_cursor *c, uint64_t *ret)
{
	scan_blanks(c);
	if (scan_lit(c, "unlimited")) {
		*ret = RLIM_INFINITY;
		return true;
	}
	return scan_field_u64(c, 10, ret);
}

int proc_limits_parse(const char *text, size_t len, struct proc_limits *ret)
{
	struct proc_cursor line, c = proc_cursor(text, len);
	struct proc_limits limits = { 0 };

	if (!scan_line(&c, &line) || !scan_lit(&line, "Limit "))
		return -EINVAL;
	while (scan_line(&c, &line))
		for (size_t i = 0; i < RLIM_NLIMITS; i++) {
			if (!scan_lit(&line, limit_names[i]))
				continue;
			if (!parse_limit(&line, &limits.v[i].cur) ||
			    !parse_limit(&line, &limits.v[i].max))
				return -EINVAL;
			limits.v[i].present = true;
			break;
		}
	*ret = limits;
	return 0;
}

/* ---- children ---- */

int proc_children_parse(const char *text, size_t len, struct proc_pids *ret)
{
	struct proc_cursor c = proc_cursor(text, len);
	struct proc_pids pids = { 0 };
	int32_t pid;

	while (scan_field_i32(&c, &pid)) {
		pid_t *p = vec_add(&pids);

		if (!p) {
			vec_free(&pids);
			return -ENOMEM;
		}
		*p = pid;
	}
	scan_blanks(&c);
	scan_char(&c, '\n');
	if (c.p != c.end) {
		vec_free(&pids);
		return -EINVAL;
	}
	*ret = pids;
	return 0;
}

/* ---- timers ---- */

/* "signal/tid.12", "none/pid.3", "thread/pid.3" */
static bool parse_timer_notify(struct proc_cursor *c, struct proc_timer *t)
{
	scan_blanks(c);
	if (scan_lit(c, "signal/"))
		t->notify = SIGEV_SIGNAL;
	else if (scan_lit(c, "none/"))
		t->notify = SIGEV_NONE;
	else if (scan_lit(c, "thread/"))
		t->notify = SIGEV_THREAD;
	else
		return false;
	if (scan_lit(c, "tid."))
		t->thread_id = true;
	else if (!scan_lit(c, "pid."))
		return false;
	return scan_i32(c, &t->target) && scan_end(c);
}

static bool parse_timer_signal(struct proc_cursor *c, struct proc_timer *t)
{
	scan_blanks(c);
	return scan_i32(c, &t->signo) && scan_char(c, '/') &&
	       scan_field_u64(c, 16, &t->sigev_value) && scan_end(c);
}

enum { TIMER_SIGNAL = 1, TIMER_NOTIFY = 2, TIMER_CLOCK = 4, TIMER_ALL = 7 };

/* A line behind "ID:"; seen collects which of them the timer has had. */
static bool parse_timer_line(struct proc_cursor line, struct proc_timer *t, unsigned int *seen)
{
	if (scan_lit(&line, "signal:")) {
		*seen |= TIMER_SIGNAL;
		return parse_timer_signal(&line, t);
	}
	if (scan_lit(&line, "notify:")) {
		*seen |= TIMER_NOTIFY;
		return parse_timer_notify(&line, t);
	}
	if (scan_lit(&line, "ClockID:")) {
		*seen |= TIMER_CLOCK;
		return scan_field_i32(&line, &t->clock_id) && scan_end(&line);
	}
	return true;
}

static int parse_timers(struct proc_cursor c, struct proc_timers *timers)
{
	unsigned int seen = TIMER_ALL;
	struct proc_timer *t = NULL;
	struct proc_cursor line;

	while (scan_line(&c, &line)) {
		if (scan_lit(&line, "ID:")) {
			if (seen != TIMER_ALL)
				return -EINVAL;
			t = vec_add(timers);
			if (!t)
				return -ENOMEM;
			seen = 0;
			if (!scan_field_i32(&line, &t->id) || !scan_end(&line))
				return -EINVAL;
		} else if (!t || !parse_timer_line(line, t, &seen)) {
			return -EINVAL;
		}
	}
	return seen == TIMER_ALL ? 0 : -EINVAL;
}

int proc_timers_parse(const char *text, size_t len, struct proc_timers *ret)
{
	struct proc_timers timers = { 0 };
	int r = parse_timers(proc_cursor(text, len), &timers);

	if (r < 0) {
		vec_free(&timers);
		return r;
	}
	*ret = timers;
	return 0;
}

/* ---- cgroup ---- */

/* "id:controllers:path"; the path may hold colons, the controllers may not. */
static int parse_cgroup(struct proc_cursor line, struct proc_cgroups *list)
{
	struct proc_cgroup *cg = vec_add(list);
	const char *colon;

	if (!cg)
		return -ENOMEM;
	if (!scan_u32(&line, 10, &cg->id) || !scan_char(&line, ':'))
		return -EINVAL;
	colon = memchr(line.p, ':', scan_left(&line));
	if (!colon || memchr(line.p, '\0', scan_left(&line)))
		return -EINVAL;
	cg->controllers = strndup(line.p, (size_t)(colon - line.p));
	cg->path = strndup(colon + 1, (size_t)(line.end - colon - 1));
	if (!cg->controllers || !cg->path)
		return -ENOMEM;
	return cg->path[0] == '/' ? 0 : -EINVAL;
}

int proc_cgroups_parse(const char *text, size_t len, struct proc_cgroups *ret)
{
	cleanup_proc_cgroups struct proc_cgroups list = { 0 };
	struct proc_cursor line, c = proc_cursor(text, len);

	while (scan_line(&c, &line)) {
		int r = parse_cgroup(line, &list);

		if (r < 0)
			return r;
	}
	*ret = list;
	list = (struct proc_cgroups){ 0 };
	return 0;
}

void proc_cgroups_done(struct proc_cgroups *c)
{
	struct proc_cgroup *cg;

	vec_foreach (cg, c) {
		free(cg->controllers);
		free(cg->path);
	}
	vec_free(c);
}
