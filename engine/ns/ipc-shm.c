// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * System V shared memory segments. The contents are copied from the kernel's file behind a segment,
 * so that holes stay holes: an attached segment can be opened through map_files of who attached it,
 * here the visitor in the namespace.
 */
#include "engine/ns/ipc-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/mem/load.h"
#include "engine/mem/mem.h"
#include "proto/ipc.pb-c.h"

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

/* Bits of shm_perm.mode that the C library keeps to itself. */
enum { MODE_DEST = 01000, MODE_LOCKED = 02000 };

/* Where the flags of shmget(2) have the logarithm of the size of huge pages. */
enum { HUGE_SHIFT = 26, HUGE_MASK = 0x3f };

struct ipc_segment {
	struct ipc_desc desc;
	uint64_t size, room; /* room: in whole pages */
	uint32_t huge;	     /* SHM_HUGETLB and the size of pages */
	struct page_map pages;
	const void *raw; /* old images: the contents instead */
	struct ipc_segment *next;
};

/* What the visitor reports. */
struct seen_segment {
	struct ipc_desc desc;
	uint64_t size, addr; /* where it is attached */
};

static int look_one(int id, const struct shmid_ds *ds, struct buf *ret, struct err *err)
{
	struct seen_segment seen = { .size = ds->shm_segsz };
	void *at = shmat(id, NULL, SHM_RDONLY);

	if (at == (void *)-1)
		return err_sys(err, -errno, "attaching segment %d", id);
	seen.addr = (uint64_t)at;
	ipc_desc_from_perm(id, &ds->shm_perm, &seen.desc);
	return buf_append(ret, &seen, sizeof(seen)) < 0 ? err_nomem(err) : 0;
}

int ipc_shm_look(struct buf *ret, struct err *err)
{
	struct shm_info info;
	int max = shmctl(0, SHM_INFO, (struct shmid_ds *)&info), r = 0;

	if (max < 0)
		return err_sys(err, -errno, "listing shared memory segments");
	for (int i = 0; i <= max && info.used_ids && r == 0; i++) {
		struct shmid_ds ds;
		int id = shmctl(i, SHM_STAT, &ds);

		if (id >= 0)
			r = look_one(id, &ds, ret, err);
		else if (errno != EINVAL && errno != EIDRM)
			r = err_sys(err, -errno, "reading segment number %d", i);
	}
	return r;
}

/*
 * The last page may lie across the file's end: only a mapping shows all of it, and what programs
 * have written behind the end.
 */
static int copy_run(struct page_writer *w, const struct seen_segment *seg, pid_t visitor, int fd,
		    uint64_t at, uint64_t end, struct err *err)
{
	uint64_t n = (end - at) / IMAGE_PAGE_SIZE, tail = at + n * IMAGE_PAGE_SIZE;
	int r = n ? page_writer_copy_fd(w, fd, at, at, n, true, err) : 0;

	if (r == 0 && tail < end)
		r = page_writer_copy(w, visitor, seg->addr + tail, tail, 1, true, err);
	return r;
}

static int copy_data(struct page_writer *w, const struct seen_segment *seg, pid_t visitor, int fd,
		     struct err *err)
{
	off_t at = 0, end;
	int r = 0;

	while (r == 0 && (at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			return err_sys(err, -errno, "finding its data");
		r = copy_run(w, seg, visitor, fd, (uint64_t)at, (uint64_t)end, err);
		at = end;
	}
	return r < 0 || errno == ENXIO ? r : err_sys(err, -errno, "finding its data");
}

static int copy_pages(struct dump *d, const struct seen_segment *seg, pid_t visitor, int fd,
		      struct err *err)
{
	struct page_writer *w = NULL;
	char name[64];
	int r;

	snprintf(name, sizeof(name), "pagemap-shmem-%d.img", seg->desc.id);
	r = page_writer_new(d, IMG_SHMEM_PAGEMAP, name, &w, err);
	if (r == 0)
		r = copy_data(w, seg, visitor, fd, err);
	if (r == 0)
		r = page_writer_finish(w, err);
	page_writer_free(w);
	return r;
}

/* Opens the file behind a segment: its size in whole pages is known where it is attached. */
static int open_segment(const struct seen_segment *seg, pid_t visitor,
			const struct proc_vmas *areas, struct err *err)
{
	const struct proc_vma *vma;
	char path[96];
	int fd;

	vec_foreach (vma, areas) {
		if (vma->start != seg->addr)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", visitor,
			 (long)vma->start, (long)vma->end);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? err_sys(err, -errno, "opening it through '%s'", path) : fd;
	}
	return err_new(err, ERR_INTERNAL, -ENOENT, "it is not where it was attached");
}

