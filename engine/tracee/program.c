/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Syscall programs: building, copying into the task, running, reading back. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "engine/base/cleanup.h"
#include "engine/tracee/tracee-priv.h"

void program_done(struct program *p)
{
	if (!p->still) {
		vec_free(&p->steps);
		vec_free(&p->data);
		vec_free(&p->pointers);
	}
	*p = (struct program){ 0 };
}

int program_settle(struct program *p, struct still *still)
{
	size_t steps = p->steps.n * sizeof(*p->steps.v);
	size_t pointers = p->pointers.n * sizeof(*p->pointers.v);
	struct program moved = { .steps = { .n = p->steps.n },
				 .data = { .n = p->data.n },
				 .pointers = { .n = p->pointers.n },
				 .broken = p->broken,
				 .still = true };

	moved.steps.v = still_alloc(still, steps);
	moved.data.v = still_alloc(still, p->data.n);
	moved.pointers.v = still_alloc(still, pointers);
	if (!moved.steps.v || !moved.data.v || !moved.pointers.v)
		return -ENOMEM;
	if (steps)
		memcpy(moved.steps.v, p->steps.v, steps);
	if (p->data.n)
		memcpy(moved.data.v, p->data.v, p->data.n);
	if (pointers)
		memcpy(moved.pointers.v, p->pointers.v, pointers);
	program_done(p);
	*p = moved;
	return 0;
}

int prog_call(struct program *p, const char *what, enum prog_fail fail, uint64_t nr,
	      const struct prog_arg *args, size_t n_args)
{
	struct prog_step *s = p->still ? NULL : vec_add(&p->steps);

	if (!s || n_args > 6) {
		p->broken = true;
		return 0;
	}
	s->what = what;
	s->nr = nr;
	s->fail = fail;
	if (n_args)
		memcpy(s->args, args, n_args * sizeof(*args));
	return (int)p->steps.n - 1;
}

uint64_t prog_bytes(struct program *p, const void *data, size_t len)
{
	size_t at = (p->data.n + 15) & ~(size_t)15, end;

	if (p->still || __builtin_add_overflow(at, len, &end)) {
		p->broken = true;
		return 0;
	}
	if (end > p->data.cap) {
		size_t cap = end * 2 + 1024;
		uint8_t *v = realloc(p->data.v, cap);

		if (!v) {
			p->broken = true;
			return 0;
		}
		p->data.v = v;
		p->data.cap = cap;
	}
	memset(p->data.v + p->data.n, 0, end - p->data.n);
	if (data)
		memcpy(p->data.v + at, data, len);
	p->data.n = end;
	return at;
}

void prog_pointer(struct program *p, uint64_t at, uint64_t to)
{
	uint64_t *slot = p->still ? NULL : vec_add(&p->pointers);

	if (!slot || at + sizeof(to) > p->data.n) {
		p->broken = true;
		return;
	}
	*slot = at;
	memcpy(p->data.v + at, &to, sizeof(to)); /* an offset until it is copied to its place */
}

void *prog_out(const struct program *p, uint64_t offset)
{
	return p->data.v + offset;
}

int64_t prog_result(const struct program *p, int step)
{
	return p->steps.v[step].result;
}

static uint64_t align_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) & ~(to - 1);
}

uint64_t program_size(const struct program *p)
{
	return align_up(ARCH_FRAME_MAX + p->steps.n * sizeof(struct arch_step), 64) + p->data.n +
	       64;
}

/* Data area: frame, steps, operands. */
struct layout {
	uint64_t frame, steps, data, end;
};

static struct layout layout(const struct scratch *s, const struct program *p)
{
	struct layout l;

	l.frame = align_up(s->data, 64);
	l.steps = l.frame + ARCH_FRAME_MAX;
	l.data = align_up(l.steps + p->steps.n * sizeof(struct arch_step), 16);
	l.end = l.data + p->data.n;
	return l;
}

static void compile(const struct program *p, const struct layout *l, struct arch_step *out)
{
	size_t i, a;

	for (i = 0; i < p->steps.n; i++) {
		const struct prog_step *s = &p->steps.v[i];

		out[i] = (struct arch_step){ .nr = s->nr, .stop = s->fail, .result = -ECANCELED };
		for (a = 0; a < 6; a++) {
			const struct prog_arg *arg = &s->args[a];

			if (arg->kind == PROG_DATA)
				out[i].args[a] = l->data + arg->v;
			else if (arg->kind == PROG_RESULT)
				/* the earlier step stores its result right into this argument */
				out[arg->v].out = l->steps + i * sizeof(*out) +
						  offsetof(struct arch_step, args) + a * 8;
			else if (arg->kind == PROG_ARGUMENT)
				out[i].args[a] = l->steps + arg->v / 8 * sizeof(*out) +
						 offsetof(struct arch_step, args) + arg->v % 8 * 8;
			else
				out[i].args[a] = arg->v;
		}
	}
}

