/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Borrowed calls and the scratch mapping.
 *
 * A borrowed call runs `syscall; ret` in the task's own text, with the stack pointer at a signal
 * frame whose return address is the task's own signal restorer. The bytes lie below the red zone
 * and are written first; one ptrace request then sets all registers. Whenever this process dies,
 * the thread makes the call, returns into the restorer, and rt_sigreturn continues it where it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/tracee/tracee-priv.h"

/* What has been found in an executable area of a file; offsets from its start, or NONE. */
struct gadget_entry {
	uint32_t dev_major, dev_minor;
	uint64_t ino, offset, len;
	uint64_t syscall_ret, restorer;
};

enum { WINDOW = 1 << 16, OVERLAP = 16, CODE_LEN = 4096 };

#define NONE UINT64_MAX

void gadget_cache_done(struct gadget_cache *c)
{
	vec_free(&c->entries);
}

static struct gadget_entry *cached(struct gadget_cache *c, const struct proc_vma *a)
{
	struct gadget_entry *e;

	vec_foreach (e, &c->entries)
		if (e->ino == a->ino && e->dev_major == a->dev_major &&
		    e->dev_minor == a->dev_minor && e->offset == a->offset &&
		    e->len == a->end - a->start)
			return e;
	return NULL;
}

/* Each window begins a little before the end of the one before: a gadget may lie across. */
static void search_area(const struct tracee *t, const struct proc_vma *a, struct gadget_entry *e)
{
	cleanup_free uint8_t *text = malloc(WINDOW);
	uint64_t at, len;

	for (at = a->start; text && at < a->end; at += WINDOW - OVERLAP) {
		ssize_t found;

		len = a->end - at < WINDOW ? a->end - at : WINDOW;
		if (tracee_read(t->tid, at, text, len) < 0)
			return;
		if (e->syscall_ret == NONE && (found = arch_find_syscall_ret(text, len)) >= 0)
			e->syscall_ret = at - a->start + (uint64_t)found;
		if (e->restorer == NONE && (found = arch_find_restorer(text, len)) >= 0)
			e->restorer = at - a->start + (uint64_t)found;
		if ((e->syscall_ret != NONE && e->restorer != NONE) || len < WINDOW)
			return;
	}
}

/* The file may be mapped privately and changed, by a debugger for example. */
static bool still_there(const struct tracee *t, const struct proc_vma *a, uint64_t at,
			ssize_t (*find)(const uint8_t *text, size_t len))
{
	uint8_t text[OVERLAP];
	uint64_t len = a->end - a->start - at;

	if (at == NONE)
		return true;
	if (len > sizeof(text))
		len = sizeof(text);
	return tracee_read(t->tid, a->start + at, text, len) == 0 && find(text, len) == 0;
}

static void look_into(const struct tracee *t, const struct proc_vma *a, struct gadget_cache *c,
		      struct gadgets *g)
{
	struct gadget_entry fresh = { a->dev_major,	 a->dev_minor, a->ino, a->offset,
				      a->end - a->start, NONE,	       NONE };
	struct gadget_entry *e = c && a->ino ? cached(c, a) : NULL;

	if (!e || !still_there(t, a, e->syscall_ret, arch_find_syscall_ret) ||
	    !still_there(t, a, e->restorer, arch_find_restorer)) {
		search_area(t, a, &fresh);
		if (c && a->ino && !e && (e = vec_add(&c->entries)))
			*e = fresh;
		e = &fresh;
	}
	if (!g->syscall_ret && e->syscall_ret != NONE)
		g->syscall_ret = a->start + e->syscall_ret;
	if (!g->restorer && e->restorer != NONE)
		g->restorer = a->start + e->restorer;
}

/* What the choice of a place for the frame looks at. */
struct places {
	const struct proc_vma *own;	/* where the stack pointer is */
	bool guarded;			/* own has an inaccessible neighbour below */
	const struct proc_vma *stack;	/* the main stack */
	const struct proc_vma *largest; /* the largest private writable area without a file */
};