static int dump_one(struct dump *d, struct image *img, const struct seen_segment *seg,
		    pid_t visitor, const struct proc_vmas *areas, struct err *err)
{
	IpcDescEntry desc = IPC_DESC_ENTRY__INIT;
	IpcShmEntry e = IPC_SHM_ENTRY__INIT;
	cleanup_fd int fd = -EBADF;
	struct statfs fs;

	fd = open_segment(seg, visitor, areas, err);
	if (fd < 0)
		return fd;
	if (fstatfs(fd, &fs) < 0)
		return err_sys(err, -errno, "asking for its file system");
	e.has_hugetlb_flag = fs.f_type == HUGETLBFS_MAGIC;
	if (e.has_hugetlb_flag)
		e.hugetlb_flag = SHM_HUGETLB | (uint32_t)__builtin_ctzll((uint64_t)fs.f_bsize)
						       << HUGE_SHIFT;
	ipc_desc_fill(&seg->desc, &desc);
	e.desc = &desc;
	e.size = seg->size;
	e.has_in_pagemaps = e.in_pagemaps = true;
	if (image_add(img, &e.base) < 0)
		return err_nomem(err);
	return copy_pages(d, seg, visitor, fd, err);
}

int ipc_shm_dump(struct dump *d, const char *seen, size_t len, pid_t visitor, struct err *err)
{
	cleanup_proc_vmas struct proc_vmas areas = { 0 };
	cleanup_buf struct buf text = BUF_INIT;
	struct image *img;
	char path[48];
	int r;

	if (!len)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", visitor);
	r = io_read_file(AT_FDCWD, path, &text);
	if (r == 0)
		r = proc_vmas_parse(text.data, text.len, &areas);
	if (r < 0)
		return err_sys(err, r, "reading '%s'", path);
	img = image_get(d->images, IMG_IPCNS_SHM, "ipcns-shm-%u.img", d->root_ns.id[NS_IPC]);
	if (!img)
		return err_nomem(err);
	for (size_t at = 0; at < len && r == 0; at += sizeof(struct seen_segment)) {
		struct seen_segment seg;

		memcpy(&seg, seen + at, sizeof(seg));
		r = dump_one(d, img, &seg, visitor, &areas, err);
		if (r < 0)
			err_wrap(err, r, "shared memory segment %d", seg.desc.id);
	}
	return r;
}

static int load_contents(struct restore *r, struct image_reader *reader, const IpcShmEntry *e,
			 struct ipc_segment *seg, struct err *err)
{
	const struct page_run *run;
	const void *raw;
	char name[64];
	int q;

	if (!e->has_in_pagemaps || !e->in_pagemaps) { /* the bytes themselves, padded to four */
		q = image_next_raw(reader, (e->size + 3) / 4 * 4, &raw, err);
		if (q == 0 && !(seg->raw = arena_dup(&r->arena, raw, e->size)))
			q = err_nomem(err);
		return q;
	}
	snprintf(name, sizeof(name), "pagemap-shmem-%d.img", seg->desc.id);
	q = page_map_load(r, IMG_SHMEM_PAGEMAP, name, &seg->pages, err);
	if (q < 0)
		return q;
	vec_foreach (run, &seg->pages.runs)
		if (run->addr > seg->room ||
		    run->n_pages > (seg->room - run->addr) / IMAGE_PAGE_SIZE)
			return err_image(err, "'%s' has pages behind the segment's end", name);
	return 0;
}

static int load_one(struct restore *r, struct image_reader *reader, const IpcShmEntry *e,
		    struct ipc_segment *seg, struct err *err)
{
	unsigned int shift = e->hugetlb_flag >> HUGE_SHIFT & HUGE_MASK;
	int q = ipc_desc_load(e->desc, &seg->desc, err);
	uint64_t page;

	if (q < 0)
		return q;
	if (!e->size || e->size > 1ull << 46)
		return err_image(err, "shared memory segment %d has a size of %llu bytes",
				 seg->desc.id, (unsigned long long)e->size);
	if (e->hugetlb_flag &&
	    (!(e->hugetlb_flag & SHM_HUGETLB) || shift > 40 ||
	     e->hugetlb_flag & ~(SHM_HUGETLB | (uint32_t)HUGE_MASK << HUGE_SHIFT)))
		return err_image(err, "shared memory segment %d has the flags 0x%x", seg->desc.id,
				 e->hugetlb_flag);
	seg->huge = e->hugetlb_flag;
	/* without a size: what the system has by default, of which none is larger than that */
	page = seg->huge ? 1ull << (shift ? shift : 21) : IMAGE_PAGE_SIZE;
	seg->room = (e->size + page - 1) & ~(page - 1);
	q = sysv_note(r, e->desc->id, seg->room, err);
	if (q < 0)
		return q;
	seg->size = e->size;
	return load_contents(r, reader, e, seg, err);
}

