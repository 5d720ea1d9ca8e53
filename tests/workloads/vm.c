/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes that share their memory (CLONE_VM), and with it their signal handlers (CLONE_SIGHAND),
 * or one of these tables, too. They are one thread to the C library, so each only runs while the
 * first process waits for it, and calls nothing that keeps things in memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

enum { NOBODY = -1, STACK = 64 << 10, SIG = 44, EXIT_CODE = 7 };

/*
 * Who clones whom; groups by the number of the first in each. With seed=N all but the first are
 * made up at random.
 */
static struct sharer {
	const char *name;
	int forker;
	int flags;
	int memory, handlers, files, dirs;
	int exit_signal;
	enum { NO_SESSION, EARLY_SESSION, LATE_SESSION } session; /* before or after it clones */
	bool ends, threaded;
} sharers[] = {
	{ "first", NOBODY, 0, 0, 0, 0, 0, SIGCHLD },
	{ "shares memory", 0, CLONE_VM, 0, 1, 1, 1, SIGCHLD },
	{ "shares handlers", 0, CLONE_VM | CLONE_SIGHAND, 0, 0, 2, 2, 0 },
	{ "its child", 1, CLONE_VM, 0, 3, 3, 3, SIGURG, .threaded = true },
	{ "shares all", 2, CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_FS, 0, 0, 2, 2, SIGCHLD },
	{ "forked", 1, 0, 5, 5, 5, 5, SIGWINCH },
	{ "shares with the forked", 5, CLONE_VM | CLONE_SIGHAND, 5, 5, 6, 6, SIGCHLD },
	{ "leads a session", 0, CLONE_VM | CLONE_FILES, 0, 7, 0, 7, SIGCONT, EARLY_SESSION },
	{ "sibling of the forked", 5, CLONE_VM | CLONE_PARENT, 5, 8, 8, 8, SIGWINCH },
	{ "ends", 0, 0, 9, 9, 9, 9, SIGCHLD, EARLY_SESSION, true },
	{ "orphan", 9, CLONE_VM | CLONE_SIGHAND, 9, 9, 10, 10, SIGCHLD },
	{ "second orphan", 9, CLONE_VM, 9, 11, 11, 11, SIGCHLD },
	{ "third orphan", 9, CLONE_VM | CLONE_SIGHAND, 9, 9, 12, 12, SIGCHLD },
};

enum { N = ARRAY_SIZE(sharers) };

static uint64_t random_state;

static int choose(int below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (int)((random_state >> 33) % (uint64_t)below);
}

/*
 * Memory that comes from one who ends is kept if those who have it become siblings: so they stay in
 * the session that they are born into.
 */
static void make_up(int i)
{
	static const int signals[] = { SIGCHLD, 0, SIGURG, SIGWINCH, SIGCONT };
	static const int shares[] = { 0, CLONE_VM, CLONE_VM | CLONE_SIGHAND };
	struct sharer *s = &sharers[i];
	const struct sharer *by = &sharers[s->forker = choose(i)];

	s->name = "made up";
	s->flags = shares[choose(3)];
	s->memory = s->flags ? by->memory : i;
	s->handlers = s->flags & CLONE_SIGHAND ? by->handlers : i;
	s->files = s->dirs = i;
	s->session = by->ends && s->flags ? NO_SESSION : choose(3);
	s->ends = !s->flags && choose(3) == 0;
	s->exit_signal = by->ends ? SIGCHLD : signals[choose(5)];
	s->threaded = false;
}

/* In memory that all have; counts are in the memory that only some share. */
struct state {
	_Atomic uint32_t ready;
	pid_t pid, sid;
	int op;
	long seen;
};

static struct {
	struct station *stations;
	struct state *state;
	volatile long count[N];
	pid_t ended;
} vm;

enum { OP_CHECK, OP_COUNT, OP_HANDLE, OP_DEFAULT };

static void on_signal(int sig)
{
}

/* Not through the C library, which locks and blocks. */
static long action(void (*handler)(int), void (**ret)(int))
{
	struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		unsigned long mask;
	} new = { handler, 0, NULL, 0 }, old = { 0 };
	long r = syscall(SYS_rt_sigaction, SIG, ret ? NULL : &new, &old, 8);

	if (ret)
		*ret = old.handler;
	return r;
}

