/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rings of kernel asynchronous I/O (io_setup(2)). A ring is memory that the kernel shares with the
 * task: a header, and the events of requests that are done. Its number for the kernel is its
 * address, which follows it when it is moved.
 *
 * The kernel counts in a place of its own where the next event goes. So a restore makes that many
 * requests, writes to /dev/null, which are done at once, and fetches those that the task had
 * fetched. Then the events are overwritten with the stored ones.
 *
 * Requests that are not done yet show nowhere: they are not kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/mem/areas.h"
#include "engine/mem/load.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "proto/memory.pb-c.h"

/* fs/aio.c; libaio relies on it too. */
struct ring_header {
	uint32_t id; /* the kernel's own */
	uint32_t nr;
	uint32_t head; /* next event to be fetched */
	uint32_t tail; /* next event to be made */
	uint32_t magic, compat_features, incompat_features, header_length;
};

enum { RING_MAGIC = 0xa10a10a1, EVENTS_AT_ONCE = 128 };

static bool is_sane(const struct ring_header *h, uint64_t len)
{
	return h->magic == (uint32_t)RING_MAGIC && h->incompat_features == 0 &&
	       h->header_length == sizeof(*h) &&
	       h->nr == (len - sizeof(*h)) / sizeof(struct io_event) && h->head < h->nr &&
	       h->tail < h->nr;
}

/* ---- dump ---- */

int aio_collect(struct dump *d, struct dump_task *task, const struct proc_vma *vma, VmaEntry *e,
		struct err *err)
{
	struct ring_header h;
	int r;

	/* the format has neither a type of its pages nor a file for it */
	e->flags = vma->shared ? MAP_SHARED : MAP_PRIVATE;
	r = tracee_read(task->tid, vma->start, &h, sizeof(h));
	if (r < 0)
		return err_sys(err, r, "reading the header of an AIO ring");
	if (!is_sane(&h, vma->end - vma->start))
		dump_refuse(d, task,
			    "area 0x%lx-0x%lx: the AIO ring has a header that no kernel "
			    "has written",
			    (long)vma->start, (long)vma->end);
	return 0;
}

int aio_write(struct dump *d, const struct dump_task *task, MmEntry *mm)
{
	const struct proc_vma *vma;
	const char *why;
	size_t n = 0;

	vec_foreach (vma, &task->vmas)
		n += area_classify(vma, &why) == AREA_KIND_AIO;
	if (!n)
		return 0;
	mm->aios = arena_alloc(&d->arena, n * sizeof(*mm->aios));
	if (!mm->aios)
		return -ENOMEM;
	vec_foreach (vma, &task->vmas) {
		uint64_t len = vma->end - vma->start;
		AioRingEntry *e;

		if (area_classify(vma, &why) != AREA_KIND_AIO)
			continue;
		e = arena_alloc(&d->arena, sizeof(*e));
		if (!e)
			return -ENOMEM;
		aio_ring_entry__init(e);
		e->id = vma->start;
		e->ring_len = (uint32_t)len;
		/* io_setup() doubles it, adds two, and fills the last page */
		e->nr_req =
			(uint32_t)((len - sizeof(struct ring_header)) / sizeof(struct io_event) -
				   2) /
			2;
		mm->aios[mm->n_aios++] = e;
	}
	return 0;
}

/* ---- restore ---- */

static const VmaEntry *area_of(const MmEntry *mm, const AioRingEntry *ring)
{
	size_t i;

	for (i = 0; i < mm->n_vmas; i++)
		if (mm->vmas[i]->status & AREA_AIO_RING && mm->vmas[i]->start == ring->id)
			return mm->vmas[i];
	return NULL;
}

static int need_null(struct restore *r, struct err *err)
{
	int fd;

	if (r->null_fd)
		return 0;
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "opening '/dev/null'");
	r->null_fd = restore_keep_fd(r, fd, err);
	return r->null_fd < 0 ? r->null_fd : 0;
}

int aio_load(struct restore *r, const struct restore_task *task, struct err *err)
{
	const MmEntry *mm = task->mm;
	size_t i, areas = 0;

	for (i = 0; i < mm->n_vmas; i++)
		areas += (mm->vmas[i]->status & AREA_AIO_RING) != 0;
	if (areas != mm->n_aios)
		return err_image(err, "%zu areas of AIO rings and %zu rings", areas, mm->n_aios);
	for (i = 0; i < mm->n_aios; i++) {
		const AioRingEntry *ring = mm->aios[i];
		const VmaEntry *e = area_of(mm, ring);

		if (!e || e->end - e->start != ring->ring_len || ring->ring_len > 64u << 20 ||
		    !ring->nr_req)
			return err_image(err,
					 "AIO ring 0x%lx of %u bytes for %u requests is not "
					 "an area",
					 (long)ring->id, ring->ring_len, ring->nr_req);
	}
	return mm->n_aios ? need_null(r, err) : 0;
}

/* Calls and operands of one ring: every event costs less than one call. */
uint64_t aio_program_bound(const MmEntry *mm)
{
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < mm->n_aios; i++)
		bytes += (mm->aios[i]->ring_len / sizeof(struct io_event) * 4 / EVENTS_AT_ONCE +
			  64) * sizeof(struct arch_step) +
			 EVENTS_AT_ONCE * (sizeof(struct io_event) + 8) + 512;
	return bytes;
}

static int read_header(const struct restore_task *task, const AioRingEntry *ring,
		       struct ring_header *ret, struct err *err)
{
	const struct page_run *run;

