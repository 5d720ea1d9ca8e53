/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Seccomp: modes and chains of filters. The image holds each filter once; a thread names its
 * newest, and each filter names the one that was installed before it. Threads with equal chains are
 * restored with one chain in common, so that filters can still be given from one to all of them
 * (SECCOMP_FILTER_FLAG_TSYNC). If all threads of a task have equal ones, the image has the chain of
 * the leader only, with that flag: CRIU does the same, and would give each a chain of its own else.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "engine/base/cleanup.h"
#include "engine/task/attr.h"
#include "proto/core.pb-c.h"
#include "proto/security.pb-c.h"

#ifndef PTRACE_SECCOMP_GET_METADATA
#define PTRACE_SECCOMP_GET_METADATA 0x420d
#endif

enum { FILTERS_MAX = 1024 };

struct metadata {
	uint64_t filter_off, flags;
};

struct dump_seccomp {
	VEC(SeccompFilter *) filters;
};

/* Index of an equal filter with the same predecessor, added if there is none. */
static int intern(struct dump *d, const struct sock_filter *code, size_t n, uint32_t flags,
		  int prev)
{
	struct dump_seccomp *s = d->seccomp;
	size_t len = n * sizeof(*code), i;
	SeccompFilter *f, **slot;

	for (i = 0; i < s->filters.n; i++) {
		f = s->filters.v[i];
		if (f->filter.len == len && memcmp(f->filter.data, code, len) == 0 &&
		    f->flags == flags &&
		    (prev < 0 ? !f->has_prev : f->has_prev && (int)f->prev == prev))
			return (int)i;
	}
	f = arena_alloc(&d->arena, sizeof(*f));
	slot = vec_add(&s->filters);
	if (!f || !slot)
		return -ENOMEM;
	seccomp_filter__init(f);
	f->filter.data = arena_dup(&d->arena, code, len);
	f->filter.len = len;
	f->has_flags = true;
	f->flags = flags;
	f->has_prev = prev >= 0;
	f->prev = prev >= 0 ? (uint32_t)prev : 0;
	*slot = f;
	return f->filter.data ? (int)s->filters.n - 1 : -ENOMEM;
}

static int count_filters(pid_t tid)
{
	int n = 0;

	while (n < FILTERS_MAX &&
	       ptrace(PTRACE_SECCOMP_GET_FILTER, tid, (void *)(long)n, NULL) >= 0)
		n++;
	return n == 0 ? -errno : n;
}

/* ptrace numbers them from the newest; the chain is built from the oldest. */
static int capture_chain(struct dump *d, struct dump_thread *th, uint32_t flags, uint32_t *ret_last,
			 struct err *err)
{
	int n = count_filters(th->t.tid), i, last = -1;

	if (n < 0)
		return err_sys(err, n, "reading the seccomp filters of thread %d", th->t.tid);
	for (i = n - 1; i >= 0; i--) {
		struct sock_filter code[BPF_MAXINSNS];
		struct metadata meta = { .filter_off = (uint64_t)i };
		long len = ptrace(PTRACE_SECCOMP_GET_FILTER, th->t.tid, (void *)(long)i, code);

		if (len < 0)
			return err_sys(err, -errno, "reading seccomp filter %d of thread %d", i,
				       th->t.tid);
		if (ptrace(PTRACE_SECCOMP_GET_METADATA, th->t.tid, sizeof(meta), &meta) < 0)
			meta.flags = 0;
		last = intern(d, code, (size_t)len, (uint32_t)meta.flags | flags, last);
		if (last < 0)
			return err_nomem(err);
	}
	*ret_last = (uint32_t)last;
	return 0;
}

/* Whether filter number i of the two threads, or that neither has one, is the same. */
static bool is_same_filter(pid_t a, pid_t b, int i, bool *ret_end)
{
	struct sock_filter x[BPF_MAXINSNS], y[BPF_MAXINSNS];
	struct metadata mx = { .filter_off = (uint64_t)i }, my = mx;
	long n = ptrace(PTRACE_SECCOMP_GET_FILTER, a, (void *)(long)i, x),
	     m = ptrace(PTRACE_SECCOMP_GET_FILTER, b, (void *)(long)i, y);

	*ret_end = n < 0 && m < 0;
	if (n != m || n < 0)
		return *ret_end;
	if (ptrace(PTRACE_SECCOMP_GET_METADATA, a, sizeof(mx), &mx) < 0)
		mx.flags = 0;
	if (ptrace(PTRACE_SECCOMP_GET_METADATA, b, sizeof(my), &my) < 0)
		my.flags = 0;
	return mx.flags == my.flags && memcmp(x, y, (size_t)n * sizeof(*x)) == 0;
}

