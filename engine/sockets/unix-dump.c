/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture of unix sockets: name, other end, and what waits in the queue. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/dump.h"
#include "engine/files/kinds.h"
#include "engine/ns/ns.h"
#include "engine/plugin/plugin.h"
#include "engine/sockets/diag.h"
#include "engine/sockets/socket-ns.h"
#include "engine/sockets/sockopts.h"
#include "engine/sockets/unix-priv.h"
#include "proto/files.pb-c.h"

struct extern_peer {
	struct extern_peer *next;
	uint32_t ino;
};

struct dump_unix {
	bool asked;
	struct unix_diags list; /* of the tree's network namespace */
	struct tree_socket *met;
	struct tree_socket **in_tree; /* the same by inode numbers */
	size_t n_in_tree;
	struct extern_peer *externs; /* written already */
};

static int by_number(const void *a, const void *b)
{
	uint32_t x = (*(struct tree_socket *const *)a)->ino,
		 y = (*(struct tree_socket *const *)b)->ino;

	return x < y ? -1 : x > y;
}

/* Every socket of the tree, in flight or not, has been looked into before the first is captured. */
static int list_tree(struct dump *d, struct dump_unix *all, struct err *err)
{
	struct tree_socket *t;
	size_t n = 0;

	if (all->in_tree)
		return 0;
	for (t = all->met; t; t = t->next)
		n++;
	all->in_tree = arena_alloc(&d->arena, (n + 1) * sizeof(*all->in_tree));
	if (!all->in_tree)
		return err_nomem(err);
	for (t = all->met; t; t = t->next)
		all->in_tree[all->n_in_tree++] = t;
	qsort(all->in_tree, n, sizeof(*all->in_tree), by_number);
	return unix_find_makers(d, all->met, err);
}

static struct tree_socket *find_in_tree(const struct dump_unix *all, uint32_t ino)
{
	struct tree_socket key = { .ino = ino }, *k = &key, **found;

	found = bsearch(&k, all->in_tree, all->n_in_tree, sizeof(k), by_number);
	return found ? *found : NULL;
}

static bool in_tree(const struct dump_unix *all, uint32_t ino)
{
	return find_in_tree(all, ino);
}

static int ask_kernel(struct dump *d, struct file_ref *ref, struct dump_unix *all, struct err *err)
{
	cleanup_fd int ns = -EBADF;
	int r = socket_open_ns(d, ref, &ns, err);

	if (r != 0 || all->asked)
		return r;
	r = diag_unix(&d->arena, ns, &all->list, err);
	all->asked = r == 0;
	return r;
}

#define REFUSE(d, ref, fmt, ...)                                                                  \
	(dump_refuse(d, (ref)->task, "%s: unix socket '%s' " fmt, (ref)->what, (ref)->facts.link, \
		     ##__VA_ARGS__),                                                              \
	 KIND_UNSUPPORTED)

/* ---- its name ---- */

/* What the path leads to from the root of the task. */
static int stat_inside(const struct dump_task *task, const char *path, struct stat *ret)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	cleanup_fd int root = openat(task->proc_fd, "root", O_PATH | O_CLOEXEC), fd = -EBADF;

	if (root < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	return fd < 0 || fstat(fd, ret) < 0 ? -errno : 0;
}

static int own_mnt_id(int fd, int *ret)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct proc_fdinfo info;
	char path[40];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	r = io_read_file(AT_FDCWD, path, &b);
	if (r == 0)
		r = proc_fdinfo_parse(b.data, b.len, &info);
	if (r == 0)
		*ret = info.mnt_id;
	return r;
}

