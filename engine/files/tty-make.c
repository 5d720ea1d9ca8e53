/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restore of terminals, in the root builder: each is made once, with all its descriptions. It is
 * nobody's controlling terminal yet.
 */
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/kinds.h"
#include "engine/files/tty-queue.h"
#include "engine/files/tty.h"
#include "mounts/mounts.h"
#include "proto/files.pb-c.h"

/* What open(2) does at once, or what is set later. */
#define LATER_FLAGS (O_CREAT | O_EXCL | O_TRUNC | FASYNC)

static int open_flags(const struct tty_end *end)
{
	return ((int)end->obj->entry->tty->flags & ~LATER_FLAGS) | O_NOCTTY | O_CLOEXEC;
}

static struct tty_end *end_of(const struct terminal *t, enum tty_class class)
{
	struct tty_end *e = t->ends;

	while (e && (e->side->class != class || !e->obj->needed))
		e = e->next;
	return e;
}

/* ---- masters ---- */

/* The kernel gives the lowest free number. Masters with lower ones stay open until all are made. */
static int open_number(struct restore_ttys *all, const char *path, unsigned int index,
		       struct err *err)
{
	unsigned int n = 0;
	int *slot, found = -EBADF, r = 0;

	while (r == 0 && found < 0) {
		cleanup_fd int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

		if (fd < 0 || ioctl(fd, TIOCGPTN, &n) < 0)
			r = err_sys(err, -errno, "opening '%s' for terminal %u", path, index);
		else if (n == index)
			found = take_fd(&fd);
		else if (n > index)
			r = err_new(err, ERR_ENVIRONMENT, -EBUSY,
				    "terminal %u of '%s' is taken by somebody else", index, path);
		else if (!(slot = vec_add(&all->fillers)))
			r = err_nomem(err);
		else
			*slot = take_fd(&fd);
	}
	if (r == -EBUSY)
		err_hint(err, "end its user, or restore into new namespaces");
	return r < 0 ? r : found;
}

/* A mount that shows the slave (/dev/console) has been made with the master. */
static int take_mounted(struct restore *r, const struct terminal *t)
{
	const struct tty_side *any = t->slave ? t->slave : t->master;
	const struct mount_pty *ptys;
	size_t i, n = 0;

	if (!r->mounts)
		return -EBADF;
	ptys = mounts_plan_ptys(r->mounts, &n);
	for (i = 0; i < n; i++) {
		dev_t dev = makedev(ptys[i].sdev >> 20, ptys[i].sdev & 0xfffff);

		if (ptys[i].fd >= 0 && ptys[i].index == (int)any->info->pty->index &&
		    (!t->slave || !t->slave->info->dev || t->slave->info->dev == (uint32_t)dev))
			return fcntl(ptys[i].fd, F_DUPFD_CLOEXEC, 3);
	}
	return -EBADF;
}

/* "ptmx" beside the slave's name; where that is none of a devpts, the usual one. */
static const char *master_path(struct restore *r, const struct terminal *t)
{
	const struct tty_end *master = end_of(t, TTY_MASTER), *slave = end_of(t, TTY_SLAVE);
	const char *path = master ? tty_end_path(r, master) : NULL, *slash;
	char *guess = NULL;

	if (path)
		return path;
	path = slave ? tty_end_path(r, slave) : NULL;
	slash = path ? strrchr(path, '/') : NULL;
	if (slash)
		guess = arena_printf(&r->arena, "%.*s/ptmx", (int)(slash - path), path);
	return guess && access(guess, F_OK) == 0 ? guess : "/dev/ptmx";
}

static int open_master(struct restore *r, struct terminal *t, struct err *err)
{
	const struct tty_side *any = t->slave ? t->slave : t->master;
	int no = 0;

	t->master_fd = take_mounted(r, t);
	if (t->master_fd < 0)
		t->master_fd = open_number(tty_restore_state(r), master_path(r, t),
					   any->info->pty->index, err);
	if (t->master_fd < 0)
		return t->master_fd;
	if (ioctl(t->master_fd, TIOCSPTLCK, &no) < 0)
		return err_sys(err, -errno, "unlocking a terminal");
	return 0;
}