static int do_op(void *arg)
{
	struct state *s = arg;
	size_t i = (size_t)(s - vm.state);
	void (*handler)(int) = NULL;

	if (getpid() != s->pid)
		return fail("pid %d instead of %d", getpid(), s->pid);
	if (getsid(0) != s->sid)
		return fail("session %d instead of %d", getsid(0), s->sid);
	switch (s->op) {
	case OP_COUNT:
		vm.count[i]++;
		break;
	case OP_HANDLE:
		action(on_signal, NULL);
		break;
	case OP_DEFAULT:
		action(SIG_DFL, NULL);
		break;
	}
	action(NULL, &handler);
	s->seen = handler == on_signal;
	for (size_t k = 0; k < N; k++)
		s->seen += vm.count[k] << (4 + 4 * k);
	return WL_OK;
}

static int do_nothing(void *arg)
{
	return *(const pid_t *)arg == getpid() ? WL_OK : fail("a thread of process %d", getpid());
}

static int thread_run(void *arg)
{
	station_serve(&vm.stations[N], do_nothing, arg);
}

static char *new_stack(void)
{
	char *p = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p + STACK;
}

static int start_thread(struct state *s)
{
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			  CLONE_SYSVSEM;
	char *stack = new_stack();

	return stack && clone(thread_run, stack, flags, &s->pid) > 0 ? WL_OK : fail_errno("clone");
}

static int start_sharers_of(int forker);

static int sharer_run(void *arg)
{
	struct state *s = arg;
	size_t i = (size_t)(s - vm.state);

	s->pid = getpid();
	if (sharers[i].session == EARLY_SESSION)
		setsid();
	if (start_sharers_of((int)i) != WL_OK || (sharers[i].threaded && start_thread(s) != WL_OK))
		return 1;
	if (sharers[i].session == LATE_SESSION)
		setsid();
	s->sid = getsid(0);
	s->ready = 1;
	futex_wake(&s->ready);
	if (sharers[i].ends)
		return 0;
	station_serve(&vm.stations[i], do_op, s);
}

static int start_sharers_of(int forker)
{
	for (size_t i = 1; i < N; i++) {
		char *stack;
		int flags = sharers[i].flags | sharers[i].exit_signal;

		if (sharers[i].forker != forker)
			continue;
		stack = new_stack();
		if (!stack || clone(sharer_run, stack, flags, &vm.state[i]) < 0)
			return fail_errno("clone");
		while (!vm.state[i].ready)
			futex_wait(&vm.state[i].ready, 0);
	}
	return WL_OK;
}

static int compare_pair(size_t i, size_t k)
{
	const struct {
		int type;
		const char *what;
		bool want;
	} types[] = {
		{ KCMP_VM, "memory", sharers[i].memory == sharers[k].memory },
		{ KCMP_SIGHAND, "handlers", sharers[i].handlers == sharers[k].handlers },
		{ KCMP_FILES, "descriptors", sharers[i].files == sharers[k].files },
		{ KCMP_FS, "directories", sharers[i].dirs == sharers[k].dirs },
	};

	for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
		long r = syscall(SYS_kcmp, vm.state[i].pid, vm.state[k].pid, types[n].type, 0, 0);

		if (r < 0)
			return fail_errno("kcmp");
		if ((r == 0) != types[n].want)
			return fail("'%s' and '%s' %s their %s", sharers[i].name, sharers[k].name,
				    r ? "do not share" : "share", types[n].what);
	}
	return WL_OK;
}

static int tell(size_t i, int op)
{
	vm.state[i].op = op;
	return station_ask(&vm.stations[i], sharers[i].name);
}

/* What one does is seen by another, or is not. */
static int see(size_t by, size_t i)
{
	long before, handled;
	int r = tell(i, OP_CHECK);

	before = vm.state[i].seen;
	if (r == WL_OK)
		r = tell(by, OP_COUNT);
	if (r == WL_OK)
		r = tell(by, OP_HANDLE);
	if (r == WL_OK)
		r = tell(i, OP_CHECK);
	handled = vm.state[i].seen & 1;
	if (r == WL_OK &&
	    ((vm.state[i].seen & ~1) != (before & ~1)) != (sharers[i].memory == sharers[by].memory))
		return fail("what '%s' writes is %s by '%s'", sharers[by].name,
			    (vm.state[i].seen & ~1) != (before & ~1) ? "seen" : "not seen",
			    sharers[i].name);
	if (r == WL_OK && handled != (sharers[i].handlers == sharers[by].handlers))
		return fail("the handler of '%s' is %s by '%s'", sharers[by].name,
			    handled ? "seen" : "not seen", sharers[i].name);
	return r == WL_OK ? tell(by, OP_DEFAULT) : r;
}

