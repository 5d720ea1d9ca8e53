/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory with a file behind it: of memfd_create(2), and what the kernel makes for shared anonymous
 * mappings, which has a name of the kernel's and can be opened through map_files. The memory is one
 * object (memfd.img, pages as of shared memory), and every opened file of it another.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/idmap.h"
#include "engine/base/io.h"
#include "engine/core/dump.h"
#include "engine/files/kinds.h"
#include "engine/mem/load.h"
#include "engine/mem/mem.h"
#include "engine/ns/ns.h"
#include "proto/files.pb-c.h"

/* Since 5.1 and 6.3. */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#define ALL_SEALS                                                                         \
	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | \
	 F_SEAL_EXEC)

static const char prefix[] = "/memfd:", mark[] = " (deleted)";

/* The kernel's names for the files of shared anonymous memory, of ordinary and of huge pages. */
static const char anonymous[] = "/dev/zero", anonymous_huge[] = "/anon_hugepage";

static bool claims(const struct fd_facts *f)
{
	size_t n = strlen(f->link), m = sizeof(mark) - 1;

	if (!S_ISREG(f->st.st_mode) || f->flags & O_PATH || n < m ||
	    (f->fs_magic != TMPFS_MAGIC && f->fs_magic != HUGETLBFS_MAGIC))
		return false;
	if (strncmp(f->link, prefix, sizeof(prefix) - 1) == 0)
		return true;
	n -= m;
	return strcmp(f->link + n, mark) == 0 &&
	       ((n == sizeof(anonymous) - 1 && memcmp(f->link, anonymous, n) == 0) ||
		(n == sizeof(anonymous_huge) - 1 && memcmp(f->link, anonymous_huge, n) == 0));
}

/* ---- dump ---- */

struct dumped_memfd {
	uint32_t id;
};

struct dump_memfds {
	struct idmap known; /* by device and inode */
	uint32_t last_id;
};

static char *plain_name(struct dump *d, const char *link)
{
	bool named = strncmp(link, prefix, sizeof(prefix) - 1) == 0;
	char *name = arena_strdup(&d->arena, named ? link + sizeof(prefix) - 1 : link);
	size_t n = name ? strlen(name) : 0, m = sizeof(mark) - 1;

	if (n >= m && strcmp(name + n - m, mark) == 0)
		name[n - m] = '\0';
	return name;
}

/* MFD_HUGE_2MB and its like; the block of such a file system is one page. */
static uint32_t huge_size_bits(const struct stat *st)
{
	return (uint32_t)__builtin_ctzll((uint64_t)st->st_blksize | 1ull << 63) << MFD_HUGE_SHIFT;
}

static int write_memory(struct dump *d, struct file_ref *ref, struct dumped_memfd *m,
			struct err *err)
{
	const struct stat *st = &ref->facts.st;
	MemfdInodeEntry e = MEMFD_INODE_ENTRY__INIT;
	cleanup_fd int fd = -EBADF;
	char self[40];
	int seals, r;

	/* an own description: the position of the task's must not move */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", ref->lfd);
	fd = open(self, O_RDONLY | O_CLOEXEC);
	seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return err_sys(err, -errno, "opening a memfd");
	e.name = plain_name(d, ref->facts.link);
	if (!e.name)
		return err_nomem(err);
	if (ns_inside_uid(d, st->st_uid, &e.uid) < 0 || ns_inside_gid(d, st->st_gid, &e.gid) < 0)
		return err_refuse(err, "%s: its owner %u:%u is not known in the user namespace",
				  ref->what, st->st_uid, st->st_gid);
	e.size = (uint64_t)st->st_size;
	e.seals = (uint32_t)seals;
	e.inode_id = m->id;
	e.has_mode = true;
	e.mode = st->st_mode;
	e.has_hugetlb_flag = ref->facts.fs_magic == HUGETLBFS_MAGIC;
	if (e.has_hugetlb_flag)
		e.hugetlb_flag = MFD_HUGETLB | huge_size_bits(st);
	r = shmem_add(d, take_fd(&fd), st, &e.shmid, err);
	if (r == 0 && image_add(image_get(d->images, IMG_MEMFD_INODE, "memfd.img"), &e.base) < 0)
		r = err_nomem(err);
	return r;
}

