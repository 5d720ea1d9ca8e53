/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper: a child that takes out what is on its way through the tree's pseudo terminals. It
 * works in memory that it shares with us and outlives us, so that nothing is lost when we are
 * killed: an end of file on its socket means that the data goes back.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/keeper.h"
#include "engine/files/terminals.h"
#include "engine/files/tty-queue.h"
#include "engine/files/tty.h"
#include "proto/files.pb-c.h"

/* One terminal. Written by the keeper before it says that it is through. */
struct kept {
	int failed; /* negative errno */
	struct termios2 settings;
	struct tty_queue input, output;
};

struct tty_keeper {
	struct keeper keeper;
	size_t n, taken; /* taken: as the keeper knows it */
	struct dump_tty **masters;
	struct kept *kept; /* shared */
};

/* ---- in the keeper ---- */

/*
 * A description of our own, as the task's would wait for input. A locked master lets nobody open
 * the slave.
 */
static int open_slave(int master, bool locked)
{
	int no = 0, yes = 1, fd, code;

	if (locked)
		ioctl(master, TIOCSPTLCK, &no);
	fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	code = errno;
	if (locked)
		ioctl(master, TIOCSPTLCK, &yes);
	return fd < 0 ? -code : fd;
}

static void set_packet_mode(const struct dump_tty *master, int on)
{
	if (master->info->packet_mode)
		ioctl(master->ref->lfd, TIOCPKT, &on);
}

static int take_one(const struct dump_tty *master, struct kept *k)
{
	cleanup_fd int slave = open_slave(master->ref->lfd, master->info->locked);
	int r;

	if (slave < 0)
		return slave;
	if (ioctl(slave, TCGETS2, &k->settings) < 0)
		return -errno;
	set_packet_mode(master, 0);
	r = tty_queue_take_input(slave, &k->input);
	/* after the input, which may still have been echoed */
	if (r == 0)
		r = tty_queue_take_output(master->ref->lfd, &k->output);
	set_packet_mode(master, 1);
	/* what waited in front of a full buffer has been processed by now: signals were sent */
	if (r == 0 && k->input.n_lines && k->input.len >= TTY_PROCESSED_MAX)
		r = -E2BIG;
	return r;
}

static void put_one(const struct dump_tty *master, const struct kept *k)
{
	cleanup_fd int slave = open_slave(master->ref->lfd, master->info->locked);

	if (slave < 0)
		return;
	set_packet_mode(master, 0);
	tty_queue_put_input(master->ref->lfd, slave, &k->settings, &k->input);
	tty_queue_put_output(slave, &k->settings, &k->output);
	set_packet_mode(master, 1);
}

static void take_all(void *arg)
{
	struct tty_keeper *k = arg;
	int r = 0;

	while (k->taken < k->n && r >= 0) {
		r = take_one(k->masters[k->taken], &k->kept[k->taken]);
		k->kept[k->taken++].failed = r;
	}
}

static void put_all(void *arg)
{
	const struct tty_keeper *k = arg;
	size_t i;

	for (i = 0; i < k->taken; i++)
		put_one(k->masters[i], &k->kept[i]);
}

/* ---- in the engine ---- */

/* Data can be in it: the slave is open in the tree, or was open and is closed for good. */
static bool to_be_drained(const struct dump_tty *t)
{
	return t->class == TTY_MASTER && !t->external && !t->hung &&
	       ((t->peer && t->peer->files) || t->info->slave_closed);
}

static int keeper_new(struct dump *d, struct dump_ttys *all, struct tty_keeper **ret,
		      struct err *err)
{
	struct tty_keeper *k = arena_alloc(&d->arena, sizeof(*k));
	struct dump_tty *t;
	size_t n = 0;