static uint64_t length(const struct proc_vma *a)
{
	return a ? a->end - a->start : 0;
}

/*
 * Room for a frame: below the thread's stack pointer if that is surely a stack. Runtimes with small
 * stacks inside their heap get the low end of the main stack instead. If nothing is surely unused,
 * the end of the largest area is borrowed, and its bytes come back after the call.
 */
static int choose_frame(const struct tracee *t, const struct places *p, struct gadgets *g,
			struct err *err)
{
	uint64_t len = arch_frame_room(t->ctx);
	uint64_t low = (arch_context_sp(t->ctx) - ARCH_RED_ZONE - len) & ~63ull;
	bool is_stack = p->own && (p->guarded || strcmp(p->own->path, "[stack]") == 0);

	g->frame_is_free = true;
	if (is_stack && p->own->prot & PROT_WRITE && low >= p->own->start + 64) {
		g->frame = low;
	} else if (length(p->stack) > 8 * len && p->own != p->stack) {
		g->frame = p->stack->start + 64;
	} else if (length(p->largest) > len) {
		g->frame = (p->largest->end - len) & ~63ull;
		g->frame_is_free = false;
	} else {
		return err_refuse(err, "task %d has no room of %lu bytes in its memory", t->tgid,
				  (long)len);
	}
	return 0;
}

static void note_place(struct places *p, const struct proc_vma *a, const struct proc_vma *below,
		       uint64_t sp)
{
	bool anonymous = !a->path[0] || strcmp(a->path, "[heap]") == 0;

	if (a->start <= sp && sp < a->end) {
		p->own = a;
		p->guarded = below && below->end == a->start && below->prot == PROT_NONE;
	}
	if (strcmp(a->path, "[stack]") == 0)
		p->stack = a;
	if (anonymous && !a->shared && a->prot == (PROT_READ | PROT_WRITE) &&
	    length(a) > length(p->largest))
		p->largest = a;
}

int gadgets_find(const struct tracee *t, const struct proc_vmas *vmas, struct gadget_cache *cache,
		 struct gadgets *ret, struct err *err)
{
	struct places places = { 0 };
	size_t i;

	memset(ret, 0, sizeof(*ret));
	for (i = 0; i < vmas->n; i++) {
		const struct proc_vma *a = &vmas->v[i];

		note_place(&places, a, i ? a - 1 : NULL, arch_context_sp(t->ctx));
		/* text that is there after a restore on another kernel, too */
		if (a->prot & PROT_READ && a->prot & PROT_EXEC &&
		    strcmp(a->path, "[vsyscall]") != 0 && strncmp(a->path, "[vdso", 5) != 0 &&
		    !(ret->syscall_ret && ret->restorer))
			look_into(t, a, cache, ret);
	}
	if (!ret->syscall_ret) {
		err_new(err, ERR_UNSUPPORTED, -EOPNOTSUPP,
			"task %d has no system call instruction in its text", t->tgid);
		return -EOPNOTSUPP;
	}
	return choose_frame(t, &places, ret, err);
}

/* Stands below the frame of a borrowed call, so that the guardian can tell a thread that is still
 * in one. */
static const char call_cookie[16] = "ckpt: borrowed.";

bool tracee_in_borrowed_call(const struct tracee *t)
{
	uint64_t sp = arch_context_sp(t->ctx),
		 at[] = { sp, sp - 8 }; /* before and after its `ret` */
	char found[sizeof(call_cookie)];
	size_t i;

	for (i = 0; i < 2; i++)
		if (tracee_read(t->tid, at[i] - sizeof(found), found, sizeof(found)) == 0 &&
		    memcmp(found, call_cookie, sizeof(found)) == 0)
			return true;
	return false;
}

