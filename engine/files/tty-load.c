/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore of terminals, before any process exists: the images, checked, and how each comes back. */
#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/tty.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/files/kinds.h"
#include "engine/files/tty-queue.h"
#include "engine/files/tty.h"
#include "engine/mem/load.h"
#include "proto/files.pb-c.h"

enum { INDEX_LIMIT = 1 << 20, PID_MAX = 1 << 22 };

struct restore_ttys *tty_restore_state(struct restore *r)
{
	return files_restore_state(r, &kind_tty, sizeof(struct restore_ttys));
}

struct tty_side *tty_find_side(const struct restore_ttys *all, uint32_t id)
{
	return idmap_find(&all->by_id, id, 0);
}

bool tty_side_settings(const struct tty_side *side, struct termios2 *ret)
{
	const TermiosEntry *e = side->info->termios;

	if (!e)
		return false;
	*ret = (struct termios2){ .c_iflag = e->c_iflag,
				  .c_oflag = e->c_oflag,
				  .c_cflag = e->c_cflag,
				  .c_lflag = e->c_lflag,
				  .c_line = (cc_t)e->c_line,
				  .c_ispeed = e->c_ispeed,
				  .c_ospeed = e->c_ospeed };
	memcpy(ret->c_cc, e->c_cc, sizeof(ret->c_cc));
	return true;
}

/* ---- tty-info.img ---- */

static int check_termios(const TtyInfoEntry *e, const TermiosEntry *t, struct err *err)
{
	if (!t)
		return 0;
	if (t->n_c_cc < NCCS)
		return err_image(err, "terminal %u has %zu special characters", e->id, t->n_c_cc);
	if (t->c_line != N_TTY)
		return err_refuse(err, "terminal %u has line discipline %u", e->id, t->c_line);
	return 0;
}

static int check_info(const TtyInfoEntry *e, enum tty_class class, struct err *err)
{
	bool all = e->termios && e->termios_locked && e->winsize;
	bool none = !e->termios && !e->termios_locked && !e->winsize;

	if (e->type != TTY_TYPE__EXT_TTY && tty_image_type(class) != (int)e->type)
		return err_image(err, "terminal %u of type %d is device %x", e->id, (int)e->type,
				 e->rdev);
	if ((e->type == TTY_TYPE__PTY) != !!e->pty)
		return err_image(err, "terminal %u of type %d %s number", e->id, (int)e->type,
				 e->pty ? "has a" : "has no");
	if (e->pty && e->pty->index >= INDEX_LIMIT)
		return err_image(err, "terminal %u has number %u", e->id, e->pty->index);
	if (!all && !(none && class == TTY_SLAVE))
		return err_image(err, "terminal %u lacks settings", e->id);
	if (e->sid > PID_MAX || e->pgrp > PID_MAX)
		return err_image(err, "terminal %u belongs to session %u, group %u", e->id, e->sid,
				 e->pgrp);
	if (check_termios(e, e->termios, err) < 0)
		return err->code;
	return check_termios(e, e->termios_locked, err);
}

/* The two sides of a pseudo terminal have ids that differ in the lowest bit. */
static struct terminal *terminal_of(struct restore *r, struct restore_ttys *all,
				    const TtyInfoEntry *e)
{
	struct terminal *t = e->pty ? idmap_find(&all->pty_by_id, e->id >> 1, 0) : NULL;

	if (t)
		return t;
	t = arena_alloc(&r->arena, sizeof(*t));
	if (!t || (e->pty && idmap_put(&all->pty_by_id, &r->arena, e->id >> 1, 0, t) < 0))
		return NULL;
	*t = (struct terminal){ .next = all->terminals, .master_fd = -EBADF, .slave_fd = -EBADF };
	all->terminals = t;
	return t;
}

static int add_side(struct restore *r, struct restore_ttys *all, TtyInfoEntry *e, struct err *err)
{
	enum tty_class class = tty_class_of((dev_t)e->rdev);
	struct tty_side *s = arena_alloc(&r->arena, sizeof(*s));

	if (check_info(e, class, err) < 0)
		return err->code;
	if (tty_find_side(all, e->id))
		return err_image(err, "terminal %u is there twice", e->id);
	if (!s)
		return err_nomem(err);
	*s = (struct tty_side){ .next = all->sides, .class = class, .info = e };
	s->terminal = terminal_of(r, all, e);
	if (!s->terminal || idmap_put(&all->by_id, &r->arena, e->id, 0, s) < 0)
		return err_nomem(err);
	all->sides = s;
	if (class == TTY_MASTER && e->pty)
		s->terminal->master = s;
	else
		s->terminal->slave = s;
	if (s->terminal->master && s->terminal->slave &&
	    s->terminal->master->info->pty->index != s->terminal->slave->info->pty->index)
		return err_image(err, "the sides of terminal %u have different numbers", e->id);
	s->terminal->hung = !e->termios;
	return 0;
}