/*
 * Whether all threads have the leader's chain. The kernel gives no_new_privs along with it, so
 * they must be alike in that as well.
 */
static bool is_uniform(const struct dump_task *task)
{
	const struct dump_thread *leader = task->threads.v[0];
	struct dump_thread *const *th;

	vec_foreach (th, &task->threads) {
		bool end = *th == leader;
		int i;

		if ((*th)->status.seccomp_mode != leader->status.seccomp_mode ||
		    (*th)->status.no_new_privs != leader->status.no_new_privs ||
		    !(*th)->seccomp_suspended)
			return false;
		for (i = 0; !end; i++)
			if (!is_same_filter(leader->t.tid, (*th)->t.tid, i, &end))
				return false;
	}
	/* the flag works on the first thread alone */
	return task->threads.n > 1 && !task->dead_leader;
}

static int capture(struct dump *d, struct dump_thread *th, const struct program *p, CoreEntry *core,
		   struct err *err)
{
	ThreadCoreEntry *c = core->thread_core;
	int mode = th->status.seccomp_mode;

	if (!d->seccomp && !(d->seccomp = arena_alloc(&d->arena, sizeof(*d->seccomp))))
		return err_nomem(err);
	if (mode == SECCOMP_MODE_DISABLED)
		return 0;
	if (!th->seccomp_suspended) {
		err_new(err, ERR_ENVIRONMENT, -EPERM, "its seccomp filters cannot be suspended");
		err_hint(err,
			 "this needs CAP_SYS_ADMIN, and an engine without a filter of its own");
		return -EPERM;
	}
	/* the leader is the first to be captured */
	if (th->leader && mode == SECCOMP_MODE_FILTER)
		th->task->seccomp_uniform = is_uniform(th->task);
	if (!th->leader && th->task->seccomp_uniform)
		return 0;
	/* it is not made by a thread that has the same chain */
	if (th->files_id || th->fs_id)
		dump_refuse(
			d, th->task,
			"thread %d has a table of %s of its own, and seccomp filters that not all "
			"threads have",
			th->t.tid, th->files_id ? "descriptors" : "directories");
	c->has_seccomp_mode = true;
	c->seccomp_mode = (SeccompMode)mode;
	if (mode != SECCOMP_MODE_FILTER)
		return 0;
	c->has_seccomp_filter = true;
	return capture_chain(d, th, th->task->seccomp_uniform ? SECCOMP_FILTER_FLAG_TSYNC : 0,
			     &c->seccomp_filter, err);
}

int seccomp_write(struct dump *d, struct err *err)
{
	SeccompEntry e = SECCOMP_ENTRY__INIT;

	if (d->seccomp) {
		e.n_seccomp_filters = d->seccomp->filters.n;
		e.seccomp_filters = d->seccomp->filters.v;
	}
	if (image_add(image_get(d->images, IMG_SECCOMP, "seccomp.img"), &e.base) < 0)
		return err_nomem(err);
	return 0;
}

void seccomp_done(struct dump *d)
{
	if (d->seccomp)
		vec_free(&d->seccomp->filters);
}

/* ---- restore ---- */

struct restore_seccomp {
	SeccompEntry *entry;
};

int seccomp_load(struct restore *r, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	SeccompEntry *e;
	size_t i;
	int n;

	r->seccomp = arena_alloc(&r->arena, sizeof(*r->seccomp));
	if (!r->seccomp)
		return err_nomem(err);
	n = image_open(r->images_fd, IMG_SECCOMP, &reader, err, "seccomp.img");
	if (n != 0)
		return n == IMAGE_ABSENT ? 0 : n;
	n = image_one(reader, &seccomp_entry__descriptor, &e, err);
	if (n < 0)
		return n;
	if (restore_keep(r, e) < 0)
		return err_nomem(err);
	for (i = 0; i < e->n_seccomp_filters; i++) {
		const SeccompFilter *f = e->seccomp_filters[i];

		if (!f->filter.len || f->filter.len % sizeof(struct sock_filter) ||
		    f->filter.len / sizeof(struct sock_filter) > BPF_MAXINSNS)
			return err_image(err, "image 'seccomp.img': filter %zu has %zu bytes", i,
					 f->filter.len);
		/* a chain leads to smaller indexes only, so it ends */
		if (f->has_prev && f->prev >= i)
			return err_image(err,
					 "image 'seccomp.img': filter %zu comes after filter %u", i,
					 f->prev);
	}
	r->seccomp->entry = e;
	return 0;
}