/* ---- slaves ---- */

static int open_peer(const struct terminal *t, int flags, struct err *err)
{
	int fd = ioctl(t->master_fd, TIOCGPTPEER, flags);

	return fd < 0 ? err_sys(err, -errno, "opening the slave of a terminal") : fd;
}

/* By its name, as that stays visible; or through the master, where the name leads elsewhere. */
static int open_slave(struct restore *r, struct terminal *t, struct tty_end *end, struct err *err)
{
	const char *path = tty_end_path(r, end);
	cleanup_fd int fd = path ? open(path, open_flags(end)) : -EBADF;
	struct stat a, b;

	if (fstat(t->slave_fd, &a) < 0)
		return err_sys(err, -errno, "looking at the slave of a terminal");
	if (fd >= 0 && fstat(fd, &b) == 0 && a.st_rdev == b.st_rdev && a.st_dev == b.st_dev)
		return take_fd(&fd);
	return open_peer(t, open_flags(end), err);
}

static bool needs_slave(const struct terminal *t)
{
	const struct tty_end *e;

	for (e = t->ends; e; e = e->next)
		if (e->obj->needed && e->side->class != TTY_MASTER)
			return true;
	return t->leader || (t->slave && t->slave->data) ||
	       (t->master && (t->master->data || t->master->info->slave_closed));
}

static int open_slaves(struct restore *r, struct terminal *t, struct err *err)
{
	struct tty_end *e;

	for (e = t->ends; e; e = e->next) {
		if (!e->obj->needed || e->side->class != TTY_SLAVE)
			continue;
		e->fd = open_slave(r, t, e, err);
		if (e->fd < 0)
			return e->fd;
	}
	return 0;
}

/* ---- what it is like ---- */

static void queue_load(struct tty_queue *q, const TtyDataEntry *data, const struct termios2 *t)
{
	uint32_t i;

	q->len = q->n_lines = 0;
	if (!data)
		return;
	q->len = (uint32_t)data->data.len;
	memcpy(q->bytes, data->data.data, q->len);
	for (i = 0; i < data->n_lines; i++)
		q->lines[q->n_lines++] =
			(struct tty_line){ data->lines[i]->len, data->lines[i]->end };
	if (!q->n_lines)
		tty_queue_split(t, q);
}

static int put_data(struct restore *r, struct terminal *t, const struct termios2 *settings,
		    struct err *err)
{
	const TtyDataEntry *input = t->slave ? t->slave->data : NULL;
	const TtyDataEntry *output = t->master ? t->master->data : NULL;
	struct tty_queue *q;
	int n;

	if (!input && !output)
		return 0;
	q = arena_alloc(&r->arena, sizeof(*q));
	if (!q)
		return err_nomem(err);
	queue_load(q, input, settings);
	n = tty_queue_put_input(t->master_fd, t->slave_fd, settings, q);
	queue_load(q, output, settings);
	q->n_lines = 0;
	if (n == 0)
		n = tty_queue_put_output(t->slave_fd, settings, q);
	return n < 0 ? err_sys(err, n, "putting data back into a terminal") : 0;
}

/* CRIU keeps no speeds but those that the flags can say. */
static int set_settings(int fd, const struct termios2 *t)
{
	struct termios old = { .c_iflag = t->c_iflag,
			       .c_oflag = t->c_oflag,
			       .c_cflag = t->c_cflag,
			       .c_lflag = t->c_lflag,
			       .c_line = t->c_line };
	struct termios2 now;

	if (t->c_ospeed) {
		if (ioctl(fd, TCGETS2, &now) == 0 && memcmp(&now, t, sizeof(now)) == 0)
			return 0;
		return ioctl(fd, TCSETS2, t) < 0 ? -errno : 0;
	}
	memcpy(old.c_cc, t->c_cc, sizeof(old.c_cc));
	return ioctl(fd, TCSETS, &old) < 0 ? -errno : 0;
}

