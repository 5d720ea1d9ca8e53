/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dump: the descriptors of tasks, which of them share a description, and their images. */
#include "engine/files/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proc.h"
#include "engine/files/external.h"
#include "engine/files/kind-state.h"
#include "engine/files/kinds.h"
#include "engine/files/locks.h"
#include "proto/files.pb-c.h"
#include "proto/task.pb-c.h"

/* An open file description, at the place where it was met first. */
struct known_file {
	uint64_t ino;
	int mnt_id;
	pid_t pid;
	int fd, lfd;
	uint32_t id;
	int type;
};

/* A path that is not a descriptor (mapped file, executable, directory). */
struct known_path {
	dev_t dev;
	ino_t ino;
	uint32_t flags, id;
	const char *link;
};

struct dump_files {
	VEC(struct known_file) sorted; /* by inode and mount; of one file in the order of kcmp */
	VEC(struct known_path) paths;
	VEC(int) open; /* our duplicates, closed at the end */
	VEC(uint32_t) tables;
	VEC(struct file_ref *) inside; /* to look into, and those looked into */
	VEC(struct file_ref *) last;   /* to be captured last */
	int self_fd, root_fd;	       /* our own /proc/PID, the tree's root; 0: not opened yet */
	uint32_t last_id;
	struct kind_state *kinds;
};

static struct dump_files *files_of(struct dump *d)
{
	if (!d->files)
		d->files = arena_alloc(&d->arena, sizeof(*d->files));
	return d->files;
}

uint32_t files_new_id(struct dump *d)
{
	return ++files_of(d)->last_id;
}

void *files_dump_state(struct dump *d, const struct file_kind *kind, size_t size)
{
	struct dump_files *f = files_of(d);

	return f ? kind_state_get(&d->arena, &f->kinds, kind, size) : NULL;
}

void files_done(struct dump *d)
{
	int *fd;

	if (!d->files)
		return;
	vec_foreach (fd, &d->files->open)
		close(*fd);
	vec_free(&d->files->sorted);
	vec_free(&d->files->paths);
	vec_free(&d->files->open);
	vec_free(&d->files->tables);
	vec_free(&d->files->inside);
	vec_free(&d->files->last);
}

int files_keep_open(struct dump *d, int fd)
{
	int *slot = fd < 0 ? NULL : vec_add(&d->files->open);

	if (fd < 0)
		return fd;

	if (!slot) {
		close(fd);
		return -ENOMEM;
	}
	*slot = fd;
	return fd;
}

/* 0: it is the same description; 1, 2: it comes before, behind; or -errno. */
static long compare(const struct file_ref *ref, const struct known_file *k)
{
	long r;

	if (ref->info.ino != k->ino)
		return ref->info.ino < k->ino ? 1 : 2;
	if (ref->info.mnt_id != k->mnt_id)
		return ref->info.mnt_id < k->mnt_id ? 1 : 2;
	r = syscall(SYS_kcmp, ref->holder, k->pid, KCMP_FILE, ref->fd, k->fd);
	return r < 0 ? -errno : r;
}

/* Position of a description in the sorted list; *ret_found tells whether it is there already. */
static int place_of(struct dump_files *f, const struct file_ref *ref, size_t *ret_at,
		    bool *ret_found)
{
	size_t lo = 0, hi = f->sorted.n;

	*ret_found = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		long r = compare(ref, &f->sorted.v[mid]);

		if (r < 0)
			return (int)r;
		if (r == 0) {
			*ret_at = mid;
			*ret_found = true;
			return 0;
		}
		if (r == 1)
			hi = mid;
		else
			lo = mid + 1;
	}
	*ret_at = lo;
	return 0;
}

