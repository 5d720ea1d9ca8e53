/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Terminals, private to tty*.c. A pseudo terminal has two sides, which the images call a tty_info
 * each: the master, with one description, and the slave, with any number. Other terminals have one
 * side. What is open is a tty_file_entry; the path that it was opened by is a file of its own
 * (regf_id).
 */
#pragma once

#include <sys/types.h>

#include "engine/base/idmap.h"
#include "engine/base/vec.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kind.h"

enum tty_class {
	TTY_OTHER, /* no terminal that we know */
	TTY_MASTER,
	TTY_SLAVE,
	TTY_CONSOLE,
	TTY_CURRENT, /* /dev/tty */
	TTY_VIRTUAL,
	TTY_SERIAL,
};

/* What a device number says. */
enum tty_class tty_class_of(dev_t rdev);

/* TtyType of the image for it. */
int tty_image_type(enum tty_class class);

struct FileEntry;
struct TtyInfoEntry;

/* The parts of kind_tty. */
int tty_capture(struct dump *d, struct file_ref *ref, struct FileEntry *fe, struct err *err);
int tty_load(struct restore *r, struct file_obj *obj, struct err *err);
int tty_link(struct restore *r, struct file_obj *obj, struct err *err);
int tty_create(struct restore *r, struct file_obj *obj, struct err *err);

/* ---- dump ---- */

/* One side. */
struct dump_tty {
	struct dump_tty *next;
	struct dump_tty *namesake; /* the next of the same class and number, of any devpts */
	struct dump_tty *peer;	   /* the other side; NULL: not in the tree, or none */
	enum tty_class class;
	bool external, hung;
	unsigned int index; /* of a pseudo terminal */
	dev_t rdev;
	dev_t instance;		    /* its devpts, 0: not known */
	uint32_t files;		    /* descriptions of it in the tree, /dev/tty not counted */
	const struct file_ref *ref; /* a description that leads to it */
	struct TtyInfoEntry *info;
};

struct tty_keeper;

struct dump_ttys {
	struct dump_tty *first;
	struct idmap by_number; /* class and index or device -> first of namesakes */
	struct idmap ids_taken; /* numbers of sides in the images */
	uint32_t next_free;	/* below it all free numbers have been given out */
	struct tty_keeper *keeper;
};

struct dump_ttys *ttys_of(struct dump *d);

/*
 * The first of the sides of a class with that index, or with that device if they are no pseudo
 * terminals; the others follow by namesake. NULL: there is none.
 */
struct dump_tty *tty_namesakes(const struct dump_ttys *all, enum tty_class class, dev_t rdev,
			       unsigned int index);

/*
 * The keeper is a process that takes the data out of pseudo terminals and holds it. Should this
 * process die it puts the data back, as it does when told to.
 */
int tty_keeper_start(struct dump *d, struct dump_ttys *all, struct err *err)
	__attribute__((warn_unused_result));

/* Adds what it holds to tty-data.img. */
int tty_keeper_write(struct dump *d, struct dump_ttys *all, struct err *err)
	__attribute__((warn_unused_result));

/* Puts the data back, or forgets it. The keeper ends. NULL allowed. */
void tty_keeper_end(struct dump *d, struct dump_ttys *all, bool put_back);

/* ---- restore ---- */

struct terminal;
struct tty_queue;

/* One side as the images describe it. */
struct tty_side {
	struct tty_side *next;
	struct terminal *terminal;
	enum tty_class class;
	struct TtyInfoEntry *info;
	struct TtyDataEntry *data; /* what waits to be read from it, or NULL */
};

/* A description. */
struct tty_end {
	struct tty_end *next;	   /* of the same terminal */
	struct terminal *terminal; /* of /dev/tty: the one behind it */
	struct file_obj *obj;
	struct tty_side *side;
	int fd; /* made along with another one and not yet taken */
};

/* How a terminal comes back. */
enum tty_how {
	TTY_UNDECIDED,
	TTY_NEW,     /* a new pseudo terminal with the same number */
	TTY_PATH,    /* a device that is there */
	TTY_GIVEN,   /* by the caller (--inherit-fd) */
	TTY_CALLERS, /* the terminal of the restore itself (--shell-job) */
};

struct terminal {
	struct terminal *next;
	enum tty_how how;
	struct tty_side *master, *slave; /* of no pseudo terminal: slave alone */
	struct tty_end *ends;
	bool made;
	bool hung;
	bool orphan;		     /* the client gets the master */
	struct restore_task *leader; /* of the session whose controlling terminal it is */
	int place;		 /* in builders: a descriptor for the session; 0: none is needed */
	int master_place;	 /* in the root builder: the orphaned master */
	int master_fd, slave_fd; /* while it is made */
};

struct restore_ttys {
	bool loaded;
	struct tty_side *sides;
	struct terminal *terminals;
	struct idmap by_id; /* sides */
	VEC(int)
	fillers; /* masters that only keep their numbers from others, while they are made */
	struct idmap pty_by_id; /* terminals by the number that both their sides have */
};

struct restore_ttys *tty_restore_state(struct restore *r);

/* tty-info.img and tty-data.img, once. */
int tty_load_sides(struct restore *r, struct restore_ttys *all, struct err *err)
	__attribute__((warn_unused_result));

/* The side of that id, or NULL. */
struct tty_side *tty_find_side(const struct restore_ttys *all, uint32_t id);

/* The settings of a side; false: there are none (it was hung up). */
struct termios2;
bool tty_side_settings(const struct tty_side *side, struct termios2 *ret);

/* The path that a description was opened by; of the arena or of the images. NULL: none is known. */
const char *tty_end_path(struct restore *r, const struct tty_end *end);

/* "tty[RDEV:DEV]": how --inherit-fd names a terminal. */
const char *tty_side_key(struct restore *r, const struct tty_side *side);

/*
 * In the root builder: makes a terminal with all its descriptions; with the first that is new, all
 * that are.
 */
int tty_make(struct restore *r, struct terminal *t, struct err *err)
	__attribute__((warn_unused_result));

/* The same for a description of /dev/tty, which leads to t. A descriptor or -errno. */
int tty_open_current(struct restore *r, struct terminal *t, const char *path, int flags,
		     struct err *err) __attribute__((warn_unused_result));