static int find_memory(struct dump *d, struct file_ref *ref, uint32_t *ret_id, struct err *err)
{
	struct dump_memfds *all = files_dump_state(d, &kind_memfd, sizeof(*all));
	const struct stat *st = &ref->facts.st;
	struct dumped_memfd *m;

	if (!all)
		return err_nomem(err);
	m = idmap_find(&all->known, st->st_dev, st->st_ino);
	if (m) {
		*ret_id = m->id;
		return 0;
	}
	m = arena_alloc(&d->arena, sizeof(*m));
	if (!m || idmap_put(&all->known, &d->arena, st->st_dev, st->st_ino, m) < 0)
		return err_nomem(err);
	m->id = ++all->last_id;
	*ret_id = m->id;
	return write_memory(d, ref, m, err);
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	MemfdFileEntry *e = arena_alloc(&d->arena, sizeof(*e));
	int r;

	if (!e)
		return err_nomem(err);
	memfd_file_entry__init(e);
	fe->memfd = e;
	e->id = ref->id;
	e->flags = ref->facts.flags;
	e->pos = (uint64_t)ref->facts.pos;
	r = files_capture_fown(d, ref, &e->fown, err);
	return r == 0 ? find_memory(d, ref, &e->inode_id, err) : r;
}

/* ---- restore ---- */

struct memory {
	struct memory *next;
	const MemfdInodeEntry *e;
	struct page_run *runs;
	size_t n_runs;
	int pages_fd;
	bool loaded;
	int fd;		 /* the memory itself, once made */
	bool fd_is_used; /* one description may be the first one */
};

struct restore_memfds {
	bool loaded;
	struct memory *first;
};

static int check_memory(const MemfdInodeEntry *e, struct err *err)
{
	if (e->size > 1ull << 46)
		return err_image(err, "image 'memfd.img': memory of %lu bytes",
				 (unsigned long)e->size);
	if (e->seals & ~(uint32_t)ALL_SEALS)
		return err_image(err, "image 'memfd.img': seals 0x%x are not known", e->seals);
	if (strlen(e->name) > 249)
		return err_image(err, "image 'memfd.img': a name of %zu bytes", strlen(e->name));
	if (e->hugetlb_flag & ~(MFD_HUGETLB | (uint32_t)MFD_HUGE_MASK << MFD_HUGE_SHIFT) ||
	    (e->hugetlb_flag && !(e->hugetlb_flag & MFD_HUGETLB)))
		return err_image(err, "image 'memfd.img': huge page flag 0x%x is not known",
				 e->hugetlb_flag);
	return 0;
}

static int load_memories(struct restore *r, struct restore_memfds *all, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n = image_open(r->images_fd, IMG_MEMFD_INODE, &reader, err, "memfd.img");

	if (n != 0)
		return n == IMAGE_ABSENT ? 0 : n;
	for (;;) {
		MemfdInodeEntry *e = NULL;
		struct memory *m;

		n = image_next(reader, &memfd_inode_entry__descriptor, &e, err);
		if (n <= 0)
			return n;
		m = arena_alloc(&r->arena, sizeof(*m));
		if (restore_keep(r, e) < 0 || !m)
			return err_nomem(err);
		n = check_memory(e, err);
		if (n < 0)
			return n;
		*m = (struct memory){
			.next = all->first, .e = e, .fd = -EBADF, .pages_fd = -EBADF
		};
		all->first = m;
	}
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_memfds *all = files_restore_state(r, &kind_memfd, sizeof(*all));
	const MemfdFileEntry *e = obj->entry->memfd;
	struct memory *m;
	int n;

	if (!all)
		return err_nomem(err);
	if (!all->loaded) {
		n = load_memories(r, all, err);
		if (n < 0)
			return n;
		all->loaded = true;
	}
	if (!e)
		return err_image(err, "a memfd without a description");
	if (e->pos > INT64_MAX || (e->flags & O_ACCMODE) == O_ACCMODE)
		return err_image(err, "a memfd with flags 0%o at position %lu", e->flags,
				 (long)e->pos);
	for (m = all->first; m && m->e->inode_id != e->inode_id; m = m->next)
		;
	if (!m)
		return err_image(err, "memfd memory %u is not in 'memfd.img'", e->inode_id);
	obj->state = m;
	return files_check_fown(obj, e->fown, err);
}