int files_root(const struct dump *d)
{
	bool own_mounts = d->root_ns.id[NS_MNT] != d->host_ns.id[NS_MNT];
	struct dump_files *f = d->files;
	int fd, *slot;

	if (f->root_fd)
		return f->root_fd;
	fd = own_mounts ? openat(d->tasks.v[0]->proc_fd, "root", O_PATH | O_CLOEXEC)
			: open("/", O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	slot = vec_add(&f->open);
	if (!slot) {
		close(fd);
		return -ENOMEM;
	}
	return *slot = f->root_fd = fd;
}

static int read_facts(struct dump *d, struct file_ref *ref, const char *link_path, struct err *err)
{
	cleanup_free char *link = NULL;
	socklen_t len = sizeof(ref->facts.family);
	struct statfs fs;
	int r = io_readlink(ref->holder_proc_fd, link_path, &link);

	if (r < 0)
		return err_sys(err, r, "reading the name of %s", ref->what);
	ref->facts.link = arena_strdup(&d->arena, link);
	if (!ref->facts.link)
		return err_nomem(err);
	if (fstat(ref->lfd, &ref->facts.st) < 0)
		return err_sys(err, -errno, "reading the attributes of %s", ref->what);
	if (fstatfs(ref->lfd, &fs) == 0)
		ref->facts.fs_magic = (uint32_t)fs.f_type;
	if (S_ISSOCK(ref->facts.st.st_mode) && !(ref->facts.flags & O_PATH) &&
	    getsockopt(ref->lfd, SOL_SOCKET, SO_DOMAIN, &ref->facts.family, &len) < 0)
		return err_sys(err, -errno, "asking for the family of %s", ref->what);
	return 0;
}

static int read_fdinfo(struct dump *d, struct file_ref *ref, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	char path[32];
	char *text;
	int r;

	snprintf(path, sizeof(path), "fdinfo/%d", ref->fd);
	r = io_read_file(ref->holder_proc_fd, path, &b);
	if (r < 0)
		return err_sys(err, r, "reading fdinfo of %s", ref->what);
	text = arena_dup(&d->arena, b.data, b.len + 1);
	if (!text)
		return err_nomem(err);
	r = proc_fdinfo_parse(text, b.len, &ref->info);
	if (r < 0)
		return err_sys(err, r, "understanding fdinfo of %s", ref->what);
	ref->facts.flags = ref->info.flags & ~(uint32_t)O_CLOEXEC;
	ref->facts.pos = ref->info.pos;
	ref->facts.mnt_id = ref->info.mnt_id;
	return 0;
}

static const struct file_kind *kind_of(const struct fd_facts *facts)
{
	const struct file_kind *const *k;

	for (k = file_kinds; *k; k++)
		if ((*k)->claims(facts))
			return *k;
	return NULL;
}

int files_write_entry(struct dump *d, const FileEntry *fe, struct err *err)
{
	if (image_add(image_get(d->images, IMG_FILES, "files.img"), &fe->base) < 0)
		return err_nomem(err);
	return 0;
}

static int capture(struct dump *d, struct file_ref *ref, const struct file_kind *kind,
		   struct err *err)
{
	FileEntry fe = FILE_ENTRY__INIT;
	int r;

	fe.type = (FdTypes)kind->type;
	fe.id = ref->id;
	r = kind->capture(d, ref, &fe, err);
	if (r == 0)
		r = files_write_entry(d, &fe, err);
	if (r == KIND_WRITES_LATER)
		r = 0;
	return r < 0 ? err_wrap(err, r, "%s: %s ('%s')", dump_task_name(d, ref->task), ref->what,
				ref->facts.link)
		     : r;
}

/* A description that was not met before. Positive when it was refused. */
static int meet(struct dump *d, struct file_ref *ref, int *ret_type, struct err *err)
{
	const struct file_kind *kind = kind_of(&ref->facts);
	struct file_ref **slot;
	int r = 0;

	if (!kind && external_is_taken(d, ref, &r, err))
		kind = &kind_external;
	if (!kind && r < 0)
		return r;
	if (!kind) {
		dump_refuse(d, ref->task, "%s: '%s' is of a kind that cannot be kept yet",
			    ref->what, ref->facts.link);
		return KIND_UNSUPPORTED;
	}
	*ret_type = kind->type;
	if (kind->look_inside) {
		slot = vec_add(&d->files->inside);
		if (!slot)
			return err_nomem(err);
		*slot = ref;
	}
	if (!kind->capture_last)
		return capture(d, ref, kind, err);
	if (kind->met && (r = kind->met(d, ref)) != 0)
		return r;
	slot = vec_add(&d->files->last);
	if (!slot)
		return err_nomem(err);
	*slot = ref;
	return 0;
}

/* One duplicate a description: tables of thousands of tasks would not fit into ours. */
static int duplicate(struct dump *d, struct file_ref *ref, struct err *err)
{
	int fd = (int)syscall(SYS_pidfd_getfd, ref->holder_pidfd, ref->fd, 0);

	if (fd < 0)
		return err_sys(err, -errno, "copying %s", ref->what);
	ref->lfd = files_keep_open(d, fd);
	return ref->lfd < 0 ? err_nomem(err) : 0;
}

static int identify(struct dump *d, struct file_ref *ref, struct known_file *ret, struct err *err)
{
	struct dump_files *f = d->files;
	struct known_file *k;
	size_t at = 0;
	bool found;
	int r = place_of(f, ref, &at, &found);

	if (r < 0)
		return err_sys(err, r, "comparing %s with others", ref->what);
	if (found) {
		*ret = f->sorted.v[at];
		ref->lfd = ret->lfd;
		return 0;
	}
	if (ref->lfd < 0 && (r = duplicate(d, ref, err)) < 0)
		return r;
	if (!vec_add(&f->sorted))
		return err_nomem(err);
	k = &f->sorted.v[at];
	memmove(k + 1, k, (f->sorted.n - 1 - at) * sizeof(*k));
	*k = (struct known_file){ .ino = ref->info.ino,
				  .mnt_id = ref->info.mnt_id,
				  .pid = ref->holder,
				  .fd = ref->fd,
				  .lfd = ref->lfd,
				  .id = ++f->last_id };
	ref->id = k->id;
	r = read_facts(d, ref, arena_printf(&d->arena, "fd/%d", ref->fd), err);
	if (r == 0)
		r = meet(d, ref, &f->sorted.v[at].type, err);
	*ret = f->sorted.v[at];
	return r < 0 ? r : 0;
}

/* A table of descriptors: of a task, or of one of its threads. */
struct table {
	struct dump_task *task;
	uint32_t id;
	pid_t holder;
	int proc_fd, pidfd;
	bool of_thread;
};

/* Locks of images are those of tasks. */
static void refuse_lock(struct dump *d, const struct file_ref *ref)
{
	struct proc_line line;

	if (proc_fdinfo_find(&ref->info, "lock", &line) > 0)
		dump_refuse(d, ref->task, "%s: '%s' holds a file lock", ref->what,
			    ref->facts.link ? ref->facts.link : "it");
}

static int collect_fd(struct dump *d, const struct table *t, int fd, struct err *err)
{
	struct file_ref *ref = arena_alloc(&d->arena, sizeof(*ref));
	FdinfoEntry e = FDINFO_ENTRY__INIT;
	struct known_file known = { 0 };
	int r;

	if (!ref)
		return err_nomem(err);
	*ref = (struct file_ref){ .task = t->task,
				  .fd = fd,
				  .holder = t->holder,
				  .holder_proc_fd = t->proc_fd,
				  .holder_pidfd = t->pidfd,
				  .lfd = -EBADF };
	ref->what = t->of_thread ? arena_printf(&d->arena, "fd %d of thread %d", fd, t->holder)
				 : arena_printf(&d->arena, "fd %d", fd);
	if (!ref->what)
		return err_nomem(err);
	r = read_fdinfo(d, ref, err);
	if (r == 0)
		r = identify(d, ref, &known, err);
	if (r == 0 && t->of_thread)
		refuse_lock(d, ref);
	else if (r == 0)
		r = locks_note(d, ref, known.id, err);
	if (r < 0)
		return err_wrap(err, r, "%s", dump_task_name(d, t->task));
	e.id = known.id;
	e.fd = (uint32_t)fd;
	e.type = (FdTypes)known.type;
	e.flags = ref->info.flags & O_CLOEXEC ? FD_CLOEXEC : 0;
	if (image_add(image_get(d->images, IMG_FDINFO, "fdinfo-%u.img", t->id), &e.base) < 0)
		return err_nomem(err);
	return 0;
}

static int collect_table(struct dump *d, const struct table *table, struct err *err)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *e;
	uint32_t *t;
	int fd;

	vec_foreach (t, &d->files->tables)
		if (*t == table->id)
			return 0;
	t = vec_add(&d->files->tables);
	fd = openat(table->proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!t)
		return err_nomem(err);
	*t = table->id;
	if (fd < 0 || !(dir = fdopendir(fd)))
		return err_sys(err, -errno, "%s: listing descriptors",
			       dump_task_name(d, table->task));
	/* the file exists even if the table is empty: a reader tells "no descriptors" from "lost"
	 */
	if (!image_get(d->images, IMG_FDINFO, "fdinfo-%u.img", table->id))
		return err_nomem(err);
	while ((e = readdir(dir))) {
		int r;

		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		r = collect_fd(d, table, atoi(e->d_name), err);
		if (r < 0)
			return r;
	}
	return 0;
}

