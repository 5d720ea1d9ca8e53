/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unix sockets: the kind, and loading of the images. unix-dump.c captures, unix-make.c makes them
 * again.
 *
 * Both ends of a connection must be in the tree; a datagram socket may be connected to a named
 * socket outside of it (--ext-unix-sk). What waits in queues can have descriptors with it, also of
 * these sockets themselves: so they are made when all tasks and all other files are there. The
 * kernel keeps who made a connection (SO_PEERCRED): so the builder of that task makes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/kinds.h"
#include "engine/plugin/plugin.h"
#include "engine/sockets/sockopts.h"
#include "engine/sockets/unix-priv.h"
#include "proto/files.pb-c.h"

static bool claims(const struct fd_facts *f)
{
	return f->family == AF_UNIX;
}

static struct usk *by_ino(const struct restore_unix *all, uint32_t ino)
{
	return idmap_find(&all->by_ino, ino, 0);
}

static int check_entry(const struct file_obj *obj, const UnixSkEntry *e, struct err *err)
{
	if (e->type != SOCK_STREAM && e->type != SOCK_DGRAM && e->type != SOCK_SEQPACKET)
		return err_image(err, "a unix socket of type %u", e->type);
	if (e->state != SK_ESTABLISHED && e->state != SK_CLOSE && e->state != SK_LISTEN)
		return err_image(err, "a unix socket in state %u", e->state);
	if (e->name.len > sizeof(((struct sockaddr_un *)0)->sun_path) + 1)
		return err_image(err, "a unix socket with a name of %zu bytes", e->name.len);
	if (e->state == SK_LISTEN && !e->name.len && !(e->uflags & USK_EXTERN))
		return err_image(err, "a unix socket that listens without a name");
	if (e->has_shutdown && (e->shutdown < 0 || e->shutdown > SK_SHUTDOWN__BOTH))
		return err_image(err, "a unix socket with shutdown %d", (int)e->shutdown);
	if (e->name_dir && e->name_dir[0] != '/')
		return err_image(err, "a unix socket in directory '%s'", e->name_dir);
	if (e->deleted && (!e->name.len || !e->name.data[0]))
		return err_image(err, "a unix socket with a deleted file and no path");
	if (e->has_peek_off && e->peek_off < -1)
		return err_image(err, "a unix socket with a peek offset of %d", e->peek_off);
	if (e->backlog > INT32_MAX)
		return err_image(err, "a unix socket with a backlog of %u", e->backlog);
	if (sockopts_check(obj->id, &(struct sk_ident){ AF_UNIX, (int)e->type, 0, false }, e->opts,
			   err) < 0 ||
	    unix_check_cred(e, err) < 0)
		return err->code;
	return files_check_fown(obj, e->fown, err);
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_unix *all = files_restore_state(r, &kind_unix, sizeof(*all));
	const UnixSkEntry *e = obj->entry->usk;
	struct usk *u = arena_alloc(&r->arena, sizeof(*u));
	int n;

	if (!all || !u)
		return err_nomem(err);
	if (!e)
		return err_image(err, "a unix socket without a description");
	n = check_entry(obj, e, err);
	if (n < 0)
		return n;
	if (by_ino(all, e->ino))
		return err_image(err, "unix socket %u is there twice", e->ino);
	if (e->uflags & USK_CALLBACK && !files_is_inherited(r, obj) &&
	    plugins_wanted(r->plugins, err) < 0)
		return err->code;
	if (e->uflags & USK_SERVICE && e->peer)
		return err_image(err, "a unix socket that led to the service and to %u", e->peer);
	*u = (struct usk){ .next = all->first, .obj = obj, .e = e, .fd = -EBADF, .helper = -EBADF };
	if (idmap_put(&all->by_ino, &r->arena, e->ino, 0, u) < 0)
		return err_nomem(err);
	all->first = u;
	obj->state = u;
	if (all->packets_loaded)
		return 0;
	all->packets_loaded = true;
	return queue_load(r, &all->packets, err);
}