/* The bytes of a call in the task's memory: the cookie, then the frame. */
struct call_bytes {
	uint64_t addr;
	size_t len;
	uint8_t now[sizeof(call_cookie) + ARCH_FRAME_MAX],
		old[sizeof(call_cookie) + ARCH_FRAME_MAX];
};

static int put_frame(const struct tracee *t, const struct gadgets *g, struct arch_context *c,
		     struct call_bytes *b)
{
	int r;

	*c = *t->ctx;
	arch_context_settle(c);
	b->addr = g->frame - sizeof(call_cookie);
	memcpy(b->now, call_cookie, sizeof(call_cookie));
	b->len = sizeof(call_cookie) +
		 arch_frame_build(c, g->frame, g->restorer, b->now + sizeof(call_cookie));
	r = tracee_read(t->tid, b->addr, b->old, b->len);
	return r == 0 ? tracee_write(t->tid, b->addr, b->now, b->len) : r;
}

/* A borrowed call under way: stops counts its entry and its exit. */
struct borrow_state {
	struct call_bytes bytes;
	int stops;
	bool ended; /* it is stopped for good, or it could not be begun */
};

static int cont(const struct borrow *b)
{
	if (ptrace(b->state->stops < 2 ? PTRACE_SYSCALL : PTRACE_CONT, b->t->tid, NULL, NULL) < 0)
		return -errno;
	return 0;
}

static int borrow_begin(struct borrow *b, struct arch_context *c, struct err *err)
{
	struct tracee *t = b->t;
	struct arch_step step = { .nr = b->nr };
	uint64_t mask = ~0ull;
	int r = put_frame(t, b->g, c, &b->state->bytes);

	if (r < 0)
		return err_sys(err, r, "writing below the stack of thread %d", t->tid);
	memcpy(step.args, b->args, sizeof(step.args));
	arch_call_regs(t->ctx, b->g->syscall_ret, b->g->frame, &step, c);
	t->state = TRACEE_PARKED;
	r = arch_regs_set(t->tid, c);
	if (r == 0 && ptrace(PTRACE_SETSIGMASK, t->tid, sizeof(mask), &mask) < 0)
		r = -errno;
	if (r == 0)
		r = cont(b);
	return r < 0 ? err_sys(err, r, "preparing a call in thread %d", t->tid) : 0;
}

static int borrow_end(struct borrow *b, struct arch_context *c, struct err *err)
{
	struct tracee *t = b->t;
	const struct call_bytes *bytes = &b->state->bytes;
	int r = arch_context_get(t->tid, c);

	b->result = arch_context_result(c);
	if (r == 0)
		r = arch_context_set(t->tid, t->ctx);
	/* also free bytes get their old content back: nothing of us stays in the task */
	if (r == 0)
		r = tracee_write(t->tid, bytes->addr, bytes->old, bytes->len);
	if (r < 0)
		return err_sys(err, r, "ending a call in thread %d", t->tid);
	t->state = TRACEE_STOPPED;
	return 0;
}

/*
 * One stop of a borrowed call: at its entry, at its exit, and before the next instruction. In each
 * of the three the thread goes on by itself if we die. A single step would not do: it ends in a
 * SIGTRAP, which kills a thread that has lost its tracer, and which resets its handler if it is
 * blocked.
 */
static int borrow_stop(struct borrow *b, struct arch_context *c, struct err *err)
{
	struct tracee *t = b->t;
	struct stop s;
	int r = tracee_wait(t, &s, err);

	if (r < 0)
		return r;
	if (s.what == STOP_GONE)
		return err_new(err, ERR_BUSY, -ESRCH, "thread %d died (status 0x%x)", t->tid,
			       (unsigned)s.status);
	if (s.what == STOP_SYSCALL && ++b->state->stops == 2 &&
	    ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) < 0)
		return err_sys(err, -errno, "stopping thread %d", t->tid);
	if (s.what == STOP_SIGNAL && s.sig == SIGSTOP)
		t->stop_arrived = true;
	/* a task in a group-stop reports that one where another reports our interrupt */
	if (b->state->stops == 2 && (s.what == STOP_TRAP || s.what == STOP_GROUP)) {
		b->state->ended = true;
		return borrow_end(b, c, err);
	}
	r = cont(b);
	return r < 0 ? err_sys(err, r, "making a call in thread %d", t->tid) : 0;
}