static int load_infos(struct restore *r, struct restore_ttys *all, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n = image_open(r->images_fd, IMG_TTY_INFO, &reader, err, "tty-info.img");

	if (n == IMAGE_ABSENT)
		return err_image(err, "image 'tty-info.img' is missing");
	while (n >= 0) {
		TtyInfoEntry *e = NULL;

		n = image_next(reader, &tty_info_entry__descriptor, &e, err);
		if (n <= 0)
			break;
		if (restore_keep(r, e) < 0)
			return err_nomem(err);
		n = add_side(r, all, e, err);
	}
	return n < 0 ? err_wrap(err, n, "image 'tty-info.img'") : 0;
}

/* ---- tty-data.img ---- */

static int check_data(const TtyDataEntry *e, struct err *err)
{
	size_t i, sum = 0;

	if (e->data.len > TTY_QUEUE_MAX || e->n_lines > TTY_LINES_MAX)
		return err_image(err, "%zu bytes in %zu lines for terminal %u", e->data.len,
				 e->n_lines, e->tty_id);
	for (i = 0; i < e->n_lines; i++) {
		const TtyLineEntry *l = e->lines[i];

		if (l->len > e->data.len - sum || l->end > TTY_LINE_OPEN ||
		    (l->end == TTY_LINE_CHAR && !l->len) ||
		    (l->end == TTY_LINE_OPEN && i + 1 < e->n_lines))
			return err_image(err, "line %zu for terminal %u is not valid", i,
					 e->tty_id);
		sum += l->len;
	}
	if (e->n_lines && sum != e->data.len)
		return err_image(err, "the lines for terminal %u have %zu of %zu bytes", e->tty_id,
				 sum, e->data.len);
	return 0;
}

static int load_data(struct restore *r, struct restore_ttys *all, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n = image_open(r->images_fd, IMG_TTY_DATA, &reader, err, "tty-data.img");

	if (n == IMAGE_ABSENT)
		return 0;
	while (n >= 0) {
		struct tty_side *s;
		TtyDataEntry *e = NULL;

		n = image_next(reader, &tty_data_entry__descriptor, &e, err);
		if (n <= 0)
			break;
		if (restore_keep(r, e) < 0)
			return err_nomem(err);
		s = tty_find_side(all, e->tty_id);
		if (!s || s->data)
			n = err_image(err, "data for terminal %u, which %s", e->tty_id,
				      s ? "has some already" : "is not in 'tty-info.img'");
		else
			n = check_data(e, err);
		if (n == 0)
			s->data = e;
	}
	return n < 0 ? err_wrap(err, n, "image 'tty-data.img'") : 0;
}

int tty_load_sides(struct restore *r, struct restore_ttys *all, struct err *err)
{
	int n;

	if (all->loaded)
		return 0;
	all->loaded = true;
	n = load_infos(r, all, err);
	return n == 0 ? load_data(r, all, err) : n;
}

/* ---- descriptions ---- */

const char *tty_end_path(struct restore *r, const struct tty_end *end)
{
	const TtyFileEntry *e = end->obj->entry->tty;
	const struct file_obj *path = files_find(r, e->has_regf_id ? e->regf_id : e->id);

	if (path && path->kind == &kind_regular && path->entry->reg)
		return path->entry->reg->name;
	if (!end->side->info->pty)
		return NULL;
	if (end->side->class == TTY_MASTER)
		return "/dev/ptmx";
	return arena_printf(&r->arena, "/dev/pts/%u", end->side->info->pty->index);
}

const char *tty_side_key(struct restore *r, const struct tty_side *side)
{
	return arena_printf(&r->arena, "tty[%x:%x]", side->info->rdev, side->info->dev);
}

static struct tty_side *side_of_session(const struct restore_ttys *all, uint32_t sid)
{
	struct tty_side *s;

	for (s = all->sides; s; s = s->next)
		if (sid && s->info->sid == sid && s->class != TTY_CURRENT)
			return s;
	return NULL;
}

/* /dev/tty belongs to the terminal behind it. CRIU's images tell that by the session. */
static int side_behind(const struct restore_ttys *all, struct tty_side **s, const TtyFileEntry *e,
		       struct err *err)
{
	struct tty_side *behind;

