/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one system call in another task costs: in a program of 20000, as a program of its own, and
 * as a borrowed call. program-cost [CALLS]: prints microseconds; fails only if a call gives a wrong
 * answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/tracee/tracee.h"

enum { SINGLE_CALLS = 500 };

struct bench {
	struct tracee t;
	struct gadgets gadgets;
	struct scratch scratch;
	struct err err;
	int calls;
};

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* A child that sleeps; *hole: an address that nothing is mapped at, for the scratch area. */
static pid_t start_child(uint64_t room, uint64_t *hole)
{
	void *p = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	if (p == MAP_FAILED)
		return -1;
	munmap(p, room);
	*hole = (uint64_t)p;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static int find_gadgets(struct bench *b)
{
	cleanup_proc_vmas struct proc_vmas vmas = { 0 };
	cleanup_buf struct buf text = BUF_INIT;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/maps", b->t.tid);
	r = io_read_file(AT_FDCWD, path, &text);
	if (r == 0)
		r = proc_vmas_parse(text.data, text.len, &vmas);
	return r < 0 ? err_sys(&b->err, r, "reading the areas of the child")
		     : gadgets_find(&b->t, &vmas, NULL, &b->gadgets, &b->err);
}

static int begin(struct bench *b)
{
	uint64_t data = (uint64_t)b->calls * sizeof(struct arch_step) + ARCH_FRAME_MAX + 8192, hole;
	int r;

	data &= ~4095ull;
	b->t.tid = b->t.tgid = b->t.ns_tid = b->t.ns_tgid = start_child(data + 4096, &hole);
	if (b->t.tid < 0)
		return err_sys(&b->err, -errno, "starting a child");
	r = tracee_seize(&b->t, false, &b->err);
	if (r == 0)
		r = tracee_choose_end_signal(&b->t, 0, 0, &b->err);
	if (r == 0)
		r = find_gadgets(b);
	return r == 0 ? scratch_map(&(struct scratch_job){ .t = &b->t,
							   .g = &b->gadgets,
							   .addr = hole,
							   .data_len = data,
							   .ret = &b->scratch },
				    1, &b->err)
		      : r;
}

/* A program of so many calls of getppid(2). */
static int run_program(struct bench *b, int calls)
{
	struct program p = { 0 };
	int i, r;

	for (i = 0; i < calls; i++)
		prog_syscall0(&p, "getppid", PROG_STOP, SYS_getppid);
	r = program_run(&b->t, &b->scratch, &p, NULL, NULL, &b->err);
	for (i = 0; i < calls && r == 0; i++)
		if (prog_result(&p, i) != getpid())
			r = err_new(&b->err, ERR_INTERNAL, -EIO, "call %d gave %ld", i,
				    (long)prog_result(&p, i));
	program_done(&p);
	if (r == 0)
		r = arch_context_set(b->t.tid, b->t.ctx);
	b->t.state = TRACEE_STOPPED;
	return r;
}

static int measure_programs(struct bench *b)
{
	double start = now_us(), batch, single;
	int i, r = run_program(b, b->calls);

	batch = (now_us() - start) / b->calls;
	start = now_us();
	for (i = 0; i < SINGLE_CALLS && r == 0; i++)
		r = run_program(b, 1);
	single = (now_us() - start) / SINGLE_CALLS;
	if (r == 0)
		printf("# a call in a program of %d: %.2f us\n# a program of one call: %.1f us\n",
		       b->calls, batch, single);
	return r;
}

static int measure_borrowed(struct bench *b)
{
	struct borrow call = {
		.t = &b->t, .g = &b->gadgets, .nr = SYS_getppid, .result = getpid()
	};
	double start = now_us();
	int i, r = 0;

	for (i = 0; i < SINGLE_CALLS && r == 0 && call.result == getpid(); i++)
		r = tracee_borrow_calls(&call, 1, &b->err);
	if (r == 0 && call.result != getpid())
		r = err_new(&b->err, ERR_INTERNAL, -EIO, "a borrowed call gave %ld",
			    (long)call.result);
	if (r == 0)
		printf("# a borrowed call: %.1f us\n", (now_us() - start) / SINGLE_CALLS);
	return r;
}

int main(int argc, char **argv)
{
	struct bench b = { .err = ERR_INIT, .calls = argc > 1 ? atoi(argv[1]) : 20000 };
	int r;

	printf("1..1\n");
	r = b.calls > 0 ? begin(&b) : -EINVAL;
	if (r == 0)
		r = measure_programs(&b);
	if (r == 0)
		r = measure_borrowed(&b);
	if (b.t.tid > 0) {
		kill(b.t.tid, SIGKILL);
		waitpid(b.t.tid, NULL, __WALL);
	}
	if (r == -EPERM)
		printf("ok 1 program cost # SKIP ptrace is not allowed here\n");
	else
		printf("%s 1 program cost%s%s\n", r == 0 ? "ok" : "not ok", r == 0 ? "" : " # ",
		       b.err.text);
	tracee_done(&b.t);
	return r == 0 || r == -EPERM ? 0 : 1;
}