/* The directory that a relative name started from: the file's path without the name. */
static char *name_dir(struct dump *d, const char *link, const char *name)
{
	size_t n = strlen(link), m = strlen(name);
	char *dir;

	while (strncmp(name, "./", 2) == 0) {
		name += 2;
		m -= 2;
	}
	if (n <= m || strcmp(link + n - m, name) != 0 || link[n - m - 1] != '/')
		return NULL;
	dir = arena_dup(&d->arena, link, n - m + 1);
	if (dir)
		dir[n - m > 1 ? n - m - 1 : 1] = '\0';
	return dir;
}

/* The name must lead to the file still; a file that is gone was deleted or, worse, renamed. */
static int check_path(struct dump *d, struct file_ref *ref, UnixSkEntry *e, const char *name,
		      const char *link, const struct stat *st)
{
	struct stat now;
	const char *path = name;

	if (name[0] != '/') {
		e->name_dir = name_dir(d, link, name);
		if (!e->name_dir)
			return REFUSE(d, ref, "is bound to '%s', and its file is '%s' now", name,
				      link);
		path = link;
	}
	if (e->deleted || (stat_inside(ref->task, path, &now) == 0 && now.st_dev == st->st_dev &&
			   now.st_ino == st->st_ino))
		return 0;
	return REFUSE(d, ref, "is bound to '%s', which was renamed or hidden by another file",
		      name);
}

static int capture_path(struct dump *d, struct file_ref *ref, UnixSkEntry *e, struct err *err)
{
	static const char mark[] = " (deleted)";
	cleanup_fd int fd = ioctl(ref->lfd, SIOC_UNIX_FILE);
	FilePermsEntry *perms = arena_alloc(&d->arena, sizeof(*perms));
	cleanup_free char *link = NULL;
	bool is_connection = e->type != SOCK_DGRAM && e->state == SK_ESTABLISHED;
	char self[40], *name;
	struct stat st;
	size_t n;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "opening the file that the socket is bound to");
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	r = io_readlink(AT_FDCWD, self, &link);
	if (r < 0)
		return err_sys(err, r, "reading the name of the file that the socket is bound to");
	name = arena_alloc(&d->arena, e->name.len + 1);
	if (!perms || !name)
		return err_nomem(err);
	memcpy(name, e->name.data, e->name.len);
	file_perms_entry__init(perms);
	perms->mode = st.st_mode;
	r = ns_inside_uid(d, st.st_uid, &perms->uid);
	if (r == 0)
		r = ns_inside_gid(d, st.st_gid, &perms->gid);
	if (r < 0)
		return REFUSE(d, ref,
			      "is bound to a file of user %u and group %u, who are not "
			      "in the tree's user namespace",
			      st.st_uid, st.st_gid);
	e->file_perms = perms;
	n = strlen(link);
	if (n >= sizeof(mark) && strcmp(link + n - (sizeof(mark) - 1), mark) == 0 && !st.st_nlink) {
		link[n - (sizeof(mark) - 1)] = '\0';
		e->has_deleted = e->deleted = true;
	}
	if (d->mounts && d->root_ns.id[NS_MNT] != d->host_ns.id[NS_MNT]) {
		r = own_mnt_id(fd, &e->mnt_id);
		if (r < 0)
			return err_sys(err, r, "finding the mount of '%s'", name);
		e->has_mnt_id = true;
	}
	/* an accepted socket has its listener's name; what became of the file is the listener's
	 * matter */
	if (!is_connection)
		return check_path(d, ref, e, name, link, &st);
	if (name[0] != '/')
		e->name_dir = name_dir(d, link, name);
	return 0;
}

/* ---- its other end ---- */

static bool is_external(const struct dump *d, uint32_t ino)
{
	char id[32];
	size_t i;

	snprintf(id, sizeof(id), "unix[%u]", ino);
	for (i = 0; i < d->opts->externals.n; i++)
		if (strcmp(d->opts->externals.v[i], id) == 0)
			return true;
	return false;
}

