/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the pages of a task into place: calls of its own program. What comes from the disk is
 * asked for all at once (io_submit(2)), so that the disk works while the kernel makes the pages of
 * the next request; what is in the page cache is copied, call by call.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/mem/load.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "proto/memory.pb-c.h"

enum { IOVS = 1024, READ_MAX = 1 << 30, REQUESTS_MAX = 4096 };

struct reader {
	struct program *p;
	int fd;
	bool at_once;		/* collect requests */
	VEC(uint64_t) requests; /* offsets of struct iocb in the program's data */
	struct iovec iov[IOVS];
	size_t n;
	uint64_t offset, bytes;
};

/* What the result must be is kept with the call. */
static void read_now(struct reader *rd, uint64_t iov)
{
	int step = prog_syscall(rd->p, "reading pages", PROG_STOP, SYS_preadv, PN(rd->fd), PD(iov),
				PN(rd->n), PN(rd->offset), PN(0));

	if (!rd->p->broken)
		rd->p->steps.v[step].detail = rd->bytes;
}

static void read_later(struct reader *rd, uint64_t iov)
{
	struct iocb cb = {
		.aio_data = rd->bytes,
		.aio_lio_opcode = IOCB_CMD_PREADV,
		.aio_fildes = (uint32_t)rd->fd,
		.aio_nbytes = rd->n,
		.aio_offset = (int64_t)rd->offset,
	};
	uint64_t at = prog_bytes(rd->p, &cb, sizeof(cb)), *slot = vec_add(&rd->requests);

	if (!slot) {
		rd->p->broken = true;
		return;
	}
	prog_pointer(rd->p, at + offsetof(struct iocb, aio_buf), iov);
	*slot = at;
}

static void flush(struct reader *rd)
{
	uint64_t iov;

	if (!rd->n)
		return;
	iov = prog_bytes(rd->p, rd->iov, rd->n * sizeof(rd->iov[0]));
	if (rd->at_once && rd->requests.n < REQUESTS_MAX)
		read_later(rd, iov);
	else
		read_now(rd, iov);
	rd->n = 0;
	rd->bytes = 0;
}

static void read_range(struct reader *rd, uint64_t addr, uint64_t len, uint64_t offset)
{
	while (len) {
		uint64_t part = len;

		if (rd->n == IOVS || rd->bytes == READ_MAX ||
		    (rd->n && rd->offset + rd->bytes != offset))
			flush(rd);
		if (!rd->n)
			rd->offset = offset;
		if (part > READ_MAX - rd->bytes)
			part = READ_MAX - rd->bytes;
		rd->iov[rd->n++] = (struct iovec){ (void *)addr, part };
		rd->bytes += part;
		addr += part;
		offset += part;
		len -= part;
	}
}

/* The size of a ring is the kernel's choice; 0: there are none to be had. */
static uint64_t ring_length(size_t requests)
{
	uint32_t *ring = NULL;
	uint64_t len;

	if (syscall(SYS_io_setup, requests, &ring) < 0)
		return 0;
	len = 32 + (uint64_t)ring[1] * sizeof(struct io_event);
	syscall(SYS_io_destroy, ring);
	return len;
}

/* One ring, at a place of ours because the later calls must know it, with room for all. */
static void submit(struct restore_task *task, struct reader *rd, uint64_t ring, uint64_t len)
{
	struct program *p = rd->p;
	size_t i, n = rd->requests.n;
	uint64_t pointers = prog_bytes(p, NULL, n * 8);
	uint64_t events = prog_bytes(p, NULL, n * sizeof(struct io_event));
	int step;

	for (i = 0; i < n; i++)
		prog_pointer(p, pointers + i * 8, rd->requests.v[i]);
	step = prog_syscall(p, "making a ring for reads", PROG_STOP, SYS_io_setup, PN(n), PN(0));
	if (p->broken)
		return;
	p->steps.v[step].args[1] = PA(step + 1, 0);
	prog_syscall(p, "moving a ring for reads", PROG_STOP, SYS_mremap, PN(0), PN(len), PN(len),
		     PN(MREMAP_MAYMOVE | MREMAP_FIXED), PN(ring));
	step = prog_syscall(p, "asking for pages", PROG_STOP, SYS_io_submit, PN(ring), PN(n),
			    PD(pointers));
	if (p->broken)
		return;
	p->steps.v[step].detail = n;
	prog_syscall(p, "waiting for pages", PROG_STOP, SYS_io_getevents, PN(ring), PR(step), PN(n),
		     PD(events), PN(0));
	prog_syscall(p, "taking the ring away", PROG_STOP, SYS_io_destroy, PN(ring));
	task->reads = events;
	task->n_reads = n;
}

