/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who made a connection: what SO_PEERCRED and SO_PEERGROUPS tell of the other end of a socket. The
 * kernel notes the process and its ids when it joins two sockets, listens, or connects.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/ns/ns.h"
#include "engine/sockets/inside.h"
#include "engine/sockets/unix-priv.h"
#include "proto/core.pb-c.h"
#include "proto/files.pb-c.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

/* What the kernel tells for a socket that nobody was joined to. */
#define NOBODY UINT32_MAX

enum { GROUPS_MAX = 65536 };

/* ---- dump ---- */

static int read_cred(int sk, struct ucred *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(sk, SOL_SOCKET, SO_PEERCRED, ret, &len) < 0 ? -errno : 0;
}

/* The question for a process inside: those of unknown numbers. The answers lie in shared memory. */
struct question {
	const struct tree_socket *list;
	pid_t *answers;
};

static int ask(void *arg)
{
	const struct question *q = arg;
	const struct tree_socket *s;
	size_t i = 0;

	for (s = q->list; s; s = s->next) {
		struct ucred c;
		int r = s->maker_unknown ? read_cred(s->lfd, &c) : 0;

		if (r < 0)
			return r;
		if (s->maker_unknown)
			q->answers[i++] = c.pid;
	}
	return 0;
}

static int ask_inside(struct dump *d, struct tree_socket *list, size_t n, struct err *err)
{
	struct question q = { list, NULL };
	struct tree_socket *s;
	size_t len = n * sizeof(*q.answers), i = 0;
	int result = 0, r;

	q.answers = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (q.answers == MAP_FAILED)
		return err_sys(err, -errno, "mapping memory for an answer");
	r = inside_run(d, ask, &q, &result, err);
	if (r == 0 && result < 0)
		r = err_sys(err, result, "reading SO_PEERCRED inside of the pid namespace");
	for (s = list; s && r == 0; s = s->next)
		if (s->maker_unknown)
			s->maker = q.answers[i++];
	munmap(q.answers, len);
	return r;
}

int unix_find_makers(struct dump *d, struct tree_socket *list, struct err *err)
{
	bool own_pids = d->root_ns.id[NS_PID] != d->host_ns.id[NS_PID];
	struct tree_socket *s;
	size_t unknown = 0;

	for (s = list; s; s = s->next) {
		const struct dump_task *t;
		struct ucred c;
		int r = read_cred(s->lfd, &c);

		if (r < 0)
			return err_sys(err, r, "reading SO_PEERCRED");
		t = dump_task_by_pid(d, c.pid);
		s->maker = t ? t->ns_pid : c.pid;
		/* not of the tree, mostly because it has ended: the kernel alone knows its number
		 * inside */
		s->maker_unknown = !t && c.pid && own_pids;
		unknown += s->maker_unknown;
	}
	return unknown ? ask_inside(d, list, unknown, err) : 0;
}

static int capture_groups(struct dump *d, int sk, PeerCredEntry *e, struct err *err)
{
	cleanup_free gid_t *list = calloc(GROUPS_MAX, sizeof(*list));
	socklen_t len = GROUPS_MAX * sizeof(*list), i;

	if (!list)
		return err_nomem(err);
	if (getsockopt(sk, SOL_SOCKET, SO_PEERGROUPS, list, &len) < 0)
		return errno == ENODATA || errno == ENOPROTOOPT
			       ? 0
			       : err_sys(err, -errno, "reading SO_PEERGROUPS");
	e->groups = arena_alloc(&d->arena, len + sizeof(*e->groups));
	if (!e->groups)
		return err_nomem(err);
	for (i = 0; i < len / sizeof(*list); i++)
		if (ns_inside_gid(d, list[i], &e->groups[e->n_groups]) == 0)
			e->n_groups++;
	return 0;
}

int unix_capture_cred(struct dump *d, const struct tree_socket *s, UnixSkEntry *e, struct err *err)
{
	PeerCredEntry *c = arena_alloc(&d->arena, sizeof(*c));
	struct ucred now;
	int r = read_cred(s->lfd, &now);

	if (!c)
		return err_nomem(err);
	if (r < 0)
		return err_sys(err, r, "reading SO_PEERCRED");
	peer_cred_entry__init(c);
	e->peer_cred = c;
	c->uid = c->gid = NOBODY;
	if (now.uid == NOBODY)
		return 0;
	c->pid = (uint32_t)s->maker;
	/* who is not mapped inside is seen there as nobody, and by that name a restore leaves it */
	if (ns_inside_uid(d, now.uid, &c->uid) < 0)
		c->uid = NOBODY;
	if (ns_inside_gid(d, now.gid, &c->gid) < 0)
		c->gid = NOBODY;
	return capture_groups(d, s->lfd, c, err);
}

/* ---- restore ---- */

int unix_check_cred(const UnixSkEntry *e, struct err *err)
{
	const PeerCredEntry *c = e->peer_cred;

	if (c && (c->pid > INT32_MAX || c->n_groups > GROUPS_MAX))
		return err_image(err, "a unix socket made by process %u with %zu groups", c->pid,
				 c->n_groups);
	return 0;
}

bool unix_is_unjoined(const struct usk *u)
{
	return u->e->peer_cred && !u->e->peer_cred->pid && u->e->peer_cred->uid == NOBODY;
}

bool unix_is_joined(const struct usk *u)
{
	return u->e->peer_cred && !unix_is_unjoined(u);
}

/* As whom a task acts. */
static const struct errand_cred *cred_of_task(struct restore *r, const struct restore_task *t)
{
	struct errand_cred *c = t ? arena_alloc(&r->arena, sizeof(*c)) : NULL;
	const ThreadCoreEntry *core = t ? t->threads.v[0]->core->thread_core : NULL;
	const CredsEntry *creds = core ? core->creds : NULL;

	if (!c || !creds)
		return NULL;
	*c = (struct errand_cred){ t->ns_pid, creds->euid, creds->egid, creds->n_groups,
				   creds->groups };
	return c;
}

static const struct errand_cred *cred_of_image(struct restore *r, const PeerCredEntry *e)
{
	struct errand_cred *c = arena_alloc(&r->arena, sizeof(*c));

	if (c)
		*c = (struct errand_cred){ (pid_t)e->pid, e->uid, e->gid, e->n_groups, e->groups };
	return c;
}

void unix_plan_creds(struct restore *r, struct usk *u)
{
	const struct restore_task *owner = u->obj->owner, *other = NULL;

	u->own_cred = cred_of_task(r, owner);
	if (u->e->peer_cred) {
		u->peer_cred = unix_is_joined(u) ? cred_of_image(r, u->e->peer_cred) : NULL;
	} else {
		/* images of others do not tell: most often it is whoever has the other end */
		other = u->peer && u->peer->e->peer == u->e->ino ? u->peer->obj->owner : owner;
		u->peer_cred = cred_of_task(r, other ?: owner);
	}
	if (u->own_cred)
		errand_expect(r, u->own_cred->pid);
	if (u->peer_cred)
		errand_expect(r, u->peer_cred->pid);
}

bool unix_same_cred(const struct errand_cred *a, const struct errand_cred *b)
{
	if (!a || !b)
		return a == b;
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid &&
	       a->n_groups == b->n_groups &&
	       (!a->n_groups ||
		memcmp(a->groups, b->groups, a->n_groups * sizeof(*a->groups)) == 0);
}