/* The entry of a socket outside: a name to connect to. */
static int write_extern(struct dump *d, struct dump_unix *all, const struct unix_diag *peer,
			struct err *err)
{
	struct extern_peer *x;
	FileEntry fe = FILE_ENTRY__INIT;
	UnixSkEntry e = UNIX_SK_ENTRY__INIT;
	FownEntry fown = FOWN_ENTRY__INIT;
	SkOptsEntry opts = SK_OPTS_ENTRY__INIT;

	for (x = all->externs; x; x = x->next)
		if (x->ino == peer->ino)
			return 0;
	x = arena_alloc(&d->arena, sizeof(*x));
	if (!x)
		return err_nomem(err);
	*x = (struct extern_peer){ all->externs, peer->ino };
	all->externs = x;
	e.id = files_new_id(d);
	e.ino = peer->ino;
	e.type = SOCK_DGRAM;
	e.state = SK_LISTEN;
	e.name.data = (uint8_t *)peer->name;
	e.name.len = peer->name_len;
	e.uflags = USK_EXTERN;
	e.fown = &fown;
	e.opts = &opts;
	fe.type = FD_TYPES__UNIXSK;
	fe.id = e.id;
	fe.usk = &e;
	if (image_add(image_get(d->images, IMG_FILES, "files.img"), &fe.base) < 0)
		return err_nomem(err);
	return 0;
}

static int capture_extern(struct dump *d, struct file_ref *ref, struct dump_unix *all,
			  const struct unix_diag *sk, const struct unix_diag *peer, struct err *err)
{
	if (peer && is_external(d, sk->ino))
		return write_extern(d, all, peer, err);
	if (sk->type != SOCK_DGRAM)
		return REFUSE(d, ref, "is connected to a socket outside of the tree");
	if (!peer || !peer->name_len)
		return REFUSE(d, ref,
			      "is connected to a socket outside of the tree that has no name");
	if (!d->opts->ext_unix_sk)
		return REFUSE(d, ref,
			      "is connected to a socket outside of the tree, '%s%.*s'; hint: allow "
			      "it with --ext-unix-sk",
			      peer->name[0] ? "" : "@", (int)(peer->name_len - !peer->name[0]),
			      peer->name + !peer->name[0]);
	return write_extern(d, all, peer, err);
}

/* The listener in whose queue the connection waits. */
static const struct unix_diag *listener_of(const struct dump_unix *all, uint32_t ino)
{
	size_t i, k;

	for (i = 0; i < all->list.n; i++)
		for (k = 0; k < all->list.v[i].n_icons; k++)
			if (all->list.v[i].icons[k] == ino)
				return &all->list.v[i];
	return NULL;
}

/*
 * A connection that is not accepted yet has no socket at the other end; the image names the
 * listener, and the restore connects to it anew. What was sent into it lies where nobody can look.
 */
static int capture_waiting(struct dump *d, struct file_ref *ref, struct dump_unix *all,
			   const struct unix_diag *sk, UnixSkEntry *e)
{
	const struct unix_diag *listener = listener_of(all, sk->ino);

	if (!listener && sk->shutdown == SK_SHUTDOWN__BOTH)
		return 0; /* the other end is closed */
	if (!listener)
		return REFUSE(d, ref, "has an other end that cannot be found");
	if (!in_tree(all, listener->ino))
		return REFUSE(d, ref, "waits to be accepted by a socket outside of the tree");
	if (sk->wqueue)
		return REFUSE(d, ref, "has sent data into a connection that is not accepted yet");
	e->peer = listener->ino;
	return 0;
}

static int check_backlog(struct dump *d, struct file_ref *ref, const struct dump_unix *all,
			 const struct unix_diag *sk)
{
	size_t i;

	for (i = 0; i < sk->n_icons; i++) {
		if (!sk->icons[i])
			return REFUSE(
				d, ref,
				"listens, and a connection that waits to be accepted was closed "
				"by its other end");
		if (!in_tree(all, sk->icons[i]))
			return REFUSE(
				d, ref,
				"listens, and a connection from outside of the tree waits to be "
				"accepted");
	}
	return 0;
}

