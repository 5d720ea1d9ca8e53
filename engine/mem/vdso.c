/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vDSO of a restored task. Its functions are called at addresses that the task has kept, and
 * they read data that only the running kernel's own vDSO understands. Where the stored one has its
 * functions at the same offsets, the kernel's is moved to its place. Otherwise the stored one stays
 * as an ordinary area, the kernel's is put aside, and each function of the stored one begins with a
 * jump to the same of the kernel's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/mem/load.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "engine/mem/vdso-elf.h"
#include "proto/core.pb-c.h"
#include "proto/memory.pb-c.h"

/* Room for one part each: vvar, vvar_vclock, vdso, and what later kernels add. */
enum { PARTS_MAX = 6 };

struct vdso_part {
	uint64_t start, len;
};

/* Our own vDSO with its data, which every builder has at the same addresses. */
struct own_vdso {
	struct vdso_part parts[PARTS_MAX];
	size_t n;
	uint64_t base, span; /* from the first part to the end of the last */
	uint64_t text, text_len;
};

/* A vDSO that stays, while the kernel's is aside. */
struct restore_vdso {
	struct own_vdso own;
	uint64_t aside; /* where own.base goes */
	uint64_t stored, stored_vvar;
	size_t n_jumps;
	struct vdso_jump *jumps; /* offsets in the two texts */
};

static int find_own(const struct restore *r, struct own_vdso *ret, struct err *err)
{
	const struct proc_vma *v;
	const struct vdso_part *last;

	*ret = (struct own_vdso){ 0 };
	vec_foreach (v, r->own_vmas) {
		bool text = strcmp(v->path, "[vdso]") == 0;

		if ((!text && strncmp(v->path, "[vvar", 5) != 0) || ret->n == PARTS_MAX)
			continue;
		if (text) {
			ret->text = v->start;
			ret->text_len = v->end - v->start;
		}
		ret->parts[ret->n++] = (struct vdso_part){ v->start, v->end - v->start };
	}
	if (!ret->text)
		return err_refuse(err, "this kernel runs without a vDSO");
	last = &ret->parts[ret->n - 1];
	ret->base = ret->parts[0].start;
	ret->span = last->start + last->len - ret->base;
	if (ret->span > SCRATCH_RESERVE / 2)
		return err_refuse(err, "the vDSO of this kernel is too large");
	return 0;
}

/* ---- the calls ---- */

/* The kernel refuses overlaps, so it goes by way of a free room behind the scratch data. */
static uint64_t waiting_room(const struct restore *r)
{
	return r->scratch_addr + IMAGE_PAGE_SIZE + r->scratch_len;
}

static void move_parts(struct program *p, const struct own_vdso *own, uint64_t from, uint64_t to)
{
	size_t i;

	for (i = 0; i < own->n; i++) {
		uint64_t at = own->parts[i].start - own->base, len = own->parts[i].len;

		prog_syscall(p, "moving the vDSO", PROG_STOP, SYS_mremap, PN(from + at), PN(len),
			     PN(len), PN(MREMAP_MAYMOVE | MREMAP_FIXED), PN(to + at));
	}
}