/* Only the privileged may change what is locked, and nothing usually is. */
static int lock_settings(int fd, const TermiosEntry *e)
{
	struct termios now = { 0 }, want = { .c_iflag = e->c_iflag,
					     .c_oflag = e->c_oflag,
					     .c_cflag = e->c_cflag,
					     .c_lflag = e->c_lflag,
					     .c_line = (cc_t)e->c_line };

	memcpy(want.c_cc, e->c_cc, sizeof(want.c_cc));
	if (ioctl(fd, TIOCGLCKTRMIOS, &now) == 0 && memcmp(&now, &want, sizeof(now)) == 0)
		return 0;
	return ioctl(fd, TIOCSLCKTRMIOS, &want) < 0 ? -errno : 0;
}

static int set_size(int fd, const WinsizeEntry *e)
{
	struct winsize now, want = { .ws_row = (unsigned short)e->ws_row,
				     .ws_col = (unsigned short)e->ws_col,
				     .ws_xpixel = (unsigned short)e->ws_xpixel,
				     .ws_ypixel = (unsigned short)e->ws_ypixel };

	if (ioctl(fd, TIOCGWINSZ, &now) == 0 && memcmp(&now, &want, sizeof(now)) == 0)
		return 0;
	return ioctl(fd, TIOCSWINSZ, &want) < 0 ? -errno : 0;
}

/* fd is of the slave or the master: the kernel means the slave in any case. */
static int apply_settings(const struct tty_side *side, int fd, bool size, struct err *err)
{
	struct termios2 t;
	int n = 0;

	if (!tty_side_settings(side, &t))
		return 0;
	if (size)
		n = set_size(fd, side->info->winsize);
	if (n == 0)
		n = set_settings(fd, &t);
	if (n == 0)
		n = lock_settings(fd, side->info->termios_locked);
	return n < 0 ? err_sys(err, n, "setting up terminal %u", side->info->id) : 0;
}

static int set_exclusive(const struct tty_side *side, int fd, struct err *err)
{
	if (side && fd >= 0 && side->info->exclusive && ioctl(fd, TIOCEXCL) < 0)
		return err_sys(err, -errno, "making a terminal exclusive");
	return 0;
}

/* The node in devpts is a new one. */
static int set_owner(struct restore *r, const struct terminal *t, struct err *err)
{
	const TtyInfoEntry *e = t->slave->info;
	const struct tty_end *end = end_of(t, TTY_SLAVE);
	const TtyFileEntry *file = end ? end->obj->entry->tty : NULL;
	const struct file_obj *path = file && file->has_regf_id ? files_find(r, file->regf_id)
								: NULL;
	const RegFileEntry *reg = path ? path->entry->reg : NULL;

	if ((e->has_uid || e->has_gid) && fchown(t->slave_fd, e->has_uid ? e->uid : (uid_t)-1,
						 e->has_gid ? e->gid : (gid_t)-1) < 0)
		return err_sys(err, -errno, "giving a terminal to user %u", e->uid);
	if (reg && reg->has_mode && fchmod(t->slave_fd, reg->mode & 07777) < 0)
		return err_sys(err, -errno, "setting the mode of a terminal");
	return 0;
}

/* Last: these keep others, and us, from what was done before. */
static int set_master_modes(const struct terminal *t, struct err *err)
{
	const TtyInfoEntry *e = t->master->info;
	int yes = 1;

	if (e->packet_mode && ioctl(t->master_fd, TIOCPKT, &yes) < 0)
		return err_sys(err, -errno, "setting packet mode");
	if (e->locked && ioctl(t->master_fd, TIOCSPTLCK, &yes) < 0)
		return err_sys(err, -errno, "locking a terminal");
	return 0;
}

static int dress_new(struct restore *r, struct terminal *t, struct err *err)
{
	const struct tty_side *any = t->slave && !t->hung ? t->slave : t->master;
	struct termios2 settings;
	int n;

	if (!any || !tty_side_settings(any, &settings))
		return 0;
	if (!settings.c_ospeed && ioctl(t->master_fd, TCGETS2, &settings) == 0) {
		struct termios2 image;

		/* the speeds that a new terminal has */
		tty_side_settings(any, &image);
		image.c_ispeed = settings.c_ispeed;
		image.c_ospeed = settings.c_ospeed;
		settings = image;
	}
	n = put_data(r, t, &settings, err);
	if (n == 0)
		n = apply_settings(any, t->master_fd, true, err);
	if (n == 0 && t->slave && t->slave_fd >= 0)
		n = set_owner(r, t, err);
	if (n == 0)
		n = set_exclusive(t->slave, t->slave_fd, err);
	if (n == 0)
		n = set_exclusive(t->master, t->master_fd, err);
	return n;
}