static int capture_peer(struct dump *d, struct file_ref *ref, struct dump_unix *all,
			const struct unix_diag *sk, UnixSkEntry *e, struct err *err)
{
	const struct unix_diag *peer;

	if (sk->state == SK_LISTEN)
		return check_backlog(d, ref, all, sk);
	/* The client that dumps itself waits there for our answer. */
	if (sk->peer && sk->peer == d->opts->service_ino) {
		e->state = SK_CLOSE;
		e->uflags |= USK_SERVICE;
		return 0;
	}
	e->peer = sk->peer;
	if (!sk->peer)
		return sk->type != SOCK_DGRAM && sk->state == SK_ESTABLISHED
			       ? capture_waiting(d, ref, all, sk, e)
			       : 0;
	peer = diag_unix_find(&all->list, sk->peer);
	if (!in_tree(all, sk->peer)) {
		int r = plugins_dump_unix_sk(d->plugins, ref->lfd, sk->ino);

		if (r >= 0)
			e->uflags |= USK_CALLBACK;
		if (r != -ENOTSUP)
			return plugin_optional(err, r, "DUMP_UNIX_SK");
	}
	if (!in_tree(all, sk->peer))
		return capture_extern(d, ref, all, sk, peer, err);
	if (!peer)
		return REFUSE(d, ref, "is connected into another network namespace");
	if (peer->peer != sk->ino && !peer->name_len)
		return REFUSE(d, ref,
			      "is connected to a socket that has no name and another other end");
	return 0;
}

/* ---- its queue ---- */

static bool has_packets(const struct file_ref *ref, const struct unix_diag *sk)
{
	struct pollfd p = { .fd = ref->lfd, .events = POLLIN };

	/* the length of the first packet may be 0; readable is also what is shut down */
	return sk->rqueue || (!(sk->shutdown & 1) && poll(&p, 1, 0) == 1 && p.revents & POLLIN);
}

static int number_option(int sk, int name, int fallback)
{
	int value = fallback;
	socklen_t len = sizeof(value);

	return getsockopt(sk, SOL_SOCKET, name, &value, &len) == 0 ? value : fallback;
}

static int capture_queue(struct dump *d, const struct file_ref *ref, const struct unix_diag *sk,
			 struct err *err)
{
	int unread = 0, r;
	struct queue_source q = {
		.task = ref->task,
		.what = ref->what,
		.id = ref->id,
		.peek = { .sk = ref->lfd,
			  .type = sk->type,
			  .peek_off = number_option(ref->lfd, SO_PEEK_OFF, -1),
			  .passcred = number_option(ref->lfd, SO_PASSCRED, 0),
			  .rcv_shut = sk->shutdown & 1 },
	};

	if (sk->type == SOCK_STREAM && ioctl(ref->lfd, SIOCINQ, &unread) < 0)
		return err_sys(err, -errno, "asking for the length of the queue");
	q.peek.unread = (size_t)unread;
	if (sk->type == SOCK_STREAM ? !unread : !has_packets(ref, sk))
		return 0;
	r = queue_capture(d, &q, err);
	return r == QUEUE_IS_ODD ? REFUSE(d, ref, "has urgent data (MSG_OOB) in its queue") : r;
}

int unix_look_inside(struct dump *d, struct file_ref *ref, struct err *err)
{
	struct dump_unix *all = files_dump_state(d, &kind_unix, sizeof(*all));
	struct tree_socket *t = arena_alloc(&d->arena, sizeof(*t));
	const struct unix_diag *sk;
	int r;

	if (!all || !t)
		return err_nomem(err);
	r = ask_kernel(d, ref, all, err);
	if (r != 0)
		return r;
	*t = (struct tree_socket){ all->met, (uint32_t)ref->facts.st.st_ino, ref->lfd };
	all->met = t;
	sk = diag_unix_find(&all->list, t->ino);
	return sk && sk->state != SK_LISTEN ? capture_queue(d, ref, sk, err) : 0;
}