static int check(struct restore *r, struct restore_thread *th, struct err *err)
{
	const ThreadCoreEntry *c = th->core->thread_core;
	size_t n = r->seccomp->entry ? r->seccomp->entry->n_seccomp_filters : 0;

	if (!c->has_seccomp_mode || c->seccomp_mode != SECCOMP_MODE__filter)
		return 0;
	if (!c->has_seccomp_filter || c->seccomp_filter >= n)
		return err_image(err, "thread %d: seccomp filter %u is not in 'seccomp.img'",
				 th->ns_tid, c->seccomp_filter);
	return 0;
}

static void put_filter(const SeccompFilter *f, struct program *p)
{
	/* struct sock_fprog: the number of instructions, and at 8 their address in the task */
	uint64_t code = prog_bytes(p, f->filter.data, f->filter.len);
	uint64_t prog = prog_bytes(p, NULL, 16);
	uint16_t len = (uint16_t)(f->filter.len / sizeof(struct sock_filter));

	if (p->broken)
		return;
	memcpy(p->data.v + prog, &len, sizeof(len));
	prog_pointer(p, prog + 8, code);
	prog_syscall(p, "installing a seccomp filter", PROG_STOP, SYS_seccomp,
		     PN(SECCOMP_SET_MODE_FILTER), PN(f->has_flags ? f->flags : 0), PD(prog));
}

static bool is_filtered(const struct restore_thread *th)
{
	const ThreadCoreEntry *c = th->core->thread_core;

	return c->has_seccomp_mode && c->seccomp_mode == SECCOMP_MODE__filter;
}

/* The chain of a thread from its oldest filter on, as indexes. Gives their number. */
static size_t chain_of(const struct restore *r, const struct restore_thread *th,
		       uint32_t chain[FILTERS_MAX])
{
	size_t n = 0, i;
	uint32_t at;

	if (!is_filtered(th))
		return 0;
	for (at = th->core->thread_core->seccomp_filter; n < FILTERS_MAX;) {
		const SeccompFilter *f = r->seccomp->entry->seccomp_filters[at];

		chain[n++] = at;
		if (!f->has_prev)
			break;
		at = f->prev;
	}
	for (i = 0; i < n / 2; i++) {
		at = chain[i];
		chain[i] = chain[n - 1 - i];
		chain[n - 1 - i] = at;
	}
	return n;
}

size_t seccomp_depth(const struct restore *r, const struct restore_thread *th)
{
	uint32_t chain[FILTERS_MAX];

	return chain_of(r, th, chain);
}

size_t seccomp_common(const struct restore *r, const struct restore_thread *a,
		      const struct restore_thread *b)
{
	uint32_t x[FILTERS_MAX], y[FILTERS_MAX];
	size_t n = chain_of(r, a, x), m = chain_of(r, b, y), i;

	for (i = 0; i < n && i < m && x[i] == y[i]; i++)
		;
	return i;
}

void seccomp_put(struct restore *r, struct restore_thread *th, size_t depth, struct program *p)
{
	uint32_t chain[FILTERS_MAX];
	size_t n = chain_of(r, th, chain);

	for (; th->n_filters < depth && th->n_filters < n; th->n_filters++)
		put_filter(r->seccomp->entry->seccomp_filters[chain[th->n_filters]], p);
}

static void put(struct restore *r, struct restore_thread *th, struct program *p)
{
	const ThreadCoreEntry *c = th->core->thread_core;

	if (is_filtered(th))
		seccomp_put(r, th, FILTERS_MAX, p);
	else if (c->has_seccomp_mode && c->seccomp_mode == SECCOMP_MODE__strict)
		prog_syscall(p, "entering strict seccomp mode", PROG_STOP, SYS_prctl,
			     PN(PR_SET_SECCOMP), PN(SECCOMP_MODE_STRICT));
}

const struct task_attr attr_seccomp = {
	.name = "seccomp", .per_thread = true, .capture = capture, .check = check, .put = put
};