/* ---- the ways to make one ---- */

static int put_in_place(int fd, int place, struct err *err)
{
	if (place && dup3(fd, place, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "moving a terminal to descriptor %d", place);
	return 0;
}

static int open_currents(struct restore *r, struct terminal *t, struct err *err)
{
	struct tty_end *e;

	for (e = t->ends; e; e = e->next) {
		const char *path = tty_end_path(r, e);

		if (!e->obj->needed || e->side->class != TTY_CURRENT || e->fd >= 0)
			continue;
		e->fd = tty_open_current(r, t, path ? path : "/dev/tty", open_flags(e), err);
		if (e->fd < 0)
			return e->fd;
	}
	return 0;
}

static int make_new(struct restore *r, struct terminal *t, struct err *err)
{
	struct tty_end *master = end_of(t, TTY_MASTER);
	int n = open_master(r, t, err);

	if (n == 0 && needs_slave(t)) {
		t->slave_fd = open_peer(t, O_RDWR | O_NOCTTY | O_CLOEXEC, err);
		n = t->slave_fd < 0 ? t->slave_fd : open_slaves(r, t, err);
	}
	if (n == 0)
		n = dress_new(r, t, err);
	if (n == 0)
		n = open_currents(r, t, err);
	if (n == 0 && t->slave_fd >= 0)
		n = put_in_place(t->slave_fd, t->place, err);
	if (n == 0 && t->master)
		n = set_master_modes(t, err);
	if (n == 0)
		n = put_in_place(t->master_fd, t->master_place, err);
	if (t->slave_fd >= 0)
		close(take_fd(&t->slave_fd));
	/* without a master that is kept the slaves are hung up now */
	if (n == 0 && master)
		master->fd = take_fd(&t->master_fd);
	else if (t->master_fd >= 0)
		close(take_fd(&t->master_fd));
	return n;
}

/* A device that is there: what it is set to is its own, and comes back with whoever opens it. */
static int make_by_path(struct restore *r, struct terminal *t, struct err *err)
{
	struct tty_end *e;
	int n = 0;

	for (e = t->ends; e && n == 0; e = e->next) {
		const char *path = tty_end_path(r, e);
		struct stat st;

		if (!e->obj->needed || e->side->class == TTY_CURRENT)
			continue;
		if (!path)
			return err_image(err, "terminal %u has no path", e->side->info->id);
		/* a serial line would wait for a carrier */
		e->fd = open(path, open_flags(e) | O_NONBLOCK);
		if (e->fd < 0 || fstat(e->fd, &st) < 0)
			return err_sys(err, -errno, "opening terminal '%s'", path);
		if (!S_ISCHR(st.st_mode) || (uint32_t)st.st_rdev != e->side->info->rdev)
			return err_new(err, ERR_ENVIRONMENT, -ESTALE,
				       "'%s' is another device than at the dump", path);
		n = apply_settings(e->side, e->fd, true, err);
		if (n == 0)
			n = put_in_place(e->fd, t->place, err);
		t->slave_fd = e->fd;
	}
	if (n == 0)
		n = open_currents(r, t, err);
	if (n == 0)
		n = set_exclusive(t->slave, t->slave_fd, err);
	t->slave_fd = -EBADF;
	return n;
}

/* The size is the window's that is there now. One that has none gets the old one. */
static int dress_given(const struct tty_side *side, int fd, struct err *err)
{
	struct winsize w = { 0 };
	bool sized = ioctl(fd, TIOCGWINSZ, &w) == 0 && (w.ws_row || w.ws_col);

	return apply_settings(side, fd, !sized, err);
}

static int make_given(struct restore *r, struct terminal *t, struct err *err)
{
	struct tty_end *e;
	int n = 0;

	for (e = t->ends; e && n == 0; e = e->next) {
		const char *key = tty_side_key(r, e->side);

		if (!e->obj->needed || e->side->class == TTY_CURRENT)
			continue;
		if (!key)
			return err_nomem(err);
		n = files_inherit_key(r, e->obj, key, &e->fd, err);
		if (n == 0)
			return err_new(err, ERR_USAGE, -ENOENT, "terminal '%s' was not given", key);
		if (n > 0)
			n = dress_given(e->side, e->fd, err);
		if (n == 0)
			n = put_in_place(e->fd, t->place, err);
		t->slave_fd = e->fd;
	}
	if (n == 0)
		n = open_currents(r, t, err);
	t->slave_fd = -EBADF;
	return n;
}

/* Opened again where that can be: flags of the tree's descriptions are not the caller's business.
 */
static int open_callers(const struct restore *r, const struct tty_end *end, int caller)
{
	int fd = restore_reopen(r, caller, open_flags(end));

	return fd >= 0 ? fd : fcntl(caller, F_DUPFD_CLOEXEC, 3);
}

static int make_callers(struct restore *r, struct terminal *t, struct err *err)
{
	struct tty_end *e;
	int caller = 0, n;

	while (caller < 3 && !isatty(caller))
		caller++;
	if (caller == 3)
		return err_new(err, ERR_USAGE, -ENOTTY,
			       "--shell-job: standard input, output and error are no terminal");
	n = put_in_place(caller, t->place, err);
	for (e = t->ends; e && n == 0; e = e->next) {
		if (!e->obj->needed || e->side->class == TTY_CURRENT)
			continue;
		e->fd = open_callers(r, e, caller);
		if (e->fd < 0)
			return err_sys(err, -errno, "opening the terminal of this command");
		n = dress_given(e->side, e->fd, err);
	}
	t->slave_fd = caller;
	if (n == 0)
		n = open_currents(r, t, err);
	t->slave_fd = -EBADF;
	return n;
}

static unsigned int index_of(const struct terminal *t)
{
	return (t->slave ? t->slave : t->master)->info->pty->index;
}

static int by_index(const void *a, const void *b)
{
	unsigned int x = index_of(*(struct terminal *const *)a);
	unsigned int y = index_of(*(struct terminal *const *)b);

	return x < y ? -1 : x > y;
}

static int make_one(struct restore *r, struct terminal *t, struct err *err)
{
	struct tty_end *e;
	int n = make_new(r, t, err);

	t->made = true;
	for (e = t->ends; e && n == 0; e = e->next)
		if (e->fd >= 0 && (e->fd = files_put_in_place(e->obj, e->fd, err)) < 0)
			n = e->fd;
	return n;
}

/*
 * New pseudo terminals are made all at once, by their numbers: so a number is opened once, however
 * many there are and whatever the order of their files is.
 */
static int make_all_new(struct restore *r, struct err *err)
{
	struct restore_ttys *all = tty_restore_state(r);
	VEC(struct terminal *) list = { 0 };
	struct terminal *t, **it;
	int n = 0, *fd;

	for (t = all->terminals; t; t = t->next)
		if (t->how == TTY_NEW && !t->made && (it = vec_add(&list)))
			*it = t;
		else if (t->how == TTY_NEW && !t->made)
			n = err_nomem(err);
	qsort(list.v, list.n, sizeof(*list.v), by_index);
	vec_foreach (it, &list)
		if (n == 0)
			n = make_one(r, *it, err);
	vec_foreach (fd, &all->fillers)
		close(*fd);
	vec_free(&all->fillers);
	vec_free(&list);
	return n;
}

int tty_make(struct restore *r, struct terminal *t, struct err *err)
{
	switch (t->how) {
	case TTY_NEW:
		return make_all_new(r, err);
	case TTY_PATH:
		return make_by_path(r, t, err);
	case TTY_GIVEN:
		return make_given(r, t, err);
	case TTY_CALLERS:
		return make_callers(r, t, err);
	case TTY_UNDECIDED:
		break;
	}
	return err_new(err, ERR_INTERNAL, -EINVAL, "a terminal that nobody has linked");
}