int ipc_shm_load(struct restore *r, struct ns_ipc *ipc, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	struct ipc_segment **tail = &ipc->segments;
	int q = image_open(r->images_fd, IMG_IPCNS_SHM, &reader, err, "ipcns-shm-%u.img",
			   r->root_ns.id[NS_IPC]);

	if (q != 0)
		return q == IMAGE_ABSENT ? 0 : q;
	for (;;) {
		cleanup_msg IpcShmEntry *e = NULL;
		struct ipc_segment *seg;

		q = image_next(reader, &ipc_shm_entry__descriptor, &e, err);
		if (q <= 0)
			return q;
		seg = arena_alloc(&r->arena, sizeof(*seg));
		if (!seg)
			return err_nomem(err);
		seg->pages.fd = -EBADF;
		*tail = seg;
		tail = &seg->next;
		q = load_one(r, reader, e, seg, err);
		if (q < 0)
			return q;
	}
}

static int fill(const struct ipc_segment *seg, struct err *err)
{
	char *at = shmat(seg->desc.id, NULL, 0);
	const struct page_run *run;
	int q = 0;

	if (at == (void *)-1)
		return err_sys(err, -errno, "attaching it");
	if (seg->raw)
		memcpy(at, seg->raw, seg->size);
	vec_foreach (run, &seg->pages.runs) {
		q = io_pread_all(seg->pages.bulk_fd, at + run->addr, run->n_pages * IMAGE_PAGE_SIZE,
				 (off_t)run->offset);
		if (q < 0) {
			err_sys(err, q, "reading its pages");
			break;
		}
	}
	shmdt(at);
	return q;
}

static int build_one(const struct ipc_segment *seg, struct err *err)
{
	const struct ipc_desc *desc = &seg->desc;
	struct shmid_ds ds = { 0 };
	int id, q = ipc_next_id("kernel/shm_next_id", desc->id, err);

	if (q < 0)
		return q;
	id = shmget(desc->key, seg->size,
		    (int)(desc->mode & 0777) | (int)seg->huge | IPC_CREAT | IPC_EXCL);
	if (id < 0) {
		err_sys(err, -errno, "making it with %llu bytes", (unsigned long long)seg->size);
		if (seg->huge)
			err_hint(err,
				 "it is of huge pages; reserve them with sysctl vm.nr_hugepages");
		return err->code;
	}
	if (id != desc->id)
		return err_new(err, ERR_ENVIRONMENT, -EEXIST, "it got the id %d", id);
	q = fill(seg, err);
	if (q < 0)
		return q;
	if (desc->mode & MODE_LOCKED && shmctl(id, SHM_LOCK, NULL) < 0)
		return err_sys(err, -errno, "locking it");
	ds.shm_perm.uid = desc->uid;
	ds.shm_perm.gid = desc->gid;
	ds.shm_perm.mode = (unsigned short)(desc->mode & 0777);
	if (shmctl(id, IPC_SET, &ds) < 0)
		return err_sys(err, -errno, "giving it to user %u, group %u", desc->uid, desc->gid);
	return 0;
}

int ipc_shm_build(struct restore *r, struct ns_ipc *ipc, struct err *err)
{
	for (const struct ipc_segment *s = ipc->segments; s; s = s->next) {
		int q = build_one(s, err);

		if (q < 0)
			return err_wrap(err, q, "shared memory segment %d", s->desc.id);
	}
	return 0;
}

bool ipc_shm_has_marked(const struct ns_ipc *ipc)
{
	for (const struct ipc_segment *s = ipc->segments; s; s = s->next)
		if (s->desc.mode & MODE_DEST)
			return true;
	return false;
}

int ipc_shm_remove_marked(const struct ns_ipc *ipc, struct err *err)
{
	for (const struct ipc_segment *s = ipc->segments; s; s = s->next)
		if (s->desc.mode & MODE_DEST && shmctl(s->desc.id, IPC_RMID, NULL) < 0)
			return err_sys(err, -errno, "removing shared memory segment %d",
				       s->desc.id);
	return 0;
}

void ipc_shm_done(struct ns_ipc *ipc)
{
	for (struct ipc_segment *s = ipc->segments; s; s = s->next)
		page_map_done(&s->pages);
}