int files_add_in_flight(struct dump *d, struct dump_task *task, int fd, const char *what,
			uint32_t *ret_id, struct err *err)
{
	struct file_ref *ref = arena_alloc(&d->arena, sizeof(*ref));
	struct known_file known = { 0 };
	struct proc_line line;
	int r;

	fd = files_keep_open(d, fd);
	if (fd < 0 || !ref)
		return err_nomem(err);
	if (!d->files->self_fd) {
		r = io_open_proc(getpid());
		if (r < 0 || files_keep_open(d, r) < 0)
			return err_sys(err, r, "opening our own directory in /proc");
		d->files->self_fd = r;
	}
	*ref = (struct file_ref){ .task = task,
				  .fd = fd,
				  .lfd = fd,
				  .holder = getpid(),
				  .holder_proc_fd = d->files->self_fd,
				  .in_flight = true,
				  .what = what };
	r = read_fdinfo(d, ref, err);
	if (r == 0)
		r = identify(d, ref, &known, err);
	/* images have locks by task and descriptor, and this file has neither */
	if (r == 0 && ref->id == known.id && proc_fdinfo_find(&ref->info, "lock", &line) > 0)
		dump_refuse(d, task, "%s: '%s' holds a file lock, and nobody has it", what,
			    ref->facts.link);
	*ret_id = known.id;
	return r;
}

