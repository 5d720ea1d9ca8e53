// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * IPC namespaces: limits, System V queues, semaphores and segments, POSIX message queues
 * (mqueue.h).
 */
#include "engine/ns/ipc-priv.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "engine/ns/mqueue.h"
#include "proto/ipc.pb-c.h"

/* What the visitor reports: four parts, with their lengths in front. */
enum part { PART_VARS, PART_SEM, PART_MSG, PART_SHM, PART_COUNT };

struct head {
	size_t len[PART_COUNT];
};

static int look(void *unused, struct buf *ret, struct err *err)
{
	static int (*const parts[PART_COUNT])(struct buf *, struct err *) = {
		[PART_VARS] = ipc_vars_look,
		[PART_SEM] = ipc_sem_look,
		[PART_MSG] = ipc_msg_look,
		[PART_SHM] = ipc_shm_look,
	};
	struct head head = { 0 };
	int r = 0;

	if (buf_append(ret, &head, sizeof(head)) < 0)
		return err_nomem(err);
	for (int i = 0; i < PART_COUNT && r == 0; i++) {
		size_t before = ret->len;

		r = parts[i](ret, err);
		head.len[i] = ret->len - before;
	}
	memcpy(ret->data, &head, sizeof(head));
	return r;
}

static int ipc_dump(struct dump *d, struct err *err)
{
	cleanup_ns_visitor struct ns_visitor v = { 0 };
	cleanup_buf struct buf b = BUF_INIT;
	const char *at[PART_COUNT];
	struct head head;
	int r = ns_visit_begin(d, NS_IPC, look, NULL, &b, &v, err);

	if (r < 0)
		return r;
	memcpy(&head, b.data, sizeof(head));
	at[0] = b.data + sizeof(head);
	for (int i = 1; i < PART_COUNT; i++)
		at[i] = at[i - 1] + head.len[i - 1];
	r = ipc_vars_dump(d, at[PART_VARS], head.len[PART_VARS], err);
	if (r == 0)
		r = ipc_sem_dump(d, at[PART_SEM], head.len[PART_SEM], err);
	if (r == 0)
		r = ipc_msg_dump(d, at[PART_MSG], head.len[PART_MSG], err);
	if (r == 0)
		r = ipc_shm_dump(d, at[PART_SHM], head.len[PART_SHM], v.pid, err);
	return r == 0 ? mqueues_collect(d, err) : r;
}

static int ipc_load(struct restore *r, struct err *err)
{
	struct ns_ipc *ipc = arena_alloc(&r->arena, sizeof(*ipc));
	int q;

	if (!ipc)
		return err_nomem(err);
	r->ns->ipc = ipc;
	q = ipc_vars_load(r, ipc, err);
	if (q == 0)
		q = ipc_sem_load(r, ipc, err);
	if (q == 0)
		q = ipc_msg_load(r, ipc, err);
	return q == 0 ? ipc_shm_load(r, ipc, err) : q;
}

/*
 * Objects are older than the limits: these may have been lowered below what is there. So the limits
 * are widened where that is needed, and get their values when the objects exist.
 */
static int ipc_build(struct restore *r, struct err *err)
{
	struct ns_ipc *ipc = r->ns->ipc;
	int q = ipc_vars_grow(r, ipc, ipc_msg_biggest(ipc), err);

	if (q == 0)
		q = ipc_sem_build(r, ipc, err);
	if (q == 0)
		q = ipc_msg_build(r, ipc, err);
	if (q == 0)
		q = ipc_shm_build(r, ipc, err);
	if (q == 0)
		q = mqueues_build(r, err);
	if (q == 0)
		q = ipc_vars_set(r, ipc, err);
	if (q == 0 && ipc_vars_rmid_forced(ipc) && !ipc->segments)
		q = ns_sysctl_set("kernel/shm_rmid_forced", "1", err);
	return q;
}

/* In a process inside of the namespace. */
static int finish_inside(void *arg, struct buf *unused, struct err *err)
{
	const struct ns_ipc *ipc = arg;
	int q = ipc_shm_remove_marked(ipc, err);

	if (q == 0 && ipc_vars_rmid_forced(ipc))
		q = ns_sysctl_set("kernel/shm_rmid_forced", "1", err);
	return q;
}

/*
 * A segment that is marked for removal, and with shm_rmid_forced any, goes with the last process
 * that has it attached. So this waits until the tasks have it.
 */
static int ipc_finish(struct restore *r, pid_t root, struct err *err)
{
	cleanup_buf struct buf none = BUF_INIT;
	struct ns_ipc *ipc = r->ns->ipc;

	if (!ipc->segments || !(ipc_vars_rmid_forced(ipc) || ipc_shm_has_marked(ipc)))
		return 0;
	return ns_visit_pid(root, NS_IPC, r->new_ns & CLONE_NEWUSER, finish_inside, ipc, &none,
			    err);
}

static void ipc_done(struct restore *r)
{
	if (r->ns->ipc)
		ipc_shm_done(r->ns->ipc);
}

void ipc_desc_from_perm(int id, const struct ipc_perm *p, struct ipc_desc *ret)
{
	*ret = (struct ipc_desc){
		.id = id,
		.key = p->__key,
		.uid = p->uid,
		.gid = p->gid,
		.cuid = p->cuid,
		.cgid = p->cgid,
		.mode = p->mode,
	};
}

void ipc_desc_fill(const struct ipc_desc *desc, IpcDescEntry *e)
{
	e->id = (uint32_t)desc->id;
	e->key = (uint32_t)desc->key;
	e->uid = desc->uid;
	e->gid = desc->gid;
	e->cuid = desc->cuid;
	e->cgid = desc->cgid;
	e->mode = desc->mode;
}

int ipc_desc_load(const IpcDescEntry *e, struct ipc_desc *ret, struct err *err)
{
	if (e->id > INT32_MAX)
		return err_image(err, "the image has an object with the id %u", e->id);
	*ret = (struct ipc_desc){
		.id = (int)e->id,
		.key = (key_t)e->key,
		.uid = e->uid,
		.gid = e->gid,
		.cuid = e->cuid,
		.cgid = e->cgid,
		.mode = e->mode,
	};
	return 0;
}

int ipc_next_id(const char *setting, int id, struct err *err)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", id);
	return ns_sysctl_set(setting, text, err);
}

const struct ns_kind ns_kind_ipc = {
	.type = NS_IPC,
	.dump = ipc_dump,
	.load = ipc_load,
	.build = ipc_build,
	.finish = ipc_finish,
	.done = ipc_done,
};