static int by_address(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* All but the scratch region, up to its end, and what the builder has made for the task already. */
static int unmap_all(const struct restore *r, const struct restore_task *task, uint64_t end,
		     struct program *p)
{
	struct ranges keep = { 0 };
	struct range *slot = vec_add(&keep);
	uint64_t at = 0;
	size_t i;

	if (slot)
		*slot = (struct range){ r->scratch_addr, end };
	for (i = 0; slot && i < task->mm->n_vmas; i++) {
		const VmaEntry *e = task->mm->vmas[i];
		uint64_t start = inherit_at(r, e->start);

		if (!inherit_has(task, i))
			continue;
		slot = vec_add(&keep);
		if (slot)
			*slot = (struct range){ start, start + (e->end - e->start) };
	}
	qsort(keep.v, keep.n, sizeof(*keep.v), by_address);
	for (i = 0; i < keep.n; i++) {
		if (keep.v[i].start > at)
			prog_syscall(p, "unmapping all", PROG_STOP, SYS_munmap, PN(at),
				     PN(keep.v[i].start - at));
		at = keep.v[i].end;
	}
	prog_syscall(p, "unmapping all", PROG_STOP, SYS_munmap, PN(at), PN(arch_task_size() - at));
	vec_free(&keep);
	return slot ? 0 : -ENOMEM;
}

/* ---- the stored one ---- */

static VmaEntry *area_with(const MmEntry *mm, uint32_t status)
{
	size_t i;

	for (i = 0; i < mm->n_vmas; i++)
		if (mm->vmas[i]->status & status)
			return mm->vmas[i];
	return NULL;
}

static int read_stored(const struct restore_task *task, const VmaEntry *e, uint8_t *text,
		       struct err *err)
{
	const struct page_run *run;
	uint64_t seen = 0;

	vec_foreach (run, &task->pages->runs) {
		uint64_t end = run->addr + run->n_pages * IMAGE_PAGE_SIZE,
			 from = run->addr > e->start ? run->addr : e->start,
			 to = end < e->end ? end : e->end;
		int n;

		if (from >= to)
			continue;
		n = io_pread_all(task->pages->fd, text + (from - e->start), to - from,
				 (off_t)(run->offset + (from - run->addr)));
		if (n < 0)
			return err_sys(err, n, "reading the stored vDSO");
		seen += to - from;
	}
	if (seen != e->end - e->start)
		return err_image(err, "image 'pagemap-%d.img': pages of the vDSO are missing",
				 task->ns_pid);
	return 0;
}

static bool is_free(const MmEntry *mm, uint64_t start, uint64_t end)
{
	size_t i;

	for (i = 0; i < mm->n_vmas; i++)
		if (mm->vmas[i]->start < end && mm->vmas[i]->end > start)
			return false;
	return true;
}

/* Whether the kernel's, with its data, can be where the stored ones are. */
static bool is_same_layout(const MmEntry *mm, const VmaEntry *vdso, const VmaEntry *vvar,
			   const struct own_vdso *own)
{
	uint64_t to = vdso->start - (own->text - own->base);

	if (vdso->end - vdso->start != own->text_len || to > vdso->start)
		return false;
	if (!vvar) {
		if (own->text > own->base && !is_free(mm, to, vdso->start))
			return false;
		return own->base + own->span == own->text + own->text_len ||
		       is_free(mm, vdso->end, to + own->span);
	}
	return vvar->start == to && vvar->end == vdso->start && own->text > own->base &&
	       own->span == vdso->end - to;
}

/*
 * In the middle of a function a thread cannot go on if it is another's text. At its start it can:
 * there is the same function, or the jump to it.
 */
static int check_threads(const struct restore_task *task, const VmaEntry *vdso,
			 const struct vdso_jumps *jumps, struct err *err)
{
	cleanup_free struct arch_context *ctx = arch_context_new();
	struct restore_thread *const *th;

	if (!ctx)
		return err_nomem(err);
	vec_foreach (th, &task->threads) {
		const struct vdso_jump *j;
		uint64_t ip, ignored;
		bool starts = false;
		int n;

		arch_context_template(ctx);
		n = arch_core_load((*th)->core, ctx, &ignored, err);
		if (n < 0)
			return n;
		ip = arch_context_ip(ctx);
		if (ip < vdso->start || ip >= vdso->end)
			continue;
		vec_foreach (j, jumps)
			starts |= ip - vdso->start == j->from;
		if (!starts)
			return err_refuse(err,
					  "the vDSO of the image is of another kernel build, and "
					  "thread %d was inside a function of it",
					  (*th)->ns_tid);
	}
	return 0;
}

static int check_all_threads(const struct restore *r, const struct restore_task *task,
			     const VmaEntry *vdso, const struct vdso_jumps *jumps, struct err *err)
{
	struct restore_task *const *t;
	int n = 0;

	vec_foreach (t, &r->tasks)
		if (n == 0 && !(*t)->dead && (*t)->memory_of == task)
			n = check_threads(*t, vdso, jumps, err);
	return n;
}

/* ---- where the kernel's goes ---- */

static bool is_clear(const struct restore *r, const MmEntry *mm, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;

	if (start < 1 << 20 || start % IMAGE_PAGE_SIZE || end < start || end > arch_task_size())
		return false;
	return is_free(mm, start, end) &&
	       (end <= r->scratch_addr || start >= waiting_room(r) + SCRATCH_RESERVE);
}

/*
 * Where it was, if it was aside already: a signal handler may have interrupted one of its
 * functions. Else the lowest place that leaves stacks and the heap room to grow.
 */
static uint64_t choose_place(const struct restore *r, const MmEntry *mm, const struct own_vdso *own)
{
	const uint64_t step = 2 << 20, above = 1 << 20;
	uint64_t at = mm->vdso_aside - (own->text - own->base);
	size_t i;

	if (mm->has_vdso_aside && is_clear(r, mm, at, own->span))
		return at;
	for (i = 0; i <= mm->n_vmas; i++) {
		/* behind an area; the first candidate is behind nothing */
		at = i ? mm->vmas[i - 1]->end : 0;
		if (i && (mm->vmas[i - 1]->status & (AREA_HEAP | AREA_GUARD | AREA_VSYSCALL) ||
			  (mm->mm_brk >= mm->vmas[i - 1]->start && mm->mm_brk <= at)))
			continue;
		at = (at + step) & ~(step - 1);
		if (is_clear(r, mm, at, own->span + above))
			return at;
	}
	return 0;
}

/* ---- what becomes of it ---- */

/* From now on an area as any other, with the stored pages in it, and one of zeros for its data. */
static void keep_areas(VmaEntry *vdso, VmaEntry *vvar)
{
	vdso->status &= ~(uint32_t)AREA_VDSO;
	if (vvar)
		vvar->status &= ~(uint32_t)AREA_VVAR;
}

static int keep_stored(struct restore *r, struct restore_task *task, const struct own_vdso *own,
		       const struct vdso_jumps *jumps, struct err *err)
{
	VmaEntry *vdso = area_with(task->mm, AREA_VDSO), *vvar = area_with(task->mm, AREA_VVAR);
	struct restore_vdso *v = arena_alloc(&r->arena, sizeof(*v));

	if (!v)
		return err_nomem(err);
	v->own = *own;
	v->stored = vdso->start;
	v->stored_vvar = vvar ? vvar->start : VDSO_MARK_NONE;
	v->n_jumps = jumps->n;
	v->jumps = arena_dup(&r->arena, jumps->v, jumps->n * sizeof(*jumps->v));
	v->aside = choose_place(r, task->mm, own);
	if (!v->jumps)
		return err_nomem(err);
	if (!v->aside)
		return err_new(err, ERR_ENVIRONMENT, -ENOMEM,
			       "no room for the vDSO of this kernel");
	keep_areas(vdso, vvar);
	task->vdso = v;
	return 0;
}

static int refuse_function(const char *name, const char *why, struct err *err)
{
	return err_refuse(err,
			  "the vDSO of the image is of another kernel build, and its function "
			  "'%.64s' %s",
			  name, why);
}

/* Fills task->vdso if the stored one must stay. text: what is stored. */
static int compare(struct restore *r, struct restore_task *task, const struct own_vdso *own,
		   const uint8_t *text, struct err *err)
{
	const VmaEntry *vdso = area_with(task->mm, AREA_VDSO),
		       *vvar = area_with(task->mm, AREA_VVAR);
	bool same = is_same_layout(task->mm, vdso, vvar, own);
	struct vdso_functions old = { 0 }, now = { 0 };
	struct vdso_jumps jumps = { 0 };
	const char *name = "";
	int n;

	if (same && memcmp(text, (void *)own->text, own->text_len) == 0)
		return 0;
	n = vdso_functions_read(text, vdso->end - vdso->start, &old);
	if (n == -EINVAL)
		err_image(err, "the stored vDSO has no valid table of its functions");
	if (n == 0)
		n = vdso_functions_read((void *)own->text, own->text_len, &now);
	if (n == 0)
		n = vdso_jumps_plan(&old, &now, &jumps, &name);
	if (n == VDSO_LACKS)
		n = refuse_function(name, "is not in that of this kernel", err);
	same &= n == 0 && vdso_jumps_stay(&jumps);
	if (n == 0 && !same && (name = vdso_too_short(&old, ARCH_JUMP)))
		n = refuse_function(name, "is too short for a jump", err);
	if (n == 0)
		n = check_all_threads(r, task, vdso, &jumps, err);
	if (n == 0 && !same)
		n = keep_stored(r, task, own, &jumps, err);
	if (n < 0 && err->class == ERR_NONE)
		err_sys(err, n, "reading the functions of the vDSO");
	vec_free(&old);
	vec_free(&now);
	vec_free(&jumps);
	return n;
}

static int decide(struct restore *r, struct restore_task *task, const struct own_vdso *own,
		  struct err *err)
{
	const VmaEntry *vdso = area_with(task->mm, AREA_VDSO);
	uint64_t len = vdso->end - vdso->start;
	cleanup_free uint8_t *text = NULL;
	int n;

	if (len > SCRATCH_RESERVE / 2 || vdso->status & (AREA_FILE_PRIVATE | AREA_FILE_SHARED))
		return err_image(err, "image 'mm-%d.img': area 0x%lx-0x%lx is no vDSO",
				 task->ns_pid, (long)vdso->start, (long)vdso->end);
	text = malloc(len);
	if (!text)
		return err_nomem(err);
	n = read_stored(task, vdso, text, err);
	return n == 0 ? compare(r, task, own, text, err) : n;
}

int vdso_put(struct restore *r, struct restore_task *task, struct program *p, struct err *err)
{
	const VmaEntry *vdso = area_with(task->mm, AREA_VDSO);
	uint64_t room = waiting_room(r), top = room + SCRATCH_RESERVE - 2 * IMAGE_PAGE_SIZE;
	struct own_vdso own;
	int n = find_own(r, &own, err);

	if (n == 0 && vdso)
		n = decide(r, task, &own, err);
	if (n < 0)
		return n;
	move_parts(p, &own, own.base, room);
	/* a task that has none loses it here */
	if (unmap_all(r, task, vdso ? top : room, p) < 0)
		return err_nomem(err);
	if (vdso && !task->vdso)
		move_parts(p, &own, room, vdso->start - (own.text - own.base));
	return 0;
}

void vdso_put_aside(const struct restore *r, const struct restore_task *task, struct program *p)
{
	const struct restore_vdso *v = task->vdso;

	if (!v)
		return;
	move_parts(p, &v->own, waiting_room(r), v->aside);
	prog_syscall(p, "making the vDSO writable", PROG_STOP, SYS_mprotect,
		     PN(v->aside + (v->own.text - v->own.base)), PN(v->own.text_len),
		     PN(PROT_READ | PROT_WRITE));
}

void vdso_protect(const struct restore_task *task, struct program *p)
{
	const struct restore_vdso *v = task->vdso;

	if (v)
		prog_syscall(p, "protecting the vDSO", PROG_STOP, SYS_mprotect,
			     PN(v->aside + (v->own.text - v->own.base)), PN(v->own.text_len),
			     PN(PROT_READ | PROT_EXEC));
}

int vdso_redirect(const struct restore *r, const struct restore_task *task, struct err *err)
{
	const struct restore_vdso *v = task->vdso;
	uint64_t text = v->aside + (v->own.text - v->own.base);
	struct vdso_mark mark = {
		.signature = VDSO_MARK_SIGNATURE,
		.vdso = v->stored,
		.version = VDSO_MARK_VERSION,
		.vvar = v->stored_vvar,
		.own_vvar = v->own.text > v->own.base ? v->aside : VDSO_MARK_NONE,
	};
	size_t i;
	int n = tracee_write(task->pid, text, &mark, sizeof(mark));

	for (i = 0; n == 0 && i < v->n_jumps; i++) {
		uint8_t jump[ARCH_JUMP];

		arch_jump_build(text + v->jumps[i].to, jump);
		n = tracee_write(task->pid, v->stored + v->jumps[i].from, jump, sizeof(jump));
	}
	return n < 0 ? err_sys(err, n, "redirecting the vDSO of task %d", task->ns_pid) : 0;
}
