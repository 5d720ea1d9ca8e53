/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dump of terminals: each description as it is met. Everything here can be asked through our own
 * duplicate of the descriptor, and nothing is changed by asking.
 */
#include "engine/files/tty.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/kinds.h"
#include "engine/ns/ns.h"
#include "proto/files.pb-c.h"

/*
 * CRIU keeps the sides in a table of this size, and those that are no pseudo terminals at numbers
 * of their own. A side that finds its number taken gets one that is free.
 */
enum { CRIU_SIDES = 1088, CRIU_CONSOLE = 1002, CRIU_VT = 1004, CRIU_CURRENT = 1006 };
enum { CRIU_SERIAL = 1010, CRIU_EXTERNAL = 1013, CRIU_PTY_MAX = 1000, FREE_FIRST = 1077 };

struct dump_ttys *ttys_of(struct dump *d)
{
	return files_dump_state(d, &kind_tty, sizeof(struct dump_ttys));
}

/* ---- identity ---- */

static bool is_pty(enum tty_class class)
{
	return class == TTY_MASTER || class == TTY_SLAVE;
}

static uint32_t number_wanted(const struct dump_tty *t)
{
	if (t->external)
		return CRIU_EXTERNAL;
	switch (t->class) {
	case TTY_CONSOLE:
		return CRIU_CONSOLE;
	case TTY_VIRTUAL:
		return CRIU_VT;
	case TTY_CURRENT:
		return CRIU_CURRENT;
	case TTY_SERIAL:
		return CRIU_SERIAL;
	default:
		return t->index <= CRIU_PTY_MAX ? t->index : FREE_FIRST;
	}
}

struct dump_tty *tty_namesakes(const struct dump_ttys *all, enum tty_class class, dev_t rdev,
			       unsigned int index)
{
	return idmap_find(&all->by_number, class, is_pty(class) ? index : rdev);
}

static int add_namesake(struct dump *d, struct dump_ttys *all, struct dump_tty *t)
{
	struct dump_tty *first = tty_namesakes(all, t->class, t->rdev, t->index);

	if (!first)
		return idmap_put(&all->by_number, &d->arena, t->class,
				 is_pty(t->class) ? t->index : t->rdev, t);
	t->namesake = first->namesake;
	first->namesake = t;
	return 0;
}

/* Both sides of a terminal have one number: that of the other one, if that is known already. */
static const struct dump_tty *other_side(const struct dump_ttys *all, const struct dump_tty *mine)
{
	enum tty_class class = mine->class == TTY_MASTER ? TTY_SLAVE : TTY_MASTER;
	const struct dump_tty *t, *found = NULL;

	if (!is_pty(mine->class) || mine->external)
		return NULL;
	for (t = tty_namesakes(all, class, 0, mine->index); t; t = t->namesake) {
		if (!t->info || t->external)
			continue;
		if (t->instance == mine->instance)
			return t;
		if (!t->instance || !mine->instance)
			found = t;
	}
	return found;
}

static bool number_is_taken(const struct dump_ttys *all, uint32_t n)
{
	return idmap_find(&all->ids_taken, n, 0);
}

static int number_of_side(struct dump *d, struct dump_ttys *all, struct dump_tty *mine,
			  uint32_t *ret)
{
	const struct dump_tty *other = other_side(all, mine);
	uint32_t n = number_wanted(mine);

	if (other) {
		*ret = other->info->id >> 1;
		return 0;
	}
	if (number_is_taken(all, n)) {
		n = all->next_free > FREE_FIRST ? all->next_free : FREE_FIRST;
		while (number_is_taken(all, n))
			n++;
		all->next_free = n + 1;
	}
	*ret = n;
	return idmap_put(&all->ids_taken, &d->arena, n, 0, mine);
}

/*
 * The devpts that a terminal belongs to. A master that was opened by a device node outside of
 * devpts belongs to the one mounted on "pts" beside that node: that is how the kernel finds it.
 */
static dev_t instance_of(const struct file_ref *ref, enum tty_class class)
{
	const struct fd_facts *f = &ref->facts;
	const char *slash = strrchr(f->link, '/');
	char path[4200];
	struct stat st;

	if (f->fs_magic == DEVPTS_SUPER_MAGIC)
		return f->st.st_dev;
	if (class != TTY_MASTER || !slash)
		return 0;
	snprintf(path, sizeof(path), "root%.*s/pts", (int)(slash - f->link), f->link);
	return fstatat(ref->task->proc_fd, path, &st, 0) == 0 ? st.st_dev : 0;
}

