// SPDX-License-Identifier: LGPL-2.1-or-later
/* User namespaces: the maps of user and group ids. */
#include "engine/ns/ns-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "proto/namespaces.pb-c.h"

enum { MAP_MAX = 340 }; /* UID_GID_MAP_MAX_EXTENTS of the kernel */

struct ns_user {
	char *uid_map, *gid_map; /* text for the kernel */
	uid_t uid;		 /* the identity of the builder inside: 0 if it is mapped */
	gid_t gid;
};

struct extents {
	VEC(UidGidExtent) v;
	UidGidExtent **list;
};

static int parse_map(const struct buf *b, struct extents *ret)
{
	int used = 0;

	for (const char *p = b->data; p && *p; p += used) {
		UidGidExtent *x = vec_add(&ret->v);

		if (!x)
			return -ENOMEM;
		uid_gid_extent__init(x);
		if (sscanf(p, "%u %u %u %n", &x->first, &x->lower_first, &x->count, &used) != 3)
			return -EINVAL;
	}
	ret->list = calloc(ret->v.n + 1, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	for (size_t i = 0; i < ret->v.n; i++)
		ret->list[i] = &ret->v.v[i];
	return 0;
}

static void cleanup_extentsp(struct extents *x)
{
	free(x->list);
	vec_free(&x->v);
}

/* A map as this process reads it: the second column is in the user namespace of the reader. */
static int read_map(struct dump *d, const char *name, struct extents *ret, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", dump_root_tid(d), name);
	r = io_read_file(AT_FDCWD, path, &b);
	if (r == 0)
		r = parse_map(&b, ret);
	if (r < 0)
		return err_sys(err, r, "reading '%s'", path);
	if (!ret->v.n)
		dump_refuse(d, NULL, "the user namespace has no %s", name);
	return 0;
}

/*
 * At a restore all namespaces of the tree belong to its new user namespace, so one that belongs to
 * another would come back with other rights over it.
 */
static int check_owner(struct dump *d, enum ns_type type, struct err *err)
{
	cleanup_fd int fd = -EBADF, owner = -EBADF;
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", dump_root_tid(d), ns_types[type].name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "opening '%s'", path);
	owner = ioctl(fd, NS_GET_USERNS);
	if (owner < 0 || fstat(owner, &st) < 0)
		return err_sys(err, -errno, "asking whose the %s namespace is",
			       ns_types[type].name);
	if (st.st_ino != d->root_ns.ino[NS_USER])
		dump_refuse(d, NULL,
			    "the %s namespace does not belong to the tree's user namespace; hint: "
			    "if it "
			    "is to be handed over at restore, declare it with --external "
			    "'%s[%llu]:KEY'",
			    ns_types[type].name, ns_types[type].name,
			    (unsigned long long)d->root_ns.ino[type]);
	return 0;
}

static int check_owners(struct dump *d, struct err *err)
{
	int r = 0;

	for (int i = 0; i < NS_TYPE_COUNT && r == 0; i++) {
		if (i == NS_USER || !ns_is_own(&d->host_ns, &d->root_ns, i) ||
		    ns_external_key(d->opts, i, d->root_ns.ino[i]))
			continue;
		r = check_owner(d, i, err);
	}
	return r;
}

/* Looks an id of this process's user namespace up in the second column of a map. */
static int to_inside(const struct extents *map, uint32_t id, uint32_t *ret)
{
	const UidGidExtent *x;

	vec_foreach (x, &map->v) {
		if (id < x->lower_first || id - x->lower_first >= x->count)
			continue;
		*ret = x->first + (id - x->lower_first);
		return 0;
	}
	return -EOVERFLOW;
}

static int inside(const struct dump *d, const char *map_name, uint32_t id, uint32_t *ret)
{
	cleanup_with(cleanup_extentsp) struct extents map = { 0 };
	cleanup_buf struct buf b = BUF_INIT;
	char path[64];
	int r;

	if (!ns_is_own(&d->host_ns, &d->root_ns, NS_USER)) {
		*ret = id;
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/%d/%s", dump_root_tid(d), map_name);
	r = io_read_file(AT_FDCWD, path, &b);
	if (r == 0)
		r = parse_map(&b, &map);
	return r == 0 ? to_inside(&map, id, ret) : r;
}

int ns_inside_uid(const struct dump *d, uint32_t uid, uint32_t *ret)
{
	return inside(d, "uid_map", uid, ret);
}

int ns_inside_gid(const struct dump *d, uint32_t gid, uint32_t *ret)
{
	return inside(d, "gid_map", gid, ret);
}

static int user_dump(struct dump *d, struct err *err)
{
	cleanup_with(cleanup_extentsp) struct extents uids = { 0 }, gids = { 0 };
	UsernsEntry e = USERNS_ENTRY__INIT;
	struct image *img;
	int r = read_map(d, "uid_map", &uids, err);

	if (r == 0)
		r = read_map(d, "gid_map", &gids, err);
	if (r == 0)
		r = check_owners(d, err);
	if (r < 0)
		return r;
	e.n_uid_map = uids.v.n;
	e.uid_map = uids.list;
	e.n_gid_map = gids.v.n;
	e.gid_map = gids.list;
	img = image_get(d->images, IMG_USERNS, "userns-%u.img", d->root_ns.id[NS_USER]);
	if (!img || image_add(img, &e.base) < 0)
		return err_nomem(err);
	return 0;
}

/* The text for the kernel; *ret_id: 0 if it is mapped, else the first id that is. */
static int format_map(struct restore *r, const char *what, UidGidExtent **x, size_t n, char **ret,
		      uint32_t *ret_id, struct err *err)
{
	cleanup_buf struct buf b = BUF_INIT;

	if (!n || n > MAP_MAX)
		return err_image(err, "the map of %s ids has %zu lines", what, n);
	*ret_id = x[0]->first;
	for (size_t i = 0; i < n; i++) {
		uint64_t count = x[i]->count;

		if (!count || x[i]->first + count > UINT32_MAX ||
		    x[i]->lower_first + count > UINT32_MAX)
			return err_image(err,
					 "the map of %s ids has a line that is out of range: "
					 "%u %u %u",
					 what, x[i]->first, x[i]->lower_first, x[i]->count);
		if (x[i]->first == 0)
			*ret_id = 0;
		if (buf_printf(&b, "%u %u %u\n", x[i]->first, x[i]->lower_first, x[i]->count) < 0)
			return err_nomem(err);
	}
	*ret = arena_strdup(&r->arena, b.data);
	return *ret ? 0 : err_nomem(err);
}

static int user_load(struct restore *r, struct err *err)
{
	struct ns_user *u = arena_alloc(&r->arena, sizeof(*u));
	UsernsEntry *e = NULL;
	int q;

	if (!u)
		return err_nomem(err);
	q = restore_read_one(r, IMG_USERNS, &userns_entry__descriptor, &e, err, "userns-%u.img",
			     r->root_ns.id[NS_USER]);
	if (q == 0)
		q = format_map(r, "user", e->uid_map, e->n_uid_map, &u->uid_map, &u->uid, err);
	if (q == 0)
		q = format_map(r, "group", e->gid_map, e->n_gid_map, &u->gid_map, &u->gid, err);
	if (q == 0)
		r->ns->user = u;
	return q;
}

/* The kernel takes a map in one write, and only once. */
static int write_map(pid_t pid, const char *name, const char *text, struct err *err)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	r = io_write_file(AT_FDCWD, path, text, strlen(text));
	if (r < 0) {
		err_sys(err, r, "writing '%s'", path);
		if (r == -EPERM)
			err_hint(err,
				 "the ids of the map must be mapped in the user namespace of this "
				 "process, which needs CAP_SETUID and CAP_SETGID there");
	}
	return r;
}

int ns_write_user_maps(struct restore *r, pid_t builder, struct err *err)
{
	const struct ns_user *u = r->ns->user;
	int q;

	if (!(r->new_ns & CLONE_NEWUSER))
		return 0;
	q = write_map(builder, "uid_map", u->uid_map, err);
	/* Without CAP_SETGID a group map is only taken from who gives up setgroups(2)
	 * (CVE-2014-8989). */
	if (q == 0 && r->opts->unprivileged)
		q = write_map(builder, "setgroups", "deny", err);
	if (q == 0)
		q = write_map(builder, "gid_map", u->gid_map, err);
	return q < 0 ? err_wrap(err, q, "making the user namespace") : 0;
}

/*
 * The builder was born with an id that the new namespace did not know, but with all capabilities in
 * it. What it makes from now on belongs to root inside. A change of identity makes a process
 * undumpable, and then its /proc belongs to root of the host, so that it could not open its own
 * files there.
 */
static int user_build(struct restore *r, struct err *err)
{
	const struct ns_user *u = r->ns->user;

	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return err_sys(err, -errno, "dropping groups");
	if (setresgid(u->gid, u->gid, u->gid) < 0)
		return err_sys(err, -errno, "becoming group %u", u->gid);
	if (setresuid(u->uid, u->uid, u->uid) < 0)
		return err_sys(err, -errno, "becoming user %u", u->uid);
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return err_sys(err, -errno, "making the builder's /proc its own");
	return 0;
}

const struct ns_kind ns_kind_user = {
	.type = NS_USER,
	.dump = user_dump,
	.load = user_load,
	.build = user_build,
};
