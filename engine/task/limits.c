/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Resource limits, the score of the out-of-memory killer, the login uid. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "engine/ns/ns.h"
#include "engine/task/attr.h"
#include "proto/core.pb-c.h"
#include "proto/task.pb-c.h"

/* Asked inside: for a task of another user, prlimit(2) needs CAP_SYS_RESOURCE even to read. */
static void ask_limits(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_RLIMITS];
	unsigned int i;

	a->data = prog_bytes(p, NULL, RLIM_NLIMITS * sizeof(struct rlimit));
	for (i = 0; i < RLIM_NLIMITS; i++)
		a->step = prog_syscall(p, "asking for a resource limit", PROG_STOP, SYS_getrlimit,
				       PN(i), PD(a->data + i * sizeof(struct rlimit)));
}

static int capture_limits(struct dump *d, struct dump_thread *th, const struct program *p,
			  CoreEntry *core, struct err *err)
{
	const struct rlimit *v = prog_out(p, th->asked[ASKED_RLIMITS].data);
	TaskRlimitsEntry *t = arena_alloc(&d->arena, sizeof(*t));
	RlimitEntry *e = arena_alloc(&d->arena, RLIM_NLIMITS * sizeof(*e));
	size_t i;

	if (!t || !e)
		return err_nomem(err);
	task_rlimits_entry__init(t);
	t->rlimits = arena_alloc(&d->arena, RLIM_NLIMITS * sizeof(*t->rlimits));
	if (!t->rlimits)
		return err_nomem(err);
	for (i = 0; i < RLIM_NLIMITS; i++, e++) {
		rlimit_entry__init(e);
		e->cur = v[i].rlim_cur;
		e->max = v[i].rlim_max;
		t->rlimits[t->n_rlimits++] = e;
	}
	core->tc->rlimits = t;
	return 0;
}

static const char *const limit_names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "CPU",		[RLIMIT_FSIZE] = "FSIZE",
	[RLIMIT_DATA] = "DATA",		[RLIMIT_STACK] = "STACK",
	[RLIMIT_CORE] = "CORE",		[RLIMIT_RSS] = "RSS",
	[RLIMIT_NPROC] = "NPROC",	[RLIMIT_NOFILE] = "NOFILE",
	[RLIMIT_MEMLOCK] = "MEMLOCK",	[RLIMIT_AS] = "AS",
	[RLIMIT_LOCKS] = "LOCKS",	[RLIMIT_SIGPENDING] = "SIGPENDING",
	[RLIMIT_MSGQUEUE] = "MSGQUEUE", [RLIMIT_NICE] = "NICE",
	[RLIMIT_RTPRIO] = "RTPRIO",	[RLIMIT_RTTIME] = "RTTIME",
};

/* Without CAP_SYS_RESOURCE a hard limit can only be lowered: told before any process exists. */
static int check_limits(struct restore *r, struct restore_thread *th, struct err *err)
{
	const TaskRlimitsEntry *t = th->core->tc->rlimits;
	size_t i;

	if (t && t->n_rlimits > RLIM_NLIMITS)
		return err_image(err, "%zu resource limits", t->n_rlimits);
	for (i = 0; t && i < t->n_rlimits; i++) {
		struct rlimit own;

		if (t->rlimits[i]->cur > t->rlimits[i]->max)
			return err_image(err, "limit %s: soft above hard", limit_names[i]);
		if (getrlimit((int)i, &own) < 0 || t->rlimits[i]->max <= own.rlim_max ||
		    r->own_caps & (1ull << 24 /* CAP_SYS_RESOURCE */))
			continue;
		err_new(err, ERR_ENVIRONMENT, -EPERM,
			"%s: its hard limit RLIMIT_%s (%lu) is above ours (%lu)",
			restore_task_name(r, th->task), limit_names[i], (long)t->rlimits[i]->max,
			(long)own.rlim_max);
		err_hint(err, "raise the limit of the calling shell, or run with CAP_SYS_RESOURCE");
		return -EPERM;
	}
	return 0;
}