	for (t = all->first; t; t = t->next)
		n += to_be_drained(t);
	*ret = NULL;
	if (!n)
		return 0;
	if (!k || !(k->masters = arena_alloc(&d->arena, n * sizeof(*k->masters))))
		return err_nomem(err);
	k->keeper.socket = -EBADF;
	for (t = all->first; t; t = t->next)
		if (to_be_drained(t))
			k->masters[k->n++] = t;
	k->kept = mmap(NULL, n * sizeof(*k->kept), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (k->kept == MAP_FAILED)
		return err_nomem(err);
	*ret = k;
	return 0;
}

static int check_taken(const struct tty_keeper *k, struct err *err)
{
	size_t i;

	for (i = 0; i < k->n; i++) {
		if (k->kept[i].failed == -E2BIG)
			return err_refuse(err,
					  "terminal %u: its buffer of input is full, and cannot be "
					  "kept; it was put back",
					  k->masters[i]->index);
		if (k->kept[i].failed < 0)
			return err_sys(err, k->kept[i].failed, "taking the data of terminal %u",
				       k->masters[i]->index);
	}
	return 0;
}

int tty_keeper_start(struct dump *d, struct dump_ttys *all, struct err *err)
{
	struct keeper_work work = { .what = "terminals' data",
				    .take = take_all,
				    .put_back = put_all };
	struct tty_keeper *k;
	int r = keeper_new(d, all, &k, err);

	if (r < 0 || !k)
		return r;
	all->keeper = k;
	work.arg = k;
	r = keeper_start(&k->keeper, &work, err);
	return r == 0 ? check_taken(k, err) : r;
}

static int write_queue(struct dump *d, uint32_t tty_id, const struct tty_queue *q)
{
	TtyDataEntry e = TTY_DATA_ENTRY__INIT;
	TtyLineEntry *line = arena_alloc(&d->arena, (q->n_lines + 1) * sizeof(*line));
	uint32_t i;

	if (!q->len && !q->n_lines)
		return 0;
	e.lines = arena_alloc(&d->arena, (q->n_lines + 1) * sizeof(*e.lines));
	if (!line || !e.lines)
		return -ENOMEM;
	e.tty_id = tty_id;
	e.data.data = (uint8_t *)q->bytes;
	e.data.len = q->len;
	e.n_lines = q->n_lines;
	for (i = 0; i < q->n_lines; i++) {
		tty_line_entry__init(&line[i]);
		line[i].len = q->lines[i].len;
		line[i].end = q->lines[i].end;
		e.lines[i] = &line[i];
	}
	return image_add(image_get(d->images, IMG_TTY_DATA, "tty-data.img"), &e.base);
}

int tty_keeper_write(struct dump *d, struct dump_ttys *all, struct err *err)
{
	const struct tty_keeper *k = all->keeper;
	size_t i;

	for (i = 0; k && i < k->n; i++) {
		uint32_t master = k->masters[i]->info->id;

		/* the id of the side that would read it; the slave's is the even one */
		if (write_queue(d, master & ~1u, &k->kept[i].input) < 0 ||
		    write_queue(d, master, &k->kept[i].output) < 0)
			return err_nomem(err);
	}
	return 0;
}

void tty_keeper_end(struct dump *d, struct dump_ttys *all, bool put_back)
{
	struct tty_keeper *k = all->keeper;

	if (!k)
		return;
	all->keeper = NULL;
	keeper_end(&k->keeper, put_back);
	munmap(k->kept, k->n * sizeof(*k->kept));
}

int terminals_drain(struct dump *d, struct err *err)
{
	struct dump_ttys *all = ttys_of(d);
	int r = all ? tty_keeper_start(d, all, err) : err_nomem(err);

	return r == 0 ? tty_keeper_write(d, all, err) : r;
}

void terminals_put_back(struct dump *d)
{
	struct dump_ttys *all = d->files ? ttys_of(d) : NULL;

	if (all)
		tty_keeper_end(d, all, true);
}

void terminals_done(struct dump *d)
{
	struct dump_ttys *all = d->files ? ttys_of(d) : NULL;

	if (all)
		tty_keeper_end(d, all, false);
}