static struct dump_tty *find_side(struct dump_ttys *all, enum tty_class class, dev_t rdev,
				  unsigned int index, dev_t instance)
{
	struct dump_tty *t;

	for (t = tty_namesakes(all, class, rdev, index); t; t = t->namesake)
		if (!t->external &&
		    (!is_pty(class) || t->instance == instance || !t->instance || !instance))
			break;
	if (t && !t->instance)
		t->instance = instance;
	return t;
}

static bool is_external(struct dump *d, const struct stat *st)
{
	char id[64];
	size_t i, n;

	snprintf(id, sizeof(id), "tty[%lx:%lx]", (unsigned long)st->st_rdev,
		 (unsigned long)st->st_dev);
	n = strlen(id);
	for (i = 0; i < d->opts->externals.n; i++) {
		const char *given = d->opts->externals.v[i];

		if (strncmp(given, id, n) == 0 && (!given[n] || given[n] == ':'))
			return true;
	}
	return false;
}

/* ---- what a side is like ---- */

/* The format has the special characters packed, four to a number. */
static TermiosEntry *put_termios(struct dump *d, const struct termios2 *t)
{
	TermiosEntry *e = arena_alloc(&d->arena, sizeof(*e));

	if (!e)
		return NULL;
	termios_entry__init(e);
	e->c_iflag = t->c_iflag;
	e->c_oflag = t->c_oflag;
	e->c_cflag = t->c_cflag;
	e->c_lflag = t->c_lflag;
	e->c_line = t->c_line;
	e->c_ispeed = t->c_ispeed;
	e->c_ospeed = t->c_ospeed;
	e->n_c_cc = NCCS;
	e->c_cc = arena_alloc(&d->arena, NCCS * sizeof(*e->c_cc));
	if (!e->c_cc)
		return NULL;
	memcpy(e->c_cc, t->c_cc, sizeof(t->c_cc));
	return e;
}

static int capture_settings(struct dump *d, int fd, TtyInfoEntry *e, struct err *err)
{
	struct termios2 t, locked = { 0 };
	struct termios old;
	struct winsize w;

	if (ioctl(fd, TCGETS2, &t) < 0 || ioctl(fd, TIOCGLCKTRMIOS, &old) < 0 ||
	    ioctl(fd, TIOCGWINSZ, &w) < 0)
		return err_sys(err, -errno, "reading the settings of a terminal");
	locked.c_iflag = old.c_iflag;
	locked.c_oflag = old.c_oflag;
	locked.c_cflag = old.c_cflag;
	locked.c_lflag = old.c_lflag;
	locked.c_line = old.c_line;
	memcpy(locked.c_cc, old.c_cc, sizeof(old.c_cc));
	e->termios = put_termios(d, &t);
	e->termios_locked = put_termios(d, &locked);
	e->winsize = arena_alloc(&d->arena, sizeof(*e->winsize));
	if (!e->termios || !e->termios_locked || !e->winsize)
		return err_nomem(err);
	winsize_entry__init(e->winsize);
	e->winsize->ws_row = w.ws_row;
	e->winsize->ws_col = w.ws_col;
	e->winsize->ws_xpixel = w.ws_xpixel;
	e->winsize->ws_ypixel = w.ws_ypixel;
	return 0;
}

static int capture_modes(int fd, enum tty_class class, TtyInfoEntry *e, struct err *err)
{
	int exclusive = 0, packet = 0, locked = 0;

	if (ioctl(fd, TIOCGEXCL, &exclusive) < 0)
		return err_sys(err, -errno, "reading the modes of a terminal");
	if (class == TTY_MASTER &&
	    (ioctl(fd, TIOCGPKT, &packet) < 0 || ioctl(fd, TIOCGPTLCK, &locked) < 0))
		return err_sys(err, -errno, "reading the modes of a master");
	e->exclusive = exclusive;
	e->packet_mode = packet;
	e->locked = locked;
	return 0;
}