/* The first failure is told; the other calls come to their end all the same. */
static int note(struct borrow *b, int r, int result, struct err *one, struct err *err)
{
	if (r == 0)
		return result;
	b->state->ended = true;
	if (result == 0)
		*err = *one;
	return result == 0 ? r : result;
}

int tracee_borrow_calls(struct borrow *v, size_t n, struct err *err)
{
	cleanup_free struct arch_context *c = arch_context_new();
	cleanup_free struct borrow_state *states = calloc(n, sizeof(*states));
	bool left = true;
	size_t i;
	int r = 0;

	if (!c || !states)
		return err_nomem(err);
	for (i = 0; i < n; i++) {
		struct err one = ERR_INIT;

		v[i].state = &states[i];
		v[i].result = -ECANCELED;
		r = note(&v[i], borrow_begin(&v[i], c, &one), r, &one, err);
	}
	while (left) {
		left = false;
		for (i = 0; i < n; i++) {
			struct err one = ERR_INIT;

			if (!states[i].ended)
				r = note(&v[i], borrow_stop(&v[i], c, &one), r, &one, err);
			left |= !states[i].ended;
		}
	}
	return r;
}

int scratch_write_loop(const struct tracee *t, uint64_t code, struct err *err)
{
	size_t len, i;
	const uint8_t *loop = arch_loop(&len);

	/* PTRACE_POKEDATA writes to executable areas on kernels where /proc/PID/mem no longer does.
	 */
	for (i = 0; i < len; i += 8) {
		uint64_t word = 0;

		memcpy(&word, loop + i, len - i < 8 ? len - i : 8);
		if (ptrace(PTRACE_POKEDATA, t->tid, (void *)(code + i), (void *)word) < 0)
			return err_sys(err, -errno, "copying the program loop into thread %d",
				       t->tid);
	}
	return 0;
}

static int check_mapped(const struct borrow *b, struct err *err)
{
	if (b->result < 0 && b->result > -4096)
		return err_sys(err, (int)b->result, "mapping %lu bytes in task %d",
			       (unsigned long)b->args[1], b->t->tgid);
	if ((uint64_t)b->result != b->args[0])
		return err_new(err, ERR_INTERNAL, -EIO, "task %d mapped at another address",
			       b->t->tgid);
	return 0;
}

/* The code areas of all, or the data areas. Notes what is there, also when one fails. */
static int map_areas(struct scratch_job *jobs, struct borrow *calls, size_t n, bool code,
		     struct err *err)
{
	int prot = PROT_READ | (code ? PROT_EXEC : PROT_WRITE), r;
	size_t i;

	for (i = 0; i < n; i++) {
		const struct scratch_job *j = &jobs[i];
		struct borrow b = { .t = j->t,
				    .g = j->g,
				    .nr = SYS_mmap,
				    .args = { code ? j->addr : j->addr + CODE_LEN,
					      code ? CODE_LEN : j->data_len, (uint64_t)prot,
					      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
					      (uint64_t)-1, 0 } };

		calls[i] = b;
	}
	r = tracee_borrow_calls(calls, n, err);
	for (i = 0; i < n; i++) {
		struct err one = ERR_INIT;
		int k = check_mapped(&calls[i], &one);

		if (k < 0 && r == 0) {
			*err = one;
			r = k;
		}
		if (k < 0)
			continue;
		if (code) {
			*jobs[i].ret =
				(struct scratch){ .code = jobs[i].addr, .code_len = CODE_LEN };
		} else {
			jobs[i].ret->data = jobs[i].addr + CODE_LEN;
			jobs[i].ret->data_len = jobs[i].data_len;
		}
	}
	return r;
}