static int add_runs(struct restore *r, struct restore_task *task, struct reader *rd,
		    struct err *err)
{
	const struct page_run *run;
	size_t i = 0;

	vec_foreach (run, &task->pages->runs) {
		uint64_t at = run->addr, end = run->addr + run->n_pages * IMAGE_PAGE_SIZE;

		while (at < end) {
			const VmaEntry *e;
			uint64_t stop;

			while (i < task->mm->n_vmas && task->mm->vmas[i]->end <= at)
				i++;
			e = i < task->mm->n_vmas ? task->mm->vmas[i] : NULL;
			if (!e || at < e->start ||
			    (e->flags & MAP_SHARED && !(e->status & AREA_AIO_RING)))
				return err_image(err, "pages at 0x%lx lie in no private area",
						 (long)at);
			stop = end < e->end ? end : e->end;
			if (area_is_made(e) && !inherit_has(task, i))
				read_range(rd, at, stop - at, run->offset + (at - run->addr));
			r->pages_restored += (stop - at) / IMAGE_PAGE_SIZE;
			at = stop;
		}
	}
	flush(rd);
	return 0;
}

/* A request and its event for each call that it saves; and what submit() adds. */
uint64_t read_program_bound(const struct restore_task *task)
{
	return task->pages->runs.n * (sizeof(struct iovec) + sizeof(struct arch_step) +
				      sizeof(struct iocb) + sizeof(struct io_event) + 8) +
	       8 * sizeof(struct arch_step);
}

int read_put(struct restore *r, struct restore_task *task, uint64_t ring_place, uint64_t ring_room,
	     struct program *p, struct err *err)
{
	cleanup_free struct reader *rd = calloc(1, sizeof(*rd));
	uint64_t len;
	int n;

	if (!rd)
		return err_nomem(err);
	rd->p = p;
	rd->fd = task->pages->bulk_fd;
	len = rd->fd != task->pages->fd ? ring_length(REQUESTS_MAX) : 0;
	rd->at_once = len && len <= ring_room;
	n = add_runs(r, task, rd, err);
	if (n == 0 && rd->requests.n) {
		len = ring_length(rd->requests.n);
		if (len)
			submit(task, rd, ring_place, len);
		else
			n = err_sys(err, -EAGAIN, "making a ring for reads");
	}
	vec_free(&rd->requests);
	return n;
}

int read_check_result(struct restore *r, const struct restore_task *task, struct err *err)
{
	const struct io_event *ev = task->n_reads ? prog_out(&task->prog_mm, task->reads) : NULL;
	const char *name = restore_task_name(r, task);
	const struct prog_step *s;
	size_t i;

	vec_foreach (s, &task->prog_mm.steps)
		if ((s->nr == SYS_preadv || s->nr == SYS_pread64 || s->nr == SYS_io_submit) &&
		    s->result != (int64_t)s->detail)
			return err_image(err, "%s: %s: only %ld of %lu could be had", name, s->what,
					 (long)s->result, (long)s->detail);
	for (i = 0; i < task->n_reads; i++) {
		if (ev[i].res < 0)
			return err_sys(err, (int)ev[i].res, "%s: reading pages", name);
		if ((uint64_t)ev[i].res != ev[i].data)
			return err_image(err,
					 "%s: only %ld of %lu bytes of its pages could be read",
					 name, (long)ev[i].res, (long)ev[i].data);
	}
	return 0;
}
