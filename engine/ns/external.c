// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Namespaces that are not made but given: by --external at the dump and --inherit-fd at the
 * restore, or by --join-ns. What is in them is their owner's business: it is neither dumped nor
 * written.
 */
#include "engine/ns/ns-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

const char *ns_external_key(const struct ckpt_options *opts, enum ns_type type, uint64_t ino)
{
	char head[64];
	size_t n;

	n = (size_t)snprintf(head, sizeof(head), "%s[%llu]:", ns_types[type].name,
			     (unsigned long long)ino);
	for (size_t i = 0; i < opts->externals.n; i++) {
		const char *text = opts->externals.v[i];

		if (strncmp(text, head, n) == 0 && text[n])
			return text + n;
	}
	return NULL;
}

static int check_type(int fd, enum ns_type type, const char *what, struct err *err)
{
	int flag = ioctl(fd, NS_GET_NSTYPE);

	if (flag < 0)
		return err_usage(err, "%s is not a namespace", what);
	if ((uint64_t)flag != ns_types[type].clone_flag)
		return err_usage(err, "%s is not a %s namespace", what, ns_types[type].name);
	return 0;
}

/* From here on the namespace is not made, and its kind has nothing to do. */
static void join(struct restore *r, enum ns_type type, int fd)
{
	r->ns->join[type] = fd;
	r->new_ns &= ~ns_types[type].clone_flag;
}

int ns_join_inherited(struct restore *r, enum ns_type type, const char *key, struct err *err)
{
	const struct ckpt_options *o = r->opts;
	char what[128];
	int fd;

	for (size_t i = 0; i < o->n_inherit_fds; i++) {
		const struct ckpt_inherit_fd *given = &o->inherit_fds[i];

		if (strcmp(given->key, key) != 0)
			continue;
		snprintf(what, sizeof(what), "descriptor %d, given for '%s',", given->fd, key);
		if (check_type(given->fd, type, what, err) < 0)
			return -EINVAL;
		fd = fcntl(given->fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return err_sys(err, -errno, "taking over descriptor %d for '%s'", given->fd,
				       key);
		join(r, type, fd);
		return 0;
	}
	err_usage(err,
		  "the %s namespace was dumped as external '%s', and no descriptor is given for it",
		  ns_types[type].name, key);
	err_hint(err, "open the namespace to use and give it with --inherit-fd 'fd[N]:%s'", key);
	return -EINVAL;
}

static int type_of(const struct ckpt_join_ns *j, enum ns_type *ret, struct err *err)
{
	for (int i = 0; i < NS_TYPE_COUNT; i++) {
		if (strcmp(j->ns, ns_types[i].name) != 0)
			continue;
		if (i == NS_PID || i == NS_CGROUP)
			return err_usage(err, "--join-ns cannot join %s namespaces",
					 ns_types[i].name);
		*ret = i;
		return 0;
	}
	return err_usage(err, "--join-ns knows no namespace '%s'", j->ns);
}

/* "UID,GID" */
static int parse_ids(const char *text, struct restore_ns *ns, struct err *err)
{
	unsigned int uid, gid;
	char end;

	if (sscanf(text, "%u,%u%c", &uid, &gid, &end) != 2)
		return err_usage(err, "--join-ns user: '%s' is not UID,GID", text);
	ns->join_ids = true;
	ns->join_uid = uid;
	ns->join_gid = gid;
	return 0;
}

static int open_join(const struct ckpt_join_ns *j, enum ns_type type, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	char path[64], *end;
	const char *file = j->file;
	long pid = strtol(j->file, &end, 10);
	int r;

	if (pid > 0 && *end == '\0') {
		snprintf(path, sizeof(path), "/proc/%ld/ns/%s", pid, j->ns);
		file = path;
	}
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "--join-ns %s: opening '%s'", j->ns, file);
	r = check_type(fd, type, file, err);
	return r < 0 ? r : take_fd(&fd);
}

