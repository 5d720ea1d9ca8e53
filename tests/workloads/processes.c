/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trees of processes: groups, sessions, the dead and the stopped. */
#include "tests/workloads/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

/* ---- children: parent, group and session of each are what they were ---- */

/*
 * Each member forks those whose parent it is, in the order of this table; -1 is the first process.
 * A leader of a session or group is the member itself (SELF); KEEP: as inherited.
 */
enum { SELF = -2, KEEP = -3 };

static const struct member {
	const char *name;
	int parent, session, group;
} members[] = {
	{ "child", -1, KEEP, KEEP },
	{ "session leader", -1, SELF, KEEP },
	{ "group leader in that session", 1, KEEP, SELF },
	{ "member of that group", 1, KEEP, 2 },
	{ "grandchild", 3, KEEP, KEEP },
	{ "group leader", -1, KEEP, SELF },
	{ "second session leader", 0, SELF, KEEP },
};

#define N_MEMBERS ARRAY_SIZE(members)

struct member_state {
	pid_t pid, ppid, pgid, sid;
	_Atomic uint32_t ready;
	uint64_t round;
};

static struct {
	struct station *stations;
	struct member_state *shared; /* pids, for those who join a group */
	unsigned char data[4096];    /* every process has its own copy */
	uint64_t round;
} family;

static int family_check_self(void *arg)
{
	const struct member_state *s = arg;
	size_t i = (size_t)(s - family.shared);

	if (getpid() != s->pid || getppid() != s->ppid)
		return fail("pid %d, parent %d; was %d, %d", getpid(), getppid(), s->pid, s->ppid);
	if (getpgid(0) != s->pgid)
		return fail("process group is %d, was %d", getpgid(0), s->pgid);
	if (getsid(0) != s->sid)
		return fail("session is %d, was %d", getsid(0), s->sid);
	if (pattern_check(family.data, sizeof(family.data), i * 1000 + family.round, "own data") !=
	    WL_OK)
		return WL_FAIL;
	family.round++;
	pattern_fill(family.data, sizeof(family.data), i * 1000 + family.round);
	return WL_OK;
}

static void member_run(void *arg);

static void start_members_of(int parent)
{
	for (size_t i = 0; i < N_MEMBERS; i++)
		if (members[i].parent == parent) {
			if (child_start(member_run, &family.shared[i]) < 0)
				return;
			/* The next may want to join this one's group. */
			while (!family.shared[i].ready)
				futex_wait(&family.shared[i].ready, 0);
		}
}

static void member_run(void *arg)
{
	struct member_state *s = arg;
	size_t i = (size_t)(s - family.shared);
	const struct member *m = &members[i];

	if (m->session == SELF)
		setsid();
	if (m->group == SELF)
		setpgid(0, 0);
	else if (m->group >= 0)
		setpgid(0, family.shared[m->group].pid);
	family.round = 0;
	pattern_fill(family.data, sizeof(family.data), i * 1000);
	s->pid = getpid();
	s->ppid = getppid();
	s->pgid = getpgid(0);
	s->sid = getsid(0);
	s->ready = 1;
	futex_wake(&s->ready);
	start_members_of((int)i);
	station_serve(&family.stations[i], family_check_self, s);
}

int family_setup(void)
{
	family.stations = stations_new(
		N_MEMBERS + sizeof(*family.shared) * N_MEMBERS / sizeof(struct station) + 1);
	if (!family.stations)
		return fail_errno("mmap");
	family.shared = (struct member_state *)(family.stations + N_MEMBERS);
	start_members_of(-1);
	return family_verify();
}

int family_verify(void)
{
	for (size_t i = 0; i < N_MEMBERS; i++) {
		const struct member *m = &members[i];
		const struct member_state *s = &family.shared[i];

		if (station_ask(&family.stations[i], m->name) != WL_OK)
			return WL_FAIL;
		if (m->session == SELF && s->sid != s->pid)
			return fail("%s: leads no session", m->name);
		if (m->group >= 0 && s->pgid != family.shared[m->group].pid)
			return fail("%s: is not in its group", m->name);
	}
	return WL_OK;
}

/* ---- zombie: exit codes, signals, and a zombie that leads a session ---- */

static struct dead {
	const char *name;
	int code, status; /* CLD_EXITED or CLD_KILLED, and what siginfo says */
	bool session;
	bool strict; /* CRIU restores another status */
	pid_t pid;
} dead[] = {
	{ "exit 0", CLD_EXITED, 0 },
	{ "exit 7", CLD_EXITED, 7 },
	{ "exit 255", CLD_EXITED, 255, .strict = true },
	{ "killed by SIGKILL", CLD_KILLED, SIGKILL },
	{ "killed by SIGTERM", CLD_KILLED, SIGTERM },
	{ "dead session leader", CLD_EXITED, 3, true },
};