/* A program runs once: its pointers stay addresses afterwards. */
static void relocate(struct program *p, uint64_t base)
{
	uint64_t *at;

	vec_foreach (at, &p->pointers) {
		uint64_t v;

		memcpy(&v, p->data.v + *at, sizeof(v));
		v += base;
		memcpy(p->data.v + *at, &v, sizeof(v));
	}
	p->pointers.n = 0;
}

static int write_program(struct tracee *t, struct program *p, const struct layout *l,
			 struct err *err)
{
	size_t n = p->steps.n * sizeof(struct arch_step);
	cleanup_free struct arch_step *steps = malloc(n ? n : 1);
	cleanup_free uint8_t *frame = NULL;
	int r = 0;

	if (!steps)
		return err_nomem(err);
	compile(p, l, steps);
	if (!t->dead_means_die) {
		struct arch_context *settled = arch_context_new();

		frame = malloc(ARCH_FRAME_MAX);
		if (settled && frame) {
			size_t len;

			*settled = *t->ctx;
			arch_context_settle(settled);
			len = arch_frame_build(settled, l->frame, 0, frame);
			r = tracee_write(t->tid, l->frame, frame, len);
		}
		free(settled);
		if (!settled || !frame)
			return err_nomem(err);
	}
	if (r == 0 && n)
		r = tracee_write(t->tid, l->steps, steps, n);
	relocate(p, l->data);
	if (r == 0 && p->data.n)
		r = tracee_write(t->tid, l->data, p->data.v, p->data.n);
	return r < 0 ? err_sys(err, r, "copying a program into thread %d", t->tid) : 0;
}

static int read_back(struct tracee *t, struct program *p, const struct layout *l, struct err *err)
{
	size_t i, n = p->steps.n * sizeof(struct arch_step);
	cleanup_free struct arch_step *steps = malloc(n ? n : 1);
	int r = 0;

	if (!steps)
		return err_nomem(err);
	if (n)
		r = tracee_read(t->tid, l->steps, steps, n);
	if (r == 0 && p->data.n)
		r = tracee_read(t->tid, l->data, p->data.v, p->data.n);
	if (r < 0)
		return err_sys(err, r, "reading back a program of thread %d", t->tid);
	for (i = 0; i < p->steps.n; i++)
		p->steps.v[i].result = steps[i].result;
	return 0;
}

static int clone_stop(struct tracee *t, program_clone_fn on_clone, void *arg, struct err *err)
{
	unsigned long tid;

	if (ptrace(PTRACE_GETEVENTMSG, t->tid, NULL, &tid) < 0)
		return err_sys(err, -errno, "learning the new thread of %d", t->tid);
	return on_clone ? on_clone(arg, (pid_t)tid, err) : 0;
}

/* True for the signal with which the loop ends: it sent it to itself. */
static bool is_end_signal(const struct tracee *t, int sig)
{
	siginfo_t si;

	return sig == t->end_signal && ptrace(PTRACE_GETSIGINFO, t->tid, NULL, &si) == 0 &&
	       si.si_code == SI_TKILL && si.si_pid == t->ns_tgid;
}

/* What the program was doing when it was struck: the step behind the last one with a result. */
static int struck(struct tracee *t, struct program *p, const struct layout *l, int sig,
		  struct err *err)
{
	struct err ignored = ERR_INIT;
	siginfo_t si = { 0 };
	size_t i = 0;

	ptrace(PTRACE_GETSIGINFO, t->tid, NULL, &si);
	if (read_back(t, p, l, &ignored) == 0)
		while (i < p->steps.n && p->steps.v[i].result != -ECANCELED)
			i++;
	return err_new(err, ERR_INTERNAL, -EIO,
		       "a program of thread %d ended in signal %d (address %p) at "
		       "step %zu of %zu (%s)",
		       t->tid, sig, si.si_addr, i, p->steps.n,
		       i < p->steps.n ? p->steps.v[i].what : "the end");
}

/* A call that never ends holds up everything. The thread gets its registers back, if it stops. */
static int give_up(struct tracee *t, struct err *err)
{
	struct err ignored = ERR_INIT;

	if (tracee_interrupt(t, &ignored) == 0 && arch_context_set(t->tid, t->ctx) == 0)
		t->state = TRACEE_STOPPED;
	err_new(err, ERR_BUSY, -ETIMEDOUT, "a program of thread %d does not end after %u ms",
		t->tid, t->stop_within_ms);
	err_hint(err, "try again, or raise --timeout");
	return -ETIMEDOUT;
}