int ns_load_joins(struct restore *r, struct err *err)
{
	for (size_t i = 0; i < r->opts->n_join_ns; i++) {
		const struct ckpt_join_ns *j = &r->opts->join_ns[i];
		enum ns_type type = 0;
		int fd = type_of(j, &type, err);

		if (fd == 0 && r->opts->empty_ns & ns_types[type].clone_flag)
			fd = err_usage(err, "--join-ns %s and --empty-ns %s exclude each other",
				       j->ns, j->ns);
		if (fd == 0 && r->ns->join[type] >= 0)
			fd = err_usage(err, "--join-ns %s is given twice", j->ns);
		if (fd == 0 && j->extra && type == NS_USER)
			fd = parse_ids(j->extra, r->ns, err);
		if (fd == 0)
			fd = open_join(j, type, err);
		if (fd < 0)
			return fd;
		join(r, type, fd);
	}
	return 0;
}

/* Those that can be entered by one thread of a process, for the time of a clone. */
static bool can_borrow(enum ns_type type)
{
	return type == NS_PID || type == NS_NET || type == NS_IPC || type == NS_UTS;
}

/* The builder enters what it can; a pid namespace is entered only by birth. */
static bool must_borrow(const struct restore *r, enum ns_type type)
{
	return type == NS_PID || r->new_ns & CLONE_NEWUSER;
}

static int borrow(struct restore *r, enum ns_type type, struct ns_borrowed *b, struct err *err)
{
	const char *name = ns_types[type].name;
	cleanup_fd int own = -EBADF;
	char path[64];

	if (!can_borrow(type)) {
		err_usage(err,
			  "a %s namespace cannot be joined by a tree with a user namespace of its "
			  "own",
			  name);
		return -EINVAL;
	}
	/* The task's, not the process's: only this thread moves. */
	snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", name);
	own = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return err_sys(err, -errno, "opening '%s'", path);
	if (setns(r->ns->join[type], (int)ns_types[type].clone_flag) < 0)
		return err_sys(err, -errno, "entering the %s namespace to restore in", name);
	b->own[type] = take_fd(&own);
	return 0;
}

int ns_borrow(struct restore *r, struct ns_borrowed *ret, struct err *err)
{
	int q = 0;

	for (int i = 0; i < NS_TYPE_COUNT; i++)
		ret->own[i] = -1;
	for (int i = 0; i < NS_TYPE_COUNT && q == 0; i++)
		if (r->ns->join[i] >= 0 && must_borrow(r, i))
			q = borrow(r, i, ret, err);
	if (q < 0) {
		struct err ignored = ERR_INIT;

		if (ns_return(ret, &ignored) < 0)
			*err = ignored;
	}
	return q;
}

int ns_return(struct ns_borrowed *b, struct err *err)
{
	int r = 0;

	for (int i = 0; i < NS_TYPE_COUNT; i++) {
		if (b->own[i] < 0)
			continue;
		if (setns(b->own[i], (int)ns_types[i].clone_flag) < 0 && r == 0)
			r = err_sys(err, -errno, "going back into this process's own %s namespace",
				    ns_types[i].name);
		close(b->own[i]);
		b->own[i] = -1;
	}
	return r;
}

int ns_enter_joined(struct restore *r, struct err *err)
{
	for (int i = 0; i < NS_TYPE_COUNT; i++) {
		if (r->ns->join[i] < 0 || i == NS_USER || must_borrow(r, i))
			continue;
		if (setns(r->ns->join[i], (int)ns_types[i].clone_flag) < 0)
			return err_sys(err, -errno, "joining the given %s namespace",
				       ns_types[i].name);
	}
	return 0;
}

int ns_enter_joined_user(struct restore *r, struct err *err)
{
	const struct restore_ns *ns = r->ns;

	if (ns->join[NS_USER] < 0)
		return 0;
	if (setns(ns->join[NS_USER], CLONE_NEWUSER) < 0)
		return err_sys(err, -errno, "joining the given user namespace");
	if (!ns->join_ids)
		return 0;
	/* setgroups(2) may be forbidden there; then the groups stay those that it allowed. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return err_sys(err, -errno, "dropping groups in the given user namespace");
	if (setresgid(ns->join_gid, ns->join_gid, ns->join_gid) < 0 ||
	    setresuid(ns->join_uid, ns->join_uid, ns->join_uid) < 0)
		return err_sys(err, -errno,
			       "becoming user %u, group %u in the given user namespace",
			       ns->join_uid, ns->join_gid);
	return 0;
}
