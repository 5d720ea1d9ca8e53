/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unix sockets: what unix.c, unix-make.c and unix-name.c share. */
#pragma once

#include "engine/base/idmap.h"
#include "engine/core/errand.h"
#include "engine/core/restore.h"
#include "engine/files/kind.h"
#include "engine/sockets/queue.h"

struct UnixSkEntry;

/* Bits of the image's uflags. */
enum {
	USK_EXTERN = 1,	  /* not of the tree: only its name counts */
	USK_SERVICE = 2,  /* the connection to the service that made the dump */
	USK_CALLBACK = 4, /* a plugin makes it */
	USK_INHERIT = 8,
};

/* States of sockets, of the kernel's enum that all families share. */
enum { SK_ESTABLISHED = 1, SK_CLOSE = 7, SK_LISTEN = 10 };

/* The ioctl that opens the file a socket is bound to (O_PATH), since 4.10. */
#define SIOC_UNIX_FILE 0x89e0

/* A socket of a restore. */
struct usk {
	struct usk *next;
	struct file_obj *obj;
	const struct UnixSkEntry *e;
	struct usk *peer;
	int fd;	    /* made along with the others; then the place of its file */
	int helper; /* other end of a socket that has none in the images; sends what it has unread
		     */
	const struct errand_cred *own_cred;  /* as whom its first owner acts; or NULL */
	const struct errand_cred *peer_cred; /* whom SO_PEERCRED shall tell; NULL: nobody */
	bool named; /* has its name from the listener that it was accepted from */
	bool connected;
};

struct restore_unix {
	bool packets_loaded, made;
	struct sk_packets packets;
	struct usk *first;
	struct idmap by_ino;
};

/* ---- unix-cred.c: who made a connection ---- */

/* A socket of the tree, in flight or not. */
struct tree_socket {
	struct tree_socket *next;
	uint32_t ino;
	int lfd;
	pid_t maker; /* of its connection, by the number inside */
	bool maker_unknown;

	/* the order in files.img, see unix-order.c */
	bool written;
	const struct FileEntry *held;	  /* its entry, until that of its other end is written */
	struct tree_socket *waiting;	  /* those that wait for this one: the first */
	struct tree_socket *next_waiting; /* the next that waits for the same one */
};

/*
 * Writes the entry of s, or holds it back until that of peer has been written. peer: the one that
 * it is connected to and that is not connected to it; NULL: none. fe stays as it is.
 */
int unix_write_in_order(struct dump *d, struct tree_socket *s, struct tree_socket *peer,
			const struct FileEntry *fe, struct err *err);

/* Sets who made the connections of all of them. */
int unix_find_makers(struct dump *d, struct tree_socket *list, struct err *err);

/* Fills peer_cred of the message. */
int unix_capture_cred(struct dump *d, const struct tree_socket *s, struct UnixSkEntry *e,
		      struct err *err);

int unix_check_cred(const struct UnixSkEntry *e, struct err *err);

/* For link(): sets the two creds, and tells whose builders will be asked. */
void unix_plan_creds(struct restore *r, struct usk *u);

/* Whether the image tells that it was joined to another, and that it was not. */
bool unix_is_joined(const struct usk *u);
bool unix_is_unjoined(const struct usk *u);
bool unix_same_cred(const struct errand_cred *a, const struct errand_cred *b);

/* The kind's look_inside() and capture(). */
int unix_look_inside(struct dump *d, struct file_ref *ref, struct err *err);
int unix_capture(struct dump *d, struct file_ref *ref, struct FileEntry *entry, struct err *err);

/*
 * In the root builder: makes all sockets that are needed, with their names; fd of each is set then.
 * unix_fill_all() connects them and fills their queues, when all files of the tree are there.
 */
int unix_make_all(struct restore *r, struct restore_unix *all, struct err *err);
int unix_fill_all(struct restore *r, struct restore_unix *all, struct err *err);

/* The phase of unix_fill_all() that fills the queue of one datagram socket. */
int unix_fill_datagrams(struct restore *r, struct restore_unix *all, struct usk *u,
			struct err *err);

/* Is the other end of each other made by us, or only of one. */
bool unix_is_made_here(const struct usk *u);
bool unix_is_mutual(const struct usk *u);

bool unix_has_name(const struct usk *u);
bool unix_has_path(const struct usk *u);
bool unix_same_name(const struct usk *a, const struct usk *b);

/* Binds to its name; a path becomes a file with the owner and mode of the image. */
int unix_bind(struct usk *u, struct err *err);

/*
 * Binds a socket to the name of u where nobody sees the file: it lies in a file system of its own.
 * For names whose file is gone and for names that another socket has as well.
 */
int unix_bind_hidden(int fd, const struct usk *u, struct err *err);

/* Connects to a socket by its name; target_fd is that socket, or -1 if it is not ours. */
int unix_connect(int fd, const struct usk *target, int target_fd, struct err *err);

/* The same to a socket of ours, by the builder of whoever does it (NULL: by this one). */
int unix_connect_as(struct restore *r, const struct errand_cred *who, int fd,
		    const struct usk *target, int target_fd, struct err *err);

/*
 * The address to send to a named socket of ours: its name, or the way to its file, which stays open
 * at *ret_file (else -1). The length or -errno.
 */
struct sockaddr_un;
int unix_address(const struct usk *target, struct sockaddr_un *ret, int *ret_file);
