/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process whose first thread has ended while others live on. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

enum { SIZE = 1 << 20, STATUS = 7 };

static struct {
	struct station *station;
	pid_t pid;
	int pipe[2];
	unsigned char *memory;
} dead;

static void *new_thread(void *arg)
{
	*(pid_t *)arg = (pid_t)syscall(SYS_gettid);
	return NULL;
}

/* The process still has its memory, its files, its children, and can have new threads. */
static int survivor_verify(void *arg)
{
	pthread_t thread;
	pid_t tid = 0, child;
	int status = -1;
	char c = 0;

	if (pattern_check(dead.memory, SIZE, 550, "memory") != WL_OK)
		return WL_FAIL;
	if (write(dead.pipe[1], "x", 1) != 1 || read(dead.pipe[0], &c, 1) != 1 || c != 'x')
		return fail_errno("the pipe");
	if (getpid() != dead.pid || syscall(SYS_gettid) == dead.pid)
		return fail("pid %d", getpid());
	if (pthread_create(&thread, NULL, new_thread, &tid) != 0 ||
	    pthread_join(thread, NULL) != 0 || tid == dead.pid)
		return fail("thread %d", tid);
	child = fork();
	if (child == 0)
		_exit(3);
	if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 3)
		return fail_errno("a child");
	return WL_OK;
}

static void *survivor(void *arg)
{
	station_serve(dead.station, survivor_verify, NULL);
}

static void *bystander(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void leader(void *arg)
{
	pthread_t thread;

	dead.pid = getpid();
	dead.memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (dead.memory == MAP_FAILED || pipe2(dead.pipe, O_CLOEXEC) < 0)
		_exit(1);
	pattern_fill(dead.memory, SIZE, 550);
	prctl(PR_SET_NAME, "was-first");
	if (pthread_create(&thread, NULL, survivor, NULL) ||
	    pthread_create(&thread, NULL, bystander, NULL))
		_exit(1);
	syscall(SYS_exit, STATUS);
}

struct shown {
	char comm[32], state;
	int threads, exit_code;
};

static bool read_stat(struct shown *ret)
{
	char path[40], line[2048];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%d/stat", dead.pid);
	f = fopen(path, "re");
	ok = f && fgets(line, sizeof(line), f) &&
	     sscanf(line,
		    "%*d (%31[^)]) %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
		    "%*d %d",
		    ret->comm, &ret->state, &ret->threads) == 3 &&
	     sscanf(strrchr(line, ' '), "%d", &ret->exit_code) == 1;
	if (f)
		fclose(f);
	return ok;
}

static bool has_ended(void *arg)
{
	struct shown s;

	return read_stat(&s) && s.state == 'Z';
}

static int leader_verify(void)
{
	struct shown s = { 0 };

	if (!read_stat(&s))
		return fail("reading what the process shows");
	if (s.state != 'Z' || s.threads != 3 || s.exit_code != STATUS << 8 ||
	    strcmp(s.comm, "was-first") != 0)
		return fail("the first thread is '%s' in state %c of %d threads, with status 0x%x",
			    s.comm, s.state, s.threads, s.exit_code);
	return station_ask(dead.station, "the process without its first thread");
}

static int leader_setup(void)
{
	dead.station = stations_new(1);
	dead.pid = dead.station ? child_start(leader, NULL) : -1;
	if (dead.pid < 0)
		return fail_errno("starting a child");
	return wait_until(has_ended, NULL, 10000) ? leader_verify()
						  : fail("the first thread does not end");
}

const struct workload leader_workloads[] = {
	{ .name = "dead-leader",
	  .help = "a child whose first thread has ended",
	  .setup = leader_setup,
	  .verify = leader_verify },
	{ 0 },
};