static int run_to_end(struct tracee *t, struct program *p, const struct layout *l,
		      program_clone_fn on_clone, void *arg, struct err *err)
{
	bool started = true;
	struct stop s;
	int r;

	for (;; started = false) {
		if (!started && ptrace(PTRACE_CONT, t->tid, NULL, NULL) < 0)
			return err_sys(err, -errno, "running a program in thread %d", t->tid);
		if (tracee_wait_limited(t, err) < 0)
			return give_up(t, err);
		r = tracee_wait(t, &s, err);
		if (r < 0)
			return r;
		if (s.what == STOP_GONE)
			return err_new(err, ERR_BUSY, -ESRCH, "thread %d died (status 0x%x)",
				       t->tid, (unsigned)s.status);
		if (s.what == STOP_CLONE) {
			r = clone_stop(t, on_clone, arg, err);
			if (r < 0)
				return r;
			continue;
		}
		if (s.what != STOP_SIGNAL)
			continue; /* a group-stop takes effect again at the release */
		if (is_end_signal(t, s.sig))
			return 0;
		if (s.sig == SIGSTOP) {
			t->stop_arrived = true;
			continue;
		}
		if (s.sig == t->end_signal) {
			/* somebody else's: nobody waits for it in a builder, else it is sent again
			 */
			t->end_arrived = !t->dead_means_die;
			continue;
		}
		return struck(t, p, l, s.sig, err);
	}
}

/* The first step with PROG_STOP that failed, as an error. */
static int judge(const struct program *p, struct err *err)
{
	size_t i;

	for (i = 0; i < p->steps.n; i++) {
		const struct prog_step *s = &p->steps.v[i];

		if (s->result == -ECANCELED)
			return err_new(err, ERR_INTERNAL, -EIO, "%s: never reached", s->what);
		if (s->fail != PROG_STOP || s->result > -1 || s->result < -4095)
			continue;
		if (s->detail)
			return err_sys(err, (int)s->result, "%s (0x%lx)", s->what, s->detail);
		return err_sys(err, (int)s->result, "%s", s->what);
	}
	return 0;
}

static int start(struct tracee *t, const struct scratch *s, struct program *p, struct err *err)
{
	struct arch_context *run = NULL;
	cleanup_free void *hold = NULL;
	struct layout l = layout(s, p);
	uint64_t mask;
	int r;

	if (p->broken)
		return err_nomem(err);
	if (l.end > s->data + s->data_len)
		return err_new(err, ERR_INTERNAL, -E2BIG,
			       "a program of %zu calls and %zu bytes is too big", p->steps.n,
			       p->data.n);
	hold = run = arch_context_new();
	if (!run)
		return err_nomem(err);
	r = write_program(t, p, &l, err);
	if (r < 0)
		return r;
	arch_run_regs(
		t->ctx,
		&(struct arch_run){ .code = s->code,
				    .steps = l.steps,
				    .steps_end = l.steps + p->steps.n * sizeof(struct arch_step),
				    .tgid = t->ns_tgid,
				    .tid = t->ns_tid,
				    .sig = t->end_signal,
				    .frame = t->dead_means_die ? 0 : l.frame },
		run);
	/* Registers before mask: a task let go in between must have its way back already. */
	r = arch_regs_set(t->tid, run);
	if (r < 0)
		return err_sys(err, r, "setting the registers of thread %d", t->tid);
	t->state = TRACEE_PARKED;
	mask = ~(1ull << (t->end_signal - 1));
	if (ptrace(PTRACE_SETSIGMASK, t->tid, sizeof(mask), &mask) < 0)
		return err_sys(err, -errno, "blocking the signals of thread %d", t->tid);
	if (ptrace(PTRACE_CONT, t->tid, NULL, NULL) < 0)
		return err_sys(err, -errno, "running a program in thread %d", t->tid);
	return 0;
}

static int finish(struct tracee *t, const struct scratch *s, struct program *p,
		  program_clone_fn on_clone, void *arg, struct err *err)
{
	struct layout l = layout(s, p);
	int r = run_to_end(t, p, &l, on_clone, arg, err);

	if (r == 0)
		r = read_back(t, p, &l, err);
	return r == 0 ? judge(p, err) : r;
}

int program_run(struct tracee *t, const struct scratch *s, struct program *p,
		program_clone_fn on_clone, void *arg, struct err *err)
{
	int r = start(t, s, p, err);

	return r == 0 ? finish(t, s, p, on_clone, arg, err) : r;
}

int programs_run(struct program_job *jobs, size_t n, struct err *err)
{
	struct program_job *failed = NULL;
	size_t begun, i;

	for (begun = 0; begun < n && !failed; begun++) {
		struct program_job *j = &jobs[begun];

		j->result = start(j->t, &j->s, j->p, err);
		if (j->result < 0)
			failed = j;
	}
	for (i = 0; i < begun; i++) {
		struct program_job *j = &jobs[i];
		struct err one = ERR_INIT;

		if (j == failed)
			continue;
		j->result = finish(j->t, &j->s, j->p, j->on_clone, j->arg, &one);
		if (j->result == 0 || failed)
			continue;
		failed = j;
		*err = one;
	}
	return failed ? failed->result : 0;
}