int scratch_map(struct scratch_job *jobs, size_t n, struct err *err)
{
	cleanup_free struct borrow *calls = calloc(n, sizeof(*calls));
	size_t i;
	int r;

	if (!calls)
		return err_nomem(err);
	r = map_areas(jobs, calls, n, true, err);
	if (r == 0)
		r = map_areas(jobs, calls, n, false, err);
	for (i = 0; i < n && r == 0; i++)
		r = scratch_write_loop(jobs[i].t, jobs[i].addr, err);
	return r;
}

int scratch_unmap(struct scratch_job *jobs, size_t n, struct err *err)
{
	cleanup_free struct borrow *calls = calloc(n, sizeof(*calls));
	size_t i, k = 0;
	int r = 0;

	if (!calls)
		return err_nomem(err);
	for (i = 0; i < n; i++) {
		const struct scratch *s = jobs[i].ret;
		struct tracee *t = jobs[i].t;

		if (t->state == TRACEE_PARKED && (r = arch_context_set(t->tid, t->ctx)) < 0) {
			err_sys(err, r, "ending a program of thread %d", t->tid);
			continue;
		}
		calls[k++] = (struct borrow){ .t = t,
					      .g = jobs[i].g,
					      .nr = SYS_munmap,
					      .args = { s->code, s->code_len + s->data_len } };
	}
	r = tracee_borrow_calls(calls, k, err);
	for (i = 0; i < k; i++)
		if (calls[i].result < 0 && r == 0)
			r = err_sys(err, (int)calls[i].result,
				    "unmapping the scratch area of task %d", calls[i].t->tgid);
	for (i = 0; i < n && r == 0; i++)
		*jobs[i].ret = (struct scratch){ 0 };
	return r;
}

static int last_call_begin(struct tracee *t, const struct scratch *s, struct arch_context *c,
			   struct err *err)
{
	struct arch_step step = { .nr = SYS_munmap,
				  .args = { s->code, s->code_len + s->data_len } };
	int r;

	arch_call_regs(t->ctx, s->code + arch_loop_syscall_offset(), 0, &step, c);
	r = arch_regs_set(t->tid, c);
	if (r == 0 && ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL) < 0)
		r = -errno;
	return r < 0 ? err_sys(err, r, "preparing the last call of thread %d", t->tid) : 0;
}

/* To the entry of the call, or from there to its exit. */
static int last_call_wait(struct tracee *t, bool is_exit, struct err *err)
{
	for (;;) {
		struct stop st;
		int r = tracee_wait(t, &st, err);

		if (r < 0)
			return r;
		if (st.what == STOP_GONE)
			return err_new(err, ERR_BUSY, -ESRCH, "thread %d died", t->tid);
		if (st.what == STOP_SIGNAL && st.sig == SIGSTOP)
			t->stop_arrived = true;
		if (st.what == STOP_SYSCALL && is_exit)
			return 0;
		if (ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL) < 0)
			return err_sys(err, -errno, "making the last call in thread %d", t->tid);
		if (st.what == STOP_SYSCALL)
			return 0;
	}
}

int scratch_unmap_last(struct tracee *const *v, size_t n, const struct scratch *s, struct err *err)
{
	cleanup_free struct arch_context *c = arch_context_new();
	size_t i;
	int r = c ? 0 : err_nomem(err);

	for (i = 0; i < n && r == 0; i++)
		r = last_call_begin(v[i], s, c, err);
	for (i = 0; i < n && r == 0; i++)
		r = last_call_wait(v[i], false, err);
	for (i = 0; i < n && r == 0; i++) {
		r = last_call_wait(v[i], true, err);
		if (r == 0)
			r = arch_context_get(v[i]->tid, c);
		if (r == 0)
			r = (int)arch_context_result(c);
		if (r < 0 && !err->code)
			err_sys(err, r, "unmapping the scratch area of task %d", v[i]->tgid);
	}
	return r;
}