/* Reading or writing such a terminal is not what it is for the others. 0 if it is usual. */
static int check_discipline(struct dump *d, const struct file_ref *ref)
{
	int n = N_TTY;

	if (ioctl(ref->lfd, TIOCGETD, &n) < 0 || n == N_TTY)
		return 0;
	dump_refuse(d, ref->task, "%s: '%s' has line discipline %d, which cannot be kept",
		    ref->what, ref->facts.link, n);
	return KIND_UNSUPPORTED;
}

static int fill_owner(struct dump *d, const struct stat *st, TtyInfoEntry *e, struct err *err)
{
	uint32_t uid = 0, gid = 0;

	/* an owner that is not mapped inside stays what the restore makes it */
	e->has_uid = ns_inside_uid(d, st->st_uid, &uid) == 0;
	e->has_gid = ns_inside_gid(d, st->st_gid, &gid) == 0;
	e->uid = uid;
	e->gid = gid;
	return 0;
}

static int fill_info(struct dump *d, struct dump_ttys *all, struct dump_tty *t, struct err *err)
{
	TtyInfoEntry *e = arena_alloc(&d->arena, sizeof(*e));
	const struct file_ref *ref = t->ref;
	uint32_t number;
	int r;

	if (!e || number_of_side(d, all, t, &number) < 0)
		return err_nomem(err);
	tty_info_entry__init(e);
	e->id = number << 1 | (t->class == TTY_MASTER && !t->external);
	t->info = e;
	e->type = t->external ? TTY_TYPE__EXT_TTY : (TtyType)tty_image_type(t->class);
	e->rdev = (uint32_t)t->rdev;
	e->has_dev = true;
	e->dev = (uint32_t)ref->facts.st.st_dev;
	if (is_pty(t->class) && !t->external) {
		e->pty = arena_alloc(&d->arena, sizeof(*e->pty));
		if (!e->pty)
			return err_nomem(err);
		tty_pty_entry__init(e->pty);
		e->pty->index = t->index;
	}
	r = fill_owner(d, &ref->facts.st, e, err);
	if (r < 0 || t->hung)
		return r;
	r = capture_modes(ref->lfd, t->class, e, err);
	return r == 0 ? capture_settings(d, ref->lfd, e, err) : r;
}

static int side_of(struct dump *d, struct file_ref *ref, enum tty_class class, dev_t rdev,
		   unsigned int index, struct dump_tty **ret, struct err *err)
{
	struct dump_ttys *all = ttys_of(d);
	bool through_current = ref->facts.st.st_rdev != rdev;
	dev_t instance = through_current ? 0 : instance_of(ref, class);
	bool external = !through_current && is_external(d, &ref->facts.st);
	struct dump_tty *t = !all || external ? NULL : find_side(all, class, rdev, index, instance);
	struct termios2 ignored;

	if (!all)
		return err_nomem(err);
	if (t) {
		*ret = t;
		/* a name of its own leads further than /dev/tty */
		if (t->ref->facts.st.st_rdev != rdev && !through_current)
			t->ref = ref;
		return 0;
	}
	t = arena_alloc(&d->arena, sizeof(*t));
	if (!t)
		return err_nomem(err);
	*t = (struct dump_tty){ .next = all->first,
				.class = class,
				.external = external,
				.index = index,
				.rdev = rdev,
				.instance = instance,
				.ref = ref };
	t->hung = ioctl(ref->lfd, TCGETS2, &ignored) < 0 && errno == EIO;
	if (add_namesake(d, all, t) < 0)
		return err_nomem(err);
	all->first = t;
	*ret = t;
	return fill_info(d, all, t, err);
}

/* ---- descriptions ---- */

/* The path is from the root of the tree's mount namespace, where a restore opens it. */
static bool path_leads_there(struct dump *d, const struct file_ref *ref)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	bool own_mounts = d->root_ns.id[NS_MNT] != d->host_ns.id[NS_MNT];
	cleanup_fd int root = own_mounts
				      ? openat(d->tasks.v[0]->proc_fd, "root", O_PATH | O_CLOEXEC)
				      : open("/", O_PATH | O_CLOEXEC);
	cleanup_fd int fd = -EBADF;
	struct stat st;

	if (root < 0)
		return false;
	fd = (int)syscall(SYS_openat2, root, ref->facts.link, &how, sizeof(how));
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
	       st.st_rdev == ref->facts.st.st_rdev &&
	       (ref->facts.fs_magic != DEVPTS_SUPER_MAGIC || st.st_dev == ref->facts.st.st_dev);
}