/* Numbers for descriptors in builders are given out now. */
static int link_pages(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct memory *m = obj->state;
	struct page_map map = { 0 };
	char name[64];
	size_t i;
	int n;

	if (m->loaded)
		return 0;
	m->loaded = true;
	snprintf(name, sizeof(name), "pagemap-shmem-%u.img", m->e->shmid);
	n = page_map_load(r, IMG_SHMEM_PAGEMAP, name, &map, err);
	m->pages_fd = map.bulk_fd;
	m->n_runs = map.runs.n;
	for (i = 0; n == 0 && i < map.runs.n; i++)
		if (map.runs.v[i].addr >= m->e->size ||
		    (map.runs.v[i].n_pages - 1) * IMAGE_PAGE_SIZE >=
			    m->e->size - map.runs.v[i].addr)
			n = err_image(err, "image '%s': pages at 0x%lx lie behind the end", name,
				      (long)map.runs.v[i].addr);
	if (n == 0 && m->n_runs) {
		m->runs = arena_dup(&r->arena, map.runs.v, m->n_runs * sizeof(*m->runs));
		n = m->runs ? 0 : err_nomem(err);
	}
	page_map_done(&map);
	return n;
}

/* ---- in the root builder ---- */

/*
 * The kernel's own file behind a shared anonymous mapping, so that it has its usual name again.
 * The bits for the size of huge pages are the same in mmap and memfd_create.
 */
static int make_anonymous(const struct restore *r, uint64_t size, uint32_t huge)
{
	int flags = MAP_SHARED | MAP_ANONYMOUS | (huge ? MAP_HUGETLB : 0) |
		    (int)(huge & (uint32_t)MFD_HUGE_MASK << MFD_HUGE_SHIFT);
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
	uint64_t start = (uint64_t)(uintptr_t)map;
	char path[64];
	int fd;

	if (map == MAP_FAILED)
		return -errno;
	size = (size + IMAGE_PAGE_SIZE - 1) & ~(uint64_t)(IMAGE_PAGE_SIZE - 1);
	snprintf(path, sizeof(path), "self/map_files/%lx-%lx", (long)start, (long)(start + size));
	fd = openat(r->proc_fd, path, O_RDWR | O_CLOEXEC);
	munmap(map, size);
	return fd < 0 ? -errno : fd;
}

static int make_memory(const struct restore *r, const struct memory *m, struct err *err)
{
	unsigned int flags = MFD_CLOEXEC | (m->e->seals == F_SEAL_SEAL ? 0 : MFD_ALLOW_SEALING);
	int fd = -EBADF;

	if (m->e->size && strcmp(m->e->name, m->e->hugetlb_flag ? anonymous_huge : anonymous) == 0)
		fd = make_anonymous(r, m->e->size, m->e->hugetlb_flag);
	if (fd < 0)
		fd = memfd_create(m->e->name, flags | m->e->hugetlb_flag);
	if (fd >= 0)
		return fd;
	err_sys(err, -errno, "making memfd '%s'", m->e->name);
	if (m->e->hugetlb_flag)
		err_hint(err, "it is of huge pages; reserve them with sysctl vm.nr_hugepages");
	return err->code;
}