int files_search(struct dump *d, int (*match)(void *arg, int lfd), void *arg, uint32_t *ret_id)
{
	const struct known_file *k;
	int r;

	*ret_id = 0;
	vec_foreach (k, &d->files->sorted) {
		r = match(arg, k->lfd);
		if (r < 0)
			return r;
		if (r > 0) {
			*ret_id = k->id;
			break;
		}
	}
	return 0;
}

int files_collect_rest(struct dump *d, struct err *err)
{
	struct dump_files *f = files_of(d);
	struct file_ref *ref;
	size_t i;
	int r = 0;

	if (!f)
		return err_nomem(err);
	/* the list grows while it is worked off */
	for (i = 0; i < f->inside.n && r >= 0; i++) {
		ref = f->inside.v[i];
		r = kind_of(&ref->facts)->look_inside(d, ref, err);
		if (r < 0)
			err_wrap(err, r, "%s: %s ('%s')", dump_task_name(d, ref->task), ref->what,
				 ref->facts.link);
	}
	for (i = 0; i < f->last.n && r >= 0; i++)
		r = capture(d, f->last.v[i], kind_of(&f->last.v[i]->facts), err);
	return r < 0 ? r : 0;
}

int files_add_path(struct dump *d, struct dump_task *task, int opath_fd, const char *link,
		   uint32_t open_flags, const char *what, uint32_t *ret_id, struct err *err)
{
	struct file_ref ref = { .task = task, .fd = -1, .lfd = opath_fd, .what = what };
	const struct file_kind *kind = &kind_regular;
	FileEntry fe = FILE_ENTRY__INIT;
	struct dump_files *f = files_of(d);
	struct known_path *k;
	struct statfs fs;
	int r;

	if (!f || !(ref.facts.link = arena_strdup(&d->arena, link)))
		return err_nomem(err);
	if (fstat(opath_fd, &ref.facts.st) < 0)
		return err_sys(err, -errno, "reading the attributes of %s", what);
	if (fstatfs(opath_fd, &fs) == 0)
		ref.facts.fs_magic = (uint32_t)fs.f_type;
	vec_foreach (k, &f->paths) {
		if (k->dev == ref.facts.st.st_dev && k->ino == ref.facts.st.st_ino &&
		    k->flags == open_flags && strcmp(k->link, link) == 0) {
			*ret_id = k->id;
			return 0;
		}
	}
	ref.id = ++f->last_id;
	ref.facts.flags = open_flags;
	k = vec_add(&f->paths);
	if (!k)
		return err_nomem(err);
	*k = (struct known_path){ ref.facts.st.st_dev, ref.facts.st.st_ino, open_flags, ref.id,
				  ref.facts.link };
	*ret_id = ref.id;
	/* mapped memory with a name of its own is no file of any path */
	if (kind_memfd.claims(&ref.facts))
		kind = &kind_memfd;
	fe.type = (FdTypes)kind->type;
	fe.id = ref.id;
	r = kind->capture(d, &ref, &fe, err);
	if (r == 0)
		r = files_write_entry(d, &fe, err);
	if (r == KIND_WRITES_LATER)
		r = 0;
	return r < 0 ? err_wrap(err, r, "%s ('%s')", what, link) : 0;
}