static void die(void *arg)
{
	const struct dead *d = arg;
	sigset_t set;

	if (d->session)
		setsid();
	if (d->code == CLD_EXITED)
		_exit(d->status);
	sigemptyset(&set);
	sigaddset(&set, d->status);
	signal(d->status, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), d->status);
	for (;;)
		pause();
}

static bool is_dead(void *arg)
{
	const struct dead *d = arg;
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)d->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == d->pid;
}

int zombies_setup(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(dead); i++) {
		if (dead[i].strict && !strict())
			continue;
		dead[i].pid = child_start(die, &dead[i]);
		if (dead[i].pid < 0)
			return fail_errno("fork");
		if (!wait_until(is_dead, &dead[i], 10000))
			return fail("%s: does not die", dead[i].name);
	}
	return WL_OK;
}

int zombies_verify(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(dead); i++) {
		siginfo_t info = { 0 };

		if (!dead[i].pid)
			continue;
		if (waitid(P_PID, (id_t)dead[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
			return fail_errno("%s: waitid", dead[i].name);
		if (info.si_pid != dead[i].pid)
			return fail("%s: is alive again", dead[i].name);
		if (info.si_code != dead[i].code || info.si_status != dead[i].status)
			return fail("%s: died with code %d, status %d", dead[i].name, info.si_code,
				    info.si_status);
		if (dead[i].session && getsid(dead[i].pid) != dead[i].pid)
			return fail("%s: leads no session", dead[i].name);
	}
	return WL_OK;
}

/* ---- stopped-child ---- */

static struct {
	pid_t pid;
	struct station *station;
	_Atomic uint32_t *steps;
} stopped;

/* Goes on counting whenever it runs. */
static void stopped_child(void *arg)
{
	const struct timespec pace = { 0, 1000000 };

	for (;;) {
		(*stopped.steps)++;
		if (stopped.station->asked != stopped.station->answered)
			station_answer(stopped.station, stopped.station->asked, WL_OK);
		nanosleep(&pace, NULL);
	}
}

static char state_of(pid_t pid)
{
	char path[64], text[512] = "", *close_paren;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (f && !fgets(text, sizeof(text), f))
		text[0] = '\0';
	if (f)
		fclose(f);
	close_paren = strrchr(text, ')');
	return close_paren && close_paren[1] ? close_paren[2] : '?';
}

static bool is_stopped(void *arg)
{
	return state_of(stopped.pid) == 'T';
}

/* Stops it and takes the news of it, so that nothing is left to be waited for. */
static int stop_child(void)
{
	int status;

	if (kill(stopped.pid, SIGSTOP) < 0)
		return fail_errno("kill");
	if (waitpid(stopped.pid, &status, WUNTRACED) != stopped.pid || !WIFSTOPPED(status))
		return fail("waiting for the child to stop gave status 0x%x", status);
	return wait_until(is_stopped, NULL, 10000) ? WL_OK : fail("the child does not stop");
}

static int stopped_setup(void)
{
	stopped.station = stations_new(2);
	if (!stopped.station)
		return fail_errno("mmap");
	stopped.steps = &stopped.station[1].asked;
	stopped.pid = child_start(stopped_child, NULL);
	if (stopped.pid < 0)
		return fail_errno("fork");
	if (station_ask(stopped.station, "child") != WL_OK)
		return WL_FAIL;
	return stop_child();
}

static int stopped_verify(void)
{
	const struct timespec moment = { 0, 50000000 };
	uint32_t steps = *stopped.steps;
	siginfo_t info = { 0 };

	if (state_of(stopped.pid) != 'T')
		return fail("the child is in state %c, was T", state_of(stopped.pid));
	nanosleep(&moment, NULL);
	if (*stopped.steps != steps)
		return fail("the stopped child makes steps");
	if (kill(stopped.pid, SIGCONT) < 0)
		return fail_errno("kill");
	if (waitid(P_PID, (id_t)stopped.pid, &info, WCONTINUED) < 0 ||
	    info.si_code != CLD_CONTINUED)
		return fail_errno("waiting for the child to continue");
	if (station_ask(stopped.station, "continued child") != WL_OK)
		return WL_FAIL;
	return stop_child();
}

static struct workload_param strict_params[] = { STRICT_PARAM, { 0 } };

const struct workload process_workloads[] = {
	{ "children", "a tree with process groups and sessions", NULL, family_setup,
	  family_verify },
	{ "zombie", "dead children that nobody has waited for", strict_params, zombies_setup,
	  zombies_verify },
	{ "stopped-child", "a child stopped by SIGSTOP", NULL, stopped_setup, stopped_verify },
	{ "crowd", "a random history of forks, sessions, groups, orphans and deaths", crowd_params,
	  crowd_setup, crowd_verify, NULL, 0, crowd_teardown },
	{ 0 },
};