static int check_peer(struct restore *r, const struct usk *u, struct err *err)
{
	const UnixSkEntry *e = u->e, *p = u->peer->e;

	if (p->uflags & USK_EXTERN) {
		if (r->opts->ext_unix_sk && p->name.len)
			return 0;
		err_new(err, ERR_USAGE, -EPERM,
			"unix socket %u is connected to one outside of the tree", e->ino);
		err_hint(err,
			 "allow it with --ext-unix-sk, or give a socket with --inherit-fd "
			 "fd[N]:socket:[%u]",
			 e->ino);
		return -EPERM;
	}
	if (p->type != e->type)
		return err_image(err, "unix socket %u is connected to one of another type", e->ino);
	if (p->peer == e->ino && e->state != SK_LISTEN && p->state != SK_LISTEN)
		return 0;
	if (e->type != SOCK_DGRAM && p->state != SK_LISTEN)
		return err_image(err, "unix socket %u is connected to %u, and that is not to it",
				 e->ino, p->ino);
	if (!p->name.len)
		return err_image(err, "unix socket %u is connected to %u, which has no name",
				 e->ino, p->ino);
	return 0;
}

static int link_peer(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_unix *all = files_restore_state(r, &kind_unix, sizeof(*all));
	const UnixSkEntry *e = obj->entry->usk;
	struct usk *u = obj->state;
	uint32_t net = r->root_ns.id[NS_NET];

	if (!all)
		return err_nomem(err);
	if (files_is_inherited(r, obj))
		return 0;
	if (e->peer)
		u->peer = by_ino(all, e->peer);
	unix_plan_creds(r, u);
	if (e->has_ns_id && net && e->ns_id != net)
		return err_refuse(
			err,
			"unix socket %u is of a second network namespace, which cannot be "
			"restored yet",
			e->ino);
	/* what it is connected to is the plugin's matter */
	if (!e->peer || e->uflags & USK_CALLBACK)
		return 0;
	if (!u->peer)
		return err_image(err, "unix socket %u is connected to %u, which is not there",
				 e->ino, e->peer);
	if (files_is_inherited(r, u->peer->obj))
		return err_new(
			err, ERR_USAGE, -EINVAL,
			"unix socket %u is connected to %u, which is replaced by --inherit-fd",
			e->ino, e->peer);
	return check_peer(r, u, err);
}

static int make_by_plugin(struct restore *r, const struct usk *u, struct err *err)
{
	int fd = plugins_restore_unix_sk(r->plugins, u->e->ino);

	if (fd == -ENOTSUP) {
		err_new(err, ERR_ENVIRONMENT, -ENOTSUP,
			"no plugin knows unix socket %u, which one has saved", u->e->ino);
		err_hint(err, "name the folder of that plugin with --libdir");
		return -ENOTSUP;
	}
	if (fd < 0)
		return plugin_failed(err, fd, "RESTORE_UNIX_SK");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(err, -errno, "looking at the descriptor that a plugin gave");
	return fd;
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_unix *all = files_restore_state(r, &kind_unix, sizeof(*all));
	struct usk *u = obj->state;
	int fd = -EBADF, n = files_inherit(r, obj, &fd, err);

	if (n != 0)
		return n == FILES_INHERITED ? fd : n;
	if (u->e->uflags & USK_CALLBACK)
		return make_by_plugin(r, u, err);
	if (!all)
		return err_nomem(err);
	/* connections go both ways, so all sockets are made in one go, at the first one that is
	 * wanted */
	if (!all->made) {
		n = unix_make_all(r, all, err);
		if (n < 0)
			return n;
		all->made = true;
	}
	if (u->fd < 0)
		return err_image(err, "unix socket %u belongs to nobody", u->e->ino);
	fd = u->fd;
	if (obj->place > 0)
		u->fd = obj->place;
	return fd;
}

static int reach(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_unix *all = files_restore_state(r, &kind_unix, sizeof(*all));

	return all ? queue_reach(r, &all->packets, obj->id, err) : err_nomem(err);
}

static int settle(struct restore *r, struct err *err)
{
	struct restore_unix *all = files_restore_state(r, &kind_unix, sizeof(*all));

	if (!all)
		return err_nomem(err);
	return all->made ? unix_fill_all(r, all, err) : 0;
}

const struct file_kind kind_unix = {
	.name = "unix socket",
	.type = FD_TYPES__UNIXSK,
	.capture_last = true,
	.late = true,
	.claims = claims,
	.capture = unix_capture,
	.look_inside = unix_look_inside,
	.load = load,
	.reach = reach,
	.link = link_peer,
	.create = create,
	.settle = settle,
	.finish = files_finish_owner,
};