static void put_limits(struct restore *r, struct restore_thread *th, struct program *p)
{
	const TaskRlimitsEntry *t = th->core->tc->rlimits;
	size_t i;

	for (i = 0; t && i < t->n_rlimits; i++) {
		struct rlimit l = { t->rlimits[i]->cur, t->rlimits[i]->max };
		int step = prog_syscall(p, "setting a resource limit", PROG_STOP, SYS_setrlimit,
					PN(i), PD(prog_bytes(p, &l, sizeof(l))));

		if (!p->broken)
			p->steps.v[step].detail = i;
	}
}

const struct task_attr attr_rlimits = { .name = "resource limits",
					.ask = ask_limits,
					.capture = capture_limits,
					.check = check_limits,
					.put = put_limits };

/* ---- files below /proc/PID ---- */

static int capture_oom(struct dump *d, struct dump_thread *th, const struct program *p,
		       CoreEntry *core, struct err *err)
{
	int64_t v;
	int r = io_read_int(th->task->proc_fd, "oom_score_adj", &v);

	if (r < 0)
		return err_sys(err, r, "reading oom_score_adj");
	core->tc->has_oom_score_adj = true;
	core->tc->oom_score_adj = (int32_t)v;
	return 0;
}

/* Writes only a value that differs: lowering needs CAP_SYS_RESOURCE. */
static int set_number(pid_t pid, const char *name, int64_t want, struct err *err)
{
	char path[64], text[24];
	int64_t have;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	r = io_read_int(AT_FDCWD, path, &have);
	if (r == 0 && have == want)
		return 0;
	snprintf(text, sizeof(text), "%ld", (long)want);
	if (r == 0)
		r = io_write_file(AT_FDCWD, path, text, strlen(text));
	if (r < 0) {
		err_sys(err, r, "setting %s to %ld", name, (long)want);
		err_hint(err, "lowering it needs CAP_SYS_RESOURCE");
	}
	return r;
}

static int finish_oom(struct restore *r, struct restore_thread *th, struct err *err)
{
	const TaskCoreEntry *tc = th->core->tc;

	return tc->has_oom_score_adj
		       ? set_number(th->t.tid, "oom_score_adj", tc->oom_score_adj, err)
		       : 0;
}

const struct task_attr attr_oom = { .name = "oom score",
				    .capture = capture_oom,
				    .finish = finish_oom };

/* One that the tree's user namespace does not number looks unset inside. */
static int capture_loginuid(struct dump *d, struct dump_thread *th, const struct program *p,
			    CoreEntry *core, struct err *err)
{
	int64_t v;

	if (io_read_int(th->task->proc_fd, "loginuid", &v) < 0) /* no CONFIG_AUDIT */
		return 0;
	core->tc->has_loginuid = true;
	if (ns_inside_uid(d, (uint32_t)v, &core->tc->loginuid) < 0)
		core->tc->loginuid = UINT32_MAX;
	return 0;
}

const struct task_attr attr_loginuid = { .name = "login uid", .capture = capture_loginuid };

static int write_loginuid(int proc_fd, uint32_t uid)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", uid);
	return io_write_file(proc_fd, "self/loginuid", text, strlen(text));
}

int loginuid_enter(struct restore *r, struct restore_task *task, struct err *err)
{
	const TaskCoreEntry *tc = task->threads.v[0]->core->tc;
	int64_t have;
	int n;

	if (!tc->has_loginuid || io_read_int(r->proc_fd, "self/loginuid", &have) < 0 ||
	    (uint32_t)have == tc->loginuid)
		return 0;
	n = write_loginuid(r->proc_fd, tc->loginuid);
	if (n == 0 || tc->loginuid == UINT32_MAX) /* it keeps the one of who restores */
		return 0;
	err_sys(err, n, "setting the login uid to %u", tc->loginuid);
	err_hint(err, "changing one that is set needs CAP_AUDIT_CONTROL");
	return n;
}

uint32_t loginuid_clear(struct restore *r)
{
	int64_t have;

	if (io_read_int(r->proc_fd, "self/loginuid", &have) < 0 || (uint32_t)have == UINT32_MAX ||
	    write_loginuid(r->proc_fd, UINT32_MAX) < 0)
		return UINT32_MAX;
	return (uint32_t)have;
}

void loginuid_set_back(struct restore *r, uint32_t uid)
{
	if (uid != UINT32_MAX && write_loginuid(r->proc_fd, uid) < 0)
		log_warn(r->log, "the login uid of this process cannot be set to %u again", uid);
}
