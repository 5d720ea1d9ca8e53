/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A crowd of processes with a random history: they fork children and siblings, make sessions,
 * change groups, become subreapers, die and are reaped. What is left has orphans of sessions and
 * groups whose leaders are dead, or live somewhere else. The first process inherits all orphans.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/workloads/frame.h"
#include "tests/workloads/processes.h"

enum { ACTORS_MAX = 400, CHILDREN_MAX = 200 };

enum deed { FORK, FORK_SIBLING, SETSID, JOIN, REAPER, DIE, DEEDS };

/* What /proc tells of a process. */
struct portrait {
	int ppid, pgid, sid;
	char state;
	char pending[20];
	int children[CHILDREN_MAX], n_children;
};

struct actor {
	enum deed deed;
	long arg;
	pid_t pid;
	bool dead, reaper;
};

static struct {
	struct station *stations;
	struct actor *actors; /* shared, behind the stations */
	int n, started;
	uint64_t rolls, seed;
	struct portrait portraits[ACTORS_MAX];
} crowd;

static unsigned int roll(unsigned int below)
{
	return (unsigned int)(pattern_word(crowd.seed, crowd.rolls++) % below);
}

static void actor_run(int i) __attribute__((noreturn));

static int actor_fork(long child, uint64_t flags)
{
	struct clone_args args = { .flags = flags,
				   .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0) {
		frame_in_child();
		actor_run((int)child);
	}
	if (pid < 0)
		return fail_errno("clone3");
	crowd.actors[child].pid = pid;
	return WL_OK;
}

static int actor_do(void *arg)
{
	struct actor *a = arg;

	switch (a->deed) {
	case FORK:
		return actor_fork(a->arg, 0);
	case FORK_SIBLING:
		return actor_fork(a->arg, CLONE_PARENT);
	case SETSID:
		return setsid() < 0 ? fail_errno("setsid") : WL_OK;
	case JOIN:
		return setpgid(0, (pid_t)a->arg) < 0 ? fail_errno("setpgid") : WL_OK;
	case REAPER:
		return prctl(PR_SET_CHILD_SUBREAPER, a->arg) < 0 ? fail_errno("prctl") : WL_OK;
	default:
		return fail("deed %d", a->deed);
	}
}

/* A signal of a dead child stays pending, so that one too many would be seen. */
static void actor_run(int i)
{
	struct station *station = &crowd.stations[i];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (;;) {
		uint32_t request = station_wait(station);
		bool dies = crowd.actors[i].deed == DIE;

		station_answer(station, request, dies ? WL_OK : actor_do(&crowd.actors[i]));
		if (dies)
			_exit(i % 100);
	}
}

static int command(int i, enum deed deed, long arg)
{
	struct actor *a = &crowd.actors[i];
	char who[32];

	a->deed = deed;
	a->arg = arg;
	snprintf(who, sizeof(who), "actor %d (pid %d)", i, a->pid);
	return station_ask(&crowd.stations[i], who);
}

/* ---- what is there ---- */

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* As numbers in ascending order: that of birth is not the one in which a parent got them. */
static void read_children(pid_t pid, struct portrait *ret)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "re");
	while (f && ret->n_children < CHILDREN_MAX &&
	       fscanf(f, "%d", &ret->children[ret->n_children]) == 1)
		ret->n_children++;
	if (f)
		fclose(f);
	qsort(ret->children, (size_t)ret->n_children, sizeof(ret->children[0]), by_number);
}

static void read_pending(pid_t pid, char *ret, size_t size)
{
	char path[64], line[128];
	FILE *f;

	ret[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "ShdPnd:", 7) == 0)
			snprintf(ret, size, "%.16s", line + 8);
	if (f)
		fclose(f);
}

/* False when there is no such process. */
static bool portray(pid_t pid, struct portrait *ret)
{
	char path[64], text[512] = "", *p;
	FILE *f;

	memset(ret, 0, sizeof(*ret));
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	p = fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
	fclose(f);
	if (!p || sscanf(p + 2, "%c %d %d %d", &ret->state, &ret->ppid, &ret->pgid, &ret->sid) != 4)
		return false;
	if (ret->state != 'Z') {
		ret->state = 'S'; /* or R, for a moment */
		read_pending(pid, ret->pending, sizeof(ret->pending));
	}
	read_children(pid, ret);
	return true;
}

static bool is_zombie_or_gone(void *arg)
{
	const struct actor *a = arg;
	struct portrait p;

	return !portray(a->pid, &p) || p.state == 'Z';
}

/* ---- a random life ---- */

static int living(void)
{
	int tries, i;

	for (tries = 0; crowd.started && tries < 100; tries++) {
		i = (int)roll((unsigned int)crowd.started);
		if (!crowd.actors[i].dead)
			return i;
	}
	return -1;
}