static int fill(struct restore *r, const struct memory *m, int fd, struct err *err)
{
	uint8_t *map;
	size_t i;
	int n = 0;

	if (ftruncate(fd, (off_t)m->e->size) < 0)
		return err_sys(err, -errno, "giving a memfd %lu bytes", (unsigned long)m->e->size);
	if (!m->n_runs)
		return 0;
	map = mmap(NULL, m->e->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_sys(err, -errno, "mapping a memfd");
	for (i = 0; i < m->n_runs && n == 0; i++) {
		n = io_pread_all(m->pages_fd, map + m->runs[i].addr,
				 m->runs[i].n_pages * IMAGE_PAGE_SIZE, (off_t)m->runs[i].offset);
		if (n < 0)
			err_sys(err, n, "reading the pages of a memfd");
	}
	munmap(map, m->e->size);
	return n;
}

static int set_owner(const struct memory *m, int fd, struct err *err)
{
	uint32_t seals = m->e->seals;

	if (fchown(fd, m->e->uid, m->e->gid) < 0)
		return err_sys(err, -errno, "giving a memfd to user %u", m->e->uid);
	if (m->e->has_mode && fchmod(fd, m->e->mode & 07777) < 0)
		return err_sys(err, -errno, "setting the mode of a memfd");
	/* without MFD_ALLOW_SEALING it is born with F_SEAL_SEAL */
	if (seals && seals != F_SEAL_SEAL && fcntl(fd, F_ADD_SEALS, (int)seals) < 0)
		return err_sys(err, -errno, "sealing a memfd");
	return 0;
}

static int need_memory(struct restore *r, struct memory *m, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	int n;

	if (m->fd >= 0)
		return 0;
	fd = make_memory(r, m, err);
	if (fd < 0)
		return fd;
	n = fill(r, m, fd, err);
	if (n == 0)
		n = set_owner(m, fd, err);
	if (n < 0)
		return err_wrap(err, n, "memfd '%s'", m->e->name);
	/* everything below fd_base is closed when the tasks get their descriptors */
	m->fd = take_fd(&fd);
	return 0;
}

/*
 * The description that memfd_create(2) made is not quite like one from open(2) (a program can be
 * executed from it while it is the only one for writing), so it serves as the first one that fits.
 */
static int open_memory(struct restore *r, struct memory *m, int flags, bool may_use,
		       struct err *err)
{
	int fd, n = need_memory(r, m, err);

	if (n < 0)
		return n;
	if (may_use && !m->fd_is_used && (flags & O_ACCMODE) == O_RDWR) {
		m->fd_is_used = true;
		fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
	} else {
		fd = restore_reopen(r, m->fd, flags & O_ACCMODE);
		return fd < 0 ? err_sys(err, fd, "opening memfd '%s'", m->e->name) : fd;
	}
	return fd < 0 ? err_sys(err, -errno, "duplicating memfd '%s'", m->e->name) : fd;
}

static int open_mapping(struct restore *r, struct file_obj *obj, int flags, struct err *err)
{
	struct memory *m = obj->state;

	if ((flags & O_ACCMODE) == O_RDWR && m->e->seals & (F_SEAL_FUTURE_WRITE | F_SEAL_WRITE) &&
	    m->e->seals != F_SEAL_SEAL)
		return err_refuse(
			err,
			"memfd '%s' is sealed against writing and mapped for it, which cannot "
			"be restored yet",
			m->e->name);
	return open_memory(r, m, flags, false, err);
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const MemfdFileEntry *e = obj->entry->memfd;
	struct memory *m = obj->state;
	cleanup_fd int fd = -EBADF;
	int n = files_inherit_key(r, obj, arena_printf(&r->arena, "%s%s", prefix, m->e->name), &fd,
				  err);

	if (n == 0)
		n = files_inherit_key(
			r, obj, arena_printf(&r->arena, "%s%s", prefix + 1, m->e->name), &fd, err);
	if (n != 0)
		return n == FILES_INHERITED ? take_fd(&fd) : n;
	fd = open_memory(r, m, (int)e->flags, true, err);
	if (fd < 0)
		return fd;
	if (e->pos && lseek(fd, (off_t)e->pos, SEEK_SET) < 0)
		return err_sys(err, -errno, "setting the position of memfd '%s'", m->e->name);
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

const struct file_kind kind_memfd = {
	.name = "memfd",
	.type = FD_TYPES__MEMFD,
	.claims = claims,
	.capture = capture,
	.load = load,
	.link = link_pages,
	.create = create,
	.open_mapping = open_mapping,
	.finish = files_finish_owner,
};