/* exe, cwd and root are links that lead to the file itself, also a deleted one. */
static int collect_link(struct dump *d, struct dump_task *task, int proc_fd, const char *name,
			const char *what, uint32_t *ret_id, struct err *err)
{
	cleanup_fd int fd = openat(proc_fd, name, O_PATH | O_CLOEXEC);
	cleanup_free char *link = NULL;
	int r = fd < 0 ? -errno : io_readlink(proc_fd, name, &link);

	if (r < 0)
		return err_sys(err, r, "%s: opening its %s", dump_task_name(d, task), what);
	r = files_add_path(d, task, fd, link, O_RDONLY, what, ret_id, err);
	return r < 0 ? err_wrap(err, r, "%s", dump_task_name(d, task)) : 0;
}

/* What it has for itself is read through it, also later. */
static int collect_thread(struct dump *d, struct dump_thread *th, struct err *err)
{
	struct table t = { th->task, th->files_id, th->t.tid, -1, -1, true };

	if (!th->files_id)
		return 0;
	t.pidfd = files_keep_open(d, proc_open_pidfd(th->t.tid, true));
	t.proc_fd = files_keep_open(d, io_open_proc(th->t.tid));
	if (t.pidfd < 0)
		return err_refuse(err,
				  "%s: thread %d has descriptors of its own, which can be copied "
				  "since Linux 6.9",
				  dump_task_name(d, th->task), th->t.tid);
	if (t.proc_fd < 0)
		return err_sys(err, t.proc_fd, "opening /proc/%d", th->t.tid);
	return collect_table(d, &t, err);
}

int files_collect(struct dump *d, struct dump_task *task, struct err *err)
{
	struct table table = { task,	      task->files_id,	 task->tid,
			       task->proc_fd, task->files_pidfd, false };
	size_t i;
	int r;

	if (!files_of(d))
		return err_nomem(err);
	r = collect_link(d, task, task->proc_fd, "exe", "executable", &task->exe_id, err);
	if (r == 0)
		r = collect_table(d, &table, err);
	for (i = 1; r == 0 && i < task->threads.n; i++)
		r = collect_thread(d, task->threads.v[i], err);
	return r;
}

static int write_fs(struct dump *d, struct dump_task *task, int proc_fd, pid_t ns_id,
		    const struct proc_status *st, struct err *err)
{
	FsEntry fs = FS_ENTRY__INIT;
	int r = collect_link(d, task, proc_fd, "cwd", "working directory", &fs.cwd_id, err);

	if (r == 0)
		r = collect_link(d, task, proc_fd, "root", "root directory", &fs.root_id, err);
	if (r < 0)
		return r;
	fs.has_umask = true;
	fs.umask = (uint32_t)st->umask;
	if (ns_id == task->ns_pid) {
		task->cwd_id = fs.cwd_id;
		task->root_id = fs.root_id;
	}
	if (image_add(image_get(d->images, IMG_FS, "fs-%d.img", ns_id), &fs.base) < 0)
		return err_nomem(err);
	return 0;
}

int files_write_fs(struct dump *d, struct dump_task *task, struct err *err)
{
	struct dump_thread *const *th;
	int r = write_fs(d, task, task->proc_fd, task->ns_pid, &task->threads.v[0]->status, err);

	vec_foreach (th, &task->threads) {
		cleanup_fd int proc_fd = -EBADF;

		if (r < 0 || !(*th)->fs_id)
			continue;
		proc_fd = io_open_proc((*th)->t.tid);
		if (proc_fd < 0)
			return err_sys(err, proc_fd, "opening /proc/%d", (*th)->t.tid);
		r = write_fs(d, task, proc_fd, (*th)->t.ns_tid, &(*th)->status, err);
	}
	return r;
}

int files_write_locks(struct dump *d, struct err *err)
{
	return locks_write(d, err);
}