	vec_foreach (run, &task->pages->runs) {
		uint64_t in = ring->id - run->addr;

		if (ring->id < run->addr || in >= run->n_pages * IMAGE_PAGE_SIZE)
			continue;
		if (pread(task->pages->fd, ret, sizeof(*ret), (off_t)(run->offset + in)) !=
		    sizeof(*ret))
			return err_sys(err, -EIO, "reading the header of AIO ring 0x%lx",
				       (long)ring->id);
		if (!is_sane(ret, ring->ring_len))
			break;
		return 0;
	}
	return err_image(err, "AIO ring 0x%lx has no valid header in its pages", (long)ring->id);
}

/* What the requests of one ring have in common, as offsets in the program's data. */
struct requests {
	const AioRingEntry *ring;
	uint64_t pointers, events, no_time;
	uint32_t at_once;
};

static void prepare(const struct restore *r, struct program *p, const struct ring_header *h,
		    struct requests *rq)
{
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_PWRITE,
		.aio_fildes = (uint32_t)r->null_fd,
		.aio_nbytes = 1,
	};
	struct timespec none = { 0, 0 };
	uint64_t at, byte = prog_bytes(p, "", 1);
	uint32_t i;

	/* half of the ring can be asked for at any time; the other half may wait on other CPUs */
	rq->at_once = h->nr / 4 < EVENTS_AT_ONCE ? h->nr / 4 : EVENTS_AT_ONCE;
	if (!rq->at_once)
		rq->at_once = 1;
	at = prog_bytes(p, &cb, sizeof(cb));
	prog_pointer(p, at + offsetof(struct iocb, aio_buf), byte);
	rq->pointers = prog_bytes(p, NULL, rq->at_once * 8);
	for (i = 0; i < rq->at_once; i++)
		prog_pointer(p, rq->pointers + i * 8, at);
	rq->events = prog_bytes(p, NULL, rq->at_once * sizeof(struct io_event));
	rq->no_time = prog_bytes(p, &none, sizeof(none));
}

static void make_events(struct program *p, const struct requests *rq, uint32_t count, bool fetch)
{
	int step;

	while (count) {
		uint32_t n = count < rq->at_once ? count : rq->at_once;

		step = prog_syscall(p, "filling an AIO ring", PROG_STOP, SYS_io_submit,
				    PN(rq->ring->id), PN(n), PD(rq->pointers));
		if (!p->broken)
			p->steps.v[step].detail = n;
		if (fetch)
			prog_syscall(p, "fetching from an AIO ring", PROG_STOP, SYS_io_getevents,
				     PN(rq->ring->id), PN(0), PN(n), PD(rq->events),
				     PD(rq->no_time));
		count -= n;
	}
}

/* All but the header, whose first word is the kernel's; head and tail are right by now. */
static void put_stored(const struct restore_task *task, const AioRingEntry *ring, struct program *p)
{
	uint64_t from = ring->id + sizeof(struct ring_header), end = ring->id + ring->ring_len;
	const struct page_run *run;

	vec_foreach (run, &task->pages->runs) {
		uint64_t a = run->addr, b = run->addr + run->n_pages * IMAGE_PAGE_SIZE;
		int step;

		a = a > from ? a : from;
		b = b < end ? b : end;
		if (a >= b)
			continue;
		step = prog_syscall(p, "reading the events of an AIO ring", PROG_STOP, SYS_pread64,
				    PN(task->pages->fd), PN(a), PN(b - a),
				    PN(run->offset + (a - run->addr)));
		if (!p->broken)
			p->steps.v[step].detail = b - a;
	}
}

static int put_ring(const struct restore *r, const struct restore_task *task,
		    const AioRingEntry *ring, struct program *p, struct err *err)
{
	struct requests rq = { .ring = ring };
	struct ring_header h;
	int step, n = read_header(task, ring, &h, err);

	if (n < 0)
		return n;
	/* the place is taken first, so that the kernel makes the ring somewhere else */
	prog_syscall(p, "reserving the place of an AIO ring", PROG_STOP, SYS_mmap, PN(ring->id),
		     PN(ring->ring_len), PN(PROT_NONE),
		     PN(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE), PN(-1), PN(0));
	step = prog_syscall(p, "making an AIO ring", PROG_STOP, SYS_io_setup, PN(ring->nr_req),
			    PN(0));
	if (p->broken)
		return err_nomem(err);
	/* its address goes straight into the next call */
	p->steps.v[step].args[1] = PA(step + 1, 0);
	step = prog_syscall(p, "moving an AIO ring to its place", PROG_STOP, SYS_mremap, PN(0),
			    PN(ring->ring_len), PN(ring->ring_len),
			    PN(MREMAP_MAYMOVE | MREMAP_FIXED), PN(ring->id));
	if (!p->broken)
		p->steps.v[step].detail = ring->id;
	prepare(r, p, &h, &rq);
	make_events(p, &rq, h.head, true);
	make_events(p, &rq, (h.tail + h.nr - h.head) % h.nr, false);
	put_stored(task, ring, p);
	return 0;
}

int aio_put(const struct restore *r, const struct restore_task *task, struct program *p,
	    struct err *err)
{
	size_t i;

	for (i = 0; i < task->mm->n_aios; i++) {
		int n = put_ring(r, task, task->mm->aios[i], p, err);

		if (n < 0)
			return n;
	}
	return 0;
}
