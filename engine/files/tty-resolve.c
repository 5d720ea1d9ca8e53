/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dump of terminals, once all descriptors are known: which sides belong together, whose controlling
 * terminals they are, and what of them cannot be kept.
 */
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "engine/files/terminals.h"
#include "engine/files/tty-queue.h"
#include "engine/files/tty.h"
#include "proto/files.pb-c.h"

static void find_peers(struct dump_ttys *all)
{
	struct dump_tty *m, *s;

	for (m = all->first; m; m = m->next) {
		if (m->class != TTY_MASTER || m->external)
			continue;
		for (s = tty_namesakes(all, TTY_SLAVE, 0, m->index); s; s = s->namesake) {
			if (s->external || s->hung || s->peer ||
			    (s->instance && m->instance && s->instance != m->instance))
				continue;
			m->peer = s;
			s->peer = m;
			break;
		}
	}
}

/* ---- what cannot be kept ---- */

static short ready(const struct dump_tty *t, short events)
{
	struct pollfd p = { .fd = t->ref->lfd, .events = events };

	return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

static int unread(const struct dump_tty *t)
{
	int n = 0;

	return ioctl(t->ref->lfd, TIOCINQ, &n) < 0 ? 0 : n;
}

static bool has_slave(const struct dump_tty *master)
{
	return master->peer && master->peer->files;
}

static void check_master(struct dump *d, struct dump_tty *m)
{
	const struct file_ref *ref = m->ref;
	short now = ready(m, POLLIN | POLLPRI);

	if ((ref->facts.flags & O_ACCMODE) != O_RDWR)
		dump_refuse(d, ref->task,
			    "%s: the master of terminal %u is open for one direction only",
			    ref->what, m->index);
	if (m->info->packet_mode && now & POLLPRI)
		dump_refuse(d, ref->task,
			    "%s: the master of terminal %u is in packet mode, and a change of its "
			    "state has not been read",
			    ref->what, m->index);
	if (has_slave(m))
		return;
	/* the mark of a slave that was open once; it is gone while one is open */
	m->info->has_slave_closed = true;
	m->info->slave_closed = now & POLLHUP;
	if (!(now & POLLHUP) && unread(m))
		dump_refuse(d, ref->task,
			    "%s: the slave of terminal %u is held outside, and has written what "
			    "the master has not read; hint: dump the process that has it along",
			    ref->what, m->index);
}

/*
 * A terminal is told to stop by a character or by tcflow(3), and takes no more output. It does not
 * take more either when the other side is full.
 */
static void check_flow(struct dump *d, const struct dump_tty *slave)
{
	const struct file_ref *ref = slave->ref;

	if ((ref->facts.flags & O_ACCMODE) == O_RDONLY || ready(slave, POLLOUT) & POLLOUT)
		return;
	if (unread(slave->peer) >= TTY_PROCESSED_MAX)
		return;
	dump_refuse(d, ref->task,
		    "%s: output to terminal %u is stopped (Ctrl-S), which cannot be kept; hint: "
		    "start it (Ctrl-Q)",
		    ref->what, slave->index);
}

static void check_lonely_slave(struct dump *d, const struct dump_tty *s)
{
	const struct file_ref *ref = s->ref;

	if (d->opts->shell_job || d->opts->orphan_pts_master)
		return;
	dump_refuse(d, ref->task,
		    "%s: the master of terminal '%s' is outside; hint: --shell-job uses the "
		    "terminal of the restore in its place, --external tty[%lx:%lx]:KEY one that "
		    "--inherit-fd gives",
		    ref->what, ref->facts.link, (unsigned long)ref->facts.st.st_rdev,
		    (unsigned long)ref->facts.st.st_dev);
}

/* One that is switched by signals to its owner, or that shows graphics, is more than settings. */
static void check_virtual(struct dump *d, const struct dump_tty *t)
{
	enum { VT_GETMODE_ = 0x5601, KDGETMODE_ = 0x4b3b, TEXT = 0 };
	struct {
		char mode, waitv;
		short relsig, acqsig, frsig;
	} mode = { 0 };
	int kd = TEXT;

	if (ioctl(t->ref->lfd, VT_GETMODE_, &mode) == 0 && mode.mode)
		dump_refuse(d, t->ref->task,
			    "%s: '%s' is switched by signals (VT_PROCESS), which cannot be kept",
			    t->ref->what, t->ref->facts.link);
	if (ioctl(t->ref->lfd, KDGETMODE_, &kd) == 0 && kd != TEXT)
		dump_refuse(d, t->ref->task, "%s: '%s' is in graphics mode, which cannot be kept",
			    t->ref->what, t->ref->facts.link);
}

static void check_side(struct dump *d, struct dump_tty *t)
{
	if (t->external || t->hung)
		return;
	if (t->class == TTY_MASTER)
		check_master(d, t);
	else if (t->class == TTY_SLAVE && !t->peer)
		check_lonely_slave(d, t);
	else if (t->class == TTY_SLAVE && t->files)
		check_flow(d, t);
	else if (t->class == TTY_VIRTUAL)
		check_virtual(d, t);
}

/* ---- controlling terminals ---- */

static const struct proc_stat *stat_of(const struct dump_task *t)
{
	return &t->threads.v[0]->stat;
}

static bool leads_session(const struct dump_task *t)
{
	return t->state != TASK_DEAD && t->ns_sid && t->ns_sid == t->ns_pid;
}

/* The number by which /proc/PID/stat names the terminal; 0: not known. */
static int number_of(const struct dump_tty *t)
{
	unsigned int dev = 0;

	return t->hung || ioctl(t->ref->lfd, TIOCGDEV, &dev) < 0 ? 0 : (int)dev;
}

static struct dump_task *leader_by_number(struct dump *d, int number)
{
	struct dump_task *const *t;

	vec_foreach (t, &d->tasks)
		if (number && leads_session(*t) && stat_of(*t)->tty_nr == number)
			return *t;
	return NULL;
}

/* A master may ask for the session; of another terminal only a member may. */
static struct dump_task *leader_of(struct dump *d, const struct dump_tty *t)
{
	const struct dump_tty *master = t->class == TTY_MASTER ? t : t->peer;
	struct dump_task *leader;
	pid_t sid = 0;

	if (!master || master->external)
		return leader_by_number(d, number_of(t));
	if (ioctl(master->ref->lfd, TIOCGSID, &sid) < 0 || !sid)
		return NULL;
	leader = dump_task_by_pid(d, sid);
	if ((!leader || !leads_session(leader)) && t == master && !d->opts->shell_job)
		dump_refuse(d, t->ref->task,
			    "%s: terminal %u is the controlling terminal of session %d, which is "
			    "outside; hint: --shell-job dumps it without",
			    t->ref->what, t->index, sid);
	return leader && leads_session(leader) ? leader : NULL;
}

/* The group inside; one without members only had a number, which is what CRIU wants to see. */
static uint32_t group_inside(struct dump *d, pid_t pgid)
{
	struct dump_task *const *t;

	vec_foreach (t, &d->tasks)
		if (stat_of(*t)->pgrp == pgid)
			return (uint32_t)(*t)->ns_pgid;
	return pgid > 0 && d->root_ns.id[NS_PID] == d->host_ns.id[NS_PID] ? (uint32_t)pgid : 0;
}

static int fill_session(struct dump *d, struct dump_tty *t, struct err *err)
{
	const struct dump_task *leader = leader_of(d, t);
	TtyInfoEntry *e = t->info;
	struct dump_task *const *m;

	if (!leader)
		return 0;
	e->sid = (uint32_t)leader->ns_pid;
	e->pgrp = group_inside(d, stat_of(leader)->tty_pgrp);
	e->without = arena_alloc(&d->arena, (d->tasks.n + 1) * sizeof(*e->without));
	if (!e->without)
		return err_nomem(err);
	vec_foreach (m, &d->tasks)
		if ((*m)->state != TASK_DEAD && (*m)->ns_sid == leader->ns_pid &&
		    !stat_of(*m)->tty_nr)
			e->without[e->n_without++] = (uint32_t)(*m)->ns_pid;
	return 0;
}

/* A controlling terminal that nobody has open would not come back. */
static void check_leaders(struct dump *d, const struct dump_ttys *all)
{
	struct dump_task *const *task;
	const struct dump_tty *t;

	vec_foreach (task, &d->tasks) {
		int number = leads_session(*task) ? stat_of(*task)->tty_nr : 0;

		for (t = all->first; t && number; t = t->next)
			if (t->info->sid == (uint32_t)(*task)->ns_pid)
				number = 0;
		if (number && !d->opts->shell_job)
			dump_refuse(d, *task,
				    "its controlling terminal (device %u:%u) is open nowhere in "
				    "the tree; hint: --shell-job dumps it without",
				    number >> 8 & 0xfff,
				    (number & 0xff) | (number >> 12 & 0xfff00));
	}
}

int terminals_resolve(struct dump *d, struct err *err)
{
	struct dump_ttys *all = ttys_of(d);
	struct dump_tty *t;
	int r = 0;

	if (!all)
		return err_nomem(err);
	find_peers(all);
	for (t = all->first; t && r == 0; t = t->next) {
		check_side(d, t);
		r = fill_session(d, t, err);
		if (r == 0 && image_add(image_get(d->images, IMG_TTY_INFO, "tty-info.img"),
					&t->info->base) < 0)
			r = err_nomem(err);
	}
	if (r == 0)
		check_leaders(d, all);
	return r;
}