	if ((*s)->class != TTY_CURRENT || (*s)->info->type == TTY_TYPE__EXT_TTY)
		return 0;
	behind = e->has_terminal_id ? tty_find_side(all, e->terminal_id)
				    : side_of_session(all, (*s)->info->sid);
	if (!behind || behind->class == TTY_CURRENT)
		return err_image(err, "file %u: the terminal behind /dev/tty is not in the images",
				 e->id);
	*s = behind;
	return 0;
}

int tty_load(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_ttys *all = tty_restore_state(r);
	const TtyFileEntry *e = obj->entry->tty;
	struct tty_end *end = arena_alloc(&r->arena, sizeof(*end));
	struct tty_side *s, *own;

	if (!e)
		return err_image(err, "file %u: a terminal without a description", obj->id);
	if (!all || !end)
		return err_nomem(err);
	if (tty_load_sides(r, all, err) < 0)
		return err->code;
	own = s = tty_find_side(all, e->tty_info_id);
	if (!s)
		return err_image(err, "file %u: terminal %u is not in 'tty-info.img'", obj->id,
				 e->tty_info_id);
	if ((e->flags & O_ACCMODE) == O_ACCMODE)
		return err_image(err, "file %u: flags 0%o are not valid", obj->id, e->flags);
	if (files_check_fown(obj, e->fown, err) < 0 || side_behind(all, &s, e, err) < 0)
		return err->code;
	*end = (struct tty_end){ .next = s->terminal->ends,
				 .terminal = s->terminal,
				 .obj = obj,
				 .side = own,
				 .fd = -EBADF };
	s->terminal->ends = end;
	obj->state = end;
	return 0;
}

/* ---- how it comes back ---- */

static bool is_given(struct restore *r, const struct tty_side *side)
{
	const char *key = side ? tty_side_key(r, side) : NULL;
	size_t i;

	for (i = 0; key && i < r->opts->n_inherit_fds; i++)
		if (strcmp(r->opts->inherit_fds[i].key, key) == 0)
			return true;
	return false;
}

static int no_master(const struct tty_side *slave, struct err *err)
{
	err_refuse(err, "the master of terminal %u is not in the images", slave->info->pty->index);
	err_hint(err,
		 "--shell-job uses the terminal of this command, --inherit-fd fd[N]:tty[%x:%x] "
		 "descriptor N",
		 slave->info->rdev, slave->info->dev);
	return -EOPNOTSUPP;
}

static int decide(struct restore *r, struct terminal *t, struct err *err)
{
	struct tty_side *any = t->slave ? t->slave : t->master;
	bool client = r->opts->orphan_pts_master && r->opts->notify;

	if (is_given(r, t->slave) || is_given(r, t->master)) {
		t->how = TTY_GIVEN;
	} else if (any->info->type == TTY_TYPE__EXT_TTY) {
		err_new(err, ERR_USAGE, -ENOENT, "external terminal '%s' was not given",
			tty_side_key(r, any));
		err_hint(err, "give it with --inherit-fd fd[N]:%s", tty_side_key(r, any));
		return -ENOENT;
	} else if (!any->info->pty) {
		t->how = TTY_PATH;
	} else if (t->master || t->hung || client) {
		t->how = TTY_NEW;
		t->orphan = !t->master && !t->hung;
	} else if (r->opts->shell_job) {
		t->how = TTY_CALLERS;
	} else {
		return no_master(t->slave, err);
	}
	return 0;
}

/* Its leader takes it. Where the session is outside, the terminal is without one (--shell-job). */
static int find_leader(struct restore *r, struct terminal *t, struct err *err)
{
	uint32_t sid = t->slave ? t->slave->info->sid : 0;
	struct restore_task **task;

	if (!sid && t->master)
		sid = t->master->info->sid;
	vec_foreach (task, &r->tasks)
		if (sid && !(*task)->dead && (*task)->ns_pid == (pid_t)sid &&
		    (*task)->ns_sid == (*task)->ns_pid)
			t->leader = *task;
	if (sid && !t->leader && !r->opts->shell_job && t->how != TTY_GIVEN)
		return err_image(err, "terminal %u belongs to session %u, which has no leader",
				 t->slave ? t->slave->info->id : t->master->info->id, sid);
	return 0;
}

int tty_link(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct tty_end *end = obj->state;
	struct terminal *t = end->terminal;

	if (t->how != TTY_UNDECIDED)
		return 0;
	if (decide(r, t, err) < 0 || find_leader(r, t, err) < 0)
		return err->code;
	if (t->leader || t->how == TTY_CALLERS)
		t->place = restore_reserve_fd(r);
	if (t->orphan)
		t->master_place = restore_reserve_fd(r);
	return 0;
}