/* A slave has other ways to be opened than its name, if its master is there. */
static int check_path(struct dump *d, const struct file_ref *ref, const struct dump_tty *t)
{
	if (t->class == TTY_SLAVE || t->external || path_leads_there(d, ref))
		return 0;
	dump_refuse(
		d, ref->task,
		"%s: the terminal '%s' is not visible inside; hint: --external tty[%lx:%lx]:KEY",
		ref->what, ref->facts.link, (unsigned long)ref->facts.st.st_rdev,
		(unsigned long)ref->facts.st.st_dev);
	return KIND_UNSUPPORTED;
}

static int write_path(struct dump *d, const struct file_ref *ref, TtyFileEntry *e, struct err *err)
{
	static const char mark[] = " (deleted)";
	FownEntry fown = FOWN_ENTRY__INIT;
	RegFileEntry reg = REG_FILE_ENTRY__INIT;
	FileEntry fe = FILE_ENTRY__INIT;
	char *name = arena_strdup(&d->arena, ref->facts.link);
	size_t n = name ? strlen(name) : 0, m = sizeof(mark) - 1;

	if (!name)
		return err_nomem(err);
	if (n > m && strcmp(name + n - m, mark) == 0)
		name[n - m] = '\0';
	e->has_regf_id = true;
	e->regf_id = files_new_id(d);
	reg.id = e->regf_id;
	reg.flags = ref->facts.flags;
	reg.fown = &fown;
	reg.name = name;
	reg.has_mode = true;
	reg.mode = ref->facts.st.st_mode;
	if (d->mounts && d->root_ns.id[NS_MNT] != d->host_ns.id[NS_MNT]) {
		reg.has_mnt_id = true;
		reg.mnt_id = ref->facts.mnt_id;
	}
	fe.type = FD_TYPES__REG;
	fe.id = reg.id;
	fe.reg = &reg;
	return image_add(image_get(d->images, IMG_FILES, "files.img"), &fe.base) < 0
		       ? err_nomem(err)
		       : 0;
}

/* /dev/tty stands for the terminal that was the opener's at that time. */
static int behind_current(struct dump *d, struct file_ref *ref, TtyFileEntry *e, struct err *err)
{
	unsigned int dev = 0;
	struct dump_tty *behind;
	dev_t rdev;
	int r;

	if (ioctl(ref->lfd, TIOCGDEV, &dev) < 0) {
		if (errno != EIO)
			return err_sys(err, -errno, "asking for the terminal behind /dev/tty");
		dump_refuse(d, ref->task,
			    "%s: the terminal behind '%s' was hung up, which cannot be kept",
			    ref->what, ref->facts.link);
		return KIND_UNSUPPORTED;
	}
	/* the kernel's encoding for user space, which glibc shares for these numbers */
	rdev = makedev(dev >> 8 & 0xfff, (dev & 0xff) | (dev >> 12 & 0xfff00));
	r = side_of(d, ref, tty_class_of(rdev), rdev, minor(rdev), &behind, err);
	if (r != 0)
		return r;
	e->has_terminal_id = true;
	e->terminal_id = behind->info->id;
	return 0;
}

int tty_capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	TtyFileEntry *e = arena_alloc(&d->arena, sizeof(*e));
	enum tty_class class = tty_class_of(ref->facts.st.st_rdev);
	unsigned int index = minor(ref->facts.st.st_rdev);
	struct dump_tty *t;
	int r;

	if (!e)
		return err_nomem(err);
	tty_file_entry__init(e);
	fe->tty = e;
	e->id = ref->id;
	e->flags = ref->facts.flags;
	if (class == TTY_MASTER && ioctl(ref->lfd, TIOCGPTN, &index) < 0)
		return err_sys(err, -errno, "asking a master for its number");
	r = class == TTY_CURRENT ? behind_current(d, ref, e, err) : 0;
	if (r == 0)
		r = side_of(d, ref, class, ref->facts.st.st_rdev, index, &t, err);
	if (r == 0)
		r = check_discipline(d, ref);
	if (r == 0)
		r = check_path(d, ref, t);
	if (r != 0)
		return r;
	t->files++;
	e->tty_info_id = t->info->id;
	r = files_capture_fown(d, ref, &e->fown, err);
	return r == 0 && !t->external ? write_path(d, ref, e, err) : r;
}