/* ---- all of it ---- */

static int check_kind(struct dump *d, struct file_ref *ref, const struct unix_diag *sk)
{
	if (!sk)
		return REFUSE(d, ref, "is not in the kernel's list");
	if (sk->type != SOCK_STREAM && sk->type != SOCK_DGRAM && sk->type != SOCK_SEQPACKET)
		return REFUSE(d, ref, "is of type %d", sk->type);
	if (sk->state != SK_ESTABLISHED && sk->state != SK_CLOSE && sk->state != SK_LISTEN)
		return REFUSE(d, ref, "is in state %d", sk->state);
	return 0;
}

static void fill(const struct dump *d, const struct file_ref *ref, const struct unix_diag *sk,
		 UnixSkEntry *e)
{
	e->id = ref->id;
	e->ino = sk->ino;
	e->type = sk->type;
	e->state = sk->state;
	e->flags = ref->facts.flags;
	e->backlog = sk->wqueue;
	e->name.data = (uint8_t *)sk->name;
	e->name.len = sk->name_len;
	e->has_ns_id = true;
	e->ns_id = d->root_ns.id[NS_NET];
	if (sk->shutdown) {
		e->has_shutdown = true;
		e->shutdown = (SkShutdown)sk->shutdown;
	}
	e->peek_off = number_option(ref->lfd, SO_PEEK_OFF, -1);
	e->has_peek_off = e->peek_off != -1;
	if (sk->type == SOCK_DGRAM && sk->has_peer && !sk->peer)
		e->has_peer_closed = e->peer_closed = true;
}

static int write_entry(struct dump *d, const struct dump_unix *all, struct tree_socket *self,
		       const FileEntry *fe, struct err *err)
{
	const FileEntry *kept = arena_dup(&d->arena, fe, sizeof(*fe));
	struct tree_socket *peer = fe->usk->peer ? find_in_tree(all, fe->usk->peer) : NULL;
	const struct unix_diag *theirs = peer ? diag_unix_find(&all->list, peer->ino) : NULL;
	bool mutual = theirs && theirs->peer == self->ino;
	int r;

	if (!kept)
		return err_nomem(err);
	r = unix_write_in_order(d, self, mutual ? NULL : peer, kept, err);
	return r < 0 ? r : KIND_WRITES_LATER;
}

int unix_capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	struct dump_unix *all = files_dump_state(d, &kind_unix, sizeof(*all));
	UnixSkEntry *e = arena_alloc(&d->arena, sizeof(*e));
	struct tree_socket *self;
	const struct unix_diag *sk;
	int r;

	if (!all || !e)
		return err_nomem(err);
	unix_sk_entry__init(e);
	fe->usk = e;
	r = list_tree(d, all, err);
	if (r < 0)
		return r;
	self = find_in_tree(all, (uint32_t)ref->facts.st.st_ino);
	if (!self)
		return KIND_UNSUPPORTED; /* refused when it was looked into */
	sk = diag_unix_find(&all->list, (uint32_t)ref->facts.st.st_ino);
	r = check_kind(d, ref, sk);
	if (r != 0)
		return r;
	fill(d, ref, sk, e);
	r = files_capture_fown(d, ref, &e->fown, err);
	if (r == 0)
		r = sockopts_capture(d, ref, &(struct sk_ident){ AF_UNIX, sk->type, 0, false },
				     &e->opts, err);
	if (r == 0)
		r = unix_capture_cred(d, self, e, err);
	if (r == 0 && e->name.len && e->name.data[0])
		r = capture_path(d, ref, e, err);
	if (r == 0)
		r = capture_peer(d, ref, all, sk, e, err);
	return r == 0 ? write_entry(d, all, self, fe, err) : r;
}