static int read_line(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n - 1 : 0] = '\0';
	return n > 0 ? 0 : -1;
}

/* A field of /proc/PID/stat, from the third on; NULL if there is none. */
static const char *stat_field(pid_t pid, int field)
{
	static char text[1024];
	char path[32], *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	at = read_line(path, text, sizeof(text)) < 0 ? NULL : strrchr(text, ')');
	for (; at && field > 2; field--)
		at = strchr(at + 1, ' ');
	return at ? at + 1 : NULL;
}

static char proc_state(pid_t pid)
{
	const char *s = stat_field(pid, 3);

	return s ? *s : '?';
}

static int check_exit_signal(size_t i)
{
	const char *s = stat_field(vm.state[i].pid, 38);
	int got = s ? atoi(s) : -1;

	if (strict() && got != sharers[i].exit_signal)
		return fail("'%s' will end with signal %d instead of %d", sharers[i].name, got,
			    sharers[i].exit_signal);
	return WL_OK;
}

/* It shared the memory, too, and has not been waited for. */
static int check_ended(void)
{
	siginfo_t si = { 0 };

	if (waitid(P_PID, (id_t)vm.ended, &si, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 ||
	    si.si_pid != vm.ended || si.si_status != EXIT_CODE)
		return fail("the one that ended is not there with its status");
	return WL_OK;
}

static int vm_verify(void)
{
	for (size_t i = 1; i < N; i++)
		if (!sharers[i].ends && check_exit_signal(i) != WL_OK)
			return WL_FAIL;
	if (check_ended() != WL_OK)
		return WL_FAIL;
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < i; k++)
			if (!sharers[i].ends && !sharers[k].ends &&
			    (compare_pair(i, k) != WL_OK || (k && see(i, k) != WL_OK)))
				return WL_FAIL;
	return param("seed", 0) ? WL_OK : station_ask(&vm.stations[N], "thread");
}

static int end_run(void *arg)
{
	return EXIT_CODE;
}

static bool has_ended(void *arg)
{
	bool ended = check_ended() == WL_OK;

	reason_clear();
	return ended;
}

static bool is_over(void *arg)
{
	return proc_state(*(pid_t *)arg) == 'Z';
}

/* Its children are those of the first process then. What is its own child is waited for. */
static int let_end(size_t i)
{
	if (!wait_until(is_over, &vm.state[i].pid, 10000))
		return fail("'%s' does not end", sharers[i].name);
	if (sharers[i].forker == 0) {
		waitpid(vm.state[i].pid, NULL, __WALL);
		vm.state[i].pid = 0;
	}
	return WL_OK;
}

static int vm_setup(void)
{
	random_state = (uint64_t)param("seed", 0);
	for (int i = 1; i < N && param("seed", 0); i++)
		make_up(i);
	for (size_t i = 1; i < N && !param("lead", 1); i++)
		if (sharers[i].ends)
			sharers[i].session = NO_SESSION;
	vm.stations = stations_new(N + 1 + N * sizeof(*vm.state) / sizeof(struct station) + 1);
	if (!vm.stations)
		return fail_errno("mmap");
	vm.state = (struct state *)(vm.stations + N + 1);
	vm.state[0].pid = getpid();
	vm.ended = clone(end_run, new_stack(), CLONE_VM | SIGWINCH, NULL);
	if (vm.ended < 0 || !wait_until(has_ended, NULL, 10000))
		return fail_errno("clone");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return fail_errno("becoming a subreaper");
	if (start_sharers_of(0) != WL_OK)
		return WL_FAIL;
	for (size_t i = 1; i < N; i++)
		if (sharers[i].ends && let_end(i) != WL_OK)
			return WL_FAIL;
	return vm_verify();
}