static int start(int by, bool as_sibling)
{
	int child = crowd.started;

	if (child == crowd.n)
		return WL_OK;
	crowd.started++;
	if (by >= 0)
		return command(by, as_sibling ? FORK_SIBLING : FORK, child);
	return actor_fork(child, 0);
}

static int let_die(int i)
{
	int r = command(i, DIE, 0);

	crowd.actors[i].dead = true;
	if (r != WL_OK)
		return r;
	return wait_until(is_zombie_or_gone, &crowd.actors[i], 10000)
		       ? WL_OK
		       : fail("actor %d does not die", i);
}

static int join_somebody(int i)
{
	struct portrait own, other;
	int j = living();

	if (j < 0 || !portray(crowd.actors[i].pid, &own) || own.sid == crowd.actors[i].pid)
		return WL_OK;
	if (i == j)
		return command(i, JOIN, 0);
	if (!portray(crowd.actors[j].pid, &other) || own.sid != other.sid)
		return WL_OK;
	return command(i, JOIN, other.pgid);
}

static int make_session(int i)
{
	struct portrait own;
	int j;

	if (!portray(crowd.actors[i].pid, &own))
		return WL_OK;
	for (j = 0; j < crowd.started; j++) { /* no group may have its number */
		struct portrait p;

		if (portray(crowd.actors[j].pid, &p) && p.pgid == crowd.actors[i].pid)
			return WL_OK;
	}
	return command(i, SETSID, 0);
}

static void reap_one(void)
{
	siginfo_t info = { 0 };

	waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
}

static int something_happens(void)
{
	unsigned int what = roll(20);
	int i = living();

	if (what < 2 || i < 0)
		return start(-1, false);
	if (what < 9)
		return start(i, roll(4) == 0);
	if (what < 11)
		return make_session(i);
	if (what < 13)
		return join_somebody(i);
	if (what < 18)
		return let_die(i);
	if (what < 19) {
		crowd.actors[i].reaper = !crowd.actors[i].reaper;
		return command(i, REAPER, crowd.actors[i].reaper);
	}
	reap_one();
	return WL_OK;
}

int crowd_setup(void)
{
	int events = (int)param("events", 150), i, r = WL_OK;

	crowd.n = (int)param("n", 40);
	if (crowd.n > ACTORS_MAX)
		return skip("at most %d processes", ACTORS_MAX);
	crowd.seed = (uint64_t)param("seed", 1);
	crowd.stations =
		stations_new((size_t)crowd.n +
			     (sizeof(struct actor) * (size_t)crowd.n) / sizeof(struct station) + 1);
	crowd.actors = (struct actor *)(crowd.stations + crowd.n);
	if (!crowd.stations || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return fail_errno("setting up");
	for (i = 0; i < events && r == WL_OK; i++)
		r = something_happens();
	for (i = 0; i < crowd.started; i++)
		portray(crowd.actors[i].pid, &crowd.portraits[i]);
	return r;
}

static int compare(int i)
{
	const struct portrait *was = &crowd.portraits[i];
	struct portrait is;
	pid_t pid = crowd.actors[i].pid;

	if (portray(pid, &is) != (was->state != 0))
		return fail("process %d is %s", pid, was->state ? "gone" : "back");
	if (!was->state)
		return WL_OK;
	if (is.ppid != was->ppid || is.pgid != was->pgid || is.sid != was->sid)
		return fail("process %d has parent %d, group %d, session %d; had %d, %d, %d", pid,
			    is.ppid, is.pgid, is.sid, was->ppid, was->pgid, was->sid);
	if (is.state != was->state)
		return fail("process %d is in state %c, was in %c", pid, is.state, was->state);
	if (strcmp(is.pending, was->pending) != 0)
		return fail("process %d has pending signals %s, had %s", pid, is.pending,
			    was->pending);
	if (is.n_children != was->n_children ||
	    memcmp(is.children, was->children, sizeof(is.children)) != 0)
		return fail("process %d has %d other children", pid, is.n_children);
	return WL_OK;
}

/* Each still answers: becoming what it is changes nothing. */
int crowd_verify(void)
{
	int i, r = WL_OK;

	for (i = 0; i < crowd.started && r == WL_OK; i++) {
		r = compare(i);
		if (r == WL_OK && !crowd.actors[i].dead)
			r = command(i, REAPER, crowd.actors[i].reaper);
	}
	return r;
}

void crowd_teardown(void)
{
	siginfo_t info;
	int i;

	for (i = 0; i < crowd.started; i++)
		if (!crowd.actors[i].dead)
			kill(crowd.actors[i].pid, SIGKILL);
	do {
		info.si_pid = 0;
	} while (waitid(P_ALL, 0, &info, WEXITED) == 0 && info.si_pid);
}

struct workload_param crowd_params[] = {
	{ "n", 40, "processes that are forked" },
	{ "events", 150, "things that happen" },
	{ "seed", 1, "of the dice" },
	{ 0 },
};