static void vm_teardown(void)
{
	for (size_t i = N; i-- > 1;)
		if (vm.state && vm.state[i].pid)
			kill(vm.state[i].pid, SIGKILL);
	for (size_t i = N; i-- > 1;)
		if (vm.state && vm.state[i].pid)
			waitpid(vm.state[i].pid, NULL, __WALL);
}

/* ---- odd-vm: what cannot be had again ---- */

enum { ODD_VFORK, ODD_EXEC, ODD_AGAIN };

static struct {
	_Atomic uint32_t ready;
	pid_t first, second;
	_Atomic long rounds;
} * odd;

static int odd_wait(void *arg)
{
	odd->ready = 1;
	futex_wake(&odd->ready);
	while (odd->ready)
		pause();
	return 0;
}

/* Its child shares the memory of the first process, and it does not any more. */
static int odd_exec(void *arg)
{
	char *stack = new_stack();

	odd->second = clone(odd_wait, stack, CLONE_VM | SIGCHLD, NULL);
	execl("/bin/sleep", "sleep", "1000", NULL);
	_exit(1);
}

static int odd_vfork(void *arg)
{
	char *stack = new_stack();

	clone(odd_wait, stack, CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | SIGCHLD, NULL,
	      &odd->second);
	_exit(1);
}

static int odd_moment(void *arg)
{
	const struct timespec moment = { 0, 5000000 };

	nanosleep(&moment, NULL);
	return 0;
}

/* Nearly always there is a vfork in progress, and never for long. */
static int odd_again(void *arg)
{
	char *stack = new_stack();

	for (odd->ready = 1; odd->ready; odd->rounds++)
		waitpid(clone(odd_moment, stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL), NULL, 0);
	return 0;
}

static bool odd_goes_on(void *arg)
{
	return odd->rounds > *(long *)arg + 2;
}

static bool odd_is_ready(void *arg)
{
	char path[32], text[16] = "";

	snprintf(path, sizeof(path), "/proc/%d/comm", odd->first);
	if (param("what", ODD_VFORK) == ODD_EXEC && read_line(path, text, sizeof(text)) == 0 &&
	    strcmp(text, "sleep"))
		return false;
	return odd->ready;
}

static int odd_verify(void)
{
	long rounds = odd->rounds;

	if (param("what", ODD_VFORK) == ODD_AGAIN)
		return wait_until(odd_goes_on, &rounds, 10000) ? WL_OK : fail("no vfork any more");
	if (kill(odd->first, 0) < 0 || kill(odd->second, 0) < 0)
		return fail("a process has ended");
	return WL_OK;
}

static int odd_setup(void)
{
	int (*const runs[])(void *arg) = { odd_vfork, odd_exec, odd_again };
	long what = param("what", ODD_VFORK);

	if (what < 0 || what > ODD_AGAIN)
		return fail("what=%ld is not known", what);
	odd = (void *)stations_new(1);
	if (!odd)
		return fail_errno("mmap");
	odd->first =
		clone(runs[what], new_stack(), (what == ODD_EXEC ? CLONE_VM : 0) | SIGCHLD, NULL);
	if (odd->first < 0 || !wait_until(odd_is_ready, NULL, 10000))
		return fail_errno("clone");
	return odd_verify();
}

static void odd_teardown(void)
{
	if (odd->second)
		kill(odd->second, SIGKILL);
	kill(odd->first, SIGKILL);
	waitpid(odd->first, NULL, 0);
}

static struct workload_param odd_params[] = {
	{ "what", 0,
	  "0: a vfork in progress; 1: memory is shared past a process that has its own; 2: one "
	  "vfork after the other" },
	{ 0 },
};

static struct workload_param vm_params[] = {
	{ "lead", 1, "0: orphans are not of a session whose leader is dead" },
	{ "seed", 0, "another number: a family at random" },
	{ 0 },
};

const struct workload vm_workloads[] = {
	{ "odd-vm", "memory that is shared in a way that cannot be kept", odd_params, odd_setup,
	  odd_verify, NULL, 0, odd_teardown },
	{ "shared-vm", "processes that share memory, signal handlers, both or neither", vm_params,
	  vm_setup, vm_verify, NULL, 0, vm_teardown },
	{ 0 },
};
